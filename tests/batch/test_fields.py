"""Fields of `vlm extract` in XMP properties: beside the pictures and inside them, as other verbs write their texts."""

import json
import shutil

import pytest
from PIL import Image

from tests.support.folders import SCENE, lines, vlm
from vlmcli.batch import fields
from vlmcli.errors import VlmError
from vlmcli.pictures import embedded, properties, xmp

RECEIPT = {
    "shop": "Corner <Shop>", "date": "2026-11-29", "total": 12.5, "items": ["milk", "rye bread"], "paid": True,
    "note": None,
}  # fmt: skip
"""What is read from each picture: the schema allows nothing else."""
SHOP, ITEMS, DATE = "shop=dc:title", "items=dc:subject", "date=xmp:CreateDate"


def schema(found):
    """A JSON Schema that only this object follows."""
    one = {name: {"const": value} for name, value in found.items()}
    return json.dumps({"type": "object", "properties": one, "required": list(one), "additionalProperties": False})


def extract(folder, *words, found=RECEIPT, pictures="pics"):
    """A run of the command over pictures, of which each has these fields."""
    return vlm(folder, "extract", pictures, "-m", "demo", "--schema", schema(found), *words)


def chosen(*pairs):
    """The options that choose these fields."""
    return [word for pair in pairs for word in ("--field", pair)]


def said(packet, *names):
    """What a packet says of properties, each as a list."""
    return [list(xmp.values(packet, properties.named(name), "a")) for name in names]


def beside(folder, name, *names):
    return said((folder / "pics" / f"{name}.xmp").read_bytes(), *names)


@pytest.fixture
def pics(folder):
    """Five pictures."""
    (folder / "pics" / "d.png").unlink()
    return folder


def test_chosen_fields_are_properties_beside_each_picture(pics):
    more = chosen(SHOP, ITEMS, DATE, "total=xmp:Label", "paid=xmpRights:Marked", "note=dc:description")
    more += chosen("items=photoshop:Headline", "shop=dc:creator")
    pixels = (pics / "pics" / "a.png").read_bytes()
    done = extract(pics, "--sidecar", "xmp", *more, "--json")
    assert done.returncode == 0, done.stderr
    assert "wrote 5 texts" in done.stderr
    assert [json.loads(line)["fields"] for line in done.stdout.splitlines()] == [RECEIPT] * 5
    for name in "abcef":
        assert beside(pics, name, "dc:title", "dc:subject", "xmp:CreateDate", "dc:creator") == [
            ["Corner <Shop>"], ["milk", "rye bread"], ["2026-11-29"], ["Corner <Shop>"],
        ]  # fmt: skip
        assert beside(pics, name, "xmp:Label", "xmpRights:Marked", "dc:description", "photoshop:Headline") == [
            ["12.5"], ["True"], [], ["milk; rye bread"],
        ]  # fmt: skip
    assert (pics / "pics" / "a.png").read_bytes() == pixels


def test_what_the_demo_model_reads_is_written(pics):
    words = ("extract", "pics/a.png", "-m", "demo", "--schema", "shape, color, count int", "--sidecar", "xmp", "--json")
    done = vlm(pics, *words, "--field", "color=dc:title", "--field", "count=xmp:Label")
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)["fields"]
    wanted = [[] if read[name] is None else [str(read[name])] for name in ("color", "count")]
    assert any(wanted)
    assert beside(pics, "a", "dc:title", "xmp:Label") == wanted


def test_a_picture_with_any_of_them_is_skipped_and_its_packet_stays(pics):
    title, label = properties.named("dc:title"), properties.named("xmp:Label")
    a, b = pics / "pics" / "a.xmp", pics / "pics" / "b.png.xmp"
    a.write_bytes(xmp.with_values(None, title, ["by hand"], "a"))
    b.write_bytes(xmp.with_values(None, title, ["by hand"], "b"))
    (pics / "pics" / "c.xmp").write_bytes(xmp.with_values(None, label, ["red"], "c"))
    was = a.read_bytes(), b.read_bytes()
    command = ("--sidecar", "xmp", *chosen(SHOP, ITEMS))
    done = extract(pics, *command, "--dry-run")
    assert "skipped 2 pictures" in done.stderr
    assert "would ask 3 questions about 3 pictures" in done.stderr
    assert extract(pics, *command).returncode == 0
    assert (a.read_bytes(), b.read_bytes()) == was
    assert beside(pics, "c", "xmp:Label", "dc:title", "dc:subject") == [["red"], ["Corner <Shop>"], RECEIPT["items"]]
    done = extract(pics, *command)
    assert (done.returncode, done.stdout) == (0, "")
    assert "skipped 5 pictures" in done.stderr
    assert extract(pics, "--sidecar", "xmp", *chosen(DATE)).returncode == 0  # of which none has any
    assert beside(pics, "a", "dc:title", "xmp:CreateDate") == [["by hand"], ["2026-11-29"]]
    assert said(b.read_bytes(), "dc:title", "xmp:CreateDate") == [["by hand"], ["2026-11-29"]]


@pytest.mark.parametrize(
    ("existing", "title", "words", "headline"),
    [
        ("replace", "Corner <Shop>", ["milk", "rye bread"], "milk; rye bread"),
        ("prepend", "Corner <Shop>\nold", ["milk", "rye bread", "cheese"], "milk; rye bread\nold"),
        ("append", "old\nCorner <Shop>", ["cheese", "Milk", "rye bread"], "old\nmilk; rye bread"),
    ],
)
def test_what_is_there_is_replaced_or_added_to_and_null_leaves_it(pics, existing, title, words, headline):
    old = None
    for name, texts in (
        ("dc:title", ["old"]),
        ("dc:subject", ["cheese", "Milk"]),
        ("photoshop:Headline", ["old"]),
        ("dc:description", ["by hand"]),
    ):
        old = xmp.with_values(old, properties.named(name), texts, "a")
    (pics / "pics" / "a.xmp").write_bytes(old)
    more = chosen(SHOP, ITEMS, "items=photoshop:Headline", "note=dc:description")
    done = extract(pics, "--sidecar", "xmp", "--existing", existing, *more, pictures="pics/a.png")
    assert done.returncode == 0, done.stderr
    assert beside(pics, "a", "dc:title", "dc:subject", "photoshop:Headline", "dc:description") == [
        [title], words, [headline], ["by hand"],
    ]  # fmt: skip


def test_fields_go_into_the_picture_and_not_into_its_pixels(pics):
    with Image.open(SCENE) as scene:
        scene.convert("RGB").save(pics / "pics" / "d.jpg", xmp=xmp.described(None, "by hand", "d"))
    pixels = {name: Image.open(pics / "pics" / name).tobytes() for name in ("a.png", "d.jpg")}
    old = (pics / "pics" / "a.png").stat().st_mtime_ns
    command = ("--write-metadata", *chosen(SHOP, DATE), "--journal", "run.jsonl")
    done = extract(pics, *command)
    assert done.returncode == 0, done.stderr
    assert "changed 6 files" in done.stderr
    for name, held in pixels.items():
        data = (pics / "pics" / name).read_bytes()
        assert said(embedded.packet_of(data, name), "dc:title", "xmp:CreateDate") == [["Corner <Shop>"], ["2026-11-29"]]
        assert Image.open(pics / "pics" / name).tobytes() == held
    assert xmp.description(embedded.packet_of(data, name), name) == "by hand"
    assert (pics / "pics" / "a.png").stat().st_mtime_ns == old
    was = {path.name: path.read_bytes() for path in (pics / "pics").iterdir()}
    assert "nothing left to do; 6 were done before" in extract(pics, *command).stderr
    done = extract(pics, *command[:-2])
    assert "skipped 6 pictures" in done.stderr
    assert {path.name: path.read_bytes() for path in (pics / "pics").iterdir()} == was


def test_a_description_that_only_iptc_or_exif_has_is_seen_as_by_other_verbs(pics):
    exif = Image.Exif()
    exif[0x010E] = "Mum, 1987"
    with Image.open(SCENE) as scene:
        scene.convert("RGB").save(pics / "pics" / "a.jpg", exif=exif)
    command = ("--write-metadata", *chosen("shop=dc:description"))
    assert "skipped 1 picture" in extract(pics, *command, pictures="pics/a.jpg").stderr
    done = extract(pics, *command, "--existing", "replace", pictures="pics/a.jpg")
    assert (done.returncode, "its description is in EXIF, which vlm cannot write" in done.stderr) == (1, True)
    more = ("--sidecar", "xmp", "--existing", "append", *chosen("shop=dc:description"))
    assert extract(pics, *more, pictures="pics/a.jpg").returncode == 0
    assert beside(pics, "a", "dc:description") == [["Mum, 1987\nCorner <Shop>"]]


def test_the_json_is_a_text_beside_the_picture(pics):
    assert extract(pics, "--sidecar", "txt").returncode == 0
    assert {path.name: json.loads(path.read_text("utf-8")) for path in (pics / "pics").glob("*.txt")} == {
        f"{name}.txt": RECEIPT for name in "abcef"
    }
    done = extract(pics, "--sidecar", "txt")
    assert (done.stdout, "skipped 5 pictures" in done.stderr) == ("", True)


def test_a_sidecar_that_was_removed_is_written_from_its_record(pics):
    command = ("--sidecar", "xmp", *chosen(SHOP, ITEMS), "--output", "out.jsonl")
    assert extract(pics, *command).returncode == 0
    assert [line["fields"] for line in lines(pics)] == [RECEIPT] * 5
    (pics / "pics" / "b.xmp").unlink()
    done = extract(pics, *command)
    assert done.stderr == "vlm: wrote 1 text from out.jsonl; 5 were done before\n"
    assert beside(pics, "b", "dc:title", "dc:subject") == [["Corner <Shop>"], ["milk", "rye bread"]]
    shutil.copytree(pics / "pics", pics / "was")
    assert extract(pics, *command).stderr == "vlm: nothing left to do; 5 were done before\n"
    assert {path.name: path.read_bytes() for path in (pics / "pics").iterdir()} == {
        path.name: path.read_bytes() for path in (pics / "was").iterdir()
    }


def test_fields_that_say_nothing_are_counted_and_write_nothing(pics):
    found = {"a": None, "b": "", "c": [], "d": "x"}
    command = ("--sidecar", "xmp", *chosen("a=dc:title", "b=xmp:Label", "c=dc:subject"), "--output", "out.jsonl")
    for said_now in (5, 0):  # the second run has it from the records
        done = extract(pics, *command, found=found)
        assert done.returncode == 0, done.stderr
        assert ("5 answers were not written: none of the chosen fields has a value" in done.stderr) is bool(said_now)
    assert not list((pics / "pics").glob("*.xmp"))


def test_a_date_that_xmp_does_not_know_is_an_error_of_its_picture(pics):
    done = extract(
        pics, "--sidecar", "xmp", *chosen(SHOP, DATE), "--json",
        found={"shop": "x", "date": "29/11/2026"}, pictures="pics/a.png",
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["message"] == (
        "pics/a.xmp: date is not a date that xmp:CreateDate can hold: 29/11/2026"
    )
    assert not (pics / "pics" / "a.xmp").exists()


def test_places_are_refused_as_for_other_verbs(pics):
    shutil.copy(SCENE, pics / "elsewhere.png")
    (pics / "pics" / "link.png").symlink_to(pics / "elsewhere.png")
    (pics / "pics" / "b.xmp").write_bytes(b"no packet")
    (pics / "pics" / "c.xmp").mkdir()
    with Image.open(SCENE) as scene:
        scene.save(pics / "pics" / "g.bmp")
    done = extract(pics, "--sidecar", "xmp", "--existing", "replace", *chosen(SHOP))
    assert done.returncode == 3
    assert "pics/b.xmp: not an XMP file" in done.stderr
    assert "pics/c.xmp: a folder, so no text can be written there" in done.stderr
    assert (pics / "pics" / "b.xmp").read_bytes() == b"no packet"
    for name in "aefg":
        assert beside(pics, name, "dc:title") == [["Corner <Shop>"]]
    done = extract(pics, "--write-metadata", "--existing", "replace", *chosen(SHOP))
    assert done.returncode == 3
    assert "pics/g.bmp: not a JPEG, PNG or WebP file" in done.stderr
    assert "pics/link.png: a link leads out of pics, and vlm does not write there" in done.stderr
    assert (pics / "elsewhere.png").read_bytes() == SCENE.read_bytes()


A = "shop, date, items list of str"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sidecar", "xmp"], "--sidecar xmp needs a field and an XMP property for it"),
        (["--write-metadata"], "for example --field shop=dc:title"),
        (["--field", "shop=dc:title"], "--field does nothing without --sidecar xmp or --write-metadata"),
        (["--field", "shop=dc:title", "--sidecar", "txt"], "add --sidecar xmp or --write-metadata, or leave --field"),
        (["--sidecar", "xmp", "--field", "total=dc:title"], "its fields: shop, date, items"),
        (["--sidecar", "xmp", "--field", "shop"], "for example --field shop=dc:title"),
        (["--sidecar", "xmp", "--field", "shop=title"], "title: not a property of XMP"),
        (["--sidecar", "xmp", "--field", "shop=my:title"], "prefixes: dc, xmp, xmpRights, photoshop, Iptc4xmpCore"),
        (["--sidecar", "xmp", "--field", "shop=dc:titel"], "dc:titel: the Dublin Core does not have this property"),
        (["--sidecar", "xmp", "--field", "shop=exif:Flash"], "consists of others"),
        (["--sidecar", "xmp", "--field", "shop=dc:title", "--schema-multi"], "needs a schema of one object"),
        (["--write-metadata", "--field", "date=xmp:CreateDate", "--existing", "append"], "can only hold one date"),
        (["--existing", "skip"], "--existing does nothing without"),
        (["--sidecar", "xmp", "--write-metadata", "--field", "shop=dc:title"], "cannot be used together"),
    ],
)
def test_what_cannot_be_written_is_said_before_a_model_is_looked_for(words, says):
    done = vlm(None, "extract", SCENE, "--schema", A, "-m", "no-such-model-anywhere", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_keywords_are_an_option_of_other_verbs():
    done = vlm(None, "extract", SCENE, "--schema", A, "--sidecar", "xmp", "--keywords")
    assert (done.returncode, "--keywords" in done.stderr) == (2, True)


def values(found, *pairs):
    """What an answer's fields are as values of properties, by the properties' names."""
    texts = ((name, properties.named(what)) for name, _, what in (pair.partition("=") for pair in pairs))
    return {str(what): held for what, held in fields.values(json.dumps(found), list(texts)).items()}


def test_fields_are_text_as_xmp_has_it():
    found = {"n": 3, "f": 1e20, "b": False, "s": " ä ", "l": ["a", None, 2, " "], "o": {"k": ["ö"]}, "e": []}
    names = ("xmp:Rating", "xmp:Label", "xmpRights:Marked", "dc:title", "dc:subject", "xmp:Nickname", "dc:creator")
    pairs = [f"{field}={name}" for field, name in zip(found, names, strict=True)]
    assert values(found, *pairs, "missing=dc:rights") == {
        "xmp:Rating": ["3"], "xmp:Label": ["1e+20"], "xmpRights:Marked": ["False"], "dc:title": ["ä"],
        "dc:subject": ["a", "2"], "xmp:Nickname": ['{"k": ["ö"]}'],
    }  # fmt: skip
    assert values(found, "n=dc:subject", "l=dc:subject", "s=dc:title", "n=dc:title") == {
        "dc:subject": ["3", "a", "2"], "dc:title": ["ä; 3"],
    }  # fmt: skip
    assert values([1], "n=dc:title") == {}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a": ["2026", "2025"]}', "several dates for xmp:CreateDate"),
        ('{"a": "yesterday"}', "a is not a date that xmp:CreateDate can hold: yesterday"),
    ],
)
def test_what_is_no_value_is_an_error(answer, says):
    what = [("a", properties.named("xmp:CreateDate"))]
    assert fields.has_any(answer, what)
    with pytest.raises(VlmError, match=says):
        fields.values(answer, what)
