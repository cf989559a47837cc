"""Every layout of TIFF: the pixels against a reference made with numpy, or an error that names the layout.

The reference of a combination is made from the numbers that are written, whatever the file looks like.
"""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support import tiffs
from tests.support.files import NOISE, UNDO, array, thrice
from tests.support.tiffs import tiff
from vlmcli.errors import SourceError
from vlmcli.pictures import images

WHITE_0, BLACK_0, RGB, PALETTE, MASK, CMYK, YCBCR, LAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9
HEIGHT, WIDTH = 37, 53  # no multiple of a byte, a tile or a unit of chroma
PLACES = {"one strip": {}, "strips": {"rows": 8}, "tiles": {"tile": (16, 32)}, "a large tile": {"tile": (64, 64)}}


def random(bits, samples=1, seed=0):
    """Numbers of so many bits, with the least and the greatest among them."""
    found = np.random.default_rng(seed).integers(0, 1 << bits, (HEIGHT, WIDTH, samples), np.uint64)
    found[0, 0], found[0, 1] = 0, (1 << bits) - 1
    return found


def shown(data):
    return array(images.load(data))


def eight(numbers, bits):
    """Unsigned integers as 0 to 255: those of more than 8 bits lose the lower ones."""
    if bits >= 8:
        return (numbers >> np.uint64(bits - 8)).astype(np.uint8)
    return np.rint(numbers.astype(float) * 255 / ((1 << bits) - 1)).astype(np.uint8)


def off(found, wanted):
    return np.abs(found.astype(int) - wanted).max()


def rgb(photometric, values):
    """Channels of 0 to 255 as RGB."""
    values = values.astype(int)
    if photometric == WHITE_0:
        values = 255 - values
    if photometric == CMYK:
        return np.rint((255 - values[..., :3]) * (255 - values[..., 3:]) / 255)
    return thrice(values[..., 0]) if values.shape[-1] == 1 else values


INTEGERS = [
    (photometric, bits, order, planar)
    for photometric, bits, order, planar in itertools.product(
        (WHITE_0, BLACK_0, RGB, CMYK), (1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32, 64), "<>", (False, True)
    )
    if not (planar and photometric in (WHITE_0, BLACK_0))
]


@pytest.mark.parametrize(("photometric", "bits", "order", "planar"), INTEGERS)
def test_unsigned_integers(photometric, bits, order, planar):
    numbers = random(bits, {RGB: 3, CMYK: 4}.get(photometric, 1))
    wanted = rgb(photometric, eight(numbers, bits))
    for place in PLACES.values():
        assert off(shown(tiff(numbers, photometric, bits, order=order, planar=planar, **place)), wanted) <= 1


COMPRESSED = [
    (compression, bits, predictor, order)
    for compression, bits, predictor, order in itertools.product(
        (5, 8, 32946, 32773, 34925), (1, 4, 8, 12, 16, 32), (1, 2), "<>"
    )
    if not (predictor == 2 and (bits < 8 or bits == 12 or compression == 32773))
]


@pytest.mark.parametrize(("compression", "bits", "predictor", "order"), COMPRESSED)
def test_compressions_and_the_horizontal_predictor(compression, bits, predictor, order):
    numbers = random(bits, 3)[: 18 if compression == 5 else HEIGHT]
    for planar, place in itertools.product((False, True), PLACES.values()):
        how = {"compression": compression, "predictor": predictor, "order": order, "planar": planar}
        assert off(shown(tiff(numbers, RGB, bits, **how, **place)), eight(numbers, bits)) == 0


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_bits_in_the_other_order(bits, compression):
    numbers = random(bits)
    found = shown(tiff(numbers, BLACK_0, bits, fill=2, compression=compression, rows=8))
    assert off(found, thrice(eight(numbers, bits)[..., 0])) == 0


@pytest.mark.parametrize("bits", [16, 24, 32, 64])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("photometric", [WHITE_0, BLACK_0, RGB])
def test_floats_from_0_to_1(bits, order, photometric):
    numbers = np.random.default_rng(bits).random((HEIGHT, WIDTH, 3 if photometric == RGB else 1)).astype(np.float32)
    wanted = rgb(photometric, np.rint(numbers * 255))
    if bits == 24:  # a sign, seven bits of exponent, sixteen of fraction: of a 32-bit float
        exact = numbers.view(np.uint32)
        exponent = (exact >> 23 & 255).astype(int) - 127
        numbers = np.where(exponent < -62, 0, (exponent + 63) << 16 | (exact >> 7 & 0xFFFF))
        data = [tiff(numbers, photometric, 24, order=order, tags={339: (3, [3] * numbers.shape[-1])}, rows=5)]
    else:
        data = [tiff(numbers, photometric, bits, kind="f", order=order, **place) for place in PLACES.values()]
        data += [
            tiff(numbers, photometric, bits, kind="f", order=order, compression=8, predictor=predictor, planar=planar)
            for predictor, planar in itertools.product((2, 3), (False, True))
        ]
    for one in data:
        picture = images.load(one)
        assert off(array(picture), wanted) <= 1
        assert not picture.notices


MEASURED = {
    "elevations": ("f", 32, lambda n: n * 1500 - 20, "32-bit float numbers from -20 to 1480"),
    "double": ("f", 64, lambda n: n * 1e9, "64-bit float numbers from 0 to 1e+09"),
    "half": ("f", 16, lambda n: n * 1000, "16-bit float numbers from 0 to 1000"),
    "signed bytes": ("i", 8, lambda n: np.rint(n * 100 - 50), "8-bit numbers from -50 to 50"),
    "Hounsfield units": ("i", 16, lambda n: np.rint(n * 4000 - 1000), "16-bit numbers from -1000 to 3000"),
    "signed, 32 bits": ("i", 32, lambda n: np.rint(n * 1e6 - 1e5), "32-bit numbers from -100000 to 900000"),
    "counts": ("u", 32, lambda n: np.rint(n * 70_000), "32-bit numbers from 0 to 70000"),
    "large counts": ("u", 64, lambda n: np.rint(n * 2e5), "64-bit numbers from 0 to 200000"),
}


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("photometric", [WHITE_0, BLACK_0])
def test_measurements_are_stretched_and_it_is_said(name, photometric):
    kind, bits, measure, says = MEASURED[name]
    share = np.random.default_rng(1).random((HEIGHT, WIDTH, 1))
    share[0, 0], share[0, 1] = 0, 1
    picture = images.load(tiff(measure(share), photometric, bits, kind=kind, rows=5), "m.tif")
    assert off(array(picture), rgb(photometric, np.rint(share * 255))) <= 2
    ends = "from white to black" if photometric == WHITE_0 else "from black to white"
    assert picture.notices == (f"m.tif: its {says} are shown {ends}",)


def test_pixels_without_a_number():
    numbers = np.linspace(0, 500, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    numbers[1, 1], numbers[1, 2], numbers[1, 3], numbers[2, 2] = np.nan, np.inf, -np.inf, -9999
    picture = images.load(tiff(numbers, BLACK_0, 32, kind="f", tags={42113: (2, b"-9999\0")}))
    found = array(picture)[..., 0]
    assert found[1, :4].tolist() == [round(float(numbers[1, 0]) / 500 * 255), 0, 255, 0]
    assert (found[0, 0], found[-1, -1], found[2, 2]) == (0, 255, 0)
    assert "from 0 to 500" in picture.notices[0]
    assert "without a value (4) are shown in black" in picture.notices[0]
    nothing = images.load(tiff(np.full((9, 9), np.nan), BLACK_0, 32, kind="f"))
    assert "none of its pixels has a value" in nothing.notices[0]
    same = images.load(tiff(np.full((9, 9), 7.5), BLACK_0, 32, kind="f"))
    assert "all of its 32-bit float numbers are 7.5" in same.notices[0]
    assert (array(same) == 128).all()


@pytest.mark.parametrize(("used", "said"), [(12, None), (10, None), (8, None), (3, None), (14, 16383), (12, 4095)])
@pytest.mark.parametrize("photometric", [WHITE_0, BLACK_0, RGB])
def test_fewer_bits_than_sixteen(used, said, photometric):
    numbers = random(used, 3 if photometric == RGB else 1)
    if said:  # the file knows more than its pixels show
        numbers >>= np.uint64(1)
    wanted = rgb(photometric, eight(numbers, used))
    for order in "<>":
        tags = {281: (3, [said] * numbers.shape[-1])} if said else {}
        picture = images.load(tiff(numbers, photometric, 16, order=order, tags=tags), "m.tif")
        assert off(array(picture), wanted) <= 1
        assert picture.notices == (f"m.tif: only {used} of its 16 bits are used; stretched to the full range",)


def test_a_dark_photo_stays_dark():
    numbers = random(13)
    picture = images.load(tiff(numbers, BLACK_0, 16))
    assert off(array(picture), thrice(eight(numbers, 16)[..., 0])) == 0
    assert not [text for text in picture.notices if "bits" in text]


# --- Palettes, transparency, inks ---


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize("order", "<>")
def test_palettes(bits, order):
    numbers = random(bits)
    table = np.random.default_rng(3).integers(0, 1 << 16, (3, 1 << bits), np.uint32)
    table[0, 0] = 65535
    wanted = (table >> 8).T[numbers[..., 0].astype(int)]
    for place in PLACES.values():
        found = shown(tiff(numbers, PALETTE, bits, order=order, tags={320: (3, table.ravel().tolist())}, **place))
        assert off(found, wanted) == 0
    low = shown(tiff(numbers, PALETTE, bits, order=order, tags={320: (3, (table >> 8).ravel().tolist())}))
    assert off(low, wanted) == 0  # some programs write a palette of 8 bits
    with pytest.raises(SourceError, match="its palette has 0 of"):
        images.load(tiff(numbers, PALETTE, bits, order=order, tags={320: (3, [7])}))


def on_white(colours, alpha):
    share = alpha[..., None] / 255
    return np.rint(colours * share + 255 * (1 - share))


ALPHAS = [
    (photometric, *how)
    for photometric, *how in itertools.product((WHITE_0, BLACK_0, RGB), (8, 16), (1, 2), (False, True), "<>")
    if not (photometric == WHITE_0 and how[1] == 1)  # of which TIFF 6.0 does not say what it means
]


@pytest.mark.parametrize(("photometric", "bits", "kind", "planar", "order"), ALPHAS)
def test_alpha(photometric, bits, kind, planar, order):
    """Associated (1): colours are multiplied by alpha already; unassociated (2): they are not."""
    colours = random(bits, 3 if photometric == RGB else 1).astype(float)
    alpha = random(bits, 1, 1)
    alpha[:, :9] = (1 << bits) - 1
    stored = np.rint(colours * alpha.astype(float) / ((1 << bits) - 1)) if kind == 1 else colours
    data = tiff(
        np.concatenate([stored.astype(np.uint64), alpha], -1), photometric, bits, planar=planar, order=order,
        tags={338: (3, [kind])}, rows=7,
    )  # fmt: skip
    wanted = on_white(rgb(photometric, eight(colours.astype(np.uint64), bits)), eight(alpha[..., 0], bits))
    assert off(shown(data), wanted) <= 2


def test_alpha_of_floats():
    numbers = np.random.default_rng(5).random((HEIGHT, WIDTH, 4)).astype(np.float32)
    data = tiff(numbers, RGB, 32, kind="f", tags={338: (3, [2])})
    assert off(shown(data), on_white(numbers[..., :3] * 255, numbers[..., 3] * 255)) <= 2


@pytest.mark.parametrize(("photometric", "colours"), [(BLACK_0, 1), (RGB, 3), (CMYK, 4), (PALETTE, 1)])
@pytest.mark.parametrize("more", [1, 2, 5])
def test_channels_beside_the_colours_are_left_out_and_it_is_said(photometric, colours, more):
    numbers = random(8, colours + more)
    table = {320: (3, [n << 8 for n in range(256)] * 3)} if photometric == PALETTE else {}
    for planar, tag in itertools.product((False, True), ({338: (3, [0] * more)}, {})):
        if more == 1 and photometric == RGB and not tag:
            continue  # taken for alpha
        picture = images.load(tiff(numbers, photometric, planar=planar, tags=tag | table), "m.tif")
        assert off(array(picture), rgb(photometric, eight(numbers[..., :colours], 8))) <= 1
        what = "its extra channel is" if more == 1 else f"its extra {more} channels are"
        assert picture.notices == (f"m.tif: {what} not used",)


def test_a_fourth_channel_of_which_nothing_is_said_is_alpha():
    numbers = random(8, 4).astype(int)
    assert off(shown(tiff(numbers, RGB)), on_white(numbers[..., :3], numbers[..., 3])) <= 1


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [1, 2])
def test_inks_with_alpha_lie_on_white_paper(bits, kind):
    inks, alpha = random(bits, 4), random(bits, 1, 1)
    share = alpha.astype(float) / ((1 << bits) - 1)
    stored = np.rint(inks * share).astype(np.uint64) if kind == 1 else inks
    data = tiff(np.concatenate([stored, alpha], -1), CMYK, bits, tags={338: (3, [kind])})
    assert off(shown(data), rgb(CMYK, np.rint(eight(inks, bits) * share))) <= 2


@pytest.mark.parametrize("place", PLACES)
def test_a_mask_is_white_where_it_is_set(place):
    numbers = random(1)
    assert off(shown(tiff(numbers, MASK, 1, **PLACES[place])), thrice(numbers[..., 0].astype(int) * 255)) == 0


# --- Other spaces of colour ---


def from_ycbcr(numbers, coefficients=(0.299, 0.587, 0.114), ends=(0, 255, 128, 255, 128, 255)):
    red, green, blue = coefficients
    y, b, r = (
        (numbers[..., n].astype(float) - ends[2 * n]) * scale / (ends[2 * n + 1] - ends[2 * n])
        for n, scale in enumerate((255, 127, 127))
    )
    reds, blues = y + r * 2 * (1 - red), y + b * 2 * (1 - blue)
    return np.stack([reds, (y - red * reds - blue * blues) / green, blues], -1).clip(0, 255)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (1, 2)])
@pytest.mark.parametrize("compression", [1, 5, 8])
def test_ycbcr(subsampling, compression):
    across, down = subsampling
    numbers = random(8, 3).astype(np.uint8)
    numbers[..., 1:] = numbers[::down, ::across, 1:].repeat(down, 0).repeat(across, 1)[:HEIGHT, :WIDTH]
    for place in ({}, {"rows": 8}, {"tile": (16, 32)}):
        data = tiff(numbers, YCBCR, subsampling=subsampling, compression=compression, **place)
        assert off(shown(data), from_ycbcr(numbers)) <= 1


def test_ycbcr_by_the_files_own_numbers():
    numbers = random(8, 3).astype(np.uint8)
    video, bt709 = (16, 235, 128, 240, 128, 240), (0.2126, 0.7152, 0.0722)
    how = {"subsampling": (1, 1), "tags": {529: (5, bt709), 532: (5, video)}}
    assert off(shown(tiff(numbers, YCBCR, **how)), from_ycbcr(numbers, bt709, video)) <= 1
    planar = tiff(numbers, YCBCR, planar=True, tags={530: (3, [1, 1]), 529: (5, bt709), 532: (5, video)})
    assert off(shown(planar), from_ycbcr(numbers, bt709, video)) <= 1


def lab_to_srgb(lab):
    """By LittleCMS, from L*a*b* of 8 bits with 128 added to a* and b*."""
    image = Image.frombytes("LAB", (lab.shape[1], lab.shape[0]), (lab ^ np.array([0, 128, 128], np.uint8)).tobytes())
    space = ImageCms.createProfile("LAB", 5000)
    transform = ImageCms.buildTransform(space, ImageCms.createProfile("sRGB"), "LAB", "RGB", 1, flags=0x100)  # exactly
    return np.asarray(ImageCms.applyTransform(image, transform))


@pytest.mark.parametrize(("photometric", "bits"), [(LAB, 8), (LAB, 16), (ICCLAB, 8), (ICCLAB, 16)])
def test_lab(photometric, bits):
    """Colours that sRGB has; what lies outside may be brought in differently."""
    lab = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    lab[..., 0] = np.linspace(90, 190, WIDTH)
    lab[..., 1] = np.linspace(112, 144, HEIGHT)[:, None]
    lab[..., 2] = 128 + np.rint(16 * np.sin(np.arange(WIDTH)))
    numbers = lab.astype(np.uint64)
    if bits == 16:
        numbers = numbers << np.uint64(8)
        if photometric == LAB:
            numbers[..., 0] = lab[..., 0].astype(np.uint64) * 257
    if photometric == LAB:  # with a sign
        numbers[..., 1:] ^= np.uint64(1 << (bits - 1))
    for order, planar in itertools.product("<>", (False, True)):
        assert off(shown(tiff(numbers, photometric, bits, order=order, planar=planar)), lab_to_srgb(lab)) <= 2


def test_lab_of_known_colours():
    """Of the sRGB primaries and greys, with L*a*b* of D50 as B. Lindbloom's calculator has them."""
    colours = [((54.29, 80.81, 69.89), (255, 0, 0)), ((87.82, -79.27, 80.99), (0, 255, 0)),
               ((29.57, 68.30, -112.03), (0, 0, 255)), ((100, 0, 0), (255, 255, 255)),
               ((53.585, 0, 0), (128, 128, 128)), ((0, 0, 0), (0, 0, 0))]  # fmt: skip
    numbers = np.array([[[round(L / 100 * 65535), round(a * 256) % 65536, round(b * 256) % 65536]
                         for (L, a, b), _ in colours]])  # fmt: skip
    assert off(shown(tiff(numbers, LAB, 16)), np.array([[colour for _, colour in colours]])) <= 1


# --- JPEG, faxes ---


def smooth(samples):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([(128 + 100 * np.sin((x + 20 * n) / 17 + y / (9 + n))) for n in range(samples)], -1).astype(
        np.uint8
    )


@pytest.mark.parametrize("place", ["one strip", "strips", "tiles"])
@pytest.mark.parametrize(
    ("photometric", "planar"), [(WHITE_0, 0), (BLACK_0, 0), (RGB, 0), (RGB, 1), (CMYK, 0), (CMYK, 1)]
)
def test_jpeg_whose_channels_are_stored_as_they_are(photometric, planar, place):
    numbers = smooth({RGB: 3, CMYK: 4}.get(photometric, 1))
    data = tiff(numbers, photometric, compression=7, planar=planar, **PLACES[place])
    assert off(shown(data), rgb(photometric, numbers)) <= 8


@pytest.mark.parametrize("how", [{}, {"quality": 60}])
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_jpeg_of_ycbcr_as_libtiff_writes_it(tmp_path, subsampling, how):
    """With its tables in a tag, and strips."""
    numbers = smooth(3)
    Image.fromarray(numbers).save(
        tmp_path / "a.tif", compression="jpeg", tiffinfo={530: subsampling}, strip_size=WIDTH * 3 * 16, **how
    )
    found = array(images.load(tmp_path / "a.tif"))
    with Image.open(tmp_path / "a.tif") as image:
        assert image.tag_v2[262] == YCBCR or image.tag_v2[262] == RGB
        assert off(found, np.asarray(image.convert("RGB"))) <= 1


def test_the_jpeg_of_old():
    """Compression 6: a whole JPEG, to which the tags point (TIFF 6.0, section 22)."""
    numbers = smooth(3)
    data = io.BytesIO()
    Image.fromarray(numbers).save(data, "JPEG", quality=98, subsampling=0)
    length = len(data.getvalue())
    tags = {513: (4, [8]), 514: (4, [length]), 273: (4, [8]), 279: (4, [length]), 259: (3, [6]), 262: (3, [YCBCR]),
            530: (3, [1, 1])}  # fmt: skip
    made = tiffs.file(tiffs.Page(tiffs.page(numbers, YCBCR).tags | tags), before=data.getvalue())
    assert off(shown(made), numbers) <= 8


@pytest.mark.parametrize("photometric", [WHITE_0, BLACK_0])
@pytest.mark.parametrize("compression", [2, 3, 4])
def test_faxes(photometric, compression):
    numbers = random(1)
    for place in ({}, {"rows": 8}):
        found = shown(tiff(numbers, photometric, 1, compression=compression, **place))
        assert off(found, rgb(photometric, numbers * 255)) == 0
    unsaid = shown(tiff(numbers, photometric, 1, compression=compression, tags={262: None}))
    assert off(unsaid, rgb(WHITE_0, numbers * 255)) == 0


@pytest.mark.parametrize("compression", ["zstd", "lzma", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_what_pillow_compresses(compression):
    data = io.BytesIO()
    try:
        Image.fromarray(NOISE).save(data, "TIFF", compression=compression)
    except OSError:
        pytest.skip(f"Pillow's libtiff has no {compression} here")
    assert off(shown(data.getvalue()), NOISE) == 0


# --- Files ---


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_both_sizes_of_offsets_and_data_before_and_after(order, big):
    one = tiffs.page(NOISE, RGB, order=order, rows=5)
    data = tiffs.file(one, order=order, big=big, before=b"what a camera wrote", after=b"and what it wrote at the end")
    assert off(shown(data), NOISE) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 16])
def test_orientation(orientation, bits):
    stored = np.ascontiguousarray(UNDO[orientation](NOISE)).astype(np.uint64) << np.uint64(bits - 8)
    for place in ({"rows": 5}, {"tile": (32, 16)}):
        assert off(shown(tiff(stored, RGB, bits, tags={274: (3, [orientation])}, **place)), NOISE) == 0


def test_a_profile_is_used_for_any_layout():
    """Green of a profile in which red and green are swapped is red."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    profile = bytes(profile).replace("sRGB built-in".encode("utf-16-be"), "Odd  built-in".encode("utf-16-be"))
    numbers = np.zeros((8, 8, 3), np.uint64) + np.array([0, 65535, 0], np.uint64)
    assert off(shown(tiff(numbers, RGB, 16, planar=True, tags={34675: (7, profile)})), np.array([255, 0, 0])) <= 2


def test_a_large_picture_is_made_smaller_meanwhile():
    numbers = np.zeros((301, 1201, 3), np.uint16)
    numbers[:150, :600], numbers[150:, 600:] = (65535, 0, 0), (0, 0, 65535)
    for place in ({"rows": 7}, {"tile": (64, 64)}, {}):
        picture = images.load(tiff(numbers, RGB, 16, compression=8, **place), bound=200)
        assert picture.size == (200, 50)
        found = array(picture)
        assert found[9, 9].tolist() == [255, 0, 0]
        assert found[-9, -9].tolist() == [0, 0, 255]
        assert not found[-9, 9].any()


REFUSED = {
    "different bits": ({258: (3, [5, 6, 5])}, "different bits (5, 6, 5)"),
    "different formats": ({339: (3, [1, 1, 3])}, "different formats (1, 1, 3)"),
    "complex numbers": ({339: (3, [6] * 3)}, "complex numbers"),
    "a camera's sensor": ({262: (3, [32803])}, "raw sensor data (CFA)"),
    "LogLuv": ({262: (3, [32845])}, "CIE Log2(L)"),
    "an unknown kind": ({262: (3, [77])}, "the kind 77"),
    "inks": ({262: (3, [5]), 277: (3, [4]), 258: (3, [8] * 4), 332: (3, [2])}, "inks are not those of CMYK"),
    "too few samples": ({262: (3, [5])}, "3 samples per pixel are too few"),
    "JPEG 2000": ({259: (3, [33003])}, "compressed with JPEG 2000"),
    "JPEG XL": ({259: (3, [52546])}, "compressed with JPEG XL"),
    "LERC": ({259: (3, [34887])}, "compressed with LERC"),
    "an unknown compression": ({259: (4, [1234])}, "compression 1234"),
    "JPEG of 12 bits": ({259: (3, [7]), 258: (3, [12] * 3)}, "3 x 12 bits with JPEG compression"),
    "a fax of colours": ({259: (3, [4])}, "with fax compression"),
    "floats of 8 bits": ({339: (3, [3] * 3)}, "3 x 8 float bits"),
    "40 bits": ({258: (3, [40] * 3)}, "3 x 40 bits"),
    "a predictor of 12 bits": ({259: (3, [8]), 258: (3, [12] * 3), 317: (3, [2])}, "with predictor 2"),
    "an unknown predictor": ({259: (3, [8]), 317: (3, [9])}, "with predictor 9"),
    "floating prediction of integers": ({259: (3, [8]), 317: (3, [3])}, "with predictor 3"),
    "odd chroma": ({262: (3, [6]), 530: (3, [3, 1])}, "subsampled by (3, 1)"),
    "tiles without width": ({322: (4, [0]), 323: (4, [16])}, "tiles have 0x16"),
    "no width": ({256: None}, "without a picture"),
    "no strips": ({273: None}, "0 of 1 strips"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_by_name(name):
    tags, says = REFUSED[name]
    with pytest.raises(SourceError) as caught:
        images.load(tiff(random(8, 3), RGB, tags=tags), "m.tif")
    assert caught.value.message.startswith("m.tif: ")
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("photometric", [0, 1, 2, 5])
def test_bytes_that_are_called_signed_and_are_not_make_a_picture_all_the_same(photometric):
    """Soft shades across the middle grey: taken with a sign, each crossing of it would be a jump."""
    across, down = np.meshgrid(np.arange(64), np.arange(48))
    shades = np.rint(127 + 100 * np.sin(across / 6) * np.cos(down / 5)).astype(np.uint8)
    channels = {2: 3, 5: 4}.get(photometric, 1)
    pixels = np.repeat(shades[..., None], channels, -1)
    for called, told in ((pixels, True), ((pixels.astype(int) - 128), False)):
        numbers = called.astype(np.uint8).view(np.int8) if told else called.astype(np.int8)
        picture = images.load(tiff(numbers, photometric, 8, kind="i"), "a.tif")
        wanted = images.load(tiff(pixels, photometric, 8), "a.tif")
        off = np.abs(array(picture).astype(int) - array(wanted))
        assert off.max() == 0 if told else off.mean() < 25, "those with a sign are stretched besides"
        assert any("read as unsigned" in text for text in picture.notices) == told
