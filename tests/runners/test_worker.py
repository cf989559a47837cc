"""The engine in a process of its own: whatever kills it, every request has one outcome, and the right one."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.support import faulty
from tests.support.engines import ask, noise, outcomes, small_files, texts
from tests.support.faults import Fault, Touch, named
from tests.support.program import VLM
from vlmcli import demo
from vlmcli.demo import scenes
from vlmcli.engine import Engine
from vlmcli.errors import Cancelled, ModelError, NativeError
from vlmcli.pictures import images
from vlmcli.placement import Fit
from vlmcli.runners import frames, wire
from vlmcli.runners.process import Process
from vlmcli.runners.worker import Worker
from vlmcli.values import Answer, Delta, Done, Failed, ModelFiles, Notice, Picture, Sampling, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

FIT = Fit(n_ctx=4096, threads=1)
SCENE = "A red circle and a blue square."


def called(scene, name):
    """The scene under another name, so that a fault can tell it from others."""
    return Picture(scene.identity, scene.size, name, scene.load)


def until(condition, seconds=10.0):
    """Wait for a condition; whether it came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def children(pid):
    """The process ids of a process's children."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in task.read_text("ascii").split()]
    return found


def is_alive(pid):
    """Whether a process runs: neither gone nor waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def seconds_of_a_start():
    """How long a worker takes here and now until its model is loaded."""
    started = time.monotonic()
    with Worker(demo.FILES, fit=FIT) as worker:
        worker.ready()
        return time.monotonic() - started


def worker_with(fault, fit=FIT, **options):
    """A worker on the demo in whose process there is a fault, and which does not wait before it starts another."""
    if fault.startswith("hang"):  # for the others a short patience would only be in the way of a busy machine
        options["patience"] = max(1.5, 3 * seconds_of_a_start())
    return Worker(demo.FILES, fit=fit, observer=named(fault), back_off=(0.0,), **options)


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")

# What `support.faults` does → what the error says of it.
FAULTS = {
    "abort": "fault.c:1: GGML_ASSERT(fault) failed",
    "segfault": "segmentation fault",
    "throw": "std::out_of_range: vector::_M_range_check",
    "hang": "no progress for ",
    "kill": "killed from outside",
    "noise": "it sent something that is not a message",
    "frame": "it sent something that is not a message",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_request_that_kills_is_named_and_the_others_are_answered(scene, fault):
    requests = [ask("what is this?", called(scene, f"/a/{n}.png")) for n in ("one", "two", "three", "four", "five")]
    with worker_with(f"{fault} three.png") as worker:
        found = outcomes(worker, requests)
        assert texts(found) == [SCENE, SCENE, "NativeError", SCENE, SCENE]
        error = found[2]
        assert error.exit_code == 70
        assert error.message.startswith("/a/three.png: ")
        assert FAULTS[fault] in error.message
        assert error.hint
        assert worker.restarts >= 2
        assert texts(outcomes(worker, [ask("what is left?", scene)])) == ["A red circle."]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_process_that_dies_once_loses_nothing(scene, tmp_path, fault):
    requests = [ask("what is this?", called(scene, f"{n}.png")) for n in ("one", "two", "three", "four", "five")]
    with worker_with(f"{fault} three.png {tmp_path / 'mark'}") as worker:
        assert texts(outcomes(worker, requests)) == [SCENE] * 5
        assert worker.restarts == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]  # and no "mark.made", of a frame that ran


@pytest.mark.parametrize("fault", ["abort", "segfault", "hang", "kill", "noise"])
def test_a_model_that_cannot_be_loaded_is_named(scene, fault):
    with worker_with(f"{fault} load") as worker:
        found = outcomes(worker, [ask("what is this?", scene)] * 3)
        assert texts(found) == ["NativeError"] * 3
        for name in (str(demo.FILES.model), str(demo.FILES.projector), FAULTS[fault]):
            assert name in found[0].message
        assert worker.restarts == 2
        with pytest.raises(NativeError):
            worker.ready()
        assert texts(outcomes(worker, [ask("what is left?", scene)])) == ["NativeError"]


def test_a_picture_that_kills_at_once_is_not_taken_for_a_bad_model(scene):
    requests = [ask("what is this?", called(scene, "/a/one.png"))]
    with Worker(demo.FILES, fit=FIT, observer=named("segfault one.png", "Unheard"), back_off=(0.0,)) as worker:
        (error,) = outcomes(worker, requests)
        assert error.message == "/a/one.png: llama.cpp crashed on it each time (segmentation fault)"
        worker.ready()
        assert texts(outcomes(worker, [ask("what is left?", scene)])) == ["A red circle."]


def test_a_fault_of_ours_while_loading_is_told_as_that(scene):
    with Worker(demo.FILES, fit=FIT, observer=named("bug load", "Unheard"), back_off=(0.0,)) as worker:
        with pytest.raises(NativeError, match="ZeroDivisionError: a bug that was asked for"):
            worker.ready()
        (error,) = outcomes(worker, [ask("what is this?", scene)])
        assert "ZeroDivisionError: a bug that was asked for" in error.message
        assert worker.restarts == 0


ON_GPU = replace(FIT, n_gpu_layers=-1, projector_on_gpu=True, reason="all layers on CUDA0")


def said(runner, request):
    """An answer, and what was said on the way."""
    events = [event for _, event in run(runner, [request])]
    told = " ".join(event.text for event in events if isinstance(event, Notice))
    (ended,) = [event for event in events if isinstance(event, Done | Failed)]
    return texts([ended.answer if isinstance(ended, Done) else ended.error]), told


def test_a_gpu_without_room_leaves_the_projector_to_the_cpu_and_then_the_layers(scene, tmp_path):
    with Engine(demo.FILES, ON_GPU, Fault(f"full load {tmp_path / 'mark'}")) as engine:
        found, told = said(engine, ask("what is this?", scene))
        assert found == [SCENE]
        assert (engine.fit.projector_on_gpu, engine.fit.n_gpu_layers) == (False, -1)
    assert "retrying with all layers on CUDA0, the projector on the CPU" in told
    with Engine(demo.FILES, ON_GPU, Fault("full load")) as engine:
        found, told = said(engine, ask("what is this?", scene))
        assert found == ["NoRoom"]
        assert (engine.fit.projector_on_gpu, engine.fit.n_gpu_layers) == (False, 0)
    assert "everything on the CPU" in told


def test_a_process_that_dies_of_the_gpu_is_followed_by_one_with_the_projector_on_the_cpu(scene, tmp_path):
    with worker_with(f"segfault load {tmp_path / 'mark'}", fit=ON_GPU) as worker:
        found, told = said(worker, ask("what is this?", scene))
    assert found == [SCENE]
    assert "all layers on CUDA0, the projector on the CPU" in told


def test_a_model_whose_loading_dies_once_is_loaded(scene, tmp_path):
    with worker_with(f"segfault load {tmp_path / 'mark'}") as worker:
        assert texts(outcomes(worker, [ask("what is this?", scene)])) == [SCENE]


def test_a_model_that_is_none_is_the_engines_own_error(tmp_path, scene):
    (tmp_path / "a.gguf").write_bytes(b"hello")
    files = ModelFiles("a", tmp_path / "a.gguf", tmp_path / "a.gguf")
    with Engine(files, FIT) as engine:
        (expected,) = outcomes(engine, [ask("what is this?", scene)])
    with Worker(files, fit=FIT) as worker:
        found = outcomes(worker, [ask("what is this?", scene)] * 2)
        assert worker.restarts == 0
    assert [(type(one), one.message, one.hint) for one in found] == [(ModelError, expected.message, expected.hint)] * 2


def test_a_process_that_grows_is_replaced_between_requests(scene):
    requests = [ask("what is this?", called(scene, "leak.png")) for _ in range(20)]
    with worker_with("leak leak.png", growth=200 << 20) as worker:
        pids = []
        for request in requests:
            assert texts(outcomes(worker, [request])) == [SCENE]
            pids.append(worker.pid)
        assert 2 <= worker.restarts <= 8  # 20 times 67 MB, by 210
    assert len(set(pids) - {None}) >= 3


def blocked(scene):
    """The scene, whose pixels are not read before the second event is set; the first says that somebody wants them."""
    wanted, go = threading.Event(), threading.Event()

    def load():
        wanted.set()
        go.wait(20)
        return scene.pixels()

    return Picture(scene.identity, scene.size, "scene.png", load), wanted, go


def last_of(worker):
    return next(event for event in worker.events() if isinstance(event, Done | Failed))


def test_a_process_whose_reader_fails_ends_at_once(scene):
    """Its other threads may wait for what nobody reads any more: an orderly end would wait for them."""
    picture, wanted, go = blocked(scene)
    with Worker(demo.FILES, fit=FIT) as worker:
        worker.submit(ask("what is this?", picture))
        assert wanted.wait(20)
        worker._process.send(wire.Pixels(999))
        assert until(lambda: worker.restarts == 1)
        go.set()
        done = last_of(worker)
    assert isinstance(done, Done), done
    assert done.answer.text.strip() == SCENE


@pytest.mark.parametrize("code", [False, True])
def test_garbage_for_a_process_is_its_death(scene, tmp_path, code):
    """It comes between two messages; the code in it would make a file."""
    picture, wanted, go = blocked(scene)
    payload = pickle.dumps(Touch(tmp_path / "made"))
    with Worker(demo.FILES, fit=FIT) as worker:
        worker.submit(ask("what is this?", picture))
        assert wanted.wait(20)
        sink = worker._process.popen.stdin
        sink.write(frames.header(payload) + payload if code else b"what somebody has printed\n")
        sink.flush()
        assert until(lambda: worker.restarts == 1)
        go.set()
        done = last_of(worker)
    assert isinstance(done, Done), done
    assert list(tmp_path.iterdir()) == []


def test_a_worker_waits_longer_after_more_deaths_and_closes_at_once_all_the_same(scene):
    with Worker(demo.FILES, fit=FIT, back_off=(0.0, 60.0)) as worker:
        worker.ready()
        os.kill(worker.pid, signal.SIGKILL)
        assert until(lambda: worker.restarts == 1)
        id = worker.submit(ask("what is this?", scene))
        time.sleep(0.3)
        assert worker.pid is None
        started = time.monotonic()
    assert time.monotonic() - started < 1.0
    (failed,) = (event for event in worker.events() if isinstance(event, Failed))
    assert (failed.id, type(failed.error)) == (id, Cancelled)


def test_what_a_grown_process_had_is_asked_again_should_it_go_too_early(scene):
    picture, wanted, go = blocked(scene)
    with Worker(demo.FILES, fit=FIT) as worker:
        worker.submit(ask("what is this?", picture))
        assert wanted.wait(20)
        worker._process.retiring = True
        worker._process.finish()  # it ends with exit code 0
        assert until(lambda: worker.restarts == 1)
        go.set()
        done = last_of(worker)
    assert isinstance(done, Done), done


def test_a_command_that_was_stopped_is_no_process_that_hangs(monkeypatch):
    """Ctrl-Z stops both: what passes until they go on is not held against the engine."""
    now, killed = 1000.0, []
    steps = iter([0.5, 0.5, 900.0, *[0.5] * 30])

    class Gone:
        def wait(self, seconds):
            nonlocal now
            step = next(steps, None)
            now += step or 0
            return step is None

    monkeypatch.setattr("vlmcli.runners.process.time", SimpleNamespace(monotonic=lambda: now))
    process = Process(SimpleNamespace(kill=lambda: killed.append(now)), None, 10.0, gone=Gone(), heard=now)
    process.watch(lambda: True)
    assert killed == [1911.5]


def test_what_a_process_takes_once_for_its_first_picture_is_no_growth(scene, tmp_path):
    with worker_with(f"leak leak.png {tmp_path / 'mark'}", growth=48 << 20) as worker:
        for _ in range(3):
            assert texts(outcomes(worker, [ask("what is this?", called(scene, "leak.png"))])) == [SCENE]
        assert worker.restarts == 0
    assert (tmp_path / "mark").exists()


def test_an_answer_that_is_cut_in_its_middle_streams_on(small):
    """The process is killed while an answer streams: it is asked again, and its beginning is not shown twice."""
    files, request = small_files(small, "llava"), ask("what is this?", noise(1), tokens=300)
    with Worker(files, fit=FIT) as worker:
        shown, killed = "", False
        for _, event in run(worker, [request]):
            if isinstance(event, Delta):
                shown += event.text
                if len(shown) > 50 and not killed:
                    killed = True
                    os.kill(worker.pid, signal.SIGKILL)
            elif isinstance(event, Done | Failed):
                last = event
        assert worker.restarts == 1
    assert isinstance(last, Done), last
    assert shown == last.answer.text


def test_an_answer_that_goes_another_way_the_second_time_is_an_error(small):
    """What was shown cannot be taken back. Another seed stands for another machine's last digits."""
    sampling = Sampling(temperature=2.0, seed=1)
    request = ask("what is this?", noise(1), tokens=300, sampling=sampling)
    with Worker(small_files(small, "llava"), fit=FIT) as worker:
        id = worker.submit(request)
        shown = ""
        for event in worker.events():
            if isinstance(event, Delta):
                shown += event.text
                if len(shown) > 50 and worker.restarts == 0 and worker.pid is not None:
                    worker._asked[id].request = ask("and now?", noise(2), tokens=300, sampling=Sampling(2.0, seed=2))
                    os.kill(worker.pid, signal.SIGKILL)
                    assert until(lambda: worker.restarts == 1)
            if isinstance(event, Done | Failed):
                break
        assert isinstance(event, Failed)
        assert "in the middle of the answer about noise-" in event.error.message
        (after,) = outcomes(worker, [ask("what is this?", noise(1), tokens=3)])
        assert isinstance(after, Answer)


def test_without_a_seed_an_answer_is_drawn_once(small):
    """Asked again after a death, it is drawn with the same seed; another request has another."""
    request = ask("what is this?", noise(1), tokens=40, sampling=Sampling(temperature=1.0))
    with Worker(small_files(small, "llava"), fit=FIT) as worker:
        first, second = (outcomes(worker, [request])[0].text for _ in range(2))
        assert first != second
        worker.submit(request)
        (asked,) = worker._asked.values()
        assert asked.request.sampling.seed is not None


def test_cancelled_at_once_and_closed_at_once(small):
    long = ask("what is this?", noise(1), tokens=3000)
    worker = Worker(small_files(small, "llava"), fit=FIT)
    ids = [worker.submit(long) for _ in range(3)]
    for event in worker.events():
        if isinstance(event, Delta):
            break
    worker.cancel(ids[0])
    ended = [event for event in _until_ended(worker, ids[0]) if isinstance(event, Failed)]
    assert isinstance(ended[-1].error, Cancelled)
    pid, started = worker.pid, time.monotonic()
    worker.close()
    worker.close()
    assert time.monotonic() - started < 1.0
    assert not is_alive(pid)
    left = [event for event in worker.events() if isinstance(event, Failed)]
    assert sorted(event.id for event in left) == ids[1:]


def _until_ended(runner, id):
    for event in runner.events():
        yield event
        if event.id == id and isinstance(event, Done | Failed):
            return


# ---------------------------------------------------------------------------------------------- the command


def vlm(*words, fault=None, **options):
    """`vlm`, or with a fault the same with that fault; an empty one only spares the worker's waiting."""
    return subprocess.Popen(
        [VLM, *map(str, words)] if fault is None else faulty.command(fault, *words), env=faulty.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


QUESTIONS = ("-q", "what is this?", "-q", "what is in the middle?", "-q", "describe the image")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, everything):
    """Plain scenes, of which the demo is sure, a hundred or a few fewer, and what it says of each in process."""
    folder = tmp_path_factory.mktemp("scenes")
    rng = random.Random(5)
    for number in range(100 if everything else 40):
        scene = scenes.make(rng, size=(320, 240), shapes=rng.choice((1, 2)), text=False)
        scenes.draw(scene).save(folder / f"{number:03}.png")
    process = vlm("ask", *QUESTIONS, "-m", "demo", folder, "--json", "--in-process")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder, records(out)


def records(out):
    """What each line says, in order, but for times, and for what was known already."""
    rows = [json.loads(line) for line in out.splitlines()]
    for row in rows:
        del row["timings"]
        row["usage"] = {name: row["usage"][name] for name in ("picture_tokens", "prompt_tokens", "answer_tokens")}
    return rows


def test_a_folders_records_are_the_same_in_process_and_by_the_worker(folder):
    path, expected = folder
    process = vlm("ask", *QUESTIONS, "-m", "demo", path, "--json", "--worker")
    out, _ = process.communicate(timeout=300)
    assert records(out) == expected
    assert len(expected) == len(QUESTIONS) // 2 * len(list(path.iterdir()))


@linux
def test_kills_lose_and_double_nothing(folder, everything):
    """The worker is killed at random moments of a run over plain scenes: three answers each, as in a calm run.

    Where the run is over before it was killed often enough, there is another.
    """
    path, expected = folder
    rng, kills, wanted = random.Random(1), 0, 6 if everything else 3
    while kills < wanted:
        start = time.monotonic()
        process = vlm("ask", *QUESTIONS, "-m", "demo", path, "--json", "--worker", fault="")
        lines = [process.stdout.readline()]
        first = time.monotonic() - start  # how long a start takes here now, so that some kills fall into starts
        found = []
        killer = threading.Thread(
            target=lambda p=process, f=first, out=found: out.append(kill(p, rng, 2.2 * f, wanted))
        )
        killer.start()
        lines += process.stdout.readlines()
        process.wait(timeout=60)
        killer.join()
        kills += found[0]
        assert process.returncode == 0, process.stderr.read()
        assert records("".join(lines)) == expected
    print(f"{kills} kills")


def kill(process, rng, longest, most):
    """Kill a command's worker at random moments, so many times at most; how often it was."""
    kills = 0
    while process.poll() is None and kills < most:
        time.sleep(rng.uniform(0, longest))
        for pid in children(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills += 1
    return kills


@linux
@pytest.mark.parametrize("fault", [None, "hang 000.png"])
def test_no_child_outlives_the_command(folder, fault):
    path, _ = folder
    for delay in (0.0, 0.1, 0.3, 1.0):
        process = vlm("caption", "-m", "demo", path, "--worker", fault=fault)
        assert until(lambda p=process: children(p.pid))
        time.sleep(delay)
        born = children(process.pid)
        process.kill()
        process.communicate(timeout=20)
        assert until(lambda born=born: not any(is_alive(pid) for pid in born), 8.0), delay  # it may still be importing


@linux
@pytest.mark.parametrize("to_group", [True, False])
def test_ctrl_c_ends_both(folder, to_group):
    path, _ = folder
    for delay in (0.0, 0.2, 0.8):
        process = vlm("caption", "-m", "demo", path, "--worker", start_new_session=True)
        assert until(lambda p=process: children(p.pid))
        time.sleep(delay)
        born = children(process.pid)
        (os.killpg if to_group else os.kill)(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        assert "Traceback" not in err
        assert not any(is_alive(pid) for pid in born)


def test_the_command_names_the_picture_and_goes_on(tmp_path, scene):
    for number, name in enumerate("abc"):
        picture = Image.open(scene.source).convert("RGB")
        picture.putpixel((0, 0), (250, 250, 250 - number))  # equal pixels are asked about once
        picture.save(tmp_path / f"{name}.png")
    process = vlm("ask", "-m", "demo", tmp_path, "what is this?", fault="segfault b.png")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert out.splitlines() == [f"{tmp_path}/{n}.png\t{SCENE}" for n in ("a", "c")]
    assert f"vlm: {tmp_path}/b.png: llama.cpp crashed on it each time (segmentation fault)\n" in err


def test_one_question_is_asked_in_process_unless_told_otherwise(tmp_path, scene):
    path = tmp_path / "a.png"
    path.write_bytes(Path(scene.source).read_bytes())
    for words, code in (([], -11), (["--worker"], 70)):
        process = vlm("ask", "-m", "demo", path, "what is this?", *words, fault="segfault a.png")
        process.communicate(timeout=60)
        assert process.returncode == code


@pytest.mark.parametrize("fault", [None, "noise scene.png {}", "frame scene.png {}", "throw scene.png {}"])
def test_nothing_the_library_writes_reaches_stdout_or_stderr(tmp_path, scene, fault):
    assert images.load(Path(scene.source)).identity == scene.identity
    fault = fault and fault.format(tmp_path / "mark")
    process = vlm("ask", "-m", "demo", scene.source, "what is this?", "--worker", fault=fault)
    out, err = process.communicate(timeout=60)
    assert out == SCENE + "\n"
    assert not [line for line in err.splitlines() if not line.startswith("vlm: loading the model")]  # on a busy machine
