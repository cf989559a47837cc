"""From the first message to the last process: loading, calls at once, progress, cancelling, and all ways to end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.mcp import live
from tests.mcp.live import children, gone, server_of, ticks
from tests.mcp.test_hostile import HELLO
from tests.server.live import one_shape, png, uri
from tests.support import ROOT
from tests.support.program import SCENE, own_environment
from tests.support.waiting import until

LONG = {"image": SCENE, "question": "what?", "max_tokens": 4096}


@pytest.fixture(scope="module")
def endless(small, tmp_path_factory):
    """A server whose model writes without an end."""
    log = tmp_path_factory.mktemp("endless") / "log.txt"
    words = ("--allow", "docs", "--mmproj", small / "mmproj-llava.gguf", "--ctx", "8192")
    with live.serving(log, *words, model=small / "llava.gguf") as client:
        yield client


def test_the_model_is_opened_by_the_first_call_and_freed_when_nobody_asks(tmp_path):
    with live.serving(tmp_path / "log.txt", "--allow", "docs", "--keep-alive", "1s") as client:
        client.portal.call(client.session.list_tools)
        pid, engines = server_of(client.log)
        assert engines == []
        assert client.text("ask_image", image=SCENE, question="What is on the right?") == "A blue square."
        assert len(children(pid)) == 1
        until(lambda: not children(pid), 10)
        assert client.text("ask_image", image=SCENE, question="What is on the right?") == "A blue square."


def test_sixteen_calls_at_once(client):
    scenes = [one_shape(number) for number in range(16)]
    asked = [
        client.start("ask_image", image=uri(png(image)), question="What is in this picture?") for image, _ in scenes
    ]
    for one, (_, name) in zip(asked, scenes, strict=True):
        result = one.result(30)
        assert not result.is_error
        assert name in result.content[0].text


def test_forty_calls_at_once_wait_for_one_another(client):
    asked = [client.start("decide", image=SCENE, questions=["Is there a red circle?"]) for _ in range(40)]
    assert all(one.result(30).structured_content["answers"][0]["probability"] > 0.9 for one in asked)


def test_progress_grows_and_says_what_is_done(endless):
    told = []
    result = endless.start("ask_image", told, **(LONG | {"max_tokens": 64})).result(30)
    assert not result.is_error
    shares = [share for share, _, _ in told]
    assert shares == sorted(set(shares))
    assert {total for _, total, _ in told} == {1.0}
    assert 0 < shares[0] < shares[-1] <= 1
    assert told[-1][2] == "answering"
    assert {"reading", "answering"} <= {what for _, _, what in told}


def test_a_call_that_is_cancelled_ends_in_the_engine(endless):
    told = []
    call = endless.start("ask_image", told, **LONG)
    until(lambda: told and told[-1][2] == "answering")
    (engine,) = server_of(endless.log)[1]
    call.cancel()

    def rests():
        before = ticks(engine)
        time.sleep(0.3)
        return ticks(engine) - before <= 2

    until(rests, 5)
    assert server_of(endless.log)[1] == [engine]
    assert not endless.call("ask_image", **(LONG | {"max_tokens": 4})).is_error


def test_one_of_several_is_cancelled_and_the_others_are_answered(endless):
    told = []
    call = endless.start("ask_image", told, **LONG)
    others = [endless.start("ask_image", **(LONG | {"max_tokens": 20 + number})) for number in range(4)]
    until(lambda: told)
    call.cancel()
    for number, one in enumerate(others):
        assert one.result(30).meta["vlm"]["usage"]["answer_tokens"] == 20 + number


def test_the_engine_dies_and_the_next_call_has_another(client):
    assert client.text("ask_image", image=SCENE, question="What is on the right?") == "A blue square."
    (engine,) = server_of(client.log)[1]
    os.kill(engine, signal.SIGKILL)
    assert client.text("ask_image", image=SCENE, question="What is on the left?") == "A red circle."
    assert server_of(client.log)[1] != [engine]


AGENT = """
import asyncio, sys
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

async def main():
    started = StdioServerParameters(command=sys.executable, args=sys.argv[2:], env=dict(PYTHONPATH=sys.argv[1]))
    async with stdio_client(started) as streams, ClientSession(*streams) as session:
        await session.initialize()
        async def told(share, total, what):
            if what == "answering":
                print("answering", flush=True)
        await session.call_tool(
            "ask_image", {"image": "docs/images/scene.png", "question": "w?", "max_tokens": 4096},
            progress_callback=told)

asyncio.run(main())
"""


def test_a_client_that_is_killed_in_the_middle_leaves_nothing_running(small):
    """The client itself dies by SIGKILL, while its answer is being written; no process of ours outlives it for long."""
    words = ["-m", "vlmcli", "mcp", "--allow", "docs", "--ctx", "8192", "-m", str(small / "llava.gguf"),
             "--mmproj", str(small / "mmproj-llava.gguf")]  # fmt: skip
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(ROOT), *words], cwd=ROOT, env=own_environment(), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert agent.stdout.readline() == "answering\n"
        (server,) = children(agent.pid)
        ours = [server, *children(server)]
        assert len(ours) == 2
    finally:
        agent.kill()
        agent.wait()
        agent.stdout.close()
    until(lambda: all(map(gone, ours)), 10)


@pytest.mark.sample(3)
@pytest.mark.parametrize("how", ["stdin", signal.SIGINT, signal.SIGKILL, signal.SIGTERM, "stdout"])
def test_however_it_ends_the_engine_ends_too(small, how):
    """Stdin or stdout is closed, or a signal comes, in the middle of a call."""
    environment = own_environment({"PYTHONPATH": str(ROOT), "OMP_THREAD_LIMIT": "1"})
    words = ["--allow", "docs", "--ctx", "8192", "-m", small / "llava.gguf", "--mmproj", small / "mmproj-llava.gguf"]
    server = subprocess.Popen(
        [sys.executable, "-m", "vlmcli", "mcp", *map(str, words)], cwd=ROOT, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"name": "ask_image", "arguments": LONG, "_meta": {"progressToken": 1}}}  # fmt: skip
        ready = b'{"jsonrpc": "2.0", "method": "notifications/initialized"}'
        server.stdin.write(b"\n".join([HELLO, ready, json.dumps(call).encode(), b""]))
        server.stdin.flush()
        while b'"answering"' not in server.stdout.readline():
            assert server.poll() is None
        ours = [server.pid, *children(server.pid)]
        assert len(ours) == 2
        if isinstance(how, str):
            getattr(server, how).close()
        else:
            server.send_signal(how)
        until(lambda: all(map(gone, ours)), 10)
        assert b"Traceback" not in server.stderr.read()
        assert server.wait() in ((-how,) if how == signal.SIGKILL else (0,))
    finally:
        if server.poll() is None:
            server.kill()
        server.wait()
        for stream in (server.stdin, server.stdout, server.stderr):
            stream.close()
