"""Muon: momentum whose update is orthogonalised by a Newton-Schulz iteration."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Approximates the nearest semi-orthogonal matrix of each matrix of a batch.

    Args:
        matrices: ``[N, R, C]`` with ``R >= C``.
        steps: Iterations of the quintic Newton-Schulz polynomial.

    Returns:
        A bfloat16 tensor of the same shape with singular values around one.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    norm = torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True)
    x = (matrices / (norm + 1e-7)).bfloat16()
    for _ in range(steps):
        gram = x.mT @ x
        update = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, x, update, beta=a)
    return x


class Muon(torch.optim.Optimizer):
    """Muon for parameters that are stacks of equally shaped matrices.

    The last two dimensions of each parameter are one matrix with at least as many
    rows as columns. The update is scaled to the root mean square of a typical AdamW
    update, ``0.2 * sqrt(max(rows, columns))``, so learning rates are alike.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 5e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
    ) -> None:
        """Creates the optimiser.

        Args:
            params: Stacked matrices.
            lr: Learning rate on the scale of AdamW.
            momentum: Decay of the momentum buffer (Nesterov).
            weight_decay: Decoupled weight decay.
        """
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates every parameter that has a gradient."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["momentum"] = torch.zeros_like(param)
                buffer = state["momentum"]
                buffer.lerp_(param.grad, 1 - group["momentum"])
                nesterov = param.grad.lerp(buffer, group["momentum"])
                rows, columns = param.shape[-2:]
                update = orthogonalise(nesterov.view(-1, rows, columns)).view_as(param)
                param.mul_(1 - group["lr"] * group["weight_decay"])
                param.add_(update, alpha=-group["lr"] * 0.2 * max(rows, columns) ** 0.5)
