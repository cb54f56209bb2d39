from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.probes.base import Probe
from outfield.features.probes.passes import Passes
from outfield.types import Outputs, State

Role: TypeAlias = Literal["single", "mean", "each"]
Part: TypeAlias = Literal["total", "aleatoric", "epistemic"]


@dataclass(frozen=True)
class PredictiveUncertainty(Detector):
    """The information-theoretic measures of uncertainty over several networks: an ensemble, or dropout passes [1].

    ``total = E CE(p, q) = E H(p) + E KL(p || q) = aleatoric + epistemic``, with p the network that predicts and q the
    one that stands for the truth, each of three kinds: a ``single`` network (the first), the ``mean`` of all
    distributions, or ``each`` network in turn. The nine pairs have these names in the literature:

    ==========  ======  ===================  ===============================
    predicting  truth   total                epistemic
    ==========  ======  ===================  ===============================
    each        mean    entropy of the mean  mutual information (BALD)
    each        each    cross-entropy        expected pairwise KL
    mean        each    cross-entropy        reverse mutual information
    mean        mean    entropy of the mean  zero
    single      single  entropy of one       zero
    single      others  cross-entropy        divergence of the one from them
    others      single  cross-entropy        divergence of them from the one
    ==========  ======  ===================  ===============================

    Expected pairwise KL is the sum of mutual information and its reverse.

    Parameters
    ----------
    predicting, truth : "single", "mean" or "each"
    part : "total", "aleatoric" or "epistemic"
    source : "features" or "model"
        Where the networks come from: dropout on the penultimate features, which any network has; or the model itself,
        an ``Ensemble`` or a network with layers of dropout.
    samples : int
        Dropout passes.
    rate : float
        Share of the features that "features" drops.
    seed : int
        Of the masks.

    Raises
    ------
    UserError
        Another kind or part. While outputs are extracted: "model" for a network without dropout.

    Examples
    --------
    >>> mutual = PredictiveUncertainty(predicting="each", truth="mean", part="epistemic")
    >>> (probe,) = mutual.probes()
    >>> agreed, split = [[0.0, 9.0], [0.0, 9.0]], [[0.0, 9.0], [9.0, 0.0]]
    >>> mutual.score(Outputs(layers={probe.key: torch.tensor([agreed, split])}), {}).round(decimals=3)
    tensor([0.0000, 0.6920], dtype=torch.float64)

    References
    ----------
    [1] Schweighofer, Aichberger, Ielanskyi, Hochreiter. On Information-Theoretic Measures of Predictive Uncertainty.
        UAI 2025.
    """

    predicting: Role = "each"
    truth: Role = "mean"
    part: Part = "total"
    source: Literal["features", "model"] = "features"
    samples: int = 20
    rate: float = 0.5
    seed: int = 0

    title: ClassVar[str] = "Predictive uncertainty"
    needs: ClassVar[frozenset[str]] = frozenset({"passes"})
    information: ClassVar[str] = "outputs"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"any"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"truth": ("mean", "each"), "part": ("total", "epistemic")}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"samples": (1, 1e5), "rate": (0, 0.999), "seed": (0, 2**62)}

    def __post_init__(self) -> None:
        super().__post_init__()
        kinds = {"predicting": get_args(Role), "truth": get_args(Role), "part": get_args(Part)}
        for name, known in {**kinds, "source": ("features", "model")}.items():
            if getattr(self, name) not in known:
                raise UserError(
                    f"Expected {name} of {self.title} among {', '.join(known)}, but got {getattr(self, name)!r}. "
                    "Choose one of them."
                )
        if self.source == "features":
            object.__setattr__(self, "fits_with", self.fits_with | {"head"})

    def probes(self) -> tuple[Probe, ...]:
        return (Passes(self.source, self.samples, self.rate, self.seed),)

    def score(self, out: Outputs, state: State) -> Tensor:
        (probe,) = self.probes()
        return measured(probe.values(out)[probe.key], self.predicting, self.truth)[self.part]


def measured(logits: Tensor, predicting: Role, truth: Role) -> dict[Part, Tensor]:
    """Total, aleatoric and epistemic uncertainty [n] of logits [n, T, C], in float64.

    The cross-entropy is linear in p and in log q, so that its mean over pairs of networks is that of two means.

    Examples
    --------
    >>> found = measured(torch.tensor([[[0.0, 0.0], [0.0, 0.0]]]), "each", "each")
    >>> {part: round(float(value), 4) for part, value in found.items()}
    {'total': 0.6931, 'aleatoric': 0.6931, 'epistemic': 0.0}
    """
    logs = torch.log_softmax(logits.double(), dim=2)
    (p, log_p), (_, log_q) = _kind(logs, predicting), _kind(logs, truth)
    total = -(p.mean(1) * log_q.mean(1)).sum(1)
    aleatoric = -(p * log_p).sum(2).mean(1)
    return {"total": total, "aleatoric": aleatoric, "epistemic": (total - aleatoric).clamp(min=0)}


def _kind(logs: Tensor, role: Role) -> tuple[Tensor, Tensor]:
    """Probabilities and their logarithms of the networks of a kind, [n, 1 or T, C]."""
    if role == "mean":
        logs = torch.logsumexp(logs, dim=1, keepdim=True) - math.log(logs.shape[1])
    return (logs[:, :1].exp(), logs[:, :1]) if role == "single" else (logs.exp(), logs)
