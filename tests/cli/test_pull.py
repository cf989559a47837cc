"""`vlm pull` and what goes with it, through the installed command, against a server that speaks the Hub's API."""

import hashlib
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import program
from tests.support.hub import Fault
from tests.support.place import MODEL, REPOSITORY, SIZE, objects, publish
from tests.support.program import ANSWER, SCENE
from tests.support.terminal import Terminal
from vlmcli import demo
from vlmcli.machine import speed
from vlmcli.machine.speed import Speed
from vlmcli.models import catalogue, hub
from vlmcli.terminal import ui


def test_a_model_comes_by_its_name_is_the_default_and_answers(place):
    done = place.vlm("pull", "smolvlm2-500m")
    assert (done.returncode, done.stdout) == (0, "")
    assert f"smolvlm2-500m: {REPOSITORY}, licence apache-2.0" in done.stderr
    assert f"{MODEL}  " in done.stderr
    assert re.search(r"7\.\d MB to download, .* free on the disk; needs about .* of memory", done.stderr)
    assert "smolvlm2-500m is now the default model" in done.stderr
    asked = len(place.hub.asked)
    done = place.vlm("ask", SCENE, "what is this?")
    assert (done.stdout, done.stderr, done.returncode) == (ANSWER, "", 0)
    assert len(place.hub.asked) == asked  # nothing asks the Hub for what is here

    done = place.vlm("pull", "smolvlm2-500m")
    assert "already downloaded" in done.stderr
    assert place.hub.sent == SIZE


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ["pull", "smolvlm3"],
            2,
            [
                "smolvlm3: neither a known model nor a repository (owner/name)",
                "did you mean smolvlm",
                "or smolvlm2-500m?",
            ],
        ),
        (["pull", "someone/nothing"], 1, ["someone/nothing: there is no such repository, or it is private"]),
        (["pull", f"{REPOSITORY}:Q3_K_S"], 1, ["Q3_K_S", "Q8_0"]),
        (["pull", "someone/words-GGUF"], 1, ["projector"]),
        (["pull", "-y", "someone/mismatched-GGUF"], 1, ["the published model cannot be used", "mmproj-F16.gguf"]),
        (["pull", "-y", "someone/broken-GGUF"], 1, ["the published model cannot be used", "vlm rm someone/broken"]),
        (["pull", "demo"], 2, ["demo: part of vlm"]),
        (
            ["ask", "-m", "smolvlm2-500m", SCENE, "?"],
            1,
            ["smolvlm2-500m: not downloaded yet", "vlm pull smolvlm2-500m"],
        ),
        (["ask", "-m", "smolvlm2-50m", SCENE, "?"], 1, ["no such model, file or folder", "smolvlm2-500m"]),
        (["rm", "-y", "smolvlm2-500m"], 1, ["smolvlm2-500m: not in the cache"]),
        (["rm", "-y", "demo"], 2, ["demo: part of vlm"]),
        (["default", "smolvlm2-500m"], 1, ["not downloaded yet"]),
        (["default"], 1, ["no default model"]),
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
    assert f"request access at {place.hub.url}/someone/secret-GGUF" in done.stderr
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
    assert "vlm: Download 7.9 MB? [y/N]" in screen


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
    named = re.search(r"recommended for this machine: (\S+) \(about", screen)
    assert place.vlm("default").stdout.strip() == named[1]
    assert place.vlm("ask", SCENE, "what is this?").stdout == ANSWER


def test_without_a_network_a_person_is_told_of_the_model_that_needs_none(place):
    with Terminal(
        "ask", SCENE, "what?", columns=200, **place.environment() | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    ) as at:
        assert at.end() == 1
        text = at.text
    assert "127.0.0.1:9 cannot be reached" in text
    assert text.rstrip().endswith("; -m demo needs no download")


def test_models_are_listed_for_this_machine(place):
    place.vlm("pull", "-y", "smolvlm2-500m")
    rows = objects(place.vlm("models", "--json"))
    assert 20 <= len(rows) <= 25
    here = {row["name"]: row for row in rows}["smolvlm2-500m"]
    assert here["here"]
    assert here["seconds"] > 0
    assert 0.9 * 546e6 < here["download"] < 1.1 * 720e6
    huge = max((row for row in rows if row["memory"]), key=lambda row: row["memory"])
    assert huge["memory"] > here["memory"]
    table = place.vlm("models")
    head, *lines = [line.split("\t") for line in table.stdout.splitlines()]
    assert head == ["", "NAME", "SIZE", "MEMORY", "PICTURE", "1,000", "LICENCE", "GOOD AT", "REPOSITORY"]
    assert [line[1] for line in lines] == [row["name"] for row in rows]
    (chosen,) = [row for row in rows if row["recommended"]]
    assert [line[1] for line in lines if line[0] == "*"] == [chosen["name"]]
    assert lines[0][0] == "*"
    assert "recommended for this machine" in table.stderr
    assert re.search(r"^order +general, for pages, medical; of each, the best quick ones", table.stderr, re.MULTILINE)
    assert "?" not in table.stdout
    assert [line[8] for line in lines] == [row["repository"] for row in rows]
    assert not any(row["retired"] for row in rows)
    every = objects(place.vlm("models", "--all", "--json"))
    assert sorted(row["name"] for row in every) == sorted(entry.name for entry in catalogue.entries())
    assert [row for row in every if not row["retired"]] == rows
    told = re.search(
        r"^retired +(\d+) older or less useful models, listed by: vlm models --all", table.stderr, re.MULTILINE
    )
    assert int(told[1]) == len(every) - len(rows)
    assert "?" not in place.vlm("models", "--all").stdout
    assert ["", "smolvlm2-500m", "local"] in [["", *line[1:3]] for line in lines]


def test_the_recommended_model_is_the_one_that_is_named_without_a_model(place):
    (place.folder / "state" / "vlm" / "speed.json").unlink()
    first = place.vlm("models", "--json")
    assert "vlm: measuring this machine's speed, once, to order the list (about 3 s)\n" in first.stderr
    (chosen,) = [row["name"] for row in objects(first) if row["recommended"]]
    done = place.vlm("ask", SCENE, "what is this?")
    assert done.stderr.splitlines()[0] == "vlm: no model chosen"
    assert re.search(r"vlm pull (\S+)", done.stderr)[1] == chosen
    assert "measuring" not in done.stderr  # it is known
    again = place.vlm("models", "--measure", "--json")
    assert "vlm: measuring this machine's speed, to order the list (about 3 s)\n" in again.stderr


@pytest.mark.parametrize("busy", [True, False])
def test_a_busy_machine_is_told_of_after_measuring(monkeypatch, tmp_path, busy):
    monkeypatch.setattr("os.getloadavg", lambda: (1000.0 if busy else 0.0, 0.0, 0.0), raising=False)
    monkeypatch.setattr(speed, "measure", lambda folder, machine, ask: Speed(1e11, 1e11, 6e9, machine))
    done = program.vlm("models", env={"XDG_STATE_HOME": str(tmp_path), "HF_HOME": str(tmp_path)})
    said = "vlm: the machine is busy, so times are too long; vlm models --measure measures again\n"
    assert (done.returncode, said in done.stderr) == (0, busy)


def test_what_a_check_has_found_is_not_cut_on_a_narrow_terminal(place):
    with Terminal("verify", columns=60, **place.environment()) as terminal:
        assert terminal.end() == 0
        text = terminal.text
    assert "…" not in text
    assert " ".join(text.split()).count("complete; its published hash is not known") == 2


def wide_and_narrow(place, columns):
    """The list of models as it is piped, and a terminal with it, between which the free memory has not changed.

    It orders the list, and other programs take and give back some all the time.
    """
    for _ in range(8):
        wide = place.vlm("models").stdout
        with Terminal("models", columns=columns, **place.environment()) as terminal:
            assert terminal.end() == 0
            text = terminal.text
        if place.vlm("models").stdout == wide:
            return wide, text
    raise AssertionError("the list of models changes all the time")


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_the_table_of_models_is_not_cut_but_has_fewer_columns(place, columns):
    wide, text = wide_and_narrow(place, columns)
    lines = text.splitlines()
    assert "…" not in text
    start = next(number for number, line in enumerate(lines) if line.startswith("  NAME"))
    names = [line.split("\t")[1] for line in wide.splitlines()[1:]]
    table = lines[start : start + 1 + len(names)]
    shown = [line[2:].split(" ")[0] for line in table[1:]]
    assert shown == names  # a row is a line
    assert [line[2:].split(" ")[0] for line in table if line.startswith("* ")] == [names[0]]
    expected = {
        80: "NAME SIZE MEMORY PICTURE 1,000 LICENCE GOOD AT",
        60: "NAME SIZE PICTURE 1,000 LICENCE",
        40: "NAME PICTURE 1,000",
    }
    assert " ".join(table[0].split()).startswith(expected[columns])
    missing = {
        80: "",
        60: "not shown MEMORY and GOOD AT, because the terminal is too narrow",
        40: "not shown LICENCE, SIZE, MEMORY and GOOD AT, because",
    }
    said = " ".join(text.split())
    assert missing[columns] in said
    assert ("not shown" in said) == (columns < 80)
    licences = {line.split("\t")[6] for line in wide.splitlines()[1:]}
    if columns >= 60:
        assert all(any(licence in line for licence in licences) for line in table[1:])


def test_all_models_have_all_columns_at_80(place):
    with Terminal("models", "--all", columns=80, **place.environment()) as terminal:
        assert terminal.end() == 0
        lines = terminal.text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  NAME"))
    assert " ".join(lines[start].split()) == "NAME SIZE MEMORY PICTURE 1,000 LICENCE GOOD AT"
    names = [line[2:].split(" ")[0] for line in lines[start + 1 : start + 1 + len(catalogue.entries())]]
    assert sorted(names) == sorted(entry.name for entry in catalogue.entries())
    assert "not shown" not in terminal.text and "…" not in terminal.text


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
    assert "VLM_MODEL is set, too, and takes precedence" in place.vlm("default", "demo").stderr
    del place.env["VLM_MODEL"]
    done = place.vlm("default", "--none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "vlm: no default model now\n")
    assert place.vlm("default").returncode == 1


def test_a_folder_as_the_default_is_kept_by_its_whole_path(place):
    folder = place.folder / "pair"
    folder.mkdir()
    shutil.copy(demo.FILES.model, folder / "words.gguf")
    shutil.copy(demo.FILES.projector, folder / "eyes.gguf")
    assert place.vlm("default", "pair", cwd=place.folder).returncode == 0
    assert place.vlm("default").stdout == f"{folder}\n"


def test_a_slow_download_is_told_of_in_lines_and_not_with_quiet(place, monkeypatch):
    monkeypatch.setattr(ui, "QUIET_SECONDS", 0.5)
    place.hub.rate = SIZE // 2
    done = place.vlm("pull", "smolvlm2-500m")
    assert re.search(r"smolvlm2-500m: \d+% of 7\.9 MB, \d\.\d MB/s, \d+ s left", done.stderr)
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
    assert "vlm pull smolvlm2-500m continues from there" in said
    place.hub.rate = 0
    assert place.vlm("pull", "smolvlm2-500m").returncode == 0
    assert place.hub.sent <= 1.1 * SIZE


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (Fault(cut=500_000, times=3), 0, "the connection was cut"),
        (Fault(wrong=True), 0, "deleted it, downloading again"),
        (Fault(wrong=True, times=-1), 1, "the download is not the published file"),
        (Fault(status=429, retry_after=1), 0, "too many requests to the Hub; retrying in 1 s"),
        (Fault(status=503, retry_after=0), 0, "the Hub reports an error (503)"),
        (Fault(html=True, times=-1), 1, "got a web page instead"),
        (Fault(listing=True, status=503, retry_after=0), 0, "the Hub reports an error (503)"),
        (Fault(listing=True, html=True, times=-1), 1, "got a web page instead"),
    ],
)
def test_what_goes_wrong_on_the_way_is_said(place, monkeypatch, fault, code, says):
    monkeypatch.setattr(hub, "FIRST_PAUSE", 0.01)
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
        assert re.search(r"the download needs 7.9 MB, and the disk has \d.* free", done.stderr)
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
        assert "run the same command again to resume" in said
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


def test_killed_at_any_point_it_always_goes_on(place, everything):
    """A language model of 134 MB, throttled; kill -9 whenever chance says."""
    kills = 20 if everything else 7
    big = place.folder / "big.gguf"
    content = demo.FILES.model.read_bytes()
    big.write_bytes(content + b"\0" * ((128 << 20) - len(content)))
    place.hub.add("someone/big-GGUF", {"big-Q8_0.gguf": big, "mmproj-big-F16.gguf": demo.FILES.projector})
    place.hub.rate = 12 << 20
    chance = random.Random(6)
    for kill in range(kills):
        running = place.started("pull", "someone/big-GGUF")
        if kill % 5:  # in the midst of the download
            until = place.hub.sent + chance.randrange(1 << 14, 9 << 19)
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
    size = (128 << 20) + demo.FILES.projector.stat().st_size
    went_on = {asked for _, _, asked in place.hub.asked if asked}
    print(f"sent {place.hub.sent / size:.3f} of the size; after {kills} kills, gone on from {len(went_on)} places")
    assert len(went_on) >= 0.4 * kills
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
