"""What the records of a journal say of work and of files, in less than seventy bytes a record.

Of each record only numbers are kept: where it begins, the name of its work, whether it is an error, and a hash of each
picture's name. What else is asked of a record is read from its file again. They are found by binary search; what that
needs is sorted when it is first asked for, and again after more have come.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = Later("numpy")

WORK = 16
"""Bytes of a work's name, which is 32 hex digits."""


class Past:
    """Records by their numbers, from 0 in the order of the file; by their work; and by their pictures' names."""

    def __init__(self) -> None:
        self._works = bytearray()  # WORK bytes each
        self._failed = bytearray()  # 0 or 1 each
        self._places = array("Q")
        self._names, self._owners = array("q"), array("I")  # hashes of names, and the records that they are of
        self._heads, self._by_work = array("Q"), array("I")  # the first halves of works, sorted, and whose they are
        self._names_sorted = 0  # how many of the names are

    def __len__(self) -> int:
        """Records."""
        return len(self._places)

    def add(self, work: bytes, place: int, names: Sequence[bytes], *, failed: bool) -> None:
        """The next record.

        Args:
            work: the name of its work, `WORK` bytes.
            place: where it begins in the file, in bytes.
            names: of its pictures.
            failed: whether it is an error.
        """
        self._works += work
        self._failed.append(failed)
        for name in names:
            self._names.append(hash(name))
            self._owners.append(len(self._places))
        self._places.append(place)

    def extend(self, works: bytes, places: NDArray[np.uint64], names: Iterable[bytes], failed: bytes) -> None:
        """The next records, each about one picture.

        Args:
            works: the names of their work, one behind the other.
            places: where they begin.
            names: of their pictures.
            failed: 1 for each that is an error, 0 for the others.
        """
        first = len(self._places)
        self._works += works
        self._failed += failed
        self._names.extend(map(hash, names))
        self._places.frombytes(places.tobytes())
        self._owners.extend(range(first, len(self._places)))

    def last(self, work: bytes) -> int | None:
        """The number of the last record of a piece of work; None where there is none."""
        self._sort_works()
        wanted = int.from_bytes(work[:8], "big")
        end = bisect_right(self._heads, wanted)
        while end and self._heads[end - 1] == wanted:
            end -= 1
            number = self._by_work[end]
            if self._works[number * WORK : (number + 1) * WORK] == work:
                return number
        return None

    def place(self, number: int) -> int:
        """Where a record begins."""
        return self._places[number]

    def failed(self, number: int) -> bool:
        """Whether a record is an error."""
        return bool(self._failed[number])

    def about(self, name: bytes) -> list[int]:
        """The numbers of records that are about a picture of that name, and perhaps of some others, in their order."""
        self._sort_names()
        wanted = hash(name)
        begin = end = bisect_left(self._names, wanted)
        while end < len(self._names) and self._names[end] == wanted:
            end += 1
        return sorted(self._owners[begin:end])

    def lasts(self) -> array[int]:
        """The numbers of all records that are the last ones of their work, in their order."""
        if not len(self):
            return array("I")
        self._sort_works()
        found = np.zeros(len(self), bool)
        heads, order = np.frombuffer(self._heads, np.uint64), np.frombuffer(self._by_work, np.uint32)
        tails = _halves(self._works)[1][order]
        same = heads[1:] == heads[:-1]
        found[order[np.append(~same, True)]] = True
        for head in np.unique(heads[1:][same & (tails[1:] != tails[:-1])]):  # works that begin alike
            begin, end = (int(np.searchsorted(heads, head, side)) for side in ("left", "right"))
            last = {int(tail): int(number) for tail, number in zip(tails[begin:end], order[begin:end], strict=True)}
            found[list(last.values())] = True
        return _array("I", np.flatnonzero(found).astype(np.uint32))

    def ranks(self, works: bytes) -> NDArray[np.int64]:
        """Of each record the number of its work among others; -1 where it is not one of these.

        Args:
            works: their names, one behind the other; of equal ones the first counts.
        """
        found = np.full(len(self), -1, np.int64)
        if not len(self) or not works:
            return found
        self._sort_works()
        heads, order = np.frombuffer(self._heads, np.uint64), np.frombuffer(self._by_work, np.uint32)
        tails = _halves(self._works)[1][order]
        others, ends = _halves(works)
        theirs = np.argsort(others, kind="stable")
        others = others[theirs]
        at = np.minimum(np.searchsorted(others, heads), len(others) - 1)
        begins = others[at] == heads
        equal = begins & (ends[theirs[at]] == tails)
        found[order[equal]] = theirs[at[equal]]
        for one in np.flatnonzero(begins & ~equal):  # works that begin alike
            end = int(np.searchsorted(others, heads[one], "right"))
            same = theirs[at[one] : end]
            same = same[ends[same] == tails[one]]
            found[order[one]] = same[0] if len(same) else -1
        return found

    def places(self, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each record begins, and how many bytes there are to the next; `end` is where the last one ends."""
        places = np.frombuffer(self._places, np.uint64).astype(np.int64)
        return places, np.diff(places, append=end)

    def put(self, order: NDArray[np.int64], end: int) -> None:
        """The records are in another order now, one behind the other from the beginning of the file.

        Args:
            order: their numbers until now, in the order in which they are now.
            end: of the file until now.
        """
        sizes = self.places(end)[1][order]
        self._works = bytearray(np.frombuffer(self._works, np.void(WORK).dtype)[order].tobytes())
        self._failed = bytearray(np.frombuffer(self._failed, np.uint8)[order].tobytes())
        self._places = _array("Q", (np.cumsum(sizes) - sizes).astype(np.uint64))
        now = np.empty(len(order), np.uint32)
        now[order] = np.arange(len(order), dtype=np.uint32)
        self._owners = _array("I", now[np.frombuffer(self._owners, np.uint32)])
        self._heads, self._by_work, self._names_sorted = array("Q"), array("I"), 0

    def _sort_works(self) -> None:
        if len(self._heads) == len(self):  # so that numpy need not be imported for none
            return
        heads = _halves(self._works)[0]
        order = np.argsort(heads, kind="stable")  # of one work, the last record is the last
        self._by_work = _array("I", order.astype(np.uint32))
        self._heads = _array("Q", heads[order])

    def _sort_names(self) -> None:
        if self._names_sorted == len(self._names):
            return
        names = np.frombuffer(self._names, np.int64)
        order = np.argsort(names)
        self._owners = _array("I", np.frombuffer(self._owners, np.uint32)[order])
        self._names = _array("q", names[order])
        self._names_sorted = len(self._names)


def _halves(works: bytes | bytearray) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The first and the second eight bytes of works' names, as numbers."""
    both = np.frombuffer(works, ">u8").reshape(-1, 2)
    return both[:, 0].astype(np.uint64), both[:, 1].astype(np.uint64)


def _array(kind: str, values: NDArray[Any]) -> array[int]:
    found = array(kind)
    found.frombytes(values.tobytes())
    return found
