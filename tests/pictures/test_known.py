"""Files that were read before: known without being decoded, and never taken for what they are no more."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from tests.support import ROOT
from tests.support.dicom_files import save
from tests.support.engines import ask, outcomes
from tests.support.files import BLUE, GREEN, NOISE, RED, array, pdf
from tests.support.program import SCENE, VLM, own_environment, vlm
from vlmcli import files
from vlmcli.entries import BLOCK, Entries, key_of
from vlmcli.errors import SourceError
from vlmcli.pictures import images, known, sources
from vlmcli.pictures.known import Known
from vlmcli.values import Answer

FORGED = "0" * 64
"""An identity that no picture has: what shows it has come from what is kept."""


@pytest.fixture
def folder(tmp_path):
    """Of the entries."""
    return tmp_path / "cache"


@pytest.fixture
def later(monkeypatch):
    """All files are three seconds older than they are."""
    monkeypatch.setattr(time, "time_ns", lambda now=time.time_ns: now() + 3_000_000_000)


@pytest.fixture
def still(monkeypatch):
    """No file system's clock ticks: as on one that counts in milliseconds, within such a time."""
    stamp = known._Stamp.of

    def of(file):
        found = stamp(file)
        return found and replace(found, numbers=(*found.numbers[:4], 1_000_000_001))

    monkeypatch.setattr(known._Stamp, "of", of)


def opened(folder):
    """As a new process has them."""
    return Known(Entries(folder, known.LIMIT))


def kept(folder):
    """The keys of what is kept."""
    return sorted(path.name for path in folder.glob("?" * 64))


def forge(folder):
    """Let all that is kept say that the pictures are others."""
    entries = Entries(folder, known.LIMIT)
    for key in kept(folder):
        facts = [(FORGED, *rest) for _, *rest in json.loads(entries.get(key).about)]
        assert entries.put(key, json.dumps(facts).encode(), memoryview(b""))


def load(folder, path, name=None, **how):
    return opened(folder).load(path, str(path) if name is None else name, **how)


def is_known(folder, path, name=None, **how):
    """Whether a file is not read; what is kept says nothing right afterwards."""
    forge(folder)
    return load(folder, path, name, **how).identity == FORGED


def drawn(path, color, size=(32, 24), **how):
    Image.new("RGB", size, color).save(path, **how)
    return path


def bitmap(color):
    """A file whose size says nothing of the picture, nor does its beginning."""
    return b"BM" + (54 + 300).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little") + b"".join(
        number.to_bytes(4, "little") for number in (40, 10, 10, 1 | 24 << 16, 0, 0, 0, 0, 0, 0)
    ) + bytes(color[::-1]) * 10 * 10 + bytes(20)  # fmt: skip


def gif(path, *colors):
    frames = [Image.new("RGB", (20, 20), color) for color in colors]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


# --- what is known ---


def test_a_known_file_is_what_it_was(folder, tmp_path, later):
    path = tmp_path / "a.png"
    Image.fromarray(NOISE).save(path)
    first, second = load(folder, path), load(folder, path)
    assert first == second == images.load(path)
    assert (second.source, second.notices) == (str(path), ())
    assert (array(second) == NOISE).all()
    assert second.pixels() is second.pixels()  # decoded once
    assert is_known(folder, path)


def test_an_old_file_is_known_by_its_stamp_and_a_new_one_by_its_bytes(folder, tmp_path, monkeypatch):
    path = drawn(tmp_path / "a.png", RED)
    load(folder, path)
    assert len(kept(folder)) == 1
    assert is_known(folder, path)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda now=time.time_ns: now() - 10**12)  # a clock set back
        load(folder, path)
        assert len(kept(folder)) == 1
    monkeypatch.setattr(time, "time_ns", lambda now=time.time_ns: now() + 3_000_000_000)
    load(folder, path)
    assert len(kept(folder)) == 2
    monkeypatch.setattr(known, "LARGEST", 10)  # nothing of the bytes counts any more
    assert is_known(folder, path)


def test_times_in_hundredths_of_a_second_are_not_trusted(folder, tmp_path, later, monkeypatch):
    """FAT has such, and does not know when an inode was changed."""
    path = drawn(tmp_path / "a.png", RED)
    monkeypatch.setattr(files, "TICK", 1)
    load(folder, path)
    assert len(kept(folder)) == 1


def test_a_file_that_is_too_large_to_be_hashed_is_known_by_its_stamp_only(folder, tmp_path, monkeypatch, later):
    monkeypatch.setattr(known, "LARGEST", 10)
    path = drawn(tmp_path / "a.png", RED)
    load(folder, path)
    assert len(kept(folder)) == 1
    assert is_known(folder, path)
    load(folder, path.read_bytes(), "-")
    assert len(kept(folder)) == 1


def test_bytes_are_known_as_their_file_is(folder, tmp_path):
    path = drawn(tmp_path / "a.png", RED)
    picture = load(folder, path.read_bytes(), "-")
    assert picture == load(folder, path.read_bytes(), "data:…") == images.load(path)
    assert is_known(folder, path)
    assert is_known(folder, path.read_bytes(), "-")


@pytest.mark.parametrize("way", ["copied", "renamed", "touched", "linked"])
def test_the_same_bytes_elsewhere_are_known(folder, tmp_path, later, way):
    path, other = drawn(tmp_path / "a.png", RED), tmp_path / "b.png"
    load(folder, path)
    if way == "copied":
        other.write_bytes(path.read_bytes())
    elif way == "renamed":
        path.rename(other)
    elif way == "touched":
        other = path
        os.utime(path, (1, 1))
    else:
        other.symlink_to(path)
    assert is_known(folder, other)
    assert load(folder, other).source == str(other)


def test_the_same_pixels_in_another_format_are_the_same_picture(folder, tmp_path):
    for _ in range(2):
        pictures = [load(folder, drawn(tmp_path / f"a.{suffix}", GREEN)) for suffix in ("png", "bmp", "tif")]
        assert len({picture.identity for picture in pictures}) == 1


def test_each_frame_bound_and_cut_is_known_for_itself(folder, tmp_path, later):
    animation = gif(tmp_path / "a.gif", RED, GREEN, BLUE)
    document = tmp_path / "two.pdf"
    pdf(document, ((100, 100), RED), ((100, 200), BLUE))
    long = tmp_path / "long.png"
    Image.fromarray(np.tile(NOISE, (40, 1, 1))).save(long)
    asked = [(animation, {"frame": frame}) for frame in (0, 1, 2, 3)]
    asked += [(document, {"frame": 1}), (document, {"frame": 2}), (document, {"frame": 2, "bound": 64})]
    asked += [(long, {}), (long, {"bound": 100}), (long, {"bound": 32})]
    expected = [images.load(path, **how) for path, how in asked]
    for _ in range(2):
        assert [load(folder, path, **how) for path, how in asked] == expected
        assert opened(folder).load_parts(long, str(long)) == images.load_parts(long)
    parts = opened(folder).load_parts(long, str(long))
    assert [part.pixels() for part in parts] == [part.pixels() for part in images.load_parts(long)]
    for (path, how), picture in zip(asked, expected, strict=True):
        assert load(folder, path, **how).pixels() == picture.pixels()


def test_pages_are_counted_once(folder, tmp_path, later):
    document = tmp_path / "two.pdf"
    pdf(document, ((100, 100), RED), ((100, 200), BLUE))
    for _ in range(2):
        found = list(sources.find([str(document)], known=opened(folder)))
        assert [(one.name, one.frame, one.expanded) for one in found] == [
            (f"{document}#1", 1, True), (f"{document}#2", 2, True),
        ]  # fmt: skip
    entries = Entries(folder, known.LIMIT)
    for key in kept(folder):
        entries.put(key, b"[1, 2, 3]", memoryview(b""))
    assert [one.frame for one in sources.find([str(document)], known=opened(folder))] == [1, 2, 3]
    assert [one.frame for one in sources.find([str(document)])] == [1, 2]


@pytest.mark.parametrize("name", ["b.gif", "a", "only", "x#2", "\\1", "a: b", "frames", "b\udcff.gif", ".*", "is#1"])
def test_notices_name_the_file_as_it_is_called_now(folder, tmp_path, name):
    animation = gif(tmp_path / "a.gif", RED, GREEN)
    frames = np.stack([NOISE[..., 0]] * 3)
    medical = save(tmp_path / "a.dcm", frames, syntax=uid.ExplicitVRLittleEndian, frames=3)
    empty = drawn(tmp_path / "empty.png", (9, 9, 9))
    for path in (animation, medical, empty):
        expected = images.load(path, name).notices
        assert expected
        load(folder, path)
        assert load(folder, path, name).notices == expected
        assert load(folder, path).notices == images.load(path).notices


def test_a_name_that_says_what_a_file_is_counts(folder, tmp_path):
    """A camera's raw file has a remark that a TIFF has not."""
    path = drawn(tmp_path / "a.tif", RED, size=(400, 400))
    for name in ("a.tif", "a.nef"):
        for _ in range(2):
            assert load(folder, path, name).notices == images.load(path, name).notices
    assert images.load(path, "a.tif").notices != images.load(path, "a.nef").notices


def test_errors_are_not_kept(folder, tmp_path, later):
    path = tmp_path / "a.png"
    with pytest.raises(SourceError, match=r"no such file"):
        load(folder, path)
    for data in (b"", b"no picture", Path(SCENE).read_bytes()[:2000]):
        path.write_bytes(data)
        messages = []
        for read in (lambda: images.load(path), lambda: load(folder, path), lambda: load(folder, path)):
            with pytest.raises(SourceError) as caught:
                read()
            messages.append(str(caught.value))
        assert len(set(messages)) == 1
    with pytest.raises(SourceError, match="a folder, not a picture"):
        load(folder, tmp_path)
    assert kept(folder) == []
    path.write_bytes(Path(SCENE).read_bytes())
    assert load(folder, path) == images.load(path)


# --- what has changed ---


def rewritten(path, data, way):
    """Put other bytes into a file's place, and give it the time that it had."""
    before = path.stat()
    while True:
        if way == "in place":
            path.write_bytes(data)
        elif way == "replaced":
            other = path.with_name("other")
            other.write_bytes(data)
            other.replace(path)
        else:
            path.unlink()
            path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = path.stat()
        if after.st_ctime_ns != before.st_ctime_ns:  # the clock has ticked: the file had been settled, it was said
            break
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("way", ["in place", "replaced", "removed"])
def test_another_picture_of_the_same_size_and_time_is_read(folder, tmp_path, later, way):
    path = tmp_path / "a.bmp"
    path.write_bytes(bitmap(RED))
    assert tuple(load(folder, path).pixels()[:3]) == RED
    rewritten(path, bitmap(BLUE), way)
    picture = load(folder, path)
    assert tuple(picture.pixels()[:3]) == BLUE
    assert picture == images.load(path)


def test_a_file_that_changes_faster_than_the_clock_is_read(folder, tmp_path, still):
    path, index = tmp_path / "a.bmp", opened(folder)
    for number in range(50):
        color = (number, 0, 0)
        path.write_bytes(bitmap(color))
        os.utime(path, (1, 1))
        assert tuple(index.load(path, "a.bmp").pixels()[:3]) == color
    assert len(kept(folder)) == 50


def test_a_link_that_leads_elsewhere_is_followed(folder, tmp_path, later):
    link = tmp_path / "link.png"
    for color in (RED, BLUE, RED):
        target = drawn(tmp_path / f"{color}.png", color)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert tuple(load(folder, link).pixels()[:3]) == color


def test_a_file_that_changes_while_it_is_read_is_not_kept(folder, tmp_path, later, monkeypatch):
    path = tmp_path / "a.bmp"
    path.write_bytes(bitmap(RED))
    read = images.load

    def slowly(*args):
        picture = read(*args)
        rewritten(path, bitmap(BLUE), "in place")
        return picture

    with monkeypatch.context() as patch:
        patch.setattr(images, "load", slowly)
        load(folder, path)
    assert kept(folder) == []
    assert tuple(load(folder, path).pixels()[:3]) == BLUE


def test_a_young_file_that_changes_before_it_is_read_is_not_kept_by_its_former_bytes(
    folder, tmp_path, still, monkeypatch
):
    path, read = tmp_path / "a.bmp", images.load

    def write(color):
        path.write_bytes(bitmap(color))
        os.utime(path, (1, 1))

    write(RED)
    with monkeypatch.context() as patch:
        patch.setattr(images, "load", lambda *args: (write(BLUE), read(*args))[1])
        load(folder, path)
    assert kept(folder) == []
    write(RED)
    assert tuple(load(folder, path).pixels()[:3]) == RED


@pytest.mark.parametrize("way", ["in place", "replaced"])
def test_a_file_that_changes_before_its_pixels_are_read_is_an_error(folder, tmp_path, later, way):
    path = tmp_path / "a.bmp"
    path.write_bytes(bitmap(RED))
    load(folder, path)
    picture = load(folder, path, "my.bmp")
    rewritten(path, bitmap(BLUE), way)
    for _ in range(2):
        with pytest.raises(SourceError) as caught:
            picture.pixels()
        assert caught.value.message == "my.bmp: the picture changed while vlm was working"
        assert caught.value.hint == "run the command again"
    rewritten(path, bitmap(RED), way)
    assert tuple(picture.pixels()[:3]) == RED
    path.unlink()
    assert tuple(picture.pixels()[:3]) == RED  # they have been read
    with pytest.raises(SourceError, match="no such file"):
        load(folder, path)


def test_a_file_that_is_gone_before_its_pixels_are_read_is_an_error(folder, tmp_path, later):
    path = drawn(tmp_path / "a.png", RED)
    load(folder, path)
    picture = load(folder, path)
    path.unlink()
    with pytest.raises(SourceError, match="no such file"):
        picture.pixels()


def test_what_is_kept_of_a_decoder_that_was_changed_without_a_trace_is_corrected(folder, tmp_path, later):
    path = drawn(tmp_path / "a.png", RED)
    load(folder, path)
    forge(folder)
    picture = load(folder, path)
    assert picture.identity == FORGED
    with pytest.raises(SourceError, match="the picture changed"):
        picture.pixels()
    assert load(folder, path) == images.load(path)
    copy = tmp_path / "b.png"
    copy.write_bytes(path.read_bytes())
    assert load(folder, copy) == images.load(path)


def test_the_engine_fails_only_the_question_about_a_picture_that_changed(folder, tmp_path, later, demo_engine, scene):
    path = tmp_path / "a.bmp"
    path.write_bytes(bitmap(RED))
    load(folder, path)
    picture = load(folder, path)
    rewritten(path, bitmap(BLUE), "replaced")
    changed, other = outcomes(demo_engine, [ask("what is this?", picture), ask("what is this?", scene)])
    assert isinstance(changed, SourceError)
    assert (changed.message, changed.hint) == (
        f"{path}: the picture changed while vlm was working", "run the command again",
    )  # fmt: skip
    assert isinstance(other, Answer)


# --- decoders ---


def installed(folder, name, package, version):
    (folder / package).mkdir()
    (folder / package / "__init__.py").touch()
    if version:
        (folder / f"{name}-{version}.dist-info").mkdir()


@pytest.mark.parametrize(("name", "package"), [("Pillow", "PIL"), ("pypdfium2", "pypdfium2"), ("pydicom", "pydicom")])
def test_another_version_of_a_decoder_reads_all_files_anew(folder, tmp_path, later, monkeypatch, name, package):
    path = drawn(tmp_path / "a.png", RED)
    load(folder, path)
    assert is_known(folder, path)
    for version in ("90.1", "90.2"):
        site = tmp_path / version
        site.mkdir()
        installed(site, name, package, version)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(site)
            assert load(folder, path) == images.load(path)
            assert is_known(folder, path)
    assert is_known(folder, path)


def test_where_a_decoder_has_no_version_all_files_are_read(folder, tmp_path, later, monkeypatch):
    path, site = drawn(tmp_path / "a.png", RED), tmp_path / "site"
    site.mkdir()
    installed(site, "pillow", "PIL", "")
    monkeypatch.syspath_prepend(site)
    assert known.decoder() is None
    assert load(folder, path) == load(folder, path) == images.load(path)
    assert opened(folder).pages(path, "a.png") == ()
    assert kept(folder) == []


# --- what is kept, attacked ---


@pytest.mark.parametrize("harm", [lambda data: data[:-1], lambda data: b"", lambda data: bytes(len(data)),
                                  lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]])  # fmt: skip
def test_a_damaged_entry_is_none(folder, tmp_path, later, harm):
    path = drawn(tmp_path / "a.png", RED)
    load(folder, path)
    for key in kept(folder):
        (folder / key).write_bytes(harm((folder / key).read_bytes()))
    assert load(folder, path) == images.load(path)
    assert is_known(folder, path)


def test_an_entry_in_another_ones_place_is_none(folder, tmp_path, later):
    paths = [drawn(tmp_path / f"{color}.png", color) for color in (RED, BLUE)]
    for path in paths:
        load(folder, path)
    contents = [(folder / key).read_bytes() for key in kept(folder)]
    for key, content in zip(kept(folder), contents[1:] + contents[:1], strict=True):
        (folder / key).write_bytes(content)
    assert [load(folder, path) for path in paths] == [images.load(path) for path in paths]


def test_a_folder_that_cannot_be_written_to_is_done_without(folder, tmp_path, later):
    path = drawn(tmp_path / "a.png", RED)
    folder.write_text("a file")
    assert load(folder, path) == load(folder, path) == images.load(path)
    folder.unlink()
    load(folder, path)
    folder.chmod(0o500)
    try:
        assert is_known(folder, path) or os.geteuid()  # root may write
        assert load(folder, drawn(tmp_path / "b.png", BLUE)).size == (32, 24)
    finally:
        folder.chmod(0o700)


def test_many_at_once_say_the_same(folder, tmp_path):
    for number in range(12):
        drawn(tmp_path / f"{number}.png", (number, 0, 0))
    code = (
        "import sys; from pathlib import Path; from vlmcli.entries import Entries;"
        "from vlmcli.pictures.known import LIMIT, Known; known = Known(Entries(Path(sys.argv[1]), LIMIT));"
        "[print(known.load(Path(name), name).identity) for _ in range(3) for name in sys.argv[2:]]"
    )
    paths = [str(tmp_path / f"{number}.png") for number in range(12)]
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(folder), *order], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for order in (paths, paths, paths[::-1])
    ]
    said = [process.communicate()[0].split() for process in running]
    expected = [images.load(path).identity for path in map(Path, paths)]
    assert said == [expected * 3, expected * 3, expected[::-1] * 3]
    assert all(len(path.name) == 64 or path.name == "hits" for path in folder.iterdir())


def test_what_is_kept_stays_within_its_limit(folder):
    """On the disk, where a small entry takes a block; those that were not used for the longest time go first."""
    limit = 1024 * BLOCK
    keys = [key_of(number) for number in range(2400)]
    for number, key in enumerate(keys):
        if number % 400 == 0:  # as other commands
            entries = Entries(folder, limit)
        assert entries.put(key, b"facts", memoryview(b""))
        os.utime(folder / key, (number, number))
    found = entries.kept()
    assert found.count * BLOCK == found.size <= 1.1 * limit
    assert found.count >= 900
    assert set(kept(folder)) == set(keys[-found.count :])


# --- what it is for ---


def test_a_known_file_needs_no_decoder(folder, tmp_path, later):
    document = tmp_path / "two.pdf"
    pdf(document, ((100, 100), RED), ((100, 200), BLUE))
    words = [SCENE, str(document)]
    for source in sources.find(words, known=opened(folder)):
        source.load(known=opened(folder))
    code = (
        "import sys; from pathlib import Path; from vlmcli.entries import Entries; from vlmcli.pictures import sources;"
        "from vlmcli.pictures.known import LIMIT, Known; known = Known(Entries(Path(sys.argv[1]), LIMIT));"
        "found = [one.load(known=known) for one in sources.find(sys.argv[2:], known=known)];"
        "print(len(found), {'PIL', 'numpy', 'pypdfium2'} & {name.split('.')[0] for name in sys.modules});"
        "found[0].pixels(); print('PIL' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder), *words], capture_output=True, text=True, check=True)
    assert done.stdout == "3 set()\nTrue\n"


def ask_for(path, *words, env=None):
    return vlm("ask", "-m", "demo", path, "what is this?", *words, env=env)


def test_a_command_says_the_same_of_a_known_picture(tmp_path):
    path = gif(tmp_path / "a.gif", RED, GREEN)
    env = {"VLM_CACHE_DIR": str(tmp_path / "mine")}
    first, second = ask_for(path, env=env), ask_for(path, env=env)
    assert kept(tmp_path / "mine" / "pictures")
    assert (first.stdout, first.stderr) == (second.stdout, second.stderr)
    assert "only the first frame of the animation" in second.stderr
    forge(tmp_path / "mine" / "pictures")
    third, fourth = ask_for(path, env=env), ask_for(path, env=env)
    assert (third.returncode, third.stdout) == (1, "")
    assert f"{path}: the picture changed while vlm was working\n" in third.stderr
    assert (fourth.returncode, fourth.stdout) == (0, first.stdout)


def test_a_run_over_a_folder_says_the_same_again(tmp_path):
    pictures = tmp_path / "in"
    pictures.mkdir()
    for name, color in (("a", RED), ("b", BLUE), ("c", RED)):
        drawn(pictures / f"{name}.png", color)
    env = {"VLM_CACHE_DIR": str(tmp_path / "mine")}
    first, second = (vlm("caption", "-m", "demo", pictures, env=env) for _ in range(2))
    assert (first.stdout, first.returncode) == (second.stdout, second.returncode)
    assert first.stdout.count("\n") == 3
    forge(tmp_path / "mine" / "pictures")
    third = vlm("caption", "-m", "demo", pictures, env=env)
    assert (third.returncode, third.stdout) == (1, "")
    assert "the picture changed" in third.stderr


def test_a_conversation_with_a_known_picture_loads_no_decoder_before_its_pixels_are_needed(tmp_path):
    """As the installed command: nothing is asked, so that none are."""
    path = drawn(tmp_path / "a.png", RED)
    env = own_environment({"VLM_CACHE_DIR": str(tmp_path / "mine")})
    loaded = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", VLM, "chat", "-m", "demo", path], input="/images\n",
            capture_output=True, text=True, env=env, check=True,
        )  # fmt: skip
        assert "a.png 32×24" in done.stderr
        loaded.append("PIL.Image\n" in done.stderr)
    assert loaded == [True, False]


def test_the_settings_say_where(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "vlm").mkdir()
    (tmp_path / "vlm" / "settings.toml").write_text('cache_dir = "~/there"\n')
    assert ask_for(SCENE).returncode == 0
    assert kept(tmp_path / "home" / "there" / "pictures")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "usual"))
    (tmp_path / "vlm" / "settings.toml").unlink()
    assert ask_for(SCENE).returncode == 0
    if sys.platform == "linux":
        assert kept(tmp_path / "usual" / "vlm" / "pictures")
    (tmp_path / "vlm" / "settings.toml").write_text("cache_dir = 5\n")
    assert "cache_dir is not a string" in ask_for(SCENE).stderr
