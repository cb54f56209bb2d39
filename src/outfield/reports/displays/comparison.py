"""Two studies or two models side by side: what got better, what worse, what is only in one."""

from __future__ import annotations

import altair as alt
import polars as pl

from outfield.errors import UserError
from outfield.reports.comparison import Comparison, RowComparison
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.charts import strip

COLUMNS = {"name": "", "value": "Difference", "low": "95% low", "high": "95% high", "n": "n"}


def overview(found: Comparison) -> Display:
    """What changed as a whole: the mean of every measure in both, and the difference."""
    table = found.overview
    names = {"name": "Measure", "first": found.names[0], "second": found.names[1], "value": "Difference"} | {
        "low": "95% low", "high": "95% high", "n": "n", "units": "Units", "p corrected": "p", "better": "Better is",
        "verdict": f"{found.names[1]} is",
    }  # fmt: skip
    columns = {name: title for name, title in names.items() if name in table.columns}
    caption = f"A difference is {found.names[1]} less {found.names[0]}. {found.intervals}"
    figure = Figure(strip(table, "difference", at=0), min_width=320)
    return Display("overview", "As a whole", caption, table, (figure,), columns, open=True)


def could_be_seen(found: Comparison) -> Display:
    """What could be seen: the smallest true difference that these data find with a chance of 80%."""
    table = found.overview
    if "detectable" not in table.columns or not table["detectable"].is_finite().any():
        raise UserError("No standard error is known, so that nothing tells how small a difference could be seen.")
    names = {"name": "Measure", "value": "Difference", "detectable": "Found with a chance of 80%"} | {
        "gained": f"Right in {found.names[1]} alone", "lost": f"Right in {found.names[0]} alone", "method": "Interval",
    }  # fmt: skip
    columns = {name: title for name, title in names.items() if name in table.columns}
    caption = (
        "Where two are not told apart, a true difference below the one in the third column may still be there. Of "
        "several sets it is that of a test at 5% divided by their number."
    )
    return Display("seen", "What could have been seen", caption, table, columns=columns, open=True)


def flipped(found: Comparison) -> Display:
    """The items that one gets right and the other does not."""
    table = found.flipped()
    if table.is_empty():
        raise UserError("No single item is known that differs.")
    first, second = found.names
    columns = {"item": "Item", "set": "Set", "metric": "Measure", "change": f"{second} is", "first": first} | {
        "second": second, "first said": f"{first} said", "second said": f"{second} said", "target": "Right",
        "text": "Text",
    }  # fmt: skip
    kept = {name: title for name, title in columns.items() if table[name].cast(pl.String).str.len_chars().max()}
    caption = "Every item that one model gets right and the other does not; of other scores the largest changes."
    return Display("flipped", "Every item that flipped", caption, table, columns=kept)


def by_detector(found: RowComparison) -> Display:
    """Difference of the AUROC for every detector."""
    known = found.sides[0].information
    table = found.by("detector").with_columns(
        information=pl.col("name").replace_strict(known, default="other", return_dtype=pl.String)
    )
    caption = f"Mean difference of the AUROC over OOD sets. {found.intervals}"
    return Display(
        *("by-detector", "Detector by detector", caption, table),
        (Figure(strip(table, "difference of the AUROC", at=0), min_width=320),),
        COLUMNS | {"name": "Detector", "verdict": f"{found.names[1]} is"},
        legend="information",
    )  # fmt: skip


def by_set(found: RowComparison) -> Display:
    """Difference of the AUROC for every OOD set."""
    table = found.by("ood")
    caption = f"Mean difference of the AUROC over {found.by('detector').height} detectors. {found.intervals}"
    figure = Figure(strip(table, "difference of the AUROC", at=0), min_width=320)
    return Display(
        "by-set",
        "OOD set by OOD set",
        caption,
        table,
        (figure,),
        COLUMNS | {"name": "OOD set", "verdict": f"{found.names[1]} is"},
        open=True,
    )


def where(found: RowComparison) -> Display:
    """Where it got better and where worse: every detector on every strategy, or on every OOD set."""
    across, pairs = found.across, found.of("auroc", "ood")
    if pairs.is_empty():
        raise UserError("Expected AUROCs of the same strategy, seed, detector and set in both, but there is none.")
    table = pairs.group_by(across, "detector").agg(pl.col("difference").mean()).sort(across, "detector")
    columns = (
        pairs.group_by(across).agg(pl.col("difference").mean()).sort("difference", across, descending=[True, False])
    )
    order = found.by("detector")["name"].to_list()
    chart = _changes(table.rename({across: "x", "detector": "y"}), columns[across].to_list(), order)
    caption = (
        f"Mean difference of the AUROC ({found.names[1]} less {found.names[0]}): blue is better, orange worse. "
        "Largest gains left and on top."
    )
    wide = max(340, 130 + 44 * min(columns.height, 20) + 22 * max(0, columns.height - 20))
    return Display("where", "Where it changed", caption, table, (Figure(chart, min_width=wide),))


def _changes(table: pl.DataFrame, x: list[str], y: list[str]) -> alt.TopLevelMixin:
    most = max(0.01, float(table["difference"].abs().max() or 0.0))  # type: ignore[arg-type]  # a float column
    across = alt.X("x:N", sort=x, title=None, axis=alt.Axis(labelAngle=-40, orient="top", labelLimit=140))
    base = alt.Chart(style.rows(table, 4)).encode(x=across, y=alt.Y("y:N", sort=y, title=None))
    scale = alt.Scale(domain=[-most, 0, most], range=["#b35806", "#f3f3f3", "#2166ac"])
    bar = alt.Legend(title="difference of the AUROC", orient="bottom", gradientLength=220, format="+.2f")
    tips = [style.name("y", "detector"), style.name("x", "on"), style.tip("difference", "difference", "+.3f")]
    layers = [base.mark_rect().encode(color=alt.Color("difference:Q", scale=scale, legend=bar), tooltip=tips)]
    if len(x) <= 20:
        ink = alt.condition(f"abs(datum.difference) > {0.6 * most}", alt.value("#ffffff"), alt.value("#101010"))
        layers.append(base.mark_text(fontSize=10).encode(text=alt.Text("difference:Q", format="+.2f"), color=ink))
    return alt.layer(*layers).properties(width="container", height=19 * len(y))


def cells(found: RowComparison) -> Display:
    """Every AUROC that both have, the largest change first."""
    table = found.cells
    if table.is_empty():
        raise UserError("Expected AUROCs of the same strategy, seed, detector and set in both, but there is none.")
    names = {"strategy": "Strategy", "detector": "Detector", "ood": "OOD set", "first": found.names[0]} | {
        "second": found.names[1], "difference": "Difference", "low": "95% low", "high": "95% high", "p": "p (Holm)",
        "seeds": "Seeds", "seed_low": "Lowest seed", "seed_high": "Highest seed",
    }  # fmt: skip
    columns = {name: title for name, title in names.items() if name in table.columns}
    said = (
        f"DeLong's paired interval; p by Holm over {table.height} pairs."
        if "p" in columns
        else "Means over seeds, and the lowest and highest difference of a seed."
    )
    return Display("changes", "Every change", f"AUROCs, the largest change first. {said}", table, (), columns)


def only_in_one(found: Comparison) -> Display:
    """What is only in one, and so in no difference."""
    table = found.only
    if table.is_empty():
        raise UserError("Nothing: both have the same.")
    caption = "What one side has and the other has not: no difference holds it."
    return Display("only", "Only in one", caption, table, open=True)
