"""Makers of pictures' files, and pixels to put into them, as numpy sees them: (height, width, 3), uint8, RGB."""

import numpy as np
import pypdfium2
from PIL import Image

WHITE, BLACK, RED, GREEN, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)

# What is drawn: large plain fields, so that lossy formats keep their colours, no two corners alike.
FIELDS = np.zeros((48, 64, 3), np.uint8)
FIELDS[:24, :32], FIELDS[:24, 32:], FIELDS[24:, :32], FIELDS[24:, 32:] = RED, GREEN, BLUE, (200, 180, 20)
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
GRAY = NOISE[..., 0]
TABLE = np.random.default_rng(3).integers(0, 256, (16, 3), np.uint8)
INDEX = np.random.default_rng(4).integers(0, 16, (48, 64), np.uint8)

UNDO = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2), 6: np.rot90,
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
}  # fmt: skip
"""EXIF's orientations: what must be stored, so that a reader sees the picture itself."""


def array(picture):
    """The pixels of a `Picture`."""
    width, height = picture.size
    return np.frombuffer(picture.pixels(), np.uint8).reshape(height, width, 3)


def thrice(gray):
    """Grey as RGB."""
    return np.repeat(np.asarray(gray)[..., None], 3, -1)


def palette():
    """A picture of sixteen colours, by their numbers."""
    image = Image.fromarray(INDEX, "P")
    image.putpalette(TABLE.tobytes())
    return image


def of(*channels):
    """A picture of these channels, or of an array that has several."""
    return Image.fromarray(np.dstack(channels))


def cmyk(rgb):
    """Without black: the plain complement."""
    return Image.merge("CMYK", [*(Image.fromarray(255 - rgb[..., c]) for c in range(3)), Image.new("L", (64, 48))])


def pdf(path, *pages):
    """A PDF whose pages, each of a size in points, have a colour in their left halves."""
    document = pypdfium2.PdfDocument.new()
    for size, color in pages:
        page = document.new_page(*size)
        shape = pypdfium2.raw.FPDFPageObj_CreateNewRect(0, 0, size[0] / 2, size[1])
        pypdfium2.raw.FPDFPageObj_SetFillColor(shape, *color, 255)
        pypdfium2.raw.FPDFPath_SetDrawMode(shape, 1, 0)
        pypdfium2.raw.FPDFPage_InsertObject(page, shape)
        page.gen_content()
    document.save(path)


def write(path, data):
    """A file, and where it is."""
    path.write_bytes(data)
    return path
