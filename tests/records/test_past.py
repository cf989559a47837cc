"""The index of a journal against dictionaries, and what it takes for many records."""

import hashlib
import json
import random
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmcli.errors import UsageError
from vlmcli.records import reading
from vlmcli.records.journal import Journal
from vlmcli.records.past import WORK, Past

WORKS = st.integers(0, 5).map(lambda n: bytes(7) + bytes([n % 2]) + bytes(7) + bytes([n]))
"""Some share their first half, by which they are sorted."""
NAMES = st.lists(st.sampled_from([b"a.png", b"b.png", b"c.png", b"\xed\xb3\xbf.png"]), min_size=1, max_size=3)


@given(st.lists(st.tuples(WORKS, NAMES, st.booleans()), max_size=30))
def test_it_finds_what_dictionaries_find(records):
    past = Past()
    last, about = {}, {}
    for number, (work, names, failed) in enumerate(records):
        past.add(work, 100 * number, names, failed=failed)
        last[work] = number
        for name in names:
            about.setdefault(name, set()).add(number)
    assert len(past) == len(records)
    for work in (bytes([0] * 15 + [n]) for n in range(8)):
        assert past.last(work) == last.get(work)
    for work, number in last.items():
        assert past.last(work) == number
        assert (past.place(number), past.failed(number)) == (100 * number, records[number][2])
    for name in (b"a.png", b"b.png", b"c.png", b"d.png", b"\xed\xb3\xbf.png"):
        assert set(past.about(name)) == about.get(name, set())
    assert list(past.lasts()) == sorted(last.values())
    assert len(bytes(WORK)) == WORK


@given(st.lists(WORKS, max_size=30), st.lists(WORKS, max_size=8), st.randoms())
def test_ranks_and_another_order_are_those_of_lists(works, others, chance):
    past = Past()
    for number, work in enumerate(works):
        past.add(work, 10 * number, [b"%d.png" % number], failed=work[-1] > 3)
    ranks = past.ranks(b"".join(others))
    assert ranks.tolist() == [others.index(work) if work in others else -1 for work in works]
    if works:
        order = chance.sample(range(len(works)), len(works))
        past.put(np.array(order), 10 * len(works))
        for place, number in enumerate(order):
            assert (past.place(place), past.failed(place)) == (10 * place, works[number][-1] > 3)
            assert past.about(b"%d.png" % number) == [place]
            assert past.last(works[number]) == max(
                at for at, other in enumerate(order) if works[other] == works[number]
            )


def line(name, number=0, error=False, **more):
    work = hashlib.sha256(f"{name} {number}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    what = {"error": {"type": "SourceError", "message": 'an "answer": "x"', "hint": ""}} if error else {"answer": "A."}
    record = {"v": 1, "sources": [name], "question": "?", "model": "demo"} | what | more
    record |= {"work": work, "sha256": ["ab"], "bytes": [3], "modified": [number]}
    return work, json.dumps(record, ensure_ascii=False) + "\n"


def test_records_are_read_alike_however_they_are_written(tmp_path):
    """As they are written here, with spaces as others write them, with names that need escapes, with old keys."""
    written, expected = [], []
    for number, name in enumerate(["a.png", 'b".png', "c\\.png", "\udcff.png", "é.png", "d.png"]):
        work, text = line(name, number, error=number % 2 == 1, fields={"answer": ', "answer": "', "work": "x"})
        text = text.encode("utf-8", "surrogatepass").replace(b"\xed\xb3\xbf", b"\\udcff")
        written.append(text if number < 5 else json.dumps(json.loads(text), separators=(",", ":")).encode() + b"\n")
        expected.append((name, work, number % 2 == 1, number))
    work, text = line("old.png", 9)
    written.append(text.replace('"bytes"', '"size"').encode())
    expected.append(("old.png", work, False, 9))
    (tmp_path / "out.jsonl").write_bytes(b"".join(written))
    with Journal(tmp_path / "out.jsonl") as journal:
        assert len(journal) == 7
        for name, work, failed, number in expected:
            assert journal.knows([name])
            assert (journal.has(work), journal.failed(work)) == (True, failed)
            assert journal.known(name) == {(3, number): "ab"}
            assert journal.record(work)["sources"] == [name]
        assert not journal.knows(["z.png"])
        assert not journal.has("0" * 32)
        assert [one["sources"][0] for one in journal.records()] == [name for name, *_ in expected]


def odd(number, chance):
    """A record of a kind that comes among thousands of others: its line."""
    kinds = [
        lambda: line(f"{number}.png", error=True)[1],
        lambda: line(f"C:\\\\pics\\\\{number}.png")[1],
        lambda: line("long/" * 80 + f"{number}.png")[1],
        lambda: line(f"{number}.png", fields={"error": {"type": "x"}, "work": "0" * 32})[1],
        lambda: line(f"{number}.png", thinking="hm " * chance.randrange(1_000_000))[1],
        lambda: line(f"{number}.png")[1].replace('["ab"]', '["ab", "cd"]').replace("[3]", "[3, 4]").replace(
            f'["{number}.png"]', f'["{number}.png", "both.png"]').replace("[0]}", "[0, 1]}"),
        lambda: json.dumps(json.loads(line(f"{number}.png")[1]), separators=(",", ":")) + "\n",
        lambda: line(f"{number}.png")[1].replace('", "sha256"', ' ", "sha256"'),  # fromhex takes white space
        lambda: "\n" + line(f"{number}.png")[1],
    ]  # fmt: skip
    return chance.choice(kinds)()


def test_a_file_of_several_pieces_is_read_as_a_parser_of_json_reads_it(tmp_path):
    """Long stretches of records that look as usual, and a few others; lines are cut anywhere by the pieces."""
    chance = random.Random(12)
    written = [
        odd(number, chance)
        if number > 5000 and chance.random() < 0.01
        else line(f"{number}.png", thinking="x" * 200)[1]
        for number in range(12_000)
    ]
    text = "".join(written)
    assert len(text) > 4 * reading.PIECE
    (tmp_path / "run.jsonl").write_text(text, "utf-8")
    records = [json.loads(one) for one in text.splitlines() if one]
    records = [one | {"work": one["work"].strip()} for one in records]
    with Journal(tmp_path / "run.jsonl") as journal:
        assert len(journal) == len(records) == 12_000
        assert [one["sources"] for one in journal.records()] == [one["sources"] for one in records]
        assert [journal.failed(one["work"]) for one in records] == ["error" in one for one in records]
        assert all(journal.knows(one["sources"]) for one in records)
        assert journal.known("both.png") == {(4, 1): "cd"}
    assert (tmp_path / "run.jsonl").read_text("utf-8") == text


@pytest.mark.parametrize("at", [3, 3000])
@pytest.mark.parametrize("wrong", ['{"v": 1, "sources": ["a.png"], "answer": "x"}', "hello", '{"v": 1, "sources": ["a'])
def test_what_is_no_record_is_named_by_its_line(tmp_path, at, wrong):
    written = [line(f"{number}.png", thinking="x" * 900)[1] for number in range(3001)]
    written[at - 1] = wrong + "\n"
    (tmp_path / "run.jsonl").write_text("".join(written), "utf-8")
    with pytest.raises(UsageError, match=f"line {at} is not a record"):
        Journal(tmp_path / "run.jsonl")


def test_a_record_that_is_damaged_inside_is_an_error_when_it_is_read(tmp_path):
    work, text = line("a.png")
    (tmp_path / "out.jsonl").write_text(text.replace('"model": "demo"', '"model": demo'))
    with Journal(tmp_path / "out.jsonl") as journal:
        for read in (lambda: journal.record(work), lambda: journal.known("a.png"), lambda: list(journal.records())):
            with pytest.raises(UsageError, match="the record at byte 0 is damaged"):
                read()


def test_a_record_takes_little_memory():
    past = Past()
    for number in range(20_000):
        past.add(number.to_bytes(WORK, "big"), number, [b"%d.png" % number], failed=False)
    held = sum(sys.getsizeof(one) for one in vars(past).values())
    assert held < 90 * 20_000
