"""How a run goes through its pictures: which of them, in which order, until when, and what is refused."""

import re
import subprocess

import pytest

from tests.support.folders import QUESTION, ask, lines, vlm
from tests.support.program import VLM


def test_what_would_be_done_is_said_and_nothing_is_asked(folder):
    done = ask(folder, "--dry-run", "--no-cache")
    assert (done.returncode, done.stdout, (folder / "out.jsonl").exists()) == (0, "", False)
    assert "would ask 6 questions about 6 pictures; the questions take " in done.stderr
    assert re.search(
        r"the questions take (about [1-9].* s|less than 1 s) \(the first 3 took .* s each\)\n", done.stderr
    )
    ask(folder)
    assert (
        "would ask 1 question about 1 picture; 5 were done before" in ask(folder, "--retry-errors", "--dry-run").stderr
    )


def test_the_first_error_ends_a_run_that_is_to_fail_fast(folder):
    done = ask(folder, "--fail-fast")
    assert done.returncode == 3
    assert "3 answered, 1 failed, 2 left, in " in done.stderr
    assert [one["sources"][0] for one in lines(folder)] == [f"pics/{name}.png" for name in "abcd"]
    assert len(lines(folder)) == 4


@pytest.mark.parametrize("verb", [["ask", "-q", "?"], ["caption"], ["show"], ["explain", "-q", "?"], ["chat"]])
def test_a_detail_is_a_word_or_pixels(folder, verb):
    for detail in ("wide", "0", "15", "100000", "٥٠٠", ""):
        done = vlm(folder, verb[0], "pics/a.png", *verb[1:], "--detail", detail)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--detail {detail}: not low, high" in done.stderr


def test_unordered_is_as_it_comes(folder):
    """The one that is no picture is known at once, the others after the model has been loaded."""
    done = ask(folder, "--unordered")
    assert done.returncode == 3
    assert lines(folder)[0]["sources"] == ["pics/d.png"]
    assert sorted(one["sources"][0] for one in lines(folder)) == [f"pics/{name}.png" for name in "abcdef"]
    table = vlm(folder, "ask", "-m", "demo", "pics", "-q", QUESTION, "-q", "?", "--format", "tsv", "--unordered")
    rows = [line.split("\t") for line in table.stdout.splitlines()]
    assert [len(row) for row in rows] == [4] * 7


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--keywords"], "--keywords does nothing without --sidecar xmp or --write-metadata"),
        (["--keywords", "--sidecar", "txt"], "--keywords does nothing without --sidecar xmp or --write-metadata"),
        (["--retry-errors"], "--retry-errors does nothing without --output FILE or --journal FILE"),
        (["--retry-errors", "--sidecar", "txt"], "--retry-errors does nothing without --output FILE"),
        (["--existing", "skip"], "--existing does nothing without --sidecar txt"),
        (["--existing", "replace", "--output", "a.jsonl"], "add --sidecar txt, --sidecar xmp or --write-metadata"),
        (["--sidecar-name", "stem"], "--sidecar-name does nothing without --sidecar txt"),
        (["--sidecar-name", "full", "--write-metadata"], "leave --sidecar-name out"),
        (["--touch"], "--touch does nothing without --write-metadata"),
        (["--in-place", "--sidecar", "xmp"], "add --write-metadata, or leave --in-place out"),
        (["--write-metadata", "--sidecar", "xmp"], "--sidecar and --write-metadata cannot be used together"),
        (["--output", "a.jsonl", "--journal", "b.jsonl"], "leave out --output or --journal"),
        (["--journal", "b.txt"], "use b.jsonl"),
        (["--timeout", "0"], "--timeout"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder, options, says):
    done = vlm(folder, "caption", "-m", "demo", "pics", *options)
    assert (done.returncode, says in done.stderr) == (2, True)


def test_patterns_without_anything_that_was_expanded_are_refused(folder):
    """A shell may have expanded the pattern before, and then nothing would be excluded."""
    for option in ("--include", "--exclude"):
        done = vlm(folder, "caption", "-m", "demo", "pics/a.png", "pics/b.png", option, "b*")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{option} does nothing without a folder, a pattern or a list" in done.stderr
        assert f"leave {option} out" in done.stderr
    done = vlm(folder, "caption", "-m", "demo", "pics/a.png", "pics/[bc].png", "--exclude", "*")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)


def test_a_summary_ends_each_run_over_several_pictures(folder):
    for more in ([], ["--json"], ["--format", "csv"], ["--sidecar", "txt"], ["--output", "o.jsonl"]):
        done = vlm(folder, "caption", "-m", "demo", "pics", *more)
        assert done.returncode == 3
        wrote = "; wrote 5 texts" if "--sidecar" in more else ""
        assert re.fullmatch(rf"vlm: 5 answered, 1 failed, in [0-9.]+ s{wrote}", done.stderr.splitlines()[-1])
    done = vlm(folder, "caption", "-m", "demo", "pics/a.png")
    assert (done.returncode, "answered" in done.stderr) == (0, False)


def test_some_failed_is_said_also_when_the_others_were_done_before(folder):
    """With sidecars, whose pictures were skipped, and with a memory, in this run or in an earlier one."""
    for _ in range(2):
        done = vlm(folder, "caption", "-m", "demo", "pics", "--sidecar", "txt")
        assert done.returncode == 3
    assert "vlm: skipped 5 pictures that already have text; --existing replace writes new ones\n" in done.stderr
    said = r"vlm: 0 answered, 1 failed, in [0-9.]+ s; skipped 5 pictures that already have text"
    assert re.fullmatch(said, done.stderr.splitlines()[-1])
    for more in ([], ["--retry-errors"], []):
        assert ask(folder, *more).returncode == 3
    done = vlm(folder, "caption", "-m", "demo", "pics/d.png", "--sidecar", "txt")
    assert done.returncode == 1


def test_nothing_left_to_do_is_said(folder):
    (folder / "pics" / "d.png").unlink()
    for more in (["--output", "o.jsonl"], ["--sidecar", "txt"]):
        assert vlm(folder, "caption", "-m", "demo", "pics", *more).returncode == 0
        done = vlm(folder, "caption", "-m", "demo", "pics", *more)
        assert (done.returncode, done.stdout) == (0, "")
        assert "vlm: nothing left to do" in done.stderr
        done = vlm(folder, "caption", "-m", "demo", "pics", *more, "--dry-run")
        assert (done.returncode, "vlm: nothing left to do" in done.stderr) == (0, True)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--exclude", "d*"], "abcef"),
        (["--include", "[ab].png"], "ab"),
        (["--include", "pics/[abc].*", "--exclude", "b.*"], "ac"),
    ],
)
def test_names_are_chosen_by_patterns(folder, words, left):
    done = vlm(folder, "caption", "-m", "demo", "pics", *words)
    assert done.returncode == 0
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == [f"pics/{name}.png" for name in left]
    done = vlm(folder, "caption", "-m", "demo", "pics", "--include", "*.jpg")
    assert (done.returncode, "none of 6 pictures matches --include and --exclude" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--output", ""], "--output needs a file name"),
        (["--journal", " "], "--journal needs a file name"),
        (["--timeout", "inf"], "--timeout"),
    ],
)
def test_an_empty_name_is_no_file(folder, options, says):
    done = vlm(folder, "caption", "-m", "demo", "pics", *options)
    assert (done.returncode, done.stdout, says in done.stderr) == (2, "", True)


def test_a_closed_stream_is_nothing_else(folder):
    for closed in ("<&-", ">&-", "2>&-"):
        command = f"'{VLM}' ask -m demo --each pics/a.png pics/b.png -q '{QUESTION}' {closed}"
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == (1 if closed == ">&-" else 0)
        assert "gave up" not in done.stderr
