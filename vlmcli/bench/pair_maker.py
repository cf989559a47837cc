"""Writes GGUF pairs of random weights: a language model and a projector of a given shape, tensor by tensor.

Which pairs there are is in `pairs`; where the numbers come from is the caller's. Needs the `gguf` package (the extras
`dev` and `bench`).

Tensor names and keys: llama.cpp, src/llama-arch.cpp and tools/mtmd/clip-impl.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from vlmcli.machine.hollow_gguf import byte_letters

Array = npt.NDArray[Any]

CHATML = (
    "{% for m in messages %}<|im_start|>{{m.role}}\n{{m.content}}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BPE_SPECIALS = [
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"),
    *("<fake_token_around_image>", "<global-img>", "<image>", "<img>", "</img>", "[IMG]", "[IMG_END]", "[IMG_BREAK]"),
    *("[INST]", "[/INST]", "<end_of_utterance>", "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>"),
    *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)),
]
PICTURE_MARKS = (
    "<start_of_image>", "<end_of_image>", "<start_of_turn>", "<end_of_turn>", "<|image>", "<image|>", "<image>",
    "</image>", "<slice>", "</slice>", "<|begin_of_image|>", "<|end_of_image|>", "<|IMAGE_START|>", "<|IMAGE_END|>",
    "<|img|>", "<|endofimg|>", "<｜hy_place▁holder▁no▁100｜>", "<｜hy_place▁holder▁no▁101｜>",
)  # fmt: skip
"""What libmtmd puts around a picture, by family."""
BPE_MERGES = ["Ġ t", "h e", "i n", "Ġt he", "Ċ Ċ", "y e", "ye s", "n o"]
SPM_PIECES = ["▁", "e", "t", "a", "o", "i", "n", "s", "r", "h", "l", "d", "\n", "\n\n"]


@dataclass(frozen=True)
class ModelShape:
    """A language model's shape.

    Attributes:
        arch: llama.cpp's name of the architecture.
        bpe: llama.cpp's name of the pre-tokeniser; without it the vocabulary is SentencePiece's.
        specials: control tokens of a SentencePiece vocabulary, besides its own three.
        width: of the embedding.
        ff: width of the feed-forward layer.
        context: tokens it says it was trained on.
        vocabulary: tokens to fill it up to, with words; 0 for no more than it needs.
        qkv_bias: whether attention's inputs have biases.
        head_norms: whether each head's queries and keys are normalised.
        gemma: whether there are norms after attention and feed-forward, too.
        sections: of M-RoPE; empty without it.
        window: tokens of the sliding window; 0 without one.
        deepstack: layers that get rows of their own from the encoder.
        convolutions: layers that are short convolutions instead of attention.
    """

    arch: str = "llama"
    bpe: str = "qwen2"
    specials: Sequence[str] = ()
    width: int = 64
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    ff: int = 128
    layers: int = 3
    context: int = 4096
    vocabulary: int = 0
    qkv_bias: bool = False
    head_norms: bool = False
    gemma: bool = False
    sections: Sequence[int] = ()
    window: int = 0
    deepstack: int = 0
    convolutions: Sequence[int] = ()


@dataclass(frozen=True)
class EncoderShape:
    """A vision encoder's shape, and the projector's tensors and keys.

    Attributes:
        projector: clip.cpp's name of the projector's type.
        image: side of a picture, in pixels.
        patch: side of a patch, in pixels.
        width: of the encoder.
        temporal: whether there is a patch embedding for each of two frames.
        keys: more of the metadata under `clip.vision`.
        tensors: the projector's, by name; written last.
    """

    projector: str
    image: int = 56
    patch: int = 14
    width: int = 64
    heads: int = 4
    ff: int = 128
    layers: int = 3
    gelu: bool = True
    silu: bool = False
    class_token: bool = False
    positions: bool = True
    bias: bool = True
    rms: bool = False
    fused_qkv: bool = False
    gate: bool = False
    patch_bias: bool = True
    temporal: bool = False
    pre_norm: bool = False
    post_norm: bool = True
    layer_scale: bool = False
    keys: Mapping[str, int] = field(default_factory=dict)
    tensors: Mapping[str, Array] = field(default_factory=dict)


Draw = Callable[[tuple[int, ...]], Array]


class PairMaker:
    """Writes pairs into a folder. Each weight is drawn when it is written, so that the order of calls matters."""

    def __init__(self, folder: Path, draw: Draw) -> None:
        """Make the folder.

        Args:
            folder: where to; made when it is not there.
            draw: gives an array of a shape, of floats with mean 0 and deviation 1.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._draw = draw

    def half(self, *shape: int, scale: float) -> Array:
        """A weight in F16, of deviation `scale`; its last dimension is ggml's first."""
        return (self._draw(shape) * scale).astype(np.float16)

    def full(self, *shape: int, scale: float = 0.05) -> Array:
        """A weight or a bias in F32, of deviation `scale`."""
        return (self._draw(shape) * scale).astype(np.float32)

    def gain(self, n: int) -> Array:
        """A norm's weight, float32 [n], about 1."""
        return np.ones(n, np.float32) + self.full(n, scale=0.02)

    @contextmanager
    def file(self, name: str, arch: str) -> Iterator[gguf.GGUFWriter]:
        """A writer of the file `name`, which is written when the block ends."""
        writer = gguf.GGUFWriter(self.folder / name, arch)
        yield writer
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def model(self, name: str, shape: ModelShape) -> None:
        """Write NAME.gguf: the keys, a vocabulary, and weights drawn here."""
        with self.file(f"{name}.gguf", shape.arch) as w:
            size = _bpe(w, shape) if shape.bpe else _spm(w, shape)
            _model_keys(w, shape, size)
            w.add_tensor("token_embd.weight", self.half(size, shape.width, scale=0.3))
            w.add_tensor(
                "token_embd_norm.weight" if shape.arch == "lfm2" else "output_norm.weight", self.gain(shape.width)
            )
            for layer in range(shape.layers):
                self._model_block(w, f"blk.{layer}.", shape, layer in shape.convolutions)

    def _model_block(self, w: gguf.GGUFWriter, at: str, shape: ModelShape, convolution: bool) -> None:
        width, hd = shape.width, shape.head_dim
        w.add_tensor(at + "attn_norm.weight", self.gain(width))
        w.add_tensor(at + "ffn_norm.weight", self.gain(width))
        if convolution:
            w.add_tensor(at + "shortconv.conv.weight", self.full(width, 3, scale=0.5))
            w.add_tensor(at + "shortconv.in_proj.weight", self.half(3 * width, width, scale=0.2))
            w.add_tensor(at + "shortconv.out_proj.weight", self.half(width, width, scale=0.2))
        else:
            for name, heads in (("q", shape.heads), ("k", shape.kv_heads), ("v", shape.kv_heads)):
                w.add_tensor(f"{at}attn_{name}.weight", self.half(heads * hd, width, scale=0.2))
                if shape.qkv_bias:
                    w.add_tensor(f"{at}attn_{name}.bias", self.full(heads * hd))
            w.add_tensor(at + "attn_output.weight", self.half(width, shape.heads * hd, scale=0.2))
            if shape.head_norms or shape.gemma or shape.convolutions:
                w.add_tensor(at + "attn_q_norm.weight", self.gain(hd))
                w.add_tensor(at + "attn_k_norm.weight", self.gain(hd))
        if shape.gemma:
            w.add_tensor(at + "post_attention_norm.weight", self.gain(width))
            w.add_tensor(at + "post_ffw_norm.weight", self.gain(width))
        w.add_tensor(at + "ffn_gate.weight", self.half(shape.ff, width, scale=0.2))
        w.add_tensor(at + "ffn_up.weight", self.half(shape.ff, width, scale=0.2))
        w.add_tensor(at + "ffn_down.weight", self.half(width, shape.ff, scale=0.2))

    def projector(self, name: str, shape: EncoderShape, text_width: int) -> None:
        """Write mmproj-NAME.gguf; `text_width` is the width of the language model it belongs to."""
        width = shape.width
        with self.file(f"mmproj-{name}.gguf", "clip") as w:
            _projector_keys(w, shape, text_width)
            for suffix in ("", ".1")[: 1 + shape.temporal]:
                w.add_tensor("v.patch_embd.weight" + suffix, self.half(width, 3, shape.patch, shape.patch, scale=0.05))
            if shape.patch_bias:
                w.add_tensor("v.patch_embd.bias", self.full(width))
            if shape.class_token:
                w.add_tensor("v.class_embd", self.full(width))
            if shape.positions:
                places = (shape.image // shape.patch) ** 2 + shape.class_token
                w.add_tensor("v.position_embd.weight", self.full(places, width))
            if shape.pre_norm:
                self._norm(w, "v.pre_ln", shape)
            if shape.post_norm:
                self._norm(w, "v.post_ln", shape)
            for layer in range(shape.layers):
                self._encoder_block(w, f"v.blk.{layer}.", shape)
            for tensor, values in shape.tensors.items():
                w.add_tensor(tensor, values)

    def _norm(self, w: gguf.GGUFWriter, at: str, shape: EncoderShape) -> None:
        w.add_tensor(at + ".weight", self.gain(shape.width))
        if not shape.rms:
            w.add_tensor(at + ".bias", self.full(shape.width))

    def _encoder_block(self, w: gguf.GGUFWriter, at: str, shape: EncoderShape) -> None:
        width = shape.width
        linear = [("attn_qkv", 3 * width, width)] if shape.fused_qkv else [(f"attn_{n}", width, width) for n in "qkv"]
        for name, rows, columns in [*linear, ("attn_out", width, width)]:
            self._linear(w, at + name, rows, columns, shape.bias)
        self._norm(w, at + "ln1", shape)
        self._norm(w, at + "ln2", shape)
        if shape.layer_scale:
            w.add_tensor(at + "ls1.weight", self.gain(width))
            w.add_tensor(at + "ls2.weight", self.gain(width))
        self._linear(w, at + "ffn_up", shape.ff, width, shape.bias)
        self._linear(w, at + "ffn_down", width, shape.ff, shape.bias)
        if shape.gate:
            self._linear(w, at + "ffn_gate", shape.ff, width, shape.bias)

    def _linear(self, w: gguf.GGUFWriter, at: str, rows: int, columns: int, bias: bool) -> None:
        w.add_tensor(at + ".weight", self.half(rows, columns, scale=0.2))
        if bias:
            w.add_tensor(at + ".bias", self.full(rows))

    def mlp(self, rows: int, columns: int, hidden: int, scale: float, names: tuple[str, str]) -> dict[str, Array]:
        """A projector of two linear layers, `columns` to `hidden` to `rows` wide; `names` are those of its layers."""
        first, second = names
        return {
            f"{first}.weight": self.half(hidden, columns, scale=scale),
            f"{first}.bias": self.full(hidden),
            f"{second}.weight": self.half(rows, hidden, scale=0.2),
            f"{second}.bias": self.full(rows),
        }


def _pad(tokens: list[Any], types: list[int], shape: ModelShape, encode: Callable[[str], Any]) -> None:
    """Fill up with words when a size is asked for, and with special tokens to a multiple of 32."""
    while len(tokens) < shape.vocabulary:
        tokens.append(encode(f"Ġw{len(tokens)}"))
        types.append(1)
    while len(tokens) % 32:
        tokens.append(encode(f"<pad{len(tokens)}>"))
        types.append(3)


def _bpe(w: gguf.GGUFWriter, shape: ModelShape) -> int:
    tokens = [*byte_letters(), *(merge.replace(" ", "") for merge in BPE_MERGES), *BPE_SPECIALS]
    types = [1] * (256 + len(BPE_MERGES)) + [3] * len(BPE_SPECIALS)
    _pad(tokens, types, shape, str)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(shape.bpe)
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(BPE_MERGES)
    w.add_eos_token_id(tokens.index("<|im_end|>"))
    w.add_bos_token_id(tokens.index("<|endoftext|>"))
    w.add_pad_token_id(tokens.index("<|endoftext|>"))
    w.add_add_bos_token(False)
    return len(tokens)


def _spm(w: gguf.GGUFWriter, shape: ModelShape) -> int:
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    types = [2, 3, 3] + [6] * 256
    scores = [0.0] * len(tokens) + [-float(n + 1) for n in range(len(SPM_PIECES))]
    tokens += [piece.encode() for piece in SPM_PIECES]
    types += [1] * len(SPM_PIECES)
    tokens += [special.encode() for special in shape.specials]
    types += [3] * len(shape.specials)
    _pad(tokens, types, shape, str.encode)
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(tokens)
    w.add_token_scores(scores + [0.0] * (len(tokens) - len(scores)))
    w.add_token_types(types)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_add_bos_token(True)
    w.add_add_space_prefix(False)
    return len(tokens)


def _model_keys(w: gguf.GGUFWriter, shape: ModelShape, vocabulary: int) -> None:
    w.add_chat_template(CHATML)
    w.add_context_length(shape.context)
    w.add_embedding_length(shape.width)
    w.add_block_count(shape.layers)
    w.add_feed_forward_length(shape.ff)
    w.add_head_count(shape.heads)
    w.add_vocab_size(vocabulary)
    if shape.convolutions:
        w.add_head_count_kv([0 if layer in shape.convolutions else shape.kv_heads for layer in range(shape.layers)])
    else:
        w.add_head_count_kv(shape.kv_heads)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(10000.0)
    w.add_rope_dimension_count(shape.head_dim)
    w.add_file_type(1)
    if shape.head_dim * shape.heads != shape.width or shape.gemma or shape.deepstack:
        w.add_key_length(shape.head_dim)
        w.add_value_length(shape.head_dim)
    if shape.sections:
        w.add_rope_dimension_sections(list(shape.sections))
    if shape.window:
        w.add_sliding_window(shape.window)
    if shape.deepstack:
        w.add_uint32(f"{shape.arch}.n_deepstack_layers", shape.deepstack)
    if shape.convolutions:
        w.add_uint32(f"{shape.arch}.shortconv.l_cache", 3)


def _projector_keys(w: gguf.GGUFWriter, shape: EncoderShape, text_width: int) -> None:
    w.add_bool("clip.has_vision_encoder", True)
    w.add_string("clip.projector_type", shape.projector)
    w.add_bool("clip.use_gelu", shape.gelu)
    w.add_bool("clip.use_silu", shape.silu)
    sizes = {
        "embedding_length": shape.width,
        "feed_forward_length": shape.ff,
        "block_count": shape.layers,
        "projection_dim": text_width,
        "image_size": shape.image,
        "patch_size": shape.patch,
    }
    for key, value in sizes.items():
        w.add_uint32(f"clip.vision.{key}", value)
    w.add_uint32("clip.vision.attention.head_count", shape.heads)
    w.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    w.add_array("clip.vision.image_mean", [0.5] * 3)
    w.add_array("clip.vision.image_std", [0.5] * 3)
    w.add_file_type(1)
    for key, value in shape.keys.items():
        w.add_uint32(f"clip.vision.{key}", value)
