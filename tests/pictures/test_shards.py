"""Pictures in tar archives: as webdataset writes them, under any name, and in archives that are damaged or hostile."""

import io
import pickle
import random
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from tests.support.files import BLUE, RED
from tests.support.named import found, names, wrong
from tests.support.program import SCENE
from vlmcli.errors import SourceError, UsageError
from vlmcli.pictures import braces, shards, sources
from vlmcli.pictures.kept import MAX_BYTES

PICTURE = Path(SCENE).read_bytes()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder that the test is in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tar(path, *members, format=tarfile.PAX_FORMAT):
    """An archive of members: (name, bytes), or headers for those that have no data."""
    with tarfile.open(path, "w", format=format) as archive:
        for one in members:
            if isinstance(one, tarfile.TarInfo):
                archive.addfile(one)
                continue
            header = tarfile.TarInfo(one[0])
            header.size = len(one[1])
            archive.addfile(header, io.BytesIO(one[1]))


def special(name, kind, leads=""):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, leads
    return header


# ---------------------------------------------------------------------------------------------- what is in it


def test_a_shard_of_webdataset_is_its_pictures(here):
    import webdataset

    with webdataset.TarWriter("shard-000.tar") as writer:
        for number in range(5):
            data = PICTURE + bytes([number])
            sample = {"png": data, "cls": number, "json": {"a": 1}, "txt": "words", "seg.npy": b"0"}
            writer.write({"__key__": f"dir/{number:04}"} | sample)
        writer.write({"__key__": "alone", "txt": "words", "cls": 1})
    pictures, told = found("shard-000.tar")
    assert [one.name for one in pictures] == [f"shard-000.tar#dir/{number:04}.png" for number in range(5)]
    assert [one.fetched() for one in pictures] == [PICTURE + bytes([number]) for number in range(5)]
    assert all(one.expanded for one in pictures)
    assert told == "skipped 2 files that vlm cannot read as pictures (1 .cls, 1 .txt)"
    assert pictures[0].load().size == (640, 480)
    assert [one.name for one in here.iterdir()] == ["shard-000.tar"], "nothing is unpacked"


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_names_of_every_kind(format):
    wanted = ["a.jpg", "ordner/größe.jpg", "x" * 90 + ".jpg", "y" * 90 + "/" + "z" * 90 + ".jpg", "b c.jpg"]
    if format != tarfile.USTAR_FORMAT:
        wanted += ["long/" * 60 + "n" * 200 + ".jpg"]
    tar("x.tar", *((name, name.encode()) for name in wanted), format=format)
    pictures, _ = found("x.tar")
    assert [one.name for one in pictures] == [f"x.tar#{name}" for name in wanted]
    assert [one.fetched() for one in pictures] == [name.encode() for name in wanted]


def test_a_member_is_known_by_its_suffix_or_its_content():
    tar(
        "x.tar",
        ("./1.jpg", b"not looked into"), ("2", PICTURE), ("3.image", PICTURE),
        ("4.bin", b"0" * 2000), ("5.nef", PICTURE),
        (".hidden.png", PICTURE), ("__MACOSX/._1.jpg", b"0"), ("6.tar", PICTURE),
        ("7.JPG", b""), special("8", tarfile.DIRTYPE),
    )  # fmt: skip
    pictures, told = found("x.tar")
    assert [one.name for one in pictures] == ["x.tar#1.jpg", "x.tar#2", "x.tar#3.image", "x.tar#7.JPG"]
    assert told == "skipped 3 files that vlm cannot read as pictures (1 .bin, 1 .nef, 1 .tar)"
    assert pictures[3].fetched() == b""
    with pytest.raises(SourceError, match=r"\Ax.tar#7.JPG: the file is empty"):
        pictures[3].load()


def test_of_members_with_one_name_the_last_counts_as_when_it_is_unpacked():
    tar("x.tar", ("1.jpg", b"old"), ("2.jpg", b"two"), ("1.jpg", b"new"))
    assert [(one.name, one.fetched()) for one in found("x.tar")[0]] == [
        ("x.tar#1.jpg", b"new"),
        ("x.tar#2.jpg", b"two"),
    ]


def test_a_member_or_a_frame_of_one_can_be_named():
    frames = io.BytesIO()
    pages = [Image.new("RGB", (64, 48), color) for color in (RED, BLUE)]
    pages[0].save(frames, "TIFF", save_all=True, append_images=pages[1:])
    tar("x.tar", ("a/1.png", PICTURE), ("scan.tif", frames.getvalue()), ("odd#3.png", PICTURE))
    assert [one.fetched() for one in found("x.tar#a/1.png")[0]] == [PICTURE]
    assert not found("x.tar#a/1.png")[0][0].expanded
    assert [one.load().pixels()[:3] for one in found("x.tar#scan.tif#1", "x.tar#scan.tif#2")[0]] == [
        bytes(RED), bytes(BLUE)
    ]  # fmt: skip
    assert found("x.tar#odd#3.png")[0][0].fetched() == PICTURE
    (missing,) = found("x.tar#2.png")[0]
    assert wrong(missing) == "x.tar#2.png: there is no such picture in the archive"
    Path("y.tar#1.png").write_bytes(PICTURE)
    assert found("y.tar#1.png")[0][0].fetched() == Path("y.tar#1.png"), "a file of that name is that file"


def test_braces_patterns_and_lists_name_several(here):
    for number in (8, 9, 10):
        tar(f"s-{number:03}.tar", ("1.png", PICTURE))
    all_three = [f"s-{number:03}.tar#1.png" for number in (8, 9, 10)]
    assert names("s-{008..010}.tar") == all_three
    assert names("*.tar") == all_three
    assert [one.name for one in sources.find((), ["s-010.tar", "s-008.tar#1.png"])] == [all_three[2], all_three[0]]
    pictures, _ = found("s-{010..011}.tar")
    assert [one.name for one in pictures] == ["s-010.tar#1.png", "s-011.tar"]
    with pytest.raises(SourceError, match=r"\As-011.tar: there is no such file"):
        pictures[1].load()
    with pytest.raises(SourceError) as told:
        found(".")
    assert told.value.hint.endswith('in quotes: "./*.tar"')


def test_braces_count_as_a_shell_does():
    assert braces.expand("a{8..11}b") == ["a8b", "a9b", "a10b", "a11b"]
    assert braces.expand("{000..002}") == ["000", "001", "002"]
    assert braces.expand("{2..1}{a,b}") == ["2a", "2b", "1a", "1b"]
    assert braces.expand("x{train,}.tar") == ["xtrain.tar", "x.tar"]
    assert not any(map(braces.expand, ("a.tar", "{}", "{a}", "{a..b}", "{1..}")))
    for word in ("{0..9999999}", "{1..99999}{1..3}", "{0..%s}" % ("9" * 5000)):
        with pytest.raises(UsageError, match="stands for more than"):
            braces.expand(word)


def test_a_compressed_archive_and_what_only_has_the_name_of_one():
    with tarfile.open("x.tar.gz", "w:gz"):
        pass
    assert wrong(found("x.tar.gz")[0][0]) == "x.tar.gz: a compressed archive, in which pictures cannot be found"
    Path("photo.tar").write_bytes(PICTURE)
    assert found("photo.tar")[0][0].load().size == (640, 480)
    assert found("photo.tar#1")[0][0].frame == 1
    assert [found(name)[0][0].name for name in ("nix.tar#1.png", "nix.parquet#1")] == ["nix.tar#1.png", "nix.parquet#1"]
    with pytest.raises(SourceError, match=r"\Anix.tar#1.png: there is no such file"):
        found("nix.tar#1.png")[0][0].load()
    Path("none.tar").write_bytes(b"x" * 600)
    with pytest.raises(SourceError, match=r"none\.tar"):
        found("none.tar")[0][0].load()
    tar("empty.tar", ("a.txt", b"words"))
    assert wrong(found("empty.tar")[0][0]) == "empty.tar: no pictures in it that vlm can read (1 .txt)"


# ---------------------------------------------------------------------------------------------- what is wrong with it


def test_links_and_devices_are_left_out_and_names_lead_nowhere(here):
    (here / "secret.png").write_bytes(b"secret")
    tar(
        "x.tar",
        special("link.png", tarfile.SYMTYPE, str(here / "secret.png")),
        special("hard.png", tarfile.LNKTYPE, "/etc/passwd"),
        special("pipe.png", tarfile.FIFOTYPE), special("disk.png", tarfile.BLKTYPE), ("../up.png", b"up"),
        ("/etc/x.png", b"x"),
    )  # fmt: skip
    pictures, told = found("x.tar")
    assert told == "skipped 4 files that vlm cannot read as pictures (2 links, 2 pipes or devices)"
    assert [(one.name, one.fetched()) for one in pictures] == [("x.tar#../up.png", b"up"), ("x.tar#/etc/x.png", b"x")]
    assert sorted(one.name for one in here.iterdir()) == ["secret.png", "x.tar"]


def sparse(name, real):
    """A sparse file in GNU's old format, with 512 bytes of data and one more block of header."""
    header = bytearray(special(name, b"S").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"%011o\0" % 512
    header[482] = 1
    header[483:495] = b"%011o\0" % real
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(512) + b"\1" * 512


def test_a_sparse_file_is_left_out_and_what_is_behind_it_is_read(here):
    tar("x.tar", ("1.png", PICTURE))
    Path("x.tar").write_bytes(sparse("s.png", 1 << 30) + Path("x.tar").read_bytes())
    pictures, told = found("x.tar")
    assert [one.name for one in pictures] == ["x.tar#1.png"]
    assert told == "skipped 1 file that vlm cannot read as a picture (1 sparse file)"


def test_listing_does_not_read_the_data_and_a_picture_has_a_bound(here):
    """Three members of 40 GB, of which the disk holds only the headers."""
    size, at = 40 << 30, 0
    with Path("x.tar").open("wb") as file:
        for name in ("1.png", "2.txt", "3.png"):
            header = tarfile.TarInfo(name)
            header.size = size
            file.seek(at)
            at += 512 + size
            file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.truncate(at + 1024)
    tracemalloc.start()
    pictures, _ = found("x.tar")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.name for one in pictures] == ["x.tar#1.png", "x.tar#3.png"]
    assert most < 2_000_000
    assert wrong(pictures[1]) == "x.tar#3.png: 42.9 GB is more than a picture has"
    assert size > MAX_BYTES


@pytest.mark.parametrize("kind", [b"x", b"L", b"g", b"K"])
def test_a_header_that_claims_to_be_huge_is_not_read(kind):
    header = tarfile.TarInfo("long")
    header.type, header.size = kind, 8 << 30
    tar("x.tar", ("1.png", PICTURE))
    whole = Path("x.tar").read_bytes()
    behind = 512 + -(-len(PICTURE) // 512) * 512
    Path("x.tar").write_bytes(whole[:behind] + header.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    pictures, _ = found("x.tar")
    assert [one.name for one in pictures] == ["x.tar#1.png", "x.tar"]
    assert pictures[0].fetched() == PICTURE
    assert "a header of 8.59 GB" in wrong(pictures[1])


def test_an_archive_that_is_cut_off_has_the_pictures_before_that(here):
    """Wherever it is cut: what comes is right, what is missing is told, and nothing else happens."""
    data = [PICTURE[:700], PICTURE[:512], PICTURE[:1500]]
    tar("whole.tar", *((f"{number}.png", one) for number, one in enumerate(data)), ("a.txt", b"words"))
    whole = Path("whole.tar").read_bytes()
    ends = [512 + 1024, 512 + 1024 + 1024, 512 + 1024 + 1024 + 512 + 1536]
    for cut in range(512, ends[-1] + 1024, 100):
        Path("x.tar").write_bytes(whole[:cut])
        pictures, _ = found("x.tar")
        good = [one for one in pictures if isinstance(one.file, shards.Member)]
        assert [one.fetched() for one in good] == data[: len(good)]
        begins = [0, *ends]
        have = [begin + 512 + len(one) <= cut for begin, one in zip(begins, data, strict=False)]
        assert len(good) == sum(have), cut
        for one in pictures[len(good) :]:
            assert "the archive ends in the middle" in wrong(one) or "cut off" in wrong(one)
        if cut not in (*ends, *(end + 512 for end in ends)) and cut < ends[-1]:
            padding = any(
                begin + 512 + len(one) <= cut <= end for begin, end, one in zip(begins, ends, data, strict=False)
            )
            assert len(pictures) > len(good) or padding, f"cut at {cut} is told"


def test_bytes_that_are_changed_anywhere_are_told_or_harmless(here, everything):
    tar("whole.tar", *((f"{number}.png", PICTURE[:900]) for number in range(4)), ("n" * 300 + ".png", PICTURE[:900]))
    whole, chance = Path("whole.tar").read_bytes(), random.Random(29)
    for _ in range(2000 if everything else 200):
        spoilt = bytearray(whole)
        for _ in range(chance.choice((1, 1, 3, 50))):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        Path("x.tar").write_bytes(spoilt)
        for one in found("x.tar")[0]:
            if not isinstance(one.file, Path):  # of which the first block is no header any more
                try:
                    assert len(one.fetched()) <= len(whole)
                except SourceError as error:
                    assert error.message.startswith("x.tar")


def test_a_shard_that_changes_meanwhile_is_not_read(here):
    tar("x.tar", ("1.png", PICTURE), ("2.png", PICTURE))
    pictures, _ = found("x.tar")
    tar("x.tar", ("0.txt", b"words"), ("1.png", PICTURE), ("2.png", PICTURE))
    assert "changed while vlm was working" in wrong(pictures[1])
    Path("x.tar").unlink()
    assert wrong(pictures[1]) == "x.tar#2.png: cannot be read (No such file or directory)"


# ---------------------------------------------------------------------------------------------- many, and elsewhere


def test_a_source_is_small_and_can_be_sent_to_another_process(here):
    tar("x.tar", *((f"{number:05}.png", b"%d" % number) for number in range(2000)))
    tracemalloc.start()
    pictures, _ = found("x.tar")
    each = tracemalloc.get_traced_memory()[0] / len(pictures)
    tracemalloc.stop()
    assert each < 500
    assert pickle.loads(pickle.dumps(pictures)) == pictures
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).fetched())"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(pictures[1321]), capture_output=True, check=True
    )
    assert done.stdout.split() == [b"b'1321'"]
