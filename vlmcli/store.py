"""A model's name becomes its files: the demo, a GGUF file, or a folder that holds a pair.

Every file is looked at before it is handed on: the right kind, whole, and of one pair (`pairing`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from vlmcli import gguf, pairing
from vlmcli.errors import ModelError
from vlmcli.values import Card, ModelFiles

# For models whose files carry no chat template: LLaVA 1.5 and its kin were trained on Vicuna's turns, which end at
# the next role's name. Source: LMSYS FastChat, conversation.py, "vicuna_v1.1".
CHAT_TEMPLATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "vicuna": (
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }} "
        "{% elif m.role == 'user' %}USER: {{ m.content }} "
        "{% else %}ASSISTANT: {{ m.content }}</s>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
        ("USER:", "ASSISTANT:"),
    ),
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        (),
    ),
}

MAX_TEMPLATE = 1 << 20  # bytes

NO_MODEL = (
    "try the one in the package, -m demo; or give a folder, or a .gguf file with --mmproj; VLM_MODEL sets a default"
)


def resolve(name: str, mmproj: str = "", chat_template: str = "", demo: ModelFiles | None = None) -> ModelFiles:
    """The files a name stands for. Raises ModelError, which says what was looked for and where.

    Args:
        name: "demo", a .gguf file, or a folder with one language model and one projector.
        mmproj: the projector's file; else the only one beside the model.
        chat_template: a name in CHAT_TEMPLATES, or a file with a Jinja template, to use instead of the model's own.
        demo: the files behind the name "demo".
    """
    if not name:
        raise ModelError("no model is named", NO_MODEL)
    if demo is not None and name == demo.name:
        if mmproj:
            raise ModelError(f"{name}: the model in the package has a projector of its own", "leave --mmproj out")
        files = demo
    else:
        files = _from_path(name, mmproj)
    projector = gguf.read(files.projector)
    pairing.check(gguf.read(files.model), projector)
    if chat_template:
        files = replace(files, card=_with_template(files.card, chat_template))
    return replace(files, encoder_layers=projector.number("vision.block_count"))


def _from_path(name: str, mmproj: str) -> ModelFiles:
    path = Path(name)
    try:
        folder, there = path.is_dir(), path.exists()
    except (OSError, ValueError):  # too long to be a name, or with a NUL in it
        folder = there = False
    if folder:
        return _from_folder(name, path, mmproj)
    if there or path.suffix == ".gguf":
        return _from_file(name, path, mmproj)
    raise ModelError(f"{name[:200]}: there is no such model, file or folder", NO_MODEL)


def _from_file(name: str, path: Path, mmproj: str) -> ModelFiles:
    if mmproj:
        return ModelFiles(name, path, Path(mmproj))
    if not path.exists():
        raise ModelError(f"{path}: there is no such file", "check the path")
    projectors = [one for one in _ggufs(path.parent) if one != path and gguf.read(one).is_projector]
    if len(projectors) == 1:
        return ModelFiles(name, path, projectors[0])
    found = "no projector is beside it" if not projectors else "several projectors are beside it"
    raise ModelError(f"{path}: {found}", "name one: --mmproj FILE")


def _from_folder(name: str, folder: Path, mmproj: str) -> ModelFiles:
    models: list[Path] = []
    projectors: list[Path] = []
    for path in _ggufs(folder):
        (projectors if gguf.read(path).is_projector else models).append(path)
    if mmproj:
        projectors = [Path(mmproj)]
    for kind, found, option in (("language model", models, "-m"), ("projector", projectors, "--mmproj")):
        if not found:
            raise ModelError(f"{folder}: there is no {kind} in this folder", f"name the file: {option} FILE")
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:4]) + (", …" if len(found) > 4 else "")
            raise ModelError(f"{folder}: there are {len(found)} {kind}s in it ({names})", f"name one: {option} FILE")
    return ModelFiles(name, models[0], projectors[0])


def _ggufs(folder: Path) -> list[Path]:
    """The folder's GGUF files; of a model split in parts the first, which leads llama.cpp to the others."""
    found = sorted(path for path in folder.glob("*.gguf") if path.is_file())
    return [path for path in found if not re.search(r"-(?!00001)\d{5}-of-\d{5}$", path.stem)]


def _with_template(card: Card, chat_template: str) -> Card:
    if chat_template in CHAT_TEMPLATES:
        source, stop = CHAT_TEMPLATES[chat_template]
        return replace(card, chat_template=source, stop=(*card.stop, *stop))
    path = Path(chat_template)
    try:
        if path.exists() and (not path.is_file() or not 0 < path.stat().st_size <= MAX_TEMPLATE):
            raise ModelError(f"{chat_template}: no chat template: empty, too large or no file", "name another file")
        return replace(card, chat_template=path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        names = " or ".join(CHAT_TEMPLATES)
        raise ModelError(f"{chat_template}: no such chat template ({reason})", f"use {names}, or a file") from error
