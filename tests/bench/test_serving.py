"""The measure of `vlm serve`: each picture has its own name; answers that are mixed, wrong or missing are counted."""

import subprocess
import sys

from tests.support import ROOT
from vlmcli.bench import serving


def test_pictures_are_all_different_unless_they_are_to_be_repeated():
    new, repeated = serving.Pictures(), serving.Pictures(4)
    numbers = [0, 1, 63, 64, 128, 6400]
    assert len({new.get(number)[0] for number in numbers}) == len(numbers)
    assert new.get(1)[1] == new.get(65)[1]
    assert repeated.get(1) == repeated.get(5)


def test_a_soak_says_how_it_went():
    words = [sys.executable, "-m", "vlmcli.bench.serving", "--soak", "3", "--clients", "2"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert "2 clients, 3 s" in done.stdout
    assert "0 errors" in done.stdout
    assert "0 mixed answers, 0 other wrong ones" in done.stdout


def test_a_pair_must_be_named():
    words = [sys.executable, "-m", "vlmcli.bench.serving"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "name a model and its projector" in done.stderr
