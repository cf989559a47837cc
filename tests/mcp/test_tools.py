"""What each tool answers about drawn scenes, and what each says where something is wrong."""

import base64
import io
import json
from contextlib import ExitStack

import pytest
from PIL import Image, ImageDraw

from tests.mcp import live
from tests.server.live import one_shape, png, uri
from tests.support.program import SCENE, vlm
from vlmcli.mcp.tools import TOOLS


@pytest.fixture(scope="module")
def word(folder):
    """A picture with a word in it."""
    path = folder / "word.png"
    done = Image.new("RGB", (320, 240), "white")
    done.save(path)
    return path


def answer_of(*words):
    """What the command line answers."""
    done = vlm(*words, "-m", "demo", "--in-process")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_tools_are_listed_with_schemas_that_take_a_region(client):
    listed = client.portal.call(client.session.list_tools).tools
    names = ["ask_image", "describe_image", "read_text", "locate", "compare_images", "decide"]
    assert [tool.name for tool in listed] == names
    for tool in listed:
        assert "region" in tool.input_schema["properties"]
        assert tool.description
        assert tool.annotations.read_only_hint
    assert len(json.dumps(TOOLS)) < 7000  # each conversation pays for them


def test_a_question_has_the_answer_of_the_command_line(client):
    for question in ("What is on the right?", "How many shapes are there?", "What color is the circle?"):
        assert client.text("ask_image", image=SCENE, question=question) == answer_of("ask", SCENE, question)
    assert client.text("ask_image", image=SCENE, question="What is on the right?") == "A blue square."


@pytest.mark.parametrize("number", range(6))
def test_drawn_scenes_are_described_rightly(client, number):
    image, name = one_shape(number)
    assert name in client.text("ask_image", image=uri(png(image)), question="What is in this picture?")


def test_a_description_is_that_of_the_command_line(client):
    assert client.text("describe_image", image=SCENE) == answer_of("describe", SCENE, "--length", "short")
    assert client.text("describe_image", image=SCENE, length="normal") == answer_of("describe", SCENE)
    focus = client.text("describe_image", image=SCENE, focus="the circle")
    assert focus == answer_of("describe", SCENE, "--focus", "the circle")
    assert "red circle" in client.text("describe_image", image=SCENE, length="long")


def test_text_is_read(client, folder):
    from random import Random

    from vlmcli.demo import scenes

    scene = next(
        one for number in range(50) if (one := scenes.make(Random(f"mcp-{number}"), size=(320, 320), text=True)).text
    )
    scenes.draw(scene).save(folder / "text.png")
    read = client.text("read_text", image=str(folder / "text.png"))
    assert read == answer_of("ocr", folder / "text.png")
    markdown = client.text("read_text", image=str(folder / "text.png"), format="markdown")
    assert markdown == answer_of("ocr", folder / "text.png", "--layout", "markdown")


def test_things_are_located_as_by_the_command_line(client):
    found = client.value("locate", image=SCENE, what="each shape")
    (record,) = map(json.loads, answer_of("detect", SCENE, "each shape", "--json").splitlines())
    assert [(one["label"], one["box"]) for one in found["places"]] == [
        (one["label"], one["box"]) for one in record["places"]
    ]
    assert found["size"] == record["size"] == [640, 480]
    assert [one["label"] for one in found["places"]] == ["red circle", "blue square"]


def test_what_was_located_is_cut_out(client):
    result = client.call("locate", image=SCENE, what="each shape", crop=True)
    crops = [part for part in result.content if part.type == "image"]
    assert [crop.mime_type for crop in crops] == ["image/png"] * 2
    for crop, place, colour in zip(crops, result.structured_content["places"], (0, 2), strict=True):
        image = Image.open(io.BytesIO(base64.b64decode(crop.data)))
        left, top, right, bottom = place["box"]
        assert image.size == (right - left, bottom - top)
        middle = image.getpixel((image.width // 2, image.height // 2))
        assert max(range(3), key=middle.__getitem__) == colour
    assert not [part for part in client.call("locate", image=SCENE, what="each shape").content if part.type == "image"]


def test_boxes_of_a_part_are_in_pixels_of_the_whole_picture(client):
    whole = client.value("locate", image=SCENE, what="each shape")["places"][1]["box"]
    found = client.value("locate", image=SCENE, what="each shape", region="320,0,320,480")
    assert found["size"] == [640, 480]
    ((place),) = found["places"]
    assert place["label"] == "blue square"
    assert all(abs(one - other) <= 16 for one, other in zip(place["box"], whole, strict=True))


def test_pictures_are_compared(client, folder):
    before, after = folder / "before.png", folder / "after.png"
    for path, colour in ((before, "red"), (after, "blue")):
        image = Image.new("RGB", (320, 320), "white")
        ImageDraw.Draw(image).ellipse((90, 90, 230, 230), fill=colour)
        image.save(path)
    pair = [str(before), str(after)]
    question = "What is different?"
    said = client.text("compare_images", images=pair, question=question)
    assert said == answer_of("ask", *pair, question)
    assert "blue" in said or "red" in said
    assert client.text("compare_images", images=[pair[0], pair[0]]) != client.text("compare_images", images=pair)


def test_questions_are_decided_as_by_the_command_line(client, folder):
    asked = [
        "Is there a red circle?", "Is there a green star?",
        {"type": "choice", "name": "color", "instructions": "What color is the circle?", "choices": ["red", "green"],
         "form": "The circle is {}."},
    ]  # fmt: skip
    found = client.value("decide", image=SCENE, questions=asked)["answers"]
    assert found[0]["probability"] > 0.9 > 0.1 > found[1]["probability"]
    assert (found[2]["name"], found[2]["choice"]) == ("color", "red")
    (folder / "q.json").write_text(json.dumps(asked), "utf-8")
    record = json.loads(answer_of("decide", SCENE, "--questions", folder / "q.json", "--json"))
    assert [one["probability"] for one in found[:2]] == pytest.approx(
        [one["probability"] for one in record["answers"][:2]], abs=1e-3
    )


@pytest.mark.parametrize(
    ("region", "sees"),
    [
        ("0,0,320,480", "red circle"), ("0.5,0,0.5,1", "blue square"), (" 320, 0, 320, 480 ", "blue square"),
        ("0,0,0.5,1", "red circle"), ("320,0,9999,9999", "blue square"),
    ],
)  # fmt: skip
def test_a_region_is_all_that_is_seen(client, region, sees):
    said = client.text("ask_image", image=SCENE, question="What is in the picture?", region=region)
    assert said.lower().strip(".") == f"a {sees}"


def test_boxes_and_regions_are_in_pixels_of_the_file_also_where_that_is_scaled_down(client, folder):
    Image.open(SCENE).resize((5120, 3840), Image.Resampling.NEAREST).save(folder / "large.png", compress_level=1)
    found = client.value("locate", image="large.png", what="each shape", region="0,0,2560,3840")
    assert found["size"] == [5120, 3840]
    ((place),) = found["places"]
    left, top, right, bottom = (one / 8 for one in place["box"])
    assert place["label"] == "red circle"
    assert max(abs(left - 64), abs(top - 144), abs(right - 243), abs(bottom - 322)) <= 20


def test_an_answer_that_was_cut_says_so(client):
    result = client.call("describe_image", image=SCENE, max_tokens=3)
    assert not result.is_error
    assert result.content[1].text == (
        "The answer was cut after 3 tokens. For the rest, call the tool again with a larger max_tokens."
    )
    assert "cut" not in str(client.call("describe_image", image=SCENE).content)


def test_a_list_of_boxes_that_was_cut_is_an_error(client):
    assert client.error("locate", image=SCENE, what="each shape", max_tokens=5) == (
        f"{SCENE}: the boxes are cut off after 5 tokens. Call the tool again with a larger max_tokens."
    )


def test_the_record_of_an_answer_is_beside_it(client):
    record = client.call("ask_image", image=SCENE, question="What is on the left?").meta["vlm"]
    assert (record["answer"], record["finish_reason"], record["sources"]) == ("A red circle.", "stop", [SCENE])
    assert record["usage"]["picture_tokens"] == 64


def test_a_picture_that_was_seen_is_not_encoded_again(client):
    image = uri(png(one_shape(77)[0]))
    first = client.call("ask_image", image=image, question="What is in this picture?").meta["vlm"]["usage"]
    again = client.call("ask_image", image=image, question="What color is it?").meta["vlm"]["usage"]
    assert (first["encoded"], again["encoded"]) == (1, 0)


def test_the_first_answer_says_what_the_model_cannot_see(tmp_path):
    with live.serving(tmp_path / "log.txt", "--allow", "docs") as client:
        first, second = (client.call("ask_image", image=SCENE, question="What is this?") for _ in range(2))
    assert [part.text for part in first.content[1:]] == [
        "Note: the demo model sees only drawn shapes and short words; it cannot read photographs."
    ]
    assert len(second.content) == 1
    assert (tmp_path / "log.txt").read_text("utf-8") == ""


def test_relative_paths_are_found_in_the_current_folder_and_in_the_allowed_ones(client, folder):
    image, name = one_shape(5)
    image.save(folder / "relative.png")
    for path in ("relative.png", "docs/images/scene.png", "scene.png"):
        assert client.text("ask_image", image=path, question="What is in this picture?")
    assert name in client.text("ask_image", image="relative.png", question="What is in this picture?")


def test_pages_of_a_file(client, folder):
    for name in ("two.pdf", "two.tiff"):
        pages = [one_shape(number)[0] for number in (1, 2)]
        pages[0].save(folder / name, save_all=True, append_images=pages[1:], resolution=72)
        second = client.text("ask_image", image=f"{name}#2", question="What is in this picture?")
        assert one_shape(2)[1] in second
        assert client.call("ask_image", image=f"{name}#3", question="What is in this picture?").is_error
    assert "Choose one: two.pdf#1 to two.pdf#2." in client.error("read_text", image="two.pdf")
    first = client.call("ask_image", image="two.tiff", question="What is in this picture?").content
    assert one_shape(1)[1] in first[0].text
    assert first[1].text == (
        "Note: two.tiff: only the first of its 2 pages is used; to ask about the next: two.tiff#2."
    )


WRONG = [
    ("ask_image", {}, "ask_image: question needs a text. For example question: 'What does the error message say?'."),
    ("ask_image", {"question": "what?"}, "ask_image: image needs a picture. Give its path"),
    ("ask_image", {"question": 7, "image": SCENE}, "question needs a text"),
    ("ask_image", {"question": "x" * 20_001, "image": SCENE}, "has more than 20,000 characters"),
    ("ask_image", {"question": "w", "image": SCENE, "path": "x"}, "no argument 'path'. It takes image, question, reg"),
    ("ask_image", {"question": "w", "image": SCENE, "max_tokens": 0}, "needs a whole number from 1 to 4096"),
    ("ask_image", {"question": "w", "image": SCENE, "max_tokens": "many"}, "needs a whole number from 1 to 4096"),
    ("ask_image", {"question": "w", "image": SCENE, "region": "1,2,3"}, "'1,2,3' is not four numbers. Write 100,50,"),
    ("ask_image", {"question": "w", "image": SCENE, "region": "nan,0,1,1"}, "is not four numbers"),
    ("ask_image", {"question": "w", "image": SCENE, "region": "-5,0,10,10"}, "has a negative number"),
    ("ask_image", {"question": "w", "image": SCENE, "region": "0.5,0,320,480"}, "mixes pixels and fractions"),
    (
        "ask_image",
        {"question": "w", "image": SCENE, "region": "640,0,5,5"},
        "outside of the picture, which has 640x480",
    ),
    ("ask_image", {"question": "w", "image": "no.png"}, "no.png: no such file. Check the path; pictures are read from"),
    ("ask_image", {"question": "w", "image": "data:image/png;base64,AAAA"}, "not a picture: it begins with zeros"),
    ("describe_image", {"image": SCENE, "length": "huge"}, "length is 'huge'. Choose short, normal, long."),
    ("describe_image", {"image": SCENE, "length": "long", "focus": "x"}, "length and focus cannot be used together"),
    ("read_text", {"image": SCENE, "format": "html"}, "format is 'html'. Choose plain, markdown."),
    ("locate", {"image": SCENE}, "locate: what needs a text"),
    ("locate", {"image": SCENE, "what": "x", "crop": "yes"}, "crop needs true or false"),
    ("compare_images", {"images": [SCENE]}, "images needs a list of 2 to 8 pictures"),
    ("compare_images", {"images": [SCENE] * 9}, "images needs a list of 2 to 8 pictures"),
    ("compare_images", {"images": [SCENE, 3]}, "images needs a picture"),
    ("decide", {"image": SCENE}, "questions needs a list of 1 to 32 questions"),
    ("decide", {"image": SCENE, "questions": ["a?"] * 33}, "questions needs a list of 1 to 32 questions"),
    ("decide", {"image": SCENE, "questions": [{"type": "poem"}]}, "Choose predicate, choice or score."),
    ("decide", {"image": SCENE, "questions": ["a?", "a?"]}, "two questions are called 'a?'"),
    ("paint", {"image": SCENE}, "there is no tool 'paint'. The tools are ask_image, describe_image, read_text, locate"),
]


@pytest.mark.parametrize(("tool", "arguments", "said"), WRONG)
def test_an_error_says_what_is_wrong_and_what_to_do(client, tool, arguments, said):
    assert said in client.error(tool, **arguments)


def test_a_file_that_is_no_picture_is_an_error_that_names_it(client, folder):
    (folder / "notes.txt").write_text("a secret", "utf-8")
    said = client.error("ask_image", image="notes.txt", question="what?")
    assert said.startswith("notes.txt: ")
    assert "secret" not in said


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("words", "model", "said"),
    [
        (("--allow", "docs"), "no-such-model", "no-such-model"),
        (("--allow", "docs"), "qwen3.5-0.8b", "not downloaded yet. Run vlm pull qwen3.5-0.8b."),
        (("--allow", "docs", "--server", "http://127.0.0.1:9"), "demo", "127.0.0.1:9"),
    ],
)
def test_a_model_that_cannot_be_had_is_an_error_of_the_call(tmp_path, words, model, said):
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    with live.serving(tmp_path / "log.txt", *words, model=model, env=environment) as client:
        assert said in client.error("ask_image", image=SCENE, question="what?")
        assert said in client.error("ask_image", image=SCENE, question="what?")


def test_a_model_without_boxes_says_so(tmp_path, small):
    words = ("--allow", "docs", "--mmproj", small / "mmproj-llava.gguf")
    with live.serving(tmp_path / "log.txt", *words, model=small / "llava.gguf") as client:
        said = client.error("locate", image=SCENE, what="each cat")
        assert "is not known to write boxes. Use ask_image" in said


@pytest.mark.parametrize(
    ("words", "cwd", "said"),
    [
        (
            ("--allow", "no-such-folder"),
            None,
            "vlm: --allow no-such-folder: not a folder\n     name a folder that exists",
        ),
        ((), "/", "the current folder is /, so every file could be read\n     name the folders to allow: --allow DIR"),
        (("--keep-alive", "soon"), None, "--keep-alive soon: not a duration"),
    ],
)
def test_options_that_are_wrong_are_errors_at_the_start(words, cwd, said):
    done = vlm("mcp", *words, "-m", "demo", cwd=cwd)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_without_the_package_the_error_says_what_to_install():
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setitem(__import__("sys").modules, "mcp.server.stdio", None)
        done = vlm("mcp", "-m", "demo")
    assert done.returncode == 2
    assert "install its package: pip install 'vlmcli[mcp]'" in done.stderr
