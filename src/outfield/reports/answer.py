"""The answer in three sentences: does accuracy predict detection, what decides, which detector is the safest choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from outfield.errors import UserError
from outfield.reports.results import Results
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
    turned = results.turned_by
    carried = f" (without {' or without '.join(turned)} the verdict is another)" if turned else ""
    units = "strategies" if found.whole.level == "strategy" else "models"
    return (
        f"{_verdict(rho)}: over {rho.n} {units}, Spearman's rho of accuracy with mean AUROC is {number(rho)}{carried}."
    )


def _verdict(rho: Estimate) -> str:
    if rho.low > 0:
        return "Here the more accurate models also detect OOD inputs better"
    if rho.high < 0:
        return "Here the more accurate models detect OOD inputs worse"
    return "Accuracy does not tell here how well a model detects OOD inputs"


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
    worst, total = found.worst_rank[found.best], len(found.worst_rank)
    return (
        f"The safest choice is {found.safest}: even on its worst OOD set its mean rank is {number(worst, 1)} of "
        f"{total}; detectors chosen this way on the other OOD sets had mean rank {number(found.held_out, 1)} and AUROC "
        f"{number(found.held_out_value, 3)} on the one set left out."
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
