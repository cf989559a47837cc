"""Rows of a table: CSV that any reader takes, tab-separated fields on one line each."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmcli.records.lines import table_row

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
        assert next(csv.reader(io.StringIO(row + "\r\n", newline=""))) == cells
    quoted = ['"' + cell.replace('"', '""') + '"' if set(cell) & set('",\r\n') else cell for cell in cells]
    assert row == ",".join(quoted)


@given(CELLS)
def test_a_row_of_tsv_is_one_line_of_as_many_fields(cells):
    row = table_row(cells, "\t")
    assert "\n" not in row
    assert len(row.split("\t")) == len(cells)
