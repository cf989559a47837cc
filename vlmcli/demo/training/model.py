"""The demo model in PyTorch: a LLaVA in miniature, in the shapes llama.cpp's `clip` and `llama` architectures expect.

picture [128, 128, 3] → 64 patches of 16x16 → encoder (pre-norm transformer) [64, 160] → projector (two layers, GELU)
[64, 192] → rows among the embeddings of the question's tokens → language model (LLaMA's blocks) → logits.

Needs PyTorch (extra `train`); nothing here is imported at run time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 — PyTorch's own short name
from torch import Tensor, nn

from vlmcli.demo import world
from vlmcli.demo.training.patches import BOX_NUMBERS, CELLS, COLUMNS, SUPERLATIVES, TEXT_LENGTH


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of the encoder. `inner` must not be `width`: llama.cpp takes equal ones for a swapped old layout."""

    side: int = world.VIEW
    patch: int = 16
    width: int = 160
    heads: int = 5
    inner: int = 512
    layers: int = 6
    epsilon: float = 1e-5


@dataclass(frozen=True)
class LanguageShape:
    """Sizes of the language model, and how its positions turn."""

    width: int = 192
    heads: int = 6
    inner: int = 512
    layers: int = 4
    epsilon: float = 1e-5
    rope_base: float = 10_000.0
    context: int = 4096


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention, [batch, heads, tokens, width]; written out in bf16 on a CPU, where the fused one is slow."""
    if q.dtype == torch.float32 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    with torch.autocast(q.device.type, enabled=False):
        scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2)
        if mask is not None:
            scores = scores + mask.to(q.dtype)
        return torch.softmax(scores, -1) @ v


def _heads(x: Tensor, heads: int) -> Tensor:
    batch, tokens, width = x.shape
    return x.view(batch, tokens, heads, width // heads).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Pre-norm attention and a GELU feed-forward."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        width, self.heads = shape.width, shape.heads
        self.ln1, self.ln2 = nn.LayerNorm(width, shape.epsilon), nn.LayerNorm(width, shape.epsilon)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, shape.inner), nn.Linear(shape.inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """[pictures, patches, width] to the same."""
        h = self.ln1(x)
        mixed = attention(*(_heads(layer(h), self.heads) for layer in (self.q, self.k, self.v)))
        x = x + self.o(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class Encoder(nn.Module):
    """A CLIP-like vision transformer without a class token."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.patch = nn.Linear(3 * shape.patch**2, shape.width)
        self.position = nn.Parameter(torch.randn((shape.side // shape.patch) ** 2, shape.width) * 0.02)
        self.pre, self.post = nn.LayerNorm(shape.width, shape.epsilon), nn.LayerNorm(shape.width, shape.epsilon)
        self.blocks = nn.ModuleList(EncoderBlock(shape) for _ in range(shape.layers))

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [pictures, side, side, 3] to float [pictures, patches, width]."""
        count, size = len(pixels), self.shape.patch
        grid = self.shape.side // size
        x = pixels.view(count, grid, size, grid, size, 3).permute(0, 1, 3, 5, 2, 4).reshape(count, grid * grid, -1)
        kind = torch.bfloat16 if torch.is_autocast_enabled(pixels.device.type) else torch.float32
        x = self.pre(self.patch(x.to(kind) / 127.5 - 1) + self.position)
        for block in self.blocks:
            x = block(x)
        return self.post(x)


class RMSNorm(nn.Module):
    """Root mean square normalisation with a gain."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] to the same."""
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.epsilon)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding on neighbouring pairs, llama.cpp's "normal" order. [batch, heads, tokens, width]."""
    even, odd, cos, sin = x[..., 0::2], x[..., 1::2], cos.to(x.dtype), sin.to(x.dtype)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class LanguageBlock(nn.Module):
    """A LLaMA block: rotary attention and SwiGLU, without biases."""

    def __init__(self, shape: LanguageShape) -> None:
        super().__init__()
        width, self.heads = shape.width, shape.heads
        self.norm1, self.norm2 = RMSNorm(width, shape.epsilon), RMSNorm(width, shape.epsilon)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, shape.inner, bias=False) for _ in range(2))
        self.down = nn.Linear(shape.inner, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """[rows, tokens, width] to the same."""
        h = self.norm1(x)
        q, k, v = (_heads(layer(h), self.heads) for layer in (self.q, self.k, self.v))
        mixed = attention(rotate(q, cos, sin), rotate(k, cos, sin), v, mask)
        x = x + self.o(mixed.transpose(1, 2).reshape(x.shape))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Decoder(nn.Module):
    """The language model between its embeddings and its logits."""

    def __init__(self, shape: LanguageShape) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(LanguageBlock(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.epsilon)
        size = shape.width // shape.heads
        frequencies = shape.rope_base ** -(torch.arange(0, size, 2).float() / size)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, x: Tensor, positions: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings [rows, tokens, width], positions [rows, tokens], seen bool [rows, 1, tokens, tokens].

        Returns: what the last block gives, normed, what the middle one does, and the last but one, all
            [rows, tokens, width].
        """
        mask = torch.zeros(seen.shape, dtype=x.dtype, device=x.device).masked_fill_(~seen, -1e4)
        angles = positions[:, None, :, None].float() * self.frequencies
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for number, block in enumerate(self.blocks, 1):
            x = block(x, cos, sin, mask)
            if number == len(self.blocks) // 2:
                middle = F.rms_norm(x, (x.shape[-1],))
            if number == len(self.blocks) - 1:
                late = F.rms_norm(x, (x.shape[-1],))
        return self.norm(x), middle, late


READINGS = (0,) * 4 + (1,) * TEXT_LENGTH + (2,) * 3
"""Words a patch is read for, by group: its shape's box, the letters of its text, the numbers of shapes."""


class Heads(nn.Module):
    """What the encoder is also asked directly while it learns, patch by patch, and the language model half-way; left
    out of the exported model.
    """

    def __init__(self, width: int, projected: int) -> None:
        super().__init__()
        self.shape = nn.Linear(width, len(world.SHAPES) + 2)
        self.color = nn.Linear(width, len(world.COLORS) + 1)
        self.character = nn.Linear(width, COLUMNS * (len(world.CHARACTERS) + 1))
        self.order = nn.Linear(width, COLUMNS * (TEXT_LENGTH + 1))
        self.region = nn.Linear(width, 10)
        self.most = nn.Linear(width, len(SUPERLATIVES))
        self.same = nn.Linear(width, 3 * 6)
        self.box = nn.Linear(width, BOX_NUMBERS)
        self.cell = nn.Linear(width, 2 * CELLS)
        self.background = nn.Linear(width, len(world.BACKGROUNDS))
        self.count = nn.Linear(width, 6)
        self.reading = nn.Linear(projected, len(READINGS) * projected, bias=False)
        self.fitting = nn.Linear(projected, 6)
        self.place = nn.Linear(projected, BOX_NUMBERS)
        self.change = nn.Linear(projected, 5)
        self.beside = nn.Linear(projected, 2)


class DemoModel(nn.Module):
    """Encoder, projector, language model, and the heads that only training uses."""

    def __init__(
        self, vocabulary: int, encoder: EncoderShape | None = None, language: LanguageShape | None = None
    ) -> None:
        super().__init__()
        self.encoder_shape, self.language_shape = encoder or EncoderShape(), language or LanguageShape()
        width = self.language_shape.width
        self.encoder = Encoder(self.encoder_shape)
        self.projector1, self.projector2 = nn.Linear(self.encoder_shape.width, width), nn.Linear(width, width)
        self.embedding = nn.Embedding(vocabulary, width)
        self.decoder = Decoder(self.language_shape)
        self.output: Tensor | None = None
        """Rows that are read instead of the embeddings', once it is calibrated: float [vocabulary, width]."""
        self.heads = Heads(self.encoder_shape.width, width)
        for name, weight in self.named_parameters():
            if weight.dim() == 2 and "position" not in name:
                residual = name.endswith((".o.weight", ".down.weight"))
                small = residual or "embedding" in name
                nn.init.normal_(weight, std=0.02 if small else 0.7 / math.sqrt(weight.shape[1]))
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def project(self, features: Tensor) -> Tensor:
        """The encoder's features [pictures, patches, width] in the language model's space."""
        return self.projector2(F.gelu(self.projector1(features), approximate="tanh"))

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., width] to [..., vocabulary]; the output is tied to the embeddings, unless `output` is there."""
        rows = self.embedding.weight if self.output is None else self.output
        return F.linear(hidden, rows.to(hidden.dtype))
