"""The language model: its weights, its vocabulary, and what they say of themselves.

It knows no context and no picture. The vocabulary's functions may be called from any thread.
"""

from __future__ import annotations

import ctypes
import os
from functools import cached_property
from pathlib import Path
from typing import cast

from vlmcli.engine.native.device import miscompiler
from vlmcli.engine.native.library import (
    AbortFlag,
    Handle,
    OnProgress,
    clear_complaints,
    llama,
    load_error,
    progress_callback,
)
from vlmcli.errors import Cancelled, ModelError, NativeError

SPARSE = frozenset({"minimax-m3"})
"""Architectures whose sparse attention llama.cpp leaves out where sequences share cells (src/models/minimax-m3.cpp)."""

STATELESS = frozenset({"deepseek4"})
"""Architectures whose state cannot be kept: llama.cpp takes positions for rows when it writes it, which pictures have
fewer of (src/llama-kv-cache-dsv4.cpp, state_write)."""


class Model(Handle):
    """A language model's weights and vocabulary.

    Attributes:
        path: of the file.
        n_vocab: tokens of the vocabulary; their ids are 0 to n_vocab - 1.
        n_embd_inp: floats of a picture row; more than the width of the model with deepstack.
        n_pos: positions of a picture row: 4 under M-RoPE (time, y, x and a spare), else 1.
        can_roll_back: whether a sequence can be cut at any position, and forked there. Otherwise it can only be copied
            as it stands and extended.
        window: how many positions some of its layers look back, where it is no recurrent model; 0 for all.
        has_state: whether what a sequence holds can be kept and put back (`Context.state`).
        can_branch: whether rows of one decode may belong to several sequences.
        one_sequence: whether it attends to everything, instead of what it chooses, in a context of several sequences.
    """

    def __init__(
        self, path: Path, n_gpu_layers: int, on_progress: OnProgress, flag: AbortFlag, repack: bool = True
    ) -> None:
        """Load a file.

        Args:
            path: a GGUF file.
            n_gpu_layers: how many layers go to the GPU.
            on_progress: called as the file loads.
            flag: ends the loading when set.
            repack: let weights of some types (`repacked_types`) be copied into the CPU's own order, which is faster.

        Raises:
            Cancelled: the flag was set.
            NoRoom: llama.cpp found no memory.
            ModelError: llama.cpp cannot load the file, or it is no decoder-only language model.
        """
        params = llama.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        params.use_extra_bufts = repack and not miscompiler()
        self._keep = params.progress_callback = progress_callback(llama.llama_progress_callback, on_progress, flag)
        clear_complaints()
        pointer = llama.llama_model_load_from_file(os.fsencode(path), params)
        if not pointer:
            if flag.is_set():
                raise Cancelled("the model's loading was cancelled")
            raise load_error(f"{path}: llama.cpp cannot load it", "download it again")
        super().__init__(pointer, llama.llama_model_free)
        self.path = path
        self._vocab = llama.llama_model_get_vocab(pointer)
        self.n_params: int = llama.llama_model_n_params(pointer)
        self.heads: int = llama.llama_model_n_layer(pointer) * llama.llama_model_n_head(pointer)
        self.n_vocab: int = llama.llama_vocab_n_tokens(self._vocab)
        self.n_embd_inp: int = llama.llama_model_n_embd_inp(pointer)
        # 8 is M-RoPE and 40 interleaved M-RoPE; llama.h.
        self.n_pos: int = 4 if llama.llama_model_rope_type(pointer) in (8, 40) else 1
        # A recurrent state knows only its newest position. And behind a sliding window llama.cpp overwrites cells that
        # only one sequence holds, whatever swa_full says (llama-kv-cache.cpp, find_slot). Such sequences can be copied
        # as they stand and extended, but not cut.
        recurrent = llama.llama_model_is_recurrent(pointer) or llama.llama_model_is_hybrid(pointer)
        window: int = llama.llama_model_n_swa(pointer)
        self.can_roll_back = not recurrent and window == 0
        self.window = 0 if recurrent else window
        arch = self._meta("general.architecture")
        # CogVLM's graph computes logits for all rows, of which llama_decode takes the first for those that were asked
        # for (src/models/cogvlm.cpp, which lacks build_inp_out_ids).
        self.first_rows_only = arch == "cogvlm"
        self.can_branch = not recurrent and arch not in SPARSE | STATELESS
        self.one_sequence = arch in SPARSE
        self.has_state = arch not in STATELESS
        if llama.llama_model_has_encoder(pointer) or not llama.llama_model_has_decoder(pointer):
            self.close()
            raise ModelError(f"{path}: not a decoder-only language model", "vlm cannot use this kind of model")

    def _meta(self, key: str) -> str:
        """A text of the file's metadata; empty without it."""
        value = ctypes.create_string_buffer(256)
        llama.llama_model_meta_val_str(self.pointer, key.encode(), value, len(value))
        return value.value.decode("utf-8", "replace")

    @cached_property
    def chat_template(self) -> str | None:
        """The Jinja chat template in the file; None without one."""
        template = llama.llama_model_chat_template(self.pointer, None)
        return template.decode("utf-8", "replace") if template else None

    def tokenize(self, text: str, parse_special: bool) -> list[int]:
        """Token ids of a text, without BOS and EOS.

        Args:
            text: any; what cannot be encoded as UTF-8 becomes "?".
            parse_special: whether special tokens may be written by their names in it.
        """
        raw = text.encode("utf-8", "replace")
        size = len(raw) + 8
        while True:
            tokens = (ctypes.c_int32 * size)()
            count = llama.llama_tokenize(self._vocab, raw, len(raw), tokens, size, False, parse_special)
            if count >= 0:
                return tokens[:count]
            size = -count

    def piece(self, token: int) -> bytes:
        """A token's bytes, perhaps not whole characters; empty for a special one. NativeError for no token's id."""
        self.check(token)
        size = 64
        while True:
            text = ctypes.create_string_buffer(size)
            count = llama.llama_token_to_piece(self._vocab, token, text, size, 0, False)
            if count >= 0:
                return text.raw[:count]
            size = -count

    def pieces(self) -> list[bytes]:
        """`piece` of every token, with less work for each."""
        text = ctypes.create_string_buffer(256)
        view, to_piece, found = memoryview(text), llama.llama_token_to_piece, []
        for token in range(self.n_vocab):
            count = to_piece(self._vocab, token, text, len(text), 0, False)
            found.append(view[:count].tobytes() if count >= 0 else self.piece(token))
        return found

    def text(self, token: int) -> str:
        """A token's text as the vocabulary spells it ("Ġthe", "</s>"); empty when the id is no token's."""
        if not 0 <= token < self.n_vocab:
            return ""
        return cast(bytes, llama.llama_vocab_get_text(self._vocab, token)).decode("utf-8", "replace")

    @property
    def bos(self) -> str:
        """The text of the token that begins a prompt."""
        return self.text(llama.llama_vocab_bos(self._vocab))

    @property
    def eos(self) -> str:
        """The text of the token that ends an answer."""
        return self.text(llama.llama_vocab_eos(self._vocab))

    @cached_property
    def suppressed(self) -> tuple[int, ...]:
        """Tokens that the model says are never to be picked: Gemma 4's marks of a picture and of sound."""
        count = ctypes.c_int32()
        tokens = llama.llama_vocab_get_suppress_tokens(self._vocab, ctypes.byref(count))
        return tuple(token for token in tokens[: count.value] if 0 <= token < self.n_vocab) if count.value else ()

    def ends(self, token: int) -> bool:
        """Whether the token ends an answer; a vocabulary may have several that do. NativeError for no token's id."""
        self.check(token)
        return bool(llama.llama_vocab_is_eog(self._vocab, token))

    @cached_property
    def end_tokens(self) -> tuple[int, ...]:
        """All tokens that end an answer."""
        return tuple(token for token in range(self.n_vocab) if llama.llama_vocab_is_eog(self._vocab, token))

    def is_special(self, token: int) -> bool:
        """Whether the token is control, unknown or an end: nothing that may come out of a user's text."""
        self.check(token)
        attributes = llama.llama_vocab_get_attr(self._vocab, token)
        return bool(attributes & (llama.LLAMA_TOKEN_ATTR_CONTROL | llama.LLAMA_TOKEN_ATTR_UNKNOWN)) or self.ends(token)

    def is_added(self, token: int) -> bool:
        """Whether the token was added to the vocabulary by hand; such are found in any text."""
        self.check(token)
        return bool(llama.llama_vocab_get_attr(self._vocab, token) & llama.LLAMA_TOKEN_ATTR_USER_DEFINED)

    def check(self, token: int) -> None:
        """Raise NativeError unless the id is a token's."""
        if not 0 <= token < self.n_vocab:  # C throws here
            raise NativeError(f"{self.path.name} has no token {token}")
