from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.results import Results
from outfield.store.schema import FULL_SPECTRUM

MEASURES = {"auroc": "AUROC", "aupr_in": "AUPR-in", "aupr_out": "AUPR-out", "fpr_at_95_ood": "FPR95"}
SPLITS = ("near", "far")
NAMES = (*SPLITS, *(f"full-spectrum {split}" for split in SPLITS))


@dataclass(frozen=True)
class Leaderboard(Analysis):
    """The table of OpenOOD's protocol [1]: near- and far-OOD, full-spectrum where measured, mean ± sd over seeds.

    Each cell is in percent: the mean over the OOD sets of a split, then the mean over the seeds of a strategy, and the
    standard deviation (over n, as OpenOOD's). FPR95 is the share of ID inputs rejected where 95% of OOD inputs are
    (``fpr_at_95_ood``). Where detectors were tuned on OOD-val, rows are of the tuned settings, and of detectors that
    have none to tune.

    Parameters
    ----------
    digits : int
        Decimals of the text columns.

    References
    ----------
    [1] Zhang et al. OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection. DMLR 2024.
    """

    digits: int = 2

    title: ClassVar[str] = "Leaderboard (OpenOOD's protocol)"
    question: ClassVar[str] = "Which detector leads on near- and far-OOD, over seeds?"
    needs: ClassVar[frozenset[str]] = frozenset({"auroc", "ood_category"})

    def of(self, results: Results) -> Result:
        tidy = _tidy(results)
        table = _wide(tidy, results, self.digits)
        return Result(table, (*_answer(tidy, table), _drawn(results)), _picture(tidy))


def _tidy(results: Results) -> pl.DataFrame:
    """A row a strategy, detector, split and measure: mean and sd over seeds in percent, and how many there are."""
    names = [*MEASURES, *(f"{name}{FULL_SPECTRUM}" for name in MEASURES)]
    rows = results.test.filter(
        pl.col("set_kind") == "ood", pl.col("metric").is_in(names), pl.col("ood_category").is_in(SPLITS)
    ).drop_nulls("detector")
    if rows.is_empty():
        raise UserError("Expected near or far OOD sets, but there are none. Give OOD sets a category near or far.")
    per_model = rows.group_by("strategy", "detector", "model", "ood_category", "metric").agg(pl.col("value").mean())
    over = per_model.group_by("strategy", "detector", "ood_category", "metric").agg(
        mean=100 * pl.col("value").mean(), sd=100 * pl.col("value").std(ddof=0), seeds=pl.len()
    )
    spectrum = pl.col("metric").str.ends_with(FULL_SPECTRUM)
    split = pl.when(spectrum).then(pl.lit("full-spectrum ") + pl.col("ood_category")).otherwise(pl.col("ood_category"))
    measure = pl.col("metric").str.strip_suffix(FULL_SPECTRUM).replace_strict(MEASURES)
    named = over.with_columns(split=split, measure=measure)
    return named.select("strategy", "detector", "split", "measure", "mean", "sd", "seeds").sort(pl.all())


def _columns(tidy: pl.DataFrame) -> Iterator[tuple[str, str]]:
    for measure in MEASURES.values():
        for spectrum in ("", "full-spectrum "):
            for split in SPLITS:
                name = f"{spectrum}{split}"
                if not tidy.filter(pl.col("split") == name, pl.col("measure") == measure).is_empty():
                    yield name, measure


def _wide(tidy: pl.DataFrame, results: Results, digits: int) -> pl.DataFrame:
    """A row a strategy and detector, best near AUROC first: ``mean ± sd`` of split and measure, and performance."""
    text = pl.format("{} ± {}", *(_fixed(name, digits) for name in ("mean", "sd")))
    cells = tidy.with_columns(text=text, column=pl.col("split") + " " + pl.col("measure"))
    wide = cells.pivot("column", index=["strategy", "detector"], values="text")
    ordered = [f"{split} {measure}" for split, measure in _columns(tidy)]
    first = tidy.filter(pl.col("measure") == "AUROC", pl.col("split") == _first(tidy))
    order = first.select("strategy", "detector", "mean", "seeds")
    whole = wide.join(order, on=["strategy", "detector"], how="left").join(
        _performance(results, digits), on="strategy", how="left"
    )
    found = whole.sort("mean", "strategy", "detector", descending=[True, False, False], nulls_last=True)
    return found.select("strategy", "detector", *ordered, _named(results), "seeds")


def _first(tidy: pl.DataFrame) -> str:
    """The split that detectors are ordered by: near, where there is one."""
    return "near" if "near" in tidy["split"] else "far"


def _named(results: Results) -> str:
    """The column of the performance on ID data."""
    return f"ID {results.measure.word}"


def _performance(results: Results, digits: int) -> pl.DataFrame:
    """Of every strategy the performance on ID data; a share of the items in percent."""
    unit = 100 if results.measure.share else 1
    rows = (
        results.metric(results.performance, "id")
        .group_by("strategy")
        .agg(mean=unit * pl.col("value").mean(), sd=unit * pl.col("value").std(ddof=0))
    )
    text = pl.format("{} ± {}", *(_fixed(name, digits) for name in ("mean", "sd")))
    return rows.select("strategy", text.alias(_named(results)))


def _fixed(name: str, digits: int) -> pl.Expr:
    """A number as text with so many decimals."""
    return pl.col(name).map_elements(lambda value: f"{value:.{digits}f}", return_dtype=pl.String)


def _answer(tidy: pl.DataFrame, table: pl.DataFrame) -> Iterator[str]:
    leaders = []
    for split in filter(set(tidy["split"]).__contains__, NAMES):
        some = tidy.filter(pl.col("split") == split, pl.col("measure") == "AUROC")
        best = some.sort("mean", "strategy", "detector", descending=[True, False, False]).row(0, named=True)
        of = f" ({best['strategy']})" if table["strategy"].n_unique() > 1 else ""
        leaders.append(f"{best['detector']}{of} on {split}-OOD with an AUROC of {best['mean']:.2f} ± {best['sd']:.2f}")
    yield f"Ahead are {'; '.join(leaders)}."
    if (few := int(table["seeds"].drop_nulls().to_numpy().min())) < 3:
        yield f"OpenOOD's protocol asks for three trainings; here is {few}, and spreads say as little."


def _drawn(results: Results) -> str:
    tuned = results.rows.filter(pl.col("tuned"), pl.col("role") == "test")
    how = "Hyper-parameters were chosen on OOD-val alone." if tuned.height else "Detectors have their default settings."
    return (
        "Percent, mean ± standard deviation over trainings (divided by n, as OpenOOD's), OOD sets of a split averaged "
        f"first. Full-spectrum counts shifted ID inputs as ID. {how} The spread is that of trainings, no interval."
    )


def _picture(tidy: pl.DataFrame) -> alt.TopLevelMixin:
    """AUROC of every detector by split; lines are a standard deviation to each side."""
    shown = tidy.filter(pl.col("measure") == "AUROC").with_columns(
        name=pl.col("detector") if tidy["strategy"].n_unique() == 1 else pl.col("detector") + ", " + pl.col("strategy"),
        low=pl.col("mean") - pl.col("sd"), high=pl.col("mean") + pl.col("sd"),
    )  # fmt: skip
    order = (
        shown.filter(pl.col("split") == _first(tidy)).sort("mean", "name", descending=[True, False])["name"].to_list()
    )
    base = alt.Chart(style.rows(shown.select("name", "split", "mean", "sd", "low", "high")))
    colours = [style.VERMILION, style.BLUE, style.ORANGE, style.SKY]
    present = [name for name in NAMES if name in shown["split"]]
    colour = alt.Color(
        "split:N",
        scale=alt.Scale(domain=present, range=[colours[NAMES.index(name)] for name in present]),
        legend=alt.Legend(orient="top", title=None),
    )
    down = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=190))
    across, low = (
        alt.X(f"{name}:Q", title="AUROC in percent", scale=alt.Scale(zero=False)) for name in ("mean", "low")
    )
    tips = [
        style.name("name", "detector"),
        style.name("split", "split"),
        style.tip("mean", "mean"),
        style.tip("sd", "sd"),
    ]
    return alt.layer(
        base.mark_rule(strokeWidth=2).encode(x=low, x2="high:Q", y=down, color=colour),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=across, y=down, color=colour, tooltip=tips),
    ).properties(width="container", height=20 * len(order))
