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
        **eyes.patches(64, 8), "v.position_embd.weight": Tensor((64, 64), kind="F32"), **eyes.norm("v.post_ln"),
        **layered(4, eyes.layer(), "v.blk."), **layered(5, block, "v.proj_blk."),
        "v.image_newline": Tensor((64,), 0.5),
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


_NEMOTRON_TURNS = (
    "{%- set ns = namespace(think=true) -%}{%- for m in messages if m.role != 'assistant' -%}"
    "{%- if '/think' in m.content -%}{%- set ns.think = true -%}"
    "{%- elif '/no_think' in m.content -%}{%- set ns.think = false -%}{%- endif -%}{%- endfor -%}"
    "{%- macro said(m) -%}{{- m.content.replace('/think', '').replace('/no_think', '').strip() -}}{%- endmacro -%}"
    "{%- set own = messages[0].role == 'system' -%}"
    "{{- '<SPECIAL_10>System\\n' -}}{{- said(messages[0]) if own else '' -}}{{- '\\n\\n' -}}"
    "{%- for m in (messages[1:] if own else messages) -%}"
    "{%- if m.role == 'user' -%}{{- '<SPECIAL_11>User\\n' -}}{{- said(m) -}}{{- '\\n' -}}"
    "{%- else -%}{{- '<SPECIAL_11>Assistant\\n' + m.content.split('</think>')[-1].strip() + '\\n<SPECIAL_12>\\n' -}}"
    "{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{{- '<SPECIAL_11>Assistant\\n' -}}"
    "{{- '<think>\\n' if ns.think else '<think></think>' -}}{%- endif -%}"
)
_NEMOTRON_VOCABULARY = Vocabulary(
    ["<unk>", "<s>", "</s>", "<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>", "<think>", "</think>", "<image>"],
    "tekken", "<SPECIAL_12>", "<s>", shown=("<think>", "</think>"),
)  # fmt: skip


_NEMOTRON3_TURNS = (
    "{%- set think = enable_thinking if enable_thinking is defined else true -%}"
    "{%- set own = messages[0].role == 'system' -%}"
    "{{- '<|im_start|>system\n' + (messages[0].content if own else '') + '<|im_end|>\n' -}}"
    "{%- for m in (messages[1:] if own else messages) -%}{{- '<|im_start|>' + m.role + '\n' -}}"
    "{{- m.content if m.role == 'user' else '<think></think>' + m.content.split('</think>')[-1].strip() -}}"
    "{{- '<|im_end|>\n' -}}{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}"
    "{{- '<think>\n' if think else '<think></think>' -}}{%- endif -%}"
)
_NEMOTRON3_VOCABULARY = Vocabulary(
    ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<image>"], "tekken",
    shown=("<think>", "</think>"),
)  # fmt: skip


def _nemotron_words(pattern: str = "M-M*-M") -> Words:
    """Nemotron H: each layer is one thing: M for a state space (Mamba 2), * for attention, - for feed-forward.

    E is for experts, as Nemotron 3 has them: it is another architecture, with another template.
    """
    inner, state, groups, heads = 64, 16, 2, 4
    mixed = inner + 2 * groups * state
    kinds: dict[str, words.Shapes] = {
        "M": {
            "ssm_in.weight": (inner + mixed + heads, 64), "ssm_conv1d.weight": Tensor((mixed, 4), 0.5, kind="F32"),
            "ssm_conv1d.bias": (mixed,), "ssm_dt.bias": Tensor((heads,), 0.5, about=-3.5),
            "ssm_a": Tensor((heads, 1), 0.2, about=-1.0, kind="F32"),
            "ssm_d": Tensor((heads, 1), about=1.0, kind="F32"),
            "ssm_norm.weight": Tensor((groups, inner // groups), 0.02, about=1.0, kind="F32"),
            "ssm_out.weight": (64, inner),
        },
        "*": {name: shape for name, shape in words.attention().items() if name != "attn_norm.weight"},
        "-": {"ffn_up.weight": (128, 64), "ffn_down.weight": (64, 128)},
        "E": {
            "ffn_gate_inp.weight": Tensor((4, 64), 0.5, kind="F32"), "exp_probs_b.bias": (4,),
            "ffn_up_exps.weight": (4, 32, 64), "ffn_down_exps.weight": (4, 64, 32),
            "ffn_up_shexp.weight": (48, 64), "ffn_down_shexp.weight": (64, 48),
        },
    }  # fmt: skip
    tensors: words.Shapes = {"output_norm.weight": Tensor((64,), 0.1, about=4.0)}
    for layer, kind in enumerate(pattern):
        tensors |= layered([layer], {"attn_norm.weight": (64,), **kinds[kind]})
    keys = words.usual_keys(layers=len(pattern)) | {
        "attention.head_count_kv": [2 if kind == "*" else 0 for kind in pattern],
        "feed_forward_length": [{"-": 128, "E": 32}.get(kind, 0) for kind in pattern],
        "attention.layer_norm_epsilon": 1e-5, "ssm.conv_kernel": 4, "ssm.inner_size": inner, "ssm.state_size": state,
        "ssm.time_step_rank": heads, "ssm.group_count": groups,
    }  # fmt: skip
    if "E" in pattern:
        keys |= {
            "expert_count": 4, "expert_used_count": 2, "expert_shared_count": 1, "expert_feed_forward_length": 32,
            "expert_shared_feed_forward_length": 48, "expert_weights_norm": True, "expert_weights_scale": 2.5,
            "expert_group_count": 1,
        }  # fmt: skip
        return Words("nemotron_h_moe", keys, tensors, _NEMOTRON3_VOCABULARY, _NEMOTRON3_TURNS, embedding=0.1)
    return Words("nemotron_h", keys, tensors, _NEMOTRON_VOCABULARY, _NEMOTRON_TURNS, embedding=0.1)


def _radio() -> Eyes:
    """RADIO's encoder: registers before the patches; a projector whose activation is squared."""
    tensors: words.Shapes = {
        **eyes.patches(64, 16, bias=False), "v.position_embd.weight": Tensor((1, 64, 64), 0.2, kind="F32"),
        "v.class_embd": Tensor((4, 64), 0.2, kind="F32"), **layered(3, eyes.layer(fused=True), "v.blk."),
        "mm.model.mlp.0.weight": (256,), "mm.model.mlp.1.weight": (128, 256), "mm.model.mlp.3.weight": (64, 128),
    }  # fmt: skip
    keys = eyes.usual_keys(128, 16, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    keys["projector.scale_factor"] = 2
    return Eyes("nemotron_v2_vl", keys, tensors, {"clip.use_gelu": True})


def _nemotron_v2_vl() -> Pair:
    return Pair(_nemotron_words(), _radio(), "Nemotron Nano 12B v2 VL")


def _nemotron_moe() -> Pair:
    return Pair(_nemotron_words("MEM*EM"), _radio(), "Nemotron 3 Nano Omni")


_MINIMAX_TURNS = (
    "{{- ']~!b[' ~ ']~b]system\\n' -}}{{- 'You answer questions.\\n\\n<thinking_instructions>\\nThinking mode: ' -}}"
    "{{- thinking_mode if thinking_mode is defined else 'adaptive' -}}{{- '\\n</thinking_instructions>' -}}"
    "{{- '[e~[\\n' -}}{%- set own = messages[0].role == 'system' -%}"
    "{{- ']~b]developer\\n' ~ (messages[0].content if own else 'You are a helpful assistant.') ~ '[e~[\\n' -}}"
    "{%- for m in (messages[1:] if own else messages) -%}"
    "{%- if m.role == 'user' -%}{{- ']~b]user\\n' ~ m.content ~ '[e~[\\n' -}}"
    "{%- else -%}{{- ']~b]ai\\n' ~ '</mm:think>' ~ m.content.split('</mm:think>')[-1] ~ '[e~[\\n' -}}{%- endif -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- ']~b]ai\\n' -}}"
    "{%- if thinking_mode is defined and thinking_mode == 'disabled' -%}{{- '</mm:think>' -}}"
    "{%- elif thinking_mode is defined and thinking_mode == 'enabled' -%}{{- '<mm:think>' -}}{%- endif -%}{%- endif -%}"
)


def _minimax_words(block: int, blocks: int) -> Words:
    """MiniMax M3: experts, one of them always asked; an index chooses which blocks of positions are attended to.

    Args:
        block: positions in a block.
        blocks: how many are chosen.
    """
    specials = ["]~!b[", "]~b]", "[e~[", "<mm:think>", "</mm:think>", "]<]image[>["]
    specials += ["]<]start of image[>[", "]<]end of image[>["]
    layer = {
        **words.attention(norms=True),
        "ffn_norm.weight": (64,),
        "attn_q_norm.weight": Tensor((16,), 0.1, about=3.0),
    }
    sparse: words.Shapes = {
        "ffn_gate_inp.weight": Tensor((4, 64), 0.5, kind="F32"), "exp_probs_b.bias": (4,),
        "ffn_gate_exps.weight": (4, 32, 64), "ffn_up_exps.weight": (4, 32, 64),
        "ffn_down_exps.weight": Tensor((4, 64, 32), 0.02), "ffn_down_shexp.weight": Tensor((64, 32), 0.05),
        "ffn_gate_shexp.weight": (32, 64), "ffn_up_shexp.weight": (32, 64),
        "indexer.q_proj.weight": Tensor((32, 64), kind="F32"), "indexer.k_proj.weight": Tensor((16, 64), kind="F32"),
        "indexer.q_norm.weight": (16,), "indexer.k_norm.weight": (16,),
    }  # fmt: skip
    tensors: words.Shapes = {
        **layered([0], {**layer, **words.feed_forward()}), **layered([1, 2], {**layer, **sparse}), **words.ends(),
        "output.weight": (288, 64),
    }  # fmt: skip
    keys = words.usual_keys() | {
        "rope.dimension_count": 8, "leading_dense_block_count": 1, "expert_count": 4, "expert_used_count": 2,
        "expert_feed_forward_length": 32, "expert_shared_count": 1, "expert_weights_scale": 2.0,
        "expert_weights_norm": True, "expert_gating_func": 2, "attention.indexer.head_count": 2,
        "attention.indexer.key_length": 16, "attention.indexer.top_k": blocks,
        "attention.indexer.block_size": block, "attention.indexer.local_blocks": 1,
    }  # fmt: skip
    vocabulary = Vocabulary(specials, "minimax-m2", "[e~[", "]~!b[", least=288)
    return Words("minimax-m3", keys, tensors, vocabulary, _MINIMAX_TURNS, embedding=0.12)


def _minimax_m3() -> Pair:
    """Two frames' patches, turned by their row and column; four patches become one row, after a layer for each."""
    tensors: words.Shapes = {
        **eyes.patches(64, 14, bias=False, second=True), **eyes.norm("v.pre_ln"), **layered(3, eyes.layer(), "v.blk."),
        **eyes.linear("mm.1", 64, 64), **eyes.linear("mm.2", 64, 64),
        **eyes.linear("mm.merger.fc1", 128, 256), **eyes.linear("mm.merger.fc2", 64, 128),
    }  # fmt: skip
    keys = eyes.usual_keys(672, spatial_merge_size=2)
    encoder = Eyes("minimax_m3", keys, tensors, {"clip.use_gelu": True})
    return Pair(_minimax_words(16, 8), encoder, "MiniMax M3")


_MISTRAL_TURNS = (
    "{{- bos_token -}}{%- set own = messages[0].role == 'system' -%}"
    "{{- '[SYSTEM_PROMPT]' + (messages[0].content if own else 'You answer questions.') + '[/SYSTEM_PROMPT]' -}}"
    "{%- for m in (messages[1:] if own else messages) -%}{%- if m.role == 'user' -%}{{- '[INST]' -}}"
    "{%- if m.content is string -%}{{- m.content -}}{%- else -%}{%- for part in m.content -%}"
    "{{- part.text if part.type == 'text' else '[IMG]' -}}{%- endfor -%}{%- endif -%}{{- '[/INST]' -}}"
    "{%- else -%}{{- m.content + eos_token -}}{%- endif -%}{%- endfor -%}"
)


def _mistral_words() -> Words:
    """Ministral 3: positions are stretched (YaRN), and attention is sharpened the further on a token is."""
    specials = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    specials += ["[IMG]", "[IMG_BREAK]", "[IMG_END]"]
    keys = words.usual_keys() | {
        "rope.scaling.type": "yarn", "rope.scaling.factor": 16.0, "rope.scaling.original_context_length": 256,
        "rope.scaling.yarn_log_multiplier": 1.0, "attention.temperature_scale": 0.1,
    }  # fmt: skip
    tensors: words.Shapes = {
        **layered(3, {**words.attention(), "attn_q.weight": Tensor((64, 64), 0.6), **words.feed_forward()}),
        "output_norm.weight": Tensor((64,), 0.1, about=4.0),
    }
    vocabulary = Vocabulary(specials, "tekken", "</s>", "<s>", adds_begin=True)
    return Words("mistral3", keys, tensors, vocabulary, _MISTRAL_TURNS, embedding=0.1)


def _pixtral_mistral3() -> Pair:
    """Pixtral's encoder with Mistral Small 3.1's merger of four patches to one."""
    tensors: words.Shapes = {
        **eyes.patches(64, 14, bias=False), **eyes.norm("v.pre_ln", bias=False),
        **layered(3, eyes.layer(bias=False, rms=True, gate=True), "v.blk."), "mm.input_norm.weight": (64,),
        "mm.patch_merger.weight": (64, 256), "mm.1.weight": (64, 64), "mm.2.weight": (64, 64),
        "v.token_embd.img_break": (64,),
    }  # fmt: skip
    keys = eyes.usual_keys(1540, spatial_merge_size=2)
    encoder = Eyes("pixtral", keys, tensors, {"clip.use_silu": True})
    return Pair(_mistral_words(), encoder, "Ministral 3, Mistral Small 3.1")


_LFM2_TURNS = (
    "{{- bos_token -}}{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' -}}"
    "{%- if m.content is string -%}{{- m.content -}}{%- else -%}{%- for part in m.content -%}"
    "{{- part.text if part.type == 'text' else '<image>' -}}{%- endfor -%}{%- endif -%}{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def _lfm2moe_words() -> Words:
    """LFM2 8B-A1B: short convolutions and attention, and experts from the second layer on."""
    specials = ["<|pad|>", "<|startoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<|image_start|>"]
    specials += ["<|image_end|>", "<|img_thumbnail|>"]
    specials += [f"<|img_row_{row}_col_{column}|>" for row in range(1, 11) for column in range(1, 11)]
    convolution: words.Shapes = {
        "attn_norm.weight": (64,), "shortconv.conv.weight": Tensor((64, 3), 0.5, kind="F32"),
        "shortconv.in_proj.weight": (192, 64), "shortconv.out_proj.weight": (64, 64),
    }  # fmt: skip
    experts: words.Shapes = {
        "ffn_norm.weight": (64,), "ffn_gate_inp.weight": Tensor((4, 64), 0.5, kind="F32"), "exp_probs_b.bias": (4,),
        "ffn_gate_exps.weight": (4, 32, 64), "ffn_up_exps.weight": (4, 32, 64),
        "ffn_down_exps.weight": Tensor((4, 64, 32), 0.05),
    }  # fmt: skip
    tensors: words.Shapes = {
        **layered([0], {**convolution, **words.feed_forward()}),
        **layered([1, 3], {**words.attention(norms=True), **experts}), **layered([2], {**convolution, **experts}),
        "token_embd_norm.weight": Tensor((64,), 0.1, about=4.0),
    }  # fmt: skip
    keys = words.usual_keys(layers=4) | {
        "attention.head_count_kv": [0, 2, 0, 2], "shortconv.l_cache": 3, "leading_dense_block_count": 1,
        "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32, "expert_gating_func": 2,
    }  # fmt: skip
    vocabulary = Vocabulary(specials, "lfm2", "<|im_end|>", "<|startoftext|>", adds_begin=True)
    return Words("lfm2moe", keys, tensors, vocabulary, _LFM2_TURNS, embedding=0.3)


def _lfm2_lfm2moe() -> Pair:
    """LFM2-VL's encoder: any size, or tiles and a thumbnail; four patches become one row."""
    tensors: words.Shapes = {
        **eyes.patches(64, 16), "v.position_embd.weight": Tensor((256, 64), 0.1, kind="F32"),
        **eyes.norm("v.post_ln"), **layered(3, eyes.layer(), "v.blk."), **eyes.norm("mm.input_norm", 256),
        **eyes.linear("mm.1", 128, 256), **eyes.linear("mm.2", 64, 128),
    }  # fmt: skip
    keys = eyes.usual_keys(256, 16)
    keys["projector.scale_factor"] = 2
    encoder = Eyes("lfm2", keys, tensors, {"clip.use_gelu": True})
    return Pair(_lfm2moe_words(), encoder, "LFM2-VL with experts")


PAIRS: dict[str, Callable[[], Pair]] = {
    "granite4_vision": _granite4_vision,
    "nemotron_v2_vl": _nemotron_v2_vl,
    "nemotron_v2_vl-nemotron_h_moe": _nemotron_moe,
    "minimax_m3": _minimax_m3,
    "pixtral-mistral3": _pixtral_mistral3,
    "lfm2-lfm2moe": _lfm2_lfm2moe,
}
