"""Why a score is what it is: parts by class or by unit that add up to it, for detectors where such parts are exact.

A part is what one class, or one unit of the penultimate features, adds to the score: positive parts speak for an input
from outside, negative ones against. Each function here follows the formula of its detector and states the
decomposition; what has no exact one is not listed. ``explain`` compares the sum with the detector's own score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from outfield.detectors._banks import on_sphere
from outfield.detectors._mass import kept, ratio
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.moments import unit
from outfield.registry import name_of
from outfield.types import Head, Outputs, State

TOLERANCE = 1e-5
"""How far the sum of the parts may be from the score, of the score's size or of one."""

By = Literal["classes", "units"]


@dataclass(frozen=True)
class Parts:
    """What classes or units add to a score, and what belongs to none of them.

    Parameters
    ----------
    by : ``classes`` or ``units``
    values : Tensor, shape [k], float64
    rest : mapping
        Named parts that belong to no class or unit.
    """

    by: By
    values: Tensor
    rest: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Their sum: the score."""
        return float(self.values.sum()) + sum(self.rest.values())

    def largest(self, names: Callable[[int], str], most: int = 8) -> list[tuple[str, float]]:
        """The largest parts by size with their names, then ``rest``: all others together.

        Examples
        --------
        >>> parts = Parts("units", torch.tensor([1.0, -3.0, 0.5]), {"bias": 2.0})
        >>> parts.largest("unit {}".format, most=2)
        [('unit 1', -3.0), ('bias', 2.0), ('rest', 1.5)]
        """
        *titles, others = _numbered([*map(names, range(len(self.values))), *self.rest, "rest"])
        values = [*self.values.tolist(), *self.rest.values()]
        named = [(title, value) for title, value in zip(titles, values, strict=True) if value]
        ordered = sorted(named, key=lambda part: -abs(part[1]))
        left = sum(value for _, value in ordered[most:])
        return ordered[:most] + ([(others, left)] if len(ordered) > most else [])


def _numbered(names: Sequence[str]) -> list[str]:
    """The same names, with a number where several are equal.

    Examples
    --------
    >>> _numbered(["crane", "bias", "crane"])
    ['crane (1)', 'bias', 'crane (2)']
    """
    times, seen = Counter(names), Counter[str]()
    titles = []
    for name in names:
        seen[name] += 1
        titles.append(f"{name} ({seen[name]})" if times[name] > 1 else name)
    return titles


@dataclass(frozen=True)
class Case:
    """A detector, what it learned, and one input."""

    detector: Any
    out: Outputs
    state: State
    fit: FitData


Explain = Callable[[Case], Iterator[Parts]]


def explain(detector: Detector, out: Outputs, state: State, fit: FitData) -> list[Parts]:
    """The parts of the score of one input; none where the detector has no exact ones, or they miss its score.

    Parameters
    ----------
    detector : Detector
    out : Outputs
        Of one input.
    state, fit : what the detector learned, and what from

    Examples
    --------
    >>> from outfield.detectors.msp import MSP
    >>> out = Outputs(logits=torch.tensor([[2.0, 1.0, 0.0]]))
    >>> (parts,) = explain(MSP(), out, {}, None)
    >>> parts.by, [round(part, 4) for part in parts.values.tolist()]
    ('classes', [0.0, 0.2447, 0.09])
    """
    function = PARTS.get(name_of("detectors", detector))
    if function is None:
        return []
    with torch.inference_mode():
        score = float(detector.score(out, state)[0])
        return [parts for parts in function(Case(detector, out, state, fit)) if adds_up(parts.total, score)]


def adds_up(total: float, score: float) -> bool:
    """Whether parts make a score, to ``TOLERANCE``."""
    return abs(total - score) <= TOLERANCE * max(1.0, abs(score))


def _msp(case: Case) -> Iterator[Parts]:
    """``1 - p_y`` is the sum of the other classes' probabilities."""
    yield Parts("classes", _others(case.out.logits[0].double()))


def _temp_scale(case: Case) -> Iterator[Parts]:
    """The same at the learned temperature."""
    yield Parts("classes", _others(case.out.logits[0].double() / case.state["temperature"]))


def _others(logits: Tensor) -> Tensor:
    p = torch.softmax(logits, dim=0)
    p[logits.argmax()] = 0.0
    return p


def _entropy(case: Case) -> Iterator[Parts]:
    """``-sum_c p_c log p_c``, class by class."""
    logs = torch.log_softmax(case.out.logits[0].double(), dim=0)
    yield Parts("classes", -logs.exp() * logs)


def _gen(case: Case) -> Iterator[Parts]:
    """``(p_c (1 - p_c))^gamma``, for the m largest probabilities."""
    p = torch.softmax(case.out.logits[0].double(), dim=0)
    top, values = p.topk(min(case.detector.m, len(p))).indices, torch.zeros_like(p)
    rest = torch.tensor([float(p[torch.arange(len(p)) != c].sum()) for c in top], dtype=p.dtype)
    values[top] = (p[top] * rest).pow(case.detector.gamma)
    yield Parts("classes", values)


def _klm(case: Case) -> Iterator[Parts]:
    """``p_c (log p_c - log d_c)`` for the nearest template d."""
    logs, templates = torch.log_softmax(case.out.logits[0].double(), dim=0), case.state["log_templates"]
    nearest = templates[(templates @ logs.exp()).argmax()]
    yield Parts("classes", logs.exp() * (logs - nearest))


def _fdbd(case: Case) -> Iterator[Parts]:
    """``-(z_y - z_k) / |w_y - w_k| / (C - 1) / |f - mu_0|``, class by class."""
    logits, features = case.out.logits[0].double(), case.out.features[0].double()
    gaps = case.state["per_gap"].double()[int(logits.argmax())] / max(1, len(logits) - 1)
    length = (features - case.state["mean"] if case.detector.from_mean else features).norm().clamp(min=1e-12)
    yield Parts("classes", -(logits.max() - logits) * gaps / length)


def _mls(case: Case) -> Iterator[Parts]:
    """``-z_y = -sum_u w_yu f_u - b_y``, unit by unit."""
    if case.out.has("head") and case.out.has("features"):
        top = int(case.out.logits[0].argmax())
        weight, bias = case.out.head.weight[top].double(), float(case.out.head.bias[top])
        yield Parts("units", -weight * case.out.features[0].double(), {"bias": -bias})


def _energy(case: Case) -> Iterator[Parts]:
    """By classes ``-p_c T logsumexp(z / T)``; by units as in ``_free_energy``."""
    logits, t = case.out.logits[0].double(), case.detector.temperature
    yield Parts("classes", -t * torch.softmax(logits / t, dim=0) * torch.logsumexp(logits / t, dim=0))
    if case.out.has("head") and case.out.has("features"):
        yield _free_energy(case.out.head, case.out.features[0], t)


def _free_energy(head: Head, features: Tensor, t: float = 1.0) -> Parts:
    """``-T logsumexp((W f + b) / T) = -sum_u (sum_c p_c w_cu) f_u - sum_c p_c b_c - T H(p)``, with H the entropy."""
    wide = head.to(dtype=torch.float64)
    logs = torch.log_softmax(wide(features.double()) / t, dim=0)
    p = logs.exp()
    rest = {"bias": -float(p @ wide.bias), "entropy": t * float((p * logs).sum())}
    return Parts("units", -(p @ wide.weight) * features.double(), rest)


def _react(case: Case) -> Iterator[Parts]:
    """The free energy of the rectified features."""
    yield _free_energy(case.out.head, case.out.features[0].minimum(case.state["threshold"]))


def _vra(case: Case) -> Iterator[Parts]:
    """The free energy of the features cut from below and above."""
    features = case.out.features[0]
    yield _free_energy(case.out.head, features.minimum(case.state["beta"]).where(features >= case.state["alpha"], 0.0))


def _ash(case: Case) -> Iterator[Parts]:
    """The free energy of the shaped features."""
    yield _free_energy(case.out.head, case.detector._shaped(case.out.features)[0])


def _scale(case: Case) -> Iterator[Parts]:
    """The free energy of the scaled features."""
    r = ratio(case.out.features, kept(case.out.features.shape[1], case.detector.percentile))
    yield _free_energy(case.out.head, (case.out.features * r.exp())[0])


def _dice(case: Case) -> Iterator[Parts]:
    """The free energy under the weights that are kept."""
    yield _free_energy(Head(case.out.head.weight * case.state["mask"], case.out.head.bias), case.out.features[0])


def _she(case: Case) -> Iterator[Parts]:
    """``-f_u s_u`` with s the pattern of the predicted class."""
    pattern = case.state["patterns"][int(case.out.logits[0].argmax())]
    yield Parts("units", -(case.out.features[0] * pattern).double())


def _nci(case: Case) -> Iterator[Parts]:
    """``-w_yu (f - mu_0)_u / |f - mu_0| - alpha |f_u|``."""
    features = case.out.features[0].double()
    centred = features - case.state["mean"]
    weight = case.out.head.weight[int(case.out.logits[0].argmax())].double()
    yield Parts("units", -weight * centred / centred.norm().clamp(min=1e-12) - case.detector.alpha * features.abs())


def _knn(case: Case) -> Iterator[Parts]:
    """``d = sum_u (n(f) - n(f_k))_u^2 / d``, the squared differences to the k-th neighbour over the distance."""
    row = unit(case.out.features)[0]
    bank = on_sphere(case.state["bank"], row)
    kth = int((bank @ row).topk(min(case.detector.k, len(bank))).indices[-1])
    squares = (row - bank[kth]).double().square()
    yield Parts("units", squares / squares.sum().sqrt().clamp(min=1e-300))


def _nnguide(case: Case) -> Iterator[Parts]:
    """``-logsumexp(z) n(f)_u mean_i g_iu`` over the k guides that are the most alike."""
    row = unit(case.out.features)[0]
    bank, energies = on_sphere(case.state["bank"], row), case.state["energies"].to(row)
    top = ((bank @ row) * energies).topk(min(int(case.state["k"]), len(bank))).indices
    guide = (bank[top] * energies[top, None]).double().mean(0)
    yield Parts("units", -row.double() * guide * torch.logsumexp(case.out.logits[0].double(), dim=0))


def _mds(case: Case) -> Iterator[Parts]:
    """``(f - mu)_u [S^+ (f - mu)]_u`` with mu the mean of the nearest class."""
    yield Parts("units", _to_nearest(case))


def _rmds(case: Case) -> Iterator[Parts]:
    """The same less ``(f - mu_0)_u [S_0^+ (f - mu_0)]_u``."""
    centred = case.out.features[0].double() - case.fit.moments.mean
    yield Parts("units", _to_nearest(case) - _along(centred, case.state["background_whitener"]))


def _to_nearest(case: Case) -> Tensor:
    row = case.out.features[0].double()
    nearest = (row @ case.state["whitener"] - case.state["means"]).square().sum(1).argmin()
    return _along(row - case.fit.moments.class_means[nearest], case.state["whitener"])


def _along(centred: Tensor, basis: Tensor) -> Tensor:
    """``x_u [B B^T x]_u``: what each unit adds to ``|B^T x|^2``."""
    return centred * (basis @ (centred @ basis))


def _residual(case: Case) -> Iterator[Parts]:
    """``x_u [N N^T x]_u / |N^T x|`` with ``x = f - u``."""
    yield Parts("units", _outside(case))


def _outside(case: Case) -> Tensor:
    squares = _along(case.out.features[0].double() - case.state["origin"], case.state["null_space"])
    return squares / squares.sum().clamp(min=1e-300).sqrt()


def _vim(case: Case) -> Iterator[Parts]:
    """alpha times the residual's parts, and those of the free energy."""
    if case.out.has("head"):
        energy = _free_energy(case.out.head, case.out.features[0])
        yield Parts("units", case.state["alpha"] * _outside(case) + energy.values, energy.rest)


PARTS: dict[str, Explain] = {
    "ash": _ash,
    "dice": _dice,
    "energy": _energy,
    "entropy": _entropy,
    "fdbd": _fdbd,
    "gen": _gen,
    "klm": _klm,
    "knn": _knn,
    "mds": _mds,
    "mls": _mls,
    "msp": _msp,
    "nci": _nci,
    "nnguide": _nnguide,
    "react": _react,
    "residual": _residual,
    "rmds": _rmds,
    "scale": _scale,
    "she": _she,
    "temp_scale": _temp_scale,
    "vim": _vim,
    "vra": _vra,
}
"""Detectors whose score has exact parts."""
