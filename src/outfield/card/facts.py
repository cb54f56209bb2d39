"""The facts of a card: rows with intervals, the recommended detector, blind spots, the hardest inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from outfield import registry
from outfield.card.classes import COLUMNS
from outfield.card.hardest import Group, Judged, as_json
from outfield.card.hardest import shown as shown_inputs
from outfield.card.production import Production
from outfield.card.recommendation import Choice
from outfield.errors import UserError, with_and
from outfield.reports.comparison.cards import ANSWERS, VERSION, packed
from outfield.reports.findings import Finding, ordered
from outfield.reports.findings.chance import chance, no_detector
from outfield.reports.results import CATEGORIES, Results, in_order
from outfield.stats.recommend import TIE
from outfield.tables.priors import Prior, prior
from outfield.types import Estimate

MISSED = 0.5
"""A set is a blind spot where more than this share of it is accepted as ID when 95% of ID is kept."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What one model does on ID data, under covariate shift and on OOD data.

    Attributes
    ----------
    model : str
        What the adapter found: head, features, layers, preprocessing.
    rows : frame
        Every measure in the columns of a study's rows.
    choice : Choice
        The recommended detector and how sure that is.
    hardest : tuple of Group
        The hardest inputs.
    classes : frame
        How the recommended detector fares class by class; see ``outfield.card.classes``.
    inputs : str
        What the inputs are: ``image``, ``text`` or ``tabular``; empty where that is not known.
    left_out : mapping
        Detector to why it does not apply.
    notes : tuple of str
        What a reader must know.
    scores : mapping of str to frame
        The scores of each detector, input by input: set, part, row, score. They are not saved.
    contents : mapping of str to str
        What each set holds, as a key: equal for the same inputs.
    answers : frame
        What a classifier said to each ID test input: row, label, said, right; see ``outfield.card.hardest.answers``.
    test : Judged, optional
        The ID test inputs themselves, where they are there. They are not saved.
    family : str
        Of the model's architecture: ``cnn``, ``transformer`` or ``other``; empty where that is not known.
    """

    model: str
    rows: pl.DataFrame
    choice: Choice
    hardest: tuple[Group, ...] = ()
    classes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=COLUMNS))
    inputs: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    scores: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)
    answers: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ANSWERS))
    test: Judged | None = None
    family: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}: {' '.join(self.sentences)})"

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.rows["model"][0])

    @property
    def id_name(self) -> str:
        """What the ID data are called."""
        return str(self.rows["id"][0] or "ID")

    @property
    def recommended(self) -> str:
        """The detector to take, where the card is ``sound``."""
        return self.choice.best

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What bars a recommendation: a model at or below chance, one class for all, no detector that tells."""
        return ordered((*chance(self.rows), *no_detector(self.rows)))

    @property
    def sound(self) -> bool:
        """Whether a detector is recommended; ``recommended`` then is one that comes first by AUROC, no more."""
        return not self.findings

    @property
    def production(self) -> Production:
        """What a guard of the recommended detector promises, and how to have one."""
        why = "The model and its data are not at hand: calibrate on ID inputs that nothing saw before."
        return Production(self.name, self.recommended, missing=why)

    @cached_property
    def results(self) -> Results:
        """The rows, as reports ask them."""
        return Results.of(self.rows)

    @cached_property
    def ood_sets(self) -> dict[str, str]:
        """OOD sets with their categories, nearest first."""
        found = self.results.auroc.select("ood", pl.col("ood_category").fill_null("other")).unique().sort("ood")
        order = {name: at for at, name in enumerate(in_order(found["ood_category"].unique().to_list(), CATEGORIES))}
        return dict(sorted(found.iter_rows(), key=lambda row: order[row[1]]))

    def frame(self) -> pl.DataFrame:
        """A row a measure: detector, set, category, part, shift, severity, metric, value with its 95% interval."""
        columns = ["detector", "ood", "ood_category", "part", "shift", "severity", "metric", "value", "low", "high"]
        return (
            self.rows.filter(pl.col("role") == "test")
            .select(columns)
            .rename({"ood": "set", "ood_category": "category"})
        )

    def estimate(self, metric: str, detector: str | None = None, ood: str | None = None) -> dict[str, float | None]:
        """Value and interval of a metric: on the ID test set, or of a detector on an OOD set."""
        at = pl.col("metric") == metric, pl.col("detector").eq_missing(detector), pl.col("ood").eq_missing(ood)
        found = self.results.test.filter(*at)
        if found.is_empty():
            raise UserError(f"Expected a metric of this card, but it has no {metric!r} there. Look at card.frame().")
        return found.select("value", "low", "high").row(0, named=True)

    @cached_property
    def blind_spots(self) -> pl.DataFrame:
        """Sets, and parts of pooled sets, that the recommended detector accepts for the most part.

        Columns: set, category, part, accepted (the share accepted as ID when 95% of ID is kept), AUROC with interval,
        and the detector that accepts least of it, with its share.
        """
        return self.weakest.filter(pl.col("accepted") > MISSED)

    @cached_property
    def weakest(self) -> pl.DataFrame:
        """Every set and part in the columns of ``blind_spots``, those first that are accepted most."""
        named = pl.col("metric").is_in(["auroc", "fpr_at_95_id"]) & (pl.col("set_kind") == "ood")
        cells = self.rows.filter(named, pl.col("role") == "test").select(
            *("detector", "metric", "ood", "ood_category", "part", "value", "low", "high")
        )
        key = ["ood", "part"]
        accepted = cells.filter(pl.col("metric") == "fpr_at_95_id")
        auroc = cells.filter(pl.col("metric") == "auroc", pl.col("detector") == self.recommended)
        lowest = accepted.filter(pl.col("value") == pl.col("value").min().over(key, mapping_strategy="group_to_rows"))
        by_place = lowest.sort("detector").group_by(key, maintain_order=True)
        least = by_place.agg(pl.col("value").first(), pl.col("detector").str.join(" or "))
        own = accepted.filter(pl.col("detector") == self.recommended)
        table = own.select(*key, category="ood_category", accepted="value")
        table = table.join(auroc.select(*key, "low", "high", auroc="value"), on=key, how="left", nulls_equal=True)
        best = least.select(*key, seen_by="detector", accepted_then="value")
        table = table.join(best, on=key, how="left", nulls_equal=True).rename({"ood": "set"})
        order = ["set", "category", "part", "accepted", "auroc", "low", "high", "seen_by", "accepted_then"]
        return table.select(order).sort("accepted", "set", "part", descending=[True, False, False])

    @cached_property
    def weak_classes(self) -> pl.DataFrame:
        """Classes of OOD sets that the recommended detector accepts, those that it surely accepts most of first."""
        found = self.classes.filter(pl.col("set").is_not_null(), pl.col("accepted") > 0)
        return found.select("set", "class", "n", "accepted", "low", "high").sort(
            "low", "set", "class", descending=[True, False, False]
        )

    @property
    def blind_classes(self) -> pl.DataFrame:
        """Classes of OOD sets of which it surely accepts more than ``MISSED``: the whole interval lies above."""
        return self.weak_classes.filter(pl.col("low") > MISSED)

    @cached_property
    def known_classes(self) -> pl.DataFrame:
        """ID classes, those first of which the recommended detector accepts least: they pay for its threshold."""
        return self.classes.filter(pl.col("set").is_null()).drop("set").sort("accepted", "class")

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """The card in three sentences."""
        return (self._performance(), self._recommendation(), self._blindness())

    def _performance(self) -> str:
        measure = self.results.measure
        found, shifted = self.estimate(measure.metric), self.results.metric(measure.metric, "shift")
        right = measure.metric == "accuracy"
        of = ("it is right in", " of the cases", "in ") if right else (f"its {measure.word} is", "", "")
        ends = "" if found["low"] is None else f" [{measure.text(found['low'])}, {measure.text(found['high'])}]"
        said = f"On ID data {of[0]} {measure.text(found['value'])}{ends}{of[1]}{self._calibration()}."
        if shifted.is_empty():
            return said
        good = pl.col("value") if measure.higher_is_better else -pl.col("value")
        hardest = shifted.sort("shift", "severity").filter(good <= good.min() + TIE)
        mean = measure.text(float(shifted["value"].to_numpy().mean()))
        where = with_and([_shift(row) for row in hardest.iter_rows(named=True)])
        return (
            f"{said} Under covariate shift {of[0]} {mean} on average, and {of[2]}"
            f"{measure.text(hardest['value'][0])} under the hardest shift{'s' * (hardest.height > 1)} ({where})."
        )

    def _calibration(self) -> str:
        """The calibration error, where it was measured: of a classifier."""
        found = self.results.metric("ece", "id")
        return "" if found.is_empty() else f"; its calibration error (ECE) is {_percent(found['value'][0])}"

    def _recommendation(self) -> str:
        first, earned, sets = self.choice.table.row(0, named=True), self.choice.held_out, len(self.ood_sets)
        over = f"{sets} OOD sets, each counting once" if sets > 1 else "the one OOD set"
        if not self.sound:
            return (
                f"No detector is recommended. {' '.join(found.sentence for found in self.findings)} By mean AUROC "
                f"{self.recommended} comes first with {first['mean']:.3f} [{first['low']:.3f}, {first['high']:.3f}]."
            )
        return (
            f"Take {' or '.join(self.choice.tied)}{self._tie()}: "
            f"mean AUROC {first['mean']:.3f} [{first['low']:.3f}, {first['high']:.3f}] over "
            f"{over} ({', '.join(self.results.categories)}). {_earned(earned)} With other inputs "
            f"of these sets the choice would be the same with probability {self.choice.surety:.2f}; {self._alike()}."
            f"{self._cost()}{self._of_family()}"
        )

    def _cost(self) -> str:
        """What the recommended detector costs an input, in passes through the model."""
        known = self.results.rows.filter(pl.col("detector") == self.recommended)["passes"].drop_nulls()
        if known.is_empty():
            return ""
        count = float(known[0])
        return f" It costs {count:g} pass{'es' * (count != 1)} through the model for each input."

    def _of_family(self) -> str:
        """What published boards say of the architecture's family, and which of those not clearly worse they favour."""
        found = prior(self.family, self.choice.table["detector"].to_list())
        if found is None:
            return ""
        tied = (*self.choice.tied, *(name for name in self.choice.alike if name not in self.choice.tied))
        among = prior(self.family, tied)
        return f" {found.sentence}{_weighed(self.choice.tied, among)}"

    def _tie(self) -> str:
        """That several come first, and which of them the rest of the card is about."""
        tied = self.choice.tied
        return "" if len(tied) < 2 else f" ({len(tied)} detectors tie exactly; the card goes on with {tied[0]})"

    def _alike(self) -> str:
        alike = [name for name in self.choice.alike if name not in self.choice.tied]
        if not alike:
            return "every other detector is clearly worse"
        named = ", ".join(alike[:3]) + (f" and {len(alike) - 3} more" if len(alike) > 3 else "")
        return f"not clearly worse: {named}"

    def _blindness(self) -> str:
        worst, spots = self.weakest.row(0, named=True), self.blind_spots.height
        tied = self.weakest.filter(pl.col("accepted") >= worst["accepted"] - TIE)
        places = with_and([_place(row) for row in tied.iter_rows(named=True)])
        if spots:
            seen = f"; {_seen(worst, self.recommended)}" if tied.height == 1 else ""
            said = (
                f"{spots} blind spot{'s' * (spots > 1)}: of {places} {self.recommended} accepts "
                f"{worst['accepted']:.0%} {'each ' * (tied.height > 1)}as ID when 95% of ID is kept{seen}."
            )
        else:
            said = (
                f"No OOD set, nor part of one, is a blind spot: {self.recommended} accepts at most "
                f"{worst['accepted']:.0%} of any as ID ({places}) when 95% of ID is kept."
            )
        classes = self.blind_classes
        if classes.is_empty():
            return said
        named = ", ".join(f"{name} ({of})" for of, name in classes.select("set", "class").head(3).iter_rows())
        more = f" and {classes.height - 3} more" if classes.height > 3 else ""
        return f"{said} Classes that it surely accepts for the most part: {named}{more}."

    def shown(self, rows: Sequence[int]) -> Mapping[int, tuple[str, str]]:
        """Text and picture (as a data URI) of some ID test inputs; none where the inputs are not there."""
        return {} if self.test is None else shown_inputs(self.test, rows)

    def json(self) -> str:
        """``summary`` as text."""
        return json.dumps(self.summary(), indent=1, ensure_ascii=False)

    def summary(self) -> dict[str, Any]:
        """The card for machines: plain values, the same names as in ``frame``."""
        detectors = [row | {"sets": self._sets(row["detector"])} for row in self.choice.table.iter_rows(named=True)]
        id_rows = self.results.test.filter(pl.col("set_kind") == "id", pl.col("detector").is_null())
        shifts = self.results.test.filter(pl.col("set_kind") == "shift")
        return {
            "card": VERSION,
            "name": self.name,
            "model": self.model,
            "inputs": self._counts(),
            "contents": dict(self.contents),
            "answers": packed(self.answers),
            "id": {row["metric"]: _values(row) for row in id_rows.iter_rows(named=True)},
            "shifts": [
                {"shift": row["shift"], "severity": row["severity"], "metric": row["metric"]} | _values(row)
                for row in shifts.iter_rows(named=True)
            ],
            "findings": [{"code": one.code, "severity": one.severity, "text": one.sentence} for one in self.findings],
            "recommended": {
                "detector": self.recommended if self.sound else None,
                "first": self.recommended,
                "probability": self.choice.surety,
                "held_out": self.choice.held_out and _values(vars(self.choice.held_out)),
                "tied": list(self.choice.tied),
                "not_clearly_worse": list(self.choice.alike),
                "without": {name: {"detector": d, "auroc": a} for name, (d, a) in self.choice.without.items()},
            },
            "detectors": detectors,
            "blind_spots": self.blind_spots.to_dicts(),
            "classes": self.classes.to_dicts(),
            "hardest": as_json(self.hardest),
            "production": self.production.summary(),
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
            "outfield": self.rows["outfield"][0],
        }

    def _counts(self) -> dict[str, int]:
        """How many inputs of each set the rows rest on; the ID test set is ``test``."""
        rows = self.results.test
        known = rows.filter(pl.col("n_ood") > 0).group_by("ood").agg(pl.col("n_ood").max()).sort("ood").iter_rows()
        counts = {str(name): int(n) for name, n in known}
        return counts if (n := rows["n_id"].max()) is None else {"test": int(n)} | counts  # type: ignore[arg-type]  # a whole number

    def _sets(self, detector: str) -> dict[str, dict[str, Any]]:
        rows = self.results.test.filter(pl.col("detector") == detector, pl.col("set_kind") == "ood")
        found: dict[str, dict[str, Any]] = {}
        for row in rows.iter_rows(named=True):
            found.setdefault(row["ood"], {})[row["metric"]] = _values(row)
        return found

    def failures(self, limits: Mapping[str, float]) -> tuple[str, ...]:
        """What does not keep the limits: the model on ID data, the recommended detector on each OOD set.

        Raises
        ------
        UserError
            A metric that the card does not have.

        Examples
        --------
        >>> card.failures({"accuracy": 0.9, "auroc": 0.8})  # doctest: +SKIP
        ("auroc of energy on 'digit 8' is 0.712, below 0.8",)
        """
        return tuple(text for name, limit in limits.items() for text in self._failures(name, limit))

    def _failures(self, metric: str, limit: float) -> list[str]:
        better = registry.find("metrics", metric).higher_is_better
        detector = pl.col("detector").is_null() | (pl.col("detector") == self.recommended)
        found = self.results.test.filter(pl.col("metric") == metric, pl.col("set_kind").is_in(["id", "ood"]), detector)
        if found.is_empty():
            raise UserError(f"Expected a metric of this card, but it has no {metric!r}. Look at card.frame().")
        far = pl.col("value") < limit if better else pl.col("value") > limit
        return [
            f"{metric}{_of(row)} is {row['value']:.3f}, {'below' if better else 'above'} {limit:g}"
            for row in found.filter(far).iter_rows(named=True)
        ]


def _weighed(first: tuple[str, ...], among: Prior | None) -> str:
    """What the board says of the detectors that the data do not tell apart."""
    if among is None:
        return " It has none of those that these data do not tell apart."
    if set(among.favoured) & set(first):
        return " So it agrees with the choice."
    return f" Of those that these data do not tell apart it would take {' or '.join(among.favoured)}."


def _earned(held_out: Estimate | None) -> str:
    if held_out is None:
        return "It is judged on the one set that it was chosen on."
    return (
        f"Chosen without each set in turn, the choice earns {held_out.value:.3f} [{held_out.low:.3f}, "
        f"{held_out.high:.3f}] on the set left out."
    )


def _shift(row: Mapping[str, Any]) -> str:
    name = str(row["shift"]).replace("_", " ")
    return name if row["severity"] is None else f"{name}, severity {row['severity']}"


def _place(row: Mapping[str, Any]) -> str:
    return str(row["set"]) if row["part"] is None else f"{row['set']} ({row['part']})"


def _seen(row: Mapping[str, Any], detector: str) -> str:
    if detector in row["seen_by"].split(" or "):
        return "no other detector accepts less of it"
    return f"{row['seen_by']} accepts {row['accepted_then']:.0%}"


def _of(row: Mapping[str, Any]) -> str:
    of = f" of {row['detector']}" if row["detector"] else ""
    return of + (f" on {row['ood']!r}" if row["ood"] else " on ID data")


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": row["value"], "low": row["low"], "high": row["high"]}


def _percent(value: Any) -> str:
    return f"{value:.1%}"
