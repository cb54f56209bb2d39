"""What a card shows: each function takes a card and returns a display."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import polars as pl

from outfield import registry
from outfield.card.facts import MISSED, Facts
from outfield.errors import UserError, with_and
from outfield.reports.displays import _style as style
from outfield.reports.displays.base import Display, Figure
from outfield.reports.displays.charts import strip
from outfield.reports.displays.estimates import chart, errors, estimates
from outfield.store.performance import Performance

OPEN = 12
"""Tables of more rows are folded."""
WEAKEST = 5
"""Sets and parts that are shown where none of them is a blind spot, or few are."""


def on_id_data(card: Facts) -> Display:
    """Performance and calibration on the ID test set."""
    rows = card.results.test.filter(pl.col("set_kind") == "id", pl.col("detector").is_null())
    labels = {name: registry.find("metrics", name).label for name in registry.names("metrics")}
    table = rows.filter(pl.col("metric").is_in(list(labels))).select(
        pl.col("metric").replace_strict(labels, default=None), "value", "low", "high"
    )
    caption = f"On {card.results.n_id:,} ID test inputs, 95% intervals. {_directions(rows, labels)}"
    calibrated = (rows["metric"] == "ece").any()
    title = f"{card.results.performance_label}{' and calibration' * bool(calibrated)}"
    columns = {"metric": "Measure", "value": "Value", "low": "Low", "high": "High"}
    return Display("id", title, caption, table, columns=columns, open=True)


def _directions(rows: pl.DataFrame, labels: Mapping[str, str]) -> str:
    """Of which measures higher values are better, and of which lower ones."""
    known = [name for name in rows["metric"].unique(maintain_order=True) if name in labels]
    better = {name: bool(registry.find("metrics", name).higher_is_better) for name in known}
    said = {True: "Higher is better", False: "Lower is better"}
    sides = ((words, [labels[name] for name in known if better[name] is flag]) for flag, words in said.items())
    return " ".join(f"{words}: {with_and(names, most=9)}." for words, names in sides if names)


def which_detector(card: Facts) -> Display:
    """Every applicable detector, best first, and how sure the choice is."""
    table = card.choice.table
    information = {name: card.results.information.get(name, "other") for name in table["detector"]}
    drawn = table.select(
        *("low", "high"),
        name="detector",
        value="mean",
        n=pl.lit(card.choice.n),
        information=pl.col("detector").replace_strict(information),
    )
    blind = "; ".join(f"{name}: {chosen} {auroc:.3f}" for name, (chosen, auroc) in card.choice.without.items())
    caption = (
        "Best mean AUROC over OOD sets on top, each set counting once, with 95% intervals over inputs; "
        f"{card.choice.n:,} inputs that every detector has scored. Probability: of being the best with other inputs of "
        "the same sets. Difference: to the best, paired. "
        f"What is chosen without each set, and its AUROC on it: {blind or 'there is one set only'}."
    )
    columns = {
        "detector": "Detector",
        "mean": "Mean AUROC",
        "low": "Low",
        "high": "High",
        "probability": "Probability",
        "difference": "Difference",
        "low_difference": "Low",
        "high_difference": "High",
        "weakest": "Weakest set",
        "weakest_auroc": "AUROC there",
    }
    figure = Figure(strip(drawn, "mean AUROC"), min_width=320)
    title = f"Take {' or '.join(card.choice.tied)}{', or one not clearly worse' if card.choice.alike else ''}"
    title = title if card.sound else "No detector is recommended"
    return Display("detectors", title, caption, table, (figure,), columns, legend="information")


def by_set(card: Facts) -> Display:
    """AUROC of every detector on every OOD set."""
    rows = card.results.auroc
    labels = {name: f"{category}: {name}" for name, category in card.ood_sets.items()}
    sizes = dict(rows.group_by("ood").agg(pl.col("n_ood").max()).iter_rows())
    caption = (
        "AUROC, nearest categories left, best mean over OOD sets (each counting once) on top; OOD is the positive "
        "class. Inputs: "
        f"{', '.join(f'{name} {_count(sizes[name])}' for name in labels)}; ID {card.results.n_id:,}. The table holds "
        "95% intervals (DeLong) and the share accepted as ID at the threshold that keeps 95% of ID."
    )
    figure, table, columns = _heat_map(card, rows, labels, "ood")
    return Display("sets", "Detection of every OOD set", caption, table, (figure,), columns)


def parts(card: Facts) -> Display:
    """AUROC of every detector on every part of a pooled OOD set."""
    rows = card.rows.filter(
        *(pl.col("role") == "test", pl.col("metric") == "auroc"),
        *(pl.col("part").is_not_null(), pl.col("value").is_not_null()),
    )
    if rows.is_empty():
        raise UserError("No OOD set is pooled of parts. The source `synthetic` makes one of 17 unit tests.")
    hardest = rows.group_by("part").agg(pl.col("value").mean()).sort("value", "part")["part"].to_list()
    labels = {name: name.replace("_", " ") for name in hardest}
    caption = (
        f"AUROC, hardest part left; at most {_count(rows['n_ood'].max())} inputs a part. Black and white are one "
        "picture many times: an AUROC of one comparison."
    )
    title = f"Inside {', '.join(rows['ood'].unique().sort())}: part by part"
    figure, table, columns = _heat_map(card, rows, labels, "part")
    return Display("parts", title, caption, table, (figure,), columns)


def _heat_map(
    card: Facts, rows: pl.DataFrame, labels: dict[str, str], by: str
) -> tuple[Figure, pl.DataFrame, dict[str, str]]:
    """Detectors down, sets or parts across; the numbers with their intervals, and how their columns are headed."""
    named = rows.select(x=pl.col(by).replace_strict(labels), y="detector", value="value")
    order = card.choice.table["detector"].to_list()
    chart = style.cells(named, list(labels.values()), order, ({"ood": "OOD set", "part": "part"}[by], ""))
    key = ["detector", "ood", "part"]
    accepted = card.rows.filter(pl.col("metric") == "fpr_at_95_id", pl.col("role") == "test")
    table = rows.join(accepted.select(*key, accepted="value"), on=key, how="left", nulls_equal=True)
    columns = {"detector": "Detector", "ood": "OOD set", "ood_category": "Category", "part": "Part"}
    columns |= {"value": "AUROC", "low": "Low", "high": "High", "accepted": "Share accepted", "n_ood": "Inputs"}
    if by == "ood":
        del columns["part"]
    table = table.sort(pl.col(by).replace_strict({name: i for i, name in enumerate(labels)}), -pl.col("value"))
    figure = Figure(chart, min_width=max(340, 120 + 46 * min(len(labels), 20)))
    return figure, table.select(*columns), columns


def _count(n: object) -> str:
    return f"{n:,}" if isinstance(n, int) else "an unknown number"


def blind_spots(card: Facts) -> Display:
    """What the recommended detector does not see: sets and parts that it accepts for the most part, or most of all."""
    blind = card.blind_spots
    table = card.weakest.head(max(WEAKEST, blind.height))
    caption = (
        f"OOD sets and their parts by the share that {card.recommended} accepts as ID at the threshold that keeps 95% "
        f"of the ID test inputs; a blind spot is one of more than {MISSED:.0%}. Beside it the detector that accepts "
        "least of it."
    )
    columns = {
        "set": "OOD set",
        "part": "Part",
        "category": "Category",
        "accepted": "Share accepted",
        "auroc": "AUROC",
        "low": "Low",
        "high": "High",
        "seen_by": "Best seen by",
        "accepted_then": "Share accepted then",
    }
    table = table.with_columns(pl.col("part").str.replace_all("_", " "))
    if table["part"].is_null().all():
        del columns["part"]
    title = (
        f"Blind spots of {card.recommended}" if blind.height else f"No blind spot; where {card.recommended} is weakest"
    )
    return Display("blind-spots", title, caption, table, columns=columns, open=table.height <= OPEN)


def weak_classes(card: Facts) -> Display:
    """Classes of OOD sets that the recommended detector accepts."""
    table = card.weak_classes
    if table.is_empty():
        known = "accepts inputs of no class of them" if card.classes["set"].is_not_null().any() else "names no classes"
        raise UserError(f"{card.recommended} {known}." if "accepts" in known else f"No OOD set here {known}.")
    caption = (
        f"Share of each class of an OOD set that {card.recommended} accepts as ID at the threshold that keeps 95% of "
        "ID, with Wilson's 95% interval; first the classes that it surely accepts most of (low end of the interval)."
    )
    columns = {
        "set": "OOD set",
        "class": "Class",
        "n": "Inputs",
        "accepted": "Share accepted",
        "low": "Low",
        "high": "High",
    }
    first = table.head(OPEN)
    drawn = first.select("low", "high", "n", name=pl.format("{} ({})", "class", "set"), value="accepted")
    figure = Figure(strip(drawn, "share accepted as ID", (0, 1), MISSED), min_width=320)
    caption += f" Drawn: the first {first.height} of {table.height}; the dashed line is at {MISSED:.0%}."
    title = f"Classes of OOD sets that {card.recommended} accepts"
    return Display("ood-classes", title, caption, table, (figure,), columns)


def known_classes(card: Facts) -> Display:
    """ID classes, one by one."""
    table = card.known_classes
    if table.is_empty():
        raise UserError("The classes of the ID inputs are not known here, so they are not told apart.")
    caption = (
        f"Share of each ID class that {card.recommended} turns away at the threshold that keeps 95% of all: classes "
        "far above 5% pay for the others. Wilson's 95% intervals."
    )
    turned = table.select(
        "class",
        "n",
        turned=1 - pl.col("accepted"),
        low=1 - pl.col("high"),
        high=1 - pl.col("low"),
        accuracy="accuracy",
        low_accuracy="low_accuracy",
        high_accuracy="high_accuracy",
    )
    columns = {"class": "Class", "n": "Inputs", "turned": "Share turned away", "low": "Low", "high": "High"}
    if table["accuracy"].is_not_null().any():
        columns |= {"accuracy": "Accuracy", "low_accuracy": "Low", "high_accuracy": "High"}
        caption += " Accuracy: of the model on this class, without a detector."
    return Display(
        "id-classes", "ID classes", caption, turned.select(*columns), columns=columns, open=table.height <= OPEN
    )


def under_shift(card: Facts) -> Display:
    """Performance under covariate shift, by severity."""
    measure = card.results.measure
    rows = card.results.metric(measure.metric, "shift")
    if rows.is_empty():
        raise UserError("No covariate shifts were measured. Ask for them: shifts='standard', or a list of names.")
    ece = card.results.metric("ece", "shift").select("shift", "severity", ece="value")
    table = rows.select("shift", "severity", "value", "low", "high", n="n_id", set="ood")
    table = table.join(ece, on=["shift", "severity"], how="left", nulls_equal=True, maintain_order="left")
    clean = card.estimate(measure.metric)
    columns = {
        "shift": "Shift",
        "severity": "Severity",
        "value": measure.label,
        "low": "Low",
        "high": "High",
    } | ({} if ece.is_empty() else {"ece": "ECE"})
    caption = (
        f"{measure.label} on the ID test set under each shift, with 95% intervals over inputs; severity 0 and the "
        f"dashed line are the clean set, {clean['value']:.3f}."
        f"{'' if ece.is_empty() else ' The table holds the calibration error (ECE) too.'}"
    )
    if rows["severity"].is_null().any():
        named = table.select("low", "high", name="shift", value="value").sort("value")
        figures: tuple[Figure, ...] = (
            Figure(strip(named, measure.word, (0, 1) if measure.share else None, clean["value"])),
        )
    else:
        drawn = _with_clean(table, clean)
        figures = tuple(
            Figure(_line(of, clean["value"] or 0.0, measure), str(shift).replace("_", " "), 210)
            for (shift,), of in drawn.group_by("shift", maintain_order=True)
        )
    title = f"{measure.label} under covariate shift"
    return Display("shifts", title, caption, table.select(*columns), figures, columns)


def without_labels(card: Facts) -> Display:
    """What estimators would have told of the accuracy under each shift, had it no labels."""
    pairs = estimates(card.rows)
    off = errors(pairs)
    told = [f"{name} {error:.3f}" for name, error in off.select("estimator", "error").iter_rows()]
    caption = (
        f"A point a shift; on the line the estimate is right, above it too high. Mean absolute error: "
        f"{', '.join(told)}. "
        "Estimates are made from the labelled ID validation items, with 95% intervals over items of both. Under "
        "another kind of shift another estimator may be nearer: none is right under every shift."
    )
    columns = {
        "ood": "Shift", "truth": "Accuracy", "estimator": "Estimator", "estimate": "Estimate", "low": "Low",
        "high": "High",
    }  # fmt: skip
    figures = tuple(
        Figure(chart(of, card.results.families), str(name), 230)
        for (name,), of in pairs.group_by("estimator", maintain_order=True)
    )
    table = pairs.select(*columns).sort("ood", "estimator")
    return Display("estimates", "Accuracy under shift, estimated without labels", caption, table, figures, columns)


def _with_clean(table: pl.DataFrame, clean: dict[str, float | None]) -> pl.DataFrame:
    shifts = table.select("shift").unique(maintain_order=True)
    zero = shifts.with_columns(pl.lit(0, pl.Int64).alias("severity"), *(pl.lit(v).alias(k) for k, v in clean.items()))
    return pl.concat([zero, table], how="diagonal_relaxed").sort("shift", "severity", maintain_order=True)


def _line(table: pl.DataFrame, clean: float, measure: Performance) -> alt.TopLevelMixin:
    """Performance by severity, with its intervals."""
    base = alt.Chart(style.rows(table.select("severity", "value", "low", "high")))
    x = alt.X("severity:Q", title="severity", axis=alt.Axis(tickMinStep=1, format="d", grid=False))
    scale = alt.Scale(domain=[0, 1]) if measure.share else alt.Scale(zero=False)
    y = alt.Y("value:Q", title=measure.word, scale=scale, axis=alt.Axis(tickCount=5))
    tips = [style.tip("severity", "severity", "d"), *(style.tip(one, one) for one in ("value", "low", "high"))]
    dashed = alt.Chart(style.rows(pl.DataFrame({"at": [clean]})))
    return alt.layer(
        dashed.mark_rule(strokeDash=[3, 3], color=style.INK).encode(y=alt.Y("at:Q", scale=scale)),
        base.mark_line(color=style.BLUE, strokeWidth=1.6).encode(x=x, y=y),
        base.mark_rule(color=style.BLUE, strokeWidth=1.6).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_point(color=style.BLUE, filled=True, size=40, opacity=1).encode(x=x, y=y, tooltip=tips),
    ).properties(width="container", height=170)


def cost(card: Facts) -> Display:
    """What each detector costs."""
    jobs = card.results.auroc.group_by("detector").agg(pl.col("seconds").first(), pl.col("passes").first())
    if jobs["seconds"].is_null().all():
        raise UserError("These rows do not say what they cost: the columns seconds and passes are empty.")
    information = pl.col("detector").replace_strict(card.results.information, default="other")
    columns = {
        "detector": "Detector",
        "information": "Information used",
        "passes": "Passes per input",
        "seconds": "Seconds",
    }
    table = jobs.with_columns(information=information).sort("seconds", "detector", descending=[True, False])
    caption = (
        f"Time to fit, score and measure each detector after extraction, {jobs['seconds'].sum():,.1f} seconds in all; "
        "passes count the one forward pass that all detectors share, and what a detector needs beyond it."
    )
    return Display(
        "cost", "What a detector costs", caption, table.select(*columns), columns=columns, open=table.height <= OPEN
    )
