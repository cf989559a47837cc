"""`--gpus`: which GPUs are meant, what a process is told to see only one; and several workers as one runner.

There are no GPUs here. Those of the first part are made up; the workers of the second are on the CPU, each with a
variable of the environment that says which GPU it would have.
"""

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.live import QUESTION, asked, one_shape, png, serving
from tests.support import folders
from tests.support.engines import ask, noise, outcomes, texts
from tests.support.program import ANSWER, SCENE, vlm
from vlmcli import demo
from vlmcli.errors import ModelError, NativeError, UsageError
from vlmcli.pictures import images
from vlmcli.placement import Device, Wanted
from vlmcli.runners import gpus
from vlmcli.runners.gpus import Gpu
from vlmcli.runners.pool import AHEAD, Pool
from vlmcli.values import Done, Failed, ModelFiles, Notice, Progress, run

CPU = Device("CPU", "a CPU", "cpu", 1 << 30, 1 << 30)


def card(name, kind="gpu", what="a card"):
    return Device(name, what, kind, 8 << 30, 8 << 30)


CUDA = (card("CUDA0", what="card A"), card("CUDA1", what="card B"), card("CUDA2", what="card A"), CPU)


# ---------------------------------------------------------------------------------------------- which are meant


@pytest.mark.parametrize(("text", "names"), [
    ("all", ["CUDA0", "CUDA1", "CUDA2"]), ("1", ["CUDA1"]), ("0,2", ["CUDA0", "CUDA2"]), (" 2, 0 ", ["CUDA2", "CUDA0"]),
    ("cuda1", ["CUDA1"]), ("1,CUDA1,1", ["CUDA1"]),
])  # fmt: skip
def test_gpus_are_named_by_number_or_name(text, names):
    assert [one.name for one in gpus.meant(text, CUDA, {})] == names


@pytest.mark.parametrize("text", ["3", "0,7", "-1", "CPU", "nonsense", "1.0"])
def test_a_gpu_that_is_not_there_is_an_error_that_lists_those_there_are(text):
    with pytest.raises(UsageError) as caught:
        gpus.meant(text, CUDA, {})
    assert caught.value.message == f"there is no GPU {text.rpartition(',')[2]}"
    assert caught.value.hint == "there are 0 (CUDA0, card A), 1 (CUDA1, card B), 2 (CUDA2, card A)"


def test_without_a_gpu_it_is_an_error():
    with pytest.raises(UsageError, match="no GPU found"):
        gpus.meant("all", (CPU,), {})
    with pytest.raises(UsageError, match="--gpus names no GPU"):
        gpus.meant(" , ", CUDA, {})


def test_all_leaves_out_the_slow_gpu_of_the_cpu_and_a_second_name_of_the_same():
    devices = (card("CUDA0"), card("Vulkan0"), card("Vulkan1", "igpu"))
    with pytest.raises(UsageError, match="also sees GPUs by Vulkan"):
        gpus.meant("all", devices, {})
    devices = (card("Vulkan0", "igpu"), card("Vulkan1"), card("Vulkan2"))
    assert [one.name for one in gpus.meant("all", devices, {})] == ["Vulkan1", "Vulkan2"]
    assert [one.name for one in gpus.meant("all", devices[:1], {})] == ["Vulkan0"]
    assert [one.name for one in gpus.meant("0", devices, {})] == ["Vulkan0"]


@pytest.mark.parametrize(("devices", "environment", "found"), [
    (CUDA, {}, {"CUDA_VISIBLE_DEVICES": "1"}),
    (CUDA, {"CUDA_VISIBLE_DEVICES": "4,6,7"}, {"CUDA_VISIBLE_DEVICES": "6"}),
    (CUDA, {"CUDA_VISIBLE_DEVICES": "GPU-a, GPU-b"}, {"CUDA_VISIBLE_DEVICES": "GPU-b"}),
    ((card("ROCm0"), card("ROCm1")), {}, {"HIP_VISIBLE_DEVICES": "1"}),
    ((card("ROCm0"), card("ROCm1")), {"CUDA_VISIBLE_DEVICES": "2,3"}, {"HIP_VISIBLE_DEVICES": "3"}),
    ((card("Vulkan0"), card("Vulkan1")), {"GGML_VK_VISIBLE_DEVICES": "0,2"}, {"GGML_VK_VISIBLE_DEVICES": "2"}),
    ((card("CUDA0"), card("ROCm0")), {}, {"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "-1"}),
])  # fmt: skip
def test_a_process_sees_one_gpu_by_the_variable_of_its_back_end(devices, environment, found):
    (one,) = gpus.meant("1", devices, environment)
    assert one.environment == found
    assert one.description == devices[1].description


def test_the_only_gpu_needs_no_variable_and_of_several_without_one_none_can_be_used_alone():
    assert gpus.meant("all", (card("MTL0"), CPU), {})[0].environment == {}
    with pytest.raises(UsageError, match="cannot be used alone"):
        gpus.meant("0", (card("RPC0"), card("RPC1")), {})


def test_what_there_is_is_asked_of_another_process():
    found = gpus.listed()
    assert "CPU" in [one.kind.upper() for one in found]
    assert all(isinstance(one, Device) for one in found)


def test_a_process_that_does_not_see_its_gpu_says_so(scene):
    """As where a variable is not honoured: this build of llama.cpp sees none."""
    with pool([Gpu("CUDA0", {}, "card A")]) as runner:
        (error,) = outcomes(runner, [ask("what is this?", scene)])
    assert isinstance(error, NativeError)
    assert error.message == "a process cannot be limited to the GPU card A (it sees none)"


# ---------------------------------------------------------------------------------------------- several workers

TWO = [Gpu("GPU0", {"MADE_UP_DEVICE": "0"}), Gpu("GPU1", {"MADE_UP_DEVICE": "1"})]


def pool(found=TWO, files=demo.FILES, **how):
    return Pool(files, found, Wanted(ctx=4096, threads=1), **how)


@pytest.fixture(scope="module")
def scene():
    return images.load(Path(SCENE))


@pytest.fixture(scope="module")
def two():
    """Two workers that have the model."""
    with pool() as runner:
        for worker in runner.workers:
            worker.ready()
        yield runner


linux = pytest.mark.skipif(not Path("/proc").is_dir(), reason="the environment of a process is read in /proc")


@linux
def test_each_worker_s_process_has_its_own_variable(two):
    for number, worker in enumerate(two.workers):
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
        assert f"MADE_UP_DEVICE={number}".encode() in environment
    assert "MADE_UP_DEVICE" not in os.environ


def test_both_answer_and_requests_with_the_same_picture_go_to_the_same(two):
    pictures = [noise(seed, (64, 64)) for seed in range(8)]
    before = [share.answers for share in two.shares]
    requests = [ask(text, picture, tokens=3) for picture in pictures for text in ("a?", "b?", "c?")]
    found = outcomes(two, requests)
    assert len([one for one in found if one.text is not None]) == 24
    gave = [share.answers - was for share, was in zip(two.shares, before, strict=True)]
    assert sum(gave) == 24
    assert min(gave) >= 6
    assert all(number % 3 == 0 for number in gave)  # three for each picture
    known = [answer.usage.remembered + bool(answer.usage.reused_tokens > 4) for answer in found]
    assert sum(map(bool, known)) >= 16  # of each picture's questions all but the first


def test_a_worker_that_is_much_busier_is_helped_also_with_pictures_it_knows(two, scene):
    before = [share.answers for share in two.shares]
    outcomes(two, [ask(f"what is this? {number}", scene, tokens=8) for number in range(4 * AHEAD)])
    assert all(share.answers > was for share, was in zip(two.shares, before, strict=True))


def test_a_request_is_cancelled_where_it_is(two, scene):
    ids = [two.submit(ask("what is this?", scene, tokens=4000)) for _ in range(2)]
    two.cancel(ids[0])
    ended = {}
    for event in two.events():
        if isinstance(event, Done | Failed):
            ended[event.id] = event
        if len(ended) == 2:
            break
    assert texts([ended[ids[0]].error]) == ["Cancelled"]
    assert isinstance(ended[ids[1]], Done)


def test_a_worker_that_is_killed_loses_nothing(two, scene):
    requests = [ask(f"what is this? {number}", noise(number, (96, 96)), tokens=24) for number in range(24)]
    killed, found = False, {}
    for number, event in run(two, requests):
        if isinstance(event, Done | Failed):
            assert number not in found
            found[number] = event
            if not killed:
                killed = True
                os.kill(two.workers[0].pid, signal.SIGKILL)
    assert len(found) == 24
    assert all(isinstance(event, Done) for event in found.values())
    assert two.workers[0].restarts == 1
    assert two.workers[1].restarts == 0


def test_a_worker_that_cannot_load_the_model_is_left_out_and_that_is_said_once(scene):
    bad = Gpu("GPU0", {}, "a card that is not there")
    with pool([bad, TWO[1]]) as runner:
        seen = list(run(runner, [ask(f"what is this? {number}", scene) for number in range(6)]))
    ended = [event for _, event in seen if isinstance(event, Done | Failed)]
    assert len(ended) == 6
    assert all(isinstance(event, Done) for event in ended)
    told = [event.text for _, event in seen if isinstance(event, Notice)]
    assert told == ["GPU0 is left out: a process cannot be limited to the GPU a card that is not there (it sees none)"]


def test_where_none_can_load_the_model_every_request_has_the_error(tmp_path, scene):
    files = ModelFiles("none", tmp_path / "a.gguf", tmp_path / "b.gguf")
    with pool(files=files) as runner:
        seen = list(run(runner, [ask("?", scene) for _ in range(5)]))
    ended = [event for _, event in seen if isinstance(event, Failed)]
    assert len(ended) == 5
    assert all(isinstance(event.error, ModelError) for event in ended)
    assert sum(isinstance(event, Notice) for _, event in seen) == 1  # of the first that was left out


def test_loading_is_one_progress_that_ends_when_all_have_loaded(scene):
    with pool() as runner:
        seen = [event for _, event in run(runner, [ask("what is this?", scene), ask("what?", noise(1))])]
    loads = [event.done for event in seen if isinstance(event, Progress) and event.stage == "load"]
    assert loads[-1] == 1.0
    assert loads.count(1.0) == 1


def test_closing_fails_what_is_under_way(scene):
    runner = pool()
    ids = {runner.submit(ask("what is this?", noise(number), tokens=4000)) for number in range(6)}
    threading.Thread(target=lambda: (time.sleep(0.3), runner.close()), daemon=True).start()
    ended = [event for event in runner.events() if isinstance(event, Failed)]
    assert {event.id for event in ended} == ids
    runner.close()


# ---------------------------------------------------------------------------------------------- the command


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setattr(gpus, "chosen", lambda text: TWO)


def test_a_folder_run_on_two_gpus_has_the_records_of_one(made_up, tmp_path):
    folders.drawn(tmp_path, 10)
    words = ("ask", "pics", "-q", folders.QUESTION, "-m", "demo", "--threads", "1", "--no-cache")
    two = vlm(*words, "--gpus", "all", "--output", "two.jsonl", "--stats", cwd=tmp_path)
    one = vlm(*words, "--output", "one.jsonl", cwd=tmp_path)
    assert (two.returncode, one.returncode) == (0, 0)
    there, here = (
        [(line["sources"], line["answer"]) for line in folders.lines(tmp_path, name)]
        for name in ("two.jsonl", "one.jsonl")
    )
    assert there == here
    counts = [int(line.split()[2]) for line in two.stderr.splitlines() if line.startswith("vlm: GPU")]
    assert sum(counts) == 10
    assert min(counts) > 0


def test_a_dry_run_says_how_many_pictures_each_answers(made_up, tmp_path):
    folders.drawn(tmp_path, 8)
    done = vlm("ask", "pics", "-q", folders.QUESTION, "-m", "demo", "--gpus", "all", "--dry-run", cwd=tmp_path)
    said = done.stderr.replace("\n     ", " ")
    assert "would ask 8 questions about 8 pictures; the questions take" in said
    assert "a minute: GPU0 " in said
    assert "kB to read" in said
    assert "to send" not in said


def test_one_question_loads_one_worker(made_up, monkeypatch):
    from vlmcli.runners import pool as pools

    opened, made = [], pools.Worker
    monkeypatch.setattr(pools, "Worker", lambda *one, gpu, **more: opened.append(gpu) or made(*one, gpu=gpu, **more))
    done = vlm("ask", SCENE, "what is this?", "-m", "demo", "--gpus", "all")
    assert (done.stdout, done.returncode) == (ANSWER, 0)
    assert opened == TWO[:1]


def test_without_a_gpu_the_command_says_so_and_what_to_do():
    done = vlm("ask", SCENE, "what is this?", "-m", "demo", "--gpus", "all")
    assert done.stderr == "vlm: no GPU found\n     vlm doctor says why; leave out --gpus to use the CPU\n"
    assert done.returncode == 2


WITH_TWO = """
import sys
from vlmcli.__main__ import main
from vlmcli.runners import gpus
from vlmcli.runners.gpus import Gpu
gpus.chosen = lambda text: TWO
sys.argv[0] = "vlm"
sys.exit(main())
""".replace("TWO", repr(TWO))


@linux
def test_a_server_shares_requests_out_among_gpus():
    command = (sys.executable, "-c", WITH_TWO, "serve", "--port", "0")
    pictures = [one_shape(number) for number in range(6)]
    with serving("--gpus", "all", "--threads", "1", "--no-cache", command=command) as server:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda one: server.post(asked(png(one[0]), QUESTION)), pictures))
        assert [status for status, *_ in answers] == [200] * 6
        said = [json.loads(body)["choices"][0]["message"]["content"] for _, body, _ in answers]
        assert all(name in text for (_, name), text in zip(pictures, said, strict=True))
        devices = [Path(f"/proc/{one}/environ").read_bytes().split(b"\0") for one in server.children()]
        assert {b"MADE_UP_DEVICE=0", b"MADE_UP_DEVICE=1"} <= {one for names in devices for one in names}
        assert server.stop() == 0


def test_a_server_without_gpus_does_not_start():
    done = vlm("serve", "--port", "0", "--gpus", "all")
    assert done.stderr == "vlm: no GPU found\n     vlm doctor says why; leave out --gpus to use the CPU\n"
    assert done.returncode == 2


@pytest.mark.parametrize(("words", "said"), [
    (("--in-process",), "--in-process and --gpus cannot be used together"),
    (("--server", "http://localhost:1"), "--gpus does nothing with --server"),
])  # fmt: skip
def test_what_cannot_go_together_is_said(words, said):
    done = vlm("ask", SCENE, "what is this?", "-m", "demo", "--gpus", "all", *words)
    assert said in done.stderr
    assert done.returncode == 2
