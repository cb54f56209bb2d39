from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from outfield.tasks.base import Task
from outfield.types import Batch
from outfield_science.strategies.deep_svdd import DeepSVDD, sphere_of


@dataclass(frozen=True, kw_only=True)
class DeepSAD(DeepSVDD):
    """Deep SVDD with labelled anomalies, which are driven away from the centre: ``+ weight * mean 1 / d^2`` [1].

    The anomalies are the stream ``outliers``; a step reads a few of them.

    Parameters
    ----------
    weight : float
    anomalies : int
        Of each step.

    Examples
    --------
    >>> DeepSAD().stream_size("outliers")
    10

    References
    ----------
    [1] Ruff et al. Deep Semi-Supervised Anomaly Detection. ICLR 2020.
    """

    weight: float = 1.0
    anomalies: int = 10

    streams: ClassVar[frozenset[str]] = frozenset({"outliers"})
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **DeepSVDD.limits,
        "weight": (0.0, 1e6),
        "anomalies": (1, 1_000_000),
    }

    def stream_size(self, role: str) -> int:
        return self.anomalies

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        away = sphere_of(network).distances(batch.streams["outliers"].x)
        return super().loss(network, batch, task) + self.weight * (away + 1e-6).reciprocal().mean()
