"""Pairs of Granite, Nemotron, MiniMax and Mistral, and of LFM2 with experts."""

from __future__ import annotations

from collections.abc import Callable

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Pair, Tensor, Vocabulary, Words, layered

_GRANITE_TURNS = (
    "{%- set own = messages[0].role == 'system' -%}{{- '<|start_of_role|>system<|end_of_role|>' -}}"
    "{{- messages[0].content if own else 'You are a helpful assistant. Please ensure responses are professional, "
    "accurate, and safe.' -}}{{- '<|end_of_text|>\\n' -}}{%- for m in (messages[1:] if own else messages) -%}"
    "{{- '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|start_of_role|>assistant<|end_of_role|>' -}}{%- endif -%}"
)


def _granite_words() -> Words:
    """Granite 4 Vision's: some layers get rows of their own from the encoder; sums and logits are scaled."""
    keys = words.usual_keys(layers=6) | {
        "logit_scale": 2.0, "residual_scale": 0.5, "embedding_scale": 3.0, "attention.scale": 0.25,
        "deepstack_mapping": [-1, 1, 2, 3, 4, -1],
    }  # fmt: skip
    tensors = {
        **layered(6, {**words.attention(), **words.feed_forward()}),
        "output_norm.weight": Tensor((64,), 0.1, about=8.0),
    }
    specials = ["<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<image>"]
    return Words(
        "granite", keys, tensors, Vocabulary(specials, "dbrx", "<|end_of_text|>"), _GRANITE_TURNS, embedding=0.1
    )


def _granite4_vision() -> Pair:
    """Five projectors after several layers of the encoder: windows of patches answer queries (Q-Former).

    A picture is always an overview and tiles, in one row after another, with a mark at the end of each.
    """
    block: words.Shapes = {
        "img_pos": Tensor((1, 16, 64), 0.1, kind="F32"), "query": Tensor((1, 4, 64), 0.5, kind="F32"),
        **eyes.linear("linear", 64, 64), **eyes.norm("norm"), **eyes.norm("post_norm"),
        **eyes.linear("ffn_up", 128, 64), **eyes.linear("ffn_down", 64, 128), **eyes.norm("ffn_norm"),
    }  # fmt: skip
    for kind in ("self_attn", "cross_attn"):
        for part in ("q", "k", "v", "out"):
            block |= eyes.linear(f"{kind}_{part}", 64, 64)
        block |= eyes.norm(f"{kind}_norm")
    tensors: words.Shapes = {
        **eyes.patches(64, 8), "v.position_embd.weight": Tensor((64, 64), kind="F32"), **eyes.norm("v.post_ln"), **layered(4, eyes.layer(), "v.blk."),
        **layered(5, block, "v.proj_blk."), "v.image_newline": Tensor((64,), 0.5),
    }  # fmt: skip
    grids = [(64 * x, 64 * y) for x in range(1, 6) for y in range(1, 6) if 1 < x * y <= 6]
    keys = eyes.usual_keys(64, 8, layers=4) | {
        "projector.query_side": 2, "projector.window_side": 4, "projector.spatial_offsets": [-1, -1, -1, 0, 3],
        "feature_layer": [3, 2, 1, 3, 3], "preproc_image_size": 64,
        "image_grid_pinpoints": [side for grid in grids for side in grid],
    }  # fmt: skip
    return Pair(
        _granite_words(), Eyes("granite4_vision", keys, tensors, {"clip.use_gelu": True}), "Granite 4.0 3B Vision"
    )


PAIRS: dict[str, Callable[[], Pair]] = {
    "granite4_vision": _granite4_vision,
}
