"""What the dimensions of a model are: the numbers from which `shapes` makes the headers that its files would have.

Values only. Names and meanings are those of llama.cpp's metadata (src/llama-arch.cpp, tools/mtmd/clip-impl.h).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Experts:
    """A feed-forward part of which each token takes a few pieces.

    Attributes:
        count: of the experts.
        used: by a token.
        ff: width of one.
        shared: width of the one that all tokens take; 0 for none.
        dense: layers at the start that have an ordinary feed-forward part instead.
        beside: whether the ordinary one is in each layer as well, as in Gemma 4.
        gated: whether each token decides how much it takes of the shared one, as in Qwen3.5.
        joined: whether gates and what they open are one matrix.
    """

    count: int
    used: int
    ff: int
    shared: int = 0
    dense: int = 0
    beside: bool = False
    gated: bool = False
    joined: bool = False


@dataclass(frozen=True)
class Delta:
    """Layers that keep a state instead of keys and values (gated delta nets), with attention in between.

    Attributes:
        every: one layer in so many is attention, the last of each group.
        values: heads of values.
        keys: heads of keys.
        head: numbers in one.
        kernel: tokens that the convolution before them sees.
    """

    every: int
    values: int
    keys: int = 16
    head: int = 128
    kernel: int = 4


@dataclass(frozen=True)
class Mixed:
    """Gemma 4's layers: most see a window, one in so many sees everything, with other heads.

    Attributes:
        every: one layer in so many sees everything, the last of each group.
        head_dim: of a head there; `Words.head_dim` is that of the others.
        kv_heads: of keys and values there.
        shared: layers at the end that use the keys and values of earlier ones.
        wide: whether those have a feed-forward part of double width.
        values: whether a layer that sees everything has values, or takes its keys for them.
        per_layer: width of an embedding that each layer has of its own; 0 for none.
    """

    every: int
    head_dim: int
    kv_heads: int
    shared: int = 0
    wide: bool = False
    values: bool = True
    per_layer: int = 0


@dataclass(frozen=True)
class Words:
    """A language model.

    Attributes:
        arch: llama.cpp's name of it.
        width: of a row.
        layers: blocks.
        heads: of queries.
        kv_heads: of keys and values.
        ff: width of the feed-forward part.
        vocabulary: tokens.
        context: cells it was trained for.
        head_dim: of a head; 0 for width / heads.
        tied: whether the output is the embedding's matrix.
        qkv_bias: as Qwen2 has them.
        head_norms: norms of queries and keys.
        post_norms: norms after attention and feed-forward, as Gemma has them.
        window: cells that most layers see.
        convolutions: layers that are short convolutions instead of attention.
        sections: of M-RoPE.
        deepstack: layers that rows of a picture are added to once more.
        tokenizer: name of its pre-tokenizer; empty for SentencePiece.
        rotated: numbers of a head that are turned; 0 for all.
        spare: blocks at the end that predict further tokens, which llama.cpp does not run.
        experts: its mixture of experts.
        delta: its layers that keep a state.
        mixed: its layers with and without a window.
        keys: more metadata, below the architecture's name.
    """

    arch: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    ff: int
    vocabulary: int
    context: int
    head_dim: int = 0
    tied: bool = False
    qkv_bias: bool = False
    head_norms: bool = False
    post_norms: bool = False
    window: int = 0
    convolutions: Sequence[int] = ()
    sections: Sequence[int] = ()
    deepstack: int = 0
    tokenizer: str = "qwen2"
    rotated: int = 0
    spare: int = 0
    experts: Experts | None = None
    delta: Delta | None = None
    mixed: Mixed | None = None
    keys: tuple[tuple[str, Any], ...] = ()

    @property
    def head(self) -> int:
        """Numbers in a head."""
        return self.head_dim or self.width // self.heads

    def sees_all(self, layer: int) -> bool:
        """Whether a layer's attention has no window."""
        return self.mixed is None or (layer + 1) % self.mixed.every == 0

    def attends(self, layer: int) -> bool:
        """Whether a layer has keys and values at all; the others are convolutions, or keep a state."""
        return layer not in self.convolutions and (self.delta is None or (layer + 1) % self.delta.every == 0)

    def borrows(self, layer: int) -> bool:
        """Whether a layer uses the keys and values of an earlier one."""
        return self.mixed is not None and layer >= self.layers - self.mixed.shared

    def ff_of(self, layer: int) -> int:
        """Width of a layer's ordinary feed-forward part."""
        return self.ff * 2 if self.mixed is not None and self.mixed.wide and self.borrows(layer) else self.ff


@dataclass(frozen=True)
class Eyes:
    """A vision encoder and its projector.

    Attributes:
        projector: llama.cpp's name of the type.
        image: side of a picture or tile, in pixels.
        patch: side of a patch.
        width: of a row.
        layers: blocks.
        heads: of attention.
        ff: width of the feed-forward part.
        merge: patches of a side that become one row.
        keys: more metadata, below "clip.vision.".
        deepstack: layers whose rows go to the language model, too.
        hidden: width between the projector's two layers; 0 for the usual.
        places: position embeddings; 0 for one of each patch of `image`.
        siglip: whether an encoder of the type "mlp" is a SigLIP, and not a CLIP.
        stacked: outputs of layers that are laid side by side.
        queries: rows that a resampler makes of each slice.
        standard: whether Gemma 4's rows are brought to a standard range.
        hearing: numbers of an encoder for sound in the same file, which is loaded with it.
    """

    projector: str
    image: int
    patch: int
    width: int
    layers: int
    heads: int
    ff: int
    merge: int = 1
    keys: tuple[tuple[str, Any], ...] = ()
    deepstack: Sequence[int] = ()
    hidden: int = 0
    places: int = 0
    siglip: bool = False
    stacked: int = 1
    queries: int = 0
    standard: bool = False
    hearing: int = 0
