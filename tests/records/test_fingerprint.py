"""What a picture is known by in the journal: its bytes, or the version of what it is in. Ids stay as they are."""

import os
import tarfile
from pathlib import Path

import pytest

from tests.support.program import SCENE
from vlmcli.later import Later
from vlmcli.pictures import sources
from vlmcli.pictures.sources import Url
from vlmcli.records.journal import Fingerprint, asked_of, fingerprint, work_id
from vlmcli.tasks.ask import Ask

pa, pq = Later("pyarrow"), Later("pyarrow.parquet")
ASK = Ask("What is it?")
URL = "https://example.org/a.png"


@pytest.mark.parametrize(
    ("names", "prints", "work"),
    [
        (["a.png"], [fingerprint(b"abc")], "ee4ea344da1516833bf2aed8c4883fe4"),
        ([URL], [fingerprint(Url(URL))], "2e7ae8ed525c9c462d52bee2b621833e"),
        (["a.png", "b.png"], [Fingerprint("ab" * 32, 3, 4), Fingerprint()], "a7fd0cd2c37cdacfc15a046e1b908992"),
    ],
)
def test_the_ids_of_files_and_addresses_are_those_of_earlier_records(names, prints, work):
    assert work_id(names, prints, asked_of(ASK, "demo")) == work


def works(*words):
    """The ids of the pictures that words name."""
    return [work_id([one.name], [fingerprint(one.file)], asked_of(ASK, "demo")) for one in sources.find(words)]


def test_a_shard_and_a_table_are_known_by_their_size_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tarfile.open("x.tar", "w") as archive:
        for name in ("1.png", "2.png"):
            archive.add(SCENE, name)
    pq.write_table(pa.table({"image": [b"1", b"2"]}), "t.parquet")
    for name in ("x.tar", "t.parquet"):
        before = works(name)
        assert len(set(before)) == 2
        assert works(name) == before
        (one, _) = sources.find([name])
        known, there = fingerprint(one.file), Path(name).stat()
        assert (known.sha256, known.modified) == ("", there.st_mtime_ns)
        assert known.version == f"{there.st_size} {there.st_mtime_ns}"
        os.utime(name, ns=(0, there.st_mtime_ns + 1))
        assert not set(works(name)) & set(before)
    assert fingerprint(next(sources.find(["x.tar"])).file).size == Path(SCENE).stat().st_size
    Path("x.tar").write_bytes(Path("x.tar").read_bytes()[:700])
    (broken,) = sources.find(["x.tar"])
    assert fingerprint(broken.file).version.startswith("700 "), "what is broken is asked again when it has changed"
