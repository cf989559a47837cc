"""Descriptions in XMP sidecar files, with what other programs have written kept."""

import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from vlmcli import xmp
from vlmcli.errors import VlmError

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


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (b"", "not an XMP file"),
        (b"hello", "not an XMP file"),
        (b"<svg/>", "XML, but no XMP"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "with entities"),
        (b" " * (17 << 20), "too long"),
    ],
)
def test_what_is_no_packet_is_named_and_left_alone(packet, says):
    for call in (lambda: xmp.description(packet, "a.xmp"), lambda: xmp.described(packet, "x", "a.xmp")):
        with pytest.raises(VlmError) as caught:
            call()
        assert says in caught.value.message
        assert "a.xmp" in caught.value.message


def test_control_codes_are_left_out():
    assert xmp.description(xmp.described(None, "a\x00b\x1bc\td", "a.xmp"), "a.xmp") == "abc\td"


def test_exiftool_reads_it_back(tmp_path):
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed (libimage-exiftool-perl)")
    for old in (None, OTHER):
        path = tmp_path / "a.xmp"
        path.write_bytes(xmp.described(old, "A cat on a sofa.", "a.xmp"))
        command = [tool, "-Description", "-Subject", "-Rating", "-s3", path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == ["A cat on a sofa."] + (["cat, sofa", "4"] if old else [])
