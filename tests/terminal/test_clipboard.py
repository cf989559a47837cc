"""The clipboard, with programs of the test's own in its place: real processes, that behave well, badly, and worse."""

import base64
import io
import os
import re
import sys
import time
from pathlib import Path

import pytest
from PIL import Image, ImageGrab

from vlmcli.errors import SourceError
from vlmcli.terminal import clipboard

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts")

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 300
WAYLAND = {"WAYLAND_DISPLAY": "wayland-0"}
X11 = {"DISPLAY": ":0"}


class Programs:
    """A PATH with nothing else in it."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "picture").write_bytes(PICTURE)

    def add(self, name, script):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # the PATH it is found by has none of the tools it needs itself
        path.write_text(
            f'#!/bin/sh\nHERE="{self.folder}"\nPATH=/usr/bin:/bin\nprintf "%s\\n" "$*" >> "$HERE/asked"\n{script}\n'
        )
        path.chmod(0o755)

    def asked(self):
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def environment(self, more):
        return {"PATH": str(self.folder), **more}


@pytest.fixture
def programs(tmp_path):
    return Programs(tmp_path)


def wl_paste(types, kind="image/png", file="picture"):
    listed = "".join(f"{one}\\n" for one in types)
    return f"""
    if [ "$1" = --list-types ]; then printf '{listed}'; exit 0; fi
    if [ "$*" = "--no-newline --type {kind}" ]; then exec cat "$HERE/{file}"; fi
    echo "No suitable type of content copied" >&2; exit 1
    """


def xclip(types, kind="image/png", file="picture"):
    listed = "".join(f"{one}\\n" for one in types)
    return f"""
    if [ "$*" = "-selection clipboard -o -t TARGETS" ]; then printf '{listed}'; exit 0; fi
    if [ "$*" = "-selection clipboard -o -t {kind}" ]; then exec cat "$HERE/{file}"; fi
    echo "Error: target $5 not available" >&2; exit 1
    """


def read(programs, more, platform="linux", **limits):
    return clipboard.picture(programs.environment(more), platform, **limits)


def test_wayland(programs):
    programs.add("wl-paste", wl_paste(["text/html", "image/jpeg", "image/png"]))
    programs.add("xclip", "exit 3")
    assert read(programs, WAYLAND | X11) == PICTURE


def test_x11(programs):
    programs.add("xclip", xclip(["TARGETS", "image/png"]))
    programs.add("wl-paste", "exit 3")
    assert read(programs, X11) == PICTURE


def test_wayland_through_its_x_server(programs):
    programs.add("xclip", xclip(["image/png"]))
    assert read(programs, WAYLAND | X11) == PICTURE


@pytest.mark.parametrize("kind", ["image/jpeg", "image/webp", "image/heic"])
def test_a_picture_that_is_no_png_comes_as_it_is(programs, kind):
    programs.add("wl-paste", wl_paste(["text/plain", kind], kind))
    assert read(programs, WAYLAND) == PICTURE


def test_files_that_were_copied(programs):
    lines = [
        "# two",
        "file:///home/me/a%20b.png",
        "http://far.invalid/c.png",
        "file://localhost/d%ff.jpg",
        "file://pc/e.png",
    ]
    (programs.folder / "files").write_bytes("\r\n".join(lines).encode())
    programs.add("xclip", xclip(["text/uri-list"], "text/uri-list", "files"))
    assert read(programs, X11) == [Path("/home/me/a b.png"), Path(os.fsdecode(b"/d\xff.jpg"))]


@pytest.mark.parametrize(
    ("name", "script", "more"),
    [
        ("wl-paste", wl_paste(["text/plain", "image/svg+xml"]), WAYLAND),
        ("wl-paste", wl_paste([]), WAYLAND),
        ("wl-paste", "echo 'Nothing is copied' >&2; exit 1", WAYLAND),
        ("wl-paste", wl_paste(["image/png"], "image/gone"), WAYLAND),  # replaced in between
        ("xclip", xclip(["TARGETS", "UTF8_STRING"]), X11),
        ("xclip", "echo 'Error: target TARGETS not available' >&2; exit 1", X11),
        ("xclip", "echo 'xclip: Error: There is no owner for the CLIPBOARD selection' >&2; exit 1", X11),
        ("xclip", xclip(["text/uri-list"], "text/uri-list", "empty"), X11),
        ("xclip", xclip(["image/png"], "image/png", "empty"), X11),
    ],
)
def test_no_picture_is_there(programs, name, script, more):
    (programs.folder / "empty").write_bytes(b"")
    programs.add(name, script)
    assert read(programs, more) is None


@pytest.mark.parametrize(
    ("more", "says", "hint"),
    [
        (WAYLAND, "wl-paste is not installed", "install wl-clipboard"),
        (WAYLAND | X11, "wl-paste is not installed", "install wl-clipboard"),
        (X11, "xclip is not installed", "install xclip"),
        ({}, "there is no display (WAYLAND_DISPLAY, DISPLAY)", "save the picture, and use the file"),
    ],
)
def test_nothing_can_read_it(programs, more, says, hint):
    with pytest.raises(SourceError) as caught:
        read(programs, more)
    assert (caught.value.message, caught.value.hint) == (f"clipboard: {says}", hint)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('echo "Error: Can\'t open display: :0" >&2; exit 1', "xclip says: Error: Can't open display: :0"),
        ("exit 7", "xclip says: exit code 7"),
    ],
)
def test_a_program_that_fails_is_heard(programs, script, says):
    programs.add("xclip", script)
    with pytest.raises(SourceError, match=re.escape(f"clipboard: {says}")):
        read(programs, X11)


def test_a_program_that_does_not_start(programs):
    programs.add("xclip", "")
    (programs.folder / "xclip").write_bytes(b"\x7fELF no program")
    with pytest.raises(SourceError, match="clipboard: xclip cannot be started"):
        read(programs, X11)


@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 60",
        "sleep 60",  # in a process of the program's
        "sleep 60 & exit 0",  # that outlives it
        "exec >&-; sleep 60",  # with its output closed
        "trap '' TERM INT; while :; do printf x; sleep 0.05; done",
    ],
)
def test_a_program_that_hangs_is_ended(programs, script):
    programs.add("wl-paste", f'echo $$ > "$HERE/pid"; {script}')
    begun = time.monotonic()
    with pytest.raises(SourceError, match=r"clipboard: wl-paste returned nothing within 0\.5 s"):
        read(programs, WAYLAND, seconds=0.5)
    assert time.monotonic() - begun < 5
    group = int((programs.folder / "pid").read_text())
    end = time.monotonic() + 5
    while not ended(group):
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(group):
    """Whether a group has no process left that lives; nobody may wait for one whose parent ended."""
    try:
        os.killpg(group, 0)
    except OSError:
        return True
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            states.append(fields[0])
    return all(state in "ZX" for state in states)


def test_more_than_a_picture_has(programs):
    programs.add("wl-paste", 'if [ "$1" = --list-types ]; then echo image/png; else exec cat /dev/zero; fi')
    with pytest.raises(SourceError, match=r"clipboard: it has more than 3\.1 MB"):
        read(programs, WAYLAND, max_bytes=3 << 20)


# --------------------------------------------------------------------------------------------- Pillow


@pytest.fixture
def grabbed(monkeypatch):
    def set_(value):
        def grab():
            if isinstance(value, Exception):
                raise value
            return value

        monkeypatch.setattr(ImageGrab, "grabclipboard", grab)

    return set_


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_what_pillow_reads(programs, grabbed, platform):
    grabbed(Image.new("RGB", (3, 2), (1, 2, 3)))
    with Image.open(io.BytesIO(read(programs, {}, platform))) as image:
        assert (image.format, image.size, image.getpixel((0, 0))) == ("PNG", (3, 2), (1, 2, 3))
    grabbed(["C:\\a.png", "b.jpg"])
    assert read(programs, {}, platform) == [Path("C:\\a.png"), Path("b.jpg")]
    for nothing in ([], None):
        grabbed(nothing)
        assert read(programs, {}, platform) is None
    grabbed(OSError("it is held"))
    with pytest.raises(SourceError, match=r"clipboard: cannot be read \(it is held\)"):
        read(programs, {}, platform)


@pytest.mark.parametrize("before", [None, OSError("no osascript")])
def test_pngpaste_goes_second(programs, grabbed, before):
    programs.add("pngpaste", '[ "$1" = - ] && exec cat "$HERE/picture"')
    grabbed(before)
    assert read(programs, {}, "darwin") == PICTURE
    grabbed(["a.png"])
    assert read(programs, {}, "darwin") == [Path("a.png")]
    programs.add("pngpaste", "echo 'No image data found' >&2; exit 1")
    grabbed(before)
    assert read(programs, {}, "darwin") is None


# --------------------------------------------------------------------------------------------- copying

TEXT = "a 'quoted' ünïcode\n日本 🦊"
KEEP = 'cat > "$HERE/copied"'


@pytest.mark.parametrize(
    ("name", "more", "platform", "words"),
    [
        ("wl-copy", WAYLAND | X11, "linux", "--type text/plain"),
        ("xclip", WAYLAND | X11, "linux", "-selection clipboard -i"),
        ("xclip", X11, "linux", "-selection clipboard -i"),
        ("xsel", X11, "freebsd14", "--clipboard --input"),
        ("pbcopy", {}, "darwin", ""),
    ],
)
def test_a_text_is_copied(programs, name, more, platform, words):
    programs.add(name, KEEP)
    assert clipboard.copy(TEXT, programs.environment(more), platform)
    assert (programs.folder / "copied").read_bytes() == TEXT.encode()
    assert programs.asked() == [words]


@pytest.mark.parametrize(("path", "platform"), [("System32/clip.exe", "win32"), ("clip.exe", "linux")])
def test_windows_takes_utf_16(programs, path, platform):
    programs.add(path, KEEP)
    environment = programs.environment({"SYSTEMROOT": str(programs.folder)})
    assert clipboard.copy(TEXT, environment, platform)
    assert (programs.folder / "copied").read_bytes() == TEXT.encode("utf-16-le")


def test_windows_does_not_look_in_path(programs):
    programs.add("clip.exe", KEEP)
    assert not clipboard.copy(TEXT, programs.environment({"SYSTEMROOT": str(programs.folder / "none")}), "win32")


def test_pbcopy_is_told_the_encoding(programs):
    programs.add("pbcopy", 'printf "$LC_ALL" > "$HERE/copied"')
    assert clipboard.copy("x" * 1_000_000, programs.environment({"LC_ALL": "C"}), "darwin")  # which it does not read
    assert (programs.folder / "copied").read_text() == "en_US.UTF-8"


def test_a_program_that_stays_is_not_waited_for(programs):
    programs.add("xclip", f'{KEEP}; (sleep 4; touch "$HERE/later") &')
    begun = time.monotonic()
    assert clipboard.copy(TEXT, programs.environment(X11), "linux")
    assert time.monotonic() - begun < 3
    end = time.monotonic() + 10
    while not (programs.folder / "later").exists():  # and lives on, to give what was copied
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("script", ["exit 1", "cat; exit 1", "exec sleep 60", "sleep 60 & exit 1"])
def test_the_next_program_is_tried(programs, script):
    programs.add("xclip", script)
    programs.add("xsel", KEEP)
    assert clipboard.copy(TEXT, programs.environment(X11), "linux", seconds=1.5)
    assert (programs.folder / "copied").read_bytes() == TEXT.encode()


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_nothing_can_copy(programs, platform):
    environment = programs.environment(WAYLAND | X11 | {"SYSTEMROOT": str(programs.folder)})
    assert not clipboard.copy(TEXT, environment, platform)
    programs.add("xclip", "exit 1")
    assert not clipboard.copy(TEXT, environment, platform)


def test_half_a_letter_does_no_harm(programs):
    programs.add("pbcopy", KEEP)
    assert clipboard.copy("a\udc80b", programs.environment({}), "darwin")
    assert (programs.folder / "copied").read_bytes() == b"a?b"


def test_osc_52():
    letters = re.fullmatch(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", clipboard.osc52(TEXT))[1]
    assert base64.b64decode(letters).decode() == TEXT
