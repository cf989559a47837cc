"""How the pixels of a TIFF's directory are laid out, as its tags say; what cannot be decoded is refused by name.

Knows tags and their meanings. Decodes nothing.

Source: TIFF 6.0; its Technical Notes for Photoshop (2002) for the compressions 8 and for ICCLab; libtiff's tiff.h for
the compressions that came later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from vlmcli.errors import SourceError
from vlmcli.pictures.tiff_tags import Directory

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, MASK, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9
COLOURS = {MIN_IS_WHITE: 1, MIN_IS_BLACK: 1, RGB: 3, PALETTE: 1, MASK: 1, CMYK: 4, YCBCR: 3, CIELAB: 3, ICCLAB: 3}
"""The photometric interpretations that are read, and how many samples a pixel's colour has."""
_OTHER_COLOURS = {10: "ITU L*a*b*", 32803: "raw sensor data (CFA)", 32844: "CIE Log2(L)", 32845: "CIE Log2(L) (u',v')",
                  34892: "raw sensor data (linear)", 51177: "a depth map", 52527: "a semantic mask"}  # fmt: skip

NONE, CCITT, FAX3, FAX4, LZW, OLD_JPEG, JPEG, DEFLATE, PACKBITS, OLD_DEFLATE, LZMA, ZSTD = (
    1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000
)  # fmt: skip
BYTES = {NONE, LZW, DEFLATE, PACKBITS, OLD_DEFLATE, LZMA, ZSTD}
"""Compressions of bytes, whatever these mean."""
FAXES = {CCITT, FAX3, FAX4}
_OTHER_COMPRESSIONS = {9: "JBIG", 10: "JBIG", 32771: "CCITT RLE/W", 32809: "ThunderScan", 32766: "NeXT RLE",
                       33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG", 34676: "SGI LogLuv",
                       34677: "SGI LogLuv24", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG (DNG)",
                       34933: "PNG", 34934: "JPEG XR", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
                       65000: "Kodak", 22610: "JPEG XR"}  # fmt: skip

UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
NO_PREDICTOR, HORIZONTAL, FLOATING = 1, 2, 3
MAX_SAMPLES = 1024


@dataclass(frozen=True)
class Layout:
    """Of a picture whose pixels can be decoded.

    Attributes:
        directory: its tags.
        size: width and height, as they are stored.
        photometric: what the samples mean.
        bits: of each sample.
        samples: of each pixel.
        extra: what the samples after the colour's mean; those that the file says nothing of are `UNSPECIFIED`.
        format: how a sample is written.
        planar: whether each sample has a plane of its own.
        compression: of a segment's bytes.
        predictor: what was done to them before.
        reversed: whether the lowest bit of a byte comes first.
        tile: width and height of a tile; of a strip, the picture's width and the rows per strip.
        tiled: whether the segments are tiles.
        subsampling: luma samples to a chroma sample, across and down.
    """

    directory: Directory
    size: tuple[int, int]
    photometric: int
    bits: int
    samples: int
    extra: tuple[int, ...]
    format: int
    planar: bool
    compression: int
    predictor: int
    reversed: bool
    tile: tuple[int, int]
    tiled: bool
    subsampling: tuple[int, int]

    @property
    def order(self) -> str:
        """Of the bytes of a sample, as `struct` writes it."""
        return self.directory.tiff.order

    @cached_property
    def grid(self) -> tuple[int, int]:
        """How many segments there are across and down."""
        return -(-self.size[0] // self.tile[0]), -(-self.size[1] // self.tile[1])

    @property
    def together(self) -> int:
        """Samples of a pixel that lie side by side in a segment."""
        return 1 if self.planar else self.samples

    @property
    def orientation(self) -> int:
        """As in EXIF, 1 to 8."""
        return orientation(self.directory)

    def rows_of(self, down: int) -> int:
        """The rows of pixels of a segment in that row of segments; a tile is whole, the last strip may be shorter."""
        return self.tile[1] if self.tiled else min(self.tile[1], self.size[1] - down * self.tile[1])

    def __str__(self) -> str:
        names = {0: "min-is-white", 1: "min-is-black", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr",
                 8: "CIE L*a*b*", 9: "ICC L*a*b*"}  # fmt: skip
        how = {2: "signed ", 3: "float "}.get(self.format, "")
        return f"{names[self.photometric]}, {self.samples} x {self.bits} {how}bits" + (", planar" * self.planar)


def orientation(directory: Directory) -> int:
    """As in EXIF, 1 to 8: which way up a directory's picture is."""
    found = directory.number_of(274, 1)
    return found if 1 <= found <= 8 else 1


def layout(directory: Directory) -> Layout:
    """The layout that the tags of a directory say.

    Raises:
        SourceError: which names what cannot be decoded, or is damaged.
    """
    compression = directory.number_of(259, NONE)
    samples = _samples(directory, compression)
    bits = _same(directory, 258, 1, samples, "bits")
    photometric = _photometric(directory, samples, compression)
    if samples < COLOURS[photometric]:
        raise _refused(directory, f"{samples} samples per pixel are too few for its colours")
    if photometric == CMYK and directory.number_of(332, 1) != 1:
        raise _refused(directory, "its inks are not those of CMYK")
    size = directory.size
    tiled = 322 in directory
    tile = directory.number_of(322), directory.number_of(323)
    if not tiled:
        tile = size[0], min(directory.number_of(278, size[1]) or size[1], size[1])
    if min(tile) < 1 or max(tile) > 1 << 20:
        raise _refused(directory, f"its tiles have {tile[0]}x{tile[1]} pixels")
    found = Layout(
        directory, size, photometric, bits, samples, _extra(directory, photometric, samples),
        _same(directory, 339, UNSIGNED, samples, "formats"), directory.number_of(284, 1) == 2 and samples > 1,
        compression, directory.number_of(317, NO_PREDICTOR), directory.number_of(266, 1) == 2, tile, tiled,
        _subsampling(directory, photometric, compression),
    )  # fmt: skip
    _check(found)
    return found


def _refused(directory: Directory, what: str) -> SourceError:
    return SourceError(
        f"{directory.tiff.source}: this kind of TIFF is not supported: {what}", "convert it to JPEG or PNG"
    )


def _samples(directory: Directory, compression: int) -> int:
    """How many samples a pixel has."""
    old = compression == OLD_JPEG and directory.number_of(262, YCBCR) in (RGB, YCBCR)
    samples = directory.number_of(277, 3 if old else 1)
    if not 1 <= samples <= MAX_SAMPLES:
        raise _refused(directory, f"{samples:,} samples per pixel")
    return samples


def _same(directory: Directory, tag: int, default: int, samples: int, what: str) -> int:
    """The one value of a tag that has one for each sample."""
    found = set(directory.numbers(tag, samples)) or {default}
    if len(found) > 1:
        named = ", ".join(str(value) for value in directory.numbers(tag, samples))
        raise _refused(directory, f"its samples have different {what} ({named})")
    return found.pop()


def _photometric(directory: Directory, samples: int, compression: int) -> int:
    """What the samples mean; as libtiff guesses where the tag is missing."""
    if compression == OLD_JPEG and 262 not in directory:
        return YCBCR
    guess = MIN_IS_WHITE if compression in FAXES else RGB if samples >= 3 else MIN_IS_BLACK
    found = directory.number_of(262, guess)
    if found not in COLOURS:
        raise _refused(directory, f"its colours are {_OTHER_COLOURS.get(found, f'of the kind {found}')}")
    return found


def _extra(directory: Directory, photometric: int, samples: int) -> tuple[int, ...]:
    """What the samples after the colour's mean. A fourth one of RGB that nothing is said of is taken for alpha."""
    count = samples - COLOURS[photometric]
    said = directory.numbers(338, count)
    if not said and photometric == RGB and count == 1:
        said = (UNASSOCIATED,)
    said = tuple(UNASSOCIATED if kind == 999 else kind for kind in said)  # of Corel Draw 10
    return said + (UNSPECIFIED,) * (count - len(said))


def _subsampling(directory: Directory, photometric: int, compression: int) -> tuple[int, int]:
    if photometric != YCBCR or compression in (JPEG, OLD_JPEG):
        return 1, 1
    found = directory.numbers(530, 2) or (2, 2)
    if len(found) != 2 or not {*found} <= {1, 2, 4}:
        raise _refused(directory, f"its chroma is subsampled by {found}")
    return found[0], found[1]


def _check(layout: Layout) -> None:
    """Raise SourceError for what cannot be decoded."""
    bits, directory = layout.bits, layout.directory
    if layout.compression not in BYTES | FAXES | {JPEG, OLD_JPEG}:
        name = _OTHER_COMPRESSIONS.get(layout.compression, f"compression {layout.compression}")
        raise _refused(directory, f"its pixels are compressed with {name}")
    if layout.format not in (UNSIGNED, SIGNED, FLOAT, UNDEFINED):
        raise _refused(directory, "its pixels are complex numbers")
    whole = layout.format in (UNSIGNED, UNDEFINED)
    if not (1 <= bits <= 32 or bits == 64) or (layout.format == FLOAT and bits not in (16, 24, 32, 64)):
        raise _refused(directory, f"pixels of {layout}")
    if layout.format == SIGNED and bits not in (8, 16, 32, 64):
        raise _refused(directory, f"pixels of {layout}")
    if layout.photometric in (YCBCR, CIELAB, ICCLAB, PALETTE) and not (whole or layout.photometric in (CIELAB, YCBCR)):
        raise _refused(directory, f"pixels of {layout}")
    if layout.photometric == YCBCR and (bits != 8 or layout.format == FLOAT):
        raise _refused(directory, f"pixels of {layout}")
    if layout.photometric in (CIELAB, ICCLAB) and (bits not in (8, 16) or layout.format == FLOAT):
        raise _refused(directory, f"pixels of {layout}")
    if layout.photometric == PALETTE and bits > 16:
        raise _refused(directory, f"pixels of {layout}")
    if layout.subsampling != (1, 1) and (layout.planar or layout.predictor != NO_PREDICTOR):
        raise _refused(directory, "subsampled YCbCr that is planar or has a predictor")
    if layout.compression in FAXES and (bits, layout.samples) != (1, 1):
        raise _refused(directory, f"pixels of {layout} with fax compression")
    if layout.compression in (JPEG, OLD_JPEG) and (bits != 8 or not whole):
        raise _refused(directory, f"pixels of {layout} with JPEG compression")
    _check_predictor(layout)


def _check_predictor(layout: Layout) -> None:
    if layout.predictor == NO_PREDICTOR or layout.compression not in BYTES - {NONE, PACKBITS}:
        return  # it has a meaning for these only
    fits = layout.bits in (8, 16, 32, 64) if layout.predictor == HORIZONTAL else layout.format == FLOAT
    if layout.predictor not in (HORIZONTAL, FLOATING) or not fits:
        raise _refused(layout.directory, f"pixels of {layout} with predictor {layout.predictor}")
