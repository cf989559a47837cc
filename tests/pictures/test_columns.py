"""Pictures in Parquet tables: as Hugging Face's datasets and pyarrow write them; and in tables that are damaged."""

import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from tests.support.files import BLUE, RED
from tests.support.named import wrong
from tests.support.program import SCENE
from vlmcli.errors import SourceError
from vlmcli.later import Later
from vlmcli.pictures import columns, sources

pa, pq = Later("pyarrow"), Later("pyarrow.parquet")  # slow, for who collects
PICTURE = Path(SCENE).read_bytes()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder that the test is in, and no table open from others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(columns, "_tables", type(columns._tables)())
    return tmp_path


def found(word):
    return list(sources.find([word]))


def table(columns, path="t.parquet", **options):
    pq.write_table(pa.table(columns), path, **options)


def test_a_data_set_of_hugging_face(here):
    code = (
        "import sys; import PIL.Image; from datasets import Dataset, Image\n"
        "rows = {'label': [0, 1], 'image': [PIL.Image.open(name).copy() for name in sys.argv[1:]]}\n"
        "Dataset.from_dict(rows).cast_column('image', Image()).to_parquet('photos.parquet')"
    )
    for number, color in enumerate((RED, BLUE)):
        Image.new("RGB", (64, 48), color).save(f"{number}.png")
    done = subprocess.run([sys.executable, "-c", code, "0.png", "1.png"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    Path("0.png").unlink()  # its bytes are in the table
    pictures = found("photos.parquet")
    assert [one.name for one in pictures] == ["photos.parquet#0", "photos.parquet#1"]
    assert [one.load().pixels()[:3] for one in pictures] == [bytes(RED), bytes(BLUE)]
    assert all(one.expanded for one in pictures)


@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view", "struct"])
def test_bytes_of_every_kind_and_rows_without_any(kind):
    pictures = [PICTURE, None, b"", PICTURE + b"3"]
    if kind == "struct":
        type_ = pa.struct([("path", pa.string()), ("bytes", pa.binary())])
        values = [None if one is None else {"bytes": one, "path": None} for one in pictures]
    else:
        type_, values = getattr(pa, kind)(), pictures
    pq.write_table(pa.table({"n": [1, 2, 3, 4], "what": pa.array(values, type_)}), "t.parquet")
    rows = found("t.parquet")
    assert (rows[0].fetched(), rows[3].fetched()) == (PICTURE, PICTURE + b"3")
    assert [wrong(one) for one in rows[1:3]] == [f"t.parquet#{row}: there is no picture in this row" for row in (1, 2)]


def test_paths_are_those_beside_the_table_and_addresses_are_fetched_as_others_are(here):
    (here / "sub").mkdir()
    (here / "sub" / "1.png").write_bytes(PICTURE)
    paths = ["1.png", str(here / "sub" / "1.png"), "2.png", "http://127.0.0.1:9/a.png?secret=1", "file:///etc/passwd"]
    table({"image": [{"bytes": None, "path": path} for path in paths]}, "sub/t.parquet")
    rows = found("sub/t.parquet")
    assert [one.load().size for one in rows[:2]] == [(640, 480)] * 2
    assert wrong(rows[2]) == "sub/t.parquet#2: there is no such file"
    (here / "2.png").write_bytes(PICTURE)
    assert rows[2].fetched() == Path("2.png"), "from the current folder, where there is none beside the table"
    said = wrong(rows[3])
    assert "an address of this machine" in said
    assert "secret" not in said
    assert wrong(rows[4]) == "sub/t.parquet#4: neither a path nor an address of http, https or a store"


def test_which_column_has_the_pictures():
    table({"thumb": [b"t"], "image": [b"i"], "caption": ["words"]})
    assert [one.fetched() for one in found("t.parquet")] == [b"i"]
    assert [(one.name, one.fetched()) for one in found("t.parquet#thumb")] == [("t.parquet#thumb#0", b"t")]
    table({"URL": ["a.png"], "TEXT": ["words"]})
    assert found("t.parquet")[0].fetched() == Path("a.png")
    table({"blob": [b"b"], "caption": ["words"]})
    assert found("t.parquet")[0].fetched() == b"b"
    table({"left": [b"l"], "right": [b"r"]})
    (one,) = found("t.parquet")
    with pytest.raises(SourceError) as told:
        one.load()
    assert told.value.message == "t.parquet: pictures may be in the columns left, right"
    assert told.value.hint == "name one of them: t.parquet#left"
    table({"caption": ["words"], "n": [1]})
    assert wrong(found("t.parquet")[0]) == "t.parquet: no column of pictures (it has caption, n)"
    assert wrong(found("t.parquet#nix")[0]) == "t.parquet#nix: has no column 'nix'"


def test_a_row_and_a_frame_of_it_can_be_named():
    pages = [Image.new("RGB", (64, 48), color) for color in (RED, BLUE)]
    pages[0].save("scan.tif", save_all=True, append_images=pages[1:])
    table({"image": [PICTURE, Path("scan.tif").read_bytes()], "other": [b"0", b"1"]})
    (one,) = found("t.parquet#1#2")
    assert (one.name, one.expanded, one.load().pixels()[:3]) == ("t.parquet#1#2", False, bytes(BLUE))
    assert found("t.parquet#other#1")[0].fetched() == b"1"
    assert wrong(found("t.parquet#2")[0]) == "t.parquet#2: has 2 rows, and no row 2"
    assert "no row" in wrong(found("t.parquet#0#0")[0])


def test_rows_in_any_order_and_from_many_threads():
    rows = [b"%d" % row for row in range(500)]
    table({"image": rows}, row_group_size=70)
    pictures = found("t.parquet")
    order = list(range(500))
    random.Random(29).shuffle(order)
    assert [pictures[row].fetched() for row in order[:60]] == [rows[row] for row in order[:60]]
    got = {}

    def read(begin):
        got.update({row: pictures[row].fetched() for row in range(begin, 500, 4)})

    threads = [threading.Thread(target=read, args=(begin,)) for begin in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == dict(enumerate(rows))


def test_a_row_group_is_not_read_whole():
    """96 MB in one group take no more than the pages that pyarrow writes, of about 1,000 rows each."""
    chance = random.Random(29)
    with pq.ParquetWriter("t.parquet", pa.schema([("image", pa.binary())])) as writer:
        writer.write_table(pa.table({"image": [chance.randbytes(6000) for _ in range(16_000)]}), row_group_size=16_000)
    before = pa.total_allocated_bytes()
    most = 0
    for number, one in enumerate(found("t.parquet")):
        assert len(one.fetched()) == 6000
        if number % 100 == 0:
            most = max(most, pa.total_allocated_bytes() - before)
    assert Path("t.parquet").stat().st_size > 96e6
    assert most < 25e6


def test_a_picture_in_a_table_has_a_bound(monkeypatch):
    table({"image": [PICTURE]})
    monkeypatch.setattr(columns, "MAX_BYTES", len(PICTURE) - 1)
    assert wrong(found("t.parquet")[0]) == "t.parquet#0: 3 kB is more than a picture has"


def test_tables_that_are_open_have_a_bound():
    for number in range(2 * columns.OPEN):
        table({"image": [b"%d" % number]}, f"{number}.parquet")
        assert found(f"{number}.parquet")[0].fetched() == b"%d" % number
    assert len(columns._tables) == columns.OPEN
    assert found("0.parquet")[0].fetched() == b"0"


def test_a_table_that_changes_meanwhile_is_not_read():
    table({"image": [b"a", b"b"]})
    pictures = found("t.parquet")
    table({"image": [b"c", b"d"], "more": [1, 2]})
    assert wrong(pictures[0]) == "t.parquet#0: the table cannot be read (the file changed while vlm was working)"


def test_damaged_tables_are_errors(everything):
    table({"image": [PICTURE] * 40}, row_group_size=10, compression="none", use_dictionary=False)
    whole, chance = Path("t.parquet").read_bytes(), random.Random(29)
    Path("x.parquet").write_bytes(whole[: len(whole) // 2])
    assert wrong(found("x.parquet")[0]).startswith("x.parquet: the table cannot be read (")
    Path("x.parquet").write_bytes(b"no table at all")
    assert wrong(found("x.parquet")[0]).startswith("x.parquet: ")
    for _ in range(400 if everything else 40):
        spoilt = bytearray(whole)
        for _ in range(3):
            spoilt[-chance.randrange(1, 3000)] = chance.randrange(256)
        Path("x.parquet").write_bytes(spoilt)
        for one in found("x.parquet")[:20]:
            try:
                one.fetched()
            except SourceError as error:
                assert str(error).startswith("x.parquet")


def test_without_pyarrow_it_says_what_to_install(here):
    table({"image": [PICTURE]})
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from vlmcli.pictures import sources; from vlmcli.errors import SourceError\n"
        "import json\n"
        "try: next(sources.find(['t.parquet'])).load()\n"
        "except SourceError as error: print(json.dumps([error.message, error.hint]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "t.parquet: needs the package pyarrow", "install it: pip install 'vlmcli[parquet]'"
    ]  # fmt: skip
