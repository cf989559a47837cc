"""`vlm pull` and what goes with it, through the installed command, against a server that speaks the Hub's API."""

import hashlib
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.hub import Fault, Hub
from tests.support.program import VLM
from vlmcli import demo
from vlmcli.models import catalogue

SCENE = str(ROOT / "docs" / "images" / "scene.png")
ANSWER = "A red circle and a blue square.\n"
REPOSITORY = "ggml-org/SmolVLM2-500M-Video-Instruct-GGUF"
MODEL, PROJECTOR = "SmolVLM2-500M-Video-Instruct-Q8_0.gguf", "mmproj-SmolVLM2-500M-Video-Instruct-f16.gguf"
KEYS = {
    verb: set(re.findall(r"`(\w+)`", keys))
    for verb, keys in re.findall(
        r"^\| `vlm (\w+)` \|[^|]+\|(.*)\|$",
        (ROOT / "docs" / "json.md").read_text("utf-8"),
        re.MULTILINE,
    )
}
SIZE = demo.FILES.model.stat().st_size + demo.FILES.projector.stat().st_size


@dataclass
class Place:
    """A machine with nothing on it, and a Hub."""

    hub: Hub
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self):
        return self.folder / "hub" / "hub"

    def environment(self):
        own = {key: value for key, value in os.environ.items() if not key.startswith(("VLM_", "HF_", "XDG_"))}
        folders = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
        return own | folders | {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.folder / "hub"), **self.env}

    def vlm(self, *words, **options):
        return subprocess.run(
            [VLM, *words], capture_output=True, text=True, timeout=180, env=self.environment(),
            stdin=subprocess.DEVNULL, check=False, **options,
        )  # fmt: skip

    def started(self, *words):
        return subprocess.Popen(
            [VLM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment(),
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def typed(self, *words, answer="", asked="[y/N] "):
        """A command on a terminal of 80 columns, in which the question is answered. Returns screen and exit code."""
        parent, child = pty.openpty()
        env = self.environment() | {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
        running = subprocess.Popen([VLM, *words], stdin=child, stdout=child, stderr=child, env=env)
        os.close(child)
        seen, told, ends = b"", False, time.monotonic() + 120
        while time.monotonic() < ends:
            if select.select([parent], [], [], 0.1)[0]:
                try:
                    block = os.read(parent, 1 << 16)
                except OSError:
                    break
                if not block:
                    break
                seen += block
            if not told and asked.encode() in seen:
                os.write(parent, answer.encode() + b"\n")
                told = True
        os.close(parent)
        return seen.decode().replace("\r\n", "\n"), running.wait(timeout=60)


@pytest.fixture
def place(tmp_path):
    with Hub() as hub:
        publish(hub, REPOSITORY, MODEL, PROJECTOR)
        yield Place(hub, tmp_path)


def publish(hub, repository, model=MODEL, projector=PROJECTOR, pair=demo.FILES, **options):
    hub.add(repository, {model: pair.model, projector: pair.projector, "README.md": b"text"}, **options)


def objects(done):
    """The objects of a verb's --json, whose keys are those of docs/json.md."""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    verb = done.args[1]
    if verb in KEYS:
        keys = KEYS["ls"] | KEYS["rm"] if verb == "rm" else KEYS[verb]
        assert all(set(one) - {"v"} <= keys and one["v"] == 1 for one in found)
    return found


def test_a_model_comes_by_its_name_is_the_default_and_answers(place):
    done = place.vlm("pull", "smolvlm2-500m")
    assert (done.returncode, done.stdout) == (0, "")
    assert f"smolvlm2-500m: {REPOSITORY}, licence apache-2.0" in done.stderr
    assert f"{MODEL}  " in done.stderr
    assert re.search(r"7\.\d MB to download, .* free on the disk; it takes about .* of memory", done.stderr)
    assert "it is the default from now on" in done.stderr
    asked = len(place.hub.asked)
    done = place.vlm("ask", SCENE, "what is this?")
    assert (done.stdout, done.stderr, done.returncode) == (ANSWER, "", 0)
    assert len(place.hub.asked) == asked  # nothing asks the Hub for what is here

    done = place.vlm("pull", "smolvlm2-500m")
    assert "all of it is here already" in done.stderr
    assert place.hub.sent == SIZE


def test_what_is_here_is_listed_shown_verified_and_removed(place):
    place.vlm("pull", "-y", "smolvlm2-500m")
    mine = [row for row in objects(place.vlm("ls", "--json")) if row["name"] != "demo"]
    assert [(row["name"], row["repository"], row["size"], row["default"]) for row in mine] == [
        ("smolvlm2-500m", REPOSITORY, SIZE, True)
    ]
    rows = [line.split("\t") for line in place.vlm("ls").stdout.splitlines()]
    assert [row[0] for row in rows] == ["NAME", "demo", "smolvlm2-500m"]

    (shown,) = objects(place.vlm("show", "--json", "smolvlm2-500m"))
    assert (shown["architecture"], shown["projector_type"], shown["licence"]) == ("llama", "mlp", "apache-2.0")
    assert (shown["picture_tokens"], shown["fits"]) == (64, True)
    text = place.vlm("show", "smolvlm2-500m").stdout
    assert "a picture  64 tokens at 1024x768" in text
    assert "licence    apache-2.0" in text

    done = place.vlm("verify")
    assert done.returncode == 0
    assert [line.split("\t")[2] for line in done.stdout.splitlines()].count("as published") == 2
    spoilt = Path(mine[0]["model"][0]).resolve()
    content = bytearray(spoilt.read_bytes())
    content[-1] ^= 1
    spoilt.write_bytes(content)
    done = place.vlm("verify", "--json", "smolvlm2-500m")
    assert (done.returncode, [row["ok"] for row in objects(done)]) == (1, [False, True])
    assert "1 of 2 files are not what was published" in done.stderr

    done = place.vlm("rm", "smolvlm2-500m")
    assert (done.returncode, "-y removes it without asking" in done.stderr) == (2, True)
    done = place.vlm("rm", "-y", "smolvlm2-500m")
    assert (done.returncode, "smolvlm2-500m is removed, 7.9 MB are free again" in done.stderr) == (0, True)
    assert "the default is smolvlm2-500m, which is not here any more" in done.stderr
    assert not [path for path in place.cache.glob("models--*/**/*") if path.is_file()]
    done = place.vlm("ask", SCENE, "what is this?")
    assert (done.returncode, "vlm pull smolvlm2-500m" in done.stderr) == (1, True)


def here(place):
    """Names that `vlm ls` has, but for the demo's."""
    return [row["name"] for row in objects(place.vlm("ls", "--json")) if row["name"] != "demo"]


def two_of(place, name, *quants):
    """A repository with several quantisations of a model, all of them here."""
    pair = {"two-" + quant + ".gguf": demo.FILES.model.read_bytes() + b"\0" * at for at, quant in enumerate(quants)}
    place.hub.add(name, {**pair, "mmproj-two-F16.gguf": demo.FILES.projector})
    for quant in quants:
        assert place.vlm("pull", "-y", f"{name}:{quant}").returncode == 0


def test_removed_twice_is_not_another_quantisation_removed(place):
    two_of(place, "o/two-GGUF", "Q8_0", "Q4_K_M")
    assert here(place) == ["o/two-GGUF:Q4_K_M", "o/two-GGUF:Q8_0"]
    for _ in range(2):
        done = place.vlm("rm", "-y", "o/two-GGUF")
        assert done.returncode == 1
        assert "o/two-GGUF: 2 models in the cache are of it" in done.stderr
        assert "there are: o/two-GGUF:Q4_K_M, o/two-GGUF:Q8_0" in done.stderr
    assert place.vlm("rm", "-y", "o/two-GGUF:q8_0").returncode == 0
    assert place.vlm("rm", "-y", "o/two-GGUF:q8_0").returncode == 1
    assert here(place) == ["o/two-GGUF:Q4_K_M"]
    assert place.vlm("ask", "-m", "o/two-GGUF", SCENE, "what is this?").stdout == ANSWER


def test_a_name_of_the_catalogue_means_the_quantisation_it_prefers(place):
    entry = catalogue.find("smolvlm2-500m")
    two_of(place, REPOSITORY, entry.quant, "F16")
    assert here(place) == ["smolvlm2-500m", "smolvlm2-500m:F16"]
    assert place.vlm("rm", "-y", "smolvlm2-500m").returncode == 0
    done = place.vlm("rm", "-y", "smolvlm2-500m")
    assert (done.returncode, "there are: smolvlm2-500m:F16" in done.stderr) == (1, True)
    assert place.vlm("verify", "smolvlm2-500m").stdout.count("as published") == 2
    assert place.vlm("default", "smolvlm2-500m").returncode == 0
    assert [row["default"] for row in objects(place.vlm("ls", "--json"))] == [False, True]
    assert place.vlm("rm", "-y", f"{REPOSITORY.lower()}:f16").returncode == 0
    assert here(place) == []


def test_two_models_of_one_quantisation_are_called_by_their_files(place):
    files = {f"{name}-Q8_0.gguf": demo.FILES.model.read_bytes() + name.encode() for name in ("cat", "dog")}
    place.hub.add("o/many-GGUF", {**files, "mmproj-F16.gguf": demo.FILES.projector})
    for name in ("cat", "dog"):
        assert place.vlm("pull", "-y", f"o/many-GGUF:{name}-Q8_0").returncode == 0
    assert here(place) == ["o/many-GGUF:cat-Q8_0", "o/many-GGUF:dog-Q8_0"]
    for name in here(place):
        assert place.vlm("ask", "-m", name, SCENE, "what is this?").stdout == ANSWER
    assert place.vlm("rm", "-y", "o/many-GGUF:Q8_0").returncode == 1
    assert place.vlm("rm", "-y", "o/many-GGUF:cat-Q8_0").returncode == 0
    assert here(place) == ["o/many-GGUF:Q8_0"]


def in_cache(place, name, files, commit="0" * 40):
    """What another program may have brought: a snapshot of these files."""
    root = place.cache / f"models--{name.replace('/', '--')}" / "snapshots" / commit
    root.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


WORDS, EYES = demo.FILES.model.read_bytes(), demo.FILES.projector.read_bytes()


@pytest.mark.parametrize(
    "names",
    [
        ("m.gguf", "m-Q8_0.gguf"),
        ("m-Q4_K_M.gguf", "m-UD-Q4_K_M.gguf"),
        ("My Model (v2)-Q8_0.gguf", "b.gguf"),
        ("Q8_0.gguf", "x-Q8_0.gguf"),
        ("a/m-Q8_0.gguf", "b/m-Q8_0.gguf"),
        ("One-q8_0.gguf", "one-Q8_0.gguf"),
        ("n" * 120 + ".gguf", "m.gguf"),
    ],
)
def test_every_name_in_the_list_is_a_name_of_the_same_file(place, names):
    in_cache(place, "own/one", {name: WORDS + bytes(at) for at, name in enumerate(names)} | {"mmproj-F16.gguf": EYES})
    rows = {row["name"]: row["model"][0] for row in objects(place.vlm("ls", "--json")) if row["name"] != "demo"}
    assert len(rows) == 2
    for name, model in rows.items():
        (shown,) = objects(place.vlm("show", "--json", name))
        assert shown["model"] == model
    first, second = rows
    for code in (0, 1):
        assert place.vlm("rm", "-y", first).returncode == code
        assert place.vlm("rm", "-y", "own/one:nothing").returncode == 1
    assert here(place) in ([second], [f"own/one:{Path(rows[second]).stem}"], ["own/one:Q8_0"])
    assert place.vlm("rm", "-y", *here(place)).returncode == 0
    assert not list(place.cache.glob("models--*"))


def test_a_model_that_two_commits_have_goes_from_both(place):
    publish(place.hub, REPOSITORY)
    place.vlm("pull", "-y", "smolvlm2-500m")
    place.hub.add(REPOSITORY, {**place.hub.repositories[REPOSITORY].files, "README.md": b"another"})
    place.vlm("pull", "-y", "smolvlm2-500m")
    done = place.vlm("rm", "-y", "smolvlm2-500m")
    assert "7.9 MB are free again" in done.stderr
    assert here(place) == []


def test_the_usual_quantisation_is_found_in_an_older_snapshot(place):
    entry = catalogue.find("smolvlm2-500m")
    place.vlm("pull", "-y", "smolvlm2-500m")
    files = {**place.hub.repositories[REPOSITORY].files, "two-F16.gguf": WORDS + b"more", "README.md": b"another"}
    place.hub.add(REPOSITORY, files)
    assert place.vlm("pull", "-y", "smolvlm2-500m:f16").returncode == 0
    (shown,) = objects(place.vlm("show", "--json", "smolvlm2-500m"))
    assert entry.quant in shown["model"]


def test_an_odd_name_in_the_cache_spoils_nothing(place):
    in_cache(place, "own/odd", {"a:b-Q8_0.gguf": WORDS, "mmproj-F16.gguf": EYES})
    place.vlm("pull", "-y", "smolvlm2-500m")
    assert "smolvlm2-500m" in here(place)
    assert place.vlm("verify").returncode == 0


def test_content_that_is_gone_is_told_of(place):
    place.vlm("pull", "-y", "smolvlm2-500m")
    (row,) = [row for row in objects(place.vlm("ls", "--json")) if row["name"] != "demo"]
    Path(row["model"][0]).resolve().unlink()
    for words in (["verify"], ["verify", REPOSITORY]):
        done = place.vlm(*words)
        assert (done.returncode, "its content is gone" in done.stdout) == (1, True), done.stderr


def stopped(place, name):
    """A pull that was killed in the middle."""
    before, place.hub.rate = place.hub.sent, SIZE // 10
    running = place.started("pull", "-y", name)
    while place.hub.sent < before + SIZE // 8:
        time.sleep(0.02)
    running.kill()
    running.communicate()
    place.hub.rate = 0


def test_a_download_under_way_outlives_the_removal_of_another_quantisation(place):
    two_of(place, "o/two-GGUF", "Q8_0")
    place.hub.repositories["o/two-GGUF"].files["two-F16.gguf"] = demo.FILES.model.read_bytes() + b"more"
    place.hub.repositories["o/two-GGUF"].sha256["two-F16.gguf"] = hashlib.sha256(
        demo.FILES.model.read_bytes() + b"more"
    ).hexdigest()
    stopped(place, "o/two-GGUF:F16")
    (part,) = place.cache.rglob("*.incomplete")
    assert place.vlm("rm", "-y", "o/two-GGUF:Q8_0").returncode == 0
    assert [path.name for path in place.cache.glob("models--*/**/*") if path.is_file()] == [part.name]
    (finding,) = [one for one in objects(place.vlm("doctor", "--json")) if "not finished" in one["what"]]
    assert "vlm rm --unfinished" in finding["mend"]
    assert place.vlm("rm", "--unfinished").returncode == 2
    assert part.exists()
    size = part.stat().st_size
    (freed,) = objects(place.vlm("rm", "--unfinished", "--yes", "--json"))
    assert (freed["name"], freed["freed"]) == (None, size)
    assert not list(place.cache.glob("models--*"))
    assert place.vlm("rm").returncode == 2


def test_a_cache_of_files_instead_of_links_is_emptied_too(place):
    place.vlm("pull", "-y", "smolvlm2-500m")
    flat = place.folder / "flat"
    shutil.copytree(place.cache, flat, symlinks=False)
    shutil.rmtree(place.cache)
    shutil.move(flat, place.cache)
    done = place.vlm("rm", "-y", "smolvlm2-500m")
    assert (done.returncode, done.stderr.count("is removed")) == (0, 1)
    assert not list(place.cache.glob("models--*"))


def test_a_broken_file_of_settings_is_said_before_a_removal(place):
    place.vlm("pull", "-y", "smolvlm2-500m")
    path = place.folder / "config" / "vlm" / "settings.toml"
    path.write_text("model = [", "utf-8")
    assert place.vlm("rm", "-y", "smolvlm2-500m").returncode == 2
    path.unlink()
    assert here(place) == ["smolvlm2-500m"]


def test_a_default_is_never_written_into_the_middle_of_a_text(place):
    path = place.folder / "config" / "vlm" / "settings.toml"
    path.parent.mkdir(parents=True)
    for text in ('mmproj = """\nmodel = 3\n"""\n', 'model = """\na\n"""\nctx = 4096\n'):
        path.write_text(text, "utf-8")
        done = place.vlm("default", "demo")
        assert (done.returncode, 'write there: model = "demo"' in done.stderr) == (2, True)
        assert path.read_text("utf-8") == text
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_settings_file_may_be_a_link(place):
    path = place.folder / "config" / "vlm" / "settings.toml"
    path.parent.mkdir(parents=True)
    whole = place.folder / "dotfiles.toml"
    whole.write_text("# mine\nctx = 4096\n", "utf-8")
    path.symlink_to(whole)
    assert place.vlm("default", "demo").returncode == 0
    assert (path.is_symlink(), whole.read_text("utf-8")) == (True, 'model = "demo"\n# mine\nctx = 4096\n')


def test_verify_goes_on_behind_a_broken_file(place):
    place.vlm("pull", "-y", "smolvlm2-500m")
    (row,) = [row for row in objects(place.vlm("ls", "--json")) if row["name"] != "demo"]
    model = Path(row["model"][0])
    model.unlink()
    model.write_bytes(b"GGUF nonsense")
    done = place.vlm("verify", "--json")
    assert done.returncode == 1
    found = {Path(one["file"]).name: one["ok"] for one in objects(done)}
    assert (found.pop(MODEL), set(found.values()), len(found)) == (False, {True}, 3)


@pytest.mark.parametrize(
    ("name", "value", "words", "says"),
    [
        ("HF_ENDPOINT", "http://[bad", ["pull", "smolvlm2-500m"], "HF_ENDPOINT is no address"),
        ("HF_ENDPOINT", "http://[bad", ["ls"], "HF_ENDPOINT is no address"),
        ("SSL_CERT_FILE", "/nonexistent", ["pull", "smolvlm2-500m"], "check SSL_CERT_FILE"),
    ],
)
def test_an_environment_that_cannot_be_used_is_named(place, name, value, words, says):
    place.env[name] = value
    done = place.vlm(*words)
    assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


def test_doctor_survives_an_address_that_is_none(place):
    place.env["HF_ENDPOINT"] = "http://[bad"
    found = {one["area"]: one for one in objects(place.vlm("doctor", "--json"))}
    assert found["cache"]["ok"] is False
    assert "HF_ENDPOINT is no address" in found["hub"]["what"]


def test_what_is_here_can_be_pulled_where_nothing_can_be_written(place):
    place.vlm("pull", "-y", "smolvlm2-500m")
    was = {path: path.lstat().st_mtime_ns for path in place.cache.rglob("*")}
    done = place.vlm("pull", "-y", "smolvlm2-500m")
    assert (done.returncode, "vlm verify smolvlm2-500m" in done.stderr) == (0, True)
    assert {path: path.lstat().st_mtime_ns for path in place.cache.rglob("*")} == was


def test_what_another_program_brought_is_found(place):
    publish(place.hub, "someone/pictures-GGUF", "pictures-Q8_0.gguf", "mmproj-pictures-F16.gguf")
    code = (
        "from huggingface_hub import hf_hub_download as get;"
        "[get('someone/pictures-GGUF', name) for name in ('pictures-Q8_0.gguf', 'mmproj-pictures-F16.gguf')]"
    )
    subprocess.run([sys.executable, "-c", code], env=place.environment(), check=True, capture_output=True)
    assert "someone/pictures-GGUF" in place.vlm("ls").stdout
    assert place.vlm("ask", "-m", "someone/pictures-GGUF", SCENE, "what is this?").stdout == ANSWER
    assert place.vlm("ask", "-m", "someone/pictures-GGUF:Q8_0", SCENE, "what is this?").stdout == ANSWER
    done = place.vlm("ask", "-m", "someone/pictures-GGUF:Q4_K_M", SCENE, "what is this?")
    assert "not on this machine yet" in done.stderr


def test_huggingface_hub_finds_what_was_pulled(place):
    (row,) = objects(place.vlm("pull", "-y", "--json", "smolvlm2-500m"))
    assert (row["size"], row["downloaded"], row["licence"]) == (SIZE, SIZE, "apache-2.0")
    assert Path(row["model"]).read_bytes() == demo.FILES.model.read_bytes()
    code = (
        "from huggingface_hub import hf_hub_download as get;"
        f"print(get({REPOSITORY!r}, {MODEL!r}, local_files_only=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=place.environment(), capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).read_bytes() == demo.FILES.model.read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["pull", "smolvlm3"], 2, ["smolvlm3: neither a name of the catalogue nor a repository", "smolvlm2-500m"]),
        (["pull", "someone/nothing"], 1, ["someone/nothing: there is no such repository, or it is private"]),
        (["pull", f"{REPOSITORY}:Q3_K_S"], 1, ["Q3_K_S", "Q8_0"]),
        (["pull", "someone/words-GGUF"], 1, ["projector"]),
        (["pull", "-y", "someone/mismatched-GGUF"], 1, ["what is published there cannot be used", "mmproj-F16.gguf"]),
        (["pull", "-y", "someone/broken-GGUF"], 1, ["what is published there cannot be used", "vlm rm someone/broken"]),
        (["pull", "demo"], 2, ["demo: it is part of vlm"]),
        (
            ["ask", "-m", "smolvlm2-500m", SCENE, "?"],
            1,
            ["smolvlm2-500m: not on this machine yet", "vlm pull smolvlm2-500m"],
        ),
        (["ask", "-m", "smolvlm2-50m", SCENE, "?"], 1, ["no such model, file or folder", "smolvlm2-500m"]),
        (["rm", "-y", "smolvlm2-500m"], 1, ["smolvlm2-500m: not in the cache"]),
        (["rm", "-y", "demo"], 2, ["demo: it is part of vlm"]),
        (["default", "smolvlm2-500m"], 1, ["not on this machine yet"]),
        (["default"], 1, ["there is no default model"]),
        (["verify", "nothing"], 1, ["nothing: not in the cache"]),
    ],
)
def test_errors_say_what_and_what_to_do(place, small, words, code, says):
    place.hub.add("someone/words-GGUF", {"words-Q8_0.gguf": demo.FILES.model})
    place.hub.add(
        "someone/mismatched-GGUF",
        {"words-Q8_0.gguf": demo.FILES.model, "mmproj-F16.gguf": small / "mmproj-gemma3.gguf"},
    )
    place.hub.add("someone/broken-GGUF", {"words-Q8_0.gguf": b"GGUF nonsense", "mmproj-F16.gguf": demo.FILES.projector})
    done = place.vlm(*words)
    assert done.returncode == code, done.stderr
    for text in says:
        assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gated_repository_names_the_page(place):
    publish(place.hub, "someone/secret-GGUF", gated=True)
    done = place.vlm("pull", "someone/secret-GGUF")
    assert (done.returncode, "to download" in done.stderr) == (1, False)
    assert f"accept at {place.hub.url}/someone/secret-GGUF" in done.stderr
    place.env["HF_TOKEN"] = place.hub.token
    assert place.vlm("pull", "someone/secret-GGUF").returncode == 0


def test_a_licence_that_has_to_be_accepted_is_shown_and_asked_for(place):
    entry = catalogue.find("medgemma-4b")
    publish(place.hub, entry.repository, "medgemma-4b-it-Q4_K_M.gguf", "mmproj-F16.gguf")
    done = place.vlm("pull", "medgemma-4b")
    assert (done.returncode, place.hub.sent) == (2, 0)
    assert "not a medical device" in done.stderr
    assert "its licence has to be accepted" in done.stderr
    assert place.vlm("pull", "-y", "medgemma-4b").returncode == 0
    done = place.vlm("ask", SCENE, "what is this?")
    assert "not a medical device" in done.stderr
    assert done.stdout == ANSWER


@pytest.mark.parametrize(("answer", "code", "sent"), [("n", 2, 0), ("", 2, 0), ("y", 0, SIZE)])
def test_on_a_terminal_it_asks_first(place, answer, code, sent):
    screen, got = place.typed("pull", "smolvlm2-500m", answer=answer)
    assert (got, place.hub.sent) == (code, sent)
    assert "vlm: download 7.9 MB? [y/N]" in screen


def test_a_missing_model_is_offered_on_a_terminal_and_the_question_answered(place):
    screen, code = place.typed("ask", "-m", "smolvlm2-500m", SCENE, "what is this?", answer="y")
    assert code == 0
    assert screen.endswith(ANSWER)


def everything(hub):
    """The demo's pair in every repository of the catalogue."""
    for entry in catalogue.entries():
        name = entry.repository.rpartition("/")[2].removesuffix("-GGUF")
        publish(hub, entry.repository, f"{name}-{entry.quant or 'Q8_0'}.gguf", f"mmproj-{name}-F16.gguf")


def test_without_a_model_a_script_is_told_the_command(place):
    done = place.vlm("ask", SCENE, "what is this?")
    assert (done.returncode, done.stdout) == (1, "")
    told = re.search(r"vlm pull (\S+)", done.stderr)
    assert catalogue.find(told[1])
    assert place.hub.asked == []


@pytest.mark.parametrize("terminal", [False, True])
def test_without_a_model_the_best_is_brought_when_somebody_says_yes(place, terminal):
    everything(place.hub)
    if terminal:
        screen, code = place.typed("ask", SCENE, "what is this?", answer="y")
    else:
        done = place.vlm("ask", "-y", SCENE, "what is this?")
        screen, code = done.stderr + done.stdout, done.returncode
    assert (code, screen.endswith(ANSWER)) == (0, True), screen
    named = re.search(r"the best for this machine is (\S+) \(about", screen)
    assert place.vlm("default").stdout.strip() == named[1]
    assert place.vlm("ask", SCENE, "what is this?").stdout == ANSWER


def test_models_are_listed_for_this_machine(place):
    place.vlm("pull", "-y", "smolvlm2-500m")
    rows = objects(place.vlm("models", "--json"))
    assert len(rows) >= 15
    here = {row["name"]: row for row in rows}["smolvlm2-500m"]
    assert here["here"]
    assert here["seconds"] > 0
    assert 0.9 * 546e6 < here["download"] < 1.1 * 720e6
    huge = max((row for row in rows if row["memory"]), key=lambda row: row["memory"])
    assert huge["memory"] > here["memory"]
    table = place.vlm("models")
    assert table.stdout.splitlines()[0].split("\t")[0] == "NAME"
    assert "to begin with: vlm pull " in table.stderr


def test_a_broken_file_of_settings_is_said_before_a_download(place):
    path = place.folder / "config" / "vlm" / "settings.toml"
    path.parent.mkdir(parents=True)
    path.write_text("model = [", "utf-8")
    done = place.vlm("pull", "-y", "smolvlm2-500m")
    assert (done.returncode, str(path) in done.stderr, place.hub.asked) == (2, True, [])


def test_the_default_is_set_kept_and_forgotten(place):
    assert place.vlm("default", "demo").returncode == 0
    assert place.vlm("default").stdout == "demo\n"
    assert place.vlm("ask", SCENE, "what is this?").stdout == ANSWER
    place.env["VLM_MODEL"] = "nothing-here"
    assert place.vlm("default").stdout == "nothing-here\n"
    assert "the variable VLM_MODEL goes before it" in place.vlm("default", "demo").stderr
    del place.env["VLM_MODEL"]
    assert place.vlm("default", "--none").returncode == 0
    assert place.vlm("default").returncode == 1


def test_a_folder_as_the_default_is_kept_by_its_whole_path(place):
    folder = place.folder / "pair"
    folder.mkdir()
    shutil.copy(demo.FILES.model, folder / "words.gguf")
    shutil.copy(demo.FILES.projector, folder / "eyes.gguf")
    assert place.vlm("default", "pair", cwd=place.folder).returncode == 0
    assert place.vlm("default").stdout == f"{folder}\n"


def test_a_slow_download_is_told_of_in_lines_and_not_with_quiet(place):
    place.hub.rate = SIZE // 10
    done = place.vlm("pull", "smolvlm2-500m")
    assert re.search(r"smolvlm2-500m: \d+% of 7.9 MB, \d+ kB/s, \d+ s left", done.stderr)
    place.vlm("rm", "-y", "smolvlm2-500m")
    assert place.vlm("pull", "--quiet", "smolvlm2-500m").stderr == ""


def test_ctrl_c_says_where_it_stopped_and_the_next_goes_on(place):
    place.hub.rate = SIZE // 20
    running = place.started("pull", "smolvlm2-500m")
    while place.hub.sent < SIZE // 10:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert re.search(r"smolvlm2-500m: stopped at \d+%", said)
    assert "vlm pull smolvlm2-500m goes on from there" in said
    place.hub.rate = 0
    assert place.vlm("pull", "smolvlm2-500m").returncode == 0
    assert place.hub.sent <= 1.1 * SIZE


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (Fault(cut=500_000, times=3), 0, "the connection was cut"),
        (Fault(wrong=True), 0, "it is deleted, and downloaded once more"),
        (Fault(wrong=True, times=-1), 1, "what came is not what was published"),
        (Fault(status=429, retry_after=1), 0, "asked too often; once more in 1 s"),
        (Fault(status=503, retry_after=0), 0, "the Hub has trouble (503)"),
        (Fault(html=True, times=-1), 1, "a web page came instead"),
        (Fault(listing=True, status=503, retry_after=0), 0, "the Hub has trouble (503)"),
        (Fault(listing=True, html=True, times=-1), 1, "a web page came instead"),
    ],
)
def test_what_goes_wrong_on_the_way_is_said(place, fault, code, says):
    place.hub.faults.append(fault)
    done = place.vlm("pull", "smolvlm2-500m")
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert place.hub.sent <= 3 * SIZE
    assert (place.vlm("ask", "-m", "smolvlm2-500m", SCENE, "what is this?").stdout == ANSWER) == (code == 0)


def test_a_full_disk_is_said_and_the_next_pull_goes_on(place):
    """On a small disk, where this may be made: one that is full before the model is there."""
    disk = place.folder / "hub"
    disk.mkdir()
    small = ["mount", "-t", "tmpfs", "-o", f"size={SIZE // 2}", "tmpfs", disk]
    made = subprocess.run(small, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        done = place.vlm("pull", "smolvlm2-500m")
        assert (done.returncode, place.hub.sent) == (1, 0)
        assert re.search(r"7.9 MB to download, and \d.* are free on the disk", done.stderr)
        subprocess.run(["mount", "-o", f"remount,size={SIZE + (1 << 20)}", disk], check=True)
        filler = disk / "filler"
        place.hub.rate = SIZE // 4
        running = place.started("pull", "smolvlm2-500m")
        while not place.hub.sent:
            time.sleep(0.02)
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(SIZE + (2 << 20)))
        _, said = running.communicate(timeout=60)
        assert running.returncode == 1
        assert "the disk is full" in said
        assert "it goes on where it stopped" in said
        filler.unlink()
        assert place.vlm("pull", "smolvlm2-500m").returncode == 0
        assert place.hub.sent <= 1.2 * SIZE
    finally:
        subprocess.run(["umount", disk], check=True)


def test_two_pulls_at_once_bring_it_once(place):
    place.hub.rate = SIZE // 2
    both = [place.started("pull", "smolvlm2-500m") for _ in range(2)]
    assert [(one.communicate(timeout=60), one.returncode)[1] for one in both] == [0, 0]
    assert place.hub.sent == SIZE


def test_killed_at_thirty_points_it_always_goes_on(place):
    """A language model of 256 MiB, throttled; kill -9 whenever chance says."""
    big = place.folder / "big.gguf"
    content = demo.FILES.model.read_bytes()
    big.write_bytes(content + b"\0" * ((256 << 20) - len(content)))
    place.hub.add("someone/big-GGUF", {"big-Q8_0.gguf": big, "mmproj-big-F16.gguf": demo.FILES.projector})
    place.hub.rate = 24 << 20
    chance = random.Random(6)
    for kill in range(30):
        running = place.started("pull", "someone/big-GGUF")
        if kill % 5:  # in the midst of the download
            until = place.hub.sent + chance.randrange(1 << 14, 9 << 20)
            while place.hub.sent < until:
                time.sleep(0.002)
        else:
            time.sleep(chance.uniform(0, 0.5))
        assert running.poll() is None, running.stderr.read()
        running.kill()
        running.communicate()
    place.hub.rate = 0
    done = place.vlm("pull", "someone/big-GGUF")
    assert done.returncode == 0, done.stderr
    (row,) = [row for row in objects(place.vlm("ls", "--json")) if row["name"] != "demo"]
    assert hashlib.sha256(Path(row["model"][0]).read_bytes()).digest() == hashlib.sha256(big.read_bytes()).digest()
    size = (256 << 20) + demo.FILES.projector.stat().st_size
    went_on = {asked for _, _, asked in place.hub.asked if asked}
    print(f"sent {place.hub.sent / size:.3f} of the size; after 30 kills, gone on from {len(went_on)} places")
    assert len(went_on) >= 10
    assert place.hub.sent <= 1.1 * size


def test_a_llava_without_a_chat_template_answers_through_the_catalogue(place, small):
    bare = place.folder / "bare.gguf"
    content = (small / "llava.gguf").read_bytes()
    assert content.count(b"tokenizer.chat_template") == 1
    bare.write_bytes(content.replace(b"tokenizer.chat_template", b"tokenizer.chat_tempXXXX"))
    projector, asked = small / "mmproj-llava.gguf", (SCENE, "what is this?", "--max-tokens", "12", "--json")
    done = place.vlm("ask", "-m", bare, "--mmproj", projector, *asked)
    assert (done.returncode, "chat template" in done.stderr) == (1, True)
    (by_hand,) = objects(place.vlm("ask", "-m", bare, "--mmproj", projector, "--chat-template", "vicuna", *asked))

    entry = catalogue.find("llava-1.5-7b")
    place.hub.add(entry.repository, {"llava-v1.5-7b-Q4_K.gguf": bare, "mmproj-model-f16.gguf": projector})
    assert place.vlm("pull", "-y", "llava-1.5-7b").returncode == 0
    (by_name,) = objects(place.vlm("ask", "-m", "llava-1.5-7b", *asked))
    assert by_name["answer"] == by_hand["answer"] != ""
