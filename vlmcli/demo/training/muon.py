"""Muon: momentum whose matrices are made orthogonal, https://kellerjordan.github.io/posts/muon.

PyTorch's own works matrix by matrix and always in bfloat16, which costs some CPUs a third of a training step; this one
takes equal shapes together, in the kind of number it is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearly the nearest orthogonal ones to float [count, rows, columns], rows <= columns, by Newton and Schulz."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Muon with decoupled weight decay; the update's size is matched to AdamW's, so that rates mean the same."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.05,
        kind: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.kind = kind

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """One step from the gradients."""
        for group in self.param_groups:
            shaped = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is None:  # as of the language model while the encoder learns alone
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(state["momentum"], group["momentum"])
                shaped[tuple(sorted(weight.shape))].append((weight, update))
            for (rows, columns), found in shaped.items():
                stacked = torch.stack([u if u.shape[0] == rows else u.mT for _, u in found])
                made = orthogonal(stacked.to(self.kind)).float() * (0.2 * columns**0.5)
                for (weight, _), update in zip(found, made, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.sub_(update if weight.shape[0] == rows else update.mT, alpha=group["lr"])
