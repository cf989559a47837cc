"""Pictures from elsewhere: fetched before their turn, each once, and each for its own job."""

import io
import random
import threading
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.fakes import ScriptedRunner
from vlmcli.batch.ahead import AHEAD, Ahead
from vlmcli.batch.course import jobs_of
from vlmcli.batch.run import Outcome, Run
from vlmcli.demo import FILES
from vlmcli.errors import SourceError
from vlmcli.pictures import columns, images
from vlmcli.pictures.kept import Here, Kept
from vlmcli.pictures.sources import Source
from vlmcli.tasks.ask import Ask


@dataclass(frozen=True)
class Far(Kept):
    """A picture of one grey that only comes when so many are asked for at once."""

    shade: int
    together: threading.Barrier = field(compare=False)
    asked: list = field(compare=False)

    def read(self, name):
        self.asked.append(self.shade)
        try:
            self.together.wait(20)
        except threading.BrokenBarrierError:
            raise SourceError(f"{name}: was asked for alone") from None
        if self.shade == 3:
            raise SourceError(f"{name}: is not there")
        return images.png(bytes([self.shade]) * 12, (2, 2))

    @property
    def far(self):
        return True


def sources(count, together):
    barrier, asked = threading.Barrier(together), []
    return [Source(f"{number}.png", Far(number, barrier, asked), expanded=True) for number in range(count)], asked


def test_a_run_fetches_several_pictures_at_once_and_asks_about_them_in_order():
    found, asked = sources(AHEAD * 2, AHEAD)
    jobs = jobs_of([(one,) for one in found], [Ask("one?"), Ask("two?")])
    run = Run(jobs, FILES)
    ended = [step for step in run.steps(ScriptedRunner(["yes"] * 4 * AHEAD)) if isinstance(step, Outcome)]
    assert [outcome.job for outcome in ended] == list(jobs)
    assert [str(outcome.result.error) for outcome in ended if outcome.result.error] == ["3.png: is not there"] * 2
    assert sorted(asked) == list(range(AHEAD * 2))  # each once, whatever is asked about it


def test_no_more_are_fetched_than_a_few_before_their_turn():
    found, asked = sources(100, 1)
    ahead = Ahead(jobs_of([(one,) for one in found], [Ask("?")]))
    for number in range(3):
        job = ahead.near(number)
        assert job.load()[0].pixels() == bytes([number]) * 12
        assert len(asked) <= number + 1 + AHEAD


def test_files_stay_what_they_are(tmp_path):
    jobs = jobs_of([(Source("a.png", tmp_path / "a.png"),), (Source("b.png", b"bytes"),)], [Ask("?")])
    ahead = Ahead(jobs)
    assert [ahead.near(0), ahead.near(1)] == list(jobs)


@dataclass(frozen=True)
class Counted:
    """A table of which is noted what is read, and by which thread."""

    here: Here
    read: list = field(default_factory=list, compare=False)

    def mark(self):
        return self.here.mark()

    def stream(self):
        stream, read = self.here.stream(), self.read

        class Stream(io.RawIOBase):
            def readable(self):
                return True

            seekable = readable

            def tell(self):
                return stream.tell()

            def seek(self, *where):
                return stream.seek(*where)

            def readinto(self, into):
                data = stream.read(len(into))
                into[: len(data)] = data
                read.append((len(data), threading.current_thread()))
                return len(data)

        return Stream()


def test_the_rows_of_a_table_are_read_one_after_the_other(tmp_path):
    """They are not fetched beside one another: each jump back would begin the row group again."""
    path, rows = tmp_path / "t.parquet", [random.Random(number).randbytes(20_000) for number in range(300)]
    pq.write_table(pa.table({"image": rows}), path, compression="none", use_dictionary=False)
    table = Counted(Here.of(path))
    found = [Source(name, cell, expanded=True) for name, cell in columns.find(table, "t.parquet")]
    ahead = Ahead(jobs_of([(one,) for one in found], [Ask("?")]))
    assert [ahead.near(number).pictures[0].fetched() for number in range(300)] == rows
    assert sum(count for count, _ in table.read) < 1.5 * path.stat().st_size
    assert {thread for _, thread in table.read} == {threading.current_thread()}


def test_what_nobody_asks_for_is_forgotten():
    found, _ = sources(30, 1)
    ahead = Ahead(jobs_of([(one,) for one in found], [Ask("?")]))
    ahead.near(0)
    ahead.near(20)
    assert sorted(group for group, _ in ahead._futures) == list(range(21, 21 + AHEAD))
