"""What was found out about a file is found again by a later process, and never believed of a file that has changed."""

import os
import time

import pytest

from tests.models.test_gguf import small_file
from vlmcli import demo, files, memo
from vlmcli.bench import mutants
from vlmcli.bench.mutants import Value
from vlmcli.bench.pairs import SMALL
from vlmcli.errors import ModelError
from vlmcli.models import catalogue, gguf, pairing
from vlmcli.models.fingerprint import fingerprint


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder in which things are kept, in a process that has read nothing, long after all files were written."""
    monkeypatch.setattr(time, "time_ns", lambda: 1 << 62)
    forget()
    with memo.kept_in(tmp_path / "kept"):
        yield tmp_path / "kept"
    forget()


def forget():
    """As a new process: it knows nothing of any file."""
    gguf._read_file.cache_clear()
    gguf._repeated_text.cache_clear()
    catalogue.entries.cache_clear()


def names(folder):
    return sorted(one.name for one in folder.iterdir() if len(one.name) == 64) if folder.exists() else []


def odd_file():
    file = small_file()
    file.keys += [
        (b"odd.text", Value(8, '\0 \u2028 \U0001f600 \\ "'.encode() + b"\xff")),
        (b"odd.numbers", Value(12, [1e308, -0.0, 5e-324, float("inf"), 0.1], True)),
        (b"odd.flags", Value(7, [True, False], True)),
        (b"odd.large", Value(10, (1 << 64) - 1)),
        (b"odd.none", Value(8, [], True)),
    ]
    return mutants.write(file)


def test_a_header_that_was_kept_equals_the_one_that_was_read(small, kept, tmp_path):
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(odd_file())
    paths = [odd, demo.FILES.model, demo.FILES.projector, *(small / f"{name}.gguf" for name in SMALL)]
    first = [gguf.read(path) for path in paths]
    assert len(names(kept)) == len(paths)
    forget()
    with memo.kept_in(None):
        plain = [gguf.read(path) for path in paths]
    forget()
    again = [gguf.read(path) for path in paths]
    assert again == first == plain
    assert again[0] is not first[0]
    assert [type(value) for value in again[0].metadata.values()] == [type(one) for one in plain[0].metadata.values()]


def test_a_known_file_is_not_opened_again(kept, tmp_path, monkeypatch):
    headers = gguf.read(demo.FILES.model), gguf.read(demo.FILES.projector)
    pairing.check(*headers)
    prints = [fingerprint(one) for one in headers]
    forget()

    def refuse(path, **_):
        if path.suffix == ".gguf":
            raise OSError("opened")
        return opened(path, **_)

    opened = gguf.files.opened
    monkeypatch.setattr(gguf.files, "opened", refuse)
    again = gguf.read(demo.FILES.model), gguf.read(demo.FILES.projector)
    pairing.check(*again)
    assert [fingerprint(one) for one in again] == prints
    assert prints[0] != prints[1]


@pytest.mark.parametrize("spoil", ["cut", "empty", "flipped", "another's", "list"])
def test_what_is_damaged_is_found_out_again(kept, tmp_path, spoil):
    first = gguf.read(demo.FILES.model)
    gguf.read(demo.FILES.projector)
    one, other = (kept / name for name in names(kept))
    whole, others = one.read_bytes(), other.read_bytes()
    for path, mine, theirs in ((one, whole, others), (other, others, whole)):
        path.write_bytes(
            {
                "cut": mine[: len(mine) // 2], "empty": b"", "another's": theirs, "list": b"[]" * 50,
                "flipped": mine[:-9] + bytes([mine[-9] ^ 1]) + mine[-8:],
            }[spoil]
        )  # fmt: skip
    forget()
    assert gguf.read(demo.FILES.model) == first
    gguf.read(demo.FILES.projector)
    assert {one.read_bytes(), other.read_bytes()} == {whole, others}, "kept again, whole"


def test_a_file_that_is_written_again_in_place_is_another(kept, tmp_path):
    path = tmp_path / "one.gguf"
    path.write_bytes(mutants.write(small_file()))
    assert gguf.read(path).number("block_count") == 2
    about = path.stat()
    changed = small_file()
    changed.key("llama.block_count").value = 3
    with path.open("r+b") as file:
        file.write(mutants.write(changed))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (about.st_size, about.st_mtime_ns, about.st_ino)
    assert gguf.read(path).number("block_count") == 3
    forget()
    assert gguf.read(path).number("block_count") == 3


def test_a_pair_is_known_as_a_pair(kept, small, tmp_path):
    """Each file of a known pair is none of another one."""
    headers = {name: gguf.read(small / f"{name}.gguf") for name in ("llava", "mmproj-llava", "wide", "mmproj-gemma3")}
    pairing.check(headers["llava"], headers["mmproj-llava"])
    for model, projector in (("wide", "mmproj-llava"), ("llava", "mmproj-gemma3"), ("llava", "llava")):
        with pytest.raises(ModelError):
            pairing.check(headers[model], headers[projector])
    pairing.check(headers["llava"], headers["mmproj-llava"])


def test_what_has_just_been_written_is_not_kept(kept, tmp_path, monkeypatch):
    """A change in the same moment could not be told from it."""
    path = tmp_path / "one.gguf"
    path.write_bytes(mutants.write(small_file()))
    written = path.stat().st_ctime_ns
    for later, count in ((0, 0), (-5, 0), (1.9, 0), (2.1, 1)):  # the clock may have been set back
        monkeypatch.setattr(time, "time_ns", lambda: written + int(later * 1e9))  # noqa: B023 - called at once
        forget()
        gguf.read(path)
        assert len(names(kept)) == count, later


def test_a_file_that_changes_while_it_is_read_is_not_kept(kept, tmp_path):
    path = tmp_path / "one.gguf"
    path.write_bytes(mutants.write(small_file()))
    before = memo.identity(path)
    os.utime(path)
    memo.keep("header", [before], 1)
    assert names(kept) == []
    memo.keep("header", [memo.identity(path)], 1)
    assert len(names(kept)) == 1
    assert memo.known("header", [before]) is None
    assert memo.known("header", [memo.identity(path)]) == 1
    assert memo.known("other", [memo.identity(path)]) is None


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    gguf.read(demo.FILES.model)
    memo.keep("a", [memo.identity(demo.FILES.model)], 1)
    assert memo.known("a", [memo.identity(demo.FILES.model)]) is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_changes_nothing(kept, tmp_path):
    kept.write_text("no folder")
    assert gguf.read(demo.FILES.model).architecture == "llama"
    assert kept.read_text() == "no folder"


def test_the_catalogue_is_the_same(kept):
    with memo.kept_in(None):
        plain = catalogue.entries()
    for _ in range(2):
        catalogue.entries.cache_clear()
        assert catalogue.entries() == plain
    assert len(names(kept)) == 1
    assert not any("/" in name or name.endswith(".gguf") for row in plain for name in (row.name, *row.also))


def test_a_file_whose_times_are_in_hundredths_of_a_second_is_not_kept(kept, tmp_path, monkeypatch):
    """FAT has such, and does not know when an inode was changed."""
    path = tmp_path / "one.gguf"
    path.write_bytes(mutants.write(small_file()))
    monkeypatch.setattr(files, "TICK", 1)
    forget()
    gguf.read(path)
    assert names(kept) == []
