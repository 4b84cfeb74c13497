"""Adam, as `torch.optim.Adam` has it. The first optimiser of torch's own loads its compiler, for a second or two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

EPS = 1e-8


class Adam:
    """Adam on tensors in place, to the same numbers as `torch.optim.Adam` has on the CPU.

        m <- m + (1 - b1) (g - m),   v <- b2 v + (1 - b2) g^2,   p <- p - lr m^ / (sqrt(v^) + eps),

    with m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) after t steps. A tensor without a gradient stays.

    - params: tensors, or groups of them: dicts with `params`, each with an `lr` of its own if it has one.
    - param_groups: those groups, whose `lr` may be changed at any time. state: of each tensor that has moved, t as
      `step`, m as `exp_avg` and v as `exp_avg_sq`.
    """

    def __init__(
        self, params: Iterable[Tensor | dict[str, Any]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        groups = [given if isinstance(given, dict) else {"params": [given]} for given in params]
        self.param_groups: list[dict[str, Any]] = [{"lr": lr} | group for group in groups]
        self.betas = betas
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every tensor that has a gradient."""
        b1, b2 = self.betas
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p not in self.state:
                    zeros = [torch.zeros_like(p, memory_format=torch.preserve_format) for _ in range(2)]
                    self.state[p] = {"step": torch.zeros(()), "exp_avg": zeros[0], "exp_avg_sq": zeros[1]}
                t, m, v = self.state[p].values()
                t += 1
                m.lerp_(p.grad, 1 - b1)
                v.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
                size = (v.sqrt() / (1 - b2 ** t.item()) ** 0.5).add_(EPS)
                p.addcdiv_(m, size, value=-group["lr"] / (1 - b1 ** t.item()))
