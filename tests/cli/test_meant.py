"""A command that is mistyped says which was meant, and that one works as it stands; nothing else is suggested."""

import shutil

import pytest
from PIL import Image

from tests.support.hints import command_in, follow, message_and_hint
from tests.support.program import SCENE, vlm
from vlmcli.cli import app, meant

DEMO = {"VLM_MODEL": "demo"}
SEEN = "a red circle and a blue square"


@pytest.fixture
def here(tmp_path):
    """A folder with pictures."""
    for name in ("two.jpg", "it.png", "my photo.png", "-dash.png"):
        shutil.copy(SCENE, tmp_path / name)
    (tmp_path / "pics").mkdir()
    shutil.copy(SCENE, tmp_path / "pics" / "a.png")
    (tmp_path / "2023 Ausflug").mkdir()
    shutil.copy(SCENE, tmp_path / "2023 Ausflug" / "Mein Bild 1.jpg")
    return tmp_path


# what is typed; the error; the command that is suggested; an end of its answer
ASKED = {
    "verb forgotten": ('two.jpg|what is this?', "unknown command two.jpg", 'ask two.jpg "what is this?"'),
    "question first": ('what is this?|two.jpg', 'unknown command "what is this?"', 'ask two.jpg "what is this?"'),
    "only a picture": ("two.jpg", "unknown command two.jpg", 'ask two.jpg "what is this?"'),
    "no verb, no quotes": ("two.jpg|what|is|this", "unknown command two.jpg", 'ask two.jpg "what is this"'),
    "words first": ("what|is|this|two.jpg", "unknown command what", 'ask two.jpg "what is this"'),
    "a folder": ("pics|what is this?", "unknown command pics", 'ask pics "what is this?"'),
    "spaces": ("my photo.png|what is this?", 'unknown command "my photo.png"', 'ask "my photo.png" "what is this?"'),
    "option first": ("-m|demo|two.jpg|what is this?", "unknown option -m", 'ask -m demo two.jpg "what is this?"'),
    "verb later": ("-m|demo|ask|two.jpg|what is this?", "unknown option -m", 'ask -m demo two.jpg "what is this?"'),
    "verb mistyped": ("aks|two.jpg|what is this?", "unknown command aks", 'ask two.jpg "what is this?"'),
    "verb in capitals": ("ASK|two.jpg|what is this?", "unknown command ASK", 'ask two.jpg "what is this?"'),
    "unquoted": ("ask|two.jpg|what|is|this", "what: there is no such file", 'ask two.jpg "what is this"'),
    "unquoted, before the picture": (
        "ask|what|is|this|two.jpg", "two.jpg: the last argument is the question, but", 'ask two.jpg "what is this"',
    ),
    "before the picture": (
        "ask|what is this|two.jpg", "two.jpg: the last argument is the question, but", 'ask two.jpg "what is this"',
    ),
    "unquoted, options": (
        "ask|-m|demo|two.jpg|what|is|this?", "what: there is no such file", 'ask -m demo two.jpg "what is this?"',
    ),
    "unquoted, editor's quotes": ("ask|two.jpg|\u201cwhat|is|this\u201d", "no such file", 'ask two.jpg "what is this"'),
    "unquoted -q": ("ask|-q|what|is|this|two.jpg", "is: there is no such file", 'ask -q "what is this" two.jpg'),
    "unquoted -q last": ("ask|two.jpg|-q|what|is|this", "is: there is no such file", 'ask two.jpg -q "what is this"'),
    "of caption": ("caption|two.jpg|what is this?", 'there is no file "what is this?"', 'ask two.jpg "what is this?"'),
    "of caption, with options": (
        "caption|-m|demo|two.jpg|what is this?", "vlm caption takes no question", 'ask -m demo two.jpg "what is this?"',
    ),
    "of describe": ("describe|two.jpg|what is this?", "vlm describe takes no question", 'ask two.jpg "what is this?"'),
    "of ocr": ("ocr|two.jpg|what|is|this", 'there is no file "what is this"', 'ask two.jpg "what is this"'),
    "-m": ("ask|-m|two.jpg|what is this?", "-m two.jpg: a picture, where a model is", 'ask two.jpg "what is this?"'),
    "-mFILE": ("ask|-mtwo.jpg|what is this?", "-m two.jpg: a picture, where a", 'ask two.jpg "what is this?"'),
    "--model=": ("ask|--model=two.jpg|what is this?", "-m two.jpg: a picture", 'ask two.jpg "what is this?"'),
    "-m of a file that is not there": ("ask|-m|none.jpg|it.png|what is this?", "-m none.jpg: a picture", None),
    "option": (
        "ask|two.jpg|what is this?|--max-token|9", "unknown option --max-token",
        'ask two.jpg "what is this?" --max-tokens 9',
    ),
    "option with =": (
        "ask|two.jpg|what is this?|--max_tokens=9", "unknown option --max_tokens",
        'ask two.jpg "what is this?" --max-tokens=9',
    ),
    "run": ("run|two.jpg", "unknown command run", 'ask two.jpg "what is this?"'),
    "run, with a question": ("run|two.jpg|what|is|this", "unknown command run", 'ask two.jpg "what is this"'),
    "two questions": (
        "ask|two.jpg|what is this?|and that?", "the command has 2 questions",
        'ask two.jpg -q "what is this?" -q "and that?"',
    ),
    "a question and -q": (
        "ask|two.jpg|what?|-q|why?", "the command has 2 questions", 'ask two.jpg -q "what?" -q "why?"',
    ),
    "question before the folder": (
        "ask|what is this?|pics", "pics: the last argument is the question, but", 'ask pics "what is this?"',
    ),
    "one dash": (
        "ask|two.jpg|what is this?|-max-tokens|9", "unknown option -max-tokens",
        'ask two.jpg "what is this?" --max-tokens 9',
    ),
    "long dash": (
        "ask|two.jpg|what is this?|\u2013m|demo", "\u2013m begins with a long dash; the option is -m",
        'ask two.jpg "what is this?" -m demo',
    ),
    "long dash for two": (
        "ask|two.jpg|what is this?|\u2014max-tokens=9", "begins with a long dash; the option is --max-tokens",
        'ask two.jpg "what is this?" --max-tokens=9',
    ),
    "begun": (
        "ask|two.jpg|what is this?|--temp|0", "unknown option --temp", 'ask two.jpg "what is this?" --temperature 0',
    ),
    "name with spaces": (
        "ask|my|photo.png|what is this?", "my: there is no such file", 'ask "my photo.png" "what is this?"',
    ),
    "name with spaces, folder": (
        "ask|2023 Ausflug/Mein|Bild|1.jpg|what is this?", "Mein: there is no such file",
        'ask "2023 Ausflug/Mein Bild 1.jpg" "what is this?"',
    ),
    "name with spaces, all unquoted": (
        "ask|two.jpg|2023|Ausflug/Mein|Bild|1.jpg", "2023: there is no such file",
        'ask two.jpg "2023 Ausflug/Mein Bild 1.jpg" "what is this?"',
    ),
    "name with spaces of caption": (
        "caption|-m|demo|my|photo.png", "my: there is no such file", 'caption -m demo "my photo.png"',
    ),
    "file with a dash": ("ask|-dash.png|what is this?", "unknown option -d", 'ask ./-dash.png "what is this?"'),
}  # fmt: skip


@pytest.mark.parametrize("kind", ASKED)
def test_the_command_that_was_meant_is_named_and_answers(here, kind):
    words, says, suggested = ASKED[kind]
    done = vlm(*words.split("|"), cwd=here, env=DEMO)
    message, hint = message_and_hint(done)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in message
    if suggested is None:
        return
    assert hint.endswith(f"vlm {suggested}")
    answered = follow(done, cwd=here, env=DEMO)
    assert (answered.returncode, SEEN in answered.stdout.lower()) == (0, True), answered.stderr


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        (["captoin", "two.jpg"], "caption two.jpg"),
        (["decribe", "two.jpg"], "describe two.jpg"),
        (["template"], "templates"),
        (["run", "llava"], "chat -m llava"),
        (["list"], "ls"),
        (["doctr"], "doctor"),
        (["help", "captoin"], "caption"),
        (["--versoin"], "--version"),
        (["caption", "two.jpg", "--jsn"], "caption two.jpg --json"),
        (["caption", "pics", "--ouput", "o.jsonl"], "caption pics --output o.jsonl"),
        (["ls", "--jsno"], "ls --json"),
        (["caption", "two.jpg", "--max", "9"], "caption two.jpg --max-tokens 9"),
        (["serve", "demo"], "serve -m demo"),
        (["serve", "demo", "llava", "--port", "0"], "serve --port 0 -m demo,llava"),
        (["serve", "--model", "demo"], "serve --models demo"),
    ],
)
def test_a_verb_or_an_option_that_is_nearly_one(here, words, suggested):
    done = vlm(*words, cwd=here, env=DEMO)
    assert (done.returncode, done.stdout) == (2, "")
    assert message_and_hint(done)[1] == f"did you mean: vlm {suggested}"
    if suggested not in ("doctor", "caption", "chat -m llava") and words[0] != "serve":  # which would go on
        assert follow(done, cwd=here, env=DEMO).returncode == 0


def test_a_question_behind_serve_is_no_model(here):
    done = vlm("serve", "what is this?", cwd=here, env=DEMO)
    assert (done.returncode, message_and_hint(done)[1]) == (2, "vlm serve -h shows how to use it")


@pytest.mark.parametrize("behind", [[], ["-m", "demo"]])
def test_a_question_that_begins_with_a_dash(here, behind):
    done = vlm("ask", "two.jpg", "-5 or 5?", *behind, cwd=here, env=DEMO)
    message, hint = message_and_hint(done)
    assert (done.returncode, message) == (2, "unknown option -5")
    assert command_in(hint) == ["ask", "two.jpg", *behind, "--", "-5 or 5?"]
    assert follow(done, cwd=here, env=DEMO).returncode == 0


FRIENDS = {
    "nothing like a verb": ["frobnicate"],
    "a word that looks like chat": ["what"],
    "nothing like an option": ["caption", "two.jpg", "--zzzz"],
    "a letter": ["-x"],
    "--quiet, which ask does not have": ["ask", "two.jpg", "what is this?", "--quiet"],
    "the beginning of two options": ["ask", "two.jpg", "what is this?", "--temp", "alt-text"],
    "a file that is not there": ["ask", "gone", "describe"],
    "of two names one is not there": ["ask", "two.jpg", "tow.png", "what is this?"],
    "a name that is nearly a file's": ["ask", "it.png", "my-photo", "describe"],
    "a missing folder of caption": ["caption", "holidays"],
    "a name with a space that is nearly a file's": ["caption", "my foto.png"],
}


@pytest.mark.parametrize("kind", FRIENDS)
def test_no_false_friends(here, kind):
    done = vlm(*FRIENDS[kind], cwd=here, env=DEMO)
    assert done.returncode in (1, 2)
    assert "did you mean: vlm" not in done.stderr
    assert "quotes" not in done.stderr and "question:" not in done.stderr


def test_a_question_in_quotes_about_a_missing_file_is_no_unquoted_one(here):
    done = vlm("ask", "tow.jpg", "what is this?", cwd=here, env=DEMO)
    assert message_and_hint(done) == ("tow.jpg: there is no such file", "did you mean two.jpg?")
    assert done.returncode == 1


def test_an_address_without_https(here):
    done = vlm("ask", "example.com/x.jpg", "what is this?", cwd=here, env=DEMO)
    message, hint = message_and_hint(done)
    assert (done.returncode, message) == (1, "example.com/x.jpg: there is no such file")
    assert hint == "check the path, or write https:// before a web address: https://example.com/x.jpg"
    for name in ("gone/x.jpg", "../x.y/z", "x.jpg"):
        assert "https" not in vlm("ask", name, "what is this?", cwd=here, env=DEMO).stderr


def test_a_frame_and_a_question_are_no_name_with_spaces(here):
    Image.new("RGB", (64, 48)).save(here / "two.gif", save_all=True, append_images=[Image.new("RGB", (64, 48), "red")])
    done = vlm("ask", "two.gif#2", "what is this?", cwd=here, env=DEMO)
    assert (done.returncode, "quotes" in done.stderr) == (0, False)


def test_a_file_that_is_called_like_a_word_is_a_picture(here):
    shutil.copy(SCENE, here / "what")
    done = vlm("ask", "two.jpg", "what", "equal?", cwd=here, env=DEMO)
    assert "quotes" not in done.stderr


def test_every_name_of_other_programs_leads_to_a_verb():
    assert set(meant.OTHER_NAMES.values()) <= set(app.VERBS)
    assert not set(meant.OTHER_NAMES) & set(app.VERBS)


# ---------------------------------------------------------------------------------------------- models and templates


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["ask", "-m", "dmeo", "two.jpg", "what is this?"], ["dmeo: there is no such model", "did you mean -m demo?"]),
        (["ask", "-m", "smolvlm2-50m", "two.jpg", "?"], ["there is no such model", "mean -m smolvlm2-500m"]),
        (["ask", "-t", "alttext", "two.jpg"], ["alttext: there is no such template", "did you mean alt-text?"]),
        (["ask", "-t", "Tags", "two.jpg"], ["Tags: there is no such template", "did you mean tags?"]),
        (["pull", "smolvlm2-50m"], ["smolvlm2-500m"]),
        (["ask", "-m", "./modle.gguf", "two.jpg", "?"], ["there is no such file", "did you mean -m model.gguf?"]),
    ],
)
def test_the_nearest_model_or_template_is_named(here, words, names):
    (here / "model.gguf").touch()
    done = vlm(*words, cwd=here)
    assert done.returncode in (1, 2)
    said = message_and_hint(done)
    assert names[0] in said[0] or len(names) == 1
    assert names[-1].lower() in said[1].lower()


def test_the_model_of_a_command_without_m_is_named_once_and_without_it(here):
    message, hint = message_and_hint(vlm("default", "demoo", cwd=here))
    assert (message, hint) == ("demoo: there is no such model, file or folder", "did you mean demo?")
    hint = message_and_hint(vlm("default", "zzzz", cwd=here))[1]
    assert (hint.endswith("or try vlm default demo"), "-m" in hint) == (True, False)


def test_a_picture_in_the_settings_is_no_model(here):
    done = vlm("caption", "two.jpg", cwd=here, env={"VLM_MODEL": "it.png"})
    assert (done.returncode, message_and_hint(done)[0]) == (1, "it.png: a picture, where a model is expected")


def test_several_names_with_spaces_are_put_in_quotes_together(here):
    shutil.copy(SCENE, here / "my other photo.png")
    done = vlm("caption", "my", "photo.png", "my", "other", "photo.png", cwd=here, env=DEMO)
    assert done.returncode == 2
    assert message_and_hint(done)[1] == 'put the names in quotes: vlm caption "my photo.png" "my other photo.png"'
    assert follow(done, cwd=here, env=DEMO).stdout.count("red circle") == 2
