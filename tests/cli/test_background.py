"""`vlm serve --background`: the model that stays in memory, and whose it is."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.mcp import live as agents
from tests.support import ROOT
from tests.support.program import ANSWER, SCENE, VLM, own_environment, vlm
from tests.support.waiting import until
from vlmcli.demo import scenes
from vlmcli.runners import frames, warm, wire

QUESTION = "what is this?"
pytestmark = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"),
    reason="Python has no Unix sockets on Windows, and there is no server in the background",
)


class Background:
    """A server in the background, in a state folder of its own.

    Attributes:
        state: that folder.
        env: with which commands find it.
    """

    def __init__(self, place):
        self.state = place / "state" / "vlm"
        self.env = {"XDG_STATE_HOME": str(place / "state"), "XDG_CACHE_HOME": str(place / "cache"), "VLM_MODEL": "demo"}

    def run(self, *words, **more):
        """The installed command."""
        env = own_environment(self.env | {"PYTHONPATH": str(ROOT), "OMP_THREAD_LIMIT": "1"})
        return subprocess.run(
            [VLM, *map(str, words)], env=env, cwd=ROOT, capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL, check=False, **more,
        )  # fmt: skip

    def start(self, *words):
        """Start it, and wait until it is ready. Returns where it is."""
        done = self.run("serve", "--background", "--port", "0", *words)
        assert done.returncode == 0, done.stderr
        return warm.known(self.state)

    def ask(self, *words, **more):
        """A command in this process."""
        return vlm(*words, env=self.env, **more)

    def answered(self):
        """How many answers it has given."""
        done = self.ask("serve", "--status")
        assert done.returncode == 0, done.stderr
        return int(re.search(r"(\d+) answered", done.stdout)[1])

    def stop(self):
        """End it in order."""
        return self.ask("serve", "--stop")

    def gone(self, pid, seconds=20):
        """Wait until a process has ended."""
        until(lambda: not is_running(pid), seconds)


def is_running(pid):
    """Whether there is such a process, and it is no mere entry that nobody has asked about."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return False


@contextmanager
def background(place):
    """One that is ended afterwards, whatever has become of it."""
    server = Background(place)
    try:
        yield server
    finally:
        place = warm.known(server.state)
        server.stop()
        if place is not None and is_running(place.pid):
            os.kill(place.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One for all tests that leave it as it is."""
    with background(tmp_path_factory.mktemp("background")) as server:
        server.start()
        yield server


@pytest.fixture
def own(tmp_path):
    """One that is not started yet, for one test."""
    with background(tmp_path) as server:
        yield server


def folder_of_scenes(folder, count):
    """Pictures that are all different. Returns their names."""
    folder.mkdir()
    for number in range(count):
        scene = scenes.make(Random(f"background-{number}"), size=(200, 200), shapes=1, text=False)
        scenes.draw(scene).save(folder / f"{number}.png")
    return [f"{number}.png" for number in range(count)]


def record(done):
    """The only line of JSON, without times."""
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {key: found[key] for key in ("answer", "model", "finish_reason", "sources", "question")}


# ---------------------------------------------------------------------------------------------- the same answer


def test_a_question_is_answered_there_and_the_answer_is_the_same(served):
    before = served.answered()
    own = served.ask("ask", SCENE, QUESTION, "--json", "--in-process")
    assert served.answered() == before, "--in-process loads the model here"
    there = served.ask("ask", SCENE, QUESTION, "--json")
    assert served.answered() == before + 1
    assert record(there) == record(own)
    assert record(there)["answer"] + "\n" == ANSWER


def test_verbose_says_that_it_is_used(served):
    done = served.ask("ask", SCENE, QUESTION, "-v")
    assert done.stdout == ANSWER
    assert "asking the model in memory" in done.stderr


def test_streaming_sampling_and_forms_go_through(served):
    before = served.answered()
    words = ("ask", SCENE, "What color is the circle?", "--temperature", "0.8", "--seed", "3")
    assert served.ask(*words).stdout == served.ask(*words, "--worker").stdout
    assert served.ask("ask", SCENE, "Is there a circle?", "--choices", "yes,no").stdout.strip() in ("yes", "no")
    assert served.answered() == before + 2


def test_every_verb_uses_it(served, tmp_path):
    for words in (
        ("caption", SCENE), ("describe", SCENE), ("ocr", SCENE), ("match", "a red circle", SCENE),
        ("classify", SCENE, "-q", "What color is the circle?", "--labels", "red,blue", "--as", "The circle is {}."),
        ("decide", SCENE, "-q", "is there a circle?"),
        ("extract", SCENE, "--schema", "what"), ("detect", SCENE, "each shape"), ("point", SCENE, "each shape"),
    ):  # fmt: skip
        before = served.answered()
        there = served.ask(*words)
        used = served.answered() - before
        assert there.returncode == 0, (words, there.stderr)
        assert used >= 1, words
        assert there.stdout == served.ask(*words, "--worker").stdout, words


def test_a_conversation_uses_it(served):
    before = served.answered()
    done = served.ask("chat", SCENE, input=b"what is this?\nIs there a green star?\n")
    assert done.stdout.startswith(ANSWER)
    assert done.stdout.rstrip().endswith("No.")
    assert served.answered() >= before + 2


def test_a_folder_of_pictures_uses_it(served, tmp_path):
    names = folder_of_scenes(tmp_path / "pics", 12)
    before = served.answered()
    done = served.ask("caption", tmp_path / "pics", "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(names)
    assert served.answered() == before + len(names)


def test_a_python_program_uses_it(served):
    before = served.answered()
    code = f"from vlmcli import open_model\nwith open_model() as model: print(model.ask({SCENE!r}, {QUESTION!r}).text)"
    env = own_environment(served.env | {"PYTHONPATH": str(ROOT)})
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == ANSWER
    assert served.answered() == before + 1


def test_agents_use_it(served, tmp_path):
    before = served.answered()
    with agents.serving(tmp_path / "log.txt", env=served.env) as client:
        assert client.text("ask_image", image=SCENE, question=QUESTION) + "\n" == ANSWER
        pid, children = agents.server_of(tmp_path / "log.txt")
        assert (pid > 0, children) == (True, []), "no engine of its own is loaded"
    assert served.answered() == before + 1


# ---------------------------------------------------------------------------------------------- only what is alike


@pytest.mark.parametrize(
    ("words", "env", "why"),
    [
        (("--ctx", "2048"), {}, "--ctx is set otherwise there"),
        (("--threads", "1"), {}, "--threads is set otherwise there"),
        (("--no-cache",), {}, "the cache is set otherwise there"),
        ((), {"VLM_EMBEDDINGS_MB": "7"}, "the cache is set otherwise there"),
        (("--chat-template", "chatml"), {}, "it has another chat template or another number of picture tokens"),
    ],
)
def test_what_would_be_loaded_otherwise_is_loaded_here(served, words, env, why):
    before = served.answered()
    done = vlm("ask", SCENE, QUESTION, *words, "-v", env=served.env | env)
    assert done.returncode == 0, done.stderr
    assert f"the model in memory is not used: {why}" in done.stderr.replace("\n", " ")
    assert served.answered() == before


def test_another_model_is_loaded_here(served, tmp_path):
    from vlmcli import demo

    for file in (demo.FILES.model, demo.FILES.projector):
        shutil.copy(file, tmp_path / file.name)
    before = served.answered()
    done = served.ask("ask", SCENE, QUESTION, "-m", tmp_path / demo.FILES.model.name, "-v")
    assert done.stdout == ANSWER
    assert "the model in memory is not used: it is demo" in done.stderr
    assert served.answered() == before


# ---------------------------------------------------------------------------------------------- whose it is


def test_the_file_and_the_socket_are_the_users_alone(served):
    place = warm.known(served.state)
    assert (served.state / "serve.json").stat().st_mode & 0o777 == 0o600
    assert Path(place.address).stat().st_mode & 0o777 == 0o600
    assert (served.state / "serve.log").stat().st_mode & 0o777 == 0o600


def test_its_address_needs_the_key(served):
    place = warm.known(served.state)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{place.url}/v1/models")
    assert refused.value.code == 401
    with_key = urllib.request.Request(f"{place.url}/v1/models", headers={"Authorization": f"Bearer {place.key}"})
    with urllib.request.urlopen(with_key) as answer:
        assert json.load(answer)["data"][0]["id"] == "demo"
    assert place.key in served.ask("serve", "--status").stdout


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_reach_it(served, tmp_path):
    """Not even where all folders and files are open to everybody, who therefore knows the secret."""
    place = warm.known(served.state)
    code = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "found = socket.socket(socket.AF_UNIX); found.settimeout(5)\n"
        "try:\n    found.connect(sys.argv[1]); print(len(found.recv(32)))\n"
        "except PermissionError: print('not permitted')\n"
    )

    def tried():
        return subprocess.run(
            [sys.executable, "-c", code, place.address], capture_output=True, text=True, check=False
        ).stdout.strip()  # fmt: skip

    above = [folder for folder in Path(place.address).parents if folder.stat().st_uid == 0 and folder != Path("/")]
    modes = {path: path.stat().st_mode & 0o7777 for path in (*above, Path(place.address))}
    try:
        for folder in above:
            folder.chmod(modes[folder] | 0o055)
        assert tried() == "not permitted"
        Path(place.address).chmod(0o666)
        assert tried() == "0", "the server hangs up before it says anything"
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert served.ask("ask", SCENE, QUESTION).stdout == ANSWER


def test_a_file_that_others_could_have_written_or_read_is_ignored(served):
    before = served.answered()
    (served.state / "serve.json").chmod(0o644)
    try:
        done = served.ask("ask", SCENE, QUESTION, "-v")
    finally:
        (served.state / "serve.json").chmod(0o600)
    assert done.stdout == ANSWER
    assert "is not this user's alone" in done.stderr
    assert served.answered() == before


def test_a_program_that_does_not_know_the_secret_gets_nothing(served):
    place = warm.known(served.state)
    with socket.socket(socket.AF_UNIX) as found:
        found.settimeout(20)
        found.connect(place.address)
        assert len(found.recv(32)) == 32
        found.sendall(bytes(64))
        assert found.recv(32) == b""
    assert served.ask("ask", SCENE, QUESTION).stdout == ANSWER


def test_a_program_that_does_not_know_the_secret_is_not_believed(served, tmp_path):
    place = warm.known(served.state)
    address = tmp_path / "serve.sock"
    state = tmp_path / "state" / "vlm"
    state.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listens:
        listens.bind(str(address))
        listens.listen()
        asked = []

        def take():
            connection, _ = listens.accept()
            with connection:
                connection.sendall(bytes(32))
                while len(b"".join(asked)) < 64:
                    asked.append(connection.recv(64))
                connection.sendall(bytes(32))
                asked.append(connection.recv(1024))

        threading.Thread(target=take, daemon=True).start()
        warm.remember(state, warm.Place(place.version, 1, str(address), "00" * 32, place.url, "", 0.0))
        done = vlm("ask", SCENE, QUESTION, env=served.env | {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert done.stdout == ANSWER
    assert len(b"".join(asked)) == 64, "only a number and a proof were sent"


def test_a_server_of_another_version_is_left_alone(served, tmp_path):
    place = warm.known(served.state)
    state = tmp_path / "state" / "vlm"
    state.mkdir(parents=True)
    warm.remember(state, replace(place, version="0.0.9"))
    before = served.answered()
    done = vlm("ask", SCENE, QUESTION, "-v", env=served.env | {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert done.stdout == ANSWER
    assert "the model in memory is not used: it belongs to vlm 0.0.9" in done.stderr
    assert served.answered() == before


def test_a_server_that_says_nothing_is_not_waited_for(served, tmp_path):
    place = warm.known(served.state)
    state = tmp_path / "state" / "vlm"
    state.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listens:
        listens.bind(str(tmp_path / "serve.sock"))
        listens.listen()
        warm.remember(state, warm.Place(place.version, 1, str(tmp_path / "serve.sock"), "00" * 32, place.url, "", 0.0))
        done = vlm("ask", SCENE, QUESTION, env=served.env | {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert done.stdout == ANSWER


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 1}', '{"a": 1}', "null", "\x00" * 10, "[" * 100_000],
    ids=["empty", "half", "a list", "little", "other", "null", "zeros", "deep"],
)
def test_a_damaged_file_is_no_error(served, tmp_path, content):
    state = tmp_path / "state" / "vlm"
    state.mkdir(parents=True)
    (state / "serve.json").write_text(content)
    (state / "serve.json").chmod(0o600)
    done = vlm("ask", SCENE, QUESTION, env=served.env | {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert (done.returncode, done.stdout) == (0, ANSWER)


def test_nonsense_from_a_command_ends_its_connection_only(served):
    for message in (b"", b"x" * 1000, frames.header(b"abc") + b"abd", frames.header(b"abc") + b"abc"):
        found = warm.Talk(warm.known(served.state))
        found.connection.sendall(message)
        found.connection.shutdown(socket.SHUT_WR)
        assert found.wait(20), message
        found.close()
    assert served.ask("ask", SCENE, QUESTION).stdout == ANSWER


def test_what_no_message_may_hold_is_not_unpickled(served, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    found = warm.Talk(warm.known(served.state))
    found.writer.send(Evil())
    assert found.wait(20)
    found.close()
    assert not (tmp_path / "evil").exists()


def test_a_command_that_goes_away_ends_its_request(served):
    from vlmcli import demo
    from vlmcli.pictures import images
    from vlmcli.placement import Wanted
    from vlmcli.settings import caching, load
    from vlmcli.values import Message, Request

    with pytest.MonkeyPatch.context() as patch:
        for name, value in served.env.items():
            patch.setenv(name, value)
        kept = caching(load())
    found = warm.Talk(warm.known(served.state))
    assert isinstance(found.ask(wire.Join(demo.FILES, Wanted(), kept)), wire.Joined)
    found.connection.settimeout(None)
    picture = images.load(Path(SCENE), SCENE)
    request = Request((Message("user", (picture, "x")),), max_tokens=100_000, grammar='root ::= "a"+ "b"')
    found.writer.send(wire.Submit(1, wire.without_pixels(request)))
    message = frames.receive(found.source, wire.FromEngine)
    assert isinstance(message, wire.Happened | wire.Need | wire.Beat)
    assert "1 under way" in served.ask("serve", "--status").stdout
    found.close()
    until(lambda: "0 under way" in served.ask("serve", "--status").stdout)


# ---------------------------------------------------------------------------------------------- its beginning and end


def test_it_says_what_it_serves_and_stops(own):
    done = own.run("serve", "--background", "--port", "0")
    assert done.returncode == 0
    assert "demo stays in memory; commands like vlm ask now use it" in done.stderr
    place = warm.known(own.state)
    standing = own.ask("serve", "--status").stdout
    assert "demo (in memory)" in standing
    assert f"{place.url}/v1" in standing
    stopped = own.stop()
    assert (stopped.returncode, stopped.stdout) == (0, "")
    assert "the server has stopped" in stopped.stderr
    own.gone(place.pid)
    assert not (own.state / "serve.json").exists()
    assert not Path(place.address).exists()
    assert own.ask("ask", SCENE, QUESTION).stdout == ANSWER


def test_without_one_status_is_an_error_and_stop_is_none(own):
    status = own.ask("serve", "--status")
    assert status.returncode == 1
    assert "no server is running in the background" in status.stderr
    assert "vlm serve --background" in status.stderr
    stop = own.stop()
    assert stop.returncode == 0
    assert "no server is running in the background" in stop.stderr


def test_there_is_one_at_a_time(served):
    place = warm.known(served.state)
    done = served.run("serve", "--background", "--port", "0")
    assert done.returncode == 2
    assert f"running in the background already (process {place.pid})" in done.stderr
    assert "vlm serve --stop" in done.stderr
    assert warm.known(served.state) == place


def test_of_two_that_begin_together_one_is_left(own):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(own.run("serve", "--background", "--port", "0")))
        for _ in range(2)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(done.returncode for done in results) == [0, 2], [done.stderr for done in results]
    assert own.ask("ask", SCENE, QUESTION).stdout == ANSWER
    assert own.answered() == 1


def test_it_ends_when_nobody_has_used_it_for_long(own):
    place = own.start("--keep-alive", "2s")
    assert own.ask("ask", SCENE, QUESTION).stdout == ANSWER
    own.gone(place.pid)
    assert not (own.state / "serve.json").exists()


def test_a_server_that_was_killed_leaves_nothing_that_matters(own):
    place = own.start()
    os.kill(place.pid, signal.SIGKILL)
    own.gone(place.pid)
    assert (own.state / "serve.json").exists()
    assert own.ask("ask", SCENE, QUESTION).stdout == ANSWER
    assert own.ask("serve", "--status").returncode == 1
    assert own.start().pid != place.pid
    assert own.ask("ask", SCENE, QUESTION).stdout == ANSWER
    assert own.answered() == 1


def test_a_run_goes_on_when_the_server_is_killed(own, tmp_path):
    names = folder_of_scenes(tmp_path / "pics", 60)
    place = own.start()
    words = ("caption", tmp_path / "pics", "--output", tmp_path / "out.jsonl")
    done = []
    thread = threading.Thread(target=lambda: done.append(own.run(*words)))
    thread.start()
    out = tmp_path / "out.jsonl"
    until(lambda: out.exists() and out.read_bytes().count(b"\n") >= 5, 60)
    os.kill(place.pid, signal.SIGKILL)
    thread.join()
    assert done[0].returncode == 0, done[0].stderr
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(Path(one["sources"][0]).name for one in records) == sorted(names)
    assert all(one["answer"] for one in records)


def test_a_server_that_falls_silent_is_given_up(own):
    """Stopped in the middle of an answer; the command loads the model itself, and the answer is the same."""
    place = own.start()
    words = ("ask", SCENE, QUESTION, "--regex", "(red ){150}", "--max-tokens", "400")
    done = []
    env = own.env
    own.env = env | {"VLM_PATIENCE": "2"}
    thread = threading.Thread(target=lambda: done.append(own.run(*words, "-v")))
    thread.start()
    until(lambda: "1 under way" in vlm("serve", "--status", env=env).stdout)
    os.kill(place.pid, signal.SIGSTOP)
    thread.join()
    os.kill(place.pid, signal.SIGCONT)
    assert done[0].returncode == 0, done[0].stderr
    assert done[0].stdout == "red " * 149 + "red\n"
    assert "the model in memory is gone; it is loaded here" in done[0].stderr


def test_commands_wait_where_the_queue_is_full(own, tmp_path):
    own.start("--queue", "1")
    names = folder_of_scenes(tmp_path / "pics", 6)
    done = own.ask("caption", tmp_path / "pics", "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == own.answered() == len(names)


def test_where_a_folders_name_is_too_long_for_a_socket_it_has_one_of_its_own(tmp_path):
    with background(tmp_path / ("long" * 30)) as server:
        address = Path(server.start().address)
        assert not address.is_relative_to(tmp_path)
        assert address.parent.stat().st_mode & 0o777 == 0o700
        assert server.ask("ask", SCENE, QUESTION).stdout == ANSWER
        assert server.answered() == 1
        server.stop()
        assert not address.parent.exists()


def test_the_death_of_its_engine_costs_no_answer(own):
    place = own.start()
    children = Path(f"/proc/{place.pid}/task").glob("*/children")
    pids = [int(pid) for one in children for pid in one.read_text("ascii").split()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert own.ask("ask", SCENE, QUESTION).stdout == ANSWER
    assert own.answered() == 1


def test_a_model_that_cannot_be_loaded_is_said_and_nothing_stays(own, tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    done = own.run("serve", "--background", "--port", "0", "--models", tmp_path / "bad.gguf")
    assert done.returncode != 0
    assert "bad.gguf" in done.stderr
    assert not (own.state / "serve.json").exists()


def test_a_port_that_is_taken_is_said_by_the_command_itself(own):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = own.run("serve", "--background", "--port", port)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_the_three_options_exclude_one_another(own):
    done = own.ask("serve", "--status", "--stop")
    assert done.returncode == 2
    assert "cannot be used together" in done.stderr
