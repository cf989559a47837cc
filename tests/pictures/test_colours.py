"""Colours that a file gives in numbers or by a profile become sRGB, against references written down here.

The matrices are those that textbooks print (linear light, both of D65), and not computed as the code does it.
"""

import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.support.files import array, of, write
from vlmcli.pictures import images

STEPS = np.array([0, 12, 60, 128, 180, 230, 255], np.uint8)
COLOURS = np.stack(np.meshgrid(STEPS, STEPS, STEPS), -1).reshape(7, 49, 3)

TO_SRGB = {
    "P3": [[1.2249401, -0.2249402, 0], [-0.0420569, 1.0420571, 0], [-0.0196376, -0.0786507, 1.0982882]],
    "2020": [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
    "Adobe": [[1.3983557, -0.3983557, 0], [0, 1, 0], [0, -0.0429294, 1.0429294]],
    "sRGB": np.eye(3),
}  # fmt: skip
P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
WIDE = (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
SRGB = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
ADOBE = (0.3127, 0.3290, 0.640, 0.330, 0.210, 0.710, 0.150, 0.060)


def encoded(light):
    """SRGB of linear light."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255


def decoded(pixels):
    """Linear light of sRGB."""
    share = pixels / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def converted(pixels, exponent, space):
    """SRGB of pixels whose light is a power of the numbers (None for sRGB's curve), in that space."""
    light = decoded(pixels) if exponent is None else (pixels / 255) ** exponent
    return encoded(light @ np.array(TO_SRGB[space]).T)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path, *chunks, pixels=COLOURS):
    """A PNG with these chunks behind its header."""
    of(pixels).save(path)
    data = path.read_bytes()
    return write(path, data[:33] + b"".join(chunks) + data[33:])


def gama(gamma):
    return chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))


def chrm(primaries):
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in primaries)))


def cicp(primaries, transfer):
    return chunk(b"cICP", bytes((primaries, transfer, 0, 1)))


def near(path, wanted, most=2):
    found = array(images.load(path)).astype(int)
    off = np.abs(found - np.rint(wanted)).max()
    assert off <= most, f"{off} levels from what it means"


PNGS = {
    "linear": ([gama(1.0)], 1.0, "sRGB"),
    "an old Macintosh": ([gama(1 / 1.8)], 1.8, "sRGB"),
    "dark": ([gama(0.3)], 1 / 0.3, "sRGB"),
    "P3 by its numbers": ([chrm(P3)], None, "P3"),
    "usual gamma, P3": ([gama(0.45455), chrm(P3)], None, "P3"),
    "Adobe RGB by its numbers": ([gama(256 / 563), chrm(ADOBE)], None, "Adobe"),
    "linear BT.2020": ([gama(1.0), chrm(WIDE)], 1.0, "2020"),
    "usual": ([gama(0.45455), chrm(SRGB)], None, "sRGB"),
    "sRGB chunk wins": ([gama(1.0), chrm(P3), chunk(b"sRGB", b"\0")], None, "sRGB"),
    "impossible": ([gama(0.0), chrm((0.0,) * 8)], None, "sRGB"),
    "all on a line": ([chrm((0.3, 0.3, 0.2, 0.2, 0.4, 0.4, 0.5, 0.5))], None, "sRGB"),
    "cICP of P3": ([cicp(12, 13)], None, "P3"),
    "cICP wins": ([gama(1.0), cicp(1, 13)], None, "sRGB"),
    "cICP linear": ([cicp(1, 8)], 1.0, "sRGB"),
    "cICP of BT.2020 and 2.2": ([cicp(9, 4)], 2.2, "2020"),
    "cICP unspecified": ([cicp(2, 2)], None, "sRGB"),
}


@pytest.mark.parametrize("name", PNGS)
def test_a_png_is_shown_in_the_colours_it_means(tmp_path, name):
    chunks, exponent, space = PNGS[name]
    wanted = converted(COLOURS, exponent, space)
    near(png(tmp_path / "a.png", *chunks), COLOURS if (exponent, space) == (None, "sRGB") else wanted, 3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_a_gamma_counts_in_every_mode(tmp_path, mode):
    pixels = np.repeat(STEPS[None, :, None], 3, -1)
    image = Image.fromarray(pixels)
    (image.quantize(8) if mode == "P" else image.convert(mode)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    near(write(tmp_path / "a.png", data[:33] + gama(1.0) + data[33:]), converted(pixels, 1.0, "sRGB"))


def profile(primaries, gamma, name=b"mine"):
    """An ICC profile (version 2) of three primaries and a power: its white is D50, to which they are adapted."""
    x, y = primaries[::2], primaries[1::2]
    xyz = [np.array([a / b, 1, (1 - a - b) / b]) for a, b in zip(x, y, strict=True)]
    three = np.stack(xyz[1:], 1)
    three = three * np.linalg.solve(three, xyz[0])
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1, 0.8249])
    three = np.linalg.inv(cone) @ np.diag((cone @ d50) / (cone @ xyz[0])) @ cone @ three
    fixed = lambda values: b"".join(struct.pack(">i", round(value * 65536)) for value in values)  # noqa: E731
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + bytes(79),
        b"wtpt": b"XYZ " + bytes(4) + fixed(d50),
    }
    tags |= {name: b"XYZ " + bytes(4) + fixed(three[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = (
        struct.pack(">I4sI", at + len(body), bytes(4), 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    )
    return (head + fixed(d50)).ljust(128, b"\0") + table + body


PROFILES = {"Display P3": (P3, 2.2, "P3"), "Adobe RGB": (ADOBE, 563 / 256, "Adobe"), "BT.2020": (WIDE, 2.4, "2020")}


@pytest.mark.parametrize("kind", ["png", "tif", "webp"])
@pytest.mark.parametrize("name", PROFILES)
def test_a_wide_gamut_by_its_profile_becomes_srgb(tmp_path, name, kind):
    primaries, gamma, space = PROFILES[name]
    path = tmp_path / f"a.{kind}"
    how = {"lossless": True} if kind == "webp" else {}
    of(COLOURS).save(path, icc_profile=profile(primaries, gamma), **how)
    near(path, converted(COLOURS, gamma, space), 4)


def test_a_linear_profile_that_calls_itself_srgb_is_believed_in_its_curve(tmp_path):
    of(COLOURS).save(tmp_path / "a.png", icc_profile=profile(SRGB, 1.0, b"sRGB-elle-V2-g10.icc"))
    near(tmp_path / "a.png", converted(COLOURS, 1.0, "sRGB"), 4)


def grey_field(value):
    return np.full((32, 32, 3), value, np.uint8)


def with_codes(path, primaries, transfer):
    """An AVIF's or HEIC's `colr` box says these code points of H.273."""
    data = path.read_bytes()
    at = data.index(b"colrnclx") + 8
    write(path, data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :])


# Known points: white of a page is 203 cd/m², which is PQ 0.5807 and, on a screen of 1,000 cd/m², HLG 0.75 (BT.2408).
# x = light / white is shown as x (1 + x / 4.926²) / (1 + x) of white: Chromium's tone map.
BRIGHT = {
    "PQ white": (16, 148, 191), "PQ peak": (16, 192, 255), "PQ black": (16, 0, 0), "PQ of 20 cd/m²": (16, 89, 85),
    "HLG white": (18, 191, 191), "HLG peak": (18, 255, 255), "HLG black": (18, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["png", "avif", "heic"])
@pytest.mark.parametrize("name", BRIGHT)
def test_high_dynamic_range_is_brought_into_that_of_a_screen(tmp_path, name, kind):
    transfer, code, wanted = BRIGHT[name]
    path = tmp_path / f"a.{kind}"
    if kind == "png":
        png(path, cicp(9, transfer), pixels=grey_field(code))
    elif kind == "avif":
        of(grey_field(code)).save(path, quality=100, subsampling="4:4:4")
        with_codes(path, 9, transfer)
    else:
        pillow_heif.from_pillow(of(grey_field(code))).save(path, quality=100)
        with_codes(path, 9, transfer)
    near(path, np.full((32, 32, 3), wanted), 6)


def test_colours_of_high_dynamic_range_are_those_of_bt2020(tmp_path):
    """A red of BT.2020 at 203 cd/m² and its white is outside sRGB: its green and blue are cut off."""
    field = grey_field(0)
    field[..., 0] = 148
    png(tmp_path / "a.png", cicp(9, 16), pixels=field)
    red, green, blue = array(images.load(tmp_path / "a.png"))[0, 0]
    assert (green, blue) == (0, 0)
    assert abs(int(red) - round(float(encoded(0.5206 * 1.660491)))) <= 3


@pytest.mark.parametrize("kind", ["avif", "heic"])
def test_display_p3_of_a_phone_without_a_profile(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    field = grey_field(0)
    field[:] = (200, 60, 60)
    if kind == "avif":
        of(field).save(path, quality=100, subsampling="4:4:4")
    else:
        pillow_heif.from_pillow(of(field)).save(path, quality=100)
    with_codes(path, 12, 13)
    near(path, converted(field, None, "P3"), 6)


def test_adobe_rgb_by_its_mark_in_exif(tmp_path):
    """What a camera writes that has no profile: ColorSpace uncalibrated, interoperability R03 (DCF 2.0)."""
    first = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)  # where the Exif directory is
    exif = struct.pack("<HHHIIHHIII", 2, 0xA001, 3, 1, 0xFFFF, 0xA005, 4, 1, 56, 0)
    interop = struct.pack("<HHHI4sI", 1, 1, 2, 4, b"R03\0", 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + exif + interop
    field = grey_field(0)
    field[:] = (60, 200, 60)
    for marked in (True, False):
        of(field).save(tmp_path / "a.jpg", quality=100, subsampling=0, **({"exif": exif} if marked else {}))
        near(tmp_path / "a.jpg", converted(field, 563 / 256, "Adobe") if marked else field, 3)


def test_a_gain_map_is_left_out_and_the_base_picture_is_shown(tmp_path):
    """An Ultra HDR JPEG: the picture, and behind it a grey map that a bright screen adds to it."""
    base = np.kron(np.array([[60, 200], [120, 30]], np.uint8), np.ones((40, 40), np.uint8))
    of(*[base] * 3).save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[of(*[255 - base[:40, :40]] * 3)], quality=95
    )
    found = array(images.load(tmp_path / "a.jpg")).astype(int)
    assert found.shape == (80, 80, 3)
    assert np.abs(found - base[..., None]).mean() < 3
