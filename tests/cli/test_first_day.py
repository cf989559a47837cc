"""What people do with pipes, lists and files on their first day, and were left alone with."""

import json
import shutil
import subprocess

import pytest

from tests.support.program import SCENE, VLM, vlm

ASK = ("ask", "-m", "demo")


@pytest.fixture
def here(tmp_path):
    (tmp_path / "pics").mkdir()
    for name in ("a.png", "b.png", "pics/c.png"):
        shutil.copy(SCENE, tmp_path / name)
    return tmp_path


def failed(done, code, *says):
    assert (done.returncode, done.stdout) == (code, "")
    for one in says:
        assert one in done.stderr


def test_a_template_that_takes_no_question_says_so_of_a_word(here):
    for words in (("-t", "tags", "a.png", "what is this?"), ("a.png", "describe all", "-t", "tags")):
        done = vlm(*ASK, *words, cwd=here)
        failed(done, 2, "vlm: the template tags takes no question\n")
        assert f'leave out "{words[-1] if words[-1] != "tags" else words[1]}"' in done.stderr


def test_questions_come_from_stdin(here):
    done = vlm(*ASK, "a.png", "--questions", "-", "--json", cwd=here, input=b"how many shapes?\n\nis there a star?\n")
    asked = {one["question"]: one["answer"] for one in map(json.loads, done.stdout.splitlines())}
    assert asked == {"how many shapes?": "There are 2 shapes.", "is there a star?": "No."}
    failed(vlm(*ASK, "-", "--questions", "-", cwd=here, input=b"x"), 2, "stdin can be read only once")
    done = vlm(*ASK, "a.png", cwd=here, input=b"how many shapes?\nis there a star?\n")
    failed(done, 2, "to ask each of them: --questions -; to ask them as one question: -q -")


def test_a_picture_in_a_pipe_and_a_list_in_a_pipe_have_hints(here):
    data = (here / "a.png").read_bytes()
    failed(vlm(*ASK, "what is this?", cwd=here, input=data), 2, "- stands for one that is piped in")
    assert "red circle" in vlm(*ASK, "-", "what is this?", cwd=here, input=data).stdout
    done = vlm("caption", "-m", "demo", "-", cwd=here, input=b"a.png\nb.png\n")
    failed(done, 2, "what is on stdin is text", "for a list of names on stdin, use --files-from - instead of -")


def test_a_list_of_names_from_elsewhere_is_one_error(here):
    listed = vlm(*ASK, "--files-from", "-", "what is this?", cwd=here, input=b"c.png\nd.png\n")
    failed(listed, 1, "-: none of its 2 names is a file here", "names in a list are looked up from the current folder")
    done = vlm(*ASK, "--files-from", "-", "what is this?", cwd=here / "pics", input=b"c.png\nd.png\n")
    assert done.returncode == 3
    assert done.stdout.startswith("c.png\t")


@pytest.mark.parametrize("verb", ["caption", "describe", "ocr"])
def test_what_writes_sentences_writes_no_keywords(here, verb):
    done = vlm(verb, "-m", "demo", "a.png", "--sidecar", "xmp", "--keywords", cwd=here)
    failed(done, 2, f"vlm {verb} does not answer in keywords", "vlm ask -t tags PICTURES --sidecar xmp --keywords")


def test_a_file_behind_o_is_for_answers(here):
    done = vlm(*ASK, "a.png", "what is this?", "-o", "out.jsonl", cwd=here)
    failed(
        done, 2, "there is no sampling option out.jsonl", "to save answers: --output out.jsonl; -o takes temperature,"
    )


def test_texts_that_stay_are_counted(here):
    (here / "a.txt").write_text("mine\n")
    done = vlm("caption", "-m", "demo", "a.png", "b.png", "--output", "o.jsonl", "--sidecar", "txt", cwd=here)
    assert "wrote 1 text, kept 1 text that was there" in done.stderr
    assert (here / "a.txt").read_text() == "mine\n"
    done = vlm("caption", "-m", "demo", "pics/c.png", "--sidecar", "txt", cwd=here)
    assert done.stderr == "vlm: wrote 1 text\n"


def test_a_model_is_suggested_by_the_beginning_of_its_name():
    assert "llava" in vlm("pull", "llava").stderr.partition("\n")[2]


def test_what_is_not_there_cannot_be_removed_nor_is_it_offered(here):
    done = vlm("rm", "nosuch", cwd=here, env={"HF_HUB_CACHE": str(here / "none")})
    failed(done, 1, "nosuch: not in the cache\n     no model has been downloaded yet\n")


def test_a_note_about_a_file_that_has_content_is_for_several_pictures(here):
    def said(*pictures):
        with (here / "notes.txt").open("a") as notes:
            notes.write("mine\n")
            notes.flush()
            words = [VLM, *ASK, *pictures, "--each", "-q", "what is this?", "-q", "how many shapes?"]
            return subprocess.run(words, cwd=here, stdout=notes, stderr=subprocess.PIPE, text=True, check=True).stderr

    assert "everything is asked again" not in said("a.png")
    assert "everything is asked again" in said("a.png", "b.png")
