"""Entries of a cache: what was kept is found whole or not at all, whatever befalls its files."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import ROOT
from tests.support.disks import full
from vlmcli import atomic, entries
from vlmcli.entries import Entries, folders, key_of

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names and owners are POSIX's")

KEY, OTHER = key_of("a", 1), key_of("a", 2)
ABOUT, CONTENT = b'{"rows": 3}', bytes(range(200))
HEAD = entries._HEAD.size
BLOCK = entries.BLOCK
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")


@pytest.fixture
def kept(tmp_path):
    """A folder with an entry."""
    there = Entries(tmp_path / "kept", 1 << 20)
    assert there.put(KEY, ABOUT, memoryview(CONTENT)[:90], memoryview(CONTENT)[90:])
    return there


def content(there, key=KEY):
    """An entry's two parts, found by another object than has written it; None where it is missing."""
    found = Entries(there.folder, there.limit).get(key)
    return None if found is None else (found.about, bytes(found.content))


def names(folder):
    return sorted(one.name for one in folder.iterdir())


def aged(there, *keys):
    """Let entries have been used in this order, long ago. Returns their paths."""
    for number, key in enumerate(keys):
        os.utime(there.folder / key, (1e9 + number, 1e9 + number))
    return [there.folder / key for key in keys]


def test_an_entry_is_found_whole_and_belongs_to_its_owner_alone(kept):
    assert content(kept) == (ABOUT, CONTENT)
    assert content(kept, OTHER) is None
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert (kept.folder / KEY).stat().st_mode & 0o777 == 0o600
    found = kept.kept()
    assert (found.count, found.size, found.hits) == (1, BLOCK, 1)
    assert abs(found.used - time.time()) < 60


def test_a_folder_that_others_may_read_is_private_from_the_next_entry_on(kept):
    kept.folder.chmod(0o755)
    assert Entries(kept.folder, kept.limit).put(OTHER, b"")
    assert kept.folder.stat().st_mode & 0o777 == 0o700


def test_a_key_depends_on_every_fact_and_on_their_order():
    keys = {key_of(*facts) for facts in ([], ["a"], ["b"], ["a", 1], [1, "a"], [["a", 1]], ["a", "1"], [{"a": 1}])}
    assert len(keys) == 8
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


@pytest.mark.parametrize("length", [0, 1, 7, 8, 20, HEAD - 1, HEAD, HEAD + 4, HEAD + len(ABOUT), -1])
def test_one_that_was_cut_is_missing_and_removed(kept, length):
    path = kept.folder / KEY
    path.write_bytes(path.read_bytes()[:length])
    assert content(kept) is None
    assert not path.exists()


def harmed(kept, change):
    """What is found after a change of an entry's bytes; it must have been removed."""
    path = kept.folder / KEY
    kept.put(KEY, ABOUT, memoryview(CONTENT))
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    found = content(kept)
    assert path.exists() == (found is not None)
    return found


@given(bit=st.integers(0, 8 * (HEAD + len(ABOUT) + len(CONTENT)) - 1))
def test_a_flipped_bit_anywhere_is_noticed(tmp_path_factory, bit):
    kept = Entries(tmp_path_factory.getbasetemp() / "flipped", 1 << 30)

    def flip(data):
        data[bit // 8] ^= 1 << bit % 8

    assert harmed(kept, lambda data: None) == (ABOUT, CONTENT)
    assert harmed(kept, flip) is None


@pytest.mark.parametrize("by", [-5, -1, 1, 100])
def test_the_border_between_the_two_parts_cannot_be_moved(kept, by):
    def move(data):
        head = list(entries._HEAD.unpack(data[:HEAD]))
        head[2] += by
        head[3] -= by
        data[:HEAD] = entries._HEAD.pack(*head)

    assert harmed(kept, move) is None


@pytest.mark.parametrize(
    "change", [lambda data: data.append(0), lambda data: data.__setitem__(slice(None), bytes(len(data)))],
    ids=["a byte too many", "zeros after a power cut"],
)  # fmt: skip
def test_what_is_longer_or_empty_of_sense_is_missing(kept, change):
    assert harmed(kept, change) is None


def test_an_entry_under_anothers_name_is_missing_and_removed(kept):
    (kept.folder / KEY).rename(kept.folder / OTHER)
    assert content(kept, OTHER) is None
    assert names(kept.folder) == []


def test_a_file_that_claims_to_be_huge_is_not_read(kept):
    with (kept.folder / KEY).open("r+b") as file:
        file.truncate(1 << 40)
    assert content(kept) is None
    assert not (kept.folder / KEY).exists()


@ROOT_ONLY
def test_another_users_entry_is_not_believed_and_is_replaced(kept):
    os.chown(kept.folder / KEY, 12345, 12345)
    assert content(kept) is None
    assert kept.clear().count == 0
    assert kept.put(KEY, ABOUT, memoryview(CONTENT))
    assert content(kept) == (ABOUT, CONTENT)


@ROOT_ONLY
def test_what_root_has_kept_does_not_stop_its_user():
    """As after `sudo vlm`: the user cannot read the entry, and keeps their own in its place."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from vlmcli import atomic, entries, files; import pathlib;"
        "import vlmcli.errors; os.setgid(12345); os.setuid(12345);"
        "there = entries.Entries(pathlib.Path(sys.argv[1]), 1 << 20); key = sys.argv[3];"
        "print(there.get(key), there.put(key, b'mine'), there.get(key).about)"
    )
    with tempfile.TemporaryDirectory() as base:  # pytest's own are closed to others
        Path(base).chmod(0o711)
        folder = Path(base) / "kept"
        Entries(folder, 1 << 20).put(KEY, b"root's")
        os.chown(folder, 12345, 12345)
        words = [sys.executable, "-c", code, folder, ROOT, KEY]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "None True b'mine'\n", done.stderr


def _link(path, outside):
    path.symlink_to(outside)


def _pipe(path, _):
    os.mkfifo(path)


def _folder(path, _):
    path.mkdir()
    (path / "in it").touch()


@pytest.mark.parametrize("make", [_link, _pipe, _folder])
def test_what_is_no_file_is_no_entry(kept, make, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes((kept.folder / KEY).read_bytes())
    (kept.folder / KEY).unlink()
    make(kept.folder / KEY, outside)
    before = outside.read_bytes(), outside.stat().st_mtime_ns
    assert content(kept) is None
    assert kept.kept().count == kept.clear().count == 0
    assert os.path.lexists(kept.folder / KEY)
    again = Entries(kept.folder, kept.limit)
    assert again.put(KEY, b"new") == (make is _link)  # which is replaced, as a name is
    assert again.put(OTHER, b"new")
    assert (outside.read_bytes(), outside.stat().st_mtime_ns) == before
    assert content(kept, OTHER) == (b"new", b"")


@pytest.mark.parametrize("make", [_link, _pipe, _folder])
def test_a_count_of_hits_that_is_no_file_is_left_alone(kept, make, tmp_path):
    outside = tmp_path / "outside"
    outside.touch()
    make(kept.folder / "hits", outside)
    assert content(kept) == (ABOUT, CONTENT)
    assert (kept.kept().hits, kept.clear().count, outside.read_bytes()) == (0, 1, b"")
    assert os.path.lexists(kept.folder / "hits")


def _nothing(folder):
    pass


def _file(folder):
    folder.write_bytes(b"mine")


def _linked(folder):
    (folder.parent / "mine").mkdir(mode=0o755)
    (folder.parent / "mine" / KEY).write_bytes(entries.FIRST_BYTES + b"mine")
    folder.symlink_to("mine")


def _anothers(folder):
    folder.mkdir(0o777)
    os.chown(folder, 12345, 12345)


def _closed(folder):
    folder.mkdir(0o500)


@pytest.mark.parametrize(
    "make", [_nothing, _file, _linked, pytest.param(_anothers, marks=ROOT_ONLY),
             pytest.param(_closed, marks=pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere"))],
)  # fmt: skip
def test_a_folder_that_cannot_be_used_is_empty_and_stays_as_it_is(tmp_path, make):
    folder = tmp_path / "kept"
    make(folder)
    before = sorted((str(one), one.lstat().st_mode) for one in tmp_path.rglob("*"))
    there = Entries(folder, 1 << 20)
    assert there.get(OTHER) is None
    assert (there.kept().count, there.clear().count) == (0, 0)
    there.sweep()
    assert sorted((str(one), one.lstat().st_mode) for one in tmp_path.rglob("*")) == before
    assert there.put(OTHER, b"") == (make is _nothing)
    assert make is _nothing or sorted((str(one), one.lstat().st_mode) for one in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("most", [0, 10, HEAD, HEAD + 50_000])
def test_a_full_disk_keeps_nothing_and_leaves_nothing(kept, most):
    there = Entries(kept.folder, 1 << 20)
    with full(most):
        assert not there.put(OTHER, b"", memoryview(bytes(100_000)))
    assert names(kept.folder) == [KEY]
    assert content(kept) == (ABOUT, CONTENT)


def test_a_disk_that_gets_full_keeps_what_found_room(tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        monkeypatch.setattr(entries, "SPARE", -(1 << 20))
        keys = [key_of(number) for number in range(6)]
        kept = [Entries(disk, 1 << 20).put(key, b"", memoryview(bytes(15_000))) for key in keys]
        assert kept == [True] * 4 + [False] * 2
        there = Entries(disk, 1 << 20)
        assert [there.get(key) is not None for key in keys] == kept
        assert set(names(disk)) - {"hits"} == set(keys[:4])
        monkeypatch.setattr(entries, "SPARE", 0)
        assert Entries(disk, 40_000).put(keys[5], b"", memoryview(bytes(15_000)))  # which makes room first
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_disk_is_not_filled(kept, monkeypatch):
    monkeypatch.setattr(entries, "SPARE", 1 << 60)
    assert not Entries(kept.folder, 1 << 20).put(OTHER, b"")
    assert names(kept.folder) == [KEY]


def test_the_oldest_go_first_and_one_that_is_found_is_young_again(tmp_path):
    keys = [key_of(number) for number in range(6)]
    for key in keys[:4]:
        assert Entries(tmp_path, 1 << 20).put(key, b"", memoryview(bytes(1000)))
    there = Entries(tmp_path, 1 << 20)
    aged(there, *keys[:4])
    assert there.get(keys[0]) is not None
    assert Entries(tmp_path, 4 * BLOCK).put(keys[4], b"", memoryview(bytes(1000)))
    assert set(names(tmp_path)) - {"hits"} == {keys[0], keys[2], keys[3], keys[4]}
    assert Entries(tmp_path, 2 * BLOCK).put(keys[5], b"", memoryview(bytes(1000)))
    assert len(set(names(tmp_path)) - {"hits"}) == 2
    assert keys[5] in names(tmp_path)


def test_a_run_fills_half_and_never_removes_its_own(tmp_path):
    size = BLOCK
    keys = [key_of(number) for number in range(20)]
    Entries(tmp_path, 1 << 20).put(key_of("another's"), b"", memoryview(bytes(1000)))
    run = Entries(tmp_path, 10 * size)
    kept = [run.put(key, b"", memoryview(bytes(1000))) for key in keys]
    assert kept == [True] * 5 + [False] * 15
    assert key_of("another's") in names(tmp_path)
    more = [key_of("next", number) for number in range(5)]
    following = Entries(tmp_path, 8 * size)
    assert [following.put(key, b"", memoryview(bytes(1000))) for key in more] == [True] * 4 + [False]
    assert len(names(tmp_path)) == 8
    assert set(more[:4]) < set(names(tmp_path))


def test_its_own_stay_when_all_others_are_younger(tmp_path):
    size = BLOCK
    run = Entries(tmp_path, 4 * size)
    run.put(key_of("own"), b"", memoryview(bytes(1000)))
    for number in range(3):
        Entries(tmp_path, 1 << 20).put(key_of(number), b"", memoryview(bytes(1000)))
    aged(run, key_of("own"))
    run._total = None  # it has been long, and it looks again
    assert run.put(key_of("own", 2), b"", memoryview(bytes(1000)))
    assert {key_of("own"), key_of("own", 2)} < set(names(tmp_path))
    assert len(names(tmp_path)) == 4


def test_what_a_wrong_clock_has_dated_into_the_future_goes_first(tmp_path):
    keys = [key_of(number) for number in range(3)]
    for key in keys:
        Entries(tmp_path, 1 << 20).put(key, b"", memoryview(bytes(1000)))
    later = time.time() + 10 * 365 * 86_400
    os.utime(tmp_path / keys[1], (later, later))
    assert Entries(tmp_path, 3 * BLOCK).put(key_of("new"), b"", memoryview(bytes(1000)))
    assert keys[1] not in names(tmp_path)
    os.utime(tmp_path / keys[2], (later, later))
    there = Entries(tmp_path, 1 << 20)
    assert there.kept().used < time.time() + 60
    assert there.clear(86_400).count == 1
    assert names(tmp_path) == sorted([keys[0], key_of("new")])


def test_one_that_is_written_again_is_counted_once(tmp_path):
    there = Entries(tmp_path, 4 * BLOCK)
    Entries(tmp_path, 1 << 20).put(KEY, b"", memoryview(bytes(1000)))
    assert all(there.put(OTHER, b"", memoryview(bytes(1000))) for _ in range(2))
    assert there._total == there.kept().size


def test_clearing_removes_what_is_ours_and_nothing_else(kept, tmp_path):
    mine = ["f" * 64, "README", "F" * 64, ".vlm-1.part"]
    for name in mine:
        (kept.folder / name).write_text("mine", "utf-8")
    (kept.folder / ("e" * 64)).symlink_to(tmp_path / "outside")
    (kept.folder / ("d" * 64)).mkdir()
    dead, alive = (kept.folder / f".vlm-{letter * 16}.part" for letter in "ab")
    dead.touch()
    with alive.open("wb") as file:
        assert atomic.lock(file)
        assert kept.get(KEY) is not None
        assert kept.clear(3600).count == 0
        assert (kept.folder / KEY).exists()
        aged(kept, KEY)
        assert kept.clear(3600).count == 1
        assert "hits" in names(kept.folder)
        kept.put(KEY, ABOUT)
        assert kept.clear().count == 1
        assert names(kept.folder) == sorted([*mine, "e" * 64, "d" * 64, alive.name])


def test_folders_with_entries_are_found_and_others_are_not(kept, tmp_path):
    for name in ("empty", "of another program"):
        (tmp_path / name).mkdir()
    (tmp_path / "of another program" / KEY).write_bytes(b"PNG")
    (tmp_path / "link").symlink_to(kept.folder)
    assert folders(tmp_path) == [kept.folder]
    assert folders(tmp_path / "no") == []
    with pytest.raises(NotADirectoryError):
        folders(kept.folder / KEY)


KILLED = """
import os, pathlib, sys
from vlmcli.entries import Entries
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), 9)
Entries(pathlib.Path(sys.argv[1]), 1 << 20).put(sys.argv[2], b"", memoryview(bytes(100_000)))
"""


def test_a_process_that_is_killed_while_it_writes_leaves_what_the_next_removes(kept):
    done = subprocess.run([sys.executable, "-c", KILLED, kept.folder, OTHER], cwd=ROOT, check=False)
    assert done.returncode == -9
    (left,) = set(names(kept.folder)) - {KEY}
    assert left.endswith(".part")
    assert content(kept, OTHER) is None
    atomic._swept.discard(kept.folder)  # as in another process
    Entries(kept.folder, 1 << 20).sweep()
    assert names(kept.folder) == [KEY]


BUSY = """
import hashlib, pathlib, random, sys
from vlmcli.entries import Entries, key_of
folder, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])
draw, found = random.Random(number), 0
for _ in range(3):
    there = Entries(folder, 150_000)
    for _ in range(40):
        of = draw.randrange(12)
        right = hashlib.sha256(b"%d" % of).digest() * 200
        entry = there.get(key_of(of))
        if entry is not None:
            assert (entry.about, bytes(entry.content)) == (b"%d" % of, right)
            found += 1
        elif draw.random() < 0.8:
            there.put(key_of(of), b"%d" % of, memoryview(right))
        else:
            there.clear(0.01)
print(found)
"""


def test_eight_processes_at_once_find_what_is_right_or_nothing(tmp_path):
    folder = tmp_path / "kept"
    running = [
        subprocess.Popen([sys.executable, "-c", BUSY, folder, str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    found = [int(one.communicate(timeout=120)[0]) for one in running]
    assert [one.returncode for one in running] == [0] * 8
    assert sum(found) > 100
    there = Entries(folder, 150_000)
    assert sum(there.get(key_of(of)) is not None for of in range(12)) == there.kept().count > 0
    assert not [name for name in names(folder) if name.endswith(".part")]
    assert there.kept().hits >= sum(found)
