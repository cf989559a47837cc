"""Many pictures into a file of records that remembers: resumed, killed, interrupted, spoilt, full."""

import csv
import io
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import time
import zlib
from collections import Counter

import pytest
from PIL import Image

from tests.support import ROOT, faulty
from tests.support.program import VLM
from vlmcli.batch.sidecars import keywords
from vlmcli.demo import scenes
from vlmcli.pictures import embedded, xmp

SCENE = ROOT / "docs" / "images" / "scene.png"
QUESTION = "what is this?"


def started(folder, *words, fault=""):
    return subprocess.Popen(
        faulty.command(fault, *words) if fault else [VLM, *words], cwd=folder, env=faulty.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def vlm(folder, *words, fault=""):
    running = started(folder, *words, fault=fault)
    out, err = running.communicate(timeout=300)
    assert "Traceback" not in err
    return subprocess.CompletedProcess(words, running.returncode, out, err)


def ask(folder, *words):
    """The run of most tests here."""
    return vlm(folder, "ask", "-m", "demo", "pics", "-q", QUESTION, "--output", "out.jsonl", *words)


def lines(folder, name="out.jsonl"):
    """The records, all of them whole."""
    text = (folder / name).read_text("utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path):
    """Six pictures, of which the fourth is none."""
    (tmp_path / "pics").mkdir()
    for name in "abcef":
        shutil.copy(SCENE, tmp_path / "pics" / f"{name}.png")
    (tmp_path / "pics" / "d.png").write_bytes(b"no picture")
    return tmp_path


def drawn(folder, count):
    """A folder of scenes. Returns their names."""
    (folder / "pics").mkdir()
    chance = random.Random(20)
    names = [f"pics/{number:04}.png" for number in range(count)]
    for name in names:
        scenes.draw(scenes.make(chance, size=(192, 160))).save(folder / name)
    return names


def test_the_same_command_again_does_the_rest(folder):
    done = ask(folder)
    assert (done.returncode, done.stdout) == (3, "")
    assert "5 answered, 1 failed, in " in done.stderr
    found = lines(folder)
    assert [one["sources"] for one in found] == [[f"pics/{name}.png"] for name in "abcdef"]
    assert [one.get("answer") for one in found] == ["A red circle and a blue square."] * 3 + [None] + [
        "A red circle and a blue square."
    ] * 2
    assert found[3]["error"]["type"] == "SourceError"
    for one in found:
        assert one["size"] == [(folder / one["sources"][0]).stat().st_size]
        assert len(one["work"]) == 32
        assert len(one["sha256"][0]) == 64
        assert (one["revision"], one["projector"], one["quantisation"]) == ("", "mmproj-demo.gguf", "F16")
        assert set(one["versions"]) == {"vlm", "llama-cpp-python"}

    again = ask(folder)
    assert (again.returncode, lines(folder)) == (3, found)
    assert "0 questions about 0 pictures to be asked; 5 were done before, and 1 failed then" in again.stderr

    shutil.copy(SCENE, folder / "pics" / "g.png")
    assert ask(folder).returncode == 3
    assert [one["sources"][0] for one in lines(folder)[6:]] == ["pics/g.png"]


def test_equal_pixels_are_asked_about_once(folder):
    """Six files, two pictures: the answers of the others are copies, times and all."""
    scenes.draw(scenes.make(random.Random(3), size=(192, 160))).save(folder / "pics" / "d.png")
    assert ask(folder, "-q", "is there a star?").returncode == 0
    found = lines(folder)
    assert len(found) == 12
    kinds = {}
    for one in found:
        kinds.setdefault((one["question"], "d.png" in one["sources"][0]), []).append(one)
    assert len(kinds) == 4
    for same in kinds.values():
        assert len({json.dumps([one["answer"], one["timings"]]) for one in same}) == 1
    drawn_ones = ask(folder, "--temperature", "1", "--seed", "7")
    assert drawn_ones.returncode == 0
    assert len({json.dumps(one["timings"]) for one in lines(folder)[12:]}) > 2


def test_what_failed_is_asked_again_when_that_is_wished_or_it_has_changed(folder):
    ask(folder)
    assert ask(folder, "--retry-errors").returncode == 3  # of all of its work, some
    assert [one["sources"][0] for one in lines(folder)[6:]] == ["pics/d.png"]
    shutil.copy(SCENE, folder / "pics" / "d.png")
    assert ask(folder).returncode == 0
    assert lines(folder)[-1]["answer"] == "A red circle and a blue square."
    assert len(lines(folder)) == 8
    assert ask(folder).returncode == 0
    assert len(lines(folder)) == 8


def test_another_picture_question_or_option_is_other_work(folder):
    (folder / "pics" / "d.png").unlink()
    ask(folder)
    scenes.draw(scenes.make(random.Random(3))).save(folder / "pics" / "b.png")
    assert ask(folder).returncode == 0
    assert [one["sources"][0] for one in lines(folder)[5:]] == ["pics/b.png"]
    os.utime(folder / "pics" / "c.png")  # another time, and the same content
    ask(folder)
    assert len(lines(folder)) == 6
    for more in (["--max-tokens", "3"], ["-s", "be brief"], ["-q", "is there a star?"]):
        before = len(lines(folder))
        assert ask(folder, *more).returncode == 0
        assert len(lines(folder)) == before + 5


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            '{"v": 1, "sources": ["a.png"], "answer": "A cat."}\n',
            "line 1 is no record of vlm's",
        ),
        ("hello\n", "line 1 is no record"),
        ("[]\n", "line 1 is no record"),
        ("\xff\n", "line 1 is no record"),
    ],
)
def test_a_file_with_something_else_in_it_is_left_alone(folder, content, says):
    (folder / "out.jsonl").write_text(content, "latin-1")
    done = ask(folder)
    assert (done.returncode, says in done.stderr) == (2, True)
    assert (folder / "out.jsonl").read_text("latin-1") == content


def test_half_a_line_is_cut_off_and_its_work_done(folder):
    ask(folder)
    whole = (folder / "out.jsonl").read_bytes()
    for cut in (1, 30, len(whole.splitlines(keepends=True)[-1]) - 1):
        (folder / "out.jsonl").write_bytes(whole[:-cut])
        ask(folder)
        found = lines(folder)
        assert [one["sources"][0] for one in found] == [f"pics/{name}.png" for name in "abcdef"]


def test_what_would_be_done_is_said_and_nothing_is_asked(folder):
    done = ask(folder, "--dry-run")
    assert (done.returncode, done.stdout, (folder / "out.jsonl").exists()) == (0, "", False)
    assert "6 questions about 6 pictures to be asked; about " in done.stderr
    assert re.search(r"about \d.* s, by the first 3 \(.* s each\)", done.stderr)
    ask(folder)
    assert (
        "1 question about 1 picture to be asked; 5 were done before"
        in ask(folder, "--retry-errors", "--dry-run").stderr
    )


def test_the_first_error_ends_a_run_that_is_to_fail_fast(folder):
    done = ask(folder, "--fail-fast")
    assert done.returncode == 3
    assert "2 questions not asked" in done.stderr
    assert [one["sources"][0] for one in lines(folder)] == [f"pics/{name}.png" for name in "abcd"]
    assert len(lines(folder)) == 4


def test_how_large_pictures_are_shown_is_recorded_and_another_detail_is_other_work(folder):
    for detail, sides in (("high", [0] * 6), ("low", [0] * 6 + [512] * 6), ("512", [0] * 6 + [512] * 6)):
        for more in (["--detail", detail], [] if detail == "high" else ["--detail", detail]):
            assert ask(folder, *more).returncode == 3
            assert [one["detail"] for one in lines(folder)] == sides
    shown = vlm(folder, "show", "pics/a.png", "--detail", "200").stdout
    assert "upright, RGB: 200×150" in shown
    told = vlm(folder, "explain", "-m", "demo", "pics/a.png", QUESTION, "--detail", "200").stdout
    assert "200×150" in told


@pytest.mark.parametrize("verb", [["ask", "-q", "?"], ["caption"], ["show"], ["explain", "-q", "?"], ["chat"]])
def test_a_detail_is_a_word_or_pixels(folder, verb):
    for detail in ("wide", "0", "15", "100000", "٥٠٠", ""):
        done = vlm(folder, verb[0], "pics/a.png", *verb[1:], "--detail", detail)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--detail {detail}: neither low, high nor pixels" in done.stderr


def test_other_names_than_of_json_lines_are_refused(folder):
    done = vlm(folder, "caption", "-m", "demo", "pics", "--output", "out.txt")
    assert (done.returncode, "call the file out.jsonl" in done.stderr) == (2, True)
    done = vlm(folder, "caption", "-m", "demo", "pics", "--output", "nowhere/out.jsonl")
    assert (done.returncode, "nowhere/out.jsonl: cannot be written there" in done.stderr) == (2, True)


def test_killed_at_any_moment_nothing_is_lost_or_done_twice(tmp_path):
    names = drawn(tmp_path, 400)
    chance, kills = random.Random(8), 0
    command = ("ask", "-m", "demo", "pics", "-q", "Is there a shape?", "--output", "out.jsonl")
    while kills < 8:
        running = started(tmp_path, *command)
        time.sleep(chance.uniform(0.4, 1.2))
        if running.poll() is not None:
            break
        running.kill()
        running.communicate()
        kills += 1
    assert kills >= 3
    assert vlm(tmp_path, *command).returncode == 0
    found = lines(tmp_path)
    assert [one["sources"][0] for one in found] == names
    alone = vlm(tmp_path, *command[:-2], "--json")
    single = [json.loads(line) for line in alone.stdout.splitlines()]
    same = sum(one["answer"] == other["answer"] for one, other in zip(found, single, strict=True))
    assert same >= 396  # the batches are others, and with them the last digits


def test_ctrl_c_finishes_what_is_under_way_and_the_same_command_goes_on(tmp_path):
    drawn(tmp_path, 150)
    command = ("caption", "-m", "demo", "pics", "--output", "out.jsonl")
    running = started(tmp_path, *command)
    while not (tmp_path / "out.jsonl").exists() or len((tmp_path / "out.jsonl").read_bytes().splitlines()) < 5:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "finishing what is under way" in said
    assert "the same command goes on from there" in said
    count = len(lines(tmp_path))
    assert 5 <= count < 150
    assert vlm(tmp_path, *command).returncode == 0
    assert Counter(one["sources"][0] for one in lines(tmp_path)) == Counter(f"pics/{n:04}.png" for n in range(150))


def test_one_run_at_a_time_writes_a_file(tmp_path):
    drawn(tmp_path, 100)
    command = ("caption", "-m", "demo", "pics", "--output", "out.jsonl")
    first = started(tmp_path, *command)
    while not (tmp_path / "out.jsonl").exists() or not (tmp_path / "out.jsonl").stat().st_size:
        time.sleep(0.02)
    second = vlm(tmp_path, *command)
    assert (second.returncode, "another run is writing it" in second.stderr) == (2, True)
    first.communicate(timeout=120)
    assert len(lines(tmp_path)) == 100


def test_a_full_disk_leaves_whole_lines_and_says_how_to_go_on(tmp_path):
    """On a file system of 64 kB, where one may be mounted."""
    drawn(tmp_path, 120)
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    command = ("caption", "-m", "demo", "pics", "--output", "disk/out.jsonl")
    try:
        done = vlm(tmp_path, *command)
        assert done.returncode == 1
        assert "disk/out.jsonl: cannot be written (No space left on device)" in done.stderr
        assert "it goes on from there" in done.stderr
        count = len(lines(tmp_path, "disk/out.jsonl"))
        assert 20 < count < 120
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert vlm(tmp_path, *command).returncode == 0
        assert len({one["sources"][0] for one in lines(tmp_path, "disk/out.jsonl")}) == 120
        assert len(lines(tmp_path, "disk/out.jsonl")) == 120
    finally:
        subprocess.run(["umount", disk], check=True)


def test_odd_names_come_back_as_they_were(tmp_path):
    (tmp_path / "pics").mkdir()
    names = ["with space", "new\nline", 'quo"te', "-dash", "caf\udce9", "tab\t", "x" * 200]
    for name in names:
        shutil.copy(SCENE, tmp_path / "pics" / f"{name}.png")
    (tmp_path / "pics" / "loop").symlink_to(tmp_path / "pics")
    for _ in range(2):
        assert ask(tmp_path).returncode == 0
        assert sorted(one["sources"][0] for one in lines(tmp_path)) == sorted(f"pics/{name}.png" for name in names)


def test_a_name_of_three_hundred_letters_is_a_name(tmp_path):
    folder = tmp_path / "pics" / ("p" * 200)
    folder.mkdir(parents=True)
    shutil.copy(SCENE, folder / f"{'q' * 200}.png")
    assert ask(tmp_path).returncode == 0
    assert lines(tmp_path)[0]["sources"] == [f"pics/{'p' * 200}/{'q' * 200}.png"]
    done = vlm(tmp_path, "caption", "-m", "demo", f"{'x' * 300}.png")
    assert (done.returncode, "cannot be read (File name too long)" in done.stderr) == (1, True)


def test_a_folder_that_cannot_be_read_is_an_error_and_the_others_are_answered(folder):
    closed = folder / "pics" / "closed"
    closed.mkdir()
    shutil.copy(SCENE, closed / "g.png")
    (folder / "pics" / "d.png").unlink()
    closed.chmod(0)
    as_others = []
    if os.geteuid() == 0:  # whom no permission stops
        if shutil.which("setpriv") is None:
            pytest.skip("root may read everything, and setpriv is not here")
        as_others = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    command = [*as_others, VLM, "ask", "-m", "demo", "pics", "-q", QUESTION, "--output", "out.jsonl", "--include", "*g"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    closed.chmod(0o755)
    assert done.returncode == 3
    assert "pics/closed: the folder cannot be read (Permission denied)" in done.stderr
    assert [one.get("error", {}).get("type") for one in lines(folder)] == [None] * 5 + ["SourceError"]
    assert ask(folder).returncode == 0
    assert lines(folder)[-1]["sources"] == ["pics/closed/g.png"]


def test_thirty_hostile_files_among_a_hundred_good_ones_cost_thirty_records(tmp_path):
    names = drawn(tmp_path, 100)
    scene = SCENE.read_bytes()
    bad = {
        "empty.png": b"", "words.jpg": b"no picture", "zeros.png": bytes(4096), "cut.png": scene[: len(scene) // 2],
        "head.png": scene[:20], "html.jpg": b"<!doctype html><html></html>", "gzip.png": b"\x1f\x8b\x08" + bytes(40),
        "zip.png": b"PK\x03\x04" + bytes(40), "elf.png": b"\x7fELF" + bytes(60), "gguf.png": b"GGUF" + bytes(60),
        "bomb.png": png(60_000, 60_000), "wide.png": png(1_000_000, 1), "none.png": png(0, 7), "gif.gif": b"GIF89a",
        "bmp.bmp": b"BM" + bytes(30), "tiff.tif": b"II*\0" + bytes(30), "webp.webp": b"RIFF\4\0\0\0WEBP",
        "jpeg.jpg": b"\xff\xd8\xff\xe0", "flip.png": scene[:40] + bytes([scene[40] ^ 255]) + scene[41:],
        "heic.heic": b"\0\0\0\x18ftypheic" + bytes(40), "avif.avif": b"\0\0\0\x18ftypavif" + bytes(40),
        "pdf.pdf": b"%PDF-1.7\n", "dicom.dcm": bytes(128) + b"DICM", "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "psd.png": b"8BPS" + bytes(40), "ico.ico": b"\0\0\1\0" + bytes(20),
    }  # fmt: skip
    for name, content in bad.items():
        (tmp_path / "pics" / name).write_bytes(content)
    (tmp_path / "pics" / "pipe.png").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "pics" / "pipe.png")
    (tmp_path / "pics" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "pics" / "ring.png").symlink_to("ring.png")
    (tmp_path / "pics" / "folder.png").mkdir()
    listed = sorted({*names, *(f"pics/{one.name}" for one in (tmp_path / "pics").iterdir())})
    (tmp_path / "list").write_text("\n".join(listed), "utf-8")
    command = ("caption", "-m", "demo", "--files-from", "list", "--output", "out.jsonl")
    done = vlm(tmp_path, *command)
    assert done.returncode == 3
    found = {one["sources"][0]: one for one in lines(tmp_path)}
    assert list(found) == listed
    failed = {name: one["error"] for name, one in found.items() if "error" in one}
    assert set(found) - set(failed) == set(names)
    assert len(failed) == 30
    for name, error in failed.items():
        assert error["type"] == "SourceError"
        assert error["message"].startswith(f"{name}: ")
        assert error["hint"]
    assert "100 answered, 30 failed" in done.stderr


def png(width, height):
    """A PNG that says it is so large, with nothing in it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_picture_that_kills_llama_cpp_costs_one_record(tmp_path):
    names = drawn(tmp_path, 12)
    done = vlm(tmp_path, "caption", "-m", "demo", "pics", "--output", "out.jsonl", fault="segfault 0005.png")
    assert done.returncode == 3
    found = lines(tmp_path)
    assert [one["sources"][0] for one in found] == names
    assert [one["error"]["type"] for one in found if "error" in one] == ["NativeError"]
    assert "segmentation fault" in found[5]["error"]["message"]


def test_a_picture_that_takes_too_long_is_given_up_and_the_others_are_answered(tmp_path):
    names = drawn(tmp_path, 6)
    began, hang = time.monotonic(), f"hang 0003.png {tmp_path / 'mark'}"
    done = vlm(tmp_path, "caption", "-m", "demo", "pics", "--output", "out.jsonl", "--timeout", "1", fault=hang)
    assert time.monotonic() - began < 60  # without it, the patience of 300 seconds
    assert done.returncode == 3
    assert [one["sources"][0] for one in lines(tmp_path)] == names
    assert [one.get("error", {}).get("type") for one in lines(tmp_path)] == [None] * 3 + ["TimedOut"] + [None] * 2


def test_what_goes_to_stdout_is_remembered_by_a_journal(folder):
    command = ("ask", "-m", "demo", "pics", "-q", QUESTION, "-q", "is there a star?", "--journal", "run.jsonl")
    (folder / "pics" / "f.png").rename(folder / "f.png")
    done = vlm(folder, *command, "--format", "csv")
    assert done.returncode == 3
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert [row[0] for row in rows] == ["picture", *(f"pics/{name}.png" for name in "abcde")]
    assert len(lines(folder, "run.jsonl")) == 10
    (folder / "f.png").rename(folder / "pics" / "f.png")
    with (folder / "table.csv").open("w") as file:
        file.write(done.stdout)
    with (folder / "table.csv").open("a") as file:
        subprocess.run([VLM, *command, "--format", "csv"], cwd=folder, stdout=file, check=False, capture_output=False)
    rows = list(csv.reader(io.StringIO((folder / "table.csv").read_text("utf-8"))))
    assert [row[0] for row in rows] == ["picture", *(f"pics/{name}.png" for name in "abcdef")]
    text = vlm(folder, *command)
    assert (text.returncode, text.stdout) == (3, "")
    done = vlm(folder, *command, "--output", "out.jsonl")
    assert (done.returncode, "leave one out" in done.stderr) == (2, True)


def test_a_journal_is_not_ahead_of_stdout(tmp_path):
    """Killed at any moment, each picture that the journal has is in the output."""
    names = drawn(tmp_path, 300)
    command = [VLM, "caption", "-m", "demo", "pics", "--json", "--journal", "run.jsonl"]
    chance = random.Random(9)
    for _ in range(6):
        with (tmp_path / "out.jsonl").open("ab") as file:
            running = subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.3, 0.9))
            running.kill()
            running.wait()
        whole = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
        shown = {json.loads(line)["sources"][0] for line in whole}
        kept = (tmp_path / "run.jsonl").read_bytes() if (tmp_path / "run.jsonl").exists() else b""
        done = {json.loads(line)["sources"][0] for line in kept.splitlines(keepends=True) if line.endswith(b"\n")}
        assert done <= shown
    with (tmp_path / "out.jsonl").open("ab") as file:
        subprocess.run(command, cwd=tmp_path, stdout=file, stderr=subprocess.DEVNULL, check=True)
    found = [json.loads(line)["sources"][0] for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert set(found) == set(names)
    assert len(found) <= len(names) + 6  # one that was being written when it was killed may come twice


def test_unordered_is_as_it_comes(folder):
    """The one that is no picture is known at once, the others after the model has been loaded."""
    done = ask(folder, "--unordered")
    assert done.returncode == 3
    assert lines(folder)[0]["sources"] == ["pics/d.png"]
    assert sorted(one["sources"][0] for one in lines(folder)) == [f"pics/{name}.png" for name in "abcdef"]
    table = vlm(folder, "ask", "-m", "demo", "pics", "-q", QUESTION, "-q", "?", "--format", "tsv", "--unordered")
    rows = [line.split("\t") for line in table.stdout.splitlines()]
    assert [len(row) for row in rows] == [4] * 7


def test_what_is_appended_to_has_no_memory_and_that_is_said(folder):
    command = [VLM, "caption", "-m", "demo", "pics", "--json"]
    said = []
    for _ in range(2):
        with (folder / "all.jsonl").open("a") as file:
            done = subprocess.run(command, cwd=folder, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
        said.append("--output FILE goes on where a run stopped" in done.stderr)
    assert said == [False, True]
    assert len(lines(folder, "all.jsonl")) == 12


def sidecars(folder, stems="*"):
    return {path.name: path.read_text("utf-8") for path in sorted((folder / "pics").glob(f"{stems}.txt"))}


def test_an_answer_is_written_beside_its_picture(folder):
    (folder / "pics" / "a.txt").write_text("by hand\n", "utf-8")
    command = ("ask", "-m", "demo", "pics", "-q", QUESTION, "--sidecar", "txt")
    done = vlm(folder, *command)
    assert done.returncode == 3
    assert "1 picture with a text not asked about" in done.stderr
    answer = "A red circle and a blue square.\n"
    assert sidecars(folder) == {"a.txt": "by hand\n"} | {f"{name}.txt": answer for name in "bcef"}
    assert done.stdout == "".join(f"pics/{name}.png\t{answer}" for name in "bcef")
    assert not [path for path in (folder / "pics").iterdir() if path.suffix == ".part"]
    (folder / "pics" / "d.png").unlink()
    for existing, text in (
        ("append", f"by hand\n{answer}"),
        ("prepend", f"{answer}by hand\n{answer}"),
        ("replace", answer),
    ):
        assert vlm(folder, *command, "--existing", existing).returncode == 0
        assert sidecars(folder)["a.txt"] == text
    done = vlm(folder, *command)
    assert (done.returncode, done.stdout) == (0, "")


def test_an_answer_is_a_description_in_an_xmp_file_that_keeps_the_rest(folder):
    (folder / "pics" / "d.png").unlink()
    more = b'about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"'
    rated = xmp.described(None, "", "a").replace(b'about=""', more)
    (folder / "pics" / "a.xmp").write_bytes(rated)
    (folder / "pics" / "b.xmp").write_bytes(xmp.described(None, "by hand", "b"))
    (folder / "pics" / "c.xmp").write_bytes(b"no packet")
    command = ("ask", "-m", "demo", "pics", "-q", QUESTION, "--sidecar", "xmp")
    pixels = (folder / "pics" / "a.png").read_bytes()
    assert vlm(folder, *command).returncode == 0
    answer = "A red circle and a blue square."

    def said(name):
        return xmp.description((folder / "pics" / f"{name}.xmp").read_bytes(), name)

    assert [said(name) for name in "abef"] == [answer, "by hand", answer, answer]
    assert b'Rating="4"' in (folder / "pics" / "a.xmp").read_bytes()
    assert (folder / "pics" / "c.xmp").read_bytes() == b"no packet"
    assert (folder / "pics" / "a.png").read_bytes() == pixels
    done = vlm(folder, *command, "--existing", "append")
    assert (done.returncode, "pics/c.xmp: not an XMP file" in done.stderr) == (3, True)
    assert said("b") == f"by hand\n{answer}"
    assert (folder / "pics" / "c.xmp").read_bytes() == b"no packet"


def test_an_answer_is_written_into_its_picture_and_not_into_its_pixels(folder):
    (folder / "pics" / "d.png").unlink()
    with Image.open(SCENE) as scene:
        scene.convert("RGB").save(folder / "pics" / "d.jpg")
        scene.save(folder / "pics" / "g.bmp")
        scene.resize((300, 300)).save(folder / "pics" / "h.webp")
    (folder / "pics" / "link.png").symlink_to(folder / "elsewhere.png")
    shutil.copy(SCENE, folder / "elsewhere.png")
    names = ("a.png", "d.jpg", "h.webp", "link.png")
    pixels = {name: Image.open(folder / "pics" / name).convert("RGB").tobytes() for name in names}
    command = ("ask", "-m", "demo", "pics", "-q", QUESTION, "--write-metadata", "--journal", "run.jsonl")
    done = vlm(folder, *command)
    assert done.returncode == 3
    assert "pics/g.bmp: " in done.stderr
    answer = "A red circle and a blue square."

    def packet(name):
        return embedded.packet_of((folder / "pics" / name).read_bytes(), name)

    for name in names:
        assert xmp.description(packet(name), name) == answer
        assert Image.open(folder / "pics" / name).convert("RGB").tobytes() == pixels[name]
    assert (folder / "pics" / "link.png").is_symlink()
    was = {path.name: path.read_bytes() for path in (folder / "pics").iterdir()}
    for more in ([], ["--existing", "replace"]):  # the journal knows them as they are now
        again = vlm(folder, *command, *more)
        assert (again.returncode, again.stdout) == (3, "")
    keyed = vlm(folder, "ask", "-m", "demo", "pics/a.png", "-q", "which colours?", "--write-metadata", "--keywords")
    assert keyed.returncode == 0
    assert xmp.description(packet("a.png"), "a") == answer
    assert xmp.subjects(packet("a.png"), "a")
    assert {path.name for path in (folder / "pics").iterdir() if path.read_bytes() != was[path.name]} == {"a.png"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cat, black dog, grass.", ["cat", "black dog", "grass"]),
        ("- cat\n- dog\n* cat\n1. 'bird'", ["cat", "dog", "bird"]),
        ("cat;dog; ;", ["cat", "dog"]),
        ("", []),
    ],
)
def test_keywords_are_what_is_between_commas_or_on_lines(text, words):
    assert keywords(text) == words


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--keywords"], "--keywords are of XMP"),
        (["--keywords", "--sidecar", "txt"], "--keywords are of XMP"),
        (["--write-metadata", "--sidecar", "xmp"], "two places for one answer"),
        (["--output", "a.jsonl", "--journal", "b.jsonl"], "leave one out"),
        (["--journal", "b.txt"], "call the file b.jsonl"),
        (["--timeout", "0"], "--timeout"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder, options, says):
    done = vlm(folder, "caption", "-m", "demo", "pics", *options)
    assert (done.returncode, says in done.stderr) == (2, True)


def test_two_answers_for_one_sidecar_are_refused_before_anything_is_asked(folder):
    shutil.copy(folder / "pics" / "a.png", folder / "pics" / "a.webp")
    done = vlm(folder, "caption", "-m", "demo", "pics", "--sidecar", "txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pics/a.txt: pics/a.png and pics/a.webp would have one place" in done.stderr
    done = vlm(folder, "ask", "-m", "demo", "pics", "-q", "a?", "-q", "b?", "--sidecar", "txt", "--exclude", "a.webp")
    assert (done.returncode, "several questions would have one place" in done.stderr) == (2, True)
    assert sidecars(folder) == {}


def test_a_sidecar_that_cannot_be_written_is_an_error_of_its_picture(folder):
    (folder / "pics" / "a.txt").mkdir()
    done = vlm(
        folder, "caption", "-m", "demo", "pics", "--exclude", "d.png", "--sidecar", "txt", "--existing", "replace"
    )
    assert done.returncode == 3
    assert "pics/a.txt: cannot be written" in done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("pics/")]) == 4


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
    assert (done.returncode, "none of 6 pictures has a name that is asked for" in done.stderr) == (1, True)


def test_hostile_files_and_one_that_kills_cost_a_record_each(tmp_path):
    drawn(tmp_path, 30)
    whole = SCENE.read_bytes()
    hostile = {
        "empty.png": b"", "text.jpg": b"hello", "cut.png": whole[:400], "zeros.webp": bytes(5000),
        "bomb.png": whole[:16] + b"\0\xff\xff\xff\0\xff\xff\xff" + whole[24:], "page.pdf": b"%PDF-1.7",
        "header.gif": b"GIF89a", "tiff.tif": b"II*\0",
    }  # fmt: skip
    for name, content in hostile.items():
        (tmp_path / "pics" / name).write_bytes(content)
    (tmp_path / "pics" / "gone.png").symlink_to("nothing")
    shutil.copy(SCENE, tmp_path / "pics" / "killer.png")
    done = vlm(tmp_path, "caption", "-m", "demo", "pics", "--output", "out.jsonl", fault="segfault killer.png")
    assert done.returncode == 3, done.stderr
    found = lines(tmp_path)
    assert len(found) == 30 + len(hostile) + 2
    failed = {one["sources"][0].partition("/")[2]: one["error"] for one in found if "error" in one}
    assert set(failed) == {*hostile, "gone.png", "killer.png"}
    assert failed.pop("killer.png")["type"] == "NativeError"
    for name, error in failed.items():
        assert error["type"] == "SourceError"
        assert name in error["message"]
        assert error["hint"]


def test_a_table_has_a_column_for_each_question(folder):
    (folder / "ask.txt").write_text(f'{QUESTION}\n\n Is there a "star", or two? \n', "utf-8")
    asked = ("--questions", "ask.txt")
    done = vlm(folder, "ask", "-m", "demo", "pics", *asked, "--format", "csv")
    assert done.returncode == 3
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["picture", QUESTION, 'Is there a "star", or two?', "error"]
    assert [row[0] for row in rows[1:]] == [f"pics/{name}.png" for name in "abcdef"]
    assert rows[1][1] == "A red circle and a blue square."
    assert rows[1][2]
    assert rows[1][3] == ""
    assert rows[4][1:3] == ["", ""]
    assert "pics/d.png: not a picture" in rows[4][3]
    done = vlm(folder, "caption", "-m", "demo", "pics", "--format", "tsv", "--exclude", "d.png")
    found = [line.split("\t") for line in done.stdout.splitlines()]
    assert found[0] == ["picture", "Describe this image in one sentence.", "error"]
    assert {len(row) for row in found} == {3}
    assert len(found) == 6
    for name, says in (("none.txt", "cannot be read"), ("empty.txt", "without questions")):
        (folder / "empty.txt").write_text("\n \n", "utf-8")
        done = vlm(folder, "ask", "-m", "demo", "pics/a.png", "--questions", name)
        assert (done.returncode, says in done.stderr) == (2, True)
    for other in (["--json"], ["--output", "out.jsonl"]):
        done = vlm(folder, "caption", "-m", "demo", "pics", "--format", "csv", *other)
        assert (done.returncode, "leave one out" in done.stderr) == (2, True)
    jsonl = vlm(folder, "caption", "-m", "demo", "pics/a.png", "--format", "jsonl")
    assert json.loads(jsonl.stdout)["sources"] == ["pics/a.png"]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_file_of_something_else_without_an_end_of_line_is_left_alone(folder, more):
    (folder / "out.jsonl").write_text('{"precious": 1}', "utf-8")
    assert ask(folder, *more).returncode == 2
    assert (folder / "out.jsonl").read_text("utf-8") == '{"precious": 1}'


def test_a_record_whose_end_of_line_an_editor_took_away_counts(folder):
    ask(folder)
    found = lines(folder)
    (folder / "out.jsonl").write_bytes((folder / "out.jsonl").read_bytes().rstrip(b"\n"))
    ask(folder, "--dry-run")
    assert not (folder / "out.jsonl").read_bytes().endswith(b"\n")
    shutil.copy(SCENE, folder / "pics" / "g.png")
    ask(folder)
    assert lines(folder)[:-1] == found
    assert lines(folder)[-1]["sources"] == ["pics/g.png"]


def test_a_sidecar_is_never_a_picture_or_a_list_of_the_command(folder):
    shutil.copy(SCENE, folder / "pic.txt")
    shutil.copy(SCENE, folder / "list.png")
    (folder / "list.txt").write_text("list.png\n", "utf-8")
    was = {name: (folder / name).read_bytes() for name in ("pic.txt", "list.txt")}
    for words in (["pic.txt"], ["--files-from", "list.txt"]):
        done = vlm(folder, "caption", "-m", "demo", *words, "--sidecar", "txt", "--existing", "replace")
        assert (done.returncode, "is itself a file of this command" in done.stderr) == (2, True)
    assert was == {name: (folder / name).read_bytes() for name in was}


def test_a_sidecar_beside_a_journal_loses_no_record_and_is_written_from_it(folder):
    (folder / "pics" / "d.png").unlink()
    (folder / "pics" / "a.txt").write_text("by hand\n", "utf-8")
    command = ("--sidecar", "txt")
    assert ask(folder, *command).returncode == 0
    assert len(lines(folder)) == 5
    answer = "A red circle and a blue square.\n"
    assert sidecars(folder) == {"a.txt": "by hand\n"} | {f"{name}.txt": answer for name in "bcef"}
    (folder / "pics" / "c.txt").unlink()
    assert ask(folder, *command).returncode == 0
    assert len(lines(folder)) == 5
    assert sidecars(folder)["c.txt"] == answer


def test_a_sidecar_that_cannot_be_written_from_the_journal_costs_the_others_nothing(folder):
    """The text of one that was answered before has no place now: it is said, and the others get theirs."""
    (folder / "pics" / "d.png").unlink()
    command = ("--sidecar", "txt")
    assert ask(folder, *command).returncode == 0
    for name in "abc":
        (folder / "pics" / f"{name}.txt").unlink()
    (folder / "pics" / "b.txt").symlink_to("nowhere/none/b.txt")
    shutil.copy(SCENE, folder / "pics" / "g.png")
    answer = "A red circle and a blue square.\n"
    done = ask(folder, *command, "--fail-fast")
    assert (done.returncode, "b.txt: cannot be written (No such file or directory)" in done.stderr) == (1, True)
    assert sidecars(folder, "[acg]") == {"a.txt": answer}
    for _ in range(2):  # with a picture left to ask about, and with none
        done = ask(folder, *command)
        assert (done.returncode, "b.txt: cannot be written (No such file or directory)" in done.stderr) == (3, True)
        assert sidecars(folder, "[acg]") == {f"{name}.txt": answer for name in "acg"}
    (folder / "pics" / "b.txt").unlink()
    assert ask(folder, *command).returncode == 0
    assert sidecars(folder, "[abc]") == {f"{name}.txt": answer for name in "abc"}
    assert len(lines(folder)) == 6


def test_what_was_done_before_does_not_change_how_the_rest_is_written(folder):
    """Text, and a table: a line's form, a row's cells and the head depend on the command, not on what is left."""
    shutil.rmtree(folder / "pics")
    (folder / "pics").mkdir()
    for name in "ab":
        shutil.copy(SCENE, folder / "pics" / f"{name}.png")
    command = ("ask", "-m", "demo", "--each", "pics/a.png", "pics/b.png", "-q", QUESTION, "--journal", "j.jsonl")
    whole = vlm(folder, *command).stdout
    first = (folder / "j.jsonl").read_bytes().splitlines(keepends=True)[0]
    (folder / "j.jsonl").write_bytes(first)
    assert vlm(folder, *command).stdout == whole.splitlines(keepends=True)[1]
    (folder / "j.jsonl").unlink()
    table = (*command, "-q", "is there a star?", "--format", "csv")
    whole = vlm(folder, *table).stdout
    (folder / "j.jsonl").write_bytes(b"".join((folder / "j.jsonl").read_bytes().splitlines(keepends=True)[:1]))
    with (folder / "t.csv").open("wb") as file:
        file.write(whole.splitlines(keepends=True)[0].encode())
    with (folder / "t.csv").open("ab") as file:
        subprocess.run([VLM, *table], cwd=folder, stdout=file, stderr=subprocess.DEVNULL, check=True)
    assert (folder / "t.csv").read_text("utf-8") == whole


def test_a_head_that_is_there_is_not_written_again(folder):
    command = ("caption", "-m", "demo", "pics", "--exclude", "d.png", "--format", "csv", "--journal", "j.jsonl")
    whole = vlm(folder, *command).stdout
    (folder / "j.jsonl").unlink()
    (folder / "t.csv").write_text(whole.splitlines(keepends=True)[0], "utf-8")
    with (folder / "t.csv").open("ab") as file:
        subprocess.run([VLM, *command], cwd=folder, stdout=file, stderr=subprocess.DEVNULL, check=True)
    assert (folder / "t.csv").read_text("utf-8") == whole


def test_a_table_with_other_columns_is_not_appended_to(folder):
    command = [VLM, "ask", "-m", "demo", "pics", "--journal", "j.jsonl", "--format", "csv", "-q", QUESTION]
    said = []
    for more in ([], ["-q", "is there a star?"], []):
        with (folder / "t.csv").open("ab") as file:
            done = subprocess.run(
                [*command, *more], cwd=folder, stdout=file, stderr=subprocess.PIPE, text=True, check=False
            )
        said.append((done.returncode, "has other columns" in done.stderr, (folder / "t.csv").read_bytes()))
    assert [one[:2] for one in said] == [(3, False), (2, True), (3, False)]
    assert said[0][2] == said[1][2] == said[2][2]


def test_a_picture_named_twice_has_two_rows(folder):
    done = vlm(folder, "ask", "-m", "demo", "--each", "pics/a.png", "pics/a.png", "-q", QUESTION, "--format", "csv")
    assert len(done.stdout.splitlines()) == 3


def test_what_has_no_place_for_its_text_is_an_error_of_its_own(folder):
    (folder / "pics" / "d.png").unlink()
    (folder / "pics" / "ring.png").symlink_to("ring.png")
    (folder / "pics" / "same.png").symlink_to("a.png")
    done = vlm(folder, "ask", "-m", "demo", "pics", "-q", QUESTION, "--write-metadata")
    assert done.returncode == 3
    assert "pics/same.png: the same file as pics/a.png" in done.stderr
    assert done.stdout.count("A red circle") == 5
    long = f"{'x' * 300}.png"
    done = vlm(folder, "ask", "-m", "demo", "--each", "pics/b.png", long, "-q", QUESTION, "--sidecar", "txt")
    assert (done.returncode, "File name too long" in done.stderr) == (3, True)
    assert (folder / "pics" / "b.txt").exists()


def test_a_picture_that_is_write_protected_is_not_written(folder):
    picture = folder / "pics" / "a.png"
    picture.chmod(0o444)
    as_others = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    if as_others and shutil.which("setpriv") is None:
        pytest.skip("root may write everything, and setpriv is not here")
    was = picture.read_bytes()
    command = [*as_others, VLM, "caption", "-m", "demo", "pics/a.png", "--write-metadata"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "is write-protected" in done.stderr, picture.read_bytes() == was) == (1, True, True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--output", ""], "--output names no file"),
        (["--journal", " "], "names no file"),
        (["--timeout", "inf"], "--timeout"),
    ],
)
def test_an_empty_name_is_no_file(folder, options, says):
    done = vlm(folder, "caption", "-m", "demo", "pics", *options)
    assert (done.returncode, done.stdout, says in done.stderr) == (2, "", True)


def test_a_journal_is_not_stdout(folder):
    with (folder / "j.jsonl").open("ab") as file:
        done = subprocess.run(
            [VLM, "caption", "-m", "demo", "pics", "--journal", "j.jsonl"], cwd=folder, stdout=file,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, "it is stdout, too" in done.stderr) == (2, True)


def test_a_full_stdout_has_whole_lines_and_the_journal_knows_what_is_missing(tmp_path):
    """On a file system of 8 kB, where one may be mounted."""
    names = drawn(tmp_path, 60)
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    command = [VLM, "describe", "-m", "demo", "pics", "--format", "csv", "--journal", "j.jsonl"]
    try:
        (disk / "filler").write_bytes(bytes(4096))
        for _ in range(2):
            with (disk / "out.csv").open("ab") as file:
                done = subprocess.run(
                    command, cwd=tmp_path, stdout=file, stderr=subprocess.PIPE, text=True, check=False
                )
            text = (disk / "out.csv").read_text("utf-8")
            assert text.endswith("\n")
            subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert done.returncode == 0, done.stderr
        assert [row[0] for row in csv.reader(io.StringIO(text))] == ["picture", *names]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_closed_stream_is_nothing_else(folder):
    for closed in ("<&-", ">&-", "2>&-"):
        command = f"'{VLM}' ask -m demo --each pics/a.png pics/b.png -q '{QUESTION}' {closed}"
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == (1 if closed == ">&-" else 0)
        assert "gave up" not in done.stderr
