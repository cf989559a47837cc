"""Every verb, on a terminal and on pipes, with all it can be told of output, among texts that a terminal obeys.

What reaches the terminal, or stderr wherever that leads, has no code that is not ours; and the evil text is there, to
be read. A verb that is new, or an option of output, is walked too, or fails here.
"""

import itertools
import json
import re
from dataclasses import dataclass, field

import pytest
from PIL import Image, PngImagePlugin

from tests.support.evil import EVIL, MARK, NAME, PIECES, arrived, as_token, on, reworded, title_after, trespassers
from tests.support.hub import Fault, Hub
from tests.support.place import Place
from tests.support.program import SCENE, keep_speed
from tests.support.raw_server import reply, serving
from vlmcli import demo
from vlmcli.cli.app import VERBS, command

ASKING = ("ask", "caption", "describe", "ocr", "explain")
HERE = ("--in-process",)


@dataclass
class Case:
    """One way in.

    Attributes:
        name: of the way.
        words: behind the verb; `{}` stands for the folder of everything that is evil.
        env: variables.
        seen: where the evil text must be seen: on a terminal, and in a pipe's "err"; empty for nowhere.
        typed: what a person answers.
        fault: what is wrong with the Hub's listing.
        kinds: of streams.
    """

    name: str
    words: tuple = ()
    env: dict = field(default_factory=dict)
    seen: str = "tty err"
    typed: str = ""
    fault: Fault | None = None
    kinds: tuple = ("tty", "pipe")


def asking(verb):
    """Ways into each verb that asks about pictures."""
    question = (EVIL,) if verb in ("ask", "explain") else ()
    here = HERE if verb != "explain" else ()
    last = (*question, "-m", "demo", *here)
    plain = ("what is this?",) if question else ()
    seen = "" if verb == "ocr" else "tty"  # the demo model reads nothing there
    return [
        Case("its answer", (f"{{}}/{NAME}a.png", *plain, "-m", "{}/evil", *here), seen=seen),
        Case("a picture that is none", (f"{{}}/{NAME}b.png", *last)),
        Case("a template that complains", (SCENE, *last, "--chat-template", "{}/complains.jinja")),
        Case("a model that is not there", (SCENE, *question, "-m", f"{{}}/{NAME}.gguf")),
        Case("an option", (SCENE, *question, f"--{EVIL}")),
        Case("VLM_MODEL", (SCENE, *question), {"VLM_MODEL": EVIL}),
    ]


def also(verb):
    """More of them: what becomes of pictures, models and settings is the same for every verb that asks."""
    here = HERE if verb == "ask" else ()
    last = (EVIL, "-m", "demo", *here)
    return [
        Case("a picture that is not there", (f"{{}}/{NAME}x.png", *last)),
        Case("a link to nowhere", (f"{{}}/{NAME}c.png", *last)),
        Case("a damaged PDF", (f"{{}}/{NAME}d.pdf", *last)),
        Case("EXIF and comments", ("{}/exif.jpg", *last), seen=""),
        Case("a damaged profile", (f"{{}}/{NAME}e.png", *last), seen=""),
        Case("a model's name", (SCENE, EVIL, "-m", EVIL)),
        Case("an architecture", (SCENE, EVIL, "-m", "{}/architecture"), seen=""),
        Case("a tokeniser", (SCENE, EVIL, "-m", "{}/tokeniser")),
        Case("a projector's type", (SCENE, EVIL, "-m", "{}/projector")),
        Case("a template that is none", (SCENE, *last, "--chat-template", "{}/none.jinja"), seen=""),
        Case("a template's name", (SCENE, *last, "--chat-template", EVIL)),
        Case("a server's reason", ("{reason}", *last, "--allow-local-urls")),
        Case("where a server leads", ("{leads}", *last, "--allow-local-urls"), seen=""),
        Case("a server's page", ("{page}", *last, "--allow-local-urls"), seen=""),
        Case("a number", (SCENE, EVIL, "--max-tokens", EVIL), seen=""),
        Case("a size", (SCENE, *last, "--detail", EVIL)),
        Case("VLM_CTX", (SCENE, EVIL), {"VLM_CTX": EVIL}),
        Case("settings", (SCENE, EVIL), {"XDG_CONFIG_HOME": "{}/settings"}),
        Case("settings that are none", (SCENE, EVIL), {"XDG_CONFIG_HOME": "{}/no-settings"}, seen=""),
        Case("a listing", (SCENE, EVIL, "-m", "o/names:Q4_0"), seen=""),
        Case("how the last one died", (SCENE, *last), {"XDG_STATE_HOME": "{}/died"}),
    ]


def of_ask():
    """Ways that only lists, records and questions have; any verb of those that ask would do."""
    head = ("-m", "demo", *HERE)
    return [
        Case("a folder", ("-m", "{}/evil", "{}/pics", EVIL, *HERE)),
        Case("a folder, in a process of its own", ("-m", "{}/evil", "{}/pics", EVIL), kinds=("tty",)),
        Case("many questions", ("-m", "{}/evil", "--questions", "{}/questions.txt", SCENE, *HERE), seen="tty"),
        Case("a list", (*head, "--files-from", "{}/names.txt", EVIL)),
        Case("sidecars", (*head, "{}/pics", EVIL, "--sidecar", "txt")),
        Case("the live line", (*head, "{}/pics", EVIL, "--output", "{}/new-{new}.jsonl")),
        Case("the live line of a journal", (*head, "{}/pics", EVIL, "--journal", "{}/new-{new}.jsonl")),
        Case("a record", (*head, SCENE, EVIL, "--output", "{}/records.jsonl"), seen=""),
        Case("a place for records", (*head, SCENE, EVIL, "--output", f"{{}}/no/{NAME}.jsonl")),
        Case("sampling", (*head, SCENE, EVIL, "-o", f"{EVIL}=1")),
        Case("a value", (*head, SCENE, EVIL, "-o", f"seed={EVIL}")),
        Case("a question's template", (*head, "-t", EVIL, SCENE)),
        Case("a slot", (*head, "-t", "receipt", "--param", f"{EVIL}=1", SCENE)),
        Case("a file of a template", (*head, "-t", f"{{}}/settings/vlm/templates/{NAME}.toml", SCENE)),
        Case("what is told before", (*head, SCENE, "what?", "-s", EVIL), seen=""),
        Case("what is thought", ("-m", "{}/evil", SCENE, "what?", "--think", "--stats", *HERE), seen="tty"),
        Case("a data address", (*head, f"data:image/png;base64,{EVIL}", "what?")),
    ]


CASES = {verb: asking(verb) for verb in ASKING}
CASES["ask"] += also("ask") + of_ask()
CASES["explain"] += [*also("explain"), Case("a page", ("-m", "demo", SCENE, EVIL, "--html", f"{{}}/{NAME}.html"))]
CASES |= {
    verb: [
        Case(
            "its answer",
            (*before, f"{{}}/{NAME}a.png", *words, "-m", "demo", *HERE),
            seen="tty" if verb != "extract" else "",
        ),
        Case("a picture that is none", (*before, f"{{}}/{NAME}b.png", *words, "-m", "demo", *HERE)),
        Case("a model's name", (*before, SCENE, *words, "-m", EVIL)),
        Case("an option", (*before, SCENE, *words, f"--{EVIL}")),
    ]
    for verb, before, words in (
        ("match", ("a red circle",), ("--threshold", "0")),
        ("classify", (), ("--labels", f"{EVIL.replace(',', ' ')},a red circle", "--per-token", "--top", "2")),
        ("decide", (), ("-q", "is there a circle?")),
        ("extract", (), ("--schema", '{"type": "object", "properties": {"shape": {"const": "x"}}}')),
        ("detect", (), ("each shape",)),
        ("point", (), ("each shape",)),
    )
}
CASES |= {
    "chat": [
        Case("pictures", (f"{{}}/{NAME}b.png", "-m", "demo"), kinds=("pipe",)),  # test_chat_in_a_terminal has the other
        Case("a model's name", ("-m", EVIL)),
        Case("an option", (f"--{EVIL}",)),
    ],
    "serve": [
        Case("a model's name", ("--models", EVIL, "--port", "0")),
        Case("an address", ("--host", EVIL, "--no-auth", "--models", "demo")),
        Case("a time", ("--keep-alive", EVIL, "--models", "demo")),
        Case("an option", (f"--{EVIL}",)),
    ],
    "mcp": [
        Case("a folder", ("--allow", EVIL, "-m", "demo")),
        Case("a time", ("--keep-alive", EVIL, "-m", "demo")),
        Case("an option", (f"--{EVIL}",)),
    ],
    "pull": [
        Case("a name", (EVIL,)),
        Case("files' names", ("o/names",)),
        Case("a quantisation", ("o/names:Q4_0",), seen=""),
        Case("a licence", ("o/licence",), typed="n\n"),
        Case("a projector's name", ("o/names", "-y", "--mmproj", EVIL)),
        Case("an answer", ("o/names",), fault=Fault(-1, listing=True, text=json.dumps({"error": EVIL})), seen=""),
        Case("a whole listing", ("o/names",), fault=Fault(-1, listing=True, text=json.dumps(
            {"id": EVIL, "sha": EVIL, "siblings": [{"rfilename": EVIL}]})), seen=""),
        Case("a code", ("o/names",), fault=Fault(-1, listing=True, status=403, error_code=f"Gated{MARK}"), seen=""),
    ],
    "ls": [
        Case("what is here", seen=""),
        Case("VLM_MODEL", env={"VLM_MODEL": EVIL}, seen=""),
        Case("a word", (EVIL,)),
    ],
    "show": [
        Case("a model", ("{}/evil",), seen="tty"),
        Case("a model of the cache", ("o/here",), seen="tty"),
        Case("pictures", ("-m", "{}/evil", f"{{}}/{NAME}a.png", f"{{}}/{NAME}b.png")),
        Case("pixels", (SCENE, "-m", "demo", "--preview", f"{{}}/{NAME}p.png")),
        Case("a name", (EVIL,)),
    ],
    "models": [Case("a word", (EVIL,)), Case("VLM_MODEL", env={"VLM_MODEL": EVIL}, seen="")],
    "default": [
        Case("a name", (EVIL,)),
        Case("VLM_MODEL", env={"VLM_MODEL": EVIL}, seen="tty"),
        Case("the user's", env={"XDG_CONFIG_HOME": "{}/default"}, seen="tty"),
        Case("a folder", (f"{{}}/{NAME}model",), {"XDG_CONFIG_HOME": "{}/fresh"}),
    ],
    "verify": [
        Case("a name", (EVIL,)),
        Case("what is here", seen="tty"),
        Case("a file", (f"{{}}/{NAME}model/m.gguf",)),
    ],
    "rm": [
        Case("a name", (EVIL,)),
        Case("a model", ("o/here:Q8_0",), typed="n\n", seen=""),
        Case("unfinished downloads", ("--unfinished",), seen=""),
    ],
    "doctor": [Case("VLM_MODEL", env={"VLM_MODEL": EVIL}, seen="tty")],
    "cache": [
        Case("where it is", env={"VLM_CACHE_DIR": f"{{}}/{NAME}cache"}, seen="tty"),
        Case("what is no folder", env={"VLM_CACHE_DIR": f"{{}}/{NAME}model/m.gguf"}),
        Case("a word", (EVIL,)),
        Case("an age", ("clear", "--older-than", EVIL)),
    ],
    "templates": [Case("the user's", env={"XDG_CONFIG_HOME": "{}/settings"})],
    "help": [Case("a command", (EVIL,))],
    "version": [Case("alone", seen="")],
}  # fmt: skip


def modes(verb):
    """The ways in which a verb's output can be asked for: those that its options have."""
    options = {name for one in command(verb).params for name in one.opts}
    found = {"--verbose": ("-vv",), "--json": ("--json",), "--format": ("--format", "csv")}
    return [(), *(words for option, words in found.items() if option in options)]


def ways_to_say(verb, case):
    """Every kind of streams with every way of asking for output.

    Caption, describe and ocr take the way of `ask`: of their cases but the first, each has its plain
    output and one other, in turn, so that each way of saying it is met.
    """
    number = CASES[verb].index(case)
    found = modes(verb)
    if verb in ("caption", "describe", "ocr") and number:
        found = [found[0], found[1 + number % (len(found) - 1)]]
    return itertools.product(case.kinds, found)


@dataclass
class World:
    """A folder, a Hub and a server that are evil, and what stands for them in a case; `{new}` is another each time."""

    place: Place
    addresses: dict
    numbers: itertools.count = field(default_factory=itertools.count)

    def filled(self, text):
        text = text.replace("{new}", str(next(self.numbers)))
        for name, address in self.addresses.items():
            text = text.replace(f"{{{name}}}", address)
        return text.replace("{}", str(self.place.folder))

    def run(self, kind, verb, case, more=(), **env):
        self.place.hub.faults[:] = [case.fault] if case.fault else []
        words = [verb, *map(self.filled, case.words), *more]
        env = {key: self.filled(value) for key, value in case.env.items()} | env
        whole = {key: value for key, value in self.place.environment().items() if key.isupper()} | env
        return on(kind, words, whole, self.place.folder, case.typed)


def models(folder):
    """Pairs that differ from the demo's in one text each."""
    words, eyes = demo.FILES.model, demo.FILES.projector
    edits = {
        "evil": {"general.name": EVIL, "general.license": EVIL},
        "architecture": {"general.architecture": EVIL},
        "tokeniser": {"tokenizer.ggml.model": EVIL, "tokenizer.ggml.pre": EVIL},
        "projector": {"clip.projector_type": EVIL},
        f"{NAME}model": {},
    }
    for name, edit in edits.items():
        (at := folder / name).mkdir()

        def changed(key, text, edit=edit, name=name):
            said = name == "evil" and key == "tokenizer.ggml.tokens" and text == "Ġred"
            return "Ġ" + as_token(EVIL) if said else edit.get(key, text)

        reworded(words, at / "m.gguf", changed)
        reworded(
            eyes, at / "mmproj-m.gguf", lambda key, text, edit=edit: edit.get(key, text) if key[:4] == "clip" else text
        )


def pictures(folder):
    """Names, texts inside of pictures, lists and records."""
    scene = Image.open(SCENE).convert("RGB")
    exif = scene.getexif()
    exif.update({0x010E: EVIL, 0x013B: EVIL, 0x8298: EVIL})
    told = PngImagePlugin.PngInfo()
    told.add_itxt("Description", EVIL)
    scene.save(folder / f"{NAME}a.png", pnginfo=told)
    (folder / f"{NAME}b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + EVIL.encode())
    (folder / f"{NAME}c.png").symlink_to(f"{NAME}nowhere")
    (folder / f"{NAME}d.pdf").write_bytes(b"%PDF-1.7\n1 0 obj << /Title (" + EVIL.encode() + b") >>")
    scene.save(folder / "exif.jpg", exif=exif, icc_profile=EVIL.encode(), comment=EVIL.encode())
    scene.save(folder / f"{NAME}e.png", icc_profile=b"\0" * 64 + EVIL.encode())
    (pics := folder / "pics").mkdir()
    scene.save(pics / f"{NAME}a.png")
    (pics / f"{NAME}a.txt").write_text(EVIL)
    (pics / f"{NAME}b.png").write_bytes(EVIL.encode())
    (inner := pics / NAME).mkdir()
    scene.resize((320, 240)).save(inner / f"{NAME}.png")
    (folder / "questions.txt").write_text(f"what is this?\n{EVIL.splitlines()[0]}\n", "utf-8")
    (folder / "names.txt").write_text(f"{NAME}a.png\n{NAME}none.png\n", "utf-8", newline="\n")
    record = {"v": 1, "sources": [EVIL], "question": EVIL, "model": EVIL, "answer": EVIL}
    (folder / "records.jsonl").write_text(json.dumps(record) + "\n" + EVIL + "\n", "utf-8")
    (folder / "complains.jinja").write_text(f"{{{{ raise_exception({EVIL!r}) }}}}", "utf-8")
    (folder / "none.jinja").write_text(f"{{% {EVIL} %}}", "utf-8")


def of_the_user(folder):
    """Settings, templates, and what a command has left that died."""
    for name, text in (
        ("settings", f"{json.dumps(EVIL)} = 1\n"), ("no-settings", f"model = {EVIL}\n"),
        ("default", f"model = {json.dumps(EVIL)}\n"),
    ):  # fmt: skip
        (at := folder / name / "vlm").mkdir(parents=True)
        (at / "settings.toml").write_text(text, "utf-8", newline="\n")
    (at := folder / "settings" / "vlm" / "templates").mkdir()
    (at / f"{NAME}.toml").write_text(f"prompt = {json.dumps('$' + EVIL)}\n", "utf-8", newline="\n")
    (at / "good.toml").write_text(f"prompt = 'what?'\ndescription = {json.dumps(EVIL)}\n", "utf-8", newline="\n")
    (folder / "died" / "vlm" / "running").mkdir(parents=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    models(folder)
    pictures(folder)
    of_the_user(folder)
    evil = EVIL.encode()
    answers = {
        "reason": b"HTTP/1.1 404 " + evil.replace(b"\r", b"").replace(b"\n", b"") + b"\r\nContent-Length: 0\r\n\r\n",
        "leads": reply(status="302 Found", Location=f"ftp://x/{NAME}".replace("\r", "")),
        "page": reply(evil, Content_Type=f"text/html; {NAME}".replace("\r", "")),
    }
    pair = [folder / "evil" / name for name in ("m.gguf", "mmproj-m.gguf")]
    with Hub() as hub, serving(answers["reason"]) as a, serving(answers["leads"]) as b, serving(answers["page"]) as c:
        hub.add("o/names", dict(zip((f"{NAME}-Q8_0.gguf", f"mmproj-{NAME}-F16.gguf"), pair, strict=True)), EVIL)
        hub.add("o/licence", dict(zip(("m-Q8_0.gguf", "mmproj-m-F16.gguf"), pair, strict=True)), EVIL)
        place = Place(hub, folder)
        keep_speed(folder / "state" / "vlm")
        snapshot = place.cache / "models--o--here" / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        for name, file in zip((f"{NAME}-Q8_0.gguf", f"mmproj-{NAME}-F16.gguf"), pair, strict=True):
            (snapshot / name).hardlink_to(file)
        (place.cache / f"models--o--{NAME}" / "snapshots" / ("0" * 40)).mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
        ports = zip(answers, (a, b, c), strict=True)
        yield World(place, {name: f"http://127.0.0.1:{one.port}/{NAME}.png" for name, one in ports})


def test_every_verb_is_walked():
    assert set(CASES) == set(VERBS)
    assert all(len({one.name for one in cases}) == len(cases) for cases in CASES.values())


@pytest.mark.parametrize(("verb", "case"), [pytest.param(verb, one, id=f"{verb}: {one.name}")
                                            for verb, cases in CASES.items() for one in cases])  # fmt: skip
def test_nothing_but_ours_reaches_a_terminal(world, verb, case, pytestconfig):
    """Without --all, each case has every second of its ways, the first or the second of them by turns."""
    ways = list(ways_to_say(verb, case))
    for kind, more in ways if pytestconfig.getoption("--all") else ways[CASES[verb].index(case) % 2 :: 2]:
        if case.name == "how the last one died":
            text = json.dumps({"model": EVIL, "pictures": [EVIL]}) + f"\nFatal Python error: {EVIL}\n"
            (world.place.folder / "died" / "vlm" / "running" / "0.txt").write_text(text, "utf-8")
        check(world.run(kind, verb, case, more), kind, case if not more else None)


@pytest.mark.sample(3)
@pytest.mark.parametrize("more", [("-v",), ("-v", "--stats"), ("--format", "tsv"), ("--plain",)])
@pytest.mark.parametrize("name", ["its answer", "a folder", "many questions", "a picture that is none"])
def test_nor_by_any_other_way_of_saying_it(world, name, more):
    (case,) = (one for one in CASES["ask"] if one.name == name)
    for kind in case.kinds:
        check(world.run(kind, "ask", case, more, VLM_DEBUG="1"), kind)


@pytest.mark.parametrize("kind", ["out", "err"])
@pytest.mark.parametrize("name", ["its answer", "a folder", "a list"])
def test_nor_where_one_stream_alone_leads_there(world, name, kind):
    (case,) = (one for one in CASES["ask"] if one.name == name)
    out, err, _ = world.run(kind, "ask", case, ("-v",))
    assert not trespassers(err, codes=kind == "err")
    if kind == "out":
        assert arrived(out)
        assert not trespassers(out)
    else:
        assert name == "a list" or any(piece.encode() in out for piece in PIECES.values())  # it is data


def test_the_live_line_shows_names(world):
    """With its frames taken apart: what is evil is on it, and not only on the lines that stay."""
    (case,) = (one for one in CASES["ask"] if one.name == "the live line")
    _, raw, _ = world.run("tty", "ask", case)
    frames = [one for one in raw.decode().split("\x1b[2K") if re.match(r"\d of 3\b.*: ", one)]
    assert any(".png" in one and "\\u202e" in one for one in frames), raw  # of a long name, the end
    assert not trespassers(raw)


def check(said, kind, case=None):
    """Look at what has reached a terminal, or stderr; and that what is evil is there, where the case says so."""
    _, err, _ = said
    assert not trespassers(err, codes=kind == "tty")
    assert kind != "tty" or not title_after(err)
    if case is not None and ("tty" if kind == "tty" else "err") in case.seen:
        assert arrived(err), (kind, err)
