"""Which models the engine can load at all: the architectures and projector types that its llama.cpp knows by name.

A model that was published after the engine was built has a name that is not among these. llama.cpp refuses it, too, but
as it would refuse a damaged file; `check` says that a newer engine is needed, before anything is loaded.

Source: the sdist of llama-cpp-python 0.3.36 on PyPI; in its copy of llama.cpp (vendor/llama.cpp) the tables
LLM_ARCH_NAMES of src/llama-arch.cpp and PROJECTOR_TYPE_NAMES of tools/mtmd/clip-impl.h. Whoever moves the pin in
pyproject.toml copies the two tables again; tests/models/test_known.py asks the installed library about every name.
"""

from __future__ import annotations

from vlmcli.errors import ModelError
from vlmcli.models.gguf import Header

BINDINGS = "llama-cpp-python"
VERSION = "0.3.36"
"""The version of the bindings that the tables are of."""

ARCHITECTURES = frozenset(
    {
        "afmoe", "apertus", "arcee", "arctic", "arwkv7", "baichuan", "bailingmoe", "bailingmoe2",
        "bailingmoe3", "bert", "bitnet", "bloom", "chameleon", "chatglm", "codeshell", "cogvlm", "cohere2",
        "cohere2moe", "command-r", "dbrx", "deci", "deepseek", "deepseek2", "deepseek2-ocr", "deepseek32",
        "deepseek4", "dflash", "dots1", "dots3note", "dream", "eagle3", "ernie4_5", "ernie4_5-moe",
        "eurobert", "exaone", "exaone-moe", "exaone4", "falcon", "falcon-h1", "gemma", "gemma-embedding",
        "gemma2", "gemma3", "gemma3n", "gemma4", "gemma4-assistant", "glm-dsa", "glm4", "glm4moe",
        "glm5-next", "gpt-oss", "gpt2", "gptj", "gptneox", "granite", "granite_swa", "granitehybrid",
        "granitemoe", "graniteswitch", "grok", "grovemoe", "hrm_text", "hunyuan-dense", "hunyuan-moe",
        "hunyuan_vl", "hy_v3", "hy_v4", "internlm2", "jais", "jais2", "jamba", "jina-bert-v2",
        "jina-bert-v3", "kimi-k3", "kimi-linear", "laguna", "lfm2", "lfm2moe", "llada", "llada-moe",
        "llama", "llama-embed", "llama4", "maincoder", "mamba", "mamba2", "maple", "mellum", "mimo2",
        "minicpm", "minicpm3", "minimax-01", "minimax-m2", "minimax-m3", "mistral3", "mistral4",
        "modern-bert", "mpt", "muse-glimmer", "nanbeige", "nemotron", "nemotron_h", "nemotron_h_moe",
        "neo-bert", "nomic-bert", "nomic-bert-moe", "olmo", "olmo2", "olmoe", "openelm", "orion",
        "paddleocr", "pangu-embedded", "phi2", "phi3", "phimoe", "plamo", "plamo2", "plamo3", "plm",
        "pockettts", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen35", "qwen35moe", "qwen3moe",
        "qwen3next", "qwen3tts", "qwen3vl", "qwen3vlmoe", "qwen4exp", "refact", "rnd1", "rwkv6",
        "rwkv6qwen2", "rwkv7", "seed_oss", "smallthinker", "smollm3", "spark2_5", "stablelm", "starcoder",
        "starcoder2", "step35", "t5", "t5encoder", "talkie", "wavtokenizer-dec", "xverse",
    }
)  # fmt: skip
"""What `general.architecture` of a language model may be."""

PROJECTORS = frozenset(
    {
        "adapter", "cogvlm", "deepseek4v", "deepseekocr", "deepseekocr2", "dots3note_a", "dots3note_v",
        "dots_ocr", "exaone4_5", "gemma3", "gemma3na", "gemma3nv", "gemma4a", "gemma4ua", "gemma4uv",
        "gemma4v", "glm4v", "glm5v", "glma", "granite4_vision", "granite_speech", "hunyuanvl", "idefics3",
        "internvl", "janus_pro", "kimik25", "kimivl", "ldp", "ldpv2", "lfm2", "lfm2a", "lightonocr",
        "ling3vl", "llama4", "meralion", "mimo_audio", "mimovl", "minicpmv4_6", "minimax_m3", "mlp",
        "muse-glimmer", "musicflamingo", "nemotron_v2_vl", "paddleocr", "parakeet", "phi4", "pixtral",
        "pockettts_gen", "pockettts_spkenc", "qwen2.5o", "qwen2.5vl_merger", "qwen2a", "qwen2vl_merger",
        "qwen3a", "qwen3tts_gen", "qwen3tts_spkenc", "qwen3vl_merger", "resampler", "step3vl", "ultravox",
        "voxtral", "yasa2", "youtuvl",
    }
)  # fmt: skip
"""What `clip.projector_type` of a projector may be."""


def check(header: Header) -> None:
    """Raise ModelError where the engine has never heard of a file's architecture or projector type.

    With other bindings than those the tables are of, llama.cpp is left to judge: it may know more, or less. A file that
    does not say what it is, or says what is no name, is left to other checks.
    """
    if header.is_projector:
        name, what, known = header.projector_type, "projector type", PROJECTORS
    else:
        name, what, known = header.architecture, "architecture", ARCHITECTURES
    if not name.isprintable() or name in known or not name or _installed() not in ("", VERSION):
        return
    raise ModelError(
        f"{header.path}: this llama.cpp ({BINDINGS} {VERSION}) does not know the {what} {name}",
        "update vlm, or choose another model: vlm models",
    )


def _installed() -> str:
    """The version of the bindings that are installed; empty where there are none."""
    from importlib import metadata  # only a file that nobody knows needs it

    try:
        return metadata.version(BINDINGS)
    except metadata.PackageNotFoundError:
        return ""
