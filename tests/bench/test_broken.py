"""Broken models, asked through the command: answered or refused by name, in bounded time and memory."""

import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no bounds on a process's memory (resource)")
@pytest.mark.parametrize(("most", "more"), [(30, []), (10, ["--hostile"])])
def test_broken_models_are_answered_or_refused(most, more, everything):
    count = most if everything else most // 2
    done = subprocess.run(
        [sys.executable, "-m", "vlmcli.bench.broken", "--mutants", str(count), "--seed", "2", *more],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"{count} mutants" in done.stdout
    assert ", 0 neither answered nor a named error" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no bounds on a process's memory (resource)")
def test_damaged_headers_of_any_family_end_no_process():
    names = ("dots3note_v", "granite4_vision", "gemma4uv", "deepseekocr", "ling3vl", "smolvlm")
    done = subprocess.run(
        [sys.executable, "-m", "vlmcli.bench.headers", "--mutants", "20", "--seed", "2", "--families", *names],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "20 mutants" in done.stdout
    assert ", 0 neither answered nor a named error" in done.stdout
