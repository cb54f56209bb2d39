from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import altair as alt
import polars as pl
from scipy import stats

from outfield.data.shifts.band_noise import RMS
from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Legend
from outfield.reports.results import Results
from outfield.stats.critical_band import critical_band

PREFIX = "band_noise "
LEAST = 5
"""Strategies from which on bandwidth is correlated with accuracy."""
ORDERS = 9999


@dataclass(frozen=True)
class CriticalBands(Analysis):
    """The band of spatial frequencies that each model reads, and whether wider bands go with less robust models [1].

    Noise of one octave at a time (shifts called ``band_noise F``) gives each band's threshold; a Gaussian over log
    frequency gives the centre and the full width at half maximum. Widths are correlated with accuracy under all other
    shifts over strategies, seeds averaged (Spearman, permutation test); of one strategy over its seeds.

    Parameters
    ----------
    human : float
        Width of the human band in octaves, for comparison: about one, by [1].

    References
    ----------
    [1] Subramanian, Sizikova, Majaj, Pelli. Spatial-frequency Channels, Shape Bias, and Adversarial Robustness.
    NeurIPS 2023.
    """

    human: float = 1.0

    title: ClassVar[str] = "Which spatial frequencies a model reads"
    question: ClassVar[str] = "How wide is each model's band of spatial frequencies, and do wide bands harm robustness?"
    needs: ClassVar[frozenset[str]] = frozenset({"performance", "shift"})
    legend: ClassVar[Legend] = "family"

    def of(self, results: Results) -> Result:
        table, left_out = _table(results)
        return Result(table, (_answer(table), self._beside(table), left_out), _picture(table, self.human))

    def _beside(self, table: pl.DataFrame) -> str:
        low, high = (float(end) for end in (table["octaves"].to_numpy().min(), table["octaves"].to_numpy().max()))
        return f"Bands are {low:.1f} to {high:.1f} octaves wide; the human one is about {self.human:g} (the line)."


def _table(results: Results) -> tuple[pl.DataFrame, str]:
    rows = results.metric("accuracy", "shift").drop_nulls("shift")
    noisy = rows.filter(pl.col("shift").str.starts_with(PREFIX), pl.col("severity").is_not_null())
    if noisy.is_empty():
        raise UserError(
            f"Expected {results.measure.word} under noise of single bands, but there is none. Add shifts to the file: "
            "`{shift: {name: band_noise, band: 2}, label: band_noise 2}` for each band."
        )
    noisy = noisy.with_columns(band=pl.col("shift").str.strip_prefix(PREFIX).cast(pl.Float64, strict=False))
    others = rows.filter(~pl.col("shift").str.starts_with(PREFIX)).group_by("model").agg(shifted=pl.col("value").mean())
    clean = dict(results.metric("accuracy", "id").select("model", "value").iter_rows())
    classes = results.metric("classes", "id")["value"]
    chance = 1 / float(classes.to_numpy().max()) if len(classes) else 0.0
    found, failed = [], []
    for (model,), some in sorted(noisy.partition_by("model", as_dict=True).items()):
        wide = some.pivot("severity", index="band", values="value").sort("band").drop_nulls()
        levels = sorted(name for name in wide.columns if name != "band")
        try:
            one = critical_band(
                wide["band"], [RMS[int(level) - 1] for level in levels], wide.select(levels).to_numpy(),
                clean=clean.get(model, 1.0), chance=chance,
            )  # fmt: skip
        except UserError:
            failed.append(str(model))
            continue
        found.append({"model": model, "centre": one.centre, "octaves": one.octaves})
    if not found:
        raise UserError(
            "Expected models whose accuracy is halved by noise of three bands or more, but none is. Use more bands."
        )
    table = pl.DataFrame(found).join(others, on="model", how="left")
    families = results.models.select("model", "strategy", "family")
    said = f"Left out, since fewer than three bands halve their accuracy: {', '.join(failed)}." if failed else ""
    return table.join(families, on="model", how="left").sort("octaves", "model"), said


def _answer(table: pl.DataFrame) -> str:
    unit = "strategy" if table["strategy"].n_unique() > 1 else "model"
    known = table.drop_nulls("shifted").group_by(unit).agg(pl.col("octaves", "shifted").mean()).sort(unit)
    units = "strategies" if unit == "strategy" else "models"
    if known.height < LEAST or known["shifted"].n_unique() == 1:
        return f"Bands fitted: {table.height}; {LEAST} {units} with other shifts would show what width goes with."
    width, shifted = (stats.zscore(stats.rankdata(known[name])) for name in ("octaves", "shifted"))
    test = stats.permutation_test(
        (width,), lambda x, axis: (x * shifted).mean(axis=axis), permutation_type="pairings", n_resamples=ORDERS, rng=0,
        vectorized=True,
    )  # fmt: skip
    found = float(test.statistic)
    settled = "Wider" if found < 0 else "Narrower"
    said = f"{settled} bands go with lower accuracy under other shifts" if test.pvalue < 0.05 else (
        "Whether width goes with accuracy under other shifts, these data do not tell"
    )  # fmt: skip
    return (
        f"{said}: Spearman's rho is {found:.2f} over {known.height} {units}, p = {test.pvalue:.2g} (permutation test)."
    )


def _picture(table: pl.DataFrame, human: float) -> alt.TopLevelMixin:
    up = "shifted" if table["shifted"].null_count() < table.height else "centre"
    title = "accuracy under other shifts" if up == "shifted" else "centre in cycles per picture"
    base = alt.Chart(style.rows(table))
    tips = [style.name("model", "model"), style.tip("octaves", "octaves"), style.tip("centre", "centre")]
    dots = base.mark_point(filled=True, size=70, opacity=0.9).encode(
        x=alt.X("octaves:Q", title="width of the critical band in octaves", scale=alt.Scale(zero=False)),
        y=alt.Y(f"{up}:Q", title=title, scale=alt.Scale(zero=False)), tooltip=tips,
        **style.family(sorted(set(table["family"]))),
    )  # fmt: skip
    line = alt.Chart(style.rows(pl.DataFrame({"octaves": [human]}))).mark_rule(strokeDash=[3, 3], color=style.INK)
    return alt.layer(line.encode(x="octaves:Q"), dots).properties(width="container", height=300)
