"""Whether the keys of a language model's attention go together: heads, what of them rotates, and what is looked up.

llama.cpp asserts this where it builds a graph (src/models/), or ggml does where matrices do not fit, and the process is
gone. `check` refuses it. Which architecture asserts what is in `architectures`; the shapes of tensors are llama.cpp's.
"""

from __future__ import annotations

from math import isfinite

from vlmcli.models.architectures import (
    GATED_DELTA,
    INDEXED,
    MAMBA2,
    NARROW,
    SCALINGS,
    SQUARE,
    STREAMED,
    UNTURNED,
    WHOLE,
)
from vlmcli.models.gguf import Header
from vlmcli.models.patterns import unusable


def check(header: Header) -> None:
    """Raise ModelError where a graph of this architecture could not be built from a language model's keys."""
    _Attention(header).check()


class _Attention:
    """What load_hparams of llama-model.cpp makes of the keys.

    Attributes:
        heads: of queries, in the first layer that has any; 0 in a model without attention.
        key: numbers of a head of keys.
        value: the same of values.
    """

    def __init__(self, header: Header) -> None:
        self._header = header
        self._arch = header.architecture
        self.heads = next((heads for heads in header.numbers("attention.head_count") if heads > 0), 0)
        share = header.number("embedding_length") // self.heads if self.heads else 0
        self.key = self._number("attention.key_length", share)
        self.value = self._number("attention.value_length", share)

    def _number(self, key: str, default: int = 0) -> int:
        return self._header.number(key) if f"{self._arch}.{key}" in self._header.metadata else default

    def _refuse(self, key: str, why: str) -> None:
        value = self._header.metadata.get(f"{self._arch}.{key}", "missing")
        raise unusable(self._header, f"{self._arch}.{key} is {value}, {why}")

    def check(self) -> None:
        scaling = self._header.metadata.get(f"{self._arch}.rope.scaling.type", "linear")
        if isinstance(scaling, str) and scaling not in SCALINGS:
            self._refuse("rope.scaling.type", f"not one of {', '.join(sorted(SCALINGS))}")
        if self.heads:
            self._check_heads()
            self._check_shared()
            self._check_latent()
            self._check_turned()
        self._check_some("attention.sliding_window_pattern", 1, "so that no layer looks back a window")
        self._check_some("attention.indexer.types", 0, "so that no layer has an index")
        self._check_frequencies()
        self._check_index()
        self._check_recurrent()

    # ------------------------------------------------------------------------------------------ heads

    def _check_heads(self) -> None:
        for end in ("key_length", "value_length", "key_length_swa", "value_length_swa"):
            if self._number(f"attention.{end}", 1) < 1:
                self._refuse(f"attention.{end}", "though it has heads")
        windowed = any(f"{self._arch}.attention.{end}_length_swa" in self._header.metadata for end in ("key", "value"))
        if self._arch in SQUARE and not windowed and self.key != self.value:
            self._refuse("attention.key_length", f"and attention.value_length {self.value}")
        if self._arch == "gemma4":  # models/gemma4.cpp, graph: in each layer
            for swa in ("", "_swa"):
                key, value = (
                    self._number(f"attention.{end}_length{swa}", own)
                    for end, own in (("key", self.key), ("value", self.value))
                )
                if key != value:
                    self._refuse(f"attention.key_length{swa}", f"and attention.value_length{swa} {value}")
        if self._arch in NARROW and self.heads * self.value != self._header.number("embedding_length"):
            self._refuse(
                "attention.head_count", f"which cannot share a width of {self._header.number('embedding_length')}"
            )
        queries, keys = (self._header.numbers(f"attention.head_count{end}") for end in ("", "_kv"))
        if len(queries) > 1 and len(keys) > 1 and len(queries) != len(keys):
            return  # llama.cpp refuses it
        layers = max(len(queries), len(keys))
        queries, keys = (many * layers if len(many) == 1 else many for many in (queries, keys))
        for heads, shared in zip(queries, keys, strict=False):
            if heads > 0 and shared > 0 and heads % shared:
                self._refuse("attention.head_count_kv", f"with {heads} heads")

    def _check_shared(self) -> None:
        """Layers that take the keys of an earlier one, of which there are two kinds: llama-model.cpp, create_memory."""
        layers, shared = self._header.number("block_count"), self._number("attention.shared_kv_layers")
        if (shared > 0 or self._arch == "gemma4") and layers - shared < 2:
            self._refuse("attention.shared_kv_layers", f"with {layers} layers")
        windows = self._header.metadata.get(f"{self._arch}.attention.sliding_window_pattern")
        if self._arch == "gemma4" and isinstance(windows, list) and len(windows) == layers:
            first = layers - shared
            for window in windows[first:]:
                if windows[first - (2 if window else 1)] != window:
                    self._refuse("attention.shared_kv_layers", "but an earlier layer sees another part of the text")

    def _check_some(self, key: str, none: int, why: str) -> None:
        """A list that says which layers have something, or one number for all: llama.cpp makes a cache for those.

        It asserts that there is one (llama-model.cpp, create_memory), or divides by their number.
        """
        said = self._header.metadata.get(f"{self._arch}.{key}")
        layers = max(0, self._header.number("block_count") - self._header.number("nextn_predict_layers"))
        if (isinstance(said, list) and not any(said[:layers])) or (type(said) is int and said == none):
            self._refuse(key, why)

    def _check_latent(self) -> None:
        """Attention that keeps one short row for all heads (MLA), and the part of a key that rotates beside it."""
        for swa in ("", "_swa"):
            whole, rank = self._number(f"attention.key_length_mla{swa}"), self._number(f"attention.kv_lora_rank{swa}")
            if whole <= 0 or rank <= 0:
                continue
            key = self._number(f"attention.key_length{swa}", 0 if swa else self.key)
            turned = self._number("rope.dimension_count", self.key)
            if key != rank + turned:
                self._refuse(f"attention.key_length{swa}", f"not {rank + turned}: {rank} and those that rotate")
            if any(shared > 1 for shared in self._header.numbers("attention.head_count_kv") or [self.heads]):
                self._refuse("attention.head_count_kv", "though all heads share one row")
            if whole <= turned:
                self._refuse(f"attention.key_length_mla{swa}", f"with {turned} numbers that rotate")

    # ------------------------------------------------------------------------------------------ rotation

    def _check_turned(self) -> None:
        """ggml_rope_ext: an even part of a head, and not nothing, which never ends."""
        for swa in ("", "_swa"):
            end = f"rope.dimension_count{swa}"
            turned = self._header.metadata.get(f"{self._arch}.{end}")
            if not isinstance(turned, int) or (self._arch in UNTURNED and turned == 0):
                continue
            head = self._number(f"attention.key_length_mla{swa}") or self._number(
                f"attention.key_length{swa}", self.key
            )
            if not 0 < turned <= head or turned % 2:
                self._refuse(end, f"but a head has {head} numbers")
        turned = self._number("rope.dimension_count", self.key)
        near = self._number("attention.key_length_swa", self.key)
        if self._arch == "gemma4" and self._number("rope.dimension_count_swa", turned) > near:
            self._refuse("rope.dimension_count_swa", f"but a head has {near} numbers")
        if self._arch in WHOLE and turned != self.value:
            self._refuse("rope.dimension_count", f"not {self.value}")
        if self._arch not in UNTURNED and turned % 2:
            self._refuse("attention.key_length", "an odd number, which cannot rotate")
        if self._arch == "glm5-next" and turned != 0:  # models/glm5-next.cpp, build_dsa_layer
            self._refuse("rope.dimension_count", "not 0")

    def _check_frequencies(self) -> None:
        base = self._header.metadata.get(f"{self._arch}.rope.freq_base", 10000.0)
        if self._arch == "deepseek2-ocr":  # models/deepseek2.cpp, graph: is_ocr
            width = self._header.number("embedding_length")
            if isinstance(base, float) and not abs(base - 10000.0) < 1e-4:
                self._refuse("rope.freq_base", "not 10000")
            if self._number("attention.head_count_kv", self.heads) != self.heads:
                self._refuse("attention.head_count_kv", f"not {self.heads}")
            if self.heads and not self.key == self.value == width // self.heads:
                self._refuse("attention.key_length", f"not {width // self.heads}")
        if isinstance(base, float) and not (isfinite(base) and base >= 0):
            self._refuse("rope.freq_base", "no frequency")

    # ------------------------------------------------------------------------------------------ looked up, recurrent

    def _check_index(self) -> None:
        """The index of sparse attention."""
        key, top = self._number("attention.indexer.key_length"), self._number("attention.indexer.top_k")
        if self._arch in INDEXED:
            if key < 64 or key % 64:
                self._refuse("attention.indexer.key_length", "not a multiple of 64")
            if self._number("rope.dimension_count", self.key) > key:
                self._refuse("attention.indexer.key_length", "less than what rotates")
        if self._arch == "glm5-next":  # models/glm5-next.cpp, load_arch_hparams
            pool = self._number("attention.indexer.kpool")
            if pool <= 1 or top % pool or top < pool:
                self._refuse("attention.indexer.kpool", f"with an attention.indexer.top_k of {top}")
        if self._arch == "minimax-m3" and self._number("attention.indexer.block_size") <= 0:
            self._refuse("attention.indexer.block_size", "not a number of cells")
        if self._arch in INDEXED | {"minimax-m3"} and top <= 0:
            self._refuse("attention.indexer.top_k", "not a number of cells")
        if self._arch in STREAMED and self._number("hyper_connection.count") != 4:
            self._refuse("hyper_connection.count", "not 4")
        if self._arch == "deepseek4":  # models/deepseek4.cpp, graph
            groups = self._number("attention.output_group_count")
            if groups < 1 or self.heads % groups:
                self._refuse("attention.output_group_count", f"with {self.heads} heads")
            if self.key != self.value:
                self._refuse("attention.key_length", f"and attention.value_length {self.value}")
            if self._number("attention.sliding_window") < 1:
                self._refuse("attention.sliding_window", "not a number of cells")

    def _check_recurrent(self) -> None:
        """Layers whose state has a size that does not grow."""
        inner, state = self._number("ssm.inner_size"), self._number("ssm.state_size")
        heads, groups = self._number("ssm.time_step_rank"), self._number("ssm.group_count")
        if self._arch in GATED_DELTA and (groups < 1 or heads % groups or inner != state * heads):
            self._refuse("ssm.inner_size", f"with {heads} heads of {state} in {groups} groups")
        if self._arch in MAMBA2 and (heads < 1 or groups < 1 or inner % heads or inner % groups or heads % groups):
            self._refuse("ssm.inner_size", f"with {heads} heads in {groups} groups")
        for end in ("ssm.conv_kernel", "shortconv.l_cache"):  # models/lfm2.cpp, build_shortconv_block
            if f"{self._arch}.{end}" in self._header.metadata and not 2 <= self._number(end) <= 1024:
                self._refuse(end, "not 2 to 1024")
        if self._arch == "bailingmoe3":  # models/bailingmoe3.cpp, load_arch_hparams
            if self._header.metadata.get("bailingmoe3.kda.safe_gate", True) is False:
                self._refuse("kda.safe_gate", "not true")
            bound = self._header.metadata.get("bailingmoe3.kda.gate_lower_bound")
            if isinstance(bound, float) and not bound < 0:
                self._refuse("kda.gate_lower_bound", "not below 0")
