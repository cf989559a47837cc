"""What the records of a journal say of work and of files, in less than ninety bytes a record.

Of each record only numbers are kept: where it begins, the name of its work, whether it is an error, and a hash of each
picture's name. What else is asked of a record is read from its file again. They are found by binary search.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

WORK = 16
"""Bytes of a work's name, which is 32 hex digits."""


class Past:
    """Records by their numbers, from 0 in the order of the file; by their work; and by their pictures' names.

    First all are added, then it is settled, then it is asked.
    """

    def __init__(self) -> None:
        self._works = bytearray()  # WORK bytes each
        self._failed = bytearray()  # 0 or 1 each
        self._places = array("Q")
        self._names, self._owners = array("q"), array("Q")  # hashes of names, and the records that they are of

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

    def settle(self) -> None:
        """All records are there: sort them."""
        if not self._places:  # and numpy need not be imported
            return
        heads = np.frombuffer(self._works, ">u8")[::2].astype(np.uint64)
        self._by_work = np.argsort(heads, kind="stable")  # of one work, the last record is the last
        self._heads = heads[self._by_work]
        names = np.frombuffer(self._names, np.int64)
        order = np.argsort(names, kind="stable")
        self._hashes, self._owners_sorted = names[order], np.frombuffer(self._owners, np.uint64)[order]
        del names
        self._names, self._owners = array("q"), array("Q")

    def last(self, work: bytes) -> int | None:
        """The number of the last record of a piece of work; None where there is none."""
        if not self._places:
            return None
        wanted = np.uint64(int.from_bytes(work[:8], "big"))
        end = int(np.searchsorted(self._heads, wanted, "right"))
        while end and self._heads[end - 1] == wanted:
            end -= 1
            number = int(self._by_work[end])
            if self._works[number * WORK : (number + 1) * WORK] == work:
                return number
        return None

    def place(self, number: int) -> int:
        """Where a record begins."""
        return self._places[number]

    def failed(self, number: int) -> bool:
        """Whether a record is an error."""
        return bool(self._failed[number])

    def about(self, name: bytes) -> Iterator[int]:
        """The numbers of records that are about a picture of that name, and perhaps of some others."""
        if not self._places:
            return
        wanted = hash(name)
        at = int(np.searchsorted(self._hashes, wanted, "left"))
        while at < len(self._hashes) and self._hashes[at] == wanted:
            yield int(self._owners_sorted[at])
            at += 1

    def lasts(self) -> Iterator[int]:
        """The numbers of all records that are the last ones of their work, in their order."""
        for number in range(len(self._places)):
            if self.last(bytes(self._works[number * WORK : (number + 1) * WORK])) == number:
                yield number
