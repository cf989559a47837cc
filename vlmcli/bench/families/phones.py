"""Pairs of families whose encoder is CLIP's or SigLIP's, with a projector of their own: LLaVA's kin."""

from __future__ import annotations

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Pair, Tensor, Vocabulary, Words, layered

_LLAMA = Words(
    "llama", words.usual_keys(), {**layered(3, {**words.attention(), **words.feed_forward()}), **words.ends()},
    Vocabulary(["<image>"], bpe="", end="</s>", begin="<s>", adds_begin=True),
)  # fmt: skip


def _mlp_norm() -> Pair:
    """LLaVA with Yi-VL's projector: a norm after each of its two layers."""
    tensors = {
        **eyes.patches(bias=False, places=17),
        "v.class_embd": (64,),
        **eyes.norm("v.pre_ln"),
        **eyes.norm("v.post_ln"),
        **layered(3, eyes.layer(), "v.blk."),
        **eyes.linear("mm.0", 64, 64),
        **eyes.norm("mm.1"),
        "mm.3.weight": Tensor((64, 64), 0.2),
        "mm.3.bias": (64,),
        **eyes.norm("mm.4"),
    }
    return Pair(_LLAMA, Eyes("mlp", eyes.usual_keys(), tensors), "Yi-VL")


PAIRS = {"mlp_norm": _mlp_norm}
