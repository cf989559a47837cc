"""The context: what a language model has read, and the logits of what comes next.

It knows cells, sequences and rows, and neither prompts nor which sequence serves whom. A context belongs to one thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from vlmcli.engine.native.library import (
    AbortFlag,
    Float32,
    Handle,
    Int32,
    clear_complaints,
    llama,
    load_error,
    take_complaint,
)
from vlmcli.engine.native.model import Model
from vlmcli.engine.native.sampler import TOKEN_DATA, Sampler
from vlmcli.errors import ModelError, NativeError
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = Later("numpy")

MAX_CTX = 1 << 22
"""The most cells a context is asked for."""


class Decoded(Enum):
    """How a call of llama_decode ended: its status, where that is no error."""

    OK = 0
    FULL = 1  # no cells; nothing was changed
    ABORTED = 2  # some rows may be in the cache


class Context(Handle):
    """A language model's KV cache, its sequences, and the logits of the last decode.

    Rows of one decode belong to sequences 0 … n_seq - 1, which share `n_ctx` cells. Behind them there may be others,
    its branches, which are only ever decoded by `decode_branches`.

    Attributes:
        n_ctx: cells there are.
        n_batch: the most rows of one decode; may be less than was asked for.
        n_seq: sequences there are, without the branches.
        branches: their ids.
        n_outputs: rows of one decode that logits can be had of.
    """

    def __init__(
        self, model: Model, n_ctx: int, n_batch: int, n_seq: int, threads: int, flag: AbortFlag, branches: int = 0,
        outputs: int = 0,
    ) -> None:  # fmt: skip
        """Make an empty context.

        Args:
            model: must outlive this object.
            n_ctx: cells to make, at most `MAX_CTX`.
            n_batch: the most rows of one decode.
            n_seq: how many sequences.
            threads: how many a decode uses on the CPU.
            flag: ends a decode when set.
            branches: how many sequences more.
            outputs: rows of one decode that logits can be had of; as many as there are sequences in any case.

        Raises:
            NoRoom: llama.cpp found no memory.
            ModelError: it cannot be made for another reason.
        """
        if not 0 < n_ctx <= MAX_CTX:  # C would try for minutes, and take all memory on the way
            raise ModelError(
                f"{model.path.name}: cannot create a context of {n_ctx} tokens", "choose a smaller one: --ctx N"
            )
        params = llama.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = n_batch  # one, so that a bidirectional picture is never split
        params.n_seq_max = n_seq + branches
        params.n_outputs_max = max(n_seq + branches, outputs)  # rows of logits to make room for, not n_batch of them
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True  # forking a sequence then copies no cells
        params.swa_full = True  # and a copy of a sequence may hold cells that its window has left behind
        self._keep = params.abort_callback, params.abort_callback_data = flag.callback
        clear_complaints()
        pointer = llama.llama_init_from_model(model.pointer, params)
        if not pointer:
            raise load_error(
                f"{model.path.name}: cannot create a context of {n_ctx} tokens", "choose a smaller one: --ctx N"
            )
        super().__init__(pointer, llama.llama_free)
        self._model = model
        self._memory = llama.llama_get_memory(pointer)
        self.n_ctx: int = llama.llama_n_ctx(pointer)
        self.n_batch: int = min(llama.llama_n_batch(pointer), llama.llama_n_ubatch(pointer))
        self.n_seq: int = llama.llama_n_seq_max(pointer) - branches
        self.n_outputs: int = params.n_outputs_max
        self.branches = range(self.n_seq, self.n_seq + branches)
        self._outputs: set[int] = set()
        # One set of arrays for all batches: row i belongs to the one sequence in _seq[i].
        self._seq = np.zeros(self.n_batch, np.int32)
        self._n_seq = np.ones(self.n_batch, np.int32)
        self._logits = np.zeros(self.n_batch, np.int8)
        pointers = self._seq.ctypes.data + 4 * np.arange(self.n_batch, dtype=np.uintp)
        self._seq_pointers = np.ascontiguousarray(pointers)

    def decode_tokens(self, tokens: Int32, positions: Int32, seqs: Int32, logits: npt.NDArray[np.bool_]) -> Decoded:
        """Decode text rows: four arrays of one length, at most n_batch.

        Args:
            tokens: int32 [n], ids.
            positions: int32 [n].
            seqs: int32 [n], the sequence of each row.
            logits: bool [n], true for the rows to be sampled from, at most n_seq of them.

        Raises:
            NativeError: an array is not as above, or the decode failed.
        """
        if tokens.size and not (int(tokens.min()) >= 0 and int(tokens.max()) < self._model.n_vocab):
            raise NativeError("a token id is outside the vocabulary")
        tokens = np.ascontiguousarray(tokens, np.int32)
        return self._decode(len(tokens), tokens, None, positions, seqs, logits)

    def decode_rows(self, rows: Float32, positions: Int32, seqs: Int32, causal: bool) -> Decoded:
        """Decode picture rows; none of them can be sampled from.

        Args:
            rows: float32 [n, n_embd_inp], n at most n_batch.
            positions: int32 [n_pos, n].
            seqs: int32 [n], the sequence of each row.
            causal: whether a row sees only those before it. Otherwise every row of a sequence sees every other, so a
                picture must come whole.

        Raises:
            NativeError: an array is not as above, or the decode failed.
        """
        n = len(rows)
        if rows.shape != (n, self._model.n_embd_inp) or positions.shape != (self._model.n_pos, n):
            raise NativeError(f"picture rows {rows.shape} with positions {positions.shape} do not fit the model")
        rows = np.ascontiguousarray(rows, np.float32)
        if causal:
            return self._decode(n, None, rows, positions, seqs, np.zeros(n, np.bool_))
        llama.llama_set_causal_attn(self.pointer, False)
        try:
            return self._decode(n, None, rows, positions, seqs, np.zeros(n, np.bool_))
        finally:
            llama.llama_set_causal_attn(self.pointer, True)

    def _decode(
        self,
        n: int,
        tokens: Int32 | None,
        rows: Float32 | None,
        positions: Int32,
        seqs: Int32,
        logits: npt.NDArray[np.bool_],
    ) -> Decoded:
        """Decode n rows, of `tokens` or of `rows`, once everything has the length C reads."""
        if not 0 < n <= self.n_batch:  # more aborts the process
            raise NativeError(f"a batch of {n} rows; 1 to {self.n_batch} are allowed")
        if positions.size < n or seqs.size != n or logits.size != n:  # C would read past their ends
            raise NativeError("the arrays of a batch have different lengths")
        if int(seqs.min()) < 0 or int(seqs.max()) >= self.n_seq:
            raise NativeError("a sequence id is out of range")
        self._seq[:n] = seqs
        return self._run(n, tokens, rows, positions, logits, self._n_seq, self._seq_pointers)

    def decode_branches(self, tokens: Int32, positions: Int32, owners: Sequence[Sequence[int]]) -> Decoded:
        """Decode text rows that several sequences may have in common; logits are had of all of them.

        Args:
            tokens: int32 [n], ids.
            positions: int32 [n], each behind the one before it in all sequences of its row.
            owners: for each row its sequences, which may be branches.

        Raises:
            NativeError: an argument is not as above, or the decode failed.
        """
        n = len(tokens)
        if not 0 < n <= self.n_outputs or positions.size != n or len(owners) != n:
            raise NativeError(f"a batch of {n} rows with choices; 1 to {self.n_outputs} are allowed")
        if int(tokens.min()) < 0 or int(tokens.max()) >= self._model.n_vocab:
            raise NativeError("a token id is outside the vocabulary")
        self._check_seq(*(seq for row in owners for seq in row))
        counts = np.array([len(row) for row in owners], np.int32)
        if not counts.all():
            raise NativeError("a row has no sequence")
        seqs = np.array([seq for row in owners for seq in row], np.int32)
        starts = np.cumsum(counts) - counts
        pointers = np.ascontiguousarray((seqs.ctypes.data + 4 * starts).astype(np.uintp))
        tokens = np.ascontiguousarray(tokens, np.int32)
        return self._run(n, tokens, None, positions, np.ones(n, np.bool_), counts, pointers)

    def _run(
        self,
        n: int,
        tokens: Int32 | None,
        rows: Float32 | None,
        positions: Int32,
        logits: npt.NDArray[np.bool_],
        counts: Int32,
        pointers: npt.NDArray[np.uintp],
    ) -> Decoded:
        """Hand a batch to C: `counts` are how many sequences each row has, `pointers` where their ids are."""
        if int(logits.sum()) > self.n_outputs:
            raise NativeError("too many rows ask for logits")
        self._logits[:n] = logits
        positions = np.ascontiguousarray(positions, np.int32)
        batch = llama.llama_batch()
        batch.n_tokens = n
        if tokens is not None:
            batch.token = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        if rows is not None:
            batch.embd = rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        batch.pos = positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        batch.n_seq_id = counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        batch.seq_id = pointers.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)))
        batch.logits = self._logits.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        self._outputs.clear()
        clear_complaints()
        status = llama.llama_decode(self.pointer, batch)
        if status not in (0, 1, 2):
            raise NativeError(f"the language model failed ({take_complaint() or status})")
        if status == 0:
            self._outputs.update(np.flatnonzero(logits).tolist())
        return Decoded(status)

    def logits(self, index: int) -> Float32:
        """The logits after row `index` of the last decode: float32 [n_vocab], a copy.

        NativeError where that row was not marked in the decode's `logits`; so in `sample` and `pick`.
        """
        self._check_output(index)
        values = llama.llama_get_logits_ith(self.pointer, index)
        copy: Float32 = np.ctypeslib.as_array(values, shape=(self._model.n_vocab,)).copy()
        return copy

    def sample(self, sampler: Sampler, index: int) -> int:
        """Pick the token after row `index` of the last decode, and let the sampler accept it."""
        self._check_output(index)
        if not sampler.picks:  # C aborts here
            raise NativeError("the sampler chain has no sampler that picks a token")
        return int(llama.llama_sampler_sample(sampler.pointer, self.pointer, index))  # accepts it, too

    def pick(self, sampler: Sampler, index: int, allowed: npt.NDArray[np.bool_] | None = None) -> int:
        """Pick a token after row `index` of the last decode; the sampler has to `accept` one then.

        Args:
            sampler: with one that picks.
            index: of the row.
            allowed: bool [n_vocab], true for the tokens to choose from, at least one; None for all.
        """
        self._check_output(index)
        logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(self.pointer, index), shape=(self._model.n_vocab,))
        ids = np.arange(self._model.n_vocab) if allowed is None else np.flatnonzero(allowed)
        if not ids.size or ids[-1] >= self._model.n_vocab:
            raise NativeError("there is no token to choose from")
        tokens = np.zeros(ids.size, TOKEN_DATA)
        tokens["id"], tokens["logit"] = ids, logits[ids]
        array = llama.llama_token_data_array()
        array.data = tokens.ctypes.data_as(ctypes.POINTER(llama.llama_token_data))
        array.size, array.selected, array.sorted = ids.size, -1, False
        llama.llama_sampler_apply(sampler.pointer, ctypes.byref(array))
        if not 0 <= array.selected < array.size:
            raise NativeError("no sampler picked a token")
        return int(array.data[array.selected].id)

    def _check_output(self, index: int) -> None:
        if index not in self._outputs:  # C aborts here
            raise NativeError(f"row {index} of the last decode has no logits")

    def fork(self, source: int, target: int, end: int) -> None:
        """Let sequence `target`, emptied first, share the cells of `source` before position `end`."""
        self._check_seq(source, target)
        self.forget(target)
        whole = not self._model.can_roll_back
        llama.llama_memory_seq_cp(self._memory, source, target, -1 if whole else 0, -1 if whole else end)

    def roll_back(self, seq: int, end: int) -> bool:
        """Drop the sequence's cells from position `end` on; False when it cannot be, and nothing was changed."""
        self._check_seq(seq)
        if end > self.last_position(seq):
            return True
        return bool(llama.llama_memory_seq_rm(self._memory, seq, end, -1))

    def forget(self, seq: int) -> None:
        """Drop all of the sequence's cells."""
        self._check_seq(seq)
        llama.llama_memory_seq_rm(self._memory, seq, -1, -1)

    def last_position(self, seq: int) -> int:
        """The highest position the sequence holds; -1 when it is empty."""
        self._check_seq(seq)
        return int(llama.llama_memory_seq_pos_max(self._memory, seq))

    def state_size(self, seq: int) -> int:
        """Bytes of the sequence's `state`."""
        self._check_seq(seq)
        return int(llama.llama_state_seq_get_size(self.pointer, seq))

    def state(self, seq: int, spare: int | None = None) -> list[memoryview]:
        """All that the sequence's cells hold, to be put back by `restore`. Raises NativeError where that cannot be had.

        The bytes are llama.cpp's own (llama-context.cpp, state_seq_write_data), and say little of what they are: they
        belong to the same weights, computed in the same way by the same llama.cpp.

        It leaves out what no layer looks back at any more. Attention then sums in other groups, and rounds otherwise,
        so that a sequence longer than the model's window comes in pieces, each of which leaves out nothing.

        Args:
            seq: the sequence.
            spare: an empty one, for the pieces; None for all in one piece.
        """
        end, width = self.last_position(seq) + 1, self._model.window - 1
        if spare is None or width <= 0 or end <= width:
            return [self._piece(seq)]
        pieces = []
        for start in range(0, end, width):
            self.forget(spare)
            llama.llama_memory_seq_cp(self._memory, seq, spare, start, start + width)
            if self.last_position(spare) >= 0:
                pieces.append(self._piece(spare))
        self.forget(spare)
        return pieces

    def _piece(self, seq: int) -> memoryview:
        size = self.state_size(seq)
        data = np.empty(size, np.uint8)
        target = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        clear_complaints()
        if not size or llama.llama_state_seq_get_data(self.pointer, target, size, seq) != size:
            raise NativeError(f"the state of sequence {seq} cannot be had ({take_complaint() or size})")
        return data.data

    def restore(self, seq: int, pieces: Sequence[memoryview], spare: int | None = None) -> bool:
        """Let the sequence hold what a `state` says, and nothing else. False, and the sequence is empty, if it cannot.

        Args:
            seq: the sequence.
            pieces: whole, and of this model: only their lengths are noticed.
            spare: an empty sequence, which is needed for more than one piece.
        """
        self.forget(seq)
        if len(pieces) > 1 and spare is None:
            return False
        for piece in pieces:
            target = seq if len(pieces) == 1 or spare is None else spare
            data = np.frombuffer(piece, np.uint8)
            source = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
            clear_complaints()
            if not data.size or llama.llama_state_seq_set_data(self.pointer, source, data.size, target) != data.size:
                self.forget(seq)
                self.forget(target)
                return False
            if target != seq:
                llama.llama_memory_seq_cp(self._memory, target, seq, -1, -1)
                self.forget(target)
        return True

    def _check_seq(self, *seqs: int) -> None:
        if not all(0 <= seq < self.n_seq + len(self.branches) for seq in seqs):  # C aborts here
            raise NativeError(f"sequence {seqs} is out of range")
