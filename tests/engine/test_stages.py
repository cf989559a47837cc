"""What is shown of a question's way, against what is known of it otherwise."""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import ROOT, program
from tests.support.engines import ask, noise, opened, small_files
from tests.support.files import pdf
from vlmcli import demo
from vlmcli.bench.pairs import SMALL
from vlmcli.demo.training import patches
from vlmcli.engine import stages
from vlmcli.engine.plan import PictureSegment
from vlmcli.engine.stages import PictureRows
from vlmcli.errors import RequestError
from vlmcli.pictures import images
from vlmcli.reports import explain
from vlmcli.values import Answer

FACTS = explain.ModelFacts("demo", "llama", 4, 192, 1088, "mlp", 6, 160, 16)


def checkered(size):
    """Black and white squares, 5 across."""
    width, height = size
    y, x = np.mgrid[:height, :width] * 5 // width
    pixels = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    return images.from_pixels(pixels.tobytes(), size, "checkered.png")


def vlm(*words):
    """Run `vlm` from the project's root."""
    return program.vlm(*words, cwd=ROOT)


def looked(files, picture):
    with stages.looking(files) as look:
        return look(picture)


def way(files, *pictures, question="what is this?"):
    recorder = stages.Recorder(files)
    with opened(files, observer=recorder) as engine:
        (answer,) = engine.run([ask(question, *pictures, tokens=20)])
        assert isinstance(answer, Answer), answer
        return explain.Told(
            question, pictures, 0.01, recorder.prompt(engine.model), recorder.answer_steps(engine.model), answer, FACTS
        )


def test_the_demo_model_gets_the_pixels_that_it_was_trained_on(scene):
    image = Image.frombytes("RGB", scene.size, scene.pixels())
    (part,) = looked(demo.FILES, scene)
    (tile,) = part.tiles
    shown = np.frombuffer(tile.pixels, np.uint8).reshape(128, 128, 3)
    difference = np.abs(shown.astype(int) - patches.view(image))
    assert difference.max() <= 1  # of one rounding
    assert (difference > 0).mean() < 0.01
    assert (part.rows, part.width, tile.patches) == (64, 192, 0)


def test_the_demo_models_way_is_complete(scene):
    told = way(demo.FILES, scene)
    before, picture, after = told.prompt
    assert "".join(text for _, text in before.tokens) == "<|im_start|>user\n"
    assert "".join(text for _, text in after.tokens).startswith("what is this?<|im_end|>")
    (tile,) = picture.tiles
    assert (tile.patches, tile.width, tile.norms.rows, tile.norms.columns) == (64, 160, 8, 8)
    assert (picture.norms.rows, picture.norms.columns) == (8, 8)
    assert "".join(step.likeliest[0][0] for step in told.steps[:-1]) == told.answer.text
    assert all(0.5 < step.likeliest[0][1] <= 1 for step in told.steps)
    assert all(abs(sum(p for _, p in step.likeliest)) <= 1 + 1e-9 for step in told.steps)


def test_a_map_lies_over_the_picture_as_it_should():
    """Half of the picture is black, half noise: the map must be of two halves, too, and turn with the picture."""
    rng = np.random.default_rng(1)
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[:, 128:] = rng.integers(0, 256, (256, 128, 3))
    for turned in (False, True):
        shown = np.ascontiguousarray(pixels.transpose(1, 0, 2) if turned else pixels)
        told = way(demo.FILES, images.from_pixels(shown.tobytes(), (256, 256), "halves"))
        (tile,) = told.prompt[1].tiles
        norms = np.array(tile.norms.values).reshape(8, 8)
        norms = norms.T if turned else norms
        within = norms[:, :4].std(axis=0).mean() + norms[:, 4:].std(axis=0).mean()
        between = abs(norms[:, :3].mean() - norms[:, 5:].mean())
        assert between > within, (turned, between, within)


@pytest.mark.parametrize("name", SMALL)
def test_every_family_can_be_looked_into(small, name):
    files = small_files(small, name)
    pictures = [checkered((640, 480)), checkered((200, 600))]
    told = way(files, *pictures)
    assert sum(part.rows for part in told.prompt) == told.answer.usage.prompt_tokens
    seen = [part for part in told.prompt if isinstance(part, PictureRows)]
    assert sum(part.rows for part in seen) == told.answer.usage.picture_tokens
    assert {part.picture for part in seen} == {0, 1}
    for part in seen:
        assert part.tiles
        for tile in part.tiles:
            assert len(tile.pixels) == tile.size[0] * tile.size[1] * 3
            assert tile.patches > 0
            values = np.frombuffer(tile.pixels, np.uint8)
            assert values.std() > 50, "black and white went in"
        if part.norms is not None:
            assert part.norms.rows * part.norms.columns <= part.rows
            assert min(part.norms.values) > 0
    found = [looked(files, picture) for picture in pictures]
    assert [[(part.rows, part.width) for part in parts] for parts in found] == [
        [(part.rows, part.width) for part in seen if part.picture == number] for number in range(2)
    ]
    pixels = [[tile.pixels for part in parts for tile in part.tiles] for parts in found]
    assert pixels == [[t.pixels for part in seen if part.picture == n for t in part.tiles] for n in range(2)]


def rows_of(count, width=4):
    return np.arange(1, count * width + 1, dtype=np.float32).reshape(count, width)


@pytest.mark.parametrize(
    ("family", "rows", "shape"),
    [("mlp", 64, (8, 8)), ("mlp", 16, (4, 4)), ("mlp", 4, (2, 2)), ("pixtral", 71, (8, 8)), ("mlp", 63, None),
     ("resampler", 64, None)],
)  # fmt: skip
def test_rows_have_a_map_only_where_they_have_places(family, rows, shape):
    encoding = stages.Encoding(demo.FILES)
    encoding.family = family
    segment = PictureSegment(0, 0, "key", rows, rows, None, False)
    tile = stages.Tile((128, 128), b"")
    found = encoding.rows_map(segment, rows_of(rows), [tile])
    assert (found and (found.rows, found.columns)) == shape
    assert encoding.rows_map(segment, rows_of(rows), [tile, tile]) is None, "of two tiles together"
    if family == "pixtral":  # the row that ends a line is left out
        assert found.values[8] == pytest.approx(np.linalg.norm(rows_of(rows)[9]))


def test_rows_under_mrope_lie_where_it_counts_them():
    y, x = np.mgrid[:2, :3].reshape(2, -1)
    turned = [5, 4, 3, 2, 1, 0]
    grid = np.stack([0 * y, y, x, 0 * y])[:, turned].astype(np.int32)
    encoding = stages.Encoding(demo.FILES)
    found = encoding.rows_map(PictureSegment(0, 0, "key", 6, 3, grid, False), rows_of(6)[turned], [])
    assert (found.rows, found.columns) == (2, 3)
    assert found.values == pytest.approx(np.linalg.norm(rows_of(6), axis=1))
    assert encoding.rows_map(PictureSegment(0, 0, "key", 5, 3, grid[:, :5], False), rows_of(5), []) is None


def test_rows_without_places_are_said_to_have_none(scene):
    told = way(demo.FILES, scene)
    bare = tuple(replace(part, norms=None) if isinstance(part, PictureRows) else part for part in told.prompt)
    assert "these tokens have no fixed places in the picture" in explain.page(replace(told, prompt=bare))


def test_a_picture_that_a_model_cannot_take_is_named(small, tmp_path):
    files = small_files(small, "smolvlm")
    thin = tmp_path / "thin.png"
    Image.new("RGB", (4000, 20)).save(thin)
    with opened(files) as engine:
        (outcome,) = engine.run([ask("?", images.load(thin), tokens=2)])
    assert isinstance(outcome, RequestError)
    assert outcome.message.startswith(
        f"{thin} (4000x20): {files.projector.name}: the model cannot process this picture"
    )
    done = vlm("show", "-m", str(files.model), "--mmproj", str(files.projector), str(thin), "docs/images/scene.png")
    assert done.returncode == 3
    assert f"{thin} (4000x20): {files.projector.name}: the model cannot process" in done.stderr
    assert done.stdout.count("sees") == 1


def test_an_engine_that_is_watched_answers_the_same(small):
    files = small_files(small, "qwen25vl")
    with opened(files) as engine:
        (calm,) = engine.run([ask("what is this?", noise(1), tokens=20)])
    assert way(files, noise(1)).answer.text == calm.text


# --- As lines and as a page ---


class _Page(HTMLParser):
    """Collects what a page refers to, and checks that its elements are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.texts = [], [], []

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        assert tag not in ("script", "link", "iframe")
        if tag not in ("img", "meta", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def parsed(page):
    found = _Page()
    found.feed(page)
    assert not found.open
    return found


def test_the_page_stands_alone_and_has_the_very_pixels(scene):
    told = way(demo.FILES, scene)
    page = parsed(explain.page(told))
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    shown = [
        Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB").tobytes()
        for source in page.sources
    ]
    assert scene.pixels() in shown
    assert told.prompt[1].tiles[0].pixels in shown
    text = " ".join(page.texts)
    assert told.answer.text in text
    assert "64 image tokens" in text
    assert len(re.findall("<rect", explain.page(told))) == 2 * 64


def test_each_picture_is_in_a_frame_and_wide_enough_to_see(scene):
    """Maps are at least 240 pixels wide, and pictures stand in one column on a phone."""
    page = explain.page(way(demo.FILES, scene))
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)[1].replace("\n", "")
    rules = re.sub(r"@media\([^{]*\)\{(?:[^{}]*\{[^}]*\})*\}", "", style)
    assert re.search(r"[};]figure\{[^}]*border:1px solid", rules)
    assert re.search(r"img\.tile\{[^}]*width:100%;min-width:240px", rules)
    assert "th,td.n{white-space:nowrap}" in rules  # a stage's name is not broken where the column beside it is long
    assert re.search(r"@media\(max-width:40rem\)\{\.pictures\{grid-template-columns:1fr\}", style)
    body = page.partition("</style>")[2]
    assert len(re.findall("<img", body)) == len(re.findall("<figure", body)) == 4
    assert len(re.findall("<div class=pictures><figure>", body)) == 3


def test_what_somebody_wrote_stays_text_on_the_page(scene):
    evil = "<script>alert('&')</script>"
    picture = images.from_pixels(scene.pixels(), scene.size, '"><img src=x onerror=alert(1)>')
    page = explain.page(way(demo.FILES, picture, question=evil))
    assert "<script" not in page
    assert "<img src=x" not in page
    assert evil in " ".join(parsed(page).texts)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_fit_the_screen(scene, width):
    told = way(demo.FILES, scene, question="what is this? " * 20)
    found = explain.lines(told, width)
    assert max(map(len, found)) <= width
    text = "\n".join(found)
    assert "encoder" in text
    assert "64 × 160" in " ".join(text.split())
    assert text.endswith(told.answer.text)


# --- The commands ---


def test_explain_shows_each_stage_and_writes_its_page(tmp_path):
    page = tmp_path / "way.html"
    done = vlm("explain", "-m", "demo", "docs/images/scene.png", "what is this?", "--html", str(page))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    names = [line.split()[0] for line in lines[:7]]
    assert names == ["picture", "tiles", "encoder", "projector", "prefill", "model", "answer"]
    assert lines[-1] == "A red circle and a blue square."
    assert done.stderr.splitlines() == [f"vlm: wrote {page}"]
    parsed(page.read_text("utf-8"))
    assert sorted(tmp_path.iterdir()) == [page]


def test_show_says_what_a_picture_is_and_what_is_seen_of_it(tmp_path):
    photo = tmp_path / "turned photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((400, 300), 60).convert("RGB").save(photo, exif=exif)
    seen = tmp_path / "seen.png"
    done = vlm("show", "-m", "demo", str(photo), "--preview", str(seen))
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = done.stdout.splitlines()
    size = f"{photo.stat().st_size:,} bytes"
    assert first == f"{photo}: JPEG, 400×300 RGB, {size}, EXIF orientation 6: turned by 90°"
    assert second == "  upright, RGB: 300×400"
    assert third == "  demo sees 64 image tokens, from 1 tile of 128×128 pixels"
    assert re.fullmatch(r"  a question takes 64 of 4,096 tokens of context(, and about 1 s)?", fourth)
    (part,) = looked(demo.FILES, images.load(photo))
    assert Image.open(seen).convert("RGB").tobytes() == part.tiles[0].pixels


def test_a_preview_of_several_tiles_is_several_files(small, tmp_path):
    files = small_files(small, "smolvlm")
    noise_file = tmp_path / "noise.png"
    Image.frombytes("RGB", (900, 300), noise(1, (900, 300)).pixels()).save(noise_file)
    done = vlm(
        "show", "-m", str(files.model), "--mmproj", str(files.projector), str(noise_file), "--preview",
        str(tmp_path / "seen.png"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tiles = [tile for part in looked(files, images.load(noise_file)) for tile in part.tiles]
    assert len(tiles) > 1
    for number, tile in enumerate(tiles, 1):
        assert Image.open(tmp_path / f"seen-{number}.png").convert("RGB").tobytes() == tile.pixels


def test_show_knows_pages_frames_and_other_places(tmp_path):
    pdf(tmp_path / "a.pdf", ((100, 50), (255, 0, 0)), ((100, 50), (0, 255, 0)))
    frames = [Image.new("RGB", (30, 20), color) for color in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    data = base64.b64encode((tmp_path / "a.gif").read_bytes()).decode()
    done = vlm("show", str(tmp_path / "a.pdf#2"), str(tmp_path / "a.gif#3"), f"data:image/gif;base64,{data}")
    assert done.returncode == 0, done.stderr
    page, _, frame, _, other, _ = done.stdout.splitlines()
    assert page.startswith(f"{tmp_path}/a.pdf#2: PDF, 2 pages, this is 2, ")
    assert frame.startswith(f"{tmp_path}/a.gif#3: GIF, 30×20 P, 3 frames, this is 3, ")
    assert ": GIF, 30×20 P, 3 frames, " in other


def test_show_needs_no_model_to_say_what_a_picture_is():
    done = vlm("show", "docs/images/scene.png")
    assert done.returncode == 0, done.stderr
    size = f"{Path('docs/images/scene.png').stat().st_size:,}"
    assert done.stdout == f"docs/images/scene.png: PNG, 640×480 RGB, {size} bytes\n  upright, RGB: 640×480\n"
    assert done.stderr == "vlm: add -m MODEL to show what a model sees of it\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["show", "missing.png"], 1, "missing.png: there is no such file"),
        (["show", "docs/images/scene.png", "demo"], 2, "demo: not a picture, and only one model can be shown"),
        (["show", "demo", "--preview", "x.png"], 2, "--preview needs a picture"),
        (["show", "docs/images/scene.png", "--preview", "x.jpg"], 2, "only PNG can be written"),
        (["show", "docs/images/scene.png", "docs/images/demo-scenes.jpg", "--preview", "x.png"], 2, "not 2 pictures"),
        (
            ["show", "docs/images/scene.png", "--preview", "/nowhere/x.png"],
            2,
            "/nowhere/x.png: its folder does not exist or is not writable",
        ),
        (
            ["explain", "docs/images/scene.png", "what?", "--html", "/nowhere/x.html"],
            2,
            "does not exist or is not writable",
        ),
        (["explain", "docs/images/scene.png"], 2, "no question"),
        (["explain", "-q", "a", "-q", "b", "docs/images/scene.png"], 2, "takes one question"),
        (["explain", "README.md", "what?"], 1, "README.md: a text file, not a picture"),
        (["explain", "--ctx", "256", *["docs/images/scene.png"] * 5, "what?"], 1, "5 pictures and the question take"),
    ],
)
def test_what_cannot_be_shown_is_said(words, code, said):
    done = vlm(words[0], "-m", "demo", *words[1:]) if "demo" not in words else vlm(*words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


# --- Files that are written ---


def test_a_file_is_written_through_a_link_and_keeps_its_permissions(tmp_path):
    page = tmp_path / "real.html"
    page.write_text("old")
    page.chmod(0o600)
    (tmp_path / "link.html").symlink_to(page)
    done = vlm("explain", "-m", "demo", "docs/images/scene.png", "what?", "--html", str(tmp_path / "link.html"))
    assert done.returncode == 0, done.stderr
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert page.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "link.html").is_symlink()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.html", "real.html"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_nothing_but_a_file_is_written_over(tmp_path):
    fifo = tmp_path / "fifo.html"
    os.mkfifo(fifo)
    picture = tmp_path / "picture.png"
    shutil.copy("docs/images/scene.png", picture)
    before = picture.read_bytes()
    for words in (
        ("explain", "-m", "demo", str(picture), "what?", "--html", str(fifo)),
        ("explain", "-m", "demo", str(picture), "what?", "--html", str(picture)),
        ("show", "-m", "demo", str(picture), "--preview", str(picture)),
        ("explain", "-m", "demo", str(picture), "what?", "--html", str(tmp_path / ("a" * 300))),
    ):
        done = vlm(*words)
        assert done.returncode == 2, done.stderr
        assert words[-1][:200] in done.stderr
        assert "Traceback" not in done.stderr
    assert fifo.is_fifo()
    assert picture.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_write_that_fails_leaves_nothing(tmp_path):
    page = tmp_path / "page.html"
    line = f'ulimit -f 8; "{sys.executable}" -m vlmcli explain -m demo docs/images/scene.png "what?" --html "{page}"'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{page}: cannot be written (File too large)" in done.stderr
    assert not list(tmp_path.iterdir())


def test_one_picture_that_fails_leaves_the_others():
    done = vlm("show", "-m", "demo", "missing.png", "docs/images/scene.png")
    assert done.returncode == 3
    assert "missing.png: there is no such file" in done.stderr
    assert "docs/images/scene.png: PNG" in done.stdout


def test_what_is_asked_about_one_by_one_is_explained_one_by_one():
    done = vlm("explain", "-m", "demo", "docs/images", "what?")
    assert done.returncode == 2
    assert "vlm explain cannot take 7 pictures one by one" in done.stderr
