"""How large a picture may be, what is said of a long one, and how it is cut into parts."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.support.files import array, pdf
from tests.support.program import vlm
from vlmcli.errors import SourceError
from vlmcli.pictures import bounds, images


@pytest.mark.parametrize(
    ("size", "each", "fits"),
    [
        ((12_000, 9_000), 4, True),  # a phone's 108 megapixels, in colour
        ((9_921, 14_031), 4, True),  # A4 at 1200 dpi, in colour
        ((14_031, 19_843), 1, True),  # A3 at 1200 dpi, black and white
        ((14_031, 19_843), 4, False),
        ((20_000, 20_000), 1, False),
        ((10_001, 10_000), 6, False),
    ],
)  # fmt: skip
def test_what_counts_is_the_memory_of_the_decoded_picture(size, each, fits):
    if fits:
        bounds.check_size("a.png", size, each)
        return
    with pytest.raises(SourceError, match=rf"a\.png: {size[0]}x{size[1]} pixels need .*B of memory"):
        bounds.check_size("a.png", size, each)


@pytest.mark.parametrize("how", [{}, {"progressive": True}])
def test_a_jpeg_of_a_hundred_megapixels_is_read(tmp_path, how):
    """Grey, so that the test is quick; a quarter of it is black."""
    large = np.full((9_000, 12_000), 255, np.uint8)
    large[:4500, :6000] = 0
    Image.fromarray(large).save(tmp_path / "a.jpg", quality=50, **how)
    found = array(images.load(tmp_path / "a.jpg"))
    assert found.shape == (3072, 4096, 3)
    assert [found[at, at].tolist() for at in (700, 2000)] == [[0] * 3, [255] * 3]


@pytest.mark.parametrize("mode", ["1", "P", "L"])
def test_a_large_page_of_few_colours_is_scaled_as_its_colours_are(tmp_path, mode):
    """Some rows at a time: none is lost, and none is drawn twice."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 2, (46, 34), np.uint8) * 255
    large = np.kron(coarse, np.ones((200, 200), np.uint8))[:9_137, :6_701]
    image = Image.fromarray(large).convert(mode) if mode != "P" else Image.fromarray(large // 255, "P")
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.png")
    found = array(images.load(tmp_path / "a.png")).astype(int)
    wanted = np.asarray(Image.fromarray(large).resize(found.shape[1::-1], Image.Resampling.BOX)).astype(int)
    assert found.shape[:2] == (4096, 3004)
    assert np.abs(found[..., 0] - wanted).mean() < 1.5


def long_picture(path, size=(300, 3000)):
    """Bands of grey, each a little brighter, along the longer side."""
    image = Image.new("L", size)
    pen = ImageDraw.Draw(image)
    for number in range(20):
        at = [max(size) * number // 20, max(size) * (number + 1) // 20]
        pen.rectangle([0, at[0], size[0], at[1]] if size[1] > size[0] else [at[0], 0, at[1], size[1]], fill=number * 12)
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((1080, 26_000), "tall"),
        ((400, 2_100), "tall"),
        ((26_000, 1080), "wide"),
        ((400, 2_000), ""),  # small enough to be shown as it is
        ((4_000, 3_000), ""),
        ((3_000, 12_000), ""),
    ],
)
def test_a_long_picture_is_said_to_lose_its_small_print(tmp_path, size, said):
    (tmp_path / "a.png").touch()
    notices = images.load(long_picture(tmp_path / "a.png", size)).notices
    assert bool(notices) == bool(said)
    if said:
        assert f"a.png: very {said} ({size[0]}x{size[1]} pixels), so a model may miss small text in it" in notices[0]


def test_what_is_said_of_a_long_picture_is_said_of_it_upright_and_only_where_nobody_asked_for_less(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 3000), np.uint8)).save(
        tmp_path / "a.jpg", exif=exif
    )
    assert "a.jpg: very tall (300x3000 pixels)" in images.load(tmp_path / "a.jpg").notices[0]
    assert images.load(tmp_path / "a.jpg", bound=512).notices == ()
    pdf(tmp_path / "a.pdf", ((100, 1000), (9, 9, 9)))
    assert "a.pdf: very tall (278x2778 pixels)" in images.load(tmp_path / "a.pdf").notices[0]


@pytest.mark.parametrize("size", [(300, 3000), (3000, 300), (299, 1111), (640, 480), (300, 59_000)])
def test_the_parts_of_a_picture_overlap_and_leave_nothing_out(tmp_path, size):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (size[1], size[0]), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cut = images.load_parts(tmp_path / "a.png")
    assert 1 <= len(cut) <= images.PARTS
    if max(size) == 59_000:  # each scaled down
        assert [max(part.size) for part in cut] == [images.BOUND] * 8
        return
    longer, tall = max(size), size[1] >= size[0]
    at = [round(0.9 * number * max(cut[0].size)) for number in range(len(cut))] if len(cut) > 1 else [0]
    strip = pixels if tall else pixels.T
    end = 0
    for number, part in enumerate(cut):
        shown = array(part)[..., 0] if tall else array(part)[..., 0].T
        start = next(
            s for s in range(max(0, at[number] - 3), at[number] + 4) if (strip[s : s + len(shown)] == shown).all()
        )
        assert number == 0 or 0 < end - start <= 0.12 * len(shown), "they overlap"
        end = start + len(shown)
    assert end == longer
    if len(cut) < images.PARTS:
        assert max(cut[0].size) <= 1.6 * min(cut[0].size)


def test_the_command_asks_about_the_parts_together_and_says_so_in_its_record(tmp_path):
    image = Image.new("RGB", (400, 2400), "white")
    ImageDraw.Draw(image).ellipse([60, 100, 340, 380], fill=(220, 20, 20))
    image.save(tmp_path / "tall.png")
    whole, parts = (
        vlm("ask", "-m", "demo", "tall.png", "what is this?", "--json", *more, cwd=tmp_path)
        for more in ((), ("--detail", "parts"))
    )
    record = json.loads(whole.stdout)
    assert "very tall (400x2400 pixels)" in record["notice"]
    assert record["notice"] in whole.stderr
    assert "--detail parts" in whole.stderr
    split = json.loads(parts.stdout)
    assert "notice" not in split
    assert split["usage"]["picture_tokens"] == 5 * record["usage"]["picture_tokens"]
    assert split["sources"] == ["tall.png"]


def test_a_run_with_parts_is_another_run_and_shows_its_parts(tmp_path):
    long_picture(tmp_path / "tall.png")
    for more, count in (((), 1), (("--detail", "parts"), 2), (("--detail", "parts"), 2)):
        assert vlm("caption", "-m", "demo", "tall.png", "--output", "o.jsonl", *more, cwd=tmp_path).returncode == 0
        assert len((tmp_path / "o.jsonl").read_text("utf-8").splitlines()) == count
    shown = vlm("show", "tall.png", "--detail", "parts", cwd=tmp_path).stdout
    assert "in parts" in shown
    refused = vlm("chat", "-m", "demo", "--detail", "parts", input=b"hi\n")
    assert (refused.returncode, "--detail parts: not low, high" in refused.stderr) == (2, True)


def test_of_many_remarks_the_first_are_shown_and_the_rest_is_counted(tmp_path):
    (tmp_path / "pics").mkdir()
    for number in range(30):
        Image.new("RGB", (20 + number, 20), "white").save(tmp_path / "pics" / f"{number}.png")
    done = vlm("caption", "-m", "demo", "pics", "--output", "o.jsonl", cwd=tmp_path)
    assert done.stderr.count("every pixel has the same colour") == 20
    assert "10 more remarks about pictures; --json and --output record them all" in done.stderr
    records = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text("utf-8").splitlines()]
    assert [bool(record.get("notice")) for record in records] == [True] * 30
