"""Models that are on this machine: listed, shown, verified, removed, and one of them the default."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.place import MODEL, REPOSITORY, SIZE, here, objects, publish, stopped, two_of
from tests.support.program import ANSWER, SCENE
from vlmcli import demo
from vlmcli.models import catalogue

WORDS, EYES = demo.FILES.model.read_bytes(), demo.FILES.projector.read_bytes()


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
    assert "1 of 2 files differ from what was published" in done.stderr

    done = place.vlm("rm", "smolvlm2-500m")
    assert (done.returncode, "add -y to remove it without being asked" in done.stderr) == (2, True)
    done = place.vlm("rm", "-y", "smolvlm2-500m")
    assert (done.returncode, "removed smolvlm2-500m: 7.9 MB freed" in done.stderr) == (0, True)
    assert "the default model is still smolvlm2-500m" in done.stderr
    assert not [path for path in place.cache.glob("models--*/**/*") if path.is_file()]
    done = place.vlm("ask", SCENE, "what is this?")
    assert (done.returncode, "vlm pull smolvlm2-500m" in done.stderr) == (1, True)


def test_removed_twice_is_not_another_quantisation_removed(place):
    two_of(place, "o/two-GGUF", "Q8_0", "Q4_K_M")
    assert here(place) == ["o/two-GGUF:Q4_K_M", "o/two-GGUF:Q8_0"]
    for _ in range(2):
        done = place.vlm("rm", "-y", "o/two-GGUF")
        assert done.returncode == 1
        assert "o/two-GGUF: matches 2 models in the cache" in done.stderr
        assert "choose one of o/two-GGUF:Q4_K_M, o/two-GGUF:Q8_0" in done.stderr
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
    assert (done.returncode, "choose one of smolvlm2-500m:F16" in done.stderr) == (1, True)
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
    assert "7.9 MB freed" in done.stderr
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


@pytest.mark.parametrize("junk", [b"", b"\0\5\x16\7" + bytes(99), b"<html>", bytes(4096)])
@pytest.mark.parametrize("name", ["._m-Q8_0.gguf", "other.gguf", "a/other-Q4_K_M.gguf"])
def test_junk_in_the_cache_does_not_stop_the_model_beside_it(place, name, junk):
    in_cache(place, "own/one", {"m-Q8_0.gguf": WORDS, "mmproj-F16.gguf": EYES, name: junk})
    done = place.vlm("ask", "-m", "own/one", SCENE, "what is this?")
    assert (done.returncode, done.stdout) == (0, ANSWER)
    assert (f"{name}: not a GGUF file" in done.stderr) == (bool(junk) and name[0] != ".")
    assert "own/one:Q8_0" in here(place)
    assert place.vlm("rm", "-y", "own/one:Q8_0").returncode == 0


def test_content_that_is_gone_is_told_of(place):
    place.vlm("pull", "-y", "smolvlm2-500m")
    (row,) = [row for row in objects(place.vlm("ls", "--json")) if row["name"] != "demo"]
    Path(row["model"][0]).resolve().unlink()
    for words in (["verify"], ["verify", REPOSITORY]):
        done = place.vlm(*words)
        assert (done.returncode, "content missing" in done.stdout) == (1, True), done.stderr


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
    (finding,) = [one for one in objects(place.vlm("doctor", "--json")) if "unfinished" in one["what"]]
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
    assert (done.returncode, done.stderr.count("removed ")) == (0, 1)
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
        assert (done.returncode, 'edit it yourself: model = "demo"' in done.stderr) == (2, True)
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
        ("HF_ENDPOINT", "http://[bad", ["pull", "smolvlm2-500m"], "HF_ENDPOINT is not an address"),
        ("HF_ENDPOINT", "http://[bad", ["ls"], "HF_ENDPOINT is not an address"),
        ("SSL_CERT_FILE", "/nonexistent", ["pull", "smolvlm2-500m"], "check SSL_CERT_FILE"),
    ],
)
def test_an_environment_that_cannot_be_used_is_named(place, name, value, words, says):
    place.env |= {"HF_ENDPOINT": "https://localhost", name: value}
    done = place.vlm(*words)
    assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


def test_doctor_survives_an_address_that_is_none(place):
    place.env["HF_ENDPOINT"] = "http://[bad"
    found = {one["area"]: one for one in objects(place.vlm("doctor", "--json"))}
    assert found["cache"]["ok"] is False
    assert "HF_ENDPOINT is not an address" in found["hub"]["what"]


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
    assert "not downloaded yet" in done.stderr


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
