"""The templates that are ours: those with a name, and those of the small pairs."""

from __future__ import annotations

from vlmcli.bench.families import PAIRS
from vlmcli.bench.pair_maker import CHATML
from vlmcli.models.chat_templates import CHAT_TEMPLATES

BUILTIN = {
    "named: vicuna": "vicuna",
    "named: mistral": "mistral-v1",
    "named: llava-34b": "chatml",
    "named: chatml": "chatml",
    "named: deepseek-ocr": "deepseek-ocr",
}
"""What llama.cpp's template is called that each of ours is compared with."""


def own() -> dict[str, str]:
    """Each of them by name; pairs that share a template are named by the first."""
    found = {f"named: {name}": source for name, (source, _) in CHAT_TEMPLATES.items()}
    for name, source in {"small": CHATML, **{name: pair().words.template for name, pair in PAIRS.items()}}.items():
        if source not in found.values():
            found[f"pair: {name}"] = source
    return found
