"""Odd names and bad files among good ones: each costs a record, and the others are answered."""

import os
import shutil
import struct
import subprocess
import time
import zlib

import pytest

from tests.support.folders import QUESTION, SCENE, ask, drawn, lines, vlm
from tests.support.program import VLM


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
    said = "pics/0003.png: no answer within 1 s"
    assert lines(tmp_path)[3]["error"]["message"] == said
    assert f"vlm: {said}\n     allow more with --timeout, or " in done.stderr


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
