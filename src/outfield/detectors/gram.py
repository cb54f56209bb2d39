from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.banks import Bank, priorities
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.probes.base import Probe
from outfield.features.probes.gram import ChannelCorrelations
from outfield.types import Outputs, State

_Ranges: TypeAlias = "dict[str, Tensor]"
"""Counts of predictions, and for each layer the smallest and largest values, [C, V]."""


@dataclass(frozen=True)
class Gram(Detector):
    """Deviations of channel correlations from the ranges of the predicted class [1].

    For each layer l the probe ``gram`` gives correlations g of orders 1 to ``powers``;
    ``delta_l = sum_j relu(min_j - g_j) / |min_j + 1e-6| + relu(g_j - max_j) / |max_j + 1e-6|`` with the bounds of
    training rows of the same predicted class. The score is ``sum_l delta_l / e_l / max_c p_c``, e_l the mean of
    delta_l over training rows that were held out of the bounds: a tenth, drawn by row number, at most 5,000 of them.

    Parameters
    ----------
    powers : int
    layers : names of layers
        Empty for all that the model offers.
    seed : int
        Of the draw.

    Raises
    ------
    UserError
        By ``fit``, where a class is predicted for no row, or no row was held out.

    Examples
    --------
    >>> gram = Gram(powers=1, layers=("relu",))
    >>> (probe,) = gram.probes()
    >>> name = probe.key + "/relu"
    >>> ends = {name + " low": torch.ones(2, 1), name + " high": torch.full((2, 1), 3.0)}
    >>> out = Outputs(logits=torch.tensor([[9.0, 0.0]] * 3), layers={name: torch.tensor([[2.0], [6.0], [0.0]])})
    >>> gram.score(out, ends | {name + " mean": torch.ones(1)}).round(decimals=2)
    tensor([0., 1., 1.], dtype=torch.float64)

    References
    ----------
    [1] Sastry, Oore. Detecting Out-of-Distribution Examples with Gram Matrices. ICML 2020.
    """

    powers: int = 5
    layers: tuple[str, ...] = ()
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "gram"})
    information: ClassVar[str] = "layers"
    modality: ClassVar[frozenset[str]] = frozenset({"any"})
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"powers": (1, 20), "seed": (0, 2**62)}

    def probes(self) -> tuple[ChannelCorrelations, ...]:
        return (ChannelCorrelations(self.powers, self.layers),)

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        (probe,) = self.probes()
        return _Bounds(probe, self.seed), Bank(("logits", probe.key), _HELD_OUT, limit=5000, seed=self.seed)

    def fit(self, data: FitData) -> State:
        ranges, held_out = self.folds()
        bounds: State = data.fold(ranges)
        deviations = self._deviations(data.fold(held_out).outputs(), bounds)
        return bounds | {f"{name} mean": values.mean().reshape(1) for name, values in deviations.items()}

    def score(self, out: Outputs, state: State) -> Tensor:
        deviations = self._deviations(out, state)
        scaled = [values / state[f"{name} mean"].clamp(min=1e-6) for name, values in deviations.items()]
        return torch.stack(scaled).sum(0) / torch.softmax(out.logits.double(), dim=1).amax(1)

    def _deviations(self, out: Outputs, bounds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        (probe,) = self.probes()
        predicted = out.logits.argmax(1)
        deviations = {}
        for name, values in probe.values(out).items():
            low, high = (bounds[f"{name} {end}"][predicted] for end in ("low", "high"))
            deviations[name] = _deviation(values, low, high)
        return deviations


_HELD_OUT = 0.1


def _deviation(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    below = (low - values).relu() / (low + 1e-6).abs()
    above = (values - high).relu() / (high + 1e-6).abs()
    return (below + above).sum(1, dtype=torch.float64)


@dataclass(frozen=True)
class _Bounds(Fold[_Ranges, State]):
    """Smallest and largest values of each class that is predicted, over the rows that are not held out."""

    probe: Probe
    seed: int

    def start(self, like: Outputs) -> _Ranges:
        classes = like.logits.shape[1]
        ranges = {"counts": torch.zeros(classes, dtype=torch.int64, device=like.logits.device)}
        for name, values in self.probe.values(like).items():
            ranges[f"{name} low"] = values.new_full((classes, values.shape[1]), torch.inf)
            ranges[f"{name} high"] = values.new_full((classes, values.shape[1]), -torch.inf)
        return ranges

    def update(self, total: _Ranges, chunk: Outputs, first: int) -> _Ranges:
        places = torch.from_numpy(priorities(np.arange(first, first + len(chunk)), self.seed))
        rows = chunk[torch.nonzero(places >= _HELD_OUT).flatten()]
        predicted = rows.logits.argmax(1)
        total["counts"] += torch.bincount(predicted, minlength=len(total["counts"]))
        for name, values in self.probe.values(rows).items():
            index = predicted[:, None].expand_as(values)
            total[f"{name} low"].scatter_reduce_(0, index, values, "amin")
            total[f"{name} high"].scatter_reduce_(0, index, values, "amax")
        return total

    def merge(self, total: _Ranges, other: _Ranges) -> _Ranges:
        joined = {"counts": total["counts"] + other["counts"]}
        for name in total.keys() - joined.keys():
            joined[name] = (torch.minimum if name.endswith("low") else torch.maximum)(total[name], other[name])
        return joined

    def finish(self, total: _Ranges) -> State:
        if absent := torch.nonzero(total["counts"] == 0).flatten().tolist():
            raise UserError(
                f"Expected fit rows that are predicted as each class, but class "
                f"{', '.join(map(str, absent))} has none. "
                "Train the model further, or choose another detector."
            )
        return {name: values for name, values in total.items() if name != "counts"}
