"""One small pair of random weights for each family of vision projectors that llama.cpp can build.

The nine of `vlmcli.bench.pairs.SMALL` are written there; here are all the others. A pair is data (keys, and shapes of
tensors) and `maker` writes it. `python -m vlmcli.bench.families FOLDER [NAME …]` writes them into a folder.

    maker    writes a pair
    words    the parts that language models are made of
    eyes     the parts that vision encoders are made of
    phones, ocr, qwens, gemmas, others    the pairs, by kin
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vlmcli.bench.families import gemmas, maker, ocr, others, phones, qwens
from vlmcli.bench.families.maker import Pair

PAIRS: Mapping[str, Callable[[], Pair]] = {**phones.PAIRS, **ocr.PAIRS, **qwens.PAIRS, **gemmas.PAIRS, **others.PAIRS}
"""By name: the projector's type, with what is special about this pair behind it."""


def write(folder: Path, names: Iterable[str] = (), seed: int = 0) -> Path:
    """Write NAME.gguf and mmproj-NAME.gguf for these pairs, or all, into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or PAIRS:
        maker.write(name, PAIRS[name](), folder, seed)
    return folder
