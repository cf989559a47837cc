"""Pictures that are not of the model's world: textures, photograph-like pictures, pages of text.

Only training and measuring want them. The same generator in the same state always draws the same picture.
"""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from vlmcli.demo import lettering
from vlmcli.demo.chance import nearby_color, picture_size
from vlmcli.demo.drawing import add_noise, through_jpeg
from vlmcli.demo.world import RGB

FAMILIES = (
    "gradient", "noise", "clouds", "stripes", "checks", "dots", "page", "window", "landscape", "blobs", "clutter",
)  # fmt: skip
"""Pictures the model is trained to say "I don't know." about."""
UNSEEN_FAMILIES = ("bricks", "face", "city", "receipt")
"""More of the kind that are kept out of training, to measure whether they get the same answer."""


def picture(rng: Random, family: str | None = None, size: tuple[int, int] | None = None) -> Image.Image:
    """Draw a picture that is not of the model's world.

    Args:
        rng: decides everything that is left open; nothing else does.
        family: one of `FAMILIES` (by default any of them) or `UNSEEN_FAMILIES`.
        size: width and height in pixels; by default as those of scenes.
    """
    family = family or rng.choice(FAMILIES)
    width, height = size or picture_size(rng)
    most = max(width, height)
    small = (width, height) if most <= 320 else (max(32, width * 320 // most), max(32, height * 320 // most))
    image = _DRAWN[family](rng, *small)
    if small != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if rng.random() < 0.3:
        image = add_noise(image, rng.uniform(1, 10), rng.getrandbits(32))
    if rng.random() < 0.3:
        image = through_jpeg(image, rng.randint(55, 95))
    return image


def _any_rgb(rng: Random) -> RGB:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def _distant_rgb(rng: Random, other: RGB, least: float = 120) -> RGB:
    """Any colour whose distance from the other is at least this."""
    while True:
        rgb = _any_rgb(rng)
        if math.dist(rgb, other) >= least:
            return rgb


def _gradient(rng: Random, w: int, h: int) -> Image.Image:
    """Two to four colours that run into one another."""
    first = _any_rgb(rng)
    corners = [first, _distant_rgb(rng, first), _any_rgb(rng), _any_rgb(rng)]
    rng.shuffle(corners)
    pixels = np.asarray(corners, np.uint8).reshape(2, 2, 3)
    if rng.random() < 0.3:
        pixels = pixels[:1]
    return Image.fromarray(pixels).resize((w, h), Image.Resampling.BICUBIC)


def _noise(rng: Random, w: int, h: int) -> Image.Image:
    """Grains of one to eight pixels, gray or coloured."""
    grain = rng.choice((1, 1, 2, 4, 8))
    generator = np.random.default_rng(rng.getrandbits(32))
    channels = rng.choice((1, 3))
    pixels = generator.integers(0, 256, (max(2, h // grain), max(2, w // grain), channels), np.uint8)
    return Image.fromarray(np.repeat(pixels, 3 // channels, 2)).resize((w, h), Image.Resampling.NEAREST)


def _clouds(rng: Random, w: int, h: int) -> Image.Image:
    """Noise at many scales, coarse ones stronger, as in photographs."""
    generator = np.random.default_rng(rng.getrandbits(32))
    total = np.zeros((h, w, 3), np.float32)
    strength, cells = 1.0, rng.choice((2, 3, 4))
    while cells < max(w, h):
        rough = generator.standard_normal((max(2, cells * h // max(w, h)), max(2, cells * w // max(w, h)), 3))
        rough = rough.mean(2, keepdims=True) * 0.8 + rough * 0.4
        for channel in range(3):
            layer = Image.fromarray(rough[..., channel].astype(np.float32))
            total[..., channel] += np.asarray(layer.resize((w, h), Image.Resampling.BICUBIC)) * strength
        strength *= rng.uniform(0.5, 0.75)
        cells *= 2
    total = (
        total / max(1e-3, float(total.std())) * rng.uniform(35, 65) + np.asarray(_any_rgb(rng), np.float32) * 0.6 + 50
    )
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def _stripes(rng: Random, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h), first := _any_rgb(rng))
    pen, reach = ImageDraw.Draw(image), w + h
    angle, step = rng.uniform(0, math.pi), rng.uniform(5, 24)
    colors = [_distant_rgb(rng, first, 80) for _ in range(rng.choice((1, 1, 2, 3)))]
    dx, dy = math.cos(angle), math.sin(angle)
    for i in range(int(reach / step) + 2):
        along = i * step - reach / 2
        x, y = w / 2 + dx * along, h / 2 + dy * along
        ends = [(x - dy * reach, y + dx * reach), (x + dy * reach, y - dx * reach)]
        pen.line(ends, fill=colors[i % len(colors)], width=max(1, int(step * rng.uniform(0.3, 0.6))))
    return image


def _checks(rng: Random, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h), first := _any_rgb(rng))
    pen, step, other = ImageDraw.Draw(image), max(4, int(max(w, h) / rng.uniform(7, 22))), _distant_rgb(rng, first, 80)
    plaid = rng.random() < 0.4
    for j in range(h // step + 1):
        for i in range(w // step + 1):
            if (i + j) % 2 == 0:
                pen.rectangle([i * step, j * step, i * step + step - 1, j * step + step - 1], fill=other)
            elif plaid and i % 2:
                pen.rectangle([i * step, j * step, i * step + step - 1, j * step + step - 1], fill=_mix(first, other))
    return image


def _mix(a: RGB, b: RGB, share: float = 0.5) -> RGB:
    r, g, b_ = (int(x * share + y * (1 - share)) for x, y in zip(a, b, strict=True))
    return r, g, b_


def _dots(rng: Random, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h), first := _any_rgb(rng))
    pen, step = ImageDraw.Draw(image), max(w, h) / rng.uniform(8, 20)
    color = _distant_rgb(rng, first, 80)
    radius = step * rng.uniform(0.2, 0.42)
    for j in range(int(h / step) + 1):
        for i in range(int(w / step) + 1):
            x, y = (i + 0.5 + (j % 2) * 0.5) * step, (j + 0.5) * step
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)
    return image


_LOWER = "etaoinshrdlucmfwypvbgkqjxz"


def _prose(rng: Random, words: int) -> str:
    return " ".join("".join(rng.choice(_LOWER[:14]) for _ in range(rng.randint(2, 9))) for _ in range(words))


def _page_of_text(rng: Random, w: int, h: int) -> Image.Image:
    """Many lines, small or middling, as on a scanned page or a screenshot of one."""
    dark = rng.random() < 0.25
    image = Image.new("RGB", (w, h), (rng.randint(15, 50),) * 3 if dark else (rng.randint(235, 255),) * 3)
    pen, ink = ImageDraw.Draw(image), (220, 220, 220) if dark else (rng.randint(0, 70),) * 3
    size = max(w, h) / rng.uniform(12, 34)
    font, y, left = (
        lettering.font(rng.choice(lettering.FONTS), round(size, 1)),
        size * rng.uniform(0.4, 2),
        rng.uniform(2, w * 0.1),
    )
    if rng.random() < 0.5:
        pen.text(
            (left, y), _prose(rng, 2).title(), font=lettering.font("DejaVuSans-Bold", round(size * 1.5, 1)), fill=ink
        )
        y += size * 2.4
    while y < h - size * 0.5:
        if rng.random() > 0.12:
            line = _prose(rng, rng.randint(2, 12))
            while len(line) > 2 and left + font.getlength(line) > w * 0.97:
                line = line[:-1]
            pen.text((left, y), line, font=font, fill=ink)
        y += size * rng.choice((1.3, 1.3, 1.3, 1.6))
    return image


def _window(rng: Random, w: int, h: int) -> Image.Image:
    """A screenshot: bars, panels, buttons, labels."""
    image = Image.new("RGB", (w, h), (rng.randint(200, 250),) * 3 if rng.random() < 0.7 else (rng.randint(20, 60),) * 3)
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, 0, w, h * rng.uniform(0.06, 0.15)], fill=_any_rgb(rng))
    if rng.random() < 0.6:
        pen.rectangle([0, 0, w * rng.uniform(0.15, 0.3), h], fill=_any_rgb(rng))
    for _ in range(rng.randint(4, 12)):
        x, y = int(rng.uniform(0, w * 0.8)), int(rng.uniform(h * 0.1, h * 0.9))
        bw, bh = rng.uniform(w * 0.1, w * 0.5), rng.uniform(h * 0.04, h * 0.25)
        right, low, radius = max(x, int(x + bw)), max(y, int(y + bh)), int(min(bw / 3, bh / 3, 6))
        pen.rounded_rectangle([x, y, right, low], radius=radius, fill=_any_rgb(rng), outline=_any_rgb(rng))
    for _ in range(rng.randint(6, 16)):
        size = max(5.0, max(w, h) / rng.uniform(14, 34))
        place = (rng.uniform(0, w * 0.8), rng.uniform(0, h * 0.95))
        pen.text(
            place, _prose(rng, rng.randint(1, 3)), font=lettering.font("DejaVuSans", round(size, 1)), fill=_any_rgb(rng)
        )
    return image


def _landscape(rng: Random, w: int, h: int) -> Image.Image:
    """Sky, a sun, hills one behind the other."""
    sky = _mix((90, 150, 230), _any_rgb(rng), 0.6)
    pixels = np.asarray([[sky], [_mix(sky, (255, 235, 200), 0.4)]], np.uint8)
    image = Image.fromarray(pixels).resize((w, h), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.6:
        x, y, r = rng.uniform(0, w), rng.uniform(0, h * 0.4), rng.uniform(0.05, 0.12) * max(w, h)
        pen.ellipse([x - r, y - r, x + r, y + r], fill=(255, rng.randint(200, 250), rng.randint(120, 220)))
    base = _mix((40, 90, 40), _any_rgb(rng), 0.6)
    for layer in range(rng.randint(2, 5)):
        level, phase = h * (0.45 + 0.12 * layer), rng.uniform(0, 6)
        waves = [(rng.uniform(0.01, 0.09) * 160 / w * 2, rng.uniform(2, 0.09 * h + 2)) for _ in range(3)]
        line = [(x, level + sum(a * math.sin(f * x + phase * (i + 1)) for i, (f, a) in enumerate(waves)))
                for x in range(0, w + 4, 4)]  # fmt: skip
        pen.polygon([*line, (w, h), (0, h)], fill=_mix(base, (0, 0, 0), 1 - 0.18 * layer))
    if rng.random() < 0.7:
        image = _blur(image, rng.uniform(0.5, 2))
    return add_noise(image, rng.uniform(4, 16), rng.getrandbits(32))


def _blur(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def _blobs(rng: Random, w: int, h: int) -> Image.Image:
    """Soft overlapping patches of colour under light and grain: a photograph out of focus."""
    image = Image.new("RGB", (w, h), _any_rgb(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(8, 40)):
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        rx, ry = rng.uniform(0.04, 0.35) * w, rng.uniform(0.04, 0.35) * h
        pen.ellipse([x - rx, y - ry, x + rx, y + ry], fill=_any_rgb(rng))
    image = _blur(image, rng.uniform(0.01, 0.06) * max(w, h))
    light = _clouds(rng, w, h).convert("L").convert("RGB")
    return ImageChops.multiply(image, light) if rng.random() < 0.4 else image


def _clutter(rng: Random, w: int, h: int) -> Image.Image:
    """Dozens of small things on top of one another."""
    image = Image.new("RGB", (w, h), _any_rgb(rng))
    pen, reach = ImageDraw.Draw(image), 0.18 * max(w, h)
    for _ in range(rng.randint(25, 90)):
        x, y, kind = rng.uniform(0, w), rng.uniform(0, h), rng.random()
        around = [(x + rng.uniform(-reach, reach), y + rng.uniform(-reach, reach)) for _ in range(rng.randint(3, 6))]
        if kind < 0.4:
            pen.polygon(around, fill=_any_rgb(rng))
        elif kind < 0.7:
            pen.line(around, fill=_any_rgb(rng), width=rng.randint(1, 6))
        else:
            r = rng.uniform(2, reach * 0.6)
            pen.ellipse([x - r, y - r * rng.uniform(0.3, 1), x + r, y + r], fill=_any_rgb(rng), outline=_any_rgb(rng))
    return image


def _bricks(rng: Random, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h), (rng.randint(170, 210),) * 3)
    pen, bh = ImageDraw.Draw(image), max(w, h) / rng.uniform(8, 16)
    bw = bh * 2.2
    for j in range(int(h / bh) + 1):
        for i in range(-1, int(w / bw) + 1):
            x, y = (i + (j % 2) * 0.5) * bw, j * bh
            fill = nearby_color(rng, (165, 80, 60), 25)
            pen.rectangle([x + 1, y + 1, x + bw - bh * 0.15, y + bh * 0.87], fill=fill)
    return add_noise(image, 8, rng.getrandbits(32))


def _face(rng: Random, w: int, h: int) -> Image.Image:
    """A head with shoulders before a blurred room."""
    image = _blobs(rng, w, h)
    pen, cx, r = ImageDraw.Draw(image), w * rng.uniform(0.4, 0.6), min(w, h) * rng.uniform(0.2, 0.28)
    cy = h * 0.42
    skin = nearby_color(rng, rng.choice(((235, 195, 165), (190, 140, 100), (110, 75, 50))), 12)
    hair = nearby_color(rng, (50, 35, 25), 25)
    pen.ellipse([cx - r * 2, cy + r * 1.1, cx + r * 2, cy + r * 4.4], fill=_any_rgb(rng))
    pen.ellipse([cx - r * 1.1, cy - r * 1.4, cx + r * 1.1, cy + r * 0.8], fill=hair)
    pen.ellipse([cx - r * 0.85, cy - r, cx + r * 0.85, cy + r * 1.2], fill=skin)
    for side in (-1, 1):
        x = cx + side * r * 0.35
        pen.ellipse([x - r * 0.14, cy - r * 0.1, x + r * 0.14, cy + r * 0.08], fill=(250, 250, 250))
        pen.ellipse([x - r * 0.06, cy - r * 0.08, x + r * 0.06, cy + r * 0.06], fill=(40, 30, 30))
    pen.arc([cx - r * 0.4, cy + r * 0.2, cx + r * 0.4, cy + r * 0.8], 20, 160, fill=(150, 50, 50), width=3)
    return add_noise(_blur(image, 1.2), 6, rng.getrandbits(32))


def _city(rng: Random, w: int, h: int) -> Image.Image:
    """Towers with lit windows at night."""
    image = _gradient(rng, w, h).point(lambda v: v // 4)
    pen, x = ImageDraw.Draw(image), 0.0
    while x < w:
        bw, top = rng.uniform(0.06, 0.16) * w, rng.uniform(0.15, 0.7) * h
        shade = rng.randint(15, 60)
        pen.rectangle([x, top, x + bw, h], fill=(shade, shade, shade + 10))
        for wy in range(int(top) + 4, h, 7):
            for wx in range(int(x) + 3, int(x + bw) - 3, 6):
                if rng.random() < 0.5:
                    pen.rectangle([wx, wy, wx + 2, wy + 3], fill=(250, rng.randint(190, 240), rng.randint(90, 180)))
        x += bw + rng.uniform(0, 4)
    return image


def _receipt(rng: Random, w: int, h: int) -> Image.Image:
    """A narrow slip of print on a table."""
    image = _clouds(rng, w, h)
    pen = ImageDraw.Draw(image)
    left, right = w * rng.uniform(0.1, 0.3), w * rng.uniform(0.65, 0.9)
    pen.rectangle([left, 2, right, h - 2], fill=(245, 243, 238))
    size = max(5.0, max(w, h) / 22)
    font, y = lettering.font("DejaVuSansMono-Bold", round(size, 1)), size
    while y < h - size * 2:
        line = _prose(rng, 2)[:12].ljust(12) + f"{rng.uniform(1, 99):6.2f}"
        while len(line) > 2 and left + 4 + font.getlength(line) > right:
            line = line[1:]
        pen.text((left + 4, y), line, font=font, fill=(60, 60, 60))
        y += size * 1.4
    return image


_DRAWN = {
    "gradient": _gradient, "noise": _noise, "clouds": _clouds, "stripes": _stripes, "checks": _checks, "dots": _dots,
    "page": _page_of_text, "window": _window, "landscape": _landscape, "blobs": _blobs, "clutter": _clutter,
    "bricks": _bricks, "face": _face, "city": _city, "receipt": _receipt,
}  # fmt: skip
