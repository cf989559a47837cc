"""Pairs of families whose encoder is CLIP's or SigLIP's, with a projector of their own: LLaVA's kin."""

from __future__ import annotations

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Pair, Tensor, Tensors, Vocabulary, Words, layered

_LLAMA = Words(
    "llama", words.usual_keys(), {**layered(3, {**words.attention(), **words.feed_forward()}), **words.ends()},
    Vocabulary(["<image>"], bpe="", end="</s>", begin="<s>", adds_begin=True),
)  # fmt: skip
_VICUNA = (
    "{{ bos_token }}A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions. {% for m in messages %}{% if m.role == 'user' %}"
    "USER: {{ m.content }} {% elif m.role == 'assistant' %}ASSISTANT: {{ m.content }}</s>{% else %}{{ m.content }} "
    "{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


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


def _mobile(projector: str, own: Tensors, models: str) -> Pair:
    """MobileVLM: the projectors have a grid of 24 by 24 patches built in, and make a quarter as many rows of it."""
    tensors = {
        **eyes.patches(patch=4, bias=False, places=577),
        "v.class_embd": (64,),
        **eyes.norm("v.pre_ln"),
        **layered(3, eyes.layer(), "v.blk."),
        **own,
    }
    llama = Words(_LLAMA.arch, _LLAMA.keys, _LLAMA.tensors, _LLAMA.vocabulary, _VICUNA)
    return Pair(llama, Eyes(projector, eyes.usual_keys(image=96, patch=4), tensors), models)


def _ldp() -> Pair:
    """MobileVLM: two blocks of MobileNet, of which the second halves both sides."""
    tensors = {**eyes.linear("mm.model.mlp.1", 64, 64), **eyes.linear("mm.model.mlp.3", 64, 64)}
    for number in (1, 2):
        block = f"mm.model.mb_block.{number}.block."
        tensors |= {
            f"{block}0.0.weight": (64, 1, 3, 3),
            **eyes.norm(f"{block}0.1"),
            **eyes.linear(f"{block}1.fc1", 16, 64),
            **eyes.linear(f"{block}1.fc2", 64, 16),
            f"{block}2.0.weight": (64, 64),
            **eyes.norm(f"{block}2.1"),
        }
    return _mobile("ldp", tensors, "MobileVLM")


def _ldpv2() -> Pair:
    """MobileVLM V2: pooling, and a convolution for positions."""
    tensors = {
        **eyes.linear("mm.model.mlp.0", 64, 64),
        **eyes.linear("mm.model.mlp.2", 64, 64),
        "mm.model.peg.0.weight": (64, 1, 3, 3),
        "mm.model.peg.0.bias": (64,),
    }
    return _mobile("ldpv2", tensors, "MobileVLM V2")


PAIRS = {"mlp_norm": _mlp_norm, "ldp": _ldp, "ldpv2": _ldpv2}
