"""What ends llama.cpp's process, or makes it answer from nothing: none of it does that to ours.

Each case is one of its hazards, named by what goes in and what llama.cpp does with it. It runs in a child process: the
input is refused with an error that says what to do (or answered rightly, where it is harmless by now), the process
lives, and the next question is answered as it should be. Files that are broken: test_hazards_of_files.py.
"""

import ast
import functools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.support import ROOT
from tests.support.engines import Tap, ask, noise, opened, small_files
from tests.support.program import VLM
from vlmcli import demo
from vlmcli.engine import Engine, native
from vlmcli.errors import VlmError
from vlmcli.machine import fit
from vlmcli.models import gguf
from vlmcli.pictures import images
from vlmcli.placement import Device, Fit, Machine
from vlmcli.values import Answer, Picture, Request

SCENE = ROOT / "docs" / "images" / "scene.png"
QUESTION, RIGHT = "what is this?", "A red circle and a blue square."


# ------------------------------------------------------------------------------------------ what goes in


def picture(size, load, source="odd.png"):
    return Picture("0" * 64, size, source, load)


def one(engine, request):
    (outcome,) = engine.run([request])
    return outcome


def about(make):
    """A question about an odd picture."""
    return lambda engine, scene: one(engine, ask(QUESTION, make()))


def text(question):
    """An odd question about the scene."""
    return lambda engine, scene: one(engine, ask(question, scene))


def calls(function):
    """The native functions, in the process of an engine that is idle: `function(engine, context, model)` raises."""

    def run(engine, scene):
        function(engine, engine.loaded.context, engine.model)

    return run


def tokens(*ids, position=0):
    """Arguments of a decode into sequence 0."""
    n = len(ids)
    return np.array(ids, np.int32), np.arange(position, position + n, dtype=np.int32), np.zeros(n, np.int32)


def decode(context, *ids, position=0, seq=0, last=False):
    ids, positions, seqs = tokens(*ids, position=position)
    logits = np.zeros(len(ids), np.bool_)
    logits[-1:] = last
    return context.decode_tokens(ids, positions, seqs + seq, logits)


def a_gap(engine, context, model):
    context.forget(1)
    decode(context, 5, 6, 7, seq=1)
    try:
        decode(context, 5, position=1000, seq=1)
    finally:
        context.forget(1)


def used_positions(engine, context, model):
    context.forget(1)
    decode(context, 5, 6, 7, seq=1)
    try:
        decode(context, 5, position=1, seq=1)
    finally:
        context.forget(1)


def without_logits(engine, context, model):
    context.forget(1)
    decode(context, 5, 6, 7, seq=1)
    sampler = native.Sampler(model)
    sampler.add_greedy()
    try:
        context.sample(sampler, 2)
    finally:
        context.forget(1)


def without_a_selector(method):
    def run(engine, context, model):
        context.forget(1)
        decode(context, 5, 6, 7, seq=1, last=True)
        sampler = native.Sampler(model)
        sampler.add_top_k(5)
        try:
            getattr(context, method)(sampler, 2)
        finally:
            context.forget(1)

    return run


def picture_rows(count):
    def run(engine, context, model):
        rows = np.zeros((count, model.n_embd_inp), np.float32)
        context.decode_rows(rows, np.zeros((model.n_pos, count), np.int32), np.zeros(count, np.int32), False)

    return run


def a_model_that_is_not_loaded(**fit):
    def run(engine, scene):
        with Engine(demo.FILES, Fit(threads=1, **fit)) as other:
            return one(other, ask(QUESTION, scene))

    return run


def an_observer_that_fails(**hooks):
    def run(engine, scene):
        engine.observer = Tap(lambda *_: 1 / 0)
        try:
            return one(engine, ask(QUESTION, scene))
        finally:
            engine.observer = None

    return run


# ------------------------------------------------------------------------------------------ the cases

HIDDEN = 'root ::= b root "x" | "y"\nb ::= c\nc ::= "" | "z"'
ROUND = "\u2581<__media__><|im_end|>\n<|im_start|>assistant\nNo.<|im_end|>"


@dataclass(frozen=True)
class Case:
    """What is done, and what the error says; without that it is to be answered."""

    run: object
    says: str = ""
    kind: str = "RequestError"
    model: str = "demo"
    fit: object = None


CASES = {
    # pictures
    "bitmap 0x0: status 2": Case(about(lambda: picture((0, 0), lambda: b"")), "cannot be encoded"),
    "a side of 0: status 2": Case(about(lambda: picture((64, 0), lambda: b"")), "cannot be encoded"),
    "pixels shorter than w*h*3: SIGSEGV": Case(
        about(lambda: picture((100, 100), lambda: b"ab" * 99)), "are not 100x100"
    ),
    "60000x60000: int overflow, 9 tokens": Case(about(lambda: picture((60_000, 60_000), lambda: b"")), "60000x60000"),
    **{
        f"20000:1 on {name}: status 2": Case(about(lambda: noise(1, (20_000, 1))), says, kind, name)
        for name, says, kind in (
            ("smolvlm", "cannot process this picture", "RequestError"),
            ("pixtral", "and the context has 4096", "ContextFull"),
            ("lfm2vl", "cannot process this picture", "RequestError"),
        )
    },
    "20000:1 elsewhere: accepted": Case(about(lambda: noise(1, (20_000, 1)))),
    "a picture that cannot be read when it is needed": Case(
        about(lambda: picture((9, 9), lambda: (_ for _ in ()).throw(OSError("gone")))), "odd.png", "SourceError"
    ),
    # text
    "no picture, one marker too few: status 2": Case(
        lambda engine, scene: one(engine, ask(QUESTION)), "no picture", "NoPicture"
    ),
    "<__media__> in a text, one marker too many: status 2": Case(text("<__media__> " + QUESTION)),
    "special tokens in a text: they count": Case(text(ROUND)),
    "no messages": Case(lambda engine, scene: one(engine, Request(())), "no picture", "NoPicture"),
    "empty prompt: 0 chunks": Case(text("")),
    "surrogates and NUL in a text": Case(text("\udcff\ud800\0 " + QUESTION)),
    # batches and cells
    "tokens > n_batch in one decode: abort": Case(text("what " * 1500)),
    "tokens > n_batch in native.decode_tokens: abort": Case(
        calls(lambda engine, context, model: decode(context, *[5] * (context.n_batch + 1))), "a batch of", "NativeError"
    ),
    "no tokens in native.decode_tokens: status -1": Case(
        calls(lambda engine, context, model: decode(context)), "a batch of 0", "NativeError"
    ),
    "context full: status 1": Case(text("what " * 9000), "the context has 4096", "ContextFull"),
    "bidirectional picture of more rows than n_ubatch: abort": Case(
        about(lambda: noise(1)), model="gemma3", fit={"n_batch": 64}
    ),
    "bidirectional rows > n_batch in native.decode_rows: abort": Case(
        calls(picture_rows(5000)), "a batch of 5000", "NativeError", "gemma3"
    ),
    "picture rows of another width: reads past the end": Case(
        calls(lambda engine, context, model: context.decode_rows(
            np.zeros((3, 5), np.float32), np.zeros((1, 3), np.int32), np.zeros(3, np.int32), True)),
        "do not fit the model", "NativeError",
    ),
    "a position with a gap: status -1": Case(calls(a_gap), "language model failed", "NativeError"),
    "a position used before: status -1": Case(calls(used_positions), "language model failed", "NativeError"),
    "a token id past the vocabulary in a decode: status -1": Case(
        calls(lambda engine, context, model: decode(context, model.n_vocab)), "outside the vocabulary", "NativeError"
    ),
    "a negative token id in a decode: status -1": Case(
        calls(lambda engine, context, model: decode(context, -1)), "outside the vocabulary", "NativeError"
    ),
    "token_to_piece of no token: terminate": Case(
        calls(lambda engine, context, model: model.piece(model.n_vocab)), "has no token", "NativeError"
    ),
    "token_to_piece of -1: terminate": Case(
        calls(lambda engine, context, model: model.piece(-1)), "has no token", "NativeError"
    ),
    "a sequence id of a batch past n_seq_max: abort": Case(
        calls(lambda engine, context, model: decode(context, 5, seq=context.n_seq)), "sequence id", "NativeError"
    ),
    **{
        f"{name} of sequence 300: abort": Case(calls(function), "out of range", "NativeError")
        for name, function in {
            "seq_rm": lambda engine, context, model: context.forget(300),
            "seq_rm from a position": lambda engine, context, model: context.roll_back(300, 1),
            "seq_cp": lambda engine, context, model: context.fork(0, 300, 1),
            "seq_cp from -1": lambda engine, context, model: context.fork(-1, 0, 1),
            "seq_pos_max": lambda engine, context, model: context.last_position(-2),
        }.items()
    },
    # sampling
    "sample without logits: abort": Case(calls(without_logits), "has no logits", "NativeError"),
    "logits that were not asked for: abort": Case(
        calls(lambda engine, context, model: context.logits(400)), "has no logits", "NativeError"
    ),
    "a chain without a selector: abort": Case(
        calls(without_a_selector("sample")), "has no sampler that picks", "NativeError"
    ),
    "a chain without a selector, applied": Case(calls(without_a_selector("pick")), "no sampler picked", "NativeError"),
    "accept of no token: terminate": Case(
        calls(lambda engine, context, model: native.Sampler(model).accept(model.n_vocab)), "has no token", "NativeError"
    ),
    "a grammar that has ended, and a token after it: terminate": Case(
        lambda engine, scene: one(engine, ask(QUESTION, scene, grammar='root ::= "A"'))
    ),
    **{
        f"grammar with {name}: {does}": Case(
            lambda engine, scene, grammar=grammar: one(engine, ask(QUESTION, scene, grammar=grammar)), says
        )
        for name, does, grammar, says in (
            ("no root", "NULL", 'x ::= "a"', "no rule named root"),
            ("an error", "NULL, and text on stderr", "root ::= (", "expected )"),
            ("left recursion", "NULL", 'root ::= root "a"', "begins with itself"),
            ("hidden left recursion", "hangs", HIDDEN, "begins with itself"),
            ("deep groups", "SIGSEGV", "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000, "nested more than"),
        )
    },
    # contexts
    "n_ctx huge: two minutes and all memory, then NULL": Case(
        a_model_that_is_not_loaded(n_ctx=1 << 30), "cannot create a context of 1073741824", "ModelError"
    ),
    "n_seq_max > 256: NULL": Case(
        a_model_that_is_not_loaded(n_parallel=400), "cannot create a context of", "ModelError"
    ),
    # Python under C
    "an exception in a callback: printed, ignored": Case(an_observer_that_fails(), "ZeroDivisionError", "NativeError"),
}  # fmt: skip


def known(model):
    """A question whose answer is known: the demo's by heart, a small pair's from an engine that met nothing odd."""
    if model == "demo":
        return ask(QUESTION, images.load(SCENE))
    return ask(QUESTION, noise(7), tokens=8)


def child(folder, model, *names):
    """Run cases of a model here, one after the other: for each a line of JSON, what came of it and of the next one."""
    files = demo.FILES if model == "demo" else small_files(Path(folder), model)
    expected = RIGHT
    if model != "demo":
        with opened(files) as engine:
            expected = one(engine, known(model)).text
    with opened(files, **(CASES[names[0]].fit or {})) as engine:
        for name in names:
            try:
                outcome = CASES[name].run(engine, images.load(SCENE))
            except VlmError as error:
                outcome = error
            after = one(engine, known(model))
            found = {
                "kind": type(outcome).__name__,
                "right": getattr(after, "text", "") == expected,
                "next": str(after),
            }
            if isinstance(outcome, VlmError):
                found |= {"message": outcome.message, "hint": outcome.hint}
            elif isinstance(outcome, Answer):
                found |= {"rows": outcome.usage.picture_tokens}
            print("\n" + json.dumps([name, found]), flush=True)


@pytest.fixture(scope="module")
def outcomes(small):
    """What came of every case: in one child for each model, in another one from a case on that ends it."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.engine.test_hazards import child; "
    found = {}
    for model in dict.fromkeys(case.model for case in CASES.values()):
        todo = [name for name, case in CASES.items() if case.model == model]
        todo.sort(key=lambda name: str(CASES[name].fit))
        while todo:
            same = [name for name in todo if CASES[name].fit == CASES[todo[0]].fit]
            done = subprocess.run(
                [sys.executable, "-c", code + "child(*sys.argv[1:])", str(small), model, *same],
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            found |= dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
            ended = next((name for name in same if name not in found), None)
            if ended is not None:
                found[ended] = {"gone": f"the process is gone ({done.returncode}): {done.stderr[-2000:]}"}
            todo = [name for name in todo if name not in found]
    return found


@pytest.mark.parametrize("name", CASES)
def test_hazard(name, outcomes):
    found, case = outcomes[name], CASES[name]
    assert "gone" not in found, found["gone"]
    assert found["right"], f"the next question got {found['next']}"
    if case.says:
        assert found["kind"] == case.kind, found
        assert case.says in found["message"], found
        assert "\n" not in found["message"]
        assert found["hint"] or case.kind == "NativeError", found
    else:
        assert found["kind"] == "Answer", found
        assert found["rows"] > 0, found


# ------------------------------------------------------------------------------------------ doors that are closed

CLOSED = {
    "helper_eval_chunks: abort on token -1, on a wrong n_batch": "mtmd_helper_eval",
    "helper_decode_image_chunk: abort on a sequence id": "mtmd_helper_decode",
    "helper_bitmap_init_from_buf: runs ffprobe": "mtmd_helper_bitmap",
    "mtmd_tokenize: markers in a user's text": "mtmd_tokenize",
    "seq_add on M-RoPE: abort": "llama_memory_seq_add",
    "seq_div": "llama_memory_seq_div",
    "state files that llama.cpp reads itself: flipped bits are not noticed": "llama_state_seq_load",
    "chunk files that are corrupt": "mtmd_input_chunk_load",
    "llama_sampler_init_grammar: overflows the stack, hangs": "llama_sampler_init_grammar",
    "V-quant without flash attention: NULL": "type_v",
}


@functools.cache
def names_used():
    """Attributes and texts of the files in which the bindings are used."""
    files = sorted(Path(native.__file__).parent.rglob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return used | {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize(("name", "symbol"), CLOSED.items(), ids=CLOSED)
def test_a_function_that_is_never_called(name, symbol):
    """No attribute of that name, exactly or as a beginning, is used where the bindings are."""
    used = names_used()
    assert "mtmd_tokenize_from_parts" in used
    found = {one for one in used if one.startswith(symbol)} - {"mtmd_tokenize_from_parts"}
    assert not found


def test_sequences_share_one_stream_so_that_a_part_may_be_copied(demo_engine):
    """seq_cp of a part across streams: abort. With one stream for all there is no across."""
    context = demo_engine.loaded.context
    for seq in (2, 3):
        context.forget(seq)
    decode(context, 5, 6, 7, 8, seq=2)
    context.fork(2, 3, 2)
    assert (context.last_position(2), context.last_position(3)) == (3, 1)
    for seq in (2, 3):
        context.forget(seq)
    assert one(demo_engine, known("demo")).text == RIGHT


def test_a_projector_too_large_for_a_gpu_is_not_put_there():
    """It aborts or segfaults."""
    headers = gguf.read(demo.FILES.model), gguf.read(demo.FILES.projector)
    for free, on_gpu in ((256 << 20, False), (8 << 30, True)):
        machine = Machine(2, 8 << 30, (Device("CUDA0", "a GPU", "gpu", free, 8 << 30),), 8 << 30)
        assert fit.fit(headers[0], machine, projector=headers[1]).projector_on_gpu == on_gpu


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_inside_a_call_in_c(real_pair):
    """Python would only look at it after the call; the encoder of this pair takes a second."""
    for wait in (3, 8, 20):
        process = subprocess.Popen(
            [VLM, "ask", "-m", str(real_pair.model), "--mmproj", str(real_pair.projector), str(SCENE), QUESTION,
             "-o", "max_tokens=2000"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        time.sleep(wait)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        if process.returncode != -signal.SIGINT:  # or a busy machine had not come to the engine yet
            break
    assert process.returncode == 130, errors
    assert time.monotonic() - started < 3
    assert "Traceback" not in errors


def test_what_a_graph_means_to_clear_is_cleared(small, monkeypatch):
    """Pixtral's encoder multiplies memory that nobody has written with 0, which keeps what is not a number."""
    request = ask(QUESTION, noise(1, (300, 200)), tokens=4)
    with opened(small_files(small, "pixtral")) as engine:
        (expected,) = engine.run([request])
    real, seen = native.watch.is_cleared, []

    def spoilt(address):
        """After it was computed (ggml asks twice about a node), the tensor is what that memory may be."""
        found = real(address)
        if found:
            seen.append(address)
            if seen.count(address) % 2 == 0:
                native.watch.write_tensor(address, b"\xff" * native.watch.tensor_size(address))
        return found

    monkeypatch.setattr(native.projector, "is_cleared", spoilt)
    with opened(small_files(small, "pixtral")) as engine:
        (answer,) = engine.run([request])
    assert seen
    assert answer.text == expected.text
