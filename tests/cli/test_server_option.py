"""`--server`: every verb, chats and folder runs at a server instead of the engine, as somebody who types meets it."""

import json
import math
import random
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.chat_server import Answers, ChatServer, Fault, free_port
from tests.support.engines import THREADS
from tests.support.program import ANSWER, NOTICE, SCENE, own_environment, piped, vlm
from tests.support.waiting import until
from vlmcli import demo
from vlmcli.demo import scenes
from vlmcli.engine import Engine
from vlmcli.placement import Fit


@pytest.fixture(scope="module")
def answers():
    with Engine(demo.FILES, Fit(n_ctx=4096, threads=THREADS, choices=True)) as engine:
        engine.ready()
        yield Answers(engine)


@pytest.fixture
def own(answers):
    """Another `vlm serve`."""
    with ChatServer(answers, own=True) as server:
        yield server


@pytest.fixture
def other(answers):
    """A server of somebody else's."""
    with ChatServer(answers) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pictures = tmp_path_factory.mktemp("pictures")
    for number in range(6):
        scenes.draw(scenes.make(random.Random(number), size=(192, 160))).save(pictures / f"{number}.png")
    (pictures / "7.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    shutil.copy(pictures / "1.png", pictures / "8.png")
    return pictures


def records(done):
    """The records on stdout, without what says how long it took and what was computed."""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for record in found:
        record.pop("usage", None)
        record.pop("timings", None)
        record.pop("coverage", None)
    return found


def listed(folder, text, name="servers.txt"):
    """A file of addresses."""
    (folder / name).write_text(text, "utf-8")
    return folder / name


def free_url():
    return f"http://127.0.0.1:{free_port()}"


# ---------------------------------------------------------------------------------------------- verbs


@pytest.mark.parametrize("v1", ["", "/v1", "/v1/"])
def test_a_question_is_answered_by_a_server(other, v1):
    done = vlm("ask", SCENE, "what is this?", "--server", other.url + v1)
    assert (done.stdout, done.stderr, done.returncode) == (ANSWER, "", 0)
    assert [path for path, _ in other.headers] == ["/v1/models", "/health", "/props", "/v1/chat/completions"]
    assert "Authorization" not in other.headers[-1][1]


@pytest.mark.parametrize("words", [
    ("ask", "what is this?"), ("caption",), ("describe", "--length", "short"), ("ocr",),
    ("ask", "what is this?", "--choices", "a red circle,a blue square"),
    ("ask", "what is this?", "--regex", "[a-z ]{5}"),
    ("extract", "--schema", json.dumps({"type": "array", "items": {"type": "object"}, "maxItems": 2})),
    ("detect", "shapes"), ("point", "shapes"), ("match", "a red circle"),
    ("classify", "--labels", "circle,star", "-q", "What shape is red?", "--as", "The red shape is a {}."),
    ("decide", "-q", "is there a circle?", "-q", "is it raining?"),
], ids=lambda words: " ".join(words[:1]))  # fmt: skip
def test_each_verb_answers_with_another_vlm_serve_as_without(own, words):
    verb, *rest = words
    line = [verb, *rest[:1], SCENE, *rest[1:]] if verb == "match" else [verb, SCENE, *rest]
    here, there = (vlm(*line, "--json", *where) for where in (("-m", "demo"), ("--server", own.url)))
    assert here.returncode == there.returncode == 0, there.stderr
    (known,), (found,) = records(here), records(there)
    assert rounded(found) == rounded(known)
    assert own.bodies


def rounded(record):
    """A record with its probabilities to two places: sums differ in their last digits by what is computed together."""
    long = re.compile(r"\d\.\d{3,}")  # also in an answer's text
    short = long.sub(lambda found: f"{float(found[0]):.2f}", json.dumps(record))
    return json.loads(short, parse_float=lambda text: round(float(text), 2))


@pytest.mark.parametrize("words", [("ask", "what is this?"), ("caption",), ("ocr",)], ids=lambda words: words[0])
def test_verbs_of_words_answer_at_any_server(other, words):
    verb, *rest = words
    here, there = (vlm(verb, SCENE, *rest, "--json", *where) for where in (("-m", "demo"), ("--server", other.url)))
    if verb != "ocr":  # the demo model has words of its own for it, which only another vlm serve tells of
        assert records(there) == records(here)
    assert there.returncode == 0


def likeliest(*tokens):
    """A chat's answer of one token, with the likeliest ones in its place."""
    listed = [{"token": text, "logprob": math.log(probability)} for text, probability in tokens]
    choice = {"message": {"content": tokens[0][0]}, "logprobs": {"content": [listed[0] | {"top_logprobs": listed}]}}
    return json.dumps({"choices": [choice | {"finish_reason": "length"}]}).encode()


def test_pictures_are_matched_and_classified_by_any_server_s_likeliest_tokens(other):
    where = (SCENE, "--server", other.url)
    other.faults.append(Fault(garbage=likeliest((" Yes", 0.5), ("yes", 0.25), ("No", 0.25))))
    done = vlm("match", "a cat", *where, "--scores")
    assert (done.stdout, done.returncode) == (f"{SCENE}\t0.7500\n", 0)
    other.faults.append(Fault(garbage=likeliest(("dog", 0.6), ("Cat", 0.2), ("Well", 0.1), (",", 0.1))))
    done = vlm("classify", *where, "--labels", "cat,dog,bird", "--top", "3")
    assert done.stdout == f"{SCENE}\tdog\t0.6667\tcat\t0.2222\tbird\t0.1111\n"
    assert done.stderr == ""
    other.faults.append(Fault(garbage=likeliest(("Well", 0.6), (",", 0.4))))
    done = vlm("match", "a cat", *where)
    assert "the model would not answer with yes or no" in done.stderr
    other.faults.append(Fault(garbage=likeliest(("c", 0.9), ("dog", 0.1))))
    done = vlm("classify", *where, "--labels", "cat,cow,dog")
    assert "several of the options begin alike" in done.stderr
    assert done.returncode == 1


def test_a_server_that_does_not_say_how_it_writes_boxes_must_be_told(other):
    done = vlm("detect", SCENE, "shapes", "--server", other.url)
    assert "--boxes 0-1000" in done.stderr
    assert (done.returncode, "-m" in done.stderr) == (1, False)


@pytest.mark.parametrize(("option", "value"), [("--regex", "a+"), ("--choices", "a,b"), ("--grammar", None)])
def test_a_form_that_a_server_cannot_follow_is_refused_by_name_before_anything_is_sent(other, tmp_path, option, value):
    if value is None:
        value = tmp_path / "g.gbnf"
        value.write_text('root ::= "a"', "utf-8")
    done = vlm("ask", SCENE, "what?", option, value, "--server", other.url)
    assert f"{other.url} does not support {option}" in done.stderr
    assert (done.returncode, other.bodies) == (2, [])


def test_the_model_is_named_by_m_or_the_first_one_there(answers):
    with ChatServer(answers, models=("x/first", "demo")) as server:
        assert '"model": "x/first"' in vlm("ask", SCENE, "what is this?", "--json", "--server", server.url).stdout
        named = vlm("ask", SCENE, "what is this?", "--json", "--server", server.url, "-m", "demo")
        assert '"model": "demo"' in named.stdout
        usual = vlm("ask", SCENE, "what?", "--json", "--server", server.url, env={"VLM_MODEL": "demo"})
        assert '"model": "demo"' in usual.stdout
        here = vlm("ask", SCENE, "what?", "--json", "--server", server.url, env={"VLM_MODEL": "qwen3.5-0.8b"})
        assert '"model": "x/first"' in here.stdout
        missing = vlm("ask", SCENE, "what?", "--server", server.url, "-m", "none")
    assert "The model `none` does not exist" in missing.stderr
    assert missing.returncode == 1


@pytest.mark.parametrize("between", [",", " ", ", "])
def test_the_variable_names_servers_and_an_option_overrides_it(own, other, between):
    env = {"VLM_SERVER": f"{own.url}{between}{other.url}"}
    done = vlm("caption", SCENE, env=env)
    assert done.returncode == 0
    assert len(own.bodies) + len(other.bodies) == 1
    before = len(other.bodies)
    assert vlm("caption", SCENE, "--server", other.url, env=env).returncode == 0
    assert len(other.bodies) == before + 1
    here = vlm("caption", SCENE, "--server", "", "-m", "demo", env=env)  # this machine's engine
    assert (here.returncode, len(other.bodies)) == (0, before + 1)


@pytest.mark.parametrize("how", ["@", "path", "variable", "setting with others", "name with spaces"])
def test_a_file_of_addresses_names_servers(own, other, folder, tmp_path, how):
    text = f"# two of them\n\n{own.url}/v1   # the first\n\t{other.url}\n"
    file = listed(tmp_path, text, "my servers.txt" if how == "name with spaces" else "servers.txt")
    words, env = [], {}
    if how in ("@", "name with spaces"):
        words = ["--server", f"@{file}"]
    elif how == "path":
        words = ["--server", file]
    else:
        env = {"VLM_SERVER": f"@{file}" if how == "variable" else f"{own.url}, @{file}"}
    done = vlm("ask", folder, "what is this?", *words, env=env)
    assert done.returncode == 3
    assert own.bodies
    assert other.bodies
    pictures = own.pictures + other.pictures
    assert len(set(pictures)) == 6
    assert len(pictures) <= 8  # the last request of a server that is slow just then may be taken over by the other


@pytest.mark.parametrize(("text", "said"), [
    ("http://localhost:1\n\nlocalhost:8080\n", "FILE, line 3: localhost:8080: not the address of a server"),
    ("http://u:p@a\n", "FILE, line 1: the address of a server contains a user name"),
    ("http://a http://b\n", "FILE, line 1: http://a http://b: not the address of a server"),
    ("@other.txt\n", "FILE, line 1: @other.txt: not the address of a server"),
    ("# nothing\n\n", "FILE: no address in it"), ("", "FILE: no address in it"),
    ("".join(f"http://10.0.0.{number}:80\n" for number in range(65)), "65 servers, and at most 64 are used at once"),
])  # fmt: skip
def test_what_is_wrong_in_a_file_of_addresses_is_named_with_its_line(tmp_path, text, said):
    file = listed(tmp_path, text)
    done = vlm("ask", SCENE, "what?", "--server", f"@{file}")
    assert done.stderr.startswith(f"vlm: {said.replace('FILE', str(file))}")
    assert (done.returncode, "p@a" in done.stderr) == (2, False)


def test_a_file_of_addresses_that_cannot_be_read_is_an_error(tmp_path):
    missing = vlm("ask", SCENE, "what?", "--server", "@none.txt", cwd=tmp_path)
    assert "none.txt: the addresses cannot be read (No such file or directory)" in missing.stderr
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    assert "bytes.txt: not text in UTF-8" in vlm("ask", SCENE, "what?", "--server", "bytes.txt", cwd=tmp_path).stderr
    assert "a folder" in vlm("ask", SCENE, "what?", "--server", "@.", cwd=tmp_path).stderr


def test_nothing_of_llama_cpp_is_imported(own, tmp_path):
    (tmp_path / "llama_cpp.py").write_text("raise ImportError('this is not needed')", "utf-8")
    line = ["ask", SCENE, "what is this?", "--server", own.url, "--output", str(tmp_path / "a.jsonl")]
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from vlmcli.cli.app import main; code = main({line});"
        "sys.exit('llama_cpp' in sys.modules or code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=own_environment()
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.jsonl").read_text("utf-8").count("\n") == 1


# ---------------------------------------------------------------------------------------------- folders


def test_a_folder_has_the_same_records_at_a_server_as_here(own, other, folder):
    line = ["ask", folder, "what is this?", "--json"]
    here = vlm(*line, "-m", "demo")
    for server in (own, other):
        there = vlm(*line, "--server", server.url)
        assert records(there) == records(here)
        assert there.returncode == here.returncode == 3
        assert len(server.bodies) == 6  # two are equal, and one is no picture
        assert 1 < server.most <= 4


def test_concurrency_is_per_server(own, folder):
    own.faults.append(Fault(times=99, wait=0.05))
    assert vlm("ask", folder, "what is this?", "--server", own.url, "--concurrency", "1").returncode == 3
    assert own.most == 1


def test_a_journal_goes_on_at_another_address_and_not_with_the_engine_here(own, other, folder, tmp_path):
    line = ["ask", folder, "what is this?", "--output", tmp_path / "a.jsonl"]
    first = vlm(*line, "--server", other.url, "--limit", "2")
    assert (first.returncode, len(other.bodies)) == (0, 2)
    second = vlm(*line, "--server", own.url)
    assert (second.returncode, len(own.bodies)) == (3, 5)  # the equal one is asked now
    again = vlm(*line, "--server", own.url)
    assert (again.returncode, len(own.bodies)) == (3, 5)
    found = [json.loads(one) for one in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    assert [record["servers"] for record in found] == [[other.url]] * 2 + [[own.url]] * 6
    assert all("revision" not in record for record in found)
    planned = vlm(*line, "-m", "demo", "--dry-run")
    assert "would ask 8 questions" in planned.stderr


def test_a_dry_run_writes_nothing_and_estimates(own, folder, tmp_path):
    done = vlm("caption", folder, "--server", own.url, "--output", tmp_path / "a.jsonl", "--dry-run")
    said = done.stderr.replace("\n     ", " ")
    assert "would ask 8 questions about 8 pictures; the questions take" in said
    size = sum(file.stat().st_size for file in folder.iterdir())
    found = re.search(r" \(([\d,]+) pictures a minute\); about ([\d.]+) kB to read, ([\d.]+) kB to send\n", said)
    assert found, said
    assert abs(float(found[2]) * 1000 - size) <= max(1000, 0.01 * size)
    assert float(found[3]) * 1000 > sum(map(len, own.pictures))
    assert (done.returncode, (tmp_path / "a.jsonl").exists(), len(own.bodies)) == (0, False, 7)  # all that can be read


def test_a_dry_run_knows_how_large_the_pictures_in_an_archive_are(own, folder, tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, file.name)
    said = vlm("caption", tmp_path / "x.tar", "--server", own.url, "--dry-run").stderr.replace("\n     ", " ")
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert f"about {round(size / 1000)} kB to read" in said


def test_a_dry_run_of_pictures_that_cannot_be_read_knows_no_time(own, tmp_path):
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    done = vlm("caption", tmp_path, "--server", own.url, "--dry-run")
    said = done.stderr.replace("\n     ", " ")
    assert "would ask 1 question about 1 picture; time unknown, as none of the first pictures can be read" in said
    assert (done.returncode, own.bodies) == (0, [])


def test_a_dry_run_at_several_servers_loads_each_and_says_what_each_does(own, other, folder):
    done = vlm("caption", folder, "--server", own.url, "--server", other.url, "--dry-run")
    assert done.returncode == 0
    assert own.bodies
    assert other.bodies
    said = done.stderr.replace("\n     ", " ")
    found = re.search(rf"\(([\d,]+) pictures a minute: {own.url} ([\d,]+), {other.url} ([\d,]+)\)", said)
    assert found, said
    whole, *each = (float(one.replace(",", "")) for one in found.groups())
    assert 0.9 * whole <= sum(each) <= 1.1 * whole


def test_a_dry_run_at_a_server_that_refuses_the_key_is_an_error(own, folder):
    own.faults.append(Fault(times=99, status=401))
    done = vlm("caption", folder, "--server", own.url, "--dry-run", env={"VLM_API_KEY": "wanted"})
    assert done.returncode == 1
    assert "does not accept the key" in done.stderr


def test_a_server_that_dies_ends_the_run_and_the_rest_is_asked_by_the_next_one(answers, folder, tmp_path, monkeypatch):
    from vlmcli.runners import remote

    monkeypatch.setattr(
        remote.Remote.__init__, "__kwdefaults__", remote.Remote.__init__.__kwdefaults__ | {"base": 0.01}
    )
    line = ["ask", folder, "what is this?", "--output", tmp_path / "a.jsonl", "--concurrency", "1"]
    with ChatServer(answers) as server:
        server.faults += [Fault(wait=0.0), Fault(wait=0.0), Fault(times=999, cut=0)]
        done = vlm(*line, "--server", server.url)
    assert "cannot be reached" in done.stderr
    assert "stopped after 3 of 8" in done.stderr
    assert "run the same command again to continue" in done.stderr
    assert done.returncode == 1
    assert (tmp_path / "a.jsonl").read_text("utf-8").count("\n") == 3  # of two answers, one to two equal pictures
    with ChatServer(answers) as server:
        done = vlm(*line, "--server", server.url)
        assert (done.returncode, len(server.bodies)) == (3, 4)
    assert (tmp_path / "a.jsonl").read_text("utf-8").count("\n") == 8


def test_a_server_that_does_not_answer_is_left_out(own, folder):
    away = free_url()
    done = vlm("ask", folder, "what is this?", "--server", away, "--server", own.url)
    assert done.returncode == 3
    assert f"vlm: {away} cannot be reached (connection refused); it is left out until it answers\n" in done.stderr
    assert len(own.bodies) == 6


def test_a_server_that_is_started_during_a_run_gets_its_share(own, answers, folder):
    away = free_url()
    own.faults += [Fault(wait=0.0), *(Fault(wait=1.5) for _ in range(6))]
    line = ["ask", folder, "what is this?", "--server", away, "--server", own.url, "--concurrency", "1", "--json"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(vlm, *line)
        until(lambda: own.bodies)
        with ChatServer(answers, own=True, port=int(away.rpartition(":")[2])) as late:
            done = running.result()
    assert f"vlm: {away} answers now, and gets requests, too\n" in done.stderr
    assert late.bodies
    assert len(own.bodies) + len(late.bodies) >= 6  # the last of a slow server may be taken over
    assert (done.returncode, len(records(done))) == (3, 8)
    assert sum("answer" in one for one in records(done)) == 7  # one picture is there twice, and one is none


def test_no_server_at_all_is_an_error_and_a_record():
    away = free_url()
    done = vlm("ask", SCENE, "what?", "--server", away, "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["type"]) == (1, "ModelError")
    assert (
        done.stderr
        == f"vlm: {away} cannot be reached (connection refused)\n     check the address, and start the server\n"
    )


# ---------------------------------------------------------------------------------------------- chat


def test_a_chat_at_a_server(own, tmp_path):
    done = piped_at(own, tmp_path, f"/image {SCENE}\nwhat is this?\nIs there a red circle?\n/tokens\n/stats\n")
    assert done.stdout.splitlines()[0] == ANSWER.strip()
    assert "a server does not tell how full its context is" in done.stderr
    assert "prompt tokens" in done.stderr
    first, second = own.bodies
    assert [one["role"] for one in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][1]["content"] == ANSWER.strip()
    assert first["stream"] is True


def piped_at(server, home, text):
    done = vlm("chat", "--server", server.url, input=text, cwd=home)
    assert "Traceback" not in done.stderr
    return done


def test_a_chat_goes_on_with_another_model_of_the_server(answers, tmp_path):
    with ChatServer(answers, own=True, models=("a", "b")) as server:
        done = piped_at(server, tmp_path, f"/image {SCENE}\nwhat is this?\n/model b\nwhat is this?\n/model\n")
        assert [body["model"] for body in server.bodies] == ["a", "b"]
    assert "b continues the conversation" in done.stderr
    assert piped(tmp_path, f"/image {SCENE}\nwhat is this?\n").stdout == ANSWER


# ---------------------------------------------------------------------------------------------- safety

AWAY = "http://192.0.2.1:9"
"""An address of documentation (RFC 5737): nothing answers there."""


@pytest.mark.parametrize("more", [(), ("-y",), ("--allow-local-urls",)])
def test_pictures_leave_the_machine_only_if_that_is_allowed(more, monkeypatch):
    def connect(*_):
        raise AssertionError("nothing may be sent")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    done = vlm("caption", SCENE, "--server", AWAY, *more)
    assert done.stderr == "vlm: 192.0.2.1:9 is another machine\n     allow pictures to be sent there: --allow-upload\n"
    assert done.returncode == 2


@pytest.mark.parametrize("allowed", ["option", "variable", "file"])
def test_it_is_said_once_where_pictures_go(allowed, tmp_path, monkeypatch):
    from vlmcli.runners import servers

    monkeypatch.setattr(servers, "CONNECT_SECONDS", 0.2)
    env, words = {}, []
    if allowed == "option":
        words = ["--allow-upload"]
    elif allowed == "variable":
        env = {"VLM_ALLOW_UPLOAD": "1"}
    else:
        env = {"XDG_CONFIG_HOME": str(tmp_path)}
        (tmp_path / "vlm").mkdir()
        (tmp_path / "vlm" / "settings.toml").write_text(f'server = "{AWAY}"\nallow_upload = true\n', "utf-8")
    server = [] if allowed == "file" else ["--server", AWAY]
    done = vlm("caption", SCENE, *server, *words, env=env)
    assert done.stderr.startswith("vlm: pictures are sent to 192.0.2.1:9\n")
    assert f"{AWAY} cannot be reached" in done.stderr
    assert done.returncode == 1


def test_nothing_is_said_of_a_server_on_this_machine(other):
    assert "sent" not in vlm("caption", SCENE, "--server", other.url).stderr


def test_offline_nothing_leaves_and_nothing_is_downloaded(other, tmp_path):
    env = {"VLM_OFFLINE": "1", "HF_HUB_OFFLINE": None, "HF_HOME": str(tmp_path)}
    done = vlm("caption", SCENE, "--server", AWAY, "--allow-upload", env=env)
    assert "192.0.2.1:9 is another machine, and VLM_OFFLINE is set" in done.stderr
    assert done.returncode == 2
    assert vlm("caption", SCENE, "--server", other.url, env=env).returncode == 0
    pulled = vlm("pull", "-y", "smolvlm2-500m", env=env)
    assert "VLM_OFFLINE is set, so nothing is downloaded" in pulled.stderr
    assert pulled.returncode == 1


def test_a_proxy_is_not_asked_for_a_server_on_this_machine(other):
    proxy = free_url()
    env = {"http_proxy": proxy, "HTTP_PROXY": proxy, "ALL_PROXY": proxy, "no_proxy": None, "NO_PROXY": None}
    assert vlm("caption", SCENE, "--server", other.url, env=env).returncode == 0


def test_keys_go_to_whom_they_are_for(answers):
    with ChatServer(answers, key="right") as server:
        line = ["ask", SCENE, "what is this?", "--server", server.url]
        assert vlm(*line, env={"VLM_API_KEY": "right", "OPENAI_API_KEY": "sk-openai"}).stdout == ANSWER
        for env in ({"OPENAI_API_KEY": "right", "VLM_API_KEY": None}, {"VLM_API_KEY": "wrong-key"}):
            done = vlm(*line, env=env)
            assert done.returncode == 1
            assert "VLM_API_KEY" in done.stderr
            assert "wrong-key" not in done.stderr
        sent = [headers.get("Authorization") for _, headers in server.headers]
    assert set(sent) == {"Bearer right", None, "Bearer wrong-key"}
    done = vlm(*line, env={"VLM_API_KEY": "new\nline"})
    assert "characters that no key has" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize("words", [
    ("--threads", "2"), ("--gpu-layers", "0"), ("--ctx", "1024"), ("--mmproj", "x.gguf"), ("--worker",),
    ("--in-process",), ("--chat-template", "chatml"), ("--picture-tokens", "64"),
], ids=lambda words: words[0])  # fmt: skip
def test_options_of_the_engine_here_are_refused_by_name(other, words):
    done = vlm("caption", SCENE, "--server", other.url, *words)
    assert done.stderr == f"vlm: {words[0]} does nothing with --server\n     leave it out\n"
    assert (done.returncode, other.headers) == (2, [])


@pytest.mark.parametrize("words", [("--concurrency", "2"), ("--allow-upload",)], ids=lambda words: words[0])
def test_options_of_servers_are_refused_without_one(words):
    done = vlm("caption", SCENE, "-m", "demo", *words)
    assert done.stderr == f"vlm: {words[0]} does nothing without --server\n     leave it out\n"
    assert done.returncode == 2


def test_settings_of_the_engine_here_are_no_trouble(other):
    assert vlm("caption", SCENE, "--server", other.url, env={"VLM_THREADS": "1", "VLM_CTX": "512"}).returncode == 0


# ---------------------------------------------------------------------------------------------- what a card may say


def test_a_card_of_another_machine_is_looked_at(answers):
    card = {
        "prompts": {"caption": "{focus.__class__}", "ocr plain": "{0}", "match": "Is there {instructions}?", "x": "y",
                    "detect": "{what:>999999999}", "point": 5, "describe": "{"},
        "think": ["<a>"], "boxes": "eleven", "notice": ["no"], "unsure": 7, "stop": "x", "budget": "all", "new": {},
    }  # fmt: skip
    with ChatServer(answers, own=True, card=card) as server:
        done = vlm("caption", SCENE, "--server", server.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert server.bodies[0]["messages"][0]["content"][-1]["text"] == "Describe this image in one sentence."
        vlm("match", "a circle", SCENE, "--server", server.url)
        assert server.bodies[1]["messages"][0]["content"][-1]["text"] == "Is there a circle?"
        assert "not known to write boxes" in vlm("detect", SCENE, "x", "--server", server.url).stderr


def test_another_vlm_serve_s_card_is_as_here(own, tmp_path):
    done = vlm("caption", SCENE, "--server", own.url, env={"XDG_STATE_HOME": str(tmp_path)})
    assert NOTICE in done.stderr
