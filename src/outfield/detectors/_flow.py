"""A normalising flow of affine coupling layers, RealNVP."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RealNVP(nn.Module):
    """Couplings that each change every other element, the halves in turn: rows [n, ...] become latents [n, D].

    Examples
    --------
    >>> flow = RealNVP(4, couplings=2, hidden=8)
    >>> z, volume = flow(torch.ones(1, 4))
    >>> z.tolist(), volume.tolist(), flow.inverse(z).tolist()
    ([[1.0, 1.0, 1.0, 1.0]], [0.0], [[1.0, 1.0, 1.0, 1.0]])

    References
    ----------
    Dinh, Sohl-Dickstein, Bengio. Density Estimation Using Real NVP. ICLR 2017.
    """

    def __init__(self, dim: int, couplings: int, hidden: int) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(dim, hidden, number % 2) for number in range(couplings))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latents, and the log determinant of the Jacobian [n]."""
        z = x.flatten(1)
        volume = torch.zeros_like(z[:, 0])
        for coupling in self.couplings:
            z, stretched = coupling(z)
            volume = volume + stretched
        return z, volume

    def inverse(self, z: Tensor) -> Tensor:
        """The rows of latents, [n, D]."""
        for coupling in reversed(self.couplings):
            z = coupling.inverse(z)  # type: ignore[operator]  # a module list says no more than module
        return z


class Coupling(nn.Module):
    """``y = x exp(s) + t`` where s and t are functions of the elements that stay; s lies within one of zero."""

    stays: Tensor

    def __init__(self, dim: int, hidden: int, first: int) -> None:
        super().__init__()
        self.register_buffer("stays", (torch.arange(dim) % 2 == first).float())
        last = nn.Linear(hidden, 2 * dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.inner = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self._scale_and_shift(x)
        return x * s.exp() + t, s.sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        s, t = self._scale_and_shift(y)
        return (y - t) * (-s).exp()

    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.inner(x * self.stays).chunk(2, dim=1)
        return s.tanh() * (1 - self.stays), t * (1 - self.stays)
