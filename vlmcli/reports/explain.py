"""Show how a question travels through a multimodal model, stage by stage: as lines of text, or as an HTML page.

from vlmcli.reports import explain
told = explain.Told("what is this?", pictures, 0.1, prompt, steps, answer, facts)  # from a stages.Recorder
lines, page = explain.lines(told), explain.page(told)
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from vlmcli.engine.stages import Map, PictureRows, Step, TextRows, Tile
from vlmcli.pictures import images
from vlmcli.values import Answer, Picture

MAX_TILES = 32
"""The most tiles that a page shows; a few model families cut a picture into more."""
WORTH_SHOWING = 0.0005
"""A token that was not chosen is shown only if its probability is at least this."""
PICTURE_SIDE = 800
"""Pictures on a page are scaled down to this many pixels on the longer side; tiles keep all their pixels."""


@dataclass(frozen=True)
class ModelFacts:
    """What the model's two files say about it.

    Attributes:
        name: the name that the user gave.
        architecture, layers, width, vocabulary: of the language model.
        projector: the projector's family, as clip.cpp calls it.
        encoder_layers, encoder_width: of the vision encoder.
        patch: the side of one patch, in pixels.
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
    """Everything recorded about one question. `reading` is the time in seconds that reading the files took."""

    question: str
    pictures: Sequence[Picture]
    reading: float
    prompt: Sequence[TextRows | PictureRows]
    steps: Sequence[Step]
    answer: Answer
    model: ModelFacts


@dataclass(frozen=True)
class Stage:
    """A row of the table. `seconds` is None if the time is included in another stage's."""

    name: str
    what: str
    seconds: float | None = None


def stages(told: Told) -> list[Stage]:
    """Return the table: what happens in each stage, and how long it takes."""
    model, answer = told.model, told.answer
    parts = [part for part in told.prompt if isinstance(part, PictureRows)]
    tiles = [tile for part in parts for tile in part.tiles]
    found = []
    for number, picture in enumerate(told.pictures):
        seconds = told.reading + answer.timings.picture if number == 0 else None
        found.append(Stage("picture", f"{picture.source}: {_by(picture.size)} pixels, upright, RGB", seconds))
    sizes = ", ".join(dict.fromkeys(_by(tile.size) for tile in tiles))
    found.append(Stage("tiles", f"{len(tiles)} for the encoder, {sizes} pixels"))
    patches = sum(tile.patches for tile in tiles)
    width = tiles[0].width if tiles else 0
    cut = f"{model.encoder_layers} layers over patches of {model.patch}×{model.patch} pixels"
    out = f" → {patches:,} × {width:,} numbers" if patches else ""
    found.append(Stage("encoder", f"{cut}{out}", answer.timings.encode))
    rows = sum(part.rows for part in parts)
    found.append(
        Stage("projector", f"{model.projector} → {rows:,} image tokens of {parts[0].width:,} numbers, as wide as words")
    )
    text = " + ".join(f"{part.rows:,} {'image' if isinstance(part, PictureRows) else 'text'}" for part in told.prompt)
    found.append(Stage("prefill", f"{answer.usage.prompt_tokens:,} tokens: {text}", answer.timings.prefill))
    shape = f"{model.architecture}, {model.layers} layers of width {model.width:,}, {model.vocabulary:,} tokens"
    found.append(Stage("model", shape))
    count = answer.usage.answer_tokens
    rate = f", {count / answer.timings.generate:,.0f} per second" if answer.timings.generate > 0 and count > 1 else ""
    found.append(
        Stage("answer", f"{count:,} token{'s' * (count != 1)}{rate} ({answer.finish_reason})", answer.timings.generate)
    )
    return found


def lines(told: Told, width: int = 80) -> list[str]:
    """Return the table, the prompt, the probabilities of the first tokens, and the answer as lines of text.

    Args:
        told: what was recorded.
        width: the number of columns at which lines are wrapped.
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
    """Split a text into lines of at most this many characters, at spaces where possible.

    `textwrap` does not fit: it also breaks at the tabs of a prompt, and fills a line with the start of a long word.
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
:root{--ink:#1b1f24;--dim:#5a6472;--paper:#fff;--soft:#f2f4f7;--line:#d5dae1;--blue:#1f5fa8}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#9aa5b4;--paper:#14171b;--soft:#1f242b;--line:#343c47;
--blue:#7db3ee}}
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:2rem 1rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin-top:2.5rem;
border-bottom:1px solid var(--line)}p.why{color:var(--dim);max-width:48rem}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .5rem;border-bottom:1px solid var(--line);
text-align:left;vertical-align:top}td{overflow-wrap:anywhere}th,td.n{white-space:nowrap}td.n{text-align:right}
.pictures{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr))}
figure{margin:0;padding:.5rem;border:1px solid var(--line);border-radius:4px;background:var(--soft)}
figure.whole{width:fit-content;max-width:100%;margin-bottom:1rem}
figcaption{color:var(--dim);font-size:.85rem;margin-top:.4rem;overflow-wrap:anywhere}
img{display:block;max-width:100%;height:auto;border:1px solid var(--line)}
.over{position:relative;display:block;line-height:0}.over svg{position:absolute;inset:0;width:100%;height:100%}
img.tile{image-rendering:pixelated;width:100%;min-width:240px}.tokens{line-height:2.1;word-break:break-word}
.t{padding:.1rem .2rem;margin:1px;border-radius:3px;background:var(--soft);white-space:pre-wrap}
.p{padding:.2rem .6rem;border-radius:3px;background:var(--blue);color:var(--paper)}.bar{height:.7rem;
background:var(--blue);border-radius:2px}.answer{font-size:1.15rem;padding:.6rem 1rem;background:var(--soft);
border-left:4px solid var(--blue);white-space:pre-wrap;overflow-wrap:anywhere}
@media(max-width:40rem){.pictures{grid-template-columns:1fr}.stages tr{display:grid;grid-template-columns:1fr auto}
.stages tr{border-bottom:1px solid var(--line);padding:.25rem 0}.stages td,.stages th{border:0;padding:.1rem .25rem}
.stages td:nth-child(2){grid-column:1/-1;grid-row:2}.steps td:last-child{width:30%!important}}
"""

_WHY = {
    "picture": "vlm decoded the file, turned it upright according to its EXIF orientation and converted its colours to "
    "sRGB. Most wrong answers begin here, so check that you can see in this picture what you asked about.",
    "tiles": "The vision encoder accepts only certain sizes, so the picture was scaled, padded or cut into tiles. "
    "These are the exact pixels that the encoder received. The model cannot see what is too small to see here.",
    "encoder": "The vision encoder is a transformer. It cuts each tile into patches, compares the patches with one "
    "another, layer by layer, and returns a vector for each patch. The map shows the length of each vector: the deeper "
    "the orange, the longer the vector. A patch that stands out has an unusual length.",
    "projector": "A small network turns the encoder's vectors into image tokens, which are as wide as the tokens of "
    "words. Some models merge several patches into one token. The language model reads image tokens like any others.",
    "prompt": "The chat template writes the prompt and puts the image tokens in place of the picture. The language "
    "model reads the whole prompt once and keeps the result, so a second question about the picture is faster.",
    "answer": "At each step the model gives every token in its vocabulary a probability, and one token is chosen. "
    "A probability near 100 % means that the model was sure, not that it is right.",
}


def page(told: Told) -> str:
    """The whole page in one file: it has no scripts and loads nothing from elsewhere.

    Pictures lie side by side in a frame each, at least 240 pixels wide, and below one another on a phone.
    """
    rows = "".join(
        f"<tr><th>{escape(stage.name)}</th><td>{escape(stage.what)}</td>"
        f"<td class=n>{'' if stage.seconds is None else _time(stage.seconds)}</td></tr>"
        for stage in stages(told)
    )
    parts = [part for part in told.prompt if isinstance(part, PictureRows)]
    sections = [
        _section("picture", "The picture", "".join(_picture(picture) for picture in told.pictures)),
        _section("tiles", "What the encoder sees", _figures(parts, maps=False)),
        _section("encoder", "What the encoder returns", _figures(parts, maps=True)),
        _section("projector", "Image tokens", _side_by_side(_projected(part) for part in parts)),
        _section("prompt", "The prompt", f"<p class=tokens>{_tokens(told.prompt)}</p>"),
        _section("answer", "How the answer was chosen", _steps(told.steps)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(told.question)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(told.question)}</h1><p class=answer>{escape(told.answer.text.strip())}</p>"
        f"<table class=stages>{rows}</table>{''.join(sections)}"
        f"<p class=why>Made by <code>vlm explain</code> with {escape(told.model.name)}.</p></body></html>\n"
    )


def _section(why: str, title: str, body: str) -> str:
    return f"<section><h2>{title}</h2><p class=why>{_WHY[why]}</p>{body}</section>"


def _side_by_side(figures: Iterable[str]) -> str:
    return f"<div class=pictures>{''.join(figures)}</div>"


def _image(pixels: bytes, size: tuple[int, int], attributes: str, bound: int = 0) -> str:
    data = base64.b64encode(images.png(pixels, size, bound)).decode()
    return f'<img {attributes} src="data:image/png;base64,{data}">'


def _picture(picture: Picture) -> str:
    image = _image(picture.pixels(), picture.size, f'alt="{escape(picture.source)}"', PICTURE_SIDE)
    caption = f"{escape(picture.source)}, {_by(picture.size)} pixels"
    return f"<figure class=whole>{image}<figcaption>{caption}</figcaption></figure>"


def _figures(parts: Sequence[PictureRows], maps: bool) -> str:
    """The tiles as the encoder received them, or with a map of the vectors it returned on top."""
    found = []
    tiles = [(part.picture, tile) for part in parts for tile in part.tiles]
    for number, (picture, tile) in enumerate(tiles[:MAX_TILES], 1):
        words = f"Picture {picture + 1}, tile {number}: {_by(tile.size)} pixels"
        if maps:
            words += f", {tile.patches:,} vectors of {tile.width:,} numbers"
            words += _lengths(tile.norms) if tile.norms else ". No map: this model orders patches in its own way."
        found.append(f"<figure>{_tile(tile, tile.norms if maps else None)}<figcaption>{words}</figcaption></figure>")
    left = len(tiles) - MAX_TILES
    return _side_by_side(found) + (f"<p>{left} more tiles are not shown.</p>" if left > 0 else "")


def _tile(tile: Tile, norms: Map | None) -> str:
    image = _image(tile.pixels, tile.size, f'class=tile alt="" width={tile.size[0]} height={tile.size[1]}')
    return f"<span class=over>{image}{_heat(norms) if norms else ''}</span>"


def _lengths(norms: Map) -> str:
    low, high = min(norms.values), max(norms.values)
    return f"; lengths {low:.1f} to {high:.1f}, on a grid of {norms.columns}×{norms.rows}"


def _heat(norms: Map) -> str:
    """A square for each patch, laid over the picture: the longer its vector, the deeper the orange."""
    low, high = min(norms.values), max(norms.values)
    squares = "".join(
        f'<rect x="{n % norms.columns}" y="{n // norms.columns}" width="1" height="1" '
        f'fill-opacity="{0.75 * (value - low) / (high - low or 1):.2f}"><title>{value:.2f}</title></rect>'
        for n, value in enumerate(norms.values)
    )
    return f'<svg viewBox="0 0 {norms.columns} {norms.rows}" preserveAspectRatio="none" fill="#e8590c">{squares}</svg>'


def _projected(part: PictureRows) -> str:
    words = f"{part.rows:,} image tokens of {part.width:,} numbers"
    if part.norms is None or not part.tiles:
        return f"<p>{words}. No map: these tokens have no fixed places in the picture.</p>"
    caption = words + _lengths(part.norms)
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
    return f"<table class=steps>{''.join(rows)}</table>"
