"""The answer in three sentences: does performance predict detection, what decides, which detector is the safest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from outfield.errors import UserError, with_and
from outfield.reports.displays.analyses import answer
from outfield.reports.results import Results
from outfield.stats import Recommendation
from outfield.types import Estimate

PREDICTION = ("performance_against_detection", "one_family_out")
"""The analyses whose answers are the first sentence."""
ERRORS = "score_and_error"
"""The analysis of the section on errors."""


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
    Whether accuracy predicts OOD detection cannot be said: Expected rows of Accuracy, but these have none. ...
    What decides the AUROC cannot be said: ...
    Which detector is the safest choice cannot be said: Expected at least two detectors, OOD sets and units, ...
    """
    results = study if isinstance(study, Results) else Results.of(study)
    return (
        _or_why(_prediction, results, f"Whether {results.measure.word} predicts OOD detection"),
        _or_why(_interaction, results, "What decides the AUROC"),
        _or_why(_safest, results, "Which detector is the safest choice"),
    )


def _or_why(sentence: Callable[[Results], str], results: Results, question: str) -> str:
    try:
        return sentence(results)
    except UserError as error:
        return f"{question} cannot be said: {error}"


def _prediction(results: Results) -> str:
    """The answers of the two analyses of performance and detection."""
    answers = (answer(name, results).sentences()[:1] for name in PREDICTION)
    return " ".join(sentence for found in answers for sentence in found)


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
    if said := undecided(found):
        return said
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
    costs = [_cost(found, other) for other in found.best_by_mean]
    best = found.mean_value[found.best_by_mean[0]]
    return (
        f"Its mean AUROC over OOD sets is {number(mean, 3)}. The best mean AUROC has {_tied(found.best_by_mean)}, "
        f"{number(best, 3)}, but {with_and(costs)}. Take {' or '.join(found.safest)} where any OOD input may come, and "
        f"{' or '.join(found.best_by_mean)} where the mean over sets like these counts."
    )


def _cost(found: Recommendation, name: str) -> str:
    whose = "its" if len(found.best_by_mean) == 1 else f"{name}'s"
    return f"on {found.worst_set[name]} {whose} mean rank is {number(found.worst_rank[name], 1)}"


def undecided(found: Recommendation) -> str:
    """That no detector is a safer choice than another, where all of several tie exactly; nothing where one is."""
    if len(found.safest) < len(found.worst_rank):
        return ""
    rank = found.worst_rank[found.best].value
    return (
        f"No detector is a safer choice than another: {with_and(found.safest)} tie exactly, with mean rank {rank:.1f} "
        f"of {len(found.safest)} where each is worst."
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
    if said := undecided(found):
        return said
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
