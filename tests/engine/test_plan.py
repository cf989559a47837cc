"""Rows, positions and identities."""

from dataclasses import replace

import numpy as np

from vlmcli.engine.plan import PictureSegment, Plan, TextSegment, common_prefix, picture_key


def picture(name="p", rows=4, positions=None, tile=0):
    grid = None
    if positions is not None:
        t = np.zeros(rows, np.int32)
        grid = np.stack([t, np.arange(rows) // 2, np.arange(rows) % 2, t]).astype(np.int32)
    key = picture_key(name, tile, rows, grid)
    return PictureSegment(0, tile, key, rows, positions or rows, grid, bidirectional=False)


def test_rows_and_positions_are_counted_apart():
    plan = Plan([TextSegment((1, 2)), picture(rows=4, positions=2), TextSegment((3,))])
    assert (plan.rows, plan.positions, plan.picture_rows, plan.anchor) == (7, 5, 4, 6)
    assert plan.row_starts == [0, 2, 6]
    assert plan.position_starts == [0, 2, 4]
    assert [plan.position(row) for row in (0, 1, 2, 6, 7)] == [0, 1, 2, 4, 5]


def test_a_cut_is_never_inside_a_picture_nor_after_the_last_row():
    plan = Plan([TextSegment((1, 2)), picture(rows=4), TextSegment((3, 4))])
    assert [plan.safe_cut(row) for row in range(10)] == [0, 1, 2, 2, 2, 2, 6, 7, 7, 7]


def test_equal_pictures_share_identities_and_others_none():
    same, again, other, tile = picture("a"), picture("a"), picture("b"), picture("a", tile=1)
    assert (same.identities == again.identities).all()
    assert (same.identities < 0).all()
    assert not set(same.identities.tolist()) & {*other.identities.tolist(), *tile.identities.tolist()}
    shaped = picture("a", positions=2)
    assert not set(same.identities.tolist()) & set(shaped.identities.tolist())


def test_common_prefix_counts_rows():
    a, b = (
        Plan([TextSegment((1, 2)), picture("a"), TextSegment((3, 4))]),
        Plan([TextSegment((1, 2)), picture("a"), TextSegment((3, 5, 6))]),
    )
    assert common_prefix(a.identities, b.identities) == 7
    assert common_prefix(a.identities, a.identities) == 8
    assert common_prefix(a.identities[:0], b.identities) == 0


def test_positions_of_picture_rows():
    flat = picture(rows=3).position_rows(10, 1)
    assert flat.tolist() == [[10, 11, 12]]
    time, y, x, spare = picture(rows=4, positions=2).position_rows(10, 4).tolist()
    assert (time, y, x, spare) == ([10] * 4, [10, 10, 11, 11], [10, 11, 10, 11], [0] * 4)


def test_places_that_do_not_move_with_the_picture():
    segment = replace(picture(rows=4, positions=2), moved=np.array([[1] * 4, [0] * 4, [0] * 4, [0, 0, 0, 1]], np.int32))
    assert segment.position_rows(10, 4).tolist() == [[10] * 4, [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 10]]


def test_a_plan_can_be_extended_by_its_answer():
    plan = Plan([TextSegment((1, 2)), picture()])
    assert plan.extended([]) is plan
    longer = plan.extended([7, 8])
    assert longer.rows == plan.rows + 2
    assert longer.identities[-2:].tolist() == [7, 8]
    assert longer.position(plan.rows) == plan.positions
