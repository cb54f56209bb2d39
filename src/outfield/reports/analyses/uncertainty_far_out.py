from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Finding, Result
from outfield.reports.displays import _style as style
from outfield.reports.headline import number
from outfield.reports.results import CATEGORIES, Results, in_order
from outfield.stats.differences import Difference, paired_difference

CHANCE = 0.6
"""AUROC up to which far inputs are as good as missed."""
KINDS = {"outputs": "the model's uncertainty", "features": "distance of features"}


@dataclass(frozen=True)
class UncertaintyFarOut(Analysis):
    """Whether detectors that rest on the model's own uncertainty fail where inputs are far, and distances do not [1].

    Detectors on outputs against detectors on features, each the mean over detectors, OOD sets and seeds, paired over
    strategies, for every category of OOD sets. ``outfield.models.rays.ray_probe`` shows the reason on one model.

    References
    ----------
    [1] Ulmer, Cina. Know Your Limits: Uncertainty Estimation with ReLU Classifiers Fails at Reliable OOD Detection.
    UAI 2021.
    """

    title: ClassVar[str] = "Uncertainty or distance, near and far"
    question: ClassVar[str] = "Can the model's own uncertainty be trusted on inputs that are far out?"
    needs: ClassVar[frozenset[str]] = frozenset({"auroc", "ood_category"})

    def of(self, results: Results) -> Result:
        means = _means(results)
        wide = means.pivot("information", index=["category", "strategy"], values="value")
        if missing := [name for name in KINDS if name not in wide.columns]:
            raise UserError(
                f"Expected detectors that rest on outputs and on features, but those on {missing[0]} are missing. "
                "Add msp and knn to the study."
            )
        whole = wide.drop_nulls([*KINDS])
        names = in_order(whole["category"].unique().to_list(), CATEGORIES)
        found = {name: _difference(whole.filter(pl.col("category") == name)) for name in names}
        table = _table(whole, names)
        said = (_answer(found, table), _each(found), _drawn(whole["strategy"].n_unique()))
        return Result(table, said, _chart(table, names), tuple(_findings(found, table)))


def _means(results: Results) -> pl.DataFrame:
    """AUROC of each strategy by category and by what its detectors rest on."""
    rows = results.complete.with_columns(
        information=pl.col("detector").replace_strict(results.information, default="other"),
        category=pl.col("ood_category"),
    ).filter(pl.col("information").is_in([*KINDS]))
    each = rows.drop_nulls("category").group_by("category", "strategy", "information", "detector", "ood")
    sets = each.agg(pl.col("value").mean())
    return sets.group_by("category", "strategy", "information").agg(pl.col("value").mean()).sort("category", "strategy")


def _difference(some: pl.DataFrame) -> Difference | float:
    """AUROC of distances less that of uncertainty, over strategies; of one strategy the bare number."""
    first, second = some["outputs"].to_list(), some["features"].to_list()
    return paired_difference(first, second, measures=True) if some.height > 1 else second[0] - first[0]


def _side(one: Difference | float) -> int:
    if not isinstance(one, Difference):
        return 0
    return int(one.estimate.low > 0) - int(one.estimate.high < 0)


def _table(whole: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    columns = ["category", "information", "mean", "lowest", "highest", "strategies"]
    long = whole.unpivot([*KINDS], index=["category", "strategy"], variable_name="information", value_name="value")
    ends = long.group_by("category", "information").agg(
        mean=pl.col("value").mean(), lowest=pl.col("value").min(), highest=pl.col("value").max(), strategies=pl.len()
    )
    order = pl.col("category").replace_strict({name: at for at, name in enumerate(names)}, return_dtype=pl.Int64)
    return ends.sort(order, "information").select(columns)


def _aurocs(table: pl.DataFrame, category: str) -> str:
    known = dict(table.filter(pl.col("category") == category).select("information", "mean").iter_rows())
    return f"{known['outputs']:.2f} by uncertainty and {known['features']:.2f} by distance"


def _answer(found: dict[str, Difference | float], table: pl.DataFrame) -> str:
    worse = [name for name, one in found.items() if _side(one) > 0]
    if not worse:
        return "These data do not show that distances of features detect OOD inputs better than uncertainty does."
    each = "; ".join(f"{name}: {_aurocs(table, name)}" for name in worse)
    return f"Uncertainty detects OOD inputs worse than distances of features do on some kinds of sets (AUROC, {each})."


def _each(found: dict[str, Difference | float]) -> str:
    known = ", ".join(
        f"{name} {number(one.estimate) if isinstance(one, Difference) else f'{one:.2f}'}" for name, one in found.items()
    )
    return f"AUROC of distances less that of uncertainty: {known}."


def _findings(found: dict[str, Difference | float], table: pl.DataFrame) -> list[Finding]:
    return [
        Finding(
            "OF036",
            "warning",
            f"On {name} inputs the models' own uncertainty is no better than chance: AUROC {_aurocs(table, name)}.",
        )
        for name, one in found.items()
        if name != "near"
        and _side(one) > 0
        and table.filter(pl.col("category") == name, pl.col("information") == "outputs")["mean"].item() <= CHANCE
    ]


def _drawn(strategies: int) -> str:
    units = f"over {strategies} strategies, with their range" if strategies > 1 else "of one strategy"
    return (
        f"Mean AUROC {units}; each detector and OOD set counts once. Uncertainty: detectors that read the outputs "
        "alone, as msp; distance: those that read features alone, as knn. Intervals are those of paired differences "
        "over strategies."
    )


def _chart(table: pl.DataFrame, names: tuple[str, ...]) -> alt.TopLevelMixin:
    shown = table.with_columns(rests=pl.col("information").replace_strict(KINDS))
    domain = list(KINDS.values())
    scale = alt.Scale(domain=domain, range=[style.USED[name] for name in KINDS])
    colour = alt.Color("rests:N", scale=scale, legend=alt.Legend(title=None, orient="bottom"))
    base = alt.Chart(style.rows(shown))
    y = alt.Y("category:N", sort=list(names), title=None)
    shift = alt.YOffset("rests:N", sort=domain)
    tips = [style.name("rests", "rests on"), *(style.tip(end, end) for end in ("mean", "lowest", "highest"))]
    low, middle = (alt.X(f"{end}:Q", title="AUROC", scale=alt.Scale(zero=False)) for end in ("lowest", "mean"))
    rule = base.mark_rule(strokeWidth=2).encode(y=y, yOffset=shift, x=low, x2="highest:Q", color=colour)
    dots = base.mark_point(filled=True, size=70, opacity=1)
    dots = dots.encode(y=y, yOffset=shift, x=middle, color=colour, tooltip=tips)
    return alt.layer(rule, dots).properties(width="container", height=46 * len(names) + 10)
