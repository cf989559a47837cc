"""A PDF that is cut off is an error; one with bytes around it, or with an unusual end, is none."""

import itertools
import re
import shutil
import subprocess

import numpy as np
import pytest

from tests.support.files import RED, WHITE, array, write
from tests.support.pdfs import changed, linearized, plain, stream, written
from vlmcli.errors import SourceError
from vlmcli.pictures import images, pdf

RED_PAGE = "1 0 0 rg 0 0 400 200 re f"
OBJECTS = plain(RED_PAGE)
WHOLE = written(OBJECTS)
BLUE_PAGE = RED_PAGE.replace("1 0 0", "0 0 1")
ADDED = changed(written(plain(BLUE_PAGE)), {4: stream("", RED_PAGE), 6: "<</Type/Metadata>>"})
PACKED = bytes(np.random.default_rng(2).integers(0, 256, 1 << 20, np.uint8))
PAGE_OF_AN_ERROR = b"<html><body>\r\n<object data='1 0 object'></object><p>Warning: no obj</p></body></html>"

HEAD = {
    "a line in front": b"\n",
    "a mail's head in front": b"Content-Type: application/pdf\r\n\r\n" + b" " * 900,
    "a byte order mark in front": b"\xef\xbb\xbf",
}
BEHIND = {
    "nothing behind": b"",
    "zeros behind": bytes(4096),
    "a disk's block of zeros behind": bytes(512),
    "blanks behind": b"\r\n \r\n" * 2000,
    "a web page behind": PAGE_OF_AN_ERROR * 40,
    "noise of a megabyte behind": PACKED,
    "zeros of three megabytes behind": bytes(3 << 20),
    "a form's border behind": b"\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n" * 100,
    "other marks of an end behind": b"%%EOF\n%%EOF\n" + bytes(3000),
}
ENDS = {
    "no mark of the end": WHOLE[: WHOLE.rindex(b"%%EOF")],
    "half a mark of the end": WHOLE[: WHOLE.rindex(b"%%EOF") + 3],
    "no mark, but zeros": WHOLE[: WHOLE.rindex(b"%%EOF")] + bytes(600),
    "no line end behind the mark": WHOLE.rstrip(),
    "carriage returns": written(OBJECTS, end="\r"),
    "both line ends": written(OBJECTS, end="\r\n"),
    "a change behind the first version": ADDED,
    "a change and zeros": ADDED + bytes(9999),
    "for the web": linearized(OBJECTS),
    "for the web, and zeros": linearized(OBJECTS) + bytes(9999),
    "for the web, and a change": changed(linearized(OBJECTS), {6: "<</Type/Metadata>>"}),
    "a start of its table that is wrong": re.sub(rb"startxref\n\d+", b"startxref\n7", WHOLE),
    "a start of its table that is nought": re.sub(rb"startxref\n\d+", b"startxref\n0", WHOLE),
}


def is_red(file):
    """Whether a PDF's page is all red."""
    picture = images.load(file)
    return picture.size == (1112, 556) and (np.asarray(array(picture)) == RED).all()


@pytest.mark.parametrize("behind", BEHIND)
def test_bytes_behind_the_end_are_no_fault(tmp_path, behind):
    assert is_red(write(tmp_path / "a.pdf", WHOLE + BEHIND[behind]))


@pytest.mark.parametrize("head", HEAD)
def test_bytes_in_front_are_no_fault(tmp_path, head):
    assert is_red(write(tmp_path / "a.pdf", HEAD[head] + WHOLE))
    assert is_red(HEAD[head] + WHOLE + bytes(5000))


@pytest.mark.parametrize("end", ENDS)
def test_unusual_ends_are_no_fault(tmp_path, end):
    assert is_red(write(tmp_path / "a.pdf", ENDS[end]))
    assert pdf.count(tmp_path / "a.pdf", "a.pdf") == 1


def cut_off(data):
    """Whether a PDF is refused since it is cut off."""
    with pytest.raises(SourceError, match="the PDF is incomplete"):
        images.load(data, "a.pdf")


@pytest.mark.parametrize("whole", [WHOLE, linearized(OBJECTS), written(OBJECTS, end="\r")], ids=["plain", "web", "cr"])
def test_a_file_is_cut_off_wherever_it_is_cut(whole):
    last = whole.rindex(b"startxref") + len("startxref\n")
    for length in itertools.chain(range(200, last - 200, 37), range(last - 200, last + 2)):
        cut_off(whole[:length])


def test_a_change_that_is_cut_off_is_not_the_version_before_it():
    start = ADDED.index(b"%%EOF") + len("%%EOF\n4 0 obj")
    for length in range(start, ADDED.rindex(b"startxref") + 11, 13):
        cut_off(ADDED[:length])


def test_a_file_for_the_web_is_cut_off_behind_its_first_page(tmp_path):
    whole = linearized(OBJECTS)
    early = whole.index(b"%%EOF") + 6
    assert early < len(whole) / 2
    cut_off(whole[:early])
    cut_off(whole[:early] + bytes(4096))


def test_a_start_of_its_table_behind_the_file_is_said(tmp_path):
    """Such a file has lost bytes: its carriage returns on the way through a program, or a part of it."""
    path = write(tmp_path / "a.pdf", re.sub(rb"startxref\n\d+", b"startxref\n123456", WHOLE))
    assert is_red(path)
    assert any("its table is not where it should be" in text for text in images.load(path).notices)
    web = linearized(OBJECTS)  # with places and a length as if some line ends had been lost since
    web = re.sub(rb"/L( +)(\d+)", lambda found: b"/L%s%d" % (found[1], int(found[2]) + 90), web, count=1)
    at = web.rindex(b"startxref\n") + 10
    assert is_red(write(tmp_path / "b.pdf", web[:at] + b"%d" % (int(web[at:].split()[0]) + 7) + b"\n%%EOF\n"))
    assert not any("its table" in text for text in images.load(write(tmp_path / "c.pdf", WHOLE)).notices)


def test_what_was_behind_the_end_of_a_cut_file_is_no_end(tmp_path):
    cut_off(WHOLE[:300] + bytes(8192))
    cut_off(WHOLE[:300] + PACKED)


@pytest.mark.skipif(not shutil.which("qpdf"), reason="qpdf is not installed")
def test_files_for_the_web_as_another_program_writes_them(tmp_path):
    write(tmp_path / "a.pdf", WHOLE)
    web, packed = "--linearize", "--object-streams=generate"
    for name, options in {"web.pdf": [web], "packed.pdf": [packed], "both.pdf": [web, packed]}.items():
        subprocess.run(["qpdf", *options, tmp_path / "a.pdf", tmp_path / name], check=True)
        whole = (tmp_path / name).read_bytes()
        assert is_red(whole)
        assert is_red(whole + bytes(7000))
        assert is_red(whole.rstrip().removesuffix(b"%%EOF"))
        for length in range(200, whole.rindex(b"startxref") + 11, 41):
            cut_off(whole[:length])


def test_a_blank_page_is_no_cut_page(tmp_path):
    assert (array(images.load(written(plain()))) == WHITE).all()
