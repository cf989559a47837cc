"""Object stores, by fsspec: its own in memory, and S3 as moto's server speaks it, in `vlm` as users run it."""

import io
import json
import pickle
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support import hub_files
from tests.support.named import found, names, wrong
from tests.support.program import SCENE, VLM, own_environment, vlm
from tests.support.raw_server import serving as raw_serving
from vlmcli.errors import SourceError
from vlmcli.later import Later
from vlmcli.pictures import shards, stores

boto3, fsspec, pa, pq = Later("boto3"), Later("fsspec"), Later("pyarrow"), Later("pyarrow.parquet")
PICTURE = Path(SCENE).read_bytes()
SECRET = "hush-hush"
CAPTION = "The image shows a red circle and a blue square on a white background."


def shard(*members):
    """The bytes of an archive."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return whole.getvalue()


def table(**columns):
    """The bytes of a table."""
    whole = io.BytesIO()
    pq.write_table(pa.table(columns), whole)
    return whole.getvalue()


# ---------------------------------------------------------------------------------------------- in memory


@pytest.fixture
def memory():
    """Fsspec's store in memory, empty. Returns what puts objects into it."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]

    def put(**objects):
        for name, data in objects.items():
            system.pipe_file("/" + name, data)

    yield lambda objects: put(**objects)
    system.store.clear()


def test_a_prefix_is_like_a_folder(memory):
    memory(
        {f"b/photos/{name}": PICTURE for name in ("2.png", "1.JPG", "a/3.png", "1.txt", "x.md", ".h.png", "a/4.tar")}
    )
    pictures, told = found("memory://b/photos")
    assert [one.name for one in pictures] == [f"memory://b/photos/{name}" for name in ("1.JPG", "2.png", "a/3.png")]
    assert told == "skipped 2 files that vlm cannot read as pictures (1 .md, 1 .tar)"
    assert all(one.expanded for one in pictures)
    assert pictures[0].load().size == (640, 480)
    assert names("memory://b/photos/") == names("memory://b/photos")
    assert pickle.loads(pickle.dumps(pictures)) == pictures


def test_one_object_a_pattern_and_braces(memory):
    memory({f"b/{number:02}.png": PICTURE for number in (8, 9, 10)} | {"b/x.txt": b"", "b/c/1.png": PICTURE})
    (one,) = found("memory://b/09.png")[0]
    assert (one.name, one.expanded, one.frame) == ("memory://b/09.png", False, 0)
    assert one.load().size == (640, 480)
    assert names("memory://b/0*.png") == ["memory://b/08.png", "memory://b/09.png"]
    assert names("memory://b/**/*.png")[-1] == "memory://b/c/1.png"
    assert names("memory://b/*") == [f"memory://b/{name}.png" for name in ("08", "09", "10")]
    assert names("memory://b/{08..09}.png") == ["memory://b/08.png", "memory://b/09.png"]
    assert found("memory://b/09.png#2")[0][0].frame == 2
    assert wrong(found("memory://b/nix.png")[0][0]) == "memory://b/nix.png: there is no such object"
    with pytest.raises(SourceError, match="nothing matches"):
        found("memory://b/*.gif")


def test_archives_and_tables_in_a_store_are_read_in_place(memory):
    memory({f"b/s-{number}.tar": shard(("1.png", PICTURE), ("1.cls", b"0"), ("2.png", b"2")) for number in range(2)})
    memory({"b/t.parquet": table(image=[PICTURE, b"1"])})
    pictures, told = found("memory://b/s-{0..2}.tar", "memory://b/t.parquet")
    assert [one.name.removeprefix("memory://b/") for one in pictures] == [
        "s-0.tar#1.png", "s-0.tar#2.png", "s-1.tar#1.png", "s-1.tar#2.png", "s-2.tar", "t.parquet#0", "t.parquet#1",
    ]  # fmt: skip
    assert told == ""
    assert [pictures[number].fetched() for number in (0, 3, 5, 6)] == [PICTURE, b"2", PICTURE, b"1"]
    assert "no such object" in wrong(pictures[4])
    assert names("memory://b/*.tar") == [one.name for one in pictures[:4]]
    (one,) = found("memory://b/s-1.tar#2.png")[0]
    assert (one.name, one.expanded, one.fetched()) == ("memory://b/s-1.tar#2.png", False, b"2")
    assert found("memory://b/t.parquet#image#1")[0][0].fetched() == b"1"
    with pytest.raises(SourceError) as told:
        found("memory://b")
    assert told.value.hint.endswith('in quotes: "memory://b/*.tar"')


def test_what_a_stranger_has_written_opens_no_file_here(memory, tmp_path):
    (tmp_path / "1.png").write_bytes(PICTURE)
    local = str(tmp_path / "1.png")
    memory({"b/1.png": PICTURE, "b/x.tar": shard(("1.png", PICTURE))})
    memory({"b/t.parquet": table(image=[local, f"file://{local}", "memory://b/1.png", "http://127.0.0.1:9/1.png"])})
    rows = found("memory://b/t.parquet")[0]
    for row in rows[:2]:
        assert "which only a table on this machine may do" in wrong(row)
    assert rows[2].fetched() == PICTURE
    assert "an address of this machine" in wrong(rows[3])
    words = [
        local,
        f"file://{local}",
        "memory://b/1.png",
        "memory://b/x.tar#1.png",
        "memory://b/x.tar",
        "memory://b/9.tar",
    ]
    listed = found(listed=words, only_addresses=True)[0]
    for one in listed[:2]:
        assert "a list from elsewhere may name only addresses" in wrong(one)
    assert [one.fetched() for one in listed[2:5]] == [PICTURE] * 3
    assert wrong(listed[5]) == "memory://b/9.tar: there is no such object"
    assert found(listed=[local])[0][0].fetched() == Path(local), "the user's own list may"


class Counted(stores.Stored):
    """An object that counts what is read of it."""

    asked: ClassVar[list[int]] = []

    def part(self, start, count, name):
        found = super().part(start, count, name)
        self.asked.append(len(found))
        return found


@pytest.mark.parametrize(
    ("count", "each", "requests", "share"), [(12, 3 << 20, 13, 0.03), (12, 300_000, 8, 1.01), (2000, 10_000, 9, 1.01)]
)
def test_an_archive_is_listed_with_few_requests_and_without_large_pictures(memory, count, each, requests, share):
    memory({"b/x.tar": shard(*((f"{number}.png", bytes(each)) for number in range(count)))})
    one = stores.one("memory://b/x.tar")
    Counted.asked.clear()
    assert len(shards.listed(Counted(one.address, one.size, one.version)).pictures) == count
    assert len(Counted.asked) <= requests
    assert sum(Counted.asked) <= share * one.size


def test_archives_are_listed_side_by_side_and_come_in_order(memory):
    """As many at once as wait for one another: with fewer, none would go on."""
    together = threading.Barrier(stores.AHEAD)

    def work(number):
        together.wait(20)
        if number == 3:
            raise SourceError("third")
        return number

    came = stores.ahead(range(stores.AHEAD), work)
    assert [next(came) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError, match="third"):
        next(came)
    memory({f"b/{number:02}.tar": shard((f"{number}.png", b"1"), ("a.md", b"")) for number in range(20)})
    for word in ("memory://b/*.tar", "memory://b/{00..19}.tar"):
        pictures, told = found(word)
        assert [one.name for one in pictures] == [f"memory://b/{number:02}.tar#{number}.png" for number in range(20)]
        assert told == "skipped 20 files that vlm cannot read as pictures (20 .md)"


def test_a_changed_object_has_another_version(memory):
    from vlmcli.records.journal import fingerprint

    memory({"b/1.png": PICTURE, "b/x.tar": shard(("1.png", PICTURE))})
    before = [fingerprint(one.file) for one in found("memory://b/1.png", "memory://b/x.tar")[0]]
    assert all(one.version for one in before)
    assert [one.size for one in before] == [len(PICTURE)] * 2
    assert [fingerprint(one.file) for one in found("memory://b/1.png", "memory://b/x.tar")[0]] == before
    time.sleep(0.01)
    memory({"b/1.png": PICTURE, "b/x.tar": shard(("1.png", PICTURE))})
    after = [fingerprint(one.file) for one in found("memory://b/1.png", "memory://b/x.tar")[0]]
    assert not set(before) & set(after)
    assert fingerprint(found(listed=["memory://b/1.png"])[0][0].file).version == "", "a list's are not asked about"


def test_there_are_bounds(memory, monkeypatch):
    memory({"b/1.png": PICTURE})
    (one,) = found("memory://b/1.png")[0]
    (listed,) = found(listed=["memory://b/1.png"])[0]
    monkeypatch.setattr(stores, "MAX_BYTES", len(PICTURE) - 1)
    assert wrong(one) == "memory://b/1.png: 3 kB is more than a picture has"
    assert wrong(listed) == "memory://b/1.png: more than 3 kB, too much for a picture"
    memory({"b/1.png": PICTURE[:100]})
    monkeypatch.undo()
    assert wrong(one) == "memory://b/1.png: changed while vlm was working"


def test_offline_no_store_is_asked(memory, monkeypatch):
    memory({"b/1.png": PICTURE})
    (one,) = found("memory://b/1.png")[0]
    monkeypatch.setenv("VLM_OFFLINE", "1")
    assert wrong(one) == "memory://b/1.png: VLM_OFFLINE is set, so no store is asked"
    with pytest.raises(SourceError, match="VLM_OFFLINE is set"):
        found("memory://b/1.png")


@pytest.mark.parametrize(
    ("address", "lacks", "says"),
    [
        ("s3://bucket/1.png", "s3fs", ["needs the package s3fs", "install it: pip install s3fs"]),
        ("gs://bucket/1.png", "gcsfs", ["needs the package gcsfs", "install it: pip install gcsfs"]),
        ("memory://b/1.png", "fsspec", ["needs the package fsspec", "install it: pip install 'vlmcli[stores]'"]),
    ],
)
def test_without_its_client_it_says_what_to_install(address, lacks, says):
    code = (
        "import json, sys; sys.modules[sys.argv[1]] = None\n"
        "from vlmcli.pictures import sources; from vlmcli.errors import SourceError\n"
        "try: next(sources.find([sys.argv[2]]))\n"
        "except SourceError as error: print(json.dumps([error.message, error.hint]))"
    )
    done = subprocess.run([sys.executable, "-c", code, lacks, address], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [f"{address}: {says[0]}", says[1]]


# ---------------------------------------------------------------------------------------------- the Hub


def test_a_data_set_on_the_hub(tmp_path):
    """In a process of its own, as the Hub's client fixes where the Hub is when it is imported."""
    archive = shard(("1.png", PICTURE), ("2.png", b"2" * 40_000))
    with hub_files.serving("owner/name", {"photos/1.png": PICTURE, "photos/x.md": b"words", "x.tar": archive}) as hub:
        env = own_environment({"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, "HF_TOKEN": SECRET, "VLM_MODEL": "demo"})

        def run(*words):
            done = subprocess.run(
                [VLM, "caption", *words], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert SECRET not in done.stdout + done.stderr
            return done

        done = run("hf://datasets/owner/name/photos", "hf://datasets/owner/name/*.tar", "--limit", "2")
        assert done.stdout.splitlines() == [
            f"hf://datasets/owner/name/{name}\t{CAPTION}" for name in ("photos/1.png", "x.tar#1.png")
        ], done.stderr
        assert "1 more picture is left" in done.stderr
        assert sorted(hub.ranges[-2:]) == sorted(
            f"bytes=0-{last}" for last in (len(PICTURE) - 1, 511 + len(PICTURE))
        ), "only the pictures, and the header before one; they are fetched at once"


# ---------------------------------------------------------------------------------------------- S3


@pytest.fixture(scope="module")
def server():
    """Moto's S3, as the environment of a command names it, with a client of boto3's."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(port=0, verbose=False)
    running.start()
    url = "http://{}:{}".format(*running.get_host_and_port()).replace("0.0.0.0", "127.0.0.1")
    env = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "AKIANAME", "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1", "VLM_MODEL": "demo",
    }  # fmt: skip
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket="pics")
    yield env, client
    running.stop()


@pytest.fixture
def bucket(server, tmp_path, monkeypatch):
    """A bucket with two pictures, a shard and a table. Returns what runs a command, and what puts an object into it."""
    env, client = server
    monkeypatch.setattr(stores, "_systems", {})

    def put(name, data):
        client.put_object(Bucket="pics", Key=name, Body=data)

    for name in ("photos/1.png", "photos/2.png"):
        put(name, PICTURE)
    put("photos/1.txt", b"words")
    put("x.tar", shard(("0001.png", PICTURE), ("0001.cls", b"7"), ("0002.png", PICTURE + b"2")))
    put("t.parquet", table(image=[{"bytes": PICTURE + b"3", "path": "3.png"}]))

    def run(*words, code=0, **more):
        done = vlm("caption", *words, env=env | more, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run, put


def records(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_about_a_bucket_goes_on_and_asks_again_what_changed(bucket, tmp_path):
    run, put = bucket
    words = ("s3://pics/photos", "s3://pics/*.tar", "s3://pics/t.parquet", "--output", "out.jsonl")
    run(*words, "--limit", "2")
    assert len(records(tmp_path / "out.jsonl")) == 2
    run(*words, "--exclude", "0002*")
    assert [one["sources"] for one in records(tmp_path / "out.jsonl")] == [
        [f"s3://pics/{name}"] for name in ("photos/1.png", "photos/2.png", "x.tar#0001.png", "t.parquet#0")
    ]
    assert [one["answer"] for one in records(tmp_path / "out.jsonl")] == [CAPTION] * 4
    assert [one["sha256"] for one in records(tmp_path / "out.jsonl")] == [[""]] * 4
    said = run(*words, "--exclude", "0002*").stderr
    assert said == "vlm: nothing left to do; 4 were done before\n", "and nothing is left out"
    put("photos/2.png", PICTURE + b"changed")
    put("x.tar", shard(("0001.png", PICTURE), ("0003.png", PICTURE)))
    assert "would ask 3 questions about 3 pictures; 2 were done before" in run(*words, "--dry-run").stderr


def test_a_list_in_a_bucket_names_what_is_there_and_no_files(server, bucket, tmp_path):
    run, put = bucket
    (tmp_path / "mine.png").write_bytes(PICTURE)
    put("list.txt", b"s3://pics/photos/1.png\nmine.png\ns3://pics/x.tar#0002.png\n")
    done = run("--files-from", "s3://pics/list.txt", code=3)
    assert done.stdout == f"s3://pics/photos/1.png\t{CAPTION}\ns3://pics/x.tar#0002.png\t{CAPTION}\n"
    assert "mine.png: a list from elsewhere may name only addresses" in done.stderr
    url = server[1].generate_presigned_url("get_object", {"Bucket": "pics", "Key": "list.txt"})
    assert "an address of this machine" in run("--files-from", url, code=1).stderr
    put("list.txt", b"mine.png\n/etc/passwd")
    said = run("--files-from", url, "--allow-local-urls", code=1).stderr
    assert "mine.png: a list from elsewhere may name only addresses" in said


def test_no_text_is_written_beside_what_is_no_file(bucket, tmp_path):
    run, _ = bucket
    (tmp_path / "x.tar").write_bytes(shard(("0001.png", PICTURE)))
    for how in (("--sidecar", "txt"), ("--write-metadata",)):
        done = run("s3://pics/photos/1.png", "x.tar", *how, code=1)
        for name in ("s3://pics/photos/1.png", "x.tar#0001.png"):
            assert f"{name}: in an archive, a table or a store, so no answer can be written beside it" in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["x.tar"]
    said = run("x.tar", "--output", "metadata.jsonl", code=2).stderr
    assert "x.tar#0001.png: not one picture in" in said


def test_what_goes_wrong_is_told_in_a_line(bucket):
    run, _ = bucket
    said = run("s3://pics/photos/9.png", "s3://nix/1.png", code=1).stderr
    assert "s3://pics/photos/9.png: there is no such object" in said
    assert "s3://nix/1.png: there is no such object" in said
    said = run(f"s3://AKIANAME:{SECRET}@pics/photos/1.png", code=1).stderr
    assert "s3://pics/photos/1.png: the address contains a user name" in said
    assert "VLM_OFFLINE is set" in run("s3://pics/photos/1.png", code=1, VLM_OFFLINE="1").stderr


def test_a_store_that_refuses_is_told_without_what_it_says(bucket):
    run, _ = bucket
    answer = f"HTTP/1.1 403 {SECRET}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with raw_serving(answer) as closed:
        said = run("s3://pics/photos/1.png", code=1, AWS_ENDPOINT_URL=f"http://127.0.0.1:{closed.port}").stderr
    assert "s3://pics/photos/1.png: access denied\n     check the credentials for this store\n" in said


def test_a_store_that_says_nothing_is_given_up(bucket, monkeypatch):
    run, _ = bucket
    silent = threading.Event()
    monkeypatch.setattr(stores, "SECONDS", 0.5)

    def wait(*_):
        silent.wait(20)

    with raw_serving(wait) as quiet:
        began = time.monotonic()
        said = run("s3://pics/photos/1.png", code=1, AWS_ENDPOINT_URL=f"http://127.0.0.1:{quiet.port}").stderr
        assert time.monotonic() - began < 10
        silent.set()
    assert "s3://pics/photos/1.png: the store did not answer within 0.5 s" in said


def test_the_installed_command_asks_about_a_shard_in_a_bucket(server, bucket, tmp_path):
    """A process of its own, with nothing imported before."""
    done = subprocess.run(
        [VLM, "ask", "s3://pics/x.tar#0001.png", "what is this?"],
        env=own_environment(server[0]), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("A red circle and a blue square.\n", 0), done.stderr


def test_a_store_is_not_imported_for_what_is_a_file(tmp_path):
    code = (
        "import sys; from vlmcli.pictures import sources; list(sources.find(sys.argv[1:]))\n"
        "print([name for name in ('fsspec', 'pyarrow', 'tarfile', 'httpcore2') if name in sys.modules])"
    )
    (tmp_path / "x.tar").write_bytes(shard(("0001.png", PICTURE)))
    done = subprocess.run([sys.executable, "-c", code, SCENE, str(tmp_path / "x.tar")], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
