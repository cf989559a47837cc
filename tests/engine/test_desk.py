"""The desk alone: no model, and the test's own thread is the engine's."""

import time

import pytest

from vlmcli.engine.desk import PROGRESS_SECONDS, Cancel, Close, Desk, Submit
from vlmcli.errors import Cancelled, ModelError, RequestError, TimedOut
from vlmcli.values import Answer, Delta, Done, Failed, Message, Notice, Request, Started, Timings, Usage

REQUEST = Request((Message("user", ("what is this?",)),))


def done(id):
    return Done(id, Answer("", "stop", Usage(), Timings(), "a model"))


def sent(desk):
    """All events of a desk that is shut."""
    return list(desk.events())


def test_messages_come_in_order_and_none_where_there_is_none():
    desk = Desk()
    first, second = desk.submit(REQUEST), desk.submit(REQUEST)
    desk.cancel(first)
    desk.close()
    assert [desk.read(wait=False) for _ in range(4)] == [
        Submit(first, REQUEST),
        Submit(second, REQUEST),
        Cancel(first),
        Close(),
    ]
    assert desk.read(wait=False) is None
    assert desk.closing


def test_progress_is_reported_so_many_times_a_second():
    """Of each stage and each request for itself, the first always."""
    desk = Desk()
    first, second = desk.submit(REQUEST), desk.submit(REQUEST)
    began, reports = time.monotonic(), 0
    while time.monotonic() - began < 5.5 * PROGRESS_SECONDS:
        reports += desk.is_due(first, "encode")
    assert 1 < reports <= 6
    assert [desk.is_due(second, "encode"), desk.is_due(first, "prefill")] == [True, True]


def test_a_request_that_has_ended_has_no_more_events():
    desk = Desk()
    ended, cancelled = desk.submit(REQUEST), desk.submit(REQUEST)
    desk.send(Started(ended))
    desk.end(done(ended))
    desk.cancel(cancelled)
    for id in (ended, cancelled):
        assert not desk.is_open(id)
        desk.send(Delta(id, "late"))
        desk.end(done(id))
        desk.cancel(id)
    desk.send(Notice("of no request"))
    desk.shut(Cancelled())
    assert [(type(event), event.id) for event in sent(desk)] == [
        (Started, ended),
        (Done, ended),
        (Failed, cancelled),
        (Notice, None),
    ]


def test_only_a_cancel_of_what_runs_in_c_aborts_it():
    desk = Desk()
    busy, waiting = desk.submit(REQUEST), desk.submit(REQUEST)
    assert desk.enter([busy])
    desk.cancel(waiting)
    assert not desk.flag.is_set()
    desk.cancel(busy)
    assert desk.flag.is_set()
    desk.leave()
    assert desk.pulse == 2
    assert not desk.enter([busy]), "it has ended"
    other = desk.submit(REQUEST)
    assert desk.enter([other])
    assert not desk.flag.is_set()
    desk.close()
    assert desk.flag.is_set()


def test_time_is_counted_between_enter_and_leave_only():
    desk = Desk()
    long, short = (desk.submit(Request(REQUEST.messages, timeout=seconds)) for seconds in (60, 0.2))
    time.sleep(0.3)
    assert desk.is_open(short), "it waited, and did not run"
    for _ in range(4):
        if desk.enter([long, short]):
            time.sleep(0.06)
            desk.leave()
    assert desk.is_open(long)
    assert not desk.is_open(short)
    desk.shut(Cancelled())
    first, second = sent(desk)
    assert isinstance(first.error, TimedOut)
    assert (first.id, second.id) == (short, long)


def test_a_call_without_end_is_aborted_when_its_time_is_over():
    desk = Desk()
    id = desk.submit(Request(REQUEST.messages, timeout=0.1))
    assert desk.enter([id])
    started = time.monotonic()
    while not desk.flag.is_set() and time.monotonic() - started < 30:
        time.sleep(0.01)
    assert desk.flag.is_set()
    assert not desk.is_open(id)
    desk.shut(Cancelled())


def test_what_cannot_be_answered_is_refused_until_it_is_closed():
    desk = Desk()
    desk.broken = ModelError("it is not there")
    early = desk.submit(REQUEST)
    late = desk.submit(REQUEST)
    desk.close()
    desk.refuse(desk.broken)
    desk.shut(Cancelled())
    assert [(event.id, event.error) for event in sent(desk)] == [(early, desk.broken), (late, desk.broken)]
    with pytest.raises(ModelError):
        desk.submit(REQUEST)


def test_a_closed_desk_takes_nothing():
    desk = Desk()
    desk.close()
    with pytest.raises(RequestError):
        desk.submit(REQUEST)
