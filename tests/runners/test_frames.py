"""What comes through the pipe is a message, or refused: nothing in it runs, nothing of it hangs."""

import builtins
import io
import os
import pickle
import struct
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.engines import ask, noise
from vlmcli import demo, errors
from vlmcli.errors import Cancelled, ContextFull, HubBusy, ModelError, NativeError, PipeClosed, SourceError, VlmError
from vlmcli.placement import Fit, Wanted
from vlmcli.runners import frames, wire
from vlmcli.values import Answer, Delta, Done, Failed, Measured, Notice, Progress, Sampling, Started, Timings, Usage

ANSWER = Answer("Ä red\0circle\ud800", "stop", Usage(64, 80, 3, 9), Timings(0.1, 0.0, 2, 3.5, 1e-9), "demo")
REQUEST = ask("what is this?", noise(1), noise(2), sampling=Sampling(1.5, seed=7), stop=("a", "\n"), timeout=3)
TO_ENGINE = [
    wire.Open(demo.FILES, None, Wanted(ctx=4096), {"vlmcli": 10, "vlmcli.llama": 30}),
    wire.Open(demo.FILES, Fit(reason="all", repacked=frozenset({2, 8})), Wanted(), {}, back=2),
    wire.Submit(3, wire.without_pixels(REQUEST)),
    wire.Cancel(2**70),
    wire.Pixels(1, 300, 600),
    wire.Pixels(2, data=bytes(range(256)) * 1000),
    wire.Pixels(4, error=SourceError("gone.png: there is no such file", "check the name")),
]
FROM_ENGINE = [
    wire.Loaded("on the CPU"),
    wire.LoadFailed(ModelError("a.gguf: no", "download it again")),
    wire.Need(1, 2, 3),
    wire.Taken(1),
    wire.Record("vlmcli.llama", 30, "ä line"),
    wire.Beat(1 << 40),
    *(
        wire.Happened(event)
        for event in (
            Started(1), Progress(None, "load", 1), Progress(1, "prefill", 0.5), Notice("said"), Delta(1, "Ä "),
            Done(1, ANSWER), Failed(1, ContextFull("too long", "ask less")), Measured(1, 4096, 80, (64, 10)),
        )
    ),
]  # fmt: skip


def framed(payload):
    return frames.header(payload) + payload


def sent(*messages):
    """The bytes that a writer makes of messages."""
    file = io.BytesIO()
    writer = frames.Writer(file)
    for message in messages:
        writer.send(message)
    return file.getvalue()


def refused(raw, kinds=wire.FromEngine):
    """That bytes, or what is left in a file, are refused, as garbage and not with another error."""
    with pytest.raises(frames.Garbled):
        frames.receive(io.BytesIO(raw) if isinstance(raw, bytes) else raw, kinds)
    return True


# ---------------------------------------------------------------------------------------------- messages arrive


@pytest.mark.parametrize(("messages", "kinds"), [(TO_ENGINE, wire.ToEngine), (FROM_ENGINE, wire.FromEngine)])
def test_messages_arrive_as_they_were(messages, kinds):
    file = io.BytesIO(sent(*messages))
    for message in messages:
        assert repr(frames.receive(file, kinds)) == repr(message)
    assert frames.receive(file, kinds) is None


def test_every_error_arrives_with_all_it_says():
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, VlmError)]
    made = [HubBusy("the Hub is busy", "wait", after=2.5), Cancelled(), PipeClosed(), NativeError("x")]
    for error in [*(kind("what is wrong", "what to do") for kind in kinds), *made]:
        other = frames.receive(io.BytesIO(sent(wire.LoadFailed(error))), wire.FromEngine).error
        assert (type(other), vars(other), str(other)) == (type(error), vars(error), str(error))
        assert (other.exit_code, other.http_status) == (error.exit_code, error.http_status)


def test_pixels_stay_where_they_are():
    submit = frames.receive(io.BytesIO(sent(wire.Submit(1, wire.without_pixels(REQUEST)))), wire.ToEngine)
    assert [picture.identity for picture in submit.request.pictures] == [noise(1).identity, noise(2).identity]
    with pytest.raises(RuntimeError, match="other process"):
        submit.request.pictures[0].pixels()
    back = wire.with_pixels(submit.request, lambda number: bytes([number]))
    assert [picture.pixels() for picture in back.pictures] == [b"\0", b"\1"]


def test_a_list_may_stand_for_a_tuple():
    listed = wire.Happened(Measured(1, 4096, 80, [64, 10]))
    assert frames.receive(io.BytesIO(sent(listed)), wire.FromEngine) == listed


# ---------------------------------------------------------------------------------------------- what may be named


def test_only_classes_of_values_errors_and_messages_are_known():
    for (module, name), found in frames._KNOWN.items():
        assert found.__module__ == module
        assert isinstance(found, type)
        if found is type(Path()):
            continue
        assert module.removeprefix("vlmcli.") in ("values", "placement", "figures", "errors", "runners.wire"), name
        assert is_dataclass(found) or issubclass(found, VlmError | errors.Exit)
        if is_dataclass(found):
            assert found.__dataclass_params__.frozen
            assert not hasattr(found, "__post_init__")  # which would run
    assert {"Request", "Answer", "Fit"} <= {name for _, name in frames._KNOWN}
    assert not {"Shared", "run", "events_of", "Runner"} & {name for _, name in frames._KNOWN}


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def named(module, name, *arguments):
    """A pickle that calls what a module has by a name, in whatever protocol that takes."""
    pushed = b"".join(b"\x8c" + bytes([len(one)]) + one for one in (module.encode(), name.encode()))
    given = b"".join(b"X" + struct.pack("<I", len(one)) + one for one in (text.encode() for text in arguments))
    return b"\x80\x04" + pushed + b"\x93(" + given + b"tR."


def test_code_in_a_message_never_runs(tmp_path):
    made = tmp_path / "made"
    shell, python = f"touch '{made}'", f"open({str(made)!r}, 'w')"
    payloads = [
        *(pickle.dumps(Calls(os.system, shell), protocol) for protocol in range(6)),
        *(pickle.dumps(Calls(builtins.eval, python), protocol) for protocol in range(6)),
        pickle.dumps(wire.Happened(Failed(1, Calls(os.system, shell)))),
        pickle.dumps(wire.Happened(Done(1, [ANSWER, Calls(exec, python)]))),
        pickle.dumps(Calls(pickle.loads, pickle.dumps(Calls(os.system, shell)))),
        f"cos\nsystem\n(S{shell!r}\ntR.".encode(),
        f"c__builtin__\neval\n(S{python!r}\ntR.".encode(),
        f"(S{shell!r}\nios\nsystem\n.".encode(),
        named("os", "system", shell),
        named("posix", "system", shell),
        named("builtins", "getattr", "os", "system"),
        named("vlmcli.runners.wire", "os.system", shell),  # a walk along attributes of a module that is known
        named("vlmcli.errors", "sys.modules", shell),
        named("vlmcli.values", "Path.touch", str(made)),
        named("vlmcli.errors", "VlmError.__init__.__globals__", shell),
        named("vlmcli.values", "run", shell),
        named("vlmcli.values", "Empty", shell),  # a class, but another module's
        named("vlmcli.values", "Path", str(made)),
        named("vlmcli.runners.wire", "Shared"),
        named("vlmcli.runners.wire", "_write_all", shell),
        named("vlmcli.runners.frames", "Writer", shell),
        named("pathlib", "Path.touch", str(made)),
        b"\x80\x02\x82\x01.", b"Phello\n.",  # an extension, a persistent id
    ]  # fmt: skip
    for payload in payloads:
        for kinds in (wire.FromEngine, wire.ToEngine):
            assert refused(framed(payload), kinds)
    assert list(tmp_path.iterdir()) == []
    pickle.loads(payloads[0])  # they are what they should be
    assert made.exists()


# ---------------------------------------------------------------------------------------------- what is no message


@pytest.mark.parametrize("one", [None, 5, "text", [], {}, b"x", ANSWER, Delta(1, "x"), NativeError("x"), Delta, Path()])
def test_what_is_not_one_of_the_messages_is_refused(one):
    assert refused(sent(one), wire.FromEngine)
    assert refused(sent(one), wire.ToEngine)


def test_messages_are_of_one_direction():
    for one in FROM_ENGINE:
        assert refused(sent(one), wire.ToEngine)
    for one in TO_ENGINE:
        assert refused(sent(one), wire.FromEngine)


@pytest.mark.parametrize(
    "one",
    [
        wire.Happened(5), wire.Happened(ANSWER), wire.Happened(wire.Beat(1)), wire.Happened(Delta),
        wire.Happened(Delta("1", "x")), wire.Happened(Delta(1, b"x")), wire.Happened(Delta(None, "x")),
        wire.Happened(Done(1, "text")), wire.Happened(Done(1, Answer("x", 1, Usage(), Timings(), "m"))),
        wire.Happened(Done(1, Answer("x", "stop", Usage("1"), Timings(), "m"))),
        wire.Happened(Failed(1, "text")), wire.Happened(Failed(1, ValueError)),
        wire.Happened(Measured(1, 1, 1, (1, "2"))), wire.Happened(Measured(1, 1, 1, 5)),
        wire.Beat("1"), wire.Record("x", "INFO", "y"), wire.LoadFailed(None), wire.Taken((1,)),
    ],
)  # fmt: skip
def test_what_would_be_tripped_over_later_is_refused(one):
    assert refused(sent(one))


def test_a_message_that_lacks_a_field_or_has_another_is_refused():
    for message in FROM_ENGINE:
        for change in ("lacks", "has"):
            other = frames.receive(io.BytesIO(sent(message)), wire.FromEngine)
            part = other.event if isinstance(other, wire.Happened) else other
            if change == "lacks":
                del vars(part)[fields(part)[0].name]
            else:
                vars(part)["another"] = 1
            assert refused(sent(other))
    bare = NativeError.__new__(NativeError)
    assert refused(sent(wire.LoadFailed(bare)))


def test_a_truncated_frame_is_the_end():
    for message in FROM_ENGINE:
        raw = sent(message)
        for length in range(len(raw)):
            assert frames.receive(io.BytesIO(raw[:length]), wire.FromEngine) is None
    assert refused(framed(pickle.dumps(wire.Beat(1))[:-3]))  # a whole frame, whose pickle is not


@pytest.mark.parametrize("length", [frames.LIMIT + 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])
def test_a_huge_length_is_refused_at_once(length):
    start = struct.pack("<QI", length, 0)
    header = start + struct.pack("<I", frames.zlib.crc32(start))

    class Waits(io.BytesIO):
        def read(self, size=-1):
            assert size < 1000, "it would wait for what never comes"
            return super().read(size)

    assert refused(Waits(header + b"x" * 100))
    # in the pickle instead: bytes, a text and a frame of that length
    for opcode in (b"\x8e", b"\x8d", b"\x95"):
        assert refused(framed(b"\x80\x04" + opcode + struct.pack("<Q", length) + b"xyz."))


@given(st.binary(min_size=16, max_size=200))
@settings(max_examples=300)
def test_random_bytes_are_refused(raw):
    assert refused(raw, wire.FromEngine)
    assert refused(raw, wire.ToEngine)


@given(st.binary(max_size=60))
@settings(max_examples=500)
def test_random_pickles_are_refused(payload):
    """Even those that have a good header, and so are unpickled."""
    if b"r" in payload or b"p" in payload:  # a memo of up to 4 billion places: memory, which a test has not
        return
    assert refused(framed(b"\x80\x04" + payload + b"."))


@given(st.sampled_from(FROM_ENGINE + TO_ENGINE), st.data())
@settings(max_examples=300)
def test_spoilt_messages_are_refused(message, data):
    raw = bytearray(sent(message))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    assert refused(bytes(raw), wire.FromEngine)
    assert refused(bytes(raw), wire.ToEngine)


def test_a_line_between_two_messages_is_no_message():
    file = io.BytesIO(sent(FROM_ENGINE[0]) + b"print\n" + sent(*FROM_ENGINE))
    assert frames.receive(file, wire.FromEngine) == FROM_ENGINE[0]
    assert refused(file)


def test_a_closed_file_is_the_end():
    file = io.BytesIO()
    file.close()
    assert frames.receive(file, wire.FromEngine) is None


def test_the_annotations_of_all_that_travels_can_be_read():
    """The check of a message's form knows every type that the classes declare."""
    for found in frames._KNOWN.values():
        if is_dataclass(found):
            frames._check_of(found)
