"""XMP packets within pictures' files: the picture, and all else that is in the file, stays as it was."""

import io
import json
import shutil
import struct
import subprocess
import time
import zlib
from random import Random

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from vlmcli.errors import VlmError
from vlmcli.pictures import embedded, xmp
from vlmcli.pictures.properties import SPACES

PACKET = xmp.with_subjects(xmp.described(None, "A cat.", "a"), ["cat", "sofa"], "a")
OLD = xmp.described(None, "old", "a") + b" " * 301
TRAILER = b"\xff\xd8 a film \xff\xd9 that follows"
JPEG_MARK, FURTHER = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
GUID = b"0123456789ABCDEF0123456789ABCDEF"


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pictures():
    """Name: a small file; of each format several, with and without a packet."""
    scene = Image.effect_mandelbrot((45, 31), (-2, -1.5, 1, 1.5), 40).convert("RGB")
    clear = scene.convert("RGBA")
    clear.putalpha(scene.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a")
    text.add_itxt("XML:com.adobe.xmp", OLD.decode(), zip=True)
    more = {"save_all": True, "append_images": [scene.rotate(90), scene.rotate(180)]}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = saved(scene, "JPEG")
    return {
        "plain.jpg": plain,
        "exif.jpg": saved(scene, "JPEG", exif=exif, icc_profile=profile, comment=b"hello"),
        "progressive.jpg": saved(scene, "JPEG", progressive=True),
        "cmyk.jpg": saved(scene.convert("CMYK"), "JPEG"),
        "has.jpg": saved(scene, "JPEG", exif=exif, xmp=OLD),
        "several.jpg": saved(scene, "MPO", exif=exif, **more),
        "bare.jpg": plain[:2] + plain[20:],  # without JFIF
        "filled.jpg": plain[:20] + b"\xff\xff" + plain[20:],
        "plain.png": saved(scene, "PNG"),
        "palette.png": saved(scene.convert("P"), "PNG", transparency=3, exif=exif),
        "moving.png": saved(scene, "PNG", **more),
        "has.png": saved(clear, "PNG", pnginfo=text),
        "late.png": with_chunk(saved(clear, "PNG"), b"XML:com.adobe.xmp\0\0\0\0\0" + OLD, late=True),
        "lossy.webp": saved(scene, "WEBP"),
        "lossless.webp": saved(scene, "WEBP", lossless=True),
        "clear-lossless.webp": saved(clear, "WEBP", lossless=True),
        "clear-lossy.webp": saved(clear, "WEBP"),
        "moving.webp": saved(scene, "WEBP", **more),
        "exif.webp": saved(scene, "WEBP", exif=exif, icc_profile=profile),
        "has.webp": saved(clear, "WEBP", exif=exif, xmp=OLD),
    }


def with_chunk(png, contents, late=False):
    """A PNG with an iTXt chunk right before its data, or before its end."""
    at = png.index(b"IEND" if late else b"IDAT") - 4
    body = b"iTXt" + contents
    return png[:at] + struct.pack(">I", len(contents)) + body + struct.pack(">I", zlib.crc32(body)) + png[at:]


def with_segments(jpeg, *contents, at=2, marker=0xE1):
    """A JPEG with further segments there."""
    new = b"".join(struct.pack(">HH", 0xFF00 | marker, 2 + len(one)) + one for one in contents)
    return jpeg[:at] + new + jpeg[at:]


def pieces(data):
    """What a file is made of, in its order: (name, contents), and last what follows."""
    out = []
    if data[:2] == b"\xff\xd8":
        at = 2
        while (kind := data[at + 1]) != 0xDA:
            if kind == 0xFF:
                at += 1
                continue
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            out.append((kind, data[at + 4 : end]))
            at = end
    elif data[:4] == b"RIFF":
        at, end = 12, 8 + int.from_bytes(data[4:8], "little")
        while at < end:
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            out.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
            at += 8 + size + size % 2
        assert at == end
    else:
        at = 8
        while not out or out[-1][0] != b"IEND":
            size, kind = struct.unpack_from(">I4s", data, at)
            body = data[at + 8 : at + 8 + size]
            assert zlib.crc32(kind + body) == int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
            out.append((kind, body))
            at += 12 + size
    return [*out, ("rest", data[at:])]


def is_packet(piece):
    return piece[0] == b"XMP " or piece[1].startswith((JPEG_MARK, b"XML:com.adobe.xmp\0"))


def others(data):
    """The pieces that hold no packet; a VP8X only as far as it does not tell of one."""
    found = [piece for piece in pieces(data) if not is_packet(piece)]
    if found[0][0] == b"VP8X":
        found[0] = (b"VP8X", bytes([found[0][1][0] & ~4]) + found[0][1][1:])
    return found


def frames(data):
    """(mode, size, pixels) of each frame of a picture."""
    with Image.open(io.BytesIO(data)) as image:
        out = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            out.append((image.mode, image.size, image.tobytes()))
        return out


FILES = pictures()
HAVE = {"has.jpg", "has.png", "late.png", "has.webp"}
each = pytest.mark.parametrize("name", FILES)


@each
@pytest.mark.parametrize("trailer", [b"", TRAILER])
def test_a_packet_goes_in_and_all_else_stays(name, trailer):
    data = FILES[name] + trailer
    assert embedded.packet_of(data, name) == (OLD if name in HAVE else None)
    new = embedded.with_packet(data, PACKET, name)
    assert embedded.packet_of(new, name) == PACKET
    assert sum(map(is_packet, pieces(new))) == 1
    before, after = others(data), others(new)
    if after[0][0] == b"VP8X" and before[0][0] != b"VP8X":
        del after[0]
    assert after == before
    assert new.endswith(trailer)
    assert frames(new) == frames(data)
    assert embedded.with_packet(new, PACKET, name) == new
    again = embedded.with_packet(new, OLD[:-1], name)  # of another length, odd and even
    assert embedded.packet_of(again, name) == OLD[:-1]
    assert embedded.with_packet(again, PACKET, name) == new
    with Image.open(io.BytesIO(new)) as image:  # another reader
        found = image.info["xmp"]
    assert (found if isinstance(found, bytes) else found.encode()) == PACKET


@each
def test_exiftool_reads_the_packet(name, tmp_path):
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed (libimage-exiftool-perl)")
    path = tmp_path / name
    path.write_bytes(embedded.with_packet(FILES[name], PACKET, name))
    command = [tool, "-XMP-dc:Description", "-XMP-dc:Subject", "-validate", "-warning", "-j", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)[0]
    assert (said["Description"], said["Subject"]) == ("A cat.", ["cat", "sofa"])
    path.write_bytes(FILES[name])
    before = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]
    if name not in HAVE:
        assert ("Warning" in said) == ("Warning" in before)


def test_what_exiftool_wrote_is_replaced(tmp_path):
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed (libimage-exiftool-perl)")
    for name in ("exif.jpg", "several.jpg", "palette.png", "lossless.webp", "moving.webp"):
        path = tmp_path / name
        path.write_bytes(FILES[name])
        command = [tool, "-q", "-XMP-dc:Subject=dog", "-XMP-dc:Description=A dog.", "-XMP-xmp:Rating=4", path]
        subprocess.run(command, check=True)
        data = path.read_bytes()
        old = embedded.packet_of(data, name)
        assert (xmp.description(old, name), xmp.subjects(old, name)) == ("A dog.", ("dog",))
        new = embedded.with_packet(data, xmp.with_subjects(old, ["cat", "sofa"], name), name)
        assert frames(new) == frames(FILES[name])
        path.write_bytes(new)
        command = [tool, "-XMP-dc:Description", "-XMP-dc:Subject", "-Rating", "-s3", path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == ["A dog.", "cat, sofa", "4"]


# --- JPEG ---


def test_a_packet_comes_after_jfif_and_exif():
    kinds = [piece[0] for piece in pieces(embedded.with_packet(FILES["exif.jpg"], PACKET, "a.jpg"))]
    assert kinds[:4] == [0xE0, 0xE1, 0xE1, 0xE2]
    assert pieces(embedded.with_packet(FILES["bare.jpg"], PACKET, "a.jpg"))[0] == (0xE1, JPEG_MARK + PACKET)


def test_a_packet_that_comes_after_an_index_of_pictures_moves_them():
    data = FILES["several.jpg"]
    at = data.index(b"MPF\0") - 4
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    first = data.index(b"\xff\xe1")
    exif = data[first : first + 2 + int.from_bytes(data[first + 2 : first + 4], "big")]
    late = bytearray(data[:first] + data[first + len(exif) : end] + exif + data[end:])
    base = late.index(b"MPF\0") + 4
    order = "<" if late[base : base + 2] == b"II" else ">"
    field = late.index(struct.pack(order + "HH", 0xB002, 7), base)
    size, where = struct.unpack_from(order + "II", late, field + 4)
    for place in range(base + where + 8 + 16, base + where + size, 16):  # the Exif is between them, now
        struct.pack_into(order + "I", late, place, struct.unpack_from(order + "I", late, place)[0] + len(exif))
    late = bytes(late)
    assert frames(late) == frames(data)
    new = embedded.with_packet(late, PACKET, "a.jpg")
    assert new.index(JPEG_MARK) > new.index(b"MPF\0")
    assert frames(new) == frames(data)
    assert embedded.with_packet(new, PACKET, "a.jpg") == new
    again = embedded.with_packet(new, b"<short/>", "a.jpg")
    assert frames(again) == frames(data)
    assert embedded.with_packet(again, PACKET, "a.jpg") == new
    broken = bytearray(late)
    broken[base : base + 2] = b"??"
    with pytest.raises(VlmError, match=r"a\.jpg: damaged \(its index of further pictures\)"):
        embedded.with_packet(bytes(broken), PACKET, "a.jpg")


def test_a_jpeg_has_room_for_a_segment():
    assert (
        embedded.packet_of(embedded.with_packet(FILES["plain.jpg"], b"a" * 65_502, "a.jpg"), "a.jpg") == b"a" * 65_502
    )
    with pytest.raises(VlmError, match=r"a\.jpg: 65,503 bytes of XMP do not fit into the 65,502 available"):
        embedded.with_packet(FILES["plain.jpg"], b"a" * 65_503, "a.jpg")


@pytest.mark.parametrize("form", ["n:HasExtendedXMP='%s'>", "><n:HasExtendedXMP>%s</n:HasExtendedXMP>"])
def test_extended_xmp_is_kept(form):
    start = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    main = start + b"<rdf:Description xmlns:n='http://ns.adobe.com/xmp/note/' " + (form % GUID.decode()).encode()
    main += b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    further = [FURTHER + GUID + struct.pack(">II", 12, at) + b"<map/>" for at in (0, 6)]
    data = with_segments(FILES["plain.jpg"], JPEG_MARK + main, *further, at=20)
    assert embedded.packet_of(data, "a.jpg") == main
    new = embedded.with_packet(data, xmp.described(main, "A cat.", "a.jpg"), "a.jpg")
    assert others(new) == others(data)
    assert xmp.description(embedded.packet_of(new, "a.jpg"), "a.jpg") == "A cat."
    for file, packet in ((data, PACKET), (FILES["plain.jpg"], main)):
        with pytest.raises(VlmError, match=r"a\.jpg: its Extended XMP does not belong to the new packet"):
            embedded.with_packet(file, packet, "a.jpg")
    further = [FURTHER + GUID + struct.pack(">II", 32, at) + xmp.DC.encode()[at : at + 16] for at in (0, 16)]
    data = with_segments(FILES["plain.jpg"], JPEG_MARK + main, *further, at=20)
    with pytest.raises(VlmError, match=r"a\.jpg: has its description or keywords in Extended XMP"):
        embedded.with_packet(data, main, "a.jpg")
    below = SPACES["xmpRights"]  # its name begins with that of the namespace xmp
    further = [FURTHER + GUID + struct.pack(">II", 40, 0) + f"<a xmlns:r='{below}'/>".encode()]
    data = with_segments(FILES["plain.jpg"], JPEG_MARK + main, *further, at=20)
    assert others(embedded.with_packet(data, main, "a.jpg", [SPACES["dc"], SPACES["xmp"]])) == others(data)
    with pytest.raises(VlmError, match=f"a.jpg: has properties of {below} in Extended XMP"):
        embedded.with_packet(data, main, "a.jpg", [SPACES["xmp"], below])


# --- any format ---


def test_the_same_packet_twice_becomes_one_and_two_are_left_alone():
    jpeg, png = FILES["plain.jpg"], FILES["plain.png"]
    held = b"XML:com.adobe.xmp\0\0\0\0\0"
    for one, other in (
        (with_segments(jpeg, JPEG_MARK + OLD), lambda data, new: with_segments(data, JPEG_MARK + new)),
        (with_chunk(png, held + OLD), lambda data, new: with_chunk(data, held + new, late=True)),
    ):
        new = embedded.with_packet(other(one, OLD), PACKET, "a")
        assert sum(map(is_packet, pieces(new))) == 1
        with pytest.raises(VlmError, match=r"a: has 2 XMP packets"):
            embedded.with_packet(other(one, PACKET), PACKET, "a")


def test_zeros_after_a_packet_are_none_of_it():
    data = with_segments(FILES["plain.jpg"], JPEG_MARK + PACKET + b"\0\0")
    assert embedded.packet_of(data, "a.jpg") == PACKET


@pytest.mark.parametrize(
    "contents",
    [
        b"\1\0\0\0not deflate",
        b"\1\1\0\0" + zlib.compress(OLD),
        b"\1\0\0\0" + zlib.compress(OLD)[:-9],
        b"\1\0\0\0" + zlib.compress(bytes(17 << 20)),
        b"\2\0\0\0" + OLD,
        b"\0\0\0",
        b"",
    ],
)
def test_a_packet_that_cannot_be_read_is_named_and_can_be_replaced(contents):
    data = with_chunk(FILES["plain.png"], b"XML:com.adobe.xmp\0" + contents)
    with pytest.raises(VlmError, match=r"a\.png: damaged \(its XMP\)"):
        embedded.packet_of(data, "a.png")
    assert embedded.packet_of(embedded.with_packet(data, PACKET, "a.png"), "a.png") == PACKET


def test_a_packet_of_a_wrong_checksum_is_named():
    data = FILES["late.png"]
    at = data.index(OLD)
    with pytest.raises(VlmError, match=r"a\.png: damaged \(its XMP\)"):
        embedded.packet_of(data[:at] + b"?" + data[at + 1 :], "a.png")


@pytest.mark.parametrize(
    ("name", "flags"),
    [("lossy.webp", 4), ("lossless.webp", 4), ("clear-lossless.webp", 20), ("clear-lossy.webp", 20), ("exif.webp", 44)],
)
def test_a_webp_says_what_it_has(name, flags):
    kind, head = pieces(embedded.with_packet(FILES[name], PACKET, name))[0]
    assert (kind, head) == (b"VP8X", struct.pack("<I", flags) + bytes([44, 0, 0, 30, 0, 0]))


def test_a_webp_without_its_last_padding_gets_it():
    data = FILES["exif.webp"]
    short = b"EXIF" + struct.pack("<I", 3) + b"abc"
    data = data[:4] + struct.pack("<I", len(data) + len(short) - 8) + data[8:] + short
    new = embedded.with_packet(data, PACKET, "a.webp")
    assert pieces(new)[-3:] == [(b"EXIF", b"abc"), (b"XMP ", PACKET), ("rest", b"")]
    assert embedded.with_packet(new, PACKET, "a.webp") == new


def chunk(kind, contents=b""):
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))


def riff(*chunks):
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(one)) + one + bytes(len(one) % 2) for kind, one in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a JPEG, PNG or WebP"),
        (b"GIF89a", "not a JPEG, PNG or WebP"),
        (saved(Image.new("L", (9, 9)), "TIFF"), "not a JPEG, PNG or WebP"),
        (b"RIFF\4\0\0\0WAVE", "not a JPEG, PNG or WebP"),
        (b"\xff\xd8", "no JPEG segment at byte 2"),
        (b"\xff\xd8\xff\xd9", "no JPEG segment at byte 2"),
        (b"\xff\xd8\xff\xe1\0\1", "no JPEG segment at byte 2"),
        (b"\xff\xd8" + b"\xff\xe3\0\2" * 200_001 + b"\xff\xda", "more than 200,000 pieces"),
        (FILES["plain.png"][:8] + chunk(b"IDAT") + chunk(b"IEND"), "no PNG chunk at byte 8"),
        (FILES["plain.png"][:33] + chunk(b"IEND"), "no PNG chunk at byte 45"),
        (riff(), "no WebP chunk at byte 12"),
        (riff((b"XMP ", b"")), "no WebP chunk at byte 12"),
        (riff((b"VP8 ", b"a")) + b"x", "its size"),
        (riff((b"VP8 ", b"abc\x9d\x01\x2a\0\0\0\0")), "its size"),
        (riff((b"VP8X", b"a")), "its VP8X chunk"),
    ],
)
def test_what_cannot_be_written_into_is_named(data, says):
    with pytest.raises(VlmError) as caught:
        embedded.with_packet(data, PACKET, "a.pic")
    assert says in caught.value.message
    assert caught.value.message.startswith("a.pic: ")
    assert caught.value.hint


def is_read_or_named(data):
    """Whether a packet is read from and put into such a file; VlmError otherwise, that names it; nothing takes long."""
    begun = time.perf_counter()
    done = 0
    for call in (embedded.packet_of, lambda data, name: embedded.with_packet(data, PACKET, name)):
        try:
            found = call(data, "a.pic")
        except VlmError as error:
            assert error.message.startswith("a.pic: ")
        else:
            assert found is None or isinstance(found, bytes)
            done += 1
    if done == 2:
        assert embedded.packet_of(found, "a.pic") == PACKET
        assert embedded.with_packet(found, PACKET, "a.pic") == found
    assert time.perf_counter() - begun < 2
    return done == 2


@each
def test_every_beginning_of_a_file_is_read_or_named(name):
    data = FILES[name]
    for size in range(len(data)):
        whole = is_read_or_named(data[:size])
        assert not (whole and name.endswith((".png", ".webp"))), size


@each
def test_damaged_files_are_read_or_named(name):
    chance = Random(name)  # the same each time
    read = 0
    for _ in range(1500):
        data = bytearray(FILES[name])
        for _ in range(chance.randint(1, 4)):
            at = int(len(data) * chance.random() ** 3)  # more often where the headers are
            data[at : at + chance.choice((0, 1, 1, 4))] = chance.randbytes(chance.choice((0, 1, 1, 4)))
        read += is_read_or_named(bytes(data))
    assert read > 5
