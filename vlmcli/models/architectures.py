"""What llama.cpp's graphs of language models assert of their keys, by architecture.

Facts, and no code that judges by them (`check_attention` does). Each table is of the graphs in llama.cpp's src/models/
that have the assertion, whether small pairs of them are made here or not: a published file keeps to them, or it could
not be loaded by anybody.
"""

from __future__ import annotations

SQUARE = frozenset(
    {
        "afmoe", "apertus", "arcee", "arctic", "baichuan", "bailingmoe2", "bitnet", "bloom", "chameleon", "chatglm",
        "codeshell", "cogvlm", "cohere2", "cohere2moe", "command-r", "dbrx", "deci", "deepseek", "dots1", "ernie4_5",
        "ernie4_5-moe", "exaone", "exaone-moe", "exaone4", "falcon", "glm4", "glm4moe", "gpt-oss", "gpt2", "gptneox",
        "granite", "granite_swa", "granitehybrid", "granitemoe", "graniteswitch", "grok", "grovemoe", "hunyuan-dense",
        "hunyuan-moe", "hunyuan_vl", "hy_v3", "internlm2", "jais", "jais2", "laguna", "llama", "llama-embed", "llama4",
        "maincoder", "maple", "mellum", "minicpm", "minimax-01", "minimax-m2", "minimax-m3", "mistral3", "mpt",
        "muse-glimmer", "nanbeige", "nemotron", "nemotron_h", "nemotron_h_moe", "olmo", "olmo2", "olmoe", "openelm",
        "orion", "paddleocr", "pangu-embedded", "phi2", "phi3", "phimoe", "plamo", "qwen", "qwen2", "qwen2moe",
        "qwen2vl", "qwen3", "qwen35", "qwen35moe", "qwen3moe", "qwen3next", "qwen3vl", "qwen3vlmoe", "qwen4exp",
        "refact", "seed_oss", "smallthinker", "smollm3", "spark2_5", "stablelm", "starcoder", "starcoder2", "talkie",
        "xverse",
    }
)  # fmt: skip
"""Keys and values have heads of one size: GGML_ASSERT(n_embd_head == hparams.n_embd_head_k())."""

WHOLE = frozenset(
    {
        "apertus", "arcee", "arctic", "baichuan", "chameleon", "codeshell", "cogvlm", "cohere2moe", "dbrx", "deci",
        "deepseek", "dots1", "ernie4_5", "ernie4_5-moe", "exaone", "exaone-moe", "exaone4", "falcon", "gpt-oss",
        "granite", "granite_swa", "granitemoe", "graniteswitch", "grok", "grovemoe", "hunyuan-dense", "hunyuan-moe",
        "hunyuan_vl", "hy_v3", "internlm2", "jais2", "llama", "llama-embed", "llama4", "maincoder", "mellum", "minicpm",
        "mistral3", "olmo", "olmo2", "olmoe", "orion", "paddleocr", "pangu-embedded", "plamo", "qwen2", "qwen2moe",
        "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "seed_oss", "smallthinker", "smollm3", "starcoder2",
        "talkie", "xverse",
    }
)  # fmt: skip
"""Whole heads rotate: GGML_ASSERT(n_embd_head == n_rot)."""

NARROW = frozenset(
    {
        "arctic", "baichuan", "bitnet", "bloom", "chameleon", "chatglm", "codeshell", "cohere2", "command-r", "dbrx",
        "deepseek", "deepseek2-ocr", "exaone4", "falcon", "gpt2", "gptneox", "grok", "internlm2", "jais", "lfm2",
        "lfm2moe", "mpt", "nemotron", "olmo", "olmo2", "olmoe", "orion", "phi2", "phi3", "phimoe", "plamo", "qwen",
        "qwen2", "qwen2moe", "qwen2vl", "stablelm", "starcoder", "starcoder2", "xverse",
    }
)  # fmt: skip
"""All heads side by side are as wide as the model, as the shape of attention's output says: load_arch_tensors."""

UNTURNED = frozenset(
    {
        "arwkv7", "bloom", "glm5-next", "gpt2", "granitehybrid", "jais", "jamba", "kimi-k3", "kimi-linear", "mamba",
        "mamba2", "minimax-01", "mpt", "nemotron_h", "nemotron_h_moe", "plamo2", "plamo3", "refact", "rwkv6",
        "rwkv6qwen2", "rwkv7", "starcoder", "t5",
    }
)  # fmt: skip
"""Nothing rotates, or not in all models: without ggml_rope, or with it on a condition."""

INDEXED = frozenset({"deepseek32", "deepseek4", "dots3note", "glm-dsa"})
"""An index of what is worth looking at is multiplied by a Hadamard matrix: llama-kv-cache.cpp, build_input_k_rot."""

STREAMED = frozenset({"deepseek4", "glm5-next"})
"""Four streams that mix: models/deepseek4.cpp, GGML_ASSERT(hc == 4)."""

GATED_DELTA = frozenset({"qwen35", "qwen35moe", "qwen3next", "qwen4exp"})
"""Layers of gated delta nets: models/qwen35.cpp, build_layer_attn_linear."""

OPTIONAL_QKV = frozenset({"phi3", "phimoe"})
"""Queries, keys and values may be missing, as far as loading goes: models/phi3.cpp, load_arch_tensors."""

MAMBA2 = frozenset({"falcon-h1", "granitehybrid", "mamba2", "nemotron_h", "nemotron_h_moe"})
"""Layers of Mamba 2: models/mamba-base.cpp, build_mamba2_layer."""

SCALINGS = frozenset({"none", "linear", "yarn", "longrope"})
"""What rope.scaling.type may be: llama-model.cpp, LLAMA_ROPE_SCALING_TYPES."""
