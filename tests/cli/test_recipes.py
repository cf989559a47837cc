"""The recipes of docs/folders.md, as they stand there."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from vlmcli.demo import scenes
from vlmcli.pictures import xmp

RECIPES = re.findall(
    r"```sh\n(.*?)```", (ROOT / "docs" / "folders.md").read_text("utf-8").partition("## Recipes")[2], re.DOTALL
)
FOLDERS = ("dataset", "Pictures", "Screenshots", "site", "receipts", "scans")


def shapes():
    """A red circle and a blue square."""
    found = (
        scenes.Shape("circle", "red", (214, 40, 40), 36, 64, 22),
        scenes.Shape("square", "blue", (40, 70, 200), 92, 64, 22),
    )
    return scenes.draw(scenes.Scene(384, 384, "white", (250, 250, 250), found))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with two pictures in each folder, where the demo is the model."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
        shapes().save(tmp_path / folder / "one two.png")
        shutil.copy(ROOT / "docs" / "images" / "scene.png", tmp_path / folder / "b.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VLM_MODEL", "demo")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def cook(home, sign, code=0):
    """Run the one recipe with this sign in it. Returns what it wrote on stdout."""
    (recipe,) = [one for one in RECIPES if sign in one]
    done = subprocess.run(["bash", "-c", recipe], cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def records(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.skipif(sys.platform == "win32", reason="they are for a POSIX shell")
class TestRecipes:
    """Each by the sign that only it has."""

    def test_there_are_ten_of_them(self):
        assert len(RECIPES) == 10

    def test_captions_for_a_training_set(self, home):
        cook(home, "caption dataset")
        assert sorted(path.name for path in (home / "dataset").glob("*.txt")) == ["b.txt", "one two.txt"]
        assert "red circle" in (home / "dataset" / "one two.txt").read_text("utf-8")
        assert cook(home, "caption dataset") == ""

    def test_only_what_is_new(self, home):
        cook(home, "-print0")
        cook(home, "-print0")
        assert sorted(one["sources"][0] for one in records(home / "captions.jsonl")) == [
            f"{home}/Pictures/b.png",
            f"{home}/Pictures/one two.png",
        ]

    def test_a_run_that_goes_on_after_each_crash(self, home):
        cook(home, "for attempt")
        assert len(records(home / "captions.jsonl")) == 2
        (home / "Pictures" / "c.png").write_bytes(b"no picture")
        cook(home, "for attempt", code=3)
        assert len(records(home / "captions.jsonl")) == 5  # three attempts, three records of the error

    @pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
    def test_a_table_from_the_records_and_what_failed(self, home):
        broken = home / "Pictures" / "c.png"
        broken.write_bytes(b"no picture")
        cook(home, "for attempt", code=3)
        assert cook(home, "select(.error)") == f"{broken}: a text file, not a picture\n", "once for three attempts"
        cook(home, "@csv")
        rows = list(csv.reader((home / "captions.csv").open(newline="", encoding="utf-8")))
        assert [Path(row[0]).name for row in rows] == ["b.png", "one two.png"]
        assert all("red circle" in row[1] for row in rows)
        shutil.copy(home / "Pictures" / "b.png", broken)
        cook(home, "for attempt")
        assert cook(home, "select(.error)") == "", "the later answer counts"
        cook(home, "@csv")
        assert len((home / "captions.csv").read_text("utf-8").splitlines()) == 3

    def test_screenshots_with_text(self, home):
        drawn = scenes.Scene(
            384,
            384,
            "white",
            (250, 250, 250),
            (),
            (scenes.Text("CAT", scenes.FONTS[0], "black", (0, 0, 0), 30, 50, 30),),
        )
        scenes.draw(drawn).save(home / "Screenshots" / "words.png")
        cook(home, "with-text.txt")
        assert (home / "with-text.txt").read_text("utf-8") == f"{home}/Screenshots/words.png\n"

    def test_alternative_texts(self, home):
        cook(home, "alt-text")
        rows = list(csv.reader((home / "alt.csv").open(newline="", encoding="utf-8")))
        assert [row[0] for row in rows] == ["picture", "site/b.png", "site/one two.png"]
        assert all(row[1] for row in rows)

    def test_receipts_into_a_table(self, home):
        cook(home, "receipts")
        rows = list(csv.reader((home / "receipts.csv").open(newline="", encoding="utf-8")))
        assert rows[0] == ["picture", "Which shop is it?", "What is the total?", "error"]
        assert len(rows) == 3

    def test_keywords_and_descriptions_for_a_photo_manager(self, home):
        cook(home, "--keywords")
        packet = (home / "Pictures" / "one two.xmp").read_bytes()
        assert xmp.subjects(packet, "a") == (), "the demo model knows none, and says so"
        assert "red circle" in xmp.description(packet, "a")

    def test_scans_that_can_be_searched(self, home):
        (home / "scans" / "b.txt").write_text("an invoice, by hand\n", "utf-8")
        assert cook(home, "ocr scans").splitlines()[-1] == "scans/b.txt"
        assert (home / "scans" / "one two.txt").exists()
