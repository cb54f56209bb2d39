from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.row_chunks import in_pieces
from outfield.features.rows import Rows
from outfield.types import Head, Outputs, State


@dataclass(frozen=True)
class WeiPer(Detector):
    """WeiPer+KLD: how unusual the histogram of a row's features is, and that of its logits under perturbed weights [1].

    The head is perturbed ``repeats`` times, ``w_c + delta |w_c| z / |z|`` with Gaussian z. A row's features, all D of
    them, make one histogram, its C * repeats perturbed logits another; both are smoothed by a moving average and
    compared with the mean histograms of training rows by the symmetric divergence ``D = KL(p || q) + KL(q || p)``. The
    score is ``D_features + lambda_1 D_logits - lambda_2 MSP``, where MSP is the mean over the perturbed heads of their
    maximum softmax. The default settings are those of the authors' function.

    Parameters
    ----------
    repeats : int
        Perturbed heads; clipped so that there are at most 10,000 logits.
    delta : float
        Length of a perturbation relative to the weight's.
    bins : int
    smooth, smooth_logits : int
        Bins that the moving averages of the two histograms take together.
    lambda_1, lambda_2 : float
    limit : int
        Most training rows that are read.
    seed : int
        Of the perturbations and the draw.

    Examples
    --------
    >>> head = Head(torch.ones(2, 16), torch.zeros(2))
    >>> train = Outputs(logits=torch.zeros(64, 2), features=torch.arange(1024.0).view(64, 16) % 7, head=head)
    >>> weiper = WeiPer(repeats=4, bins=10, smooth=2, smooth_logits=2)
    >>> state = weiper.fit(FitData.of(train))
    >>> bool(weiper.score(Outputs(features=torch.full((1, 16), 3.0)), state) > weiper.score(train, state).max())
    True

    References
    ----------
    [1] Granz, Heurich, Landgraf. WeiPer: OOD Detection using Weight Perturbations of Class Projections. NeurIPS 2024.
    """

    repeats: int = 100
    delta: float = 2.1
    bins: int = 100
    smooth: int = 20
    smooth_logits: int = 20
    lambda_1: float = 1.0
    lambda_2: float = 1.0
    limit: int = 50_000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "hybrid"
    by_default: ClassVar[bool] = False
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"head", "classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "lambda_1": (0.1, 1.0, 2.5),
        "lambda_2": (0.1, 1.0),
    }
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "repeats": (1, 1e5),
        "delta": (0, 1e3),
        "bins": (2, 1e4),
        "smooth": (1, 1e4),
        "smooth_logits": (1, 1e4),
        "lambda_1": (0, 1e6),
        "lambda_2": (0, 1e6),
        "limit": (1, 1e9),
        "seed": (0, 2**62),
    }

    def clipped(self, data: FitData) -> Self:
        return replace(self, repeats=min(self.repeats, max(1, _LOGITS // data.classes)))

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Bank(("features",), limit=self.limit, seed=self.seed),)

    def fit(self, data: FitData) -> State:
        settled = self.clipped(data)
        (bank,) = settled.folds()
        rows = data.fold(bank)
        key = (WeiPer, settled.repeats, self.delta, self.bins, self.limit, self.seed)
        return dict(data.once(key, lambda: settled._learned(rows, data.head, data.classes)))

    def _perturbed(self, head: Head, device: torch.device) -> Head:
        rng = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(self.repeats, *head.weight.shape, generator=rng).to(device)
        weight = head.weight.to(device=device, dtype=noise.dtype)
        step = self.delta * weight.norm(dim=1, keepdim=True) * torch.nn.functional.normalize(noise, dim=2)
        return Head((weight + step).flatten(0, 1), head.bias.to(weight).repeat(self.repeats))

    def _learned(self, rows: Rows, head: Head, classes: int) -> State:
        head = self._perturbed(head, rows["features"].device)
        ranges = _ranges(_spaces(rows, head))
        totals = [torch.zeros(self.bins, dtype=torch.float64, device=ranges.device) for _ in range(2)]
        for values in _spaces(rows, head):
            for total, ends, some in zip(totals, ranges, values, strict=True):
                total.add_(_histograms(some, ends, self.bins).sum(0))
        return {
            "weight": head.weight,
            "bias": head.bias,
            "classes": torch.tensor([classes]),
            "ranges": ranges,
            "usual": torch.stack(totals) / len(rows),
        }

    def score(self, out: Outputs, state: State) -> Tensor:
        head, classes = Head(state["weight"], state["bias"]), int(state["classes"])

        def of(features: Tensor) -> Tensor:
            logits = head(features)
            known = self._unusual(features, state, 0, self.smooth)
            perturbed = self._unusual(logits, state, 1, self.smooth_logits)
            sure: Tensor = logits.view(-1, len(head.bias) // classes, classes).softmax(2).amax(2).mean(1)
            return known + self.lambda_1 * perturbed - self.lambda_2 * sure

        return in_pieces(of, 4 * (len(head.bias) + out.features.shape[1]), out.features)

    def _unusual(self, values: Tensor, state: State, space: int, smooth: int) -> Tensor:
        """Divergence of each row's histogram from the usual one of the features (0) or the perturbed logits (1)."""
        found = _smoothed(_histograms(values, state["ranges"][space], self.bins), smooth)
        return _divergence(state["usual"][space], found, _EPSILONS[space])


_LOGITS = 10_000
_EPSILONS = 0.01, 0.025
"""What the authors add to each bin."""


def _spaces(rows: Rows, head: Head) -> Iterator[tuple[Tensor, Tensor]]:
    """Features and perturbed logits of the rows, some at a time."""
    size = max(1, (1 << 22) // len(head.bias))
    return ((chunk.features, head(chunk.features)) for chunk in rows.chunks(size))


def _ranges(spaces: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    """Smallest and largest feature, smallest and largest perturbed logit, [2, 2]."""
    ends = [torch.stack([torch.stack([some.min(), some.max()]) for some in values]) for values in spaces]
    low, high = torch.stack(ends)[:, :, 0].amin(0), torch.stack(ends)[:, :, 1].amax(0)
    return torch.stack([low, torch.maximum(high, low + 1e-6)], dim=1)


def _histograms(values: Tensor, ends: Tensor, bins: int) -> Tensor:
    """Share of each row's values in each bin, [n, bins]; those beyond the ends count in the whole alone."""
    low, high = ends.to(values.dtype)
    place = ((values - low) / (high - low) * bins).floor()
    inside = (values >= low) & (values <= high)
    place = torch.where(inside, place.clamp(0, bins - 1), bins).long()
    counts = torch.zeros_like(values[:, :1]).expand(-1, bins + 1).scatter_add(1, place, torch.ones_like(values))
    return counts[:, :bins].double() / values.shape[1]


def _smoothed(histograms: Tensor, size: int) -> Tensor:
    """Moving average over ``size`` bins; the outermost bins are repeated beyond the ends."""
    bins = histograms.shape[1]
    places = torch.arange(-((size - 1) // 2), bins + size // 2, device=histograms.device).clamp(0, bins - 1)
    below = torch.nn.functional.pad(histograms[:, places].cumsum(1), (1, 0))
    return (below[:, size:] - below[:, :-size]) / size


def _divergence(p: Tensor, q: Tensor, epsilon: float) -> Tensor:
    p, q = (p + epsilon) / (p + epsilon).sum(), (q + epsilon) / (q + epsilon).sum(1, keepdim=True)
    both: Tensor = (p - q) * (p.log() - q.log())
    return both.sum(1)
