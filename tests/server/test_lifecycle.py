"""A server's life: its engine's process dies, signals come, models are loaded and freed, the queue is full."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import openai
import pytest

from tests.server.live import QUESTION, SCENE, asked, one_shape, png, serving
from tests.support.program import vlm
from tests.support.waiting import until
from vlmcli import demo
from vlmcli.server import running

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")

LONG = {"extra_body": {"vlm": {"regex": "[a-z ]{80}"}}, "max_tokens": 80}
ENDLESS = {"vlm": {"regex": "[a-z ]{6000}"}, "max_tokens": 6000}


def client_of(live):
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0, timeout=90)


def stream(client, number, began, **more):
    """The text of a streamed answer, or the error in it; and what is in the picture."""
    image, name = one_shape(number)
    text = ""
    try:
        for chunk in client.chat.completions.create(**(asked(png(image), QUESTION, stream=True) | more)):
            began.release()
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    except openai.APIError as error:
        return error, name
    return text, name


def endless(live, count=1):
    """Requests that go on until they are stopped, in threads; returns once all are under way."""

    def one():
        with suppress(OSError):
            live.post(asked(SCENE, QUESTION) | ENDLESS)

    threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    until(lambda: live.metric("vlm_requests_under_way") == count)
    return threads


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - one line
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_engine_is_killed_in_the_middle_of_sixteen_streams():
    with serving() as live, client_of(live) as client:
        assert live.post(asked(SCENE, QUESTION))[0] == 200
        began, before = threading.Semaphore(0), live.children()
        assert len(before) == 1
        with ThreadPoolExecutor(16) as pool:
            short = [pool.submit(stream, client, number, began) for number in range(8)]
            long = [pool.submit(stream, client, number, began, **LONG) for number in range(8)]
            for _ in range(8):
                assert began.acquire(timeout=20)
            os.kill(before[0], signal.SIGKILL)
            outcomes = [one.result() for one in (*short, *long)]
        for text, name in outcomes[:8]:
            assert isinstance(text, openai.APIError) or name in text
        for text, _ in outcomes[8:]:
            assert isinstance(text, openai.APIError) or len(text) == 80
        for error in (text for text, _ in outcomes if isinstance(text, openai.APIError)):
            assert "crashed in the middle" in error.message
        assert any(not isinstance(text, openai.APIError) for text, _ in outcomes)
        assert live.metric("vlm_requests_under_way") == 0
        assert "red circle" in live.post(asked(SCENE, QUESTION))[1].decode()
        assert live.children() != before


def test_the_engine_is_killed_again_and_again():
    with serving() as live, ThreadPoolExecutor(4) as pool:
        assert live.post(asked(SCENE, QUESTION))[0] == 200
        done = [pool.submit(live.post, asked(png(one_shape(number)[0]), QUESTION)) for number in range(24)]
        for _ in range(3):
            time.sleep(0.4)
            for child in live.children():
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        for number, answer in enumerate(done):
            status, body, _ = answer.result()
            assert status == 200, body
            assert one_shape(number)[1] in body.decode()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_runs_be_finished(how):
    with serving() as live, client_of(live) as client, ThreadPoolExecutor(4) as pool:
        began = threading.Semaphore(0)
        running = [pool.submit(stream, client, number, began, **LONG) for number in range(4)]
        for _ in range(4):
            assert began.acquire(timeout=20)
        live.process.send_signal(how)
        until(lambda: live.get("/health")[0] == 503)
        status, body, headers = live.post(asked(SCENE, QUESTION))
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(body)["error"]["code"] == "stopping"
        assert [len(one.result()[0]) for one in running] == [80] * 4
        assert live.process.wait(20) == 0
        until(lambda: any("finishing" in line for line in live.said))


def test_a_second_signal_stops_at_once_and_leaves_nothing():
    with serving() as live:
        threads = endless(live, 3)
        children = live.children()
        live.process.send_signal(signal.SIGINT)
        until(lambda: live.get("/health")[0] == 503)
        began = time.monotonic()
        live.process.send_signal(signal.SIGINT)
        live.process.wait(20)
        assert time.monotonic() - began < 6
        until(lambda: all(gone(child) for child in children), 5)
        for thread in threads:
            thread.join(10)
        assert not [line for line in live.said if "Traceback" in line]


def test_a_signal_with_nothing_to_do_and_idle_connections():
    with serving() as live:
        assert live.post(asked(SCENE, QUESTION))[0] == 200
        children = live.children()
        idle = http.client.HTTPConnection("127.0.0.1", live.port, timeout=20)
        idle.request("GET", "/health")
        idle.getresponse().read()
        began = time.monotonic()
        assert live.stop() == 0
        assert time.monotonic() - began < 5
        idle.close()
        assert all(gone(child) for child in children)


def test_a_model_that_nobody_uses_is_freed_and_loaded_again():
    with serving("--keep-alive", "1s") as live:
        for _ in range(2):
            assert live.children() == []
            assert live.post(asked(SCENE, QUESTION))[0] == 200
            assert len(live.children()) == 1
            until(lambda: not live.children(), 10)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The demo pair in a folder: another model by its name."""
    folder = tmp_path_factory.mktemp("models") / "other"
    folder.mkdir()
    for file in (demo.FILES.model, demo.FILES.projector):
        shutil.copy(file, folder)
    return folder


def test_two_models_take_turns_where_one_may_be_loaded(other):
    with serving("--models", f"demo,{other}", "--max-loaded", 1) as live, ThreadPoolExecutor(8) as pool:
        names = [model["id"] for model in json.loads(live.get("/v1/models")[1])["data"]]
        assert names == ["demo", "other"]
        most = []
        watching = threading.Event()

        def watch():
            while not watching.wait(0.01):
                most.append(len(live.children()))

        thread = threading.Thread(target=watch)
        thread.start()
        answers = list(pool.map(lambda n: live.post(asked(SCENE, QUESTION, model=names[n % 2])), range(24)))
        watching.set()
        thread.join()
        for number, (status, body, _) in enumerate(answers):
            assert status == 200, body
            assert json.loads(body)["model"] == names[number % 2]
            assert "red circle" in body.decode()
        assert max(most) == 1


FAIR = """
from vlmcli.cli import app
from vlmcli.server import pool

pool.TURN = 0.5
app.main(["serve", "--port", "0", "--max-loaded", "1", "--models", {!r}])
"""


def test_a_busy_model_does_not_keep_another_waiting_for_ever(other):
    with serving(command=(sys.executable, "-c", FAIR.format(f"demo,{other}"))) as live, ThreadPoolExecutor(3) as pool:
        names = [model["id"] for model in json.loads(live.get("/v1/models")[1])["data"]]
        over = threading.Event()

        def busy():
            while not over.is_set():
                assert live.post(asked(SCENE, QUESTION, model=names[0]) | {"vlm": {"regex": "[a-z]{60}"}})[0] == 200

        threads = [pool.submit(busy) for _ in range(3)]
        until(lambda: live.metric("vlm_requests_under_way") == 3)
        status, body, _ = live.post(asked(SCENE, QUESTION, model=names[1]))
        assert (status, json.loads(body)["model"]) == (200, names[1])
        over.set()
        for thread in threads:
            thread.result()


def test_a_full_queue_is_429_and_says_when_to_come_again():
    with serving("--queue", 2) as live:
        endless(live, 2)
        status, body, headers = live.post(asked(SCENE, QUESTION))
        assert status == 429
        assert 1 <= int(headers["retry-after"]) <= 60
        assert json.loads(body)["error"]["type"] == "rate_limit_error"
        with pytest.raises(openai.RateLimitError), client_of(live) as client:
            client.chat.completions.create(**asked(SCENE, QUESTION))
        assert live.get("/v1/models")[0] == 200


def test_a_model_that_cannot_be_loaded_is_tried_again(other, tmp_path):
    """Its file is broken, and then it is whole: the server need not be started again. No path is told."""
    folder = tmp_path / "with spaces" / "broken"
    folder.mkdir(parents=True)
    for file in other.iterdir():
        shutil.copy(file, folder)
    (model,) = (file for file in folder.iterdir() if not file.name.startswith("mmproj"))
    with serving("--models", folder) as live:
        whole = model.read_bytes()
        model.write_bytes(whole[: len(whole) // 2])
        assert [model["id"] for model in json.loads(live.get("/v1/models")[1])["data"]] == ["broken"]
        for _ in range(2):
            status, body, _ = live.post(asked(SCENE, QUESTION, model="broken"))
            assert status in (500, 503), body
            assert str(tmp_path) not in body.decode()
            assert "with spaces" not in body.decode()
        model.write_bytes(whole)
        status, body, _ = live.post(asked(SCENE, QUESTION, model=""))
        assert status == 200, body


def test_an_answer_does_not_wait_for_its_heads_acknowledgement():
    """Head and body are two pieces: without TCP_NODELAY the second is held back for 40 ms."""

    async def option():
        found = asyncio.get_running_loop().create_future()

        def accepted(_, writer):
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with running.listening("127.0.0.1", 0) as listens:
            async with await asyncio.start_server(accepted, sock=listens):
                _, writer = await asyncio.open_connection(*listens.getsockname())
                writer.close()
                return await found

    assert asyncio.run(option()) != 0


def test_a_port_in_use_is_an_error():
    with serving() as live:
        done = vlm("serve", "--port", live.port, env={"VLM_MODEL": "demo"})
        assert done.returncode == 2
        assert f"cannot listen on 127.0.0.1:{live.port}" in done.stderr
        assert "--port" in done.stderr


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "prometheus_client"])
def test_a_missing_package_is_named_with_what_installs_it(monkeypatch, package):
    for name in [name for name in sys.modules if name.startswith("vlmcli.server") or name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    done = vlm("serve", env={"VLM_MODEL": "demo"})
    assert done.returncode == 2
    assert package in done.stderr
    assert "pip install 'vlmcli[serve]'" in done.stderr
