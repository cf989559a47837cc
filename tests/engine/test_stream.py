"""Bytes to text: whole characters, stop strings."""

from hypothesis import given
from hypothesis import strategies as st

from vlmcli.engine.stream import TextStream


def shown(pieces, stop=()):
    stream = TextStream(stop)
    deltas = []
    for piece in pieces:
        deltas.append(stream.feed(piece))
        if stream.stopped:
            break
    deltas.append(stream.finish())
    assert "".join(deltas) == stream.text
    return stream, deltas


def test_a_character_waits_for_all_its_bytes():
    _, deltas = shown([b"caf", b"\xc3", b"\xa9", b"\xf0\x9f", b"\x90\xb1"])
    assert deltas == ["caf", "", "é", "", "🐱", ""]


def test_bytes_that_are_no_character_are_replaced():
    stream, _ = shown([b"a\xff", b"b", b"\xc3"])
    assert stream.text == "a\ufffdb\ufffd"


def test_a_stop_string_over_token_borders():
    stream, deltas = shown([b"yes", b".\nUS", b"ER", b": more"], ["USER:"])
    assert (stream.text, stream.stopped) == ("yes.\n", True)
    assert "US" not in "".join(deltas)


def test_the_beginning_of_a_stop_string_that_does_not_come_is_shown():
    stream, deltas = shown([b"a US", b"A map"], ["USER:"])
    assert deltas[0] == "a "
    assert stream.text == "a USA map"
    assert shown([b"it ends US"], ["USER:"])[0].text == "it ends US"


def test_the_earliest_stop_string_wins():
    stream, _ = shown([b"one ### two USER: three"], ["USER:", "###"])
    assert (stream.text, stream.stopped_by) == ("one ", "###")


@given(st.text(), st.lists(st.text(min_size=1, max_size=4), max_size=3), st.data())
def test_however_it_is_cut_the_text_is_the_same(text, stop, data):
    raw = text.encode("utf-8", "replace")
    expected = raw.decode()
    ends = [expected.find(one) for one in stop if one in expected]
    expected = expected[: min(ends)] if ends else expected
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert shown(pieces, stop)[0].text == expected
