"""What a pair for a measurement is made of: a shape, a quantisation, and what is cut.

Writes nothing; `published` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from vlmcli.models import shapes, word_tensors
from vlmcli.models.dimensions import Eyes, Words
from vlmcli.values import ModelFiles

QUANTS = {"F16": 1, "Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15, "Q6_K": 18}
"""What a language model can be quantised to, by llama.cpp's number (llama.h, enum llama_ftype)."""
OWN: Mapping[str, tuple[Words, Eyes]] = {
    "llava-460m": (
        Words("llama", 960, 32, 15, 5, 2560, 49_152, 8192, tied=True, tokenizer="smollm"),
        Eyes("mlp", 384, 16, 768, 12, 12, 3072, siglip=True),
    ),
    "tiny": (
        Words("llama", 256, 2, 4, 2, 512, 512, 4096, tied=True, tokenizer="smollm"),
        Eyes("mlp", 64, 16, 64, 2, 4, 128, siglip=True),
    ),
}
"""Shapes that nobody published: SmolLM2-360M behind SigLIP-B/16, as LLaVA puts them together; and one to try things."""
_LONGEST = "preproc_image_size"


@dataclass(frozen=True)
class Recipe:
    """What a pair is made of.

    Attributes:
        shape: a name of `OWN` or of `shapes.SHAPES`.
        quant: of the language model, of `QUANTS`; projectors are in F16.
        layers: of the language model; 0 for all that the shape has.
        longest: side in pixels that SmolVLM's preprocessing scales a picture to before it cuts it into tiles; 0 for
            the published one.
    """

    shape: str
    quant: str = "F16"
    layers: int = 0
    longest: int = 0

    @classmethod
    def parse(cls, text: str, layers: int = 0, longest: int = 0) -> Recipe:
        """SHAPE:QUANT. Raises ValueError where one of them is not known."""
        shape, _, quant = text.partition(":")
        recipe = cls(shape, quant or "Q8_0", layers, longest)
        if shape not in OWN and shape not in shapes.SHAPES:
            raise ValueError(f"{shape} is not a shape")
        if recipe.quant not in QUANTS:
            raise ValueError(f"{quant} is not one of {', '.join(QUANTS)}")
        return recipe

    def dimensions(self) -> tuple[Words, Eyes]:
        """Those of the language model and of the encoder."""
        words, eyes = OWN[self.shape] if self.shape in OWN else shapes.SHAPES[self.shape]
        if self.longest:
            keys = tuple((key, self.longest if key == _LONGEST else value) for key, value in eyes.keys)
            eyes = replace(eyes, keys=keys)
        return replace(words, layers=self.layers or words.layers), eyes

    @property
    def name(self) -> str:
        """Of its files."""
        layers = f"-{self.layers}-layers" if self.layers else ""
        longest = f"-{self.longest}" if self.longest else ""
        return f"{self.shape}{layers}{longest}-{self.quant}"

    @property
    def weights(self) -> int:
        """How many the language model has."""
        return sum(prod(shape) for _, shape in word_tensors.tensors(self.dimensions()[0]))

    def files(self, folder: Path) -> ModelFiles:
        """Where it is, or will be, in a folder."""
        return ModelFiles(self.name, folder / f"{self.name}.gguf", folder / f"mmproj-{self.name}.gguf")
