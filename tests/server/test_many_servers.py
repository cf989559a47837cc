"""A folder run of `vlm` over several `vlm serve`, in processes of their own: killed, stopped, started again, silent."""

import signal
import subprocess
import time
from collections import Counter

import pytest

from tests.server.live import serving
from tests.support import ROOT, folders
from tests.support.program import VLM, own_environment

COUNT = 50
ANSWERED = 'vlm_requests_total{path="/v1/chat/completions",status="200"}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("many")
    folders.drawn(place, COUNT)
    return place


@pytest.fixture(scope="module")
def second():
    with serving() as server:
        yield server


def started(folder, name, *servers, more=()):
    """The run, in a process of its own, with its records in a file of that name."""
    words = [word for server in servers for word in ("--server", server.url)]
    command = [VLM, "ask", "pics", "-q", folders.QUESTION, "--output", name, *words, *more]
    environment = own_environment({"PYTHONPATH": str(ROOT)})
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def until(true, process=None, seconds=60):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def answered(server):
    return server.metric(ANSWERED)


def complete(folder, name):
    """Every picture has exactly one record, with an answer."""
    records = folders.lines(folder, name)
    assert Counter(one["sources"][0] for one in records) == Counter(f"pics/{number:04}.png" for number in range(COUNT))
    assert not [one for one in records if one.get("error")]
    assert all(one["answer"] for one in records)


def test_a_server_that_is_killed_and_started_again_comes_back_and_every_picture_is_answered_once(folder, second):
    with serving() as first:
        before = answered(second)
        running = started(folder, "killed.jsonl", first, second)
        until(lambda: answered(first) > 3 and answered(second) > before + 3, running)
        first.stop(signal.SIGKILL)
        before = answered(second)
        until(lambda: answered(second) > before + 3, running)
        second.process.send_signal(signal.SIGSTOP)  # nothing is answered from now on, until the first is back
        try:
            with serving("--port", first.port) as again:
                until(lambda: answered(again) > 2, running)
                second.process.send_signal(signal.SIGCONT)
                said = running.communicate(timeout=120)[1]
        finally:
            second.process.send_signal(signal.SIGCONT)
    assert running.returncode == 0, said
    complete(folder, "killed.jsonl")
    assert f"{first.url} cannot be reached" in said
    assert "its requests go to the other servers" in said.replace("\n     ", " ")
    assert f"{first.url} answers again" in said.replace("\n     ", " ")


def test_a_server_that_goes_silent_does_not_hold_up_the_end_of_a_run(folder, second):
    """The other takes over what it had; --stats says how many answers each gave."""
    with serving() as first:
        before = answered(second)
        running = started(folder, "silent.jsonl", first, second, more=["--stats"])
        until(lambda: answered(first) > 3 and answered(second) > before + 3, running)
        second.process.send_signal(signal.SIGSTOP)
        try:
            said = running.communicate(timeout=120)[1]
        finally:
            second.process.send_signal(signal.SIGCONT)
        assert running.returncode == 0, said
        complete(folder, "silent.jsonl")
    counts = [int(line.split(": ")[2].split(" ")[0]) for line in said.splitlines() if line.startswith("vlm: http://")]
    assert len(counts) == 2
    assert sum(counts) == COUNT
    assert min(counts) > 3
