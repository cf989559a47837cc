"""Rows of a table: CSV that any reader takes, tab-separated fields on one line each."""

import csv
import io
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmcli.records.lines import escape, table_row

CELLS = st.lists(st.text(st.characters(exclude_categories=())), min_size=2, max_size=5)


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (["a", "b", ""], "a,b,"),
        (["", "", ""], ",,"),
        (["a b", " c ", "d;e"], "a b, c ,d;e"),
        (['say "no"', "x,y", "z"], '"say ""no""","x,y",z'),
        (["two\nlines", "a\rb", "c\r\nd"], '"two\nlines","a\rb","c\r\nd"'),
        (["caf\udce9", "é", "tab\there"], "caf\udce9,é,tab\there"),
    ],
)
def test_csv_has_quotes_where_they_are_needed_and_nowhere_else(cells, row):
    assert table_row(cells, ",") == row


@given(CELLS)
def test_csv_comes_back_as_it_was(cells):
    row = table_row(cells, ",")
    if "\0" not in row:  # which the reader takes from Python 3.11 on
        found = next(csv.reader(io.StringIO(row + "\r\n", newline="")))
        assert [cell.removeprefix("'") for cell in found] == cells
    guarded = [f"'{cell}" if is_formula(cell) else cell for cell in cells]
    quoted = ['"' + cell.replace('"', '""') + '"' if set(cell) & set('",\r\n') else cell for cell in guarded]
    assert row == ",".join(quoted)


def is_formula(cell):
    """By other means than the code has: what is not seen is taken off, and then the first sign decides."""
    seen = cell.lstrip(" \u200b\u200c\u200d\u200e\u200f\u2060\ufeff" + "".join(map(chr, range(32))) + WHITE)
    return cell[:1] in ("'", "\t", "\r", "\n", "\0") or (
        unicodedata.normalize("NFKC", seen[:1]) in tuple("=+-@") and (seen[:1] in "=+-@\uff1d\uff0b\uff0d\uff20")
    )


WHITE = "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1))))


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize(
    "cell",
    [
        "=HYPERLINK(\"http://127.0.0.1/\"&A1)", "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd", " =1+1", "\u00a0=1",
        "\ufeff=1+1", "\u200b@x", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", "- a cat\n- a dog", "'quoted'", "''",
        "-", "=",
    ],
)  # fmt: skip
def test_no_cell_is_a_formula_and_an_apostrophe_less_is_what_was_there(cell, separator):
    for cells in ([cell, "x", ""], ["x", cell, "y"]):
        row = table_row(cells, separator)
        (found,) = csv.reader([row]) if separator == "," else [row.split("\t")]
        if separator == "," and "\n" in cell:
            (found,) = csv.reader(io.StringIO(row + "\r\n", newline=""))
        guarded = found[cells.index(cell)]
        assert guarded.startswith("'")
        assert guarded[1:] == (cell if separator == "," else escape(cell))


@pytest.mark.parametrize("cell", ["a cat", "a-b", "1 - 2", "(=)", "#1", "\u2013 a dash", "5", '"=1"', ""])
def test_a_cell_that_is_no_formula_stays_as_it_is(cell):
    assert table_row([cell, "x"], "\t") == f"{cell}\tx"


@given(CELLS)
def test_tsv_comes_back_as_it_was(cells):
    found = [cell.removeprefix("'") for cell in table_row(cells, "\t").split("\t")]
    assert found == [escape(cell) for cell in cells]


@given(CELLS)
def test_a_row_of_tsv_is_one_line_of_as_many_fields(cells):
    row = table_row(cells, "\t")
    assert "\n" not in row
    assert len(row.split("\t")) == len(cells)
