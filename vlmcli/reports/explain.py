"""One question's way through a multimodal model, told stage by stage: as lines, or as a page of HTML.

from vlmcli.reports import explain
told = explain.Told("what is this?", pictures, 0.1, prompt, steps, answer, facts)  # what a stages.Recorder has kept
lines, page = explain.lines(told), explain.page(told)
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vlmcli.engine.stages import Map, PictureRows, Step, TextRows, Tile
from vlmcli.pictures import images
from vlmcli.values import Answer, Picture

MAX_TILES = 32
"""Shown on a page; a few families cut a picture into more."""
WORTH_SHOWING = 0.0005
"""Least probability of a token that was not picked."""
PICTURE_SIDE = 800
"""Pixels of the longer side of a picture on a page; tiles are shown as they are."""


@dataclass(frozen=True)
class ModelFacts:
    """What the two files say of the model.

    Attributes:
        name: what the user called it.
        architecture: of the language model.
        layers, width, vocabulary: of the language model.
        projector: its family, as clip.cpp calls it.
        encoder_layers, encoder_width, patch: of the vision encoder; a patch's side in pixels.
    """

    name: str
    architecture: str
    layers: int
    width: int
    vocabulary: int
    projector: str
    encoder_layers: int
    encoder_width: int
    patch: int


@dataclass(frozen=True)
class Told:
    """All that is known of one question's way; `reading` is how many seconds the files took."""

    question: str
    pictures: Sequence[Picture]
    reading: float
    prompt: Sequence[TextRows | PictureRows]
    steps: Sequence[Step]
    answer: Answer
    model: ModelFacts


@dataclass(frozen=True)
class Stage:
    """A row of the table: seconds are None where the time is counted with another stage."""

    name: str
    what: str
    seconds: float | None = None


def stages(told: Told) -> list[Stage]:
    """The table: what goes on in each stage, with its time."""
    model, answer = told.model, told.answer
    parts = [part for part in told.prompt if isinstance(part, PictureRows)]
    tiles = [tile for part in parts for tile in part.tiles]
    found = []
    for number, picture in enumerate(told.pictures):
        seconds = told.reading + answer.timings.picture if number == 0 else None
        found.append(Stage("picture", f"{picture.source}: {_by(picture.size)} pixels, upright RGB", seconds))
    sizes = ", ".join(dict.fromkeys(_by(tile.size) for tile in tiles))
    found.append(Stage("tiles", f"{len(tiles)} of {sizes} pixels, as the encoder gets them"))
    patches = sum(tile.patches for tile in tiles)
    width = tiles[0].width if tiles else 0
    cut = f"{model.encoder_layers} layers over patches of {model.patch}×{model.patch} pixels"
    out = f" → {patches:,} × {width:,} numbers" if patches else ""
    found.append(Stage("encoder", f"{cut}{out}", answer.timings.encode))
    rows = sum(part.rows for part in parts)
    found.append(
        Stage("projector", f"{model.projector} → {rows:,} image tokens of {parts[0].width:,} numbers, like a word's")
    )
    text = " + ".join(f"{part.rows:,} {'image' if isinstance(part, PictureRows) else 'text'}" for part in told.prompt)
    found.append(Stage("prefill", f"{answer.usage.prompt_tokens:,} tokens: {text}", answer.timings.prefill))
    shape = f"{model.architecture}, {model.layers} layers of width {model.width:,}, {model.vocabulary:,} tokens"
    found.append(Stage("model", shape))
    count = answer.usage.answer_tokens
    rate = f", {count / answer.timings.generate:,.0f} a second" if answer.timings.generate > 0 and count > 1 else ""
    found.append(
        Stage("answer", f"{count:,} token{'s' * (count != 1)}{rate} ({answer.finish_reason})", answer.timings.generate)
    )
    return found


def lines(told: Told, width: int = 80) -> list[str]:
    """The table, the prompt, the first tokens' probabilities and the answer, as plain lines.

    Args:
        told: what there is to tell.
        width: where lines of the table are wrapped.
    """
    found = []
    for stage in stages(told):
        time = "" if stage.seconds is None else _time(stage.seconds)
        first, *more = _wrapped(stage.what, max(16, width - 24))
        found.append(f"{stage.name:<11}{first:<{max(17, width - 23)}}{time:>10}".rstrip())
        found += [f"{'':<11}{line}" for line in more]
    found += ["", "prompt"] + [f"  {line}" for line in _wrapped(_prompt(told.prompt), max(20, width - 4))]
    found += ["", "first tokens of the answer"]
    for step in told.steps:
        (token, chance), *others = step.likeliest
        line = f"  {_quoted(token):<16}{_percent(chance):>7} "
        for text, p in others[:3]:
            other = f"  {_quoted(text)} {_percent(p)}"
            if p < WORTH_SHOWING or len(line) + len(other) > width:  # the likeliest come first
                break
            line += other
        found.append(line.rstrip())
    return [*found, "", told.answer.text.strip()]


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most this many characters, cut at spaces where there are some.

    Not `textwrap`, which breaks at a prompt's tabs, too, and fills a line with the beginning of a long word.
    """
    found = [""]
    for word in text.split(" "):
        while len(word) > width:
            found += [word[:width], ""] if not found[-1] else ["", word[:width], ""]
            word = word[width:]
        if found[-1] and len(found[-1]) + 1 + len(word) > width:
            found.append(word)
        else:
            found[-1] += (" " if found[-1] else "") + word
    return [line for line in found if line] or [""]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _percent(chance: float) -> str:
    return f"{100 * chance:.1f} %"


def _quoted(text: str) -> str:
    return text.replace("\n", "⏎").replace(" ", "␣") or "∅"


def _prompt(parts: Sequence[TextRows | PictureRows]) -> str:
    def said(part: TextRows | PictureRows) -> str:
        if isinstance(part, PictureRows):
            return f" [{part.rows} image tokens of picture {part.picture + 1}] "
        return "".join(text for _, text in part.tokens).replace("\n", "⏎")

    return "".join(said(part) for part in parts).strip()


# --- A page ---

_STYLE = """
:root{--ink:#1b1f24;--dim:#5a6472;--paper:#fff;--soft:#f2f4f7;--line:#d5dae1;--blue:#1f5fa8;--warm:#c2410c}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#9aa5b4;--paper:#14171b;--soft:#1f242b;--line:#343c47;
--blue:#7db3ee;--warm:#fb923c}}
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:2rem 1rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.5rem;border-bottom:1px solid
var(--line)}p.why{color:var(--dim);max-width:48rem}table{border-collapse:collapse;width:100%}td,th{padding:.25rem .5rem;
border-bottom:1px solid var(--line);text-align:left;vertical-align:top}td.n{text-align:right;white-space:nowrap}
figure{display:inline-block;margin:.5rem 1rem .5rem 0;vertical-align:top}figcaption{color:var(--dim);font-size:.85rem}
.over{position:relative;display:inline-block;line-height:0}.over svg{position:absolute;inset:0;width:100%;height:100%}
img{max-width:100%;height:auto}img.tile{image-rendering:pixelated;min-width:160px}.tokens{line-height:2.1;
word-break:break-word}.t{padding:.1rem .2rem;margin:1px;border-radius:3px;background:var(--soft);white-space:pre-wrap}
.p{padding:.2rem .6rem;border-radius:3px;background:var(--blue);color:var(--paper)}.bar{height:.7rem;
background:var(--blue);border-radius:2px}.answer{font-size:1.15rem;padding:.6rem 1rem;background:var(--soft);
border-left:4px solid var(--blue);white-space:pre-wrap}
"""

_WHY = {
    "picture": "The file is decoded, turned upright by its EXIF orientation, put into sRGB, and bounded. This is where "
    "a wrong answer most often begins: look whether you can see here what you ask about.",
    "tiles": "The encoder takes pictures of certain sizes only. Yours was scaled, padded or cut into tiles; these are "
    "the very pixels it got. What is too small to be seen here, the model cannot see.",
    "encoder": "A vision transformer (often trained as CLIP was, on pictures with captions) cuts each tile into "
    "patches and lets them attend to one another, layer by layer. Out comes a vector for each patch. The map shows how "
    "long each vector is: patches that stand out have an unusual length.",
    "projector": "A small network puts the encoder's vectors into the space of the language model's words, some "
    "families with several patches in one. From here on a picture is a row of tokens like any others.",
    "prompt": "The chat template writes the turns; image tokens stand where the picture is. The language model reads "
    "all of it once (prefill) and keeps what it computed in the KV cache, so that a second question costs less.",
    "answer": "After each token the model gives a probability to every token of its vocabulary; one is picked, and "
    "all begins again. A probability near 100 % means that the model was sure, not that it is right.",
}


def page(told: Told) -> str:
    """A page that needs nothing but itself: no script, nothing from elsewhere."""
    rows = "".join(
        f"<tr><th>{escape(stage.name)}</th><td>{escape(stage.what)}</td>"
        f"<td class=n>{'' if stage.seconds is None else _time(stage.seconds)}</td></tr>"
        for stage in stages(told)
    )
    parts = [part for part in told.prompt if isinstance(part, PictureRows)]
    sections = [
        _section("picture", "The picture", "".join(_picture(picture) for picture in told.pictures)),
        _section("tiles", "What the encoder gets", _figures(parts, maps=False)),
        _section("encoder", "What the encoder makes of it", _figures(parts, maps=True)),
        _section("projector", "Into the language model's space", "".join(_projected(part) for part in parts)),
        _section("prompt", "What the language model reads", f"<p class=tokens>{_tokens(told.prompt)}</p>"),
        _section("answer", "How the answer comes about", _steps(told.steps)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(told.question)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(told.question)}</h1><p class=answer>{escape(told.answer.text.strip())}</p>"
        f"<table>{rows}</table>{''.join(sections)}"
        f"<p class=why>Made by <code>vlm explain</code> with {escape(told.model.name)}.</p></body></html>\n"
    )


def _section(why: str, title: str, body: str) -> str:
    return f"<section><h2>{title}</h2><p class=why>{_WHY[why]}</p>{body}</section>"


def _image(pixels: bytes, size: tuple[int, int], attributes: str, bound: int = 0) -> str:
    data = base64.b64encode(images.png(pixels, size, bound)).decode()
    return f'<img {attributes} src="data:image/png;base64,{data}">'


def _picture(picture: Picture) -> str:
    image = _image(picture.pixels(), picture.size, f'alt="{escape(picture.source)}"', PICTURE_SIDE)
    return f"<figure>{image}<figcaption>{escape(picture.source)}, {_by(picture.size)}</figcaption></figure>"


def _figures(parts: Sequence[PictureRows], maps: bool) -> str:
    """The tiles, bare or under the map of what the encoder gave."""
    found = []
    tiles = [(part.picture, tile) for part in parts for tile in part.tiles]
    for number, (picture, tile) in enumerate(tiles[:MAX_TILES], 1):
        words = f"picture {picture + 1}, tile {number}: {_by(tile.size)}"
        if maps:
            words += f" → {tile.patches:,} × {tile.width:,}" + ("" if tile.norms else ", in an order of its own")
        found.append(f"<figure>{_tile(tile, tile.norms if maps else None)}<figcaption>{words}</figcaption></figure>")
    left = len(tiles) - MAX_TILES
    return "".join(found) + (f"<p>and {left} more</p>" if left > 0 else "")


def _tile(tile: Tile, norms: Map | None) -> str:
    image = _image(tile.pixels, tile.size, f'class=tile alt="" width={tile.size[0]} height={tile.size[1]}')
    return f"<span class=over>{image}{_heat(norms) if norms else ''}</span>"


def _heat(norms: Map) -> str:
    """Squares over a picture: the longer the vector, the warmer."""
    low, high = min(norms.values), max(norms.values)
    squares = "".join(
        f'<rect x="{n % norms.columns}" y="{n // norms.columns}" width="1" height="1" '
        f'fill-opacity="{0.75 * (value - low) / (high - low or 1):.2f}"><title>{value:.2f}</title></rect>'
        for n, value in enumerate(norms.values)
    )
    return f'<svg viewBox="0 0 {norms.columns} {norms.rows}" preserveAspectRatio="none" fill="#e8590c">{squares}</svg>'


def _projected(part: PictureRows) -> str:
    words = f"{part.rows:,} image tokens of {part.width:,} numbers each"
    if part.norms is None or not part.tiles:
        return f"<p>{words}; they have no fixed places in the picture.</p>"
    low, high = min(part.norms.values), max(part.norms.values)
    caption = f"{words}; lengths {low:.1f} to {high:.1f}, on a grid of {part.norms.columns}×{part.norms.rows}"
    return f"<figure>{_tile(part.tiles[0], part.norms)}<figcaption>{caption}</figcaption></figure>"


def _tokens(parts: Sequence[TextRows | PictureRows]) -> str:
    found = []
    for part in parts:
        if isinstance(part, PictureRows):
            found.append(f"<span class=p>picture {part.picture + 1}: {part.rows:,} image tokens</span> ")
            continue
        found += [f'<span class=t title="token {id}">{escape(_quoted(text))}</span>' for id, text in part.tokens]
    return "".join(found)


def _steps(steps: Sequence[Step]) -> str:
    rows = []
    for number, step in enumerate(steps, 1):
        for place, (text, chance) in enumerate(step.likeliest):
            if place and chance < WORTH_SHOWING:
                break
            rows.append(
                f"<tr><td class=n>{number if place == 0 else ''}</td><td><code>{escape(_quoted(text))}</code></td>"
                f"<td class=n>{_percent(chance)}</td>"
                f'<td style="width:50%"><div class=bar style="width:{100 * chance:.1f}%"></div></td></tr>'
            )
    return f"<table>{''.join(rows)}</table>"
