"""What commands keep for one another: what is found again, what is not, and `vlm cache`, which lists and clears it."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.support import ROOT
from tests.support.engines import small_files
from tests.support.hints import message_and_hint
from tests.support.program import SCENE, VLM, own_environment, vlm
from vlmcli import demo
from vlmcli.bench import mutants
from vlmcli.entries import FIRST_BYTES

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names and owners are POSIX's")

FIRST, SECOND = "what is this?", "What color is the circle?"
RIGHT = "The circle is red."


class Kept:
    """A folder for what commands keep, with pictures beside it."""

    def __init__(self, at):
        self.at, self.folder = at, at / "cache"
        self.env = {"VLM_CACHE_DIR": str(self.folder), "VLM_CACHE_SECONDS": "0"}

    def run(self, *words, code=0, **env):
        done = vlm(*words, env=self.env | env, cwd=self.at)
        assert "Traceback" not in done.stderr
        assert done.returncode == code, done.stderr
        return done

    def ask(self, picture, question=SECOND, *more, model="demo", **env):
        """The record of a question."""
        done = self.run("ask", "-m", model, picture, question, "--json", *more, **env)
        return json.loads(done.stdout)

    def usage(self, *words, **env):
        """Rows that came from the disk, pictures that were encoded, and pictures whose rows were known."""
        usage = self.ask(*words, **env)["usage"]
        return usage["restored_tokens"] > 0, usage["encoded"], usage["remembered"]

    def listed(self, *words):
        """What `vlm cache --json` says of each kind."""
        done = self.run("cache", *words, "--json")
        return {one.pop("kind"): one for one in map(json.loads, done.stdout.splitlines())}

    def leftovers(self):
        return list(self.folder.rglob("*.part"))


PREFIX, EMBEDDING, NOTHING = (True, 0, 0), (False, 0, 1), (False, 1, 0)
"""What a question is answered from."""


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """What one question about the scene leaves behind."""
    kept = Kept(tmp_path_factory.mktemp("first"))
    shutil.copy(SCENE, kept.at / "scene.png")
    assert kept.usage("scene.png", FIRST) == NOTHING
    return kept


@pytest.fixture
def kept(first, tmp_path):
    """A copy of that."""
    shutil.copytree(first.at, tmp_path / "at")
    return Kept(tmp_path / "at")


def saved(kept, name, change=lambda image: image, **options):
    """The scene in another file."""
    with Image.open(SCENE) as image:
        change(image.convert("RGB")).save(kept.at / name, **options)
    return name


def _edit(image):
    image.putpixel((5, 5), (254, 255, 255))
    return image


def test_another_question_in_another_command_is_computed_alone(kept):
    assert kept.ask("scene.png")["answer"] == RIGHT
    assert kept.usage("scene.png", "What is on the left?") == PREFIX


def test_the_same_pixels_are_known_whatever_their_file_is_called(kept):
    assert kept.usage(saved(kept, "other.webp", lossless=True)) == PREFIX
    assert kept.usage(saved(kept, "more.tiff")) == PREFIX
    assert kept.usage(saved(kept, "lossy.jpg")) == NOTHING


def test_an_edited_picture_under_the_same_name_is_another(kept):
    before = (kept.at / "scene.png").stat()
    saved(kept, "scene.png", _edit)
    os.utime(kept.at / "scene.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kept.usage("scene.png") == NOTHING


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (("--detail", "low"), NOTHING),
        (("--detail", "high"), PREFIX),
        (("-s", "Answer in a word."), EMBEDDING),
        (("--chat-template", "chatml"), PREFIX),  # it is the model's own, by another way
        (("--chat-template", "vicuna"), EMBEDDING),
        (("--no-cache",), NOTHING),
        (("--ctx", "2048", "--max-tokens", "5", "--temperature", "0.5", "--seed", "1"), PREFIX),
        (("--worker",), PREFIX),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_what_makes_another_entry_and_what_does_not(kept, more, found):
    assert kept.usage("scene.png", SECOND, *more) == found


def test_another_model_finds_nothing_of_this_one(kept, tmp_path):
    for file in (demo.FILES.model, demo.FILES.projector):
        shutil.copy(file, tmp_path)
    assert kept.usage("scene.png", model=tmp_path) == PREFIX  # the same model, elsewhere
    with (tmp_path / demo.FILES.model.name).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0")
    assert kept.usage("scene.png", model=tmp_path) == EMBEDDING


def test_nothing_is_used_or_kept_where_that_is_turned_off(kept):
    before = kept.listed()
    for turned_off in ({"VLM_CACHE": "0"}, {"XDG_CONFIG_HOME": str(kept.at / "config")}):
        (kept.at / "config" / "vlm").mkdir(parents=True, exist_ok=True)
        (kept.at / "config" / "vlm" / "settings.toml").write_text("cache = false\n", "utf-8")
        assert kept.usage("scene.png", "What is on the right?", **turned_off) == NOTHING
        done = kept.run("cache", **turned_off)
        assert "nothing is kept or used now" in done.stderr
    assert "--no-cache" not in done.stderr
    assert kept.listed() == before


def test_a_folder_that_cannot_be_written_gives_what_it_has(first, tmp_path):
    disk = tmp_path / "cache"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        shutil.copytree(first.folder, disk, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        before = sorted((str(one), one.stat().st_mtime_ns) for one in disk.rglob("*"))
        kept = Kept(tmp_path)
        shutil.copy(SCENE, kept.at / "scene.png")
        assert kept.ask("scene.png")["answer"] == RIGHT
        assert kept.usage("scene.png") == PREFIX
        assert kept.usage(saved(kept, "edited.png", _edit)) == NOTHING
        assert kept.usage("edited.png") == NOTHING
        assert sorted((str(one), one.stat().st_mtime_ns) for one in disk.rglob("*")) == before
        _, hint = message_and_hint(kept.run("cache", "clear", code=1))
        assert "permissions" in hint
    finally:
        subprocess.run(["umount", disk], check=False)


def test_many_commands_at_once_share_a_folder(tmp_path, everything):
    """Half of them ask about one picture, and half about another, which nobody has seen before."""
    kept = Kept(tmp_path)
    pictures = [saved(kept, "a.png"), saved(kept, "b.png", _edit)]
    running = [
        subprocess.Popen([VLM, "ask", "-m", "demo", pictures[number % 2], SECOND], cwd=tmp_path, text=True,
                         env=own_environment(kept.env), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(8 if everything else 3)
    ]  # fmt: skip
    for one in running:
        out, err = one.communicate(timeout=300)
        assert (one.returncode, out) == (0, f"{RIGHT}\n"), err
    counts = {kind: one["entries"] for kind, one in kept.listed().items()}
    assert {kind: counts[kind] for kind in ("embeddings", "prefixes", "facts")} == {
        "embeddings": 2, "prefixes": 2, "facts": 1,
    }  # fmt: skip
    assert 2 <= counts["pictures"] <= 4  # known by its bytes while it is new, and by what the system says of it later
    assert [kept.usage(picture) for picture in pictures] == [PREFIX, PREFIX]
    assert kept.leftovers() == []


KILLED = """
import os, pathlib, sys
whole = pathlib.Path.replace
def replace(self, target):
    return os.kill(os.getpid(), 9) if pathlib.Path(target).parent.name == sys.argv[1] else whole(self, target)
pathlib.Path.replace = replace
from vlmcli.cli import app
app.main(sys.argv[2:])
"""


@pytest.mark.parametrize("kind", ["embeddings", "prefixes"])
def test_a_command_that_is_killed_while_it_writes_leaves_nothing_behind_the_next(tmp_path, kind):
    kept = Kept(tmp_path)
    words = [sys.executable, "-c", KILLED, kind, "ask", "-m", "demo", SCENE, FIRST]
    done = subprocess.run(words, env=own_environment(kept.env), cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -9
    assert len(kept.leftovers()) == 1
    assert kept.ask(SCENE)["answer"] == RIGHT
    assert kept.leftovers() == []


# ------------------------------------------------------------------------------------------ vlm cache


def test_it_lists_each_kind(kept):
    kept.ask("scene.png")
    found = kept.listed()
    assert list(found) == ["embeddings", "prefixes", "pictures", "pairs", "facts"]
    counts = {kind: (one["entries"], one["hits"]) for kind, one in found.items()}
    assert counts | {"pairs": None, "pictures": None} == {
        "embeddings": (1, 0), "prefixes": (1, 1), "facts": (1, 1), "pairs": None, "pictures": None,
    }  # fmt: skip
    for kind, one in found.items():
        assert one["folder"] == str(kept.folder / kind)
        sizes = [file.stat().st_size for file in (kept.folder / kind).iterdir() if file.name != "hits"]
        assert one["entries"] == len(sizes) > 0
        assert sum(sizes) <= one["size"] < sum(sizes) + 4096 * len(sizes)
        assert abs(one["used"] - time.time()) < 300
    assert [one["limit"] for one in found.values()] == [2000 * 10**6, 4000 * 10**6, None, None, None]
    done = kept.run("cache", VLM_EMBEDDINGS_MB="1")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == ["KIND", "ENTRIES", "SIZE", "LIMIT", "HITS", "LAST USED"]
    assert rows[1][:5] == ["embeddings", "1", "53 kB", "1.0 MB", "0"]
    assert rows[2][5].endswith(" s ago")
    assert str(kept.folder) in "".join(done.stderr.split())


def test_a_kind_that_is_not_known_is_listed_and_cleared_and_other_folders_are_not(kept):
    name = "a" * 64
    for folder, content in (("new", FIRST_BYTES), ("mine", b"mine")):
        (kept.folder / folder).mkdir()
        (kept.folder / folder / name).write_bytes(content)
    assert kept.listed()["new"]["entries"] == 1
    assert "mine" not in kept.listed()
    kept.run("cache", "clear")
    assert (kept.folder / "mine" / name).read_bytes() == b"mine"
    assert not (kept.folder / "new" / name).exists()


def test_clear_removes_all_and_says_so(kept):
    size = kept.listed()["embeddings"]["size"]
    (kept.folder / "prefixes" / f".vlm-{'0' * 16}.part").touch()
    done = kept.run("cache", "clear")
    assert done.stdout == ""
    assert "removed 1 entry from embeddings: 53 kB freed" in done.stderr
    assert done.stderr.count("removed") == 5
    assert [file for file in kept.folder.rglob("*") if file.is_file()] == []
    assert kept.run("cache", "clear").stderr == "vlm: nothing to remove\n"
    assert kept.usage("scene.png", FIRST) == NOTHING
    assert kept.listed("clear")["embeddings"] == {"v": 1, "removed": 1, "freed": size}
    assert {one["entries"] for one in kept.listed().values()} == {0}


def test_clear_of_what_is_older(kept):
    (old,) = (kept.folder / "embeddings").iterdir()
    day = 86_400
    os.utime(old, (time.time() - 20 * day,) * 2)
    for age in ("3w", "30d", "481h"):
        assert kept.run("cache", "clear", "--older-than", age).stderr == "vlm: nothing to remove\n"
    assert {kind: one["removed"] for kind, one in kept.listed("clear", "--older-than", "2w").items()} == {
        "embeddings": 1, "prefixes": 0, "pictures": 0, "pairs": 0, "facts": 0,
    }  # fmt: skip
    assert kept.usage("scene.png") == PREFIX
    assert sum(one["removed"] for one in kept.listed("clear", "--older-than", "0h").values()) >= 2


def test_links_are_not_followed(kept, tmp_path):
    outside = tmp_path / "outside"
    (kept.folder / "prefixes").rename(outside)
    (kept.folder / "prefixes").symlink_to(outside)
    (file,) = outside.iterdir()
    assert "is a link, not a folder; nothing is kept there" in kept.run("cache").stderr
    assert kept.listed("clear")["prefixes"]["removed"] == 0
    assert file.exists()
    kept.folder.rename(tmp_path / "moved")  # the whole of it may be anywhere
    kept.folder.symlink_to(tmp_path / "moved")
    assert kept.usage("scene.png", FIRST) == NOTHING
    assert kept.usage("scene.png", FIRST)[1:] == (0, 1)
    assert kept.listed()["embeddings"]["entries"] == 1
    assert list(outside.iterdir()) == [file]


def test_an_empty_cache_is_listed_and_nothing_is_made(tmp_path):
    kept = Kept(tmp_path)
    assert {one["entries"] for one in kept.listed().values()} == {0}
    assert {one["used"] for one in kept.listed().values()} == {None}
    assert kept.run("cache", "clear").stderr == "vlm: nothing to remove\n"
    assert not kept.folder.exists()


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (["cler"], "not cler", "vlm cache clear"),
        (["rm"], "not rm", "vlm cache clear"),
        (["what"], "not what", "vlm cache lists what is kept"),
        (["clear", "prefixes"], "takes no argument", "vlm cache clear"),
        (["--older-than", "3d"], "removes nothing by itself", "vlm cache clear --older-than 3d"),
        (["clear", "--older-than", "3"], "not a number of hours, days or weeks", "30d"),
        (["clear", "--older-than", "3m"], "not a number of hours, days or weeks", "30d"),
        (["clear", "--older-than", "-3d"], "not a number of hours, days or weeks", "30d"),
        (["clear", "--older-than", "9" * 30 + "d"], "not a number of hours, days or weeks", "30d"),
        (["clear", "--older-than", ""], "not a number of hours, days or weeks", "30d"),
    ],
)
def test_what_is_typed_wrong_is_a_usage_error(tmp_path, words, says, hint):
    message, then = message_and_hint(Kept(tmp_path).run("cache", *words, code=2))
    assert says in message
    assert hint in then


@pytest.mark.parametrize(("make", "says"), [(lambda path: path.write_bytes(b"mine"), "is a file, not a folder"),
                                            (lambda path: os.mkfifo(path), "is a pipe, not a folder"),
                                            (lambda path: path.symlink_to("none"), "broken link")])  # fmt: skip
def test_a_folder_that_is_none_is_an_error_of_vlm_cache_alone(tmp_path, make, says):
    kept = Kept(tmp_path)
    make(kept.folder)
    for words in (["cache"], ["cache", "clear"], ["cache", "--json"]):
        message, hint = message_and_hint(kept.run(*words, code=1))
        assert says in message
        assert "VLM_CACHE_DIR" in hint
    assert kept.ask(SCENE)["answer"] == RIGHT


def test_show_says_that_a_template_puts_the_question_first(tmp_path, small):
    assert json.loads(vlm("show", "demo", "--json").stdout)["question_first"] is False
    assert "  again " not in vlm("show", "demo").stdout
    files = small_files(small, "llava")
    model = mutants.read(files.model.read_bytes())
    turned = (
        b"{% for m in messages %}{% for c in m.content if c.type == 'text' %}{{ c.text }}{% endfor %}"
        b"{% for c in m.content if c.type == 'image' %}<image>{% endfor %}{% endfor %}A:"
    )
    shown = {}
    for name, source in (("turned", turned), ("broken", b"{% for"), ("none", b"")):
        folder = tmp_path / name
        folder.mkdir()
        model.key("tokenizer.chat_template").value = source
        (folder / "words.gguf").write_bytes(mutants.write(model))
        shutil.copy(files.projector, folder)
        shown[name] = json.loads(vlm("show", folder, "--json").stdout)["question_first"]
    assert shown == {"turned": True, "broken": None, "none": None}
    assert "the template puts the question first" in vlm("show", tmp_path / "turned").stdout
