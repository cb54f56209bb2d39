from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import spearmanr

from outfield.errors import UserError
from outfield.metrics.auroc import Auroc
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.headline import number
from outfield.reports.results import Results
from outfield.stats.differences import Difference, paired_difference
from outfield.stats.item_response import ItemResponse, held_out, item_response

Floats = NDArray[np.float64]
CLOSE = 0.7
"""Rank correlation from which two orders of items are said to be the same."""
LEAST = 5
"""Models below which abilities of several kinds cannot be told from luck."""


@dataclass(frozen=True)
class ItemResponseOfModels(Analysis):
    """Item response models of the table of right and wrong answers: 1-PL, and JE-IRT with abilities of several kinds.

    A share of the cells is hidden from both fits and predicted by both [1]. Models are compared by the log-likelihood
    of their hidden answers, strategies being the clusters. Where a study has more items, an even sample is taken.

    References
    ----------
    [1] Yao et al. JE-IRT: A Geometric Lens on LLM Abilities through Joint Embedding Item Response Theory. 2025.
    """

    items: int = 400
    share: float = 0.1
    seed: int = 0

    title: ClassVar[str] = "Hard items and kinds of ability"
    question: ClassVar[str] = "Do the models differ in how much they can do, or also in what?"
    needs: ClassVar[frozenset[str]] = frozenset({"performance"})

    def of(self, results: Results) -> Result:
        names, places, answers = _table(results, self.items)
        hidden_from, hidden = held_out(answers, self.share, self.seed)
        one, several = (item_response(hidden_from, kind, seed=self.seed) for kind in ("1pl", "je"))
        found = _compared(answers, hidden, (one, several), _strategies(results, names))
        table = places.with_columns(
            error=1 - np.nanmean(answers, axis=0), difficulty=one.difficulty, norm=several.difficulty
        )
        aurocs = tuple(_auroc(answers[hidden], fit.probability()[hidden]) for fit in (one, several))
        said = (_answer(found, aurocs, len(names)), _norms(table), _drawn(table, self.share))
        return Result(table.sort("error", "set", "row", descending=[True, False, False]), said, _chart(table))


def _table(results: Results, most: int) -> tuple[list[str], pl.DataFrame, Floats]:
    """Models, items (set and row), and whether each answer is right [models, items]; NaN where there is none."""
    items = results.merits.filter(pl.col("model").is_in(results.models["model"].to_list()))
    if not items["merit"].drop_nulls().is_in([0.0, 1.0]).all():
        raise UserError(
            "Expected answers that are right or wrong, but these have merits in between. Item response models are for "
            "classifiers."
        )
    wide = items.pivot("model", index=["set", "row"], values="merit").sort("set", "row")
    wide = wide[np.unique(np.linspace(0, wide.height - 1, min(most, wide.height)).astype(int))]
    names = sorted(set(wide.columns) - {"set", "row"})
    if len(names) < LEAST:
        raise UserError(f"Expected the answers of at least {LEAST} models, but got {len(names)}. Add models or seeds.")
    return names, wide.select("set", "row"), wide.select(names).to_numpy().T.astype(np.float64)


def _strategies(results: Results, names: list[str]) -> list[str]:
    of = dict(results.models.select("model", "strategy").iter_rows())
    return [str(of[name]) for name in names]


def _compared(answers: Floats, hidden: NDArray[np.bool_], fits: tuple[ItemResponse, ...], kin: list[str]) -> Difference:
    """The mean log-likelihood of each model's hidden answers by the second fit less that by the first."""
    asked = np.asarray(hidden.any(axis=1))
    first, second = (_likelihoods(answers[asked], hidden[asked], fit.probability()[asked]) for fit in fits)
    groups = [name for name, some in zip(kin, asked, strict=True) if some]
    return paired_difference(first, second, groups if len(set(groups)) < len(groups) else None)


def _likelihoods(answers: Floats, hidden: NDArray[np.bool_], p: Floats) -> list[float]:
    return [_likelihood(answers[i, some], p[i, some]) for i, some in enumerate(hidden)]


def _likelihood(right: Floats, p: Floats) -> float:
    return float(np.log(np.where(right == 1, p, 1 - p).clip(1e-12)).mean())


def _auroc(right: Floats, p: Floats) -> float:
    """Of the predicted probability as a sign of a right answer."""
    if len(np.unique(right)) < 2:
        return float("nan")
    return Auroc()(p[right == 0], p[right == 1]).value


def _answer(found: Difference, aurocs: tuple[float, ...], models: int) -> str:
    one = found.estimate
    verdict = "Whether the models differ in kind, these data do not settle"
    if one.low > 0:
        verdict = "The models differ in what they can do, not only in how much"
    elif one.high < 0:
        verdict = "One number for each model says it all: how much it can do"
    return (
        f"{verdict}: hidden answers of {models} models are predicted with AUROC {aurocs[1]:.2f} by abilities of "
        f"several kinds (JE-IRT) and {aurocs[0]:.2f} by one ability (1-PL); the log-likelihood of an answer differs by "
        f"{number(one)}."
    )


def _norms(table: pl.DataFrame) -> str:
    if min(table[name].n_unique() for name in ("norm", "error")) < 2:
        return ""
    rho = float(spearmanr(table["norm"], table["error"]).statistic)
    if rho < CLOSE:
        return (
            "JE-IRT's difficulty of items hardly follows the share of models that miss them here "
            f"(rho {rho:.2f}): read the error rates. So it is where most items are easy for all models."
        )
    return f"JE-IRT's difficulty orders items as the share of models that miss them does: rho {rho:.2f}."


def _drawn(table: pl.DataFrame, share: float) -> str:
    return (
        f"Each point is one of {table.height} items: its error rate over the models against the norm of its embedding, "
        f"which JE-IRT reads as difficulty. {share:.0%} of the answers were hidden from the fits. The interval is that "
        "of a paired difference over strategies."
    )


def _chart(table: pl.DataFrame) -> alt.TopLevelMixin:
    tips: list[Any] = [style.name("set", "set"), style.tip("row", "row", "d"), style.tip("error", "error rate")]
    base = alt.Chart(style.rows(table)).mark_point(filled=True, size=40, opacity=0.5, color=style.BLUE)
    across, up = style.across("norm", "norm of the item's embedding (difficulty)"), style.up("error", "error rate")
    return alt.layer(base.encode(x=across, y=up, tooltip=tips)).properties(width="container", height=320)
