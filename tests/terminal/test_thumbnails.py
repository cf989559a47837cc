"""What is sent to a terminal is taken apart again, as the terminal would."""

import base64
import io
import itertools
import math
import re
import subprocess
import sys

import pytest
from PIL import Image

from vlmcli.terminal import thumbnails

XTERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        (XTERM, ""),
        ({"TERM": "xterm-kitty"}, "kitty"),
        (XTERM | {"KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        (XTERM | {"TERM_PROGRAM": "ghostty", "GHOSTTY_RESOURCES_DIR": "/usr/share/ghostty"}, "kitty"),
        (XTERM | {"KONSOLE_VERSION": "220400"}, "kitty"),
        (XTERM | {"KONSOLE_VERSION": "211203"}, ""),
        (XTERM | {"KONSOLE_VERSION": "new"}, ""),
        (XTERM | {"TERM_PROGRAM": "iTerm.app", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        (XTERM | {"LC_TERMINAL": "iTerm2"}, "iterm2"),
        (XTERM | {"TERM_PROGRAM": "WezTerm", "WEZTERM_PANE": "0"}, "iterm2"),
        ({"TERM": "wezterm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "foot-extra"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "xterm", "MLTERM": "3.9.3"}, "sixel"),
        ({"TERM": "contour-latest"}, "sixel"),
        ({"TERM": "yaft-256color"}, "sixel"),
        ({"TERM": "xterm-sixel"}, "sixel"),
        # not certain
        (XTERM | {"TERM_PROGRAM": "vscode"}, ""),
        (XTERM | {"TERM_PROGRAM": "Apple_Terminal"}, ""),
        (XTERM | {"WT_SESSION": "5c4b"}, ""),
        (XTERM | {"VTE_VERSION": "7600"}, ""),
        # shows nothing, whatever it is in
        ({"TERM": "dumb", "KITTY_WINDOW_ID": "1"}, ""),
        ({"TERM": "linux", "LC_TERMINAL": "iTerm2"}, ""),
        ({"TERM": "alacritty", "TERM_PROGRAM": "WezTerm"}, ""),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, ""),
        ({"TERM": "screen.xterm-kitty"}, ""),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "tmux"}, ""),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-1/default,1,0"}, ""),
        ({"TERM": "foot", "STY": "1.pts-0"}, ""),
        ({"TERM": "xterm-kitty", "VIM_TERMINAL": "901"}, ""),
        (XTERM | {"KITTY_WINDOW_ID": "1", "NVIM": "/run/nvim.1.0"}, ""),
        (XTERM | {"TERM_PROGRAM": "WezTerm", "INSIDE_EMACS": "vterm"}, ""),
        ({"TERM": "xterm-ghostty", "ZELLIJ": "0"}, ""),
        # inherited from the terminal that another was started in
        ({"TERM": "xterm-kitty", "TERM_PROGRAM": "iTerm.app", "LC_TERMINAL": "iTerm2"}, "kitty"),
        ({"TERM": "foot", "KITTY_WINDOW_ID": "1"}, "sixel"),
        (XTERM | {"TERM_PROGRAM": "vscode", "LC_TERMINAL": "iTerm2"}, ""),
        (XTERM | {"VTE_VERSION": "7600", "KITTY_WINDOW_ID": "1"}, ""),
        (XTERM | {"XTERM_VERSION": "XTerm(390)", "KONSOLE_VERSION": "240800"}, ""),
        (XTERM | {"TERM_PROGRAM": "WezTerm", "KITTY_WINDOW_ID": "1"}, ""),
    ],
)
def test_the_protocol_of_an_environment(environment, expected):
    assert thumbnails.protocol_of(environment) == expected


def picture(width, height):
    """Colours that change from side to side, with a corner of one colour."""
    image = Image.new("RGB", (width, height))
    image.putdata([(255 * x // width, 255 * y // height, 90) for y in range(height) for x in range(width)])
    image.paste((255, 0, 0), (0, 0, width // 3, height // 3))
    return image


def kitty(text):
    """The keys and the picture of kitty's sequences, which must be all there is."""
    pieces = re.findall(r"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", text)
    assert "".join(f"\x1b_G{keys};{piece}\x1b\\" for keys, piece in pieces) == text
    parsed = [dict(pair.split("=") for pair in keys.split(",")) for keys, _ in pieces]
    assert [keys["m"] for keys in parsed] == ["1"] * (len(pieces) - 1) + ["0"]
    assert all(len(piece) == 4096 for _, piece in pieces[:-1])
    assert 0 < len(pieces[-1][1]) <= 4096
    assert all(set(keys) == {"m"} for keys in parsed[1:])
    file = base64.b64decode("".join(piece for _, piece in pieces), validate=True)
    return parsed[0], Image.open(io.BytesIO(file), formats=["PNG"])


def iterm2(text):
    """The same of iTerm2's."""
    keys, letters = re.fullmatch(r"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", text).groups()
    file = base64.b64decode(letters, validate=True)
    parsed = dict(pair.split("=") for pair in keys.split(";"))
    assert int(parsed["size"]) == len(file)
    return parsed, Image.open(io.BytesIO(file), formats=["PNG"])


def sixel(text):
    """The picture; each pixel must be given one colour, once, and lie in the size that is said."""
    body = re.fullmatch(r"\x1bP0;1;0q(.*)\x1b\\", text, re.DOTALL)[1]
    width, height = map(int, re.match(r'"1;1;(\d+);(\d+)', body).groups())
    body = body[re.match(r'"[\d;]+', body).end() :]
    registers, found, x, top, colour = {}, {}, 0, 0, None
    for part in re.finditer(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|([$-])|(.)", body, re.DOTALL):
        number, red, green, blue, chosen, count, repeated, single, move, other = part.groups()
        assert other is None
        if number:
            assert max(map(int, (red, green, blue))) <= 100
            registers[int(number)] = tuple(round(int(share) * 2.55) for share in (red, green, blue))
        elif chosen:
            colour = registers[int(chosen)]
        elif move:
            x, top = 0, top + 6 * (move == "-")
        else:
            bits = ord(repeated or single) - 63
            end = x + int(count or 1)
            for at, row in itertools.product(range(x, end), range(6)):
                if bits >> row & 1:
                    assert (at, top + row) not in found
                    assert at < width
                    assert top + row < height
                    found[at, top + row] = colour
            x = end
    assert len(found) == width * height
    assert len(registers) <= 64
    image = Image.new("RGB", (width, height))
    image.putdata([found[x, y] for y in range(height) for x in range(width)])
    return image


def error(image, other):
    """The mean difference of a channel, 0 to 255."""
    return sum(abs(a - b) for a, b in zip(image.tobytes(), other.tobytes(), strict=True)) / len(image.tobytes())


def shown(image, protocol, columns=40, rows=12):
    return thumbnails.shown(image.tobytes(), image.size, protocol, columns, rows)


def test_kitty_gets_the_picture_in_chunks():
    noise = Image.effect_noise((640, 480), 90).convert("RGB")
    keys, image = kitty(shown(noise, "kitty"))
    assert keys == {"a": "T", "f": "100", "t": "d", "q": "2", "c": "32", "r": "12", "m": "1"}
    assert (image.size, image.mode) == ((320, 240), "RGB")


def test_kitty_gets_a_small_picture_at_once_and_as_it_is():
    small = picture(20, 20)
    keys, image = kitty(shown(small, "kitty"))
    assert (keys["c"], keys["r"], keys["m"]) == ("2", "1", "0")
    assert image.tobytes() == small.tobytes()


def test_iterm2_gets_the_picture():
    large = picture(800, 600)
    keys, image = iterm2(shown(large, "iterm2"))
    assert keys.items() >= {"inline": "1", "width": "32", "height": "12", "preserveAspectRatio": "1"}.items()
    assert image.size == (320, 240)
    assert error(image, large.resize(image.size)) < 3


@pytest.mark.parametrize("size", [(400, 240), (37, 23), (1, 1), (3, 7), (1200, 300), (5, 900)])
def test_sixels_are_the_picture(size):
    image = picture(*size)
    got = sixel(shown(image, "sixel"))
    assert got.width <= 400
    assert -(-got.height // 6) * 6 <= 240
    assert error(got, image.resize(got.size, Image.Resampling.BICUBIC)) < 12
    if size == (37, 23):
        assert got.size == size
        assert error(got.crop((0, 0, 11, 7)), image.crop((0, 0, 11, 7))) < 2


def test_sixels_of_few_colours_are_exact_and_short():
    image = Image.new("RGB", (400, 240), (255, 255, 255))
    image.paste((0, 0, 255), (100, 50, 300, 200))
    text = shown(image, "sixel")
    assert sixel(text).tobytes() == image.tobytes()
    assert len(text) < 2500


def test_sixels_end_where_a_row_of_cells_does_or_before():
    got = sixel(shown(picture(300, 900), "sixel", 40, 10))
    assert -(-got.height // 6) * 6 <= 200


@pytest.mark.parametrize(
    "size", [(640, 480), (1920, 1080), (1080, 1920), (4096, 31), (31, 4096), (1, 1), (16, 16), (30, 30)]
)
@pytest.mark.parametrize("box", [(40, 12), (80, 24), (1, 1), (200, 3)])
def test_a_box_keeps_to_its_bounds(size, box):
    wide, high = thumbnails.cells(size, *box)
    assert 1 <= wide <= box[0]
    assert 1 <= high <= box[1]
    for read in (kitty, iterm2):
        _, image = read(shown(Image.new("RGB", size), read.__name__, *box))
        assert image.width <= max(wide * 10, high * 20)
        assert image.height <= max(wide * 10, high * 20)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (1080, 1920), (1000, 1000), (2000, 700), (4000, 3000)])
def test_a_box_has_the_picture_s_shape(size):
    wide, high = thumbnails.cells(size, 40, 12)
    assert abs(math.log(wide / (2 * high) / (size[0] / size[1]))) <= thumbnails.SKEW
    assert wide > 32 or high > 10  # and fills what it may


@pytest.mark.parametrize(("protocol", "columns", "rows"), [("", 40, 12), ("kitty", 0, 12), ("sixel", 40, 0)])
def test_nothing_is_shown_where_nothing_can_be(protocol, columns, rows):
    assert shown(picture(8, 8), protocol, columns, rows) == ""


def test_to_decide_loads_no_pillow():
    code = (
        "import sys; from vlmcli.terminal import clipboard, thumbnails;"
        "thumbnails.protocol_of({}); sys.exit('PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
