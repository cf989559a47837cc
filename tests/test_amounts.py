"""Sizes are said in one unit, by one module."""

import re

import pytest

from tests.support import ROOT
from vlmcli.amounts import duration, exact_duration, gigabytes, size


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1_000, "1 kB"), (999_499, "999 kB"), (1_000_000, "1.0 MB"),
        (9_940_000, "9.9 MB"), (10_000_000, "10 MB"), (999_000_000, "999 MB"), (999_500_000, "1.00 GB"),
        (1 << 30, "1.07 GB"), (9_990_000_000, "9.99 GB"), (25_300_000_000, "25.3 GB"),
    ],
)  # fmt: skip
def test_bytes_are_said_in_powers_of_ten(count, said):
    assert size(count) == said


def test_a_column_of_large_sizes_has_one_unit():
    sizes = (600_000_000, 9_940_000_000, 9_960_000_000, 12_340_000_000)
    assert [gigabytes(count) for count in sizes] == ["0.6 GB", "9.9 GB", "10 GB", "12 GB"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"), (89, "89 s"), (119, "119 s"), (120, "2 min"), (7 * 60, "7 min"), (89 * 60, "89 min"),
        (5400, "1.5 h"),
        (3 * 3600, "3 h"), (61_000, "17 h"), (47 * 3600, "47 h"), (48 * 3600, "2 d"), (80 * 3600, "3.3 d"),
        (13 * 86400, "13 d"),
    ],
)  # fmt: skip
def test_time_is_said_in_the_unit_that_suits_it(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.24, "0.2 s"), (0.97, "1 s"), (12.4, "12 s"), (59.6, "1 min 0 s"), (184, "3 min 4 s"), (3600, "1 h 0 min"),
        (7501, "2 h 5 min"), (400_000, "111 h 6 min"),
    ],
)  # fmt: skip
def test_time_that_has_passed_is_said_in_two_units(seconds, said):
    assert exact_duration(seconds) == said


def test_no_other_unit_is_used_where_somebody_reads():
    files = [*ROOT.glob("vlmcli/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.svg"), ROOT / "README.md"]
    binary = {str(path.relative_to(ROOT)) for path in files if re.search(r"\b[KMG]iB\b", path.read_text("utf-8"))}
    assert not binary
    formatted = {
        str(path.relative_to(ROOT))
        for path in ROOT.glob("vlmcli/**/*.py")
        if re.search(r"\} ?[kMG]B\b", path.read_text("utf-8")) and path.parent.name not in ("bench", "training")
    }
    assert formatted == {"vlmcli/amounts.py"}
