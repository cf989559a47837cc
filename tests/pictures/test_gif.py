"""Each frame of a GIF is what browsers show: frames laid on nothing, and taken away to nothing."""

import struct

import numpy as np
import pytest

from tests.support.files import array, write
from vlmcli.errors import SourceError
from vlmcli.pictures import images

TABLE = np.random.default_rng(5).integers(0, 200, (256, 3), np.uint8)
"""No colour is white, which is what shows nothing."""
SIZE = 40, 30
CLEAR = 7
KEEP, LEAVE, NOTHING, BEFORE = range(4)
"""What becomes of a frame when the next one comes (GIF89a, 23)."""


def coded(index):
    """LZW without a single match: nine bits for each pixel, and a code to begin again before there are ten."""
    codes = [256]
    for number, value in enumerate(index.ravel()):
        codes += [256, value] if number and number % 250 == 0 else [value]
    bits = "".join(f"{int(code):09b}"[::-1] for code in [*codes, 257])
    data = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
    blocks = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"\x08" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def gif(path, frames, background=3):
    """Frames as (index, left, top, disposal, whether `CLEAR` is see-through)."""
    out = b"GIF89a" + struct.pack("<HHBBB", *SIZE, 0xF7, background, 0) + TABLE.tobytes()
    for index, left, top, disposal, clear in frames:
        out += b"!\xf9\x04" + bytes([disposal << 2 | clear]) + struct.pack("<HB", 10, CLEAR) + b"\0"
        out += b"," + struct.pack("<HHHHB", left, top, *index.shape[::-1], 0) + coded(index)
    return write(path, out + b";")


def shown(frames):
    """What a browser has on white after each frame."""
    screen, seen = np.zeros((*SIZE[::-1], 3), np.uint8), np.zeros(SIZE[::-1], bool)
    found = []
    for index, left, top, disposal, clear in frames:
        before = screen.copy(), seen.copy()
        place = np.s_[top : top + index.shape[0], left : left + index.shape[1]]
        drawn = (index != CLEAR) if clear else np.ones(index.shape, bool)
        screen[place][drawn], seen[place] = TABLE[index][drawn], seen[place] | drawn
        found.append(np.where(seen[..., None], screen, 255))
        if disposal == NOTHING:
            seen[place] = False
        elif disposal == BEFORE:
            screen, seen = before
    return found


def part(seed, width, height):
    index = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    index[::3, ::2] = CLEAR
    return index


WHOLE = part(0, *SIZE)
FIRST = {
    "covers all": (WHOLE, 0, 0),
    "in the middle": (part(1, 11, 9), 12, 8),
    "top left": (part(2, 20, 15), 0, 0),
    "at the right": (part(3, 20, 30), 20, 0),
    "one row": (part(4, 40, 1), 0, 29),
}


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("name", FIRST)
def test_a_single_frame(tmp_path, name, clear):
    frames = [(*FIRST[name], KEEP, clear)]
    path = gif(tmp_path / "a.gif", frames)
    for frame in (0, 1):
        picture = images.load(path, frame=frame)
        assert (array(picture) == shown(frames)[0]).all()
        assert picture.notices == ()
    assert images.facts(path).size == SIZE


@pytest.mark.parametrize("clear", [(False, False), (True, True), (True, False), (False, True)])
@pytest.mark.parametrize("disposal", [KEEP, LEAVE, NOTHING, BEFORE])
@pytest.mark.parametrize("name", FIRST)
def test_frames_that_follow(tmp_path, name, disposal, clear):
    frames = [(*FIRST[name], disposal, clear[0]), (part(5, 15, 15), 5, 10, disposal, clear[1]),
              (part(6, 30, 8), 3, 3, LEAVE, clear[0]), (part(7, 9, 9), 0, 0, LEAVE, clear[1])]  # fmt: skip
    path = gif(tmp_path / "a.gif", frames)
    for number, wanted in enumerate(shown(frames), 1):
        assert (array(images.load(path, frame=number)) == wanted).all(), number


@pytest.mark.parametrize("disposals", [(NOTHING, KEEP, LEAVE), (BEFORE, KEEP, NOTHING), (LEAVE, NOTHING, KEEP)])
def test_frames_that_are_taken_away_in_different_ways(tmp_path, disposals):
    parts = (part(5, 15, 15), 5, 10), (part(6, 30, 8), 3, 3), (part(7, 9, 9), 0, 0), (part(8, 20, 20), 9, 9)
    frames = [(*one, disposal, True) for one, disposal in zip(parts, (*disposals, KEEP), strict=True)]
    path = gif(tmp_path / "a.gif", frames)
    for number, wanted in enumerate(shown(frames), 1):
        assert (array(images.load(path, frame=number)) == wanted).all(), number


def test_a_large_screen_of_a_small_frame_is_bounded(tmp_path):
    data = gif(tmp_path / "a.gif", [(part(1, 11, 9), 12, 8, KEEP, False)]).read_bytes()
    path = write(tmp_path / "b.gif", data[:6] + struct.pack("<HH", 65535, 65535) + data[10:])
    with pytest.raises(SourceError, match="65535x65535 pixels need"):
        images.load(path)
