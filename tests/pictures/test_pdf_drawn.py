"""What a viewer shows of a PDF's page is drawn: form fields, annotations, layers; one sheet has a cell for each."""

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.support.files import BLUE, GREEN, RED, WHITE, array, write
from tests.support.pdfs import plain, stream, written
from vlmcli.pictures import images

COLUMNS, WIDE, HIGH = 6, 108, 54
"""Cells in a row, and a cell's size in points: 300x150 pixels, since 200 dpi is 25 pixels for 9 points."""
APPEARANCE = "/AP<</N 20 0 R>>"  # red, all over
STATES = "/AP<</N<</Yes 20 0 R/Off 21 0 R>>>>"  # red; blue
LARGE = "/DA(/Helv 40 Tf 1 0 0 rg)"
SECOND = LARGE.replace("40", "18")

WIDGETS = {
    # what is drawn: the field's own part of the cell, by the colour that it has, or has some of
    "text": ("/FT/Tx/V(x)" + APPEARANCE, RED),
    "text without an appearance": ("/FT/Tx/V(MMM)" + LARGE, "some"),
    "text on a ground": ("/FT/Tx/V(MMM)/MK<</BG[0 1 0]>>" + LARGE, "some"),
    "text of several lines": ("/FT/Tx/Ff 4096/V(MMMM MMMM MMMM)" + SECOND, "some"),
    "text in boxes": ("/FT/Tx/Ff 16777216/MaxLen 3/V(MMM)" + LARGE, "some"),
    "a password": ("/FT/Tx/Ff 8192/V(MMM)" + LARGE, "some"),
    "text without a value": ("/FT/Tx" + LARGE, WHITE),
    "text for a screen only": ("/FT/Tx/V(x)/F 0" + APPEARANCE, RED),
    "text with a flag that fields ignore": ("/FT/Tx/V(x)/F 5" + APPEARANCE, RED),
    "hidden text": ("/FT/Tx/V(x)/F 6" + APPEARANCE, WHITE),
    "text for paper only": ("/FT/Tx/V(x)/F 36" + APPEARANCE, WHITE),
    "a box that is ticked": ("/FT/Btn/V/Yes/AS/Yes" + STATES, RED),
    "a box that is not": ("/FT/Btn/V/Off/AS/Off" + STATES, BLUE),
    "a box without a state": ("/FT/Btn/V/Off" + STATES, BLUE),
    "a ticked box without an appearance": ("/FT/Btn/V/Yes/AS/Yes/MK<</CA(n)>>/DA(/ZaDb 0 Tf 1 0 0 rg)", "some"),
    "a radio button that is on": ("/FT/Btn/Ff 49152/V/Yes/AS/Yes" + STATES, RED),
    "a radio button that is off": ("/FT/Btn/Ff 49152/V/Off/AS/Off" + STATES, BLUE),
    "a choice": ("/FT/Ch/Ff 131072/V(MMM)/Opt[(MMM)(iii)]" + APPEARANCE, RED),
    "a choice without an appearance": ("/FT/Ch/Ff 131072/V(MM)/Opt[(MM)(iii)]" + LARGE, "some"),
    "a list without an appearance": ("/FT/Ch/Opt[(MMM)(iii)]" + SECOND, "some"),
    "a button": ("/FT/Btn/Ff 65536" + APPEARANCE, RED),
    "a button without an appearance": ("/FT/Btn/Ff 65536/MK<</BG[0 1 0]/CA(MMM)>>" + LARGE, "some"),
    "a signature": ("/FT/Sig" + APPEARANCE, RED),
    "text on a layer": ("/FT/Tx/V(x)/OC 30 0 R" + APPEARANCE, RED),
    "text on a layer that is off": ("/FT/Tx/V(x)/OC 31 0 R" + APPEARANCE, WHITE),
}
BORDER = "/BS<</W 9>>/C[1 0 0]"
QUAD = "/C[1 0 0]/QuadPoints[{left} {top} {right} {top} {left} {bottom} {right} {bottom}]"
MARKS = {
    **{name: (name, "/F 4" + APPEARANCE, RED) for name in ("Stamp", "FreeText", "Ink", "Square", "Circle", "Caret")},
    "Line": ("Line", "/L[{left} {bottom} {right} {top}]" + APPEARANCE, RED),
    "Polygon": ("Polygon", "/Vertices[{left} {bottom} {right} {top} {left} {top}]" + APPEARANCE, RED),
    "Highlight": ("Highlight", QUAD + APPEARANCE, RED),
    "Underline": ("Underline", QUAD + APPEARANCE, RED),
    "Watermark": ("Watermark", APPEARANCE, RED),
    "a kind of one's own": ("Custom", APPEARANCE, RED),
    "a stamp for a screen": ("Stamp", "/F 0" + APPEARANCE, RED),
    "a hidden stamp": ("Stamp", "/F 6" + APPEARANCE, WHITE),
    "a stamp for paper": ("Stamp", "/F 36" + APPEARANCE, WHITE),
    "a stamp on a layer": ("Stamp", "/OC 30 0 R" + APPEARANCE, RED),
    "a stamp on a layer that is off": ("Stamp", "/OC 31 0 R" + APPEARANCE, WHITE),
    "ink on one of two layers": ("Ink", "/OC 32 0 R" + APPEARANCE, RED),
    "ink on two layers": ("Ink", "/OC 33 0 R" + APPEARANCE, WHITE),
    "ink where a layer is not": ("Ink", "/OC 34 0 R" + APPEARANCE, RED),
    "a stamp for paper by its use": ("Stamp", "/OC 35 0 R" + APPEARANCE, WHITE),
    "a highlight without an appearance": ("Highlight", QUAD, RED),
    "a square without an appearance": ("Square", "/IC[0 1 0]" + BORDER, "frame"),
    "a circle without an appearance": ("Circle", "/IC[0 1 0]" + BORDER, "oval"),
    "ink without an appearance": ("Ink", "/InkList[[{left} {middle} {right} {middle}]]" + BORDER, "line"),
    "a line below without an appearance": ("Underline", QUAD, "some"),
    "a line through without an appearance": ("StrikeOut", QUAD, "some"),
}
LAYERS = {
    "on a layer": (30, RED), "on a layer that is off": (31, WHITE), "on one of two layers": (32, RED),
    "on two layers": (33, WHITE), "where a layer is not": (34, RED),
}  # fmt: skip
KINDS = [*WIDGETS, *MARKS, *LAYERS]

POPPLER_DIFFERS = {
    "a stamp for paper by its use": "it does not heed what a layer is used for",
    "a box without a state": "it says that this is an error, and draws what it likes",
}
"""Cells in which poppler draws otherwise, and why."""


def place(number):
    """A cell's rectangle in points: left, bottom, right, top. Cells are half a cell apart."""
    row, column = divmod(number, COLUMNS)
    left, bottom = WIDE * (0.5 + 1.5 * column), HIGH * (0.5 + 1.5 * row)
    return {"left": left, "bottom": bottom, "right": left + WIDE, "top": bottom + HIGH, "middle": bottom + HIGH / 2}


def filled(color):
    """An appearance that is one colour."""
    return stream(f"/Type/XObject/Subtype/Form/BBox[0 0 {WIDE} {HIGH}]", f"{color} rg 0 0 {WIDE} {HIGH} re f")


def sheet():
    """A PDF with a cell for each kind, from the bottom."""
    more = {20: filled("1 0 0"), 21: filled("0 0 1")}
    more |= dict.fromkeys((30, 31), "<</Type/OCG/Name(layer)>>")
    more |= {32: "<</Type/OCMD/OCGs[30 0 R 31 0 R]>>", 33: "<</Type/OCMD/OCGs[30 0 R 31 0 R]/P/AllOn>>"}
    more |= {34: "<</Type/OCMD/VE[/And 30 0 R[/Not 31 0 R]]>>"}
    more |= {35: "<</Type/OCG/Name(print)/Usage<</View<</ViewState/OFF>>/Print<</PrintState/ON>>>>>>"}
    drawn, fields = "", []
    for number, name in enumerate(KINDS):
        at = place(number)
        if name in LAYERS:
            layer, _ = LAYERS[name]
            drawn += f"/OC /L{layer} BDC 1 0 0 rg {at['left']} {at['bottom']} {WIDE} {HIGH} re f EMC\n"
            continue
        what, text = ("Widget", WIDGETS[name][0]) if name in WIDGETS else MARKS[name][:2]
        for key, value in at.items():
            text = text.replace(f"{{{key}}}", f"{value:g}")
        rest = f"/T({number})/F 4" if what == "Widget" and "/F " not in text else f"/T({number})"
        rectangle = f"{at['left']:g} {at['bottom']:g} {at['right']:g} {at['top']:g}"
        more[100 + number] = f"<</Type/Annot/Subtype/{what}/P 3 0 R/Rect[{rectangle}]{rest}{text}>>"
        fields += [f"{100 + number} 0 R"] if what == "Widget" else []
    rows = -(-len(KINDS) // COLUMNS)
    box = f"/MediaBox[0 0 {WIDE * (1.5 * COLUMNS + 0.5):g} {HIGH * (1.5 * rows + 0.5):g}]"
    names = "".join(f"/L{number} {number} 0 R" for number, _ in LAYERS.values())
    page = f"{box}/Resources<</Properties<<{names}>>>>/Annots[{' '.join(f'{n} 0 R' for n in more if n >= 100)}]"
    use = "/AS[<</Event/View/Category[/View]/OCGs[35 0 R]>>]"
    catalog = f"/OCProperties<</OCGs[30 0 R 31 0 R 35 0 R]/D<</ON[30 0 R 35 0 R]/OFF[31 0 R]{use}>>>>"
    catalog += f"/AcroForm<</Fields[{' '.join(fields)}]/DR<</Font<</Helv 5 0 R>>>>/DA(/Helv 0 Tf 0 g)>>"
    return written(plain(drawn, page, catalog=catalog, more=more))


def cell(pixels, name):
    """The pixels of a cell."""
    row, column = divmod(KINDS.index(name), COLUMNS)
    left, bottom = int(300 * (0.5 + 1.5 * column)), len(pixels) - int(150 * (0.5 + 1.5 * row))
    return pixels[bottom - 150 : bottom, left : left + 300]


@pytest.fixture(scope="module")
def drawn():
    """The sheet as it is drawn."""
    return array(images.load(sheet(), "sheet.pdf"))


def near(pixels, color, tolerance=40):
    """Which pixels have about that colour."""
    return np.abs(pixels.astype(int) - color).max(-1) <= tolerance


def reference(what):
    """A cell in which a shape without an appearance is to be seen: which pixels are red, and which green."""
    y, x = np.mgrid[0.5:150, 0.5:300]
    if what == "line":
        return np.abs(y - 75) < 12.5, np.zeros((150, 300), bool)
    if what == "frame":
        inner = (np.abs(x - 150) < 125) & (np.abs(y - 75) < 50)
        return ~inner, inner
    outer = ((x - 150) / 150) ** 2 + ((y - 75) / 75) ** 2 < 1
    inner = ((x - 150) / 125) ** 2 + ((y - 75) / 50) ** 2 < 1
    return outer & ~inner, inner


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_drawn_as_a_viewer_shows_it(drawn, name):
    found = cell(drawn, name)
    expected = WIDGETS[name][1] if name in WIDGETS else MARKS[name][2] if name in MARKS else LAYERS[name][1]
    if expected == "some":
        assert 0.004 < near(found, RED, 120).mean() < 0.6
    elif isinstance(expected, str):
        for color, wanted in zip((RED, GREEN), reference(expected), strict=True):
            assert (near(found, color) == wanted).mean() > 0.97
    else:
        assert near(found[2:-2, 2:-2], expected).all()


def test_nothing_is_drawn_between_the_cells(drawn):
    rest = drawn.copy()
    for name in KINDS:
        if name not in ("ink without an appearance",):  # whose line has round ends
            cell(rest, name)[:] = WHITE
    left = ~near(rest, WHITE, 60)
    assert left.mean() < 0.004


def test_text_is_written_on_its_ground(drawn):
    found = cell(drawn, "text on a ground")
    assert near(found, GREEN).mean() > 0.5
    assert near(cell(drawn, "a button without an appearance"), GREEN).mean() > 0.5


@pytest.mark.skipif(not shutil.which("pdftoppm"), reason="pdftoppm is not installed")
@pytest.mark.parametrize("name", [name for name in KINDS if name not in POPPLER_DIFFERS])
def test_poppler_draws_the_same(drawn, poppler, name):
    if name == "a ticked box without an appearance" and not has_ticks():
        pytest.skip("no font with a tick is installed (fonts-urw-base35), which poppler draws with")
    both = [Image.fromarray(cell(each, name)) for each in (drawn, poppler)]
    small = [np.asarray(each.resize((12, 6), Image.Resampling.BOX)) for each in both]
    assert np.abs(small[0].astype(int) - small[1]).mean() < 20


def has_ticks():
    """Whether there is a font for what PDF calls ZapfDingbats."""
    if not shutil.which("fc-match"):
        return False
    found = subprocess.run(["fc-match", "-f", "%{family}", "ZapfDingbats"], capture_output=True, text=True, check=True)
    return any(family in found.stdout for family in ("Dingbats", "D050000L"))


@pytest.fixture(scope="module")
def poppler(tmp_path_factory):
    """The sheet as poppler draws it."""
    folder = tmp_path_factory.mktemp("poppler")
    write(folder / "a.pdf", sheet())
    subprocess.run(["pdftoppm", "-r", "200", "-cropbox", "-singlefile", "a.pdf", "a"], cwd=folder, check=True)
    return np.asarray(Image.open(folder / "a.ppm"))
