"""What a language model keeps of its tokens, in bytes: KV caches of every kind, and recurrent states.

Arithmetic over a file's header. Sources: llama.cpp, src/llama-model.cpp (create_memory), src/llama-kv-cache.cpp,
llama-kv-cache-dsa.cpp, -msa.cpp and -dsv4.cpp, src/llama-hparams.cpp (n_embd_r, n_embd_s), and the models' own files
in src/models/ for which layers are recurrent, share another's cache or choose what they attend to.
"""

from __future__ import annotations

from dataclasses import dataclass

from vlmcli.models.architectures import GATED_DELTA
from vlmcli.models.gguf import Header
from vlmcli.models.patterns import MAX_LAYERS

_F16, _F32 = 2, 4  # bytes of a number: of caches, and of recurrent states
_GEMMA_3N_OWN = 20  # layers of Gemma 3n with a cache of their own: src/models/gemma3n.cpp
_SPARSE_KEPT_APART = "deepseek4"  # each sequence has a cache for the whole context: llama-kv-cache-dsv4.cpp
_CHOSEN, _HEAVILY = 4, 128  # its ratios of compression: DSV4_CSA_RATIO, whose cells are chosen, and DSV4_HCA_RATIO


@dataclass(frozen=True)
class Kept:
    """What is kept of a context.

    Attributes:
        cell: bytes of one cell over all layers.
        state: bytes of one sequence's recurrent state over all layers.
        apart: whether each sequence has cells of its own for the whole context.
    """

    cell: int
    state: int
    apart: bool

    def size(self, cells: int, sequences: int) -> int:
        """Bytes for a context of so many cells, which so many sequences share."""
        return self.cell * cells * (sequences if self.apart else 1) + self.state * sequences


def kept(header: Header) -> Kept:
    """What a model with this header keeps."""
    layers = range(min(header.number("block_count"), MAX_LAYERS) - header.number("nextn_predict_layers"))
    return Kept(
        cell=sum(_F16 * (_numbers(header, layer) + _index(header, layer)) for layer in layers),
        state=sum(_F32 * _state(header, layer) for layer in layers),
        apart=header.architecture == _SPARSE_KEPT_APART,
    )


def _numbers(header: Header, layer: int) -> int:
    """Numbers of a cell in one layer: keys and values of every KV head."""
    if _is_recurrent(header, layer) or layer >= _own(header):
        return 0
    heads = header.number("attention.head_count", 1)
    default = header.number("embedding_length") // max(1, heads)
    swa = "_swa" if _has_window(header, layer) else ""
    key = header.number(f"attention.key_length{swa}") or header.number("attention.key_length") or default
    value = header.number(f"attention.value_length{swa}") or header.number("attention.value_length") or key
    if header.number("attention.key_length_mla") or header.architecture == _SPARSE_KEPT_APART:
        value = 0  # a compressed row is key and value: "is_mla"
    return _of_layer(header, "attention.head_count_kv", layer, heads) * (key + value)


def _index(header: Header, layer: int) -> int:
    """Numbers of a cell in one layer by which it is chosen whom to attend to."""
    key = header.number("attention.indexer.key_length")
    if header.architecture == _SPARSE_KEPT_APART:  # of so many cells a compressed one
        ratio, own = _of_layer(header, "attention.compress_ratios", layer, 0), header.number("attention.key_length")
        return {_CHOSEN: (own + key) // _CHOSEN, _HEAVILY: own // _HEAVILY}.get(ratio, 0)
    if not key or _is_recurrent(header, layer) or _has_window(header, layer):
        return 0
    if layer < header.number("leading_dense_block_count") and header.architecture == "minimax-m3":
        return 0
    if not _of_layer(header, "attention.indexer.types", layer, 1):
        return 0
    if header.number("attention.indexer.kpool"):
        return 3 * key  # with a gate and what is pooled
    return key + (0 if header.number("attention.key_length_mla") else header.number("attention.value_length"))


def _state(header: Header, layer: int) -> int:
    """Numbers of one layer's recurrent state (n_embd_r and n_embd_s), or of what is still to be compressed."""
    if header.architecture == _SPARSE_KEPT_APART:
        ratio = _of_layer(header, "attention.compress_ratios", layer, 0)
        own, key = header.number("attention.key_length"), header.number("attention.indexer.key_length")
        return {_CHOSEN: 8 * _CHOSEN * (own + key), _HEAVILY: 2 * _HEAVILY * own}.get(ratio, 0)
    if not _is_recurrent(header, layer):
        return 0
    taps, width = header.number("shortconv.l_cache"), header.number("embedding_length")
    if taps:
        return width * (taps - 1)
    conv = max(0, header.number("ssm.conv_kernel") - 1)
    head, heads = header.number("kda.head_dim"), _of_layer(header, "attention.head_count", 0, 1)
    if head:
        return 3 * (conv or 3) * heads * head + head * head * heads
    inner, state = header.number("ssm.inner_size"), header.number("ssm.state_size")
    return conv * (inner + 2 * header.number("ssm.group_count") * state) + state * inner


def _is_recurrent(header: Header, layer: int) -> bool:
    if header.architecture in GATED_DELTA:  # all but each full_attention_interval-th layer
        told = header.numbers("attention.recurrent_layers")
        if told:
            return bool(_of_layer(header, "attention.recurrent_layers", layer, 0))
        return (layer + 1) % header.number("full_attention_interval", 4) != 0
    heads = header.numbers("attention.head_count_kv")
    return (
        len(heads) > layer
        and heads[layer] == 0
        and not _of_layer(header, "feed_forward_length", layer, 0) * (header.architecture.startswith("nemotron_h"))
    )


def attends(header: Header, layer: int) -> bool:
    """Whether a layer has attention, and no recurrent state or only a feed-forward part instead."""
    return not _is_recurrent(header, layer) and _of_layer(header, "attention.head_count_kv", layer, 1) > 0


def _own(header: Header) -> int:
    """How many layers, from the first, have a cache of their own."""
    if header.architecture == "gemma3n":
        return _GEMMA_3N_OWN
    return header.number("block_count") - header.number("attention.shared_kv_layers")


def _has_window(header: Header, layer: int) -> bool:
    """Whether a layer is one of those that see a window only, as far as its header tells each layer by itself."""
    return len(header.numbers("attention.sliding_window_pattern")) > 1 and bool(
        _of_layer(header, "attention.sliding_window_pattern", layer, 0)
    )


def _of_layer(header: Header, key: str, layer: int, default: int) -> int:
    """One layer's number, where a key has one for all or one for each."""
    found = header.numbers(key)
    return default if not found else found[layer] if len(found) > layer else found[0] if len(found) == 1 else default
