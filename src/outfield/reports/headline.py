"""The answer in three sentences: does accuracy predict detection, what decides, which detector is the safest choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from outfield.errors import UserError
from outfield.reports.results import Results
from outfield.stats import Recommendation
from outfield.types import Estimate


def sentences(study: Path | str | pl.DataFrame | Results) -> tuple[str, str, str]:
    """Three sentences with their intervals; one that the rows cannot answer says why.

    Parameters
    ----------
    study : a study's folder, its rows, or ``Results``

    Examples
    --------
    >>> rows = pl.DataFrame({"model": ["a"], "metric": ["auroc"], "value": [0.9], "detector": ["msp"], "ood": ["far"]})
    >>> for sentence in sentences(rows):
    ...     print(sentence)
    Whether accuracy predicts OOD detection cannot be said: Expected at least 4 complete rows, but got 0. ...
    What decides the AUROC cannot be said: ...
    Which detector is the safest choice cannot be said: Expected at least two detectors, OOD sets and units, ...
    """
    results = study if isinstance(study, Results) else Results.of(study)
    return (
        _or_why(_prediction, results, "Whether accuracy predicts OOD detection"),
        _or_why(_interaction, results, "What decides the AUROC"),
        _or_why(_safest, results, "Which detector is the safest choice"),
    )


def _or_why(sentence: Callable[[Results], str], results: Results, question: str) -> str:
    try:
        return sentence(results)
    except UserError as error:
        return f"{question} cannot be said: {error}"


def _prediction(results: Results) -> str:
    found = results.correlation
    rho = found.whole.estimate
    units = "strategies" if found.whole.level == "strategy" else "models"
    said = f"over {rho.n} {units}, Spearman's rho of accuracy with mean AUROC is {number(rho)}."
    return " ".join(filter(None, (f"{_verdict(rho, results.turned_by)}: {said}", without_families(results))))


def _verdict(rho: Estimate, turned: Sequence[str] = ()) -> str:
    """What holds for all strategies, and without any one family of them."""
    if turned or rho.low <= 0 <= rho.high:
        return "Whether the more accurate models also detect OOD inputs better, these data do not settle"
    return f"Here the more accurate models {'also ' * (rho.low > 0)}detect OOD inputs {_compared(rho)}"


def _compared(rho: Estimate) -> str:
    return "better" if rho.low > 0 else "worse"


def without_families(results: Results) -> str:
    """What leaving out one family does to the correlation of accuracy with mean AUROC, in plain sentences."""
    found, turned = results.correlation, results.turned_by
    lone = f"Without {' or '.join(found.skipped)} too few strategies are left to say more." if found.skipped else ""
    if not found.without:
        return lone
    values = [one.estimate.value for one in found.without.values()]
    moved = f"Leaving out one family leaves rho between {min(values):.2f} and {max(values):.2f}"
    if not turned:
        same = f"{moved}, and its interval {_lies(found.whole.estimate)} each time."
        return " ".join(filter(None, (same, lone)))
    sides: dict[str, list[str]] = {}
    for family in turned:
        sides.setdefault(_lies(found.without[family].estimate), []).append(family)
    each = (f"Without {_or(some)} its interval {side}." for side, some in sides.items())
    count = f"So {len(turned)} of {len(found.without)} families can turn the verdict."
    return " ".join(filter(None, (f"{moved}.", *each, count, lone)))


def _lies(one: Estimate) -> str:
    return "lies above 0" if one.low > 0 else "lies below 0" if one.high < 0 else "includes 0"


def _or(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _interaction(results: Results) -> str:
    table = results.variance
    both, category = table.row("strategy x detector"), table.row("OOD category")
    return (
        f"The pairing of strategy and detector (their interaction) decides {_share(both)} of the variance of the "
        f"AUROC, the OOD category {_share(category)}, the strategy alone {_share(table.row('strategy'))} and the "
        f"detector alone {_share(table.row('detector'))}."
    )


def _share(row: dict[str, float]) -> str:
    low, high = row.get("eta2_low"), row.get("eta2_high")
    ends = "" if low is None or high is None else f" [{max(0.0, low):.1%}, {high:.1%}]"
    return f"{row['eta2']:.1%}{ends}"


def _safest(results: Results) -> str:
    found = results.recommendation
    name = found.safest[0]
    worst, total, mean = found.worst_rank[name], len(found.worst_rank), found.mean_value[name]
    return (
        f"The safest choice is {_tied(found.safest)}: even on {found.worst_set[name]}, where it is worst, its mean "
        f"rank is {number(worst, 1)} of {total}. {_traded(found, mean)} Detectors chosen as the safest on the other "
        f"OOD sets had mean rank {number(found.held_out, 1)} and AUROC {number(found.held_out_value, 3)} on the one "
        "set left out."
    )


def _traded(found: Recommendation, mean: Estimate) -> str:
    """What the safest choice costs: nothing, or the distance to the best mean AUROC, and what that one costs."""
    if set(found.safest) & set(found.best_by_mean):
        return f"Its mean AUROC over OOD sets, {number(mean, 3)}, is the best too."
    other = found.best_by_mean[0]
    best, rank = found.mean_value[other], found.worst_rank[other]
    return (
        f"Its mean AUROC over OOD sets is {number(mean, 3)}. The best mean AUROC has {_tied(found.best_by_mean)}, "
        f"{number(best, 3)}, but on {found.worst_set[other]} its mean rank is {number(rank, 1)}. Take {found.best} "
        f"where any OOD input may come, and {other} where the mean over sets like these counts."
    )


def _tied(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{' and '.join(names)} (tied exactly)"


def criteria(results: Results) -> str:
    """Which detector each criterion of the answer picks, as a sentence for captions; nothing where neither is known.

    Displays order detectors by the one or the other criterion; with this sentence each refers to the same answer.
    """
    try:
        found = results.recommendation
    except UserError:
        return ""
    if set(found.safest) & set(found.best_by_mean):
        return f"{_tied(found.safest)} is first by mean AUROC, and the safest choice by its worst OOD set."
    return (
        f"First by mean AUROC is {_tied(found.best_by_mean)}; the safest choice, by its worst OOD set, is "
        f"{_tied(found.safest)}: the answer weighs the two."
    )


def number(one: Estimate, digits: int = 2) -> str:
    """A value with its interval, as text.

    Examples
    --------
    >>> number(Estimate(-0.1234, -0.5, 0.25))
    '-0.12 [-0.50, 0.25]'
    """
    ends = "" if one.low != one.low else f" [{one.low:.{digits}f}, {one.high:.{digits}f}]"
    return f"{one.value:.{digits}f}{ends}"
