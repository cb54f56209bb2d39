"""How accurate a model probably is on a batch without labels, by several estimators; of which part of it they speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outfield import registry
from outfield.data.user_data import aligned, dataset
from outfield.errors import UserError
from outfield.estimators.base import Answered, Estimator
from outfield.guard.batches import BatchVerdict, verdict_of_batch
from outfield.guard.guarded import Guarded
from outfield.types import Estimate

if TYPE_CHECKING:
    import polars as pl

LIMIT = 0.1
"""Certified OOD share above which no accuracy is estimated."""


@dataclass(frozen=True, eq=False)
class AccuracyEstimates:
    """Estimated accuracies of one batch.

    Attributes
    ----------
    estimates : mapping of estimator to its Estimate
    known : Estimate
        Accuracy on the labelled ID items.
    trust : str
        Of which part of the batch the estimates speak, or why there are none.
    ood_share : float or None
        Certified lower bound, where a guard's verdict was given.

    Examples
    --------
    >>> found = AccuracyEstimates({}, Estimate(0.9), "No estimate.", 0.5)
    >>> found.refused
    True
    """

    estimates: dict[str, Estimate]
    known: Estimate
    trust: str
    ood_share: float | None

    @property
    def refused(self) -> bool:
        return not self.estimates

    def frame(self) -> pl.DataFrame:
        """One row an estimator."""
        import polars as pl

        rows = [(name, one.value, one.low, one.high, one.n) for name, one in self.estimates.items()]
        return pl.DataFrame(rows, schema=["estimator", "accuracy", "low", "high", "n"], orient="row")


def estimate_accuracy(
    logits: Any,
    *,
    known_logits: Any,
    known_labels: Any,
    second: Any = None,
    known_second: Any = None,
    verdict: BatchVerdict | None = None,
    estimators: Sequence[str | Estimator] = (),
    limit: float = LIMIT,
    draws: int = 200,
    seed: int = 0,
) -> AccuracyEstimates:
    """Accuracy on a batch without labels, by every estimator that the given values allow.

    Each interval holds the sampling error of the labelled items and of the batch. It does not hold the bias of an
    estimator under a shift that it is not made for: no estimator is right under all of them.

    Parameters
    ----------
    logits : array [m, C]
        Of the batch.
    known_logits, known_labels : array [n, C], array of int [n]
        Of labelled ID items that the model was not trained on.
    second, known_second : arrays, optional
        Another model's logits on both.
    verdict : BatchVerdict, optional
        Of a guard: its certified OOD share is the part of the batch that no accuracy speaks of; above ``limit`` none is
        estimated.
    estimators : names or estimators, optional
        By default all of outfield's own that apply.

    Raises
    ------
    UserError
        Values that do not fit, or too few.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> known = 2 * rng.normal(size=(2000, 3))
    >>> labels = (known + rng.gumbel(size=known.shape)).argmax(axis=1)
    >>> found = estimate_accuracy(known[:500] / 2, known_logits=known, known_labels=labels, draws=20)
    >>> found.frame()["estimator"].to_list()[:2], round(found.known.value, 2)
    (['average_confidence', 'average_thresholded_confidence'], 0.74)
    """
    known, batch = Answered(known_logits, known_labels, known_second), Answered(logits, second=second)
    if known.logits.shape[1] != batch.logits.shape[1]:
        raise UserError(
            f"Expected logits of one model, but the labelled items have {known.logits.shape[1]} classes and the batch "
            f"{batch.logits.shape[1]}. Pass both of the same model."
        )
    share = None if verdict is None else verdict.ood_share
    accuracy = _known(known)
    if share is not None and share > limit:
        said = (
            f"No accuracy is estimated: at least {share:.1%} of the batch is not like the calibration data, and of "
            f"such inputs no estimator knows anything (limit: {limit:.0%})."
        )
        return AccuracyEstimates({}, accuracy, said, share)
    chosen = _applicable(estimators, second=second is not None and known_second is not None)
    found = {name: one.estimate(known, batch, draws=draws, seed=seed) for name, one in chosen.items()}
    return AccuracyEstimates(found, accuracy, _trust(share), share)


def of_data(guard: Guarded, data: Any, known: Any, **options: Any) -> AccuracyEstimates:
    """Accuracy of a guarded model on data without labels, from labelled ID data: see :func:`estimate_accuracy`.

    The guard's verdict on the data says of which part of them the estimates speak.

    Raises
    ------
    UserError
        The labelled data have no labels, or the model is no classifier.
    """
    labelled = dataset(known)
    if labelled.labels is None:
        raise UserError(f"Expected labelled ID data, but {known} has no labels. Pass data with labels.")
    of_known, of_batch = guard.outputs(labelled), guard.outputs(dataset(data))
    verdict = verdict_of_batch(guard.bundle.scores(of_batch), guard.bundle.ladder)
    part = guard.bundle.manifest.model
    named = aligned({"known": labelled}, part.classes, outputs=part.n_classes).parts["known"]
    return estimate_accuracy(
        of_batch.logits.numpy(), known_logits=of_known.logits.numpy(), known_labels=named.labels, verdict=verdict,
        **options,
    )  # fmt: skip


def _applicable(wanted: Sequence[str | Estimator], *, second: bool) -> dict[str, Estimator]:
    named = wanted or registry.own("estimators")
    made = [registry.create("estimators", one) if isinstance(one, str) else one for one in named]
    return {registry.name_of("estimators", one): one for one in made if wanted or second or not one.needs_second}


def _known(known: Answered) -> Estimate:
    from outfield.stats.intervals import wilson

    low, high = wilson(int(known.correct.sum()), len(known))
    return Estimate(float(known.correct.mean()), low, high, len(known))


def _trust(share: float | None) -> str:
    if share is None:
        return "Whether the batch is like the calibration data was not tested: give the verdict of a guard."
    return (
        f"At least {share:.1%} of the batch is not like the calibration data. The estimates speak of the rest, and are "
        "right only where the shift keeps how sure the model is in step with how often it is right."
    )
