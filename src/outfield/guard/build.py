"""From a model, a detector and ID data to a bundle: fitted, calibrated on items that neither saw, certified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from outfield import registry
from outfield.data.base import Dataset, Items
from outfield.data.datasets import groups_of, row_keys
from outfield.data.sampling import split
from outfield.data.user_data import aligned, dataset, ood_members
from outfield.data.views import subset
from outfield.detectors._requirements import asks
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.estimators.base import Answered
from outfield.features.cache import Cache, default_folder
from outfield.features.extract import Values, extract
from outfield.features.fit_data import FitData
from outfield.guard.bundle import LEARNED, TOLERANCE, Bundle, code_of
from outfield.guard.guarded import device_of
from outfield.guard.thresholds import Threshold, by_class, certify, ladder, one_per_group
from outfield.models.base import Model, lacking
from outfield.models.open import open_model
from outfield.stats.intervals import wilson
from outfield.studies.scoring import score
from outfield.types import Array, State

CANARIES = 16
KNOWN = 1_000
"""Labelled calibration items whose logits a bundle keeps, at most."""
LADDER_DELTA = 0.05
"""The ladder's own: all its rungs hold with probability .95 over calibrations."""
DRIFT = 1e-3
"""The p of a trend in calibration scores below which it is told."""
NOT_PROMISED = (
    "Inputs that look otherwise than the calibration items: ID pictures after JPEG, say, are flagged more often.",
    "Detection: how many OOD inputs are flagged depends on how they look, and is measured, not promised.",
    "A single input: the promise is on the share of false alarms, over calibrations.",
)
"""What no bundle promises, in words."""


def build(
    model: Any,
    *,
    fit: Any,
    calibrate: Any,
    detector: str | Detector = "energy",
    alpha: float = 0.05,
    delta: float = 0.05,
    groups: Sequence[Any] | None = None,
    select: Iterable[Any] = (),
    ood: Mapping[str, Any] | None = None,
    per_class: bool = False,
    cache: Cache | None = None,
    card: str = "",
    batch: int = 256,
    seed: int = 0,
    **options: Any,
) -> Bundle:
    """Fit a detector, calibrate it on other items, and certify how often it flags ID items.

    Parameters
    ----------
    model : str or object
        As for ``open_model``, which takes ``options``.
    fit : data
        ID data with labels that the detector is fitted on: the training data, as for ``evaluate``.
    calibrate : data
        ID data that neither the model nor the detector saw, drawn as later inputs will be. Labels are not needed;
        where a classifier's are there, a service says how accurate it probably still is.
    detector : str or Detector
    alpha, delta : float
        At most a share alpha of ID inputs is flagged, with probability 1 - delta over calibrations.
    groups : sequence, optional
        Of each calibration item: what it belongs to (a film, a patient). One seeded item of each group is kept. By
        default the groups that the data name.
    select : iterable of data
        What the detector was chosen on: none of it may be among the calibration items.
    ood : mapping, optional
        As for ``evaluate``: how much of each set is flagged is measured.
    per_class : bool
        A threshold for each predicted class.
    card : str
        The page of the model's card, which the bundle then holds.

    Raises
    ------
    UserError
        A detector that asks the model again (it cannot be scored from outputs); calibration items that were fitted or
        selected on; too few of them: the message says how many are needed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(600, 2)), np.arange(600) % 2
    >>> x[:, 0] += 6 * y
    >>> fitted = LogisticRegression().fit(x[:300], y[:300])
    >>> bundle = build(fitted, fit=(x[:300], y[:300]), calibrate=x[300:], detector="mds",
    ...                cache=Cache(Path(tempfile.mkdtemp())))
    >>> [(one.alpha, one.n, one.k) for one in bundle.manifest.promises]
    [(0.05, 300, 8)]
    """
    chosen = registry.create("detectors", detector) if isinstance(detector, str) else detector
    _refuse_live(chosen)
    seen, held = dataset(fit), dataset(calibrate)
    opened = open_model(model, **{"example": held.read(slice(0, 2)), **options})
    if lacks := lacking(opened, asks(chosen)):
        raise UserError(
            f"Expected a model that {registry.name_of('detectors', chosen)} can be used on, but {opened} has no "
            f"{' and no '.join(lacks)}. Choose another detector."
        )
    _refuse_overlap(seen, held, [dataset(one) for one in select])
    kept = _independent(held, groups, seed)
    shelf = cache or Cache(default_folder())
    passes = _Passes(opened, shelf, opened.digest(), batch)
    outputs = None if opened.head is None else len(opened.head.weight)
    named = aligned({"fit": seen}, opened.classes, outputs=outputs)
    tuned, state = _fitted(chosen, named.parts["fit"], passes)
    values = passes.of(subset(held, kept.rows), "the calibration set")
    scores = score(tuned, state, values, "the calibration set")
    made = _Made(tuned, state, opened, values, scores)
    guards, promises = made.certified(alpha, delta, per_class=per_class)
    sets = () if ood is None else ood_members(ood)
    flagged = {
        m.name: score(tuned, state, passes.of(m.data, m.name), m.name) > float(guards["threshold"]) for m in sets
    }
    known, unknown = _known(subset(held, kept.rows), values, named.classes, outputs, seed)
    manifest = {
        "outfield": metadata.version("outfield"),
        "detector": {
            "name": registry.name_of("detectors", tuned), "params": _listed(tuned.params), "code": code_of(tuned),
        },
        "model": made.model_part(passes.digest, named.classes) | {"inputs": _kinds(held.read(slice(0, 2)))},
        "fit": {"source": _source(fit), "digest": seen.digest(), "n": len(seen)},
        "calibrate": {
            "source": _source(calibrate), "digest": held.digest(), "n": len(scores), "groups": kept.groups,
            "duplicates_removed": kept.duplicates,
        },
        "checks": [*named.notes, *kept.said, *_trend(scores), *_pooled(promises, guards), *unknown],
        "promises": promises,
        "ladder": {"rates": guards.pop("rates").tolist(), "n": len(scores), "delta": LADDER_DELTA},
        "measured": [_measured(name, some) for name, some in flagged.items()],
        "limits": list(NOT_PROMISED),
        "canaries": {"n": min(CANARIES, len(scores)), "tolerance": _tolerance(scores)},
    }  # fmt: skip
    learned = {f"{LEARNED}{name}": one for name, one in state.items()}
    return Bundle.of(manifest, {**learned, **guards, **made.head(), **made.canaries(), **known}, card)


@dataclass(frozen=True)
class _Passes:
    """A model's values on data sets, from the cache or in one pass each."""

    model: Model
    cache: Cache
    digest: str
    batch: int

    def of(self, data: Dataset, about: str) -> Values:
        return extract(
            self.model, data, self.cache, digest=self.digest, about=f"model {self.model.name!r} on {about}",
            batch=self.batch, device=str(getattr(self.model, "device", "cpu")),
        )  # fmt: skip


def _refuse_live(detector: Detector) -> None:
    """``UserError`` for a detector that needs more of the model than its outputs."""
    name = registry.name_of("detectors", detector)
    if probes := detector.probes():
        raise UserError(
            f"Expected a detector that scores a model's outputs, but {name} asks the model again "
            f"({', '.join(type(one).__name__ for one in probes)}): each answer would cost it "
            f"{1 + sum(one.passes for one in probes):g} passes, and a bundle holds no model. Choose another: vim, say."
        )
    if "inputs" in detector.needs:
        raise UserError(
            f"Expected a detector that scores a model's outputs, but {name} scores the inputs. Choose another."
        )


def _refuse_overlap(seen: Dataset, held: Dataset, selected: Sequence[Dataset]) -> None:
    """``UserError`` for calibration items that are among those that were fitted or selected on, by content."""
    keys = frozenset(row_keys(held).tolist())
    for what, data in (("fitted", seen), *(("selected", one) for one in selected)):
        if shared := len(keys & frozenset(row_keys(data).tolist())):
            raise UserError(
                f"Expected calibration items that nothing saw before, but {shared:,} of {len(keys):,} are among those "
                f"that the detector was {what} on (equal content). Scores of seen items are too small: give others."
            )


@dataclass(frozen=True)
class _Kept:
    """The rows that calibrate, and what was left out."""

    rows: Array
    duplicates: int
    groups: int | None
    said: tuple[str, ...]


def _independent(held: Dataset, groups: Sequence[Any] | None, seed: int) -> _Kept:
    """Rows without duplicates, one of each group."""
    keys = row_keys(held)
    _, first = np.unique(keys, return_index=True)
    rows = np.sort(first)
    duplicates = len(keys) - len(rows)
    said = ["No calibration item was fitted or selected on, by content."]
    if duplicates:
        said.append(f"{duplicates:,} of {len(keys):,} calibration items were there before, by content, and left out.")
    named = groups_of(held) if groups is None else np.asarray(groups)
    if named is None:
        return _Kept(rows, duplicates, None, tuple(said))
    if len(named) != len(held):
        raise UserError(f"Expected a group for each of {len(held):,} calibration items, but got {len(named):,}.")
    rows = rows[one_per_group(named[rows], seed=seed)]
    said.append(f"One seeded item of each of {len(rows):,} groups calibrates.")
    return _Kept(rows, duplicates, len(rows), tuple(said))


def _fitted(detector: Detector, seen: Dataset, passes: _Passes) -> tuple[Detector, State]:
    """The detector with what it learned; a tenth of the items is held out for it where it asks for that."""
    parts = split(seen, {"train": 0.9, "val": 0.1}) if "val" in detector.fits_on else {"train": seen}
    values = {name: passes.of(part, f"the {name} split of the fit set") for name, part in parts.items()}
    data = FitData(values["train"], values.get("val"), getattr(passes.model, "texts", None))
    clipped = detector.clipped(data)
    data.prepare(clipped.folds())
    return clipped, {name: one.cpu() for name, one in clipped.fit(data).items()}


@dataclass(frozen=True)
class _Made:
    """A fitted detector, its model, and their values and scores on the calibration items."""

    detector: Detector
    state: State
    model: Model
    values: Values
    scores: Array

    def certified(self, alpha: float, delta: float, *, per_class: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Thresholds as tensors of float64, and the promises of them."""
        one, rungs, mirror = certify(self.scores, alpha, delta), ladder(self.scores), ladder(-self.scores)
        guards = {"threshold": np.float64(one.value), "ladder": rungs.values, "mirror": mirror.values}
        promises = [_promise(one)]
        if per_class:
            found, fallen = self._by_class(alpha, delta)
            names = [str(number) for number in range(self.values.arrays["logits"].shape[1])]
            guards["classes"] = np.array([found.get(name, one).value for name in names])
            promises += [_promise(each, scope=self._named(name)) for name, each in found.items() if name not in fallen]
        tensors = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in guards.items()}
        return {**tensors, "rates": rungs.rates}, promises

    def _named(self, number: str) -> str:
        classes = self.model.classes
        return f"class {number}" if classes is None else classes[int(number)]

    def _by_class(self, alpha: float, delta: float) -> tuple[dict[str, Threshold], tuple[str, ...]]:
        if "logits" not in self.values.arrays:
            raise UserError("Expected a classifier for thresholds by class, but the model has no logits. Leave it out.")
        predicted = np.argmax(np.asarray(self.values.arrays["logits"]), axis=1)
        return by_class(self.scores, predicted, alpha, delta)

    def model_part(self, digest: str, classes: Sequence[str] | None) -> dict[str, Any]:
        """What identifies the model."""
        widths = {
            name: self.values.arrays[name].shape[1] for name in ("logits", "features") if name in self.values.arrays
        }
        return {
            "adapter": type(self.model).__name__, "id": self.model.name, "digest": digest,
            "classes": None if classes is None else list(classes), "n_classes": widths.get("logits"),
            "feature_dim": widths.get("features"), "dtype": self._dtype(), "device": device_of(self.model),
        }  # fmt: skip

    def _dtype(self) -> str:
        some = self.values.rows(slice(0, 1))
        return str(getattr(some, some.present[0]).dtype).removeprefix("torch.")

    def head(self) -> State:
        """The linear head, where the detector reads it."""
        if "head" not in self.detector.needs or self.values.head is None:
            return {}
        return {"head/weight": self.values.head.weight.clone(), "head/bias": self.values.head.bias.clone()}

    def canaries(self) -> State:
        """Outputs of a few calibration items, and their scores."""
        some = self.values.rows(slice(0, CANARIES))
        fields = {f"canary/{n}": getattr(some, n).clone() for n in ("logits", "features") if n in some.present}
        return {**fields, "canary/scores": torch.as_tensor(self.scores[: len(some)], dtype=torch.float64)}


def _kinds(items: Items) -> list[dict[str, Any]] | None:
    """Type and shape of each item, where all are arrays."""
    if not all(isinstance(one, np.ndarray) for one in items):
        return None
    return [{"dtype": str(one.dtype), "shape": list(one.shape)} for one in items]


def _known(
    held: Dataset, values: Values, classes: Sequence[str] | None, outputs: int | None, seed: int
) -> tuple[State, tuple[str, ...]]:
    """Logits and labels of calibration items, where these have labels, and why there are none.

    A service estimates from them how accurate the model is on inputs without labels.
    """
    if held.labels is None or "logits" not in values.arrays:
        return {}, ()
    try:
        labels = np.asarray(aligned({"calibrate": held}, classes, outputs=outputs).parts["calibrate"].labels)
        drawn = np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(labels >= 0))[:KNOWN])
        known = Answered(np.asarray(values.arrays["logits"])[drawn], labels[drawn])
    except UserError as error:
        return {}, (f"No accuracy will be estimated from the labels of the calibration items: {error}",)
    return {"known/logits": torch.as_tensor(known.logits).float(), "known/labels": torch.as_tensor(known.labels)}, ()


def _promise(one: Threshold, scope: str = "all") -> dict[str, Any]:
    return {
        "kind": "far", "scope": scope, "alpha": one.alpha, "delta": one.delta,
        "method": "Clopper-Pearson order statistic", "n": one.n, "k": one.k, "expected": one.expected,
    }  # fmt: skip


def _trend(scores: Array) -> tuple[str, ...]:
    """Whether calibration scores drift in the order of the items."""
    found = stats.kendalltau(np.arange(len(scores)), scores)
    if not found.pvalue < DRIFT:
        return (f"Calibration scores have no trend in the order of the items (Kendall's tau {found.statistic:+.2f}).",)
    return (
        f"Calibration scores drift in the order of the items (Kendall's tau {found.statistic:+.2f}, p = "
        f"{found.pvalue:.1g}). If that order is time, later inputs will not be like these; if items are sorted by "
        "class, it says nothing.",
    )


def _pooled(promises: Sequence[Mapping[str, Any]], guards: Mapping[str, Any]) -> tuple[str, ...]:
    """How many predicted classes have too few items for a threshold of their own."""
    if "classes" not in guards:
        return ()
    own, all_ = len(promises) - 1, len(guards["classes"])
    if own == all_:
        return ("Every predicted class has a threshold of its own.",)
    return (
        f"{all_ - own} of {all_} predicted classes have too few calibration items for a threshold of their own, and "
        "take that of all: nothing is promised of each alone.",
    )


def _measured(name: str, flagged: Array) -> dict[str, Any]:
    low, high = wilson(int(flagged.sum()), len(flagged))
    return {"set": name, "flagged": float(flagged.mean()), "low": low, "high": high, "n": len(flagged)}


def _tolerance(scores: Array) -> float:
    """How far a canary's score may be off; where all scores are equal, their own size says."""
    return TOLERANCE * float(scores.std() or abs(scores[0]) or 1.0)


def _source(what: Any) -> str:
    """What data are called, without a path of this machine."""
    return Path(what).name if isinstance(what, (str, Path)) else type(what).__name__


def _listed(value: Any) -> Any:
    """Parameters as JSON knows them."""
    if isinstance(value, dict):
        return {name: _listed(one) for name, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, (tuple, list)) else value
