"""A PDF's pages: their boxes, how they are turned, their sizes; and documents that are locked, that act, that lack."""

import hashlib
import itertools
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from tests.support.files import BLUE, GREEN, RED, WHITE, array, write
from tests.support.pdfs import plain, stream, written
from tests.support.program import vlm
from vlmcli.errors import SourceError
from vlmcli.pictures import images, pdf

CORNERS = "1 0 0 rg 0 0 108 54 re f 0 0 1 rg 108 54 108 54 re f 0 1 0 rg 0 54 108 54 re f"
MEDIA = "/MediaBox[0 0 216 108]"
UPRIGHT = np.zeros((300, 600, 3), np.uint8)  # at 200 dpi, which is 25 pixels for 9 points
UPRIGHT[:150, :300], UPRIGHT[:150, 300:], UPRIGHT[150:, :300], UPRIGHT[150:, 300:] = GREEN, BLUE, RED, WHITE
CROP = "/CropBox[54 27 216 108]"
CROPPED = UPRIGHT[:225, 150:]

PAGES = {
    "upright": (MEDIA, "", UPRIGHT),
    "a quarter": (MEDIA + "/Rotate 90", "", np.rot90(UPRIGHT, -1)),
    "half": (MEDIA + "/Rotate 180", "", np.rot90(UPRIGHT, 2)),
    "three quarters": (MEDIA + "/Rotate 270", "", np.rot90(UPRIGHT)),
    "a quarter back": (MEDIA + "/Rotate -90", "", np.rot90(UPRIGHT)),
    "more than all round": (MEDIA + "/Rotate 450", "", np.rot90(UPRIGHT, -1)),
    "inherited": ("", MEDIA + "/Rotate 90", np.rot90(UPRIGHT, -1)),
    "cropped": (MEDIA + CROP, "", CROPPED),
    "cropped and turned": (MEDIA + CROP + "/Rotate 90", "", np.rot90(CROPPED, -1)),
    "cropped by inheritance": ("", MEDIA + CROP, CROPPED),
    "a crop box that is larger": (MEDIA + "/CropBox[-99 -99 999 999]", "", UPRIGHT),
    "a crop box upside down": (MEDIA + "/CropBox[216 108 54 27]", "", CROPPED),
    "a media box upside down": ("/MediaBox[216 108 0 0]", "", UPRIGHT),
    "a crop box that is empty": (MEDIA + "/CropBox[0 0 0 0]", "", UPRIGHT),
    "a media box that starts elsewhere": ("/MediaBox[54 27 216 108]", "", CROPPED),
    "other boxes": (MEDIA + "/TrimBox[54 27 99 99]/BleedBox[54 27 99 99]/ArtBox[54 27 99 99]", "", UPRIGHT),
}
FEW_VIEWERS = {
    "a crop box elsewhere": (MEDIA + "/CropBox[500 500 600 600]", "", UPRIGHT),
    "a unit of three points": (MEDIA + "/UserUnit 3", "", np.kron(UPRIGHT, np.ones((3, 3, 1), np.uint8))),
    "a unit of half a point": (MEDIA + "/UserUnit 0.5", "", UPRIGHT[::2, ::2]),
}
"""Pages that poppler draws in another way, and what the standard says of them."""


def page_of(name):
    """The PDF of a page in the tables."""
    page, pages, _ = (PAGES | FEW_VIEWERS)[name]
    return written(plain(CORNERS, page, pages))


@pytest.mark.parametrize("name", [*PAGES, *FEW_VIEWERS])
def test_pages_are_drawn_in_their_boxes_and_turned(name):
    found = array(images.load(page_of(name), "a.pdf"))
    expected = (PAGES | FEW_VIEWERS)[name][2]
    assert found.shape == expected.shape
    assert (np.abs(found.astype(int) - expected).max(-1) < 6).mean() > 0.98


@pytest.mark.skipif(not shutil.which("pdftoppm"), reason="pdftoppm is not installed")
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_what_poppler_shows(tmp_path, name):
    write(tmp_path / "a.pdf", page_of(name))
    subprocess.run(["pdftoppm", "-r", "200", "-cropbox", "-singlefile", "a.pdf", "a"], cwd=tmp_path, check=True)
    theirs = np.asarray(Image.open(tmp_path / "a.ppm")).astype(int)
    found = array(images.load(tmp_path / "a.pdf"))
    assert found.shape == theirs.shape
    assert np.abs(found - theirs).mean() < 3


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ("0 0 14400 14400", (4096, 4096)),
        ("0 0 14399.3 7199", (4096, 2048)),
        ("0 0 200000 100000", (4096, 2048)),
        ("0 0 20 4000", (21, 4096)),  # a till receipt, or a web page as one page
        ("0 0 3000 15", (4096, 21)),
        ("0 0 9 4.5", (25, 13)),
        ("0 0 0.5 0.5", (2, 2)),
    ],
)
def test_pages_that_are_large_long_or_tiny_are_read(box, size):
    width, height = map(float, box.split()[2:])
    half = f"1 0 0 rg 0 0 {width / 2} {height / 2} re f 0 0 1 rg {width / 2} {height / 2} {width} {height} re f"
    found = array(images.load(written(plain(half, f"/MediaBox[{box}]")), "a.pdf"))
    assert (found.shape[1], found.shape[0]) == size
    if min(size) > 9:
        assert (found[-2, 1] == RED).all()
        assert (found[1, -3] == BLUE).all()


def test_a_long_page_is_read_in_parts_that_are_as_wide_as_a_page_is_elsewhere():
    """A till receipt of 80 mm by 1.6 m, with a line at each end that is a pixel wide where the page is read whole."""
    thin = "1 0 0 RG 9 20 m 218 20 l S 0 0 1 RG 9 4516 m 218 4516 l S"
    data = written(plain(thin, "/MediaBox[0 0 226.8 4536]"))
    assert images.load(data, "a.pdf").size == (205, 4096)
    parts = images.load_parts(data, "a.pdf")
    assert {part.size[0] for part in parts} == {630}
    assert (np.abs(array(parts[0]).astype(int) - BLUE).max(-1) < 60).any()
    assert (np.abs(array(parts[-1]).astype(int) - RED).max(-1) < 60).any()


def test_a_poster_is_drawn_within_the_memory_of_the_child():
    (poster,) = images.load_parts(
        written(plain("1 0 0 rg 0 0 14400 14400 re f", "/MediaBox[0 0 14400 14400]")), "a.pdf"
    )
    assert poster.size == (4096, 4096)
    assert (array(poster) == RED).all()


FIELD = "<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(MMMM)/F 4/P 3 0 R/Rect[50 50 350 150]/DA(/Helv 80 Tf 0 0 1 rg)"
FORM = "/AcroForm<</Fields[10 0 R]/DR<</Font<</Helv 5 0 R>>>>/DA(/Helv 0 Tf 0 g)"
RED_FIELD = stream("/Type/XObject/Subtype/Form/BBox[0 0 300 100]", "1 0 0 rg 0 0 300 100 re f")
BOX = "/MediaBox[0 0 400 200]/Annots[10 0 R]"
INSIDE = slice(150, 400), slice(150, 950)
"""The field's pixels, a little within its rectangle."""


def form(field=FIELD, fields=FORM + ">>", catalog="", **more):
    """A PDF with a field that has a red appearance, whatever its value is."""
    objects = {10: field + "/AP<</N 11 0 R>>>>", 11: RED_FIELD} | {int(key[1:]): value for key, value in more.items()}
    return written(plain("", BOX, catalog=fields + catalog, more=objects))


def is_red(data):
    """Whether the field is."""
    return bool((array(images.load(data, "a.pdf"))[INSIDE] == RED).all())


@pytest.mark.parametrize("fields", [FORM + ">>", FORM.replace("10 0 R", "") + ">>", FORM + "/XFA(x)>>", ""])
def test_a_field_is_drawn_whatever_form_lists_it(fields):
    assert is_red(form(fields=fields))


def test_a_value_that_is_newer_than_its_appearance_is_drawn_where_the_form_says_so():
    found = array(images.load(form(fields=FORM + "/NeedAppearances true>>"), "a.pdf"))[INSIDE].astype(int)
    assert 0.05 < (np.abs(found - BLUE).max(-1) < 60).mean() < 0.6
    assert (np.abs(found - RED).max(-1) > 100).all()


def test_a_field_of_a_field_has_its_value_from_there():
    kid = "<</Type/Annot/Subtype/Widget/F 4/P 3 0 R/Rect[50 50 350 150]/Parent 12 0 R>>"
    parent = "<</FT/Tx/T(a)/V(MMMM)/DA(/Helv 80 Tf 0 0 1 rg)/Kids[10 0 R]>>"
    objects = {10: kid, 12: parent}
    found = written(plain("", BOX, catalog=FORM.replace("[10", "[12") + ">>", more=objects))
    pixels = array(images.load(found, "a.pdf"))[INSIDE].astype(int)
    assert 0.05 < (np.abs(pixels - BLUE).max(-1) < 60).mean() < 0.6


@pytest.mark.parametrize(
    "action",
    [
        "/S/JavaScript/JS(this.getField\\('a'\\).value='x'; while\\(true\\){})",
        "/S/Launch/F(touch.sh)/Win<</F(calc.exe)>>",
        "/S/URI/URI(http://127.0.0.1:9/)",
        "/S/SubmitForm/F(http://127.0.0.1:9/)",
        "/S/Hide/T(a)/H true",
        "/S/ResetForm/Fields[10 0 R]",
        "/S/GoToR/F(other.pdf)/D[0/Fit]",
    ],
)
def test_what_a_document_would_do_is_not_done(action):
    """On opening it, on showing its page, on writing a field."""
    act = "/AA<<" + "".join(f"/{when}<<{action}>>" for when in ("O", "PO", "PV", "F", "C", "V", "K", "WS")) + ">>"
    scripts = "/Names<</JavaScript<</Names[(a) 12 0 R]>>>>"
    data = form(
        FIELD + act + f"/A<<{action}>>", catalog=f"/OpenAction<<{action}>>" + act + scripts, o12=f"<<{action}>>"
    )
    assert is_red(data)


def rc4(key, data):
    """RC4 (ISO 32000-1, 7.6.2)."""
    state, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def locked(password):
    """A PDF that is all red, encrypted with 40 bits for that password (ISO 32000-1, 7.6.3, revision 2)."""
    pad = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
    padded, number = (password + pad)[:32], bytes(range(16))
    owner = rc4(hashlib.md5(pad).digest()[:5], padded)
    key = hashlib.md5(padded + owner + (2**32 - 4).to_bytes(4, "little") + number).digest()[:5]
    contents = rc4(hashlib.md5(key + (4).to_bytes(3, "little") + bytes(2)).digest()[:10], b"1 0 0 rg 0 0 400 200 re f")
    lock = f"<</Filter/Standard/V 1/R 2/P -4/O<{owner.hex()}>/U<{rc4(key, pad).hex()}>>>"
    objects = plain(more={6: lock}) | {4: stream("", contents)}
    return written(objects, f"/Root 1 0 R/Encrypt 6 0 R/ID[<{number.hex()}><{number.hex()}>]")


def test_a_document_without_a_password_to_open_it_is_opened():
    assert is_red(locked(b""))
    assert is_red(locked(b"") + bytes(9999))


def test_a_document_with_a_password_is_named(tmp_path):
    with pytest.raises(
        SourceError, match=r"a\.pdf: the PDF is protected by a password: save a copy without the password first"
    ):
        images.load(write(tmp_path / "a.pdf", locked(b"secret")))


MARK = "<</Type/Annot/Subtype/{}/P 3 0 R/Rect[50 50 350 150]/C[1 0 0]{}>>"


def marks(*annotations, catalog=""):
    """A PDF with these annotations."""
    names = "".join(f"{number} 0 R " for number in range(10, 10 + len(annotations)))
    page = f"/MediaBox[0 0 400 200]/Annots[{names}]"
    return written(plain("", page, catalog=catalog, more=dict(zip(itertools.count(10), annotations, strict=False))))


@pytest.mark.parametrize(
    ("annotations", "notice"),
    [
        ([MARK.format("Stamp", "/Name/Approved")], "skipped 1 annotation that cannot be drawn (Stamp)"),
        (
            [MARK.format("Line", "/L[60 60 340 140]"), MARK.format("Stamp", ""), MARK.format("Stamp", "")],
            "skipped 3 annotations that cannot be drawn (Line, Stamp)",
        ),
        ([MARK.format("Stamp", "/F 2"), MARK.format("Line", "/F 32")], ""),
        ([MARK.format("Link", ""), MARK.format("Popup", "")], ""),
    ],
)
def test_annotations_that_cannot_be_drawn_are_counted(annotations, notice):
    drawn = "every pixel has the same colour, so there is nothing to see"
    expected = (f"a.pdf#1: {notice or drawn}",)
    assert images.load(marks(*annotations), "a.pdf#1").notices[:1] == expected


def test_a_form_that_few_viewers_show_is_said_to_be_one(tmp_path):
    write(tmp_path / "a.pdf", form(fields=FORM + "/XFA(x)>>", catalog="/NeedsRendering true"))
    done = vlm("ask", "-m", "demo", "a.pdf", "what is this?", cwd=tmp_path)
    assert done.returncode == 0
    assert "a.pdf: an XFA form, which few viewers can show; the model sees the page shown in its place" in done.stderr


@pytest.mark.parametrize("many", [2_000, 20_000])
def test_a_page_of_many_fields_is_drawn_or_refused_in_time(many):
    field = "<</Type/Annot/Subtype/Widget/FT/Tx/T({0})/V(M)/F 4/P 3 0 R/DA(/Helv 9 Tf 0 g)/Rect[{1} {2} 400 200]>>"
    fields = [field.format(number, number % 400, number // 400) for number in range(many)]
    listed = " ".join(f"{n} 0 R" for n in range(10, 10 + many))
    data = marks(*fields, catalog=f"/AcroForm<</Fields[{listed}]/DR<</Font<</Helv 5 0 R>>>>>>")
    start, before = time.monotonic(), os.times()
    try:
        assert (array(images.load(data, "a.pdf")) != WHITE).any()
    except SourceError as error:
        assert "takes more than" in str(error)
    after = os.times()  # the children's are zero on Windows, where the time on the clock is bounded instead
    assert after.children_user + after.children_system - before.children_user - before.children_system < pdf.SECONDS + 1
    assert time.monotonic() - start < pdf.PATIENCE + 2
