"""Whether a language model's own header is safe to load.

llama.cpp asserts some keys and types that it does not check (src/llama-model.cpp, llama-vocab.cpp), which would end the
process; `check_model` refuses those, and models that do not write token by token. llama.cpp checks the tensors' shapes.
Knows no projector: `pairing` holds the two against each other.
"""

from __future__ import annotations

import re

from vlmcli.errors import ModelError
from vlmcli.models import check_attention, gguf
from vlmcli.models.architectures import GATED_DELTA, MAMBA2, OPTIONAL_QKV
from vlmcli.models.families import NOT_CAUSAL, TURNING
from vlmcli.models.gguf import Header, Tensor
from vlmcli.models.patterns import MAX_LAYERS, MAX_WIDTH, uncomputable, unusable

MAX_EXPERTS = 1024  # llama-hparams.h, LLAMA_MAX_EXPERTS
MAX_WINDOW = 1 << 23  # positions; llama.cpp multiplies them by sequences in 32 bits


def check_model(header: Header) -> None:
    """Raise ModelError where a language model's keys or types would end the process; llama.cpp checks its shapes."""
    arch = header.architecture
    if arch in NOT_CAUSAL or header.metadata.get(f"{arch}.attention.causal") is False:
        raise ModelError(
            f"{header.path}: a {arch} model, which does not generate text token by token",
            "vlm cannot use this kind of model",
        )
    for end, least, most in (("block_count", 1, MAX_LAYERS), ("embedding_length", 1, 1 << 20)):
        value = header.metadata.get(f"{arch}.{end}")
        if isinstance(value, int) and not least <= value <= most:
            raise unusable(header, f"{arch}.{end} is {value}, not {least} to {most}")
    for end in ("layer_norm_epsilon", "layer_norm_rms_epsilon"):
        value = header.metadata.get(f"{arch}.attention.{end}")
        if isinstance(value, float) and not 0 <= value < 1:
            raise unusable(header, f"{arch}.attention.{end} is {value}")
    for end in ("head_count", "head_count_kv", "key_length", "value_length"):
        if any(not 0 <= value <= MAX_WIDTH for value in header.numbers(f"attention.{end}")):
            raise unusable(header, f"{arch}.attention.{end} is not 0 to {MAX_WIDTH}")
    if header.number("attention.sliding_window") > MAX_WINDOW:
        raise unusable(header, f"{arch}.attention.sliding_window is more than {MAX_WINDOW}")
    check_attention.check(header)
    _check_sections(header)
    _check_experts(header)
    layers = header.number("block_count")
    for end, most in (("n_deepstack_layers", layers - 1), ("nextn_predict_layers", layers)):
        if not 0 <= header.number(end) <= most:
            raise unusable(header, f"{arch}.{end} is more than {most}, with {layers} layers")
    _check_vocabulary(header)
    _check_layers(header)
    for tensor in header.tensors:
        _check_word_type(header, tensor)


_PARTS = (
    (("ffn_up", "ffn_down"), ("ffn_gate",)),
    (("ffn_gate_inp", "ffn_down_exps"), ("ffn_gate_exps", "ffn_up_exps", "ffn_gate_up_exps")),
    (("ffn_up_shexp", "ffn_down_shexp"), ("ffn_gate_shexp",)),
)
"""Matrices of a layer that are there together or not at all, and those that all or none of such layers have beside
them. Some graphs take for granted what load_arch_tensors does not ask for: src/models/mimo2.cpp, step35.cpp."""
_INDEX = ("indexer.proj", "indexer.attn_k", "indexer.attn_q_b", "indexer.k_norm")
"""What a layer of GLM-5 has that looks up what to look at: src/models/glm-dsa.cpp."""


def _check_layers(header: Header) -> None:
    """What a layer has must be whole: a graph follows the pointer to a tensor that is not there."""
    layers: dict[int, set[str]] = {}
    for tensor in header.tensors:
        start, _, end = tensor.name.removeprefix("blk.").partition(".")
        if tensor.name.startswith("blk.") and start.isdecimal() and end.endswith(".weight"):
            layers.setdefault(int(start), set()).add(end.removesuffix(".weight"))
    arch = header.architecture
    for together, beside in _PARTS:
        some = [layer for layer, found in layers.items() if found.intersection((*together, *beside))]
        wanted = {name for layer in some for name in layers[layer].intersection((*together, *beside))} | set(together)
        for layer in some:
            for name in sorted(wanted - layers[layer]):
                raise unusable(header, f"tensor blk.{layer}.{name}.weight is missing")
    names = {tensor.name for tensor in header.tensors}
    for layer, found in layers.items():
        if arch in MAMBA2 and "ssm_conv1d" in found and f"blk.{layer}.ssm_conv1d.bias" not in names:
            raise unusable(header, f"tensor blk.{layer}.ssm_conv1d.bias is missing")
    types = header.metadata.get(f"{arch}.attention.indexer.types", True)
    for layer, found in layers.items():
        full = types[layer] if isinstance(types, list) and layer < len(types) else types
        if arch == "glm-dsa" and full and layer < header.number("block_count") - header.number("nextn_predict_layers"):
            lost = [name for name in _INDEX if name not in found]
        elif arch in GATED_DELTA and "ssm_out" in found and "ssm_in" not in found:  # build_qkvz
            lost = [name for name in ("attn_qkv", "attn_gate") if name not in found]
        elif arch in OPTIONAL_QKV and "attn_output" in found and "attn_qkv" not in found:
            lost = [name for name in ("attn_q", "attn_k", "attn_v") if name not in found]
        else:
            continue
        if lost:
            raise unusable(header, f"tensor blk.{layer}.{lost[0]}.weight is missing")


def _check_vocabulary(header: Header) -> None:
    """No token twice, which llama-vocab.cpp asserts; all 256 bytes if any in SentencePiece's, or it throws."""
    if twice := gguf.repeated_text(header, gguf.VOCABULARY):
        raise unusable(header, f"its vocabulary has the token {twice[:80]!r} twice")
    bytes_of = [f"<0x{byte:02X}>" for byte in range(256)]
    if header.metadata.get("tokenizer.ggml.model") != "llama":
        return
    if len(_lacks(header, [bytes_of[0], bytes_of[255]])) == 2 and "tokenizer.ggml.merges" not in header.entries:
        return  # with merges it is another kind of vocabulary, in which no letter would be found
    missing = _lacks(header, bytes_of)
    letters = {f"<0x{byte:02X}>": chr(byte) for byte in range(1, 128)}  # which do as well
    lost = _lacks(header, [letters[one] for one in missing if one in letters])
    for one in missing:
        if letters.get(one, "") in ("", *lost):
            raise unusable(header, f"its vocabulary has no token {one}")


def _lacks(header: Header, texts: list[str]) -> list[str]:
    return gguf.missing_texts(header, gguf.VOCABULARY, texts)


def _check_sections(header: Header) -> None:
    """How M-RoPE shares the numbers of a head that are rotated."""
    arch = header.architecture
    heads = [heads for heads in header.numbers("attention.head_count") if heads > 0]
    width = header.number("attention.key_length") or (header.number("embedding_length") // heads[0] if heads else 0)
    sections = header.metadata.get(f"{arch}.rope.dimension_sections")
    if arch not in TURNING or sections is None or width <= 0:
        return
    whole = isinstance(sections, list) and all(isinstance(one, int) and one >= 0 for one in sections)
    if not whole or sum(sections[:3]) == 0 or sum(sections) * 2 > width:
        raise unusable(header, f"{arch}.rope.dimension_sections are {sections}")


def _check_experts(header: Header) -> None:
    """The counts of a mixture of experts, as llama-model.cpp asserts them."""
    experts, used = header.number("expert_count"), header.number("expert_used_count")
    groups, groups_used = header.number("expert_group_count"), header.number("expert_group_used_count")
    right = 0 < used <= experts <= MAX_EXPERTS if experts else used == 0 and groups == 0
    gating = header.metadata.get(f"{header.architecture}.expert_gating_func", 1)
    if isinstance(gating, int) and experts and not 1 <= gating <= 4:  # llama-hparams.h; build_moe_ffn knows no other
        raise unusable(header, f"{header.architecture}.expert_gating_func is {gating}, not 1 to 4")
    if groups and groups >= experts:
        right = False
    if not right or (groups > 1 and (experts % groups or not 0 < groups_used < groups)):
        raise unusable(header, f"it has {experts} experts, {used} of them used, in {groups} groups, {groups_used} used")


_PLAIN = re.compile(r"(shortconv\.conv|ssm_conv1d(_[qkv])?|compressor_ape)\.weight$|\.ssm_[ad]$")
"""Matrices that are added or slid along: ggml.c, ggml_ssm_conv and ggml_ssm_scan; ggml_add of what is F32."""
_COUNTED = ("ffn_gate_tid2eid.weight", "d2t")
"""What is of integers: experts by token, and tokens by token."""


def _check_word_type(header: Header, tensor: Tensor) -> None:
    """As in a projector: what is multiplied or added number by number is F32, and no matrix is of integers."""
    name = tensor.name
    if name.endswith(_COUNTED):
        return
    vector = len(tensor.shape) == 1 or name.endswith(("norm.weight", ".bias"))
    if (vector and tensor.kind != gguf.F32) or tensor.kind in gguf.INTEGERS:
        raise uncomputable(header, tensor)
    if _PLAIN.search(name) and tensor.kind != gguf.F32:
        raise unusable(header, f"tensor {name} has ggml type {tensor.kind}, not F32")
