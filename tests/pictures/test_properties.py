"""Properties of XMP by name: what each holds, and how it is written into a packet and read from it."""

import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from vlmcli.errors import UsageError
from vlmcli.pictures import properties, xmp
from vlmcli.pictures.properties import named

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
HEAD = (
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    "<rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:xap='http://ns.adobe.com/xap/1.0/'"
    " xmlns:n='http://example.org/n/' n:kept='yes'"
)
TAIL = "</rdf:Description></rdf:RDF></x:xmpmeta>"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dc:title", "Alt"), ("dc:description", "Alt"), ("dc:rights", "Alt"), ("dc:subject", "Bag"),
        ("dc:publisher", "Bag"), ("dc:contributor", "Bag"), ("dc:language", "Bag"), ("dc:relation", "Bag"),
        ("dc:type", "Bag"), ("dc:creator", "Seq"), ("dc:date", "Seq"), ("dc:source", ""), ("xmp:CreateDate", ""),
        ("photoshop:Headline", ""), ("exif:LensModel", ""), ("tiff:Make", ""), ("xmpRights:UsageTerms", "Alt"),
        ("Iptc4xmpCore:Location", ""), ("Iptc4xmpExt:PersonInImage", "Bag"), ("xmp:Label", ""),
    ],
)  # fmt: skip
def test_a_property_is_written_as_what_it_holds_and_read_again(name, kind):
    what = named(name)
    texts = ["b & <c>", "a"] if what.is_list else ["b & <c>\nä"]
    packet = xmp.with_values(None, what, texts, "a.xmp")
    assert xmp.values(packet, what, "a.xmp") == tuple(texts)
    assert xmp.with_values(packet, what, texts, "a.xmp") == packet
    (about,) = ElementTree.fromstring(packet).iter(f"{{{RDF}}}Description")
    (held,) = about
    assert held.tag == f"{{{properties.SPACES[name.partition(':')[0]]}}}{name.partition(':')[2]}"
    assert [one.tag for one in held] == ([f"{{{RDF}}}{kind}"] if kind else [])
    if kind == "Alt":
        assert [one.get(xmp.LANGUAGE) for one in held[0]] == ["x-default"]
    assert f"<{name}>".encode() in packet


@pytest.mark.parametrize(
    ("own", "name", "old"),
    [
        (" xap:CreateDate='2020'>", "xmp:CreateDate", ("2020",)),
        ("><xap:CreateDate>2020</xap:CreateDate>", "xmp:CreateDate", ("2020",)),
        ("><xap:CreateDate/>", "xmp:CreateDate", ()),
        ("><dc:title>old</dc:title>", "dc:title", ("old",)),
        ("><dc:title><rdf:Alt><rdf:li xml:lang='x-default'>old</rdf:li></rdf:Alt></dc:title>", "dc:title", ("old",)),
        ("><dc:creator><rdf:Bag><rdf:li>x</rdf:li><rdf:li>y</rdf:li></rdf:Bag></dc:creator>", "dc:creator", ("x", "y")),
        ("><dc:creator>x</dc:creator>", "dc:creator", ("x",)),
        (">", "photoshop:City", ()),
    ],
)
def test_a_property_in_any_form_is_read_and_replaced_and_the_rest_stays(own, name, old):
    what = named(name)
    packet = f"{HEAD}{own}{TAIL}".encode()
    assert xmp.values(packet, what, "a.xmp") == old
    new = xmp.with_values(packet, what, ["2021"], "a.xmp")
    assert xmp.values(new, what, "a.xmp") == ("2021",)
    assert b"old" not in new
    assert b"2020" not in new
    (about,) = ElementTree.fromstring(new).iter(f"{{{RDF}}}Description")
    assert about.get("{http://example.org/n/}kept") == "yes"
    assert len(about) == 1


def test_a_title_in_other_languages_stays_beside_the_new_one():
    own = "><dc:title><rdf:Alt><rdf:li xml:lang='de'>Laden</rdf:li></rdf:Alt></dc:title>"
    new = xmp.with_values(f"{HEAD}{own}{TAIL}".encode(), named("dc:title"), ["Shop"], "a")
    assert xmp.values(new, named("dc:title"), "a") == ("Shop",)
    assert b'xml:lang="de">Laden' in new


def test_a_prefix_that_a_packet_uses_for_something_else_stays_its_own():
    own = f"{HEAD} xmlns:exif='http://example.org/other/' exif:a='1'>{TAIL}".encode()
    new = xmp.with_values(own, named("exif:LensModel"), ["50 mm"], "a")
    assert xmp.values(new, named("exif:LensModel"), "a") == ("50 mm",)
    assert ElementTree.fromstring(new)[0][0].get("{http://example.org/other/}a") == "1"
    assert b"<exif:LensModel>" in xmp.with_values(None, named("exif:LensModel"), ["50 mm"], "a")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title", "title: not a property of XMP"),
        ("", "not a property of XMP"),
        ("dc:", "dc:: not a property of XMP"),
        ("dc:a b", "not a property of XMP"),
        ("dc:<a>", "not a property of XMP"),
        ("xmpMM:DocumentID", "not a property of XMP"),
        ("DC:title", "not a property of XMP"),
        ("dc:Title", "the Dublin Core does not have this property"),
        ("Iptc4xmpExt:LocationShown", "consists of others"),
    ],
)
def test_what_is_no_property_is_said(text, says):
    with pytest.raises(UsageError) as caught:
        named(text)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("2026", True), ("2026-11", True), ("2026-11-29", True), ("2026-11-29T08:30", True),
        ("2026-11-29T08:30Z", True), ("2026-11-29T08:30:01.5+01:00", True), ("2026-13", False), ("2026-11-32", False),
        ("26", False), ("2026-11-29 08:30", False), ("29.11.2026", False), ("2026-11-29T25:00", False), ("", False),
        ("2026-11-29T08", False), ("\u0662\u0660\u0662\u0666", False),
    ],
)  # fmt: skip
def test_dates_are_those_of_xmp(text, good):
    assert properties.is_date(text) is good


def test_exiftool_reads_properties_back(tmp_path):
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed (libimage-exiftool-perl)")
    packet = None
    for name, texts in (
        ("dc:title", ["A shop"]),
        ("dc:creator", ["x", "y"]),
        ("xmp:CreateDate", ["2026-11-29"]),
        ("xmpRights:Marked", ["True"]),
        ("Iptc4xmpExt:PersonInImage", ["Mum"]),
    ):
        packet = xmp.with_values(packet, named(name), texts, "a")
    (tmp_path / "a.xmp").write_bytes(packet)
    tags = ("-Title", "-Creator", "-CreateDate", "-Marked", "-PersonInImage", "-Warning")
    command = [tool, *tags, "-s3", tmp_path / "a.xmp"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["A shop", "x, y", "2026:11:29", "True", "Mum"]
