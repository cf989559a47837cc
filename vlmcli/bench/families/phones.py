"""Pairs of families whose encoder is CLIP's or SigLIP's, with a projector of their own: LLaVA's kin."""

from __future__ import annotations

from dataclasses import replace

from vlmcli.bench.families import eyes, words
from vlmcli.bench.families.maker import Eyes, Pair, Tensor, Tensors, Vocabulary, Words, layered

_LLAMA = Words(
    "llama", words.usual_keys(), {**layered(3, {**words.attention(), **words.feed_forward()}), **words.ends()},
    Vocabulary(["<image>"], bpe="", end="</s>", begin="<s>", adds_begin=True), output=0.3,
)  # fmt: skip
_YI = (
    "{{ bos_token }}{% if messages[0].role != 'system' %}This is a chat between an inquisitive human and an AI "
    "assistant. Assume the role of the AI assistant. Read all the images carefully, and respond to the human's "
    "questions with informative, helpful, detailed and polite answers. "
    "这是一个好奇的人类和一个人工智能助手之间的对话。假设你扮演这个AI助手的角色。"
    "仔细阅读所有的图像，并对人类的问题做出信息丰富、有帮助、详细的和礼貌的回答。\n\n{% endif %}"
    "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}\n\n{% else %}"
    "### {{ {'user': 'Human', 'assistant': 'Assistant'}[m.role] }}: {{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Assistant:{% endif %}"
)
"""Source: Yi, VL/llava/conversation.py, "mm_default"."""
_VICUNA = (
    "{{ bos_token }}{% if messages[0].role != 'system' %}A chat between a curious user and an artificial intelligence "
    "assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. {% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}"
    "USER: {{ m.content }} {% elif m.role == 'assistant' %}ASSISTANT: {{ m.content }}</s>{% else %}{{ m.content }} "
    "{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""Source: MobileVLM, mobilevlm/conversation.py, "v1"."""


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
    return Pair(replace(_LLAMA, template=_YI), Eyes("mlp", eyes.usual_keys(), tensors), "Yi-VL", draw=16)


def _mobile(projector: str, own: Tensors, models: str) -> Pair:
    """MobileVLM: the projectors have a grid of 24 by 24 patches built in, and make a quarter as many rows of it."""
    tensors = {
        **eyes.patches(patch=4, bias=False, places=577),
        "v.class_embd": (64,),
        **eyes.norm("v.pre_ln"),
        **layered(3, eyes.layer(), "v.blk."),
        **own,
    }
    return Pair(replace(_LLAMA, template=_VICUNA), Eyes(projector, eyes.usual_keys(image=96, patch=4), tensors), models)


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
    return replace(_mobile("ldp", tensors, "MobileVLM"), draw=7)


def _ldpv2() -> Pair:
    """MobileVLM V2: pooling, and a convolution for positions."""
    tensors = {
        **eyes.linear("mm.model.mlp.0", 64, 64),
        **eyes.linear("mm.model.mlp.2", 64, 64),
        "mm.model.peg.0.weight": (64, 1, 3, 3),
        "mm.model.peg.0.bias": (64,),
    }
    return replace(_mobile("ldpv2", tensors, "MobileVLM V2"), draw=8)


def _glm_edge() -> Pair:
    """GLM-Edge-V: a convolution that halves both sides, a gated layer, and rows of its own around the picture."""
    glm = Words(
        "chatglm",
        words.usual_keys() | {"rope.dimension_count": 8},
        {**layered(3, {**words.attention(biases=True), **words.joined_feed_forward()}), **words.ends()},
        Vocabulary(
            [
                "<|endoftext|>",
                "[MASK]",
                "[gMASK]",
                "<sop>",
                "<|system|>",
                "<|user|>",
                "<|assistant|>",
                "<|observation|>",
                "<|begin_of_image|>",
                "<|end_of_image|>",
            ],
            bpe="chatglm-bpe",
            end="<|endoftext|>",
            turn="<|user|>",
        ),
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",  # as ms-swift has it: "glm_edge_v"
        output=0.3,
    )
    tensors = {
        **eyes.patches(places=64),
        **eyes.norm("v.post_ln"),
        **layered(3, eyes.layer(), "v.blk."),
        "adapter.conv.weight": (64, 64, 2, 2),
        "adapter.conv.bias": (64,),
        "adapter.linear.linear.weight": (64, 64),
        **eyes.norm("adapter.linear.norm1"),
        "adapter.linear.dense_h_to_4h.weight": (128, 64),
        "adapter.linear.gate.weight": (128, 64),
        "adapter.linear.dense_4h_to_h.weight": (64, 128),
        "adapter.boi": Tensor((64,), 0.5),
        "adapter.eoi": Tensor((64,), 0.5),
    }
    return Pair(
        glm, Eyes("adapter", eyes.usual_keys(image=112), tensors, {"clip.use_gelu": True}), "GLM-Edge-V", draw=4
    )


def _janus_pro() -> Pair:
    """Janus-Pro: SigLIP, whose patches go through two layers one by one."""
    janus = Words(
        "llama",
        words.usual_keys(kv_heads=4),
        {**layered(3, {**words.attention(kv_heads=4), **words.feed_forward()}), **words.ends()},
        Vocabulary(
            ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<|User|>", "<|Assistant|>", "<image_placeholder>",
             "<begin_of_image>", "<end_of_image>"],
            bpe="deepseek-llm", end="<｜end▁of▁sentence｜>", begin="<｜begin▁of▁sentence｜>", adds_begin=True,
        ),
        "{% for m in messages %}{% if m.role == 'user' %}<|User|>: {{ m.content }}\n\n{% elif m.role == 'assistant' %}"
        "<|Assistant|>: {{ m.content }}<｜end▁of▁sentence｜>{% else %}{{ m.content }}\n\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|Assistant|>:{% endif %}",
        output=0.3,
    )  # fmt: skip
    tensors = {
        **eyes.patches(patch=16),
        "v.position_embd.weight": Tensor((16, 64), kind="F32"),
        **eyes.norm("v.post_ln"),
        **layered(3, eyes.layer(), "v.blk."),
        **eyes.linear("mm.0", 64, 64),
        **eyes.linear("mm.1", 64, 64),
    }
    keys = eyes.usual_keys(image=64, patch=16)
    return Pair(janus, Eyes("janus_pro", keys, tensors, {"clip.use_gelu": True}), "Janus-Pro", draw=18)


def _phi4() -> Pair:
    """Phi-4 with eyes: SigLIP 2 on pictures of any shape, for which position embeddings are stretched."""
    phi = Words(
        "phi3",
        words.usual_keys() | {"rope.scaling.original_context_length": 4096, "attention.sliding_window": 0},
        {**layered(3, {**words.joined_attention(), **words.joined_feed_forward()}), **words.ends()},
        Vocabulary(
            ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|dummy_0|>"], bpe="dbrx",
            begin="<|endoftext|>",
        ),
        "{% for m in messages %}<|im_start|>{{ m.role }}<|im_sep|>{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}",
        output=0.3,
    )  # fmt: skip
    tensors = {
        **eyes.patches(patch=16),
        "v.position_embd.weight": Tensor((16, 64), kind="F32"),
        **layered(3, eyes.layer(), "v.blk."),
        **eyes.linear("mm.0", 64, 64),
        **eyes.linear("mm.2", 64, 64),
    }
    keys = eyes.usual_keys(image=64, patch=16, image_min_pixels=8 * 16 * 16, image_max_pixels=80 * 16 * 16)
    return Pair(phi, Eyes("phi4", keys, tensors, {"clip.use_gelu": True}), "Phi-4-reasoning-vision", draw=2)


def _cogvlm() -> Pair:
    """CogVLM: experts of its own for a picture's rows in every layer of the language model."""
    expert = {
        "vis_attn_qkv.weight": (3 * 64, 64),
        "vis_attn_output.weight": (64, 64),
        "vis_gate.weight": (128, 64),
        "vis_up.weight": (128, 64),
        "vis_down.weight": (64, 128),
    }
    cog = Words(
        "cogvlm",
        words.usual_keys(kv_heads=4),
        {
            **layered(3, {**words.joined_attention(kv_heads=4), **words.feed_forward(), **expert}),
            **words.ends(),
        },
        Vocabulary(
            ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
             "<|reserved_special_token_0|>"],
            bpe="llama-bpe", end="<|end_of_text|>", begin="<|begin_of_text|>", adds_begin=True,
        ),
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}Question: {{ m.content }} "
        "{% elif m.role == 'assistant' %}Answer: {{ m.content }}\n{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}Answer:{% endif %}",
        output=0.3,
    )  # fmt: skip
    tensors = {
        **eyes.patches(),
        "v.position_embd.weight": Tensor((17, 64), kind="F32"),
        "v.class_embd": (64,),
        **layered(3, eyes.layer(fused=True), "v.blk."),
        "mm.model.fc.weight": (64, 64),
        **eyes.norm("mm.post_fc_norm"),
        "mm.up.weight": (128, 64),
        "mm.gate.weight": (128, 64),
        "mm.down.weight": (64, 128),
        "v.boi": Tensor((64,), 0.5),
        "v.eoi": Tensor((64,), 0.5),
    }
    return Pair(cog, Eyes("cogvlm", eyes.usual_keys(), tensors, {"clip.use_gelu": True}), "CogVLM 2", draw=8)


def _llama4() -> Pair:
    """Llama 4: experts in every other layer, attention in pieces with every fourth layer without positions; tiles."""
    dense = {**words.attention(), **words.feed_forward()}
    sparse = {**words.attention(), **words.experts(ff=64, shared=64, choice=0.2, answer=0.2)}
    llama = Words(
        "llama4",
        words.usual_keys(layers=4) | {
            "expert_count": 4, "expert_used_count": 1, "expert_feed_forward_length": 64, "interleave_moe_layer_step": 2,
            "expert_shared_count": 1,
        },
        {**layered((0, 2), dense), **layered((1, 3), sparse), "rope_freqs.weight": (8,), **words.ends()},
        Vocabulary(
            ["<|begin_of_text|>", "<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>",
             "<|image_start|>", "<|image_end|>", "<|image|>", "<|patch|>", "<|tile_x_separator|>",
             "<|tile_y_separator|>"],
            bpe="llama4", end="<|eot|>", begin="<|begin_of_text|>", adds_begin=True,
        ),
        "{{ bos_token }}{% for m in messages %}<|header_start|>{{ m.role }}<|header_end|>\n\n{{ m.content | trim }}"
        "<|eot|>{% endfor %}{% if add_generation_prompt %}<|header_start|>assistant<|header_end|>\n\n{% endif %}",
        output=0.3,
    )  # fmt: skip
    tensors = {
        "v.patch_embd.weight": (64, 3 * 14 * 14),
        "v.position_embd.weight": Tensor((17, 64), kind="F32"),
        "v.class_embd": (64,),
        **eyes.norm("v.pre_ln"),
        **eyes.norm("v.post_ln"),
        **layered(3, eyes.layer(), "v.blk."),
        "mm.model.mlp.1.weight": (128, 256),
        "mm.model.mlp.2.weight": (128, 128),
        "mm.model.fc.weight": (64, 128),
    }
    keys = eyes.usual_keys() | {"projector.scale_factor": 2}
    return Pair(llama, Eyes("llama4", keys, tensors, {"clip.use_gelu": True}), "Llama 4 Scout", draw=4)


def _granite() -> Pair:
    """Granite Vision: LLaVA 1.6's tiles, and the outputs of three of SigLIP's layers side by side; Granite's scales."""
    keys = words.usual_keys() | {
        "embedding_scale": 4.0, "residual_scale": 0.5, "attention.scale": 0.25, "logit_scale": 2.0,
    }  # fmt: skip
    granite = Words(
        "granite",
        keys,
        _LLAMA.tensors,
        Vocabulary(
            ["<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<image>"], bpe="refact",
            end="<|end_of_text|>", begin="<|end_of_text|>",
        ),
        "{% if messages[0].role != 'system' %}<|system|>\nA chat between a curious user and an artificial intelligence "
        "assistant. The assistant gives helpful, detailed, and polite answers to the user's questions.\n{% endif %}"
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}"
        "{{ '<|end_of_text|>' if m.role == 'assistant' else '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        output=0.6,
        embedding=0.1,
    )  # fmt: skip
    tensors = {
        **eyes.patches(places=16),
        **eyes.norm("v.post_ln"),
        **layered(3, eyes.layer(), "v.blk."),
        **eyes.linear("mm.0", 64, 3 * 64),
        **eyes.linear("mm.2", 64, 64),
        "v.image_newline": (64,),
    }
    sight = eyes.usual_keys() | {
        "feature_layer": [1, 2, 3], "mm_patch_merge_type": "spatial_unpad",
        "image_grid_pinpoints": [56, 112, 112, 56, 112, 112, 56, 168, 168, 56, 168, 112],
    }  # fmt: skip
    return Pair(granite, Eyes("mlp", sight, tensors, {"clip.use_gelu": True}), "Granite Vision 3.2")


PAIRS = {
    "mlp_norm": _mlp_norm,
    "mlp-granite": _granite,
    "ldp": _ldp,
    "ldpv2": _ldpv2,
    "adapter": _glm_edge,
    "janus_pro": _janus_pro,
    "phi4": _phi4,
    "cogvlm": _cogvlm,
    "llama4": _llama4,
}
