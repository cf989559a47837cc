"""Descriptions and keywords in XMP packets, with what other programs have written kept."""

import shutil
import subprocess
from random import Random
from xml.etree import ElementTree

import pytest

from vlmcli.errors import VlmError
from vlmcli.pictures import xmp

OTHER = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.57'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
 <rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:xmp='http://ns.adobe.com/xap/1.0/'
   xmlns:mine='http://example.org/mine/' xmp:Rating='4' mine:odd='yes'>
  <dc:subject><rdf:Bag><rdf:li>cat</rdf:li><rdf:li>sofa</rdf:li></rdf:Bag></dc:subject>
  <dc:description><rdf:Alt><rdf:li xml:lang='de'>Katze</rdf:li><rdf:li xml:lang='x-default'>old</rdf:li></rdf:Alt>
  </dc:description>
  <mine:tree><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></mine:tree>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>""".encode()
TEXT = 'A "cat" & a <dog>,\näöü 🐈'


def test_a_new_packet_has_the_description():
    packet = xmp.described(None, TEXT, "a.xmp")
    assert xmp.description(packet, "a.xmp") == TEXT
    assert packet.startswith(b"<?xpacket begin=")
    assert xmp.described(packet, TEXT, "a.xmp") == packet


def test_what_others_wrote_is_kept():
    packet = xmp.described(OTHER, TEXT, "a.xmp")
    assert xmp.description(packet, "a.xmp") == TEXT

    def rest(raw):
        """Everything but the description's default."""
        root = ElementTree.fromstring(raw)
        return [
            (one.tag, one.attrib, (one.text or "").strip())
            for one in root.iter()
            if one.get(xmp.LANGUAGE) != "x-default"
        ]

    assert rest(packet) == rest(OTHER)
    assert b"xmlns:mine=" in packet
    assert b"Katze" in packet


HEAD = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
DESCRIPTION = (
    "<rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:n='http://example.org/n/'"
)
TAIL = "</rdf:RDF></x:xmpmeta>"
REGION = (
    "<n:region><rdf:Description><dc:subject><rdf:Bag><rdf:li>face</rdf:li></rdf:Bag></dc:subject>"
    "<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>a face</rdf:li></rdf:Alt></dc:description>"
    "</rdf:Description></n:region>"
)


def packet_with(*inner):
    """A packet whose rdf:Description elements hold these."""
    return (HEAD + "".join(f"{DESCRIPTION}{one}</rdf:Description>" for one in inner) + TAIL).encode()


def array(kind, *words):
    return f"<dc:subject><rdf:{kind}>{''.join(f'<rdf:li>{word}</rdf:li>' for word in words)}</rdf:{kind}></dc:subject>"


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (OTHER, ("cat", "sofa")),
        (packet_with(">" + array("Bag", " cat ", "", "cat", "a &amp; b")), ("cat", "a & b")),
        (packet_with(">" + array("Seq", "cat", "sofa")), ("cat", "sofa")),
        (
            packet_with(">" + array("Bag", "cat"), " n:a='1'/><rdf:Description>", ">" + array("Bag", "sofa", "cat")),
            None,
        ),
        (packet_with("><dc:subject>cat</dc:subject>"), ("cat",)),
        (packet_with(" dc:subject='cat'>"), ("cat",)),
        (packet_with(">" + array("Bag", "<rdf:Description><rdf:value>cat</rdf:value></rdf:Description>")), ("cat",)),
        (packet_with("><dc:subject/>"), ()),
        (packet_with("><n:a>1</n:a>"), ()),
        (packet_with(">" + REGION), ()),
        ((HEAD + TAIL).encode(), ()),
    ],
)
def test_keywords_are_read_and_replaced(packet, words):
    words = ("cat", "sofa") if words is None else words
    assert xmp.subjects(packet, "a.xmp") == words
    new = xmp.with_subjects(packet, ["dog", "äöü <🐈>"], "a.xmp")
    assert xmp.subjects(new, "a.xmp") == ("dog", "äöü <🐈>")
    assert xmp.with_subjects(new, ["dog", "äöü <🐈>"], "a.xmp") == new
    assert xmp.description(new, "a.xmp") == xmp.description(packet, "a.xmp")

    def rest(raw):
        """Everything but the packet's own keywords."""
        root = ElementTree.fromstring(raw)
        for about in root.findall(f".//{{{xmp.RDF}}}RDF/{{{xmp.RDF}}}Description"):
            about.attrib.pop(f"{{{xmp.DC}}}subject", None)
            for held in about.findall(f"{{{xmp.DC}}}subject"):
                about.remove(held)
        return [(one.tag, one.attrib, (one.text or "").strip()) for one in root.iter()]

    if b"rdf:about" in packet:
        assert rest(new) == rest(packet)
    none = xmp.with_subjects(packet, [], "a.xmp")
    assert rest(none) == rest(packet)
    assert xmp.subjects(none, "a.xmp") == ()


def test_keywords_are_a_bag_of_words_that_differ():
    new = xmp.with_subjects(None, ["a\n b", " ", "", "a b", "x\x00\ufffe\ud800y"], "a.xmp")
    assert xmp.subjects(new, "a.xmp") == ("a b", "x?y")
    assert ElementTree.fromstring(new).find(f".//{{{xmp.DC}}}subject/{{{xmp.RDF}}}Bag") is not None
    both = xmp.described(new, TEXT, "a.xmp")
    assert (xmp.subjects(both, "a.xmp"), xmp.description(both, "a.xmp")) == (("a b", "x?y"), TEXT)


@pytest.mark.parametrize("own", [" dc:description='old'>", "><dc:description>old</dc:description>"])
def test_a_description_in_a_short_form_is_read_and_replaced(own):
    packet = packet_with(">", own)
    assert xmp.description(packet, "a.xmp") == "old"
    new = xmp.described(packet, "new", "a.xmp")
    assert xmp.description(new, "a.xmp") == "new"
    assert b"old" not in new


def test_the_description_of_a_region_is_its_own():
    packet = packet_with(">" + REGION)
    assert xmp.description(packet, "a.xmp") == ""
    new = xmp.described(packet, "new", "a.xmp")
    assert xmp.description(new, "a.xmp") == "new"
    assert b"a face" in new


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (b"", "not an XMP file"),
        (b"hello", "not an XMP file"),
        (b"<svg/>", "XML, but not XMP"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "with entities"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode("utf-16"), "with entities"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "not an XMP file"),
        (b'<?xml version="1.0" encoding="shift_jis"?><a/>', "not an XMP file"),
        (b" " * (17 << 20), "too long"),
    ],
)
def test_what_is_no_packet_is_named_and_left_alone(packet, says):
    calls = (
        lambda: xmp.description(packet, "a.xmp"),
        lambda: xmp.described(packet, "x", "a.xmp"),
        lambda: xmp.subjects(packet, "a.xmp"),
        lambda: xmp.with_subjects(packet, ["x"], "a.xmp"),
    )
    for call in calls:
        with pytest.raises(VlmError) as caught:
            call()
        assert says in caught.value.message
        assert "a.xmp" in caught.value.message


def test_control_codes_are_left_out():
    assert xmp.description(xmp.described(None, "a\x00b\x1bc\td", "a.xmp"), "a.xmp") == "abc\td"


def test_what_is_nested_too_deep_is_an_error():
    packet = packet_with(">" + "<n:a>" * 20_000 + "</n:a>" * 20_000)
    assert xmp.subjects(packet, "a.xmp") == ()
    with pytest.raises(VlmError, match=r"a\.xmp: the XMP is nested too deeply"):
        xmp.described(packet, "x", "a.xmp")


def test_damaged_packets_are_read_or_named():
    chance = Random(7)  # the same each time
    read = 0
    for _ in range(3000):
        packet = bytearray(OTHER)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(packet))
            packet[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 2))
        try:
            new = xmp.with_subjects(xmp.described(bytes(packet), "x", "a.xmp"), ["y"], "a.xmp")
        except VlmError as error:
            assert "a.xmp" in error.message
        else:
            read += 1
            assert (xmp.description(new, "a.xmp"), xmp.subjects(new, "a.xmp")) == ("x", ("y",))
    assert read > 50


def test_exiftool_reads_it_back(tmp_path):
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed (libimage-exiftool-perl)")
    for old in (None, OTHER):
        path = tmp_path / "a.xmp"
        packet = xmp.described(old, "A cat on a sofa.", "a.xmp")
        command = [tool, "-Description", "-Subject", "-Rating", "-s3", path]
        for words in ("cat, sofa" if old else "", "dog, red sofa"):
            path.write_bytes(packet)
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert done.stdout.splitlines() == ["A cat on a sofa.", *[words] * bool(words), *["4"] * bool(old)]
            packet = xmp.with_subjects(packet, ["dog", "red sofa"], "a.xmp")


def test_a_description_in_other_languages_stays_beside_the_new_one():
    packet = xmp.described(None, "a cat", "a").replace(b'"x-default">a cat', b'"de">eine Katze')
    assert xmp.description(packet, "a") == "eine Katze"
    found = xmp.described(packet, "a black cat", "a")
    assert xmp.description(found, "a") == "a black cat"
    assert b"eine Katze" in found
