"""What a card shows: each function takes a card and returns a display."""

from __future__ import annotations

import polars as pl

from outfield import registry
from outfield.card.card import MISSED, Card
from outfield.errors import UserError
from outfield.reports.displays import cost as costs
from outfield.reports.displays import sets, shifts
from outfield.reports.displays.accuracy import strip
from outfield.reports.displays.base import Display, Figure


def on_id_data(card: Card) -> Display:
    """Accuracy and calibration on the ID test set."""
    rows = card.results.test.filter(pl.col("set_kind") == "id", pl.col("detector").is_null())
    labels = {name: registry.find("metrics", name).label for name in registry.names("metrics")}
    table = rows.filter(pl.col("metric").is_in(list(labels))).select(
        pl.col("metric").replace_strict(labels, default=None), "value", "low", "high"
    )
    caption = (
        f"On {card.results.n_id:,} ID test inputs, 95% intervals. Accuracy: higher is better; ECE (15 equal-width "
        "bins), NLL, Brier score and AURC: lower is better."
    )
    columns = {"metric": "Measure", "value": "Value", "low": "Low", "high": "High"}
    return Display("id", "Accuracy and calibration", caption, table, columns=columns, open=True)


def which_detector(card: Card) -> Display:
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
    blind = "; ".join(
        f"without {name}: {chosen} (AUROC {auroc:.3f} on it)" for name, (chosen, auroc) in card.choice.without.items()
    )
    caption = (
        "Mean AUROC over OOD sets, every category weighing the same, with 95% intervals over inputs; "
        f"{card.choice.n:,} inputs that every detector has scored. Probability: of being the best with other inputs of "
        "the same sets. Difference: to the best, paired. "
        f"Chosen when a set is left out: {blind or 'there is one set only'}."
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
    title = f"Take {card.recommended}{', or one not clearly worse' if card.choice.alike else ''}"
    return Display("detectors", title, caption, table, (figure,), columns, open=True, legend="information")


def by_set(card: Card) -> Display:
    """AUROC of every detector on every OOD set."""
    return sets.by_category(card.results)


def parts(card: Card) -> Display:
    """AUROC of every detector on every part of a pooled OOD set."""
    return sets.synthetic_parts(card.results)


def blind_spots(card: Card) -> Display:
    """What the recommended detector does not see."""
    table = card.blind_spots
    if table.is_empty():
        raise UserError(
            f"{card.recommended} has no blind spot here: of every OOD set, and every part of one, it accepts at most "
            f"{MISSED:.0%} when 95% of ID is kept."
        )
    caption = (
        f"OOD sets and their parts of which {card.recommended} accepts more than {MISSED:.0%} as ID, at the threshold "
        "that keeps 95% of the ID test inputs; beside it the detector that accepts least."
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
    return Display("blind-spots", f"Blind spots of {card.recommended}", caption, table, columns=columns, open=True)


def under_shift(card: Card) -> Display:
    """Accuracy under covariate shift, by severity."""
    if card.results.metric("accuracy", "shift").is_empty():
        raise UserError("No covariate shifts were measured. Ask for them: shifts='standard', or a list of names.")
    return shifts.under_shift(card.results)


def cost(card: Card) -> Display:
    """What each detector costs."""
    return costs.cost(card.results)
