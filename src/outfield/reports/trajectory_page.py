"""The report of tracked runs: one HTML file that works offline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from outfield import strict_yaml
from outfield.errors import UserError, with_and
from outfield.reports.displays import (
    trajectory_bridge,
    trajectory_curves,
    trajectory_heat_map,
    trajectory_network,
    trajectory_noise,
    trajectory_tables,
    trajectory_windows,
)
from outfield.reports.displays.base import Display
from outfield.reports.findings.runs import of_runs
from outfield.reports.html import environment, render_sections, tally, vega
from outfield.stats.multiplicity import benjamini_hochberg
from outfield.stats.recommend import TIE
from outfield.store.write import write_text
from outfield.trajectory.analysis import Trajectories

SECTIONS: dict[str, tuple[Callable[[Trajectories], Display], ...]] = {
    "Along training": (trajectory_bridge.generalisation_and_detection, trajectory_curves.trajectories),
    "What the sets have in common": (
        trajectory_heat_map.heat_map,
        trajectory_network.network,
        trajectory_tables.partial_correlations,
    ),
    "How far to trust it": (
        trajectory_windows.windows,
        trajectory_noise.noise_floor,
        trajectory_tables.reliability,
        trajectory_tables.across_models,
        trajectory_tables.against_size,
    ),
}
"""The page's sections and the displays of each."""


UNEVEN = 0.6
"""Share of the more frequent label from which a set counts as uneven."""


def write(study: Path | str, path: Path | str, *, command: str = "") -> Path:
    """Write the report of a study of tracked runs as one self-contained HTML file.

    Raises
    ------
    UserError
        There are no tracked rows, or the file cannot be written.

    Examples
    --------
    >>> write("results/digits_trajectory", "report.html")  # doctest: +SKIP
    """
    text = html(Trajectories.of(study), command=command, balanced=by_balanced_accuracy(study))
    return write_text(text, path)


def by_balanced_accuracy(study: Path | str) -> Trajectories | None:
    """The same by balanced accuracy, where the runs have it."""
    try:
        return Trajectories.of(study, "balanced_accuracy")
    except UserError:
        return None


def html(found: Trajectories, *, command: str = "", balanced: Trajectories | None = None) -> str:
    """The page as text."""
    template = environment().get_template("trajectory.html")
    return template.render(
        title=found.manifest.get("title") or str(found.rows["study"][0]),
        answer=sentences(found),
        cautions=(*cautions(found), *uneven_labels(found, balanced)),
        sections=render_sections(sections(found), found),
        legends={},
        facts=_facts(found),
        manifest=strict_yaml.dump(dict(found.manifest)) if found.manifest else "",
        command=command,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        vega=vega(),
    )


def sections(found: Trajectories) -> dict[str, list[Callable[[Trajectories], Display]]]:
    """The sections that these runs can fill, and the displays of each."""
    idle: list[Any] = []
    if not (found.rows["metric"] == "auroc").any():
        idle.append(trajectory_bridge.generalisation_and_detection)
    if found.checkpoints is None or not found.checkpoints.reruns:
        idle.append(trajectory_noise.noise_floor)
    if found.checkpoints is not None:
        idle.append(trajectory_tables.against_size)
        idle += [trajectory_tables.across_models] if len(found.models) < 2 else []
    return {title: [build for build in builds if build not in idle] for title, builds in SECTIONS.items()}


def sentences(found: Trajectories) -> tuple[str, ...]:
    """Whether the sets agree, in three sentences with the numbers in them."""
    known = found.pairs.filter(pl.col("smoother") == found.smoother, pl.col("value").is_not_null())
    if known.is_empty():
        return ("No pair of sets could be compared: see the notes of the table.",)
    size = pl.col("value").abs()
    strongest = known.filter(size >= size.max() - TIE)
    plain = float(known["plain"].mean())  # type: ignore[arg-type]  # a float column
    mean = float(known["value"].mean())  # type: ignore[arg-type]  # a float column
    several = len(found.models) > 1
    return (
        _verdict(known, found.performance.word),
        f"The mean correlation is {plain:+.2f} before ID {found.performance.word} is taken out and {mean:+.2f} after; "
        f"{_significant(found.pairs)}.",
        f"The strongest {'is' if strongest.height == 1 else 'are'} "
        f"{with_and([_pair(row, several) for row in strongest.iter_rows(named=True)])}.",
    )


def _pair(row: Mapping[str, Any], several: bool) -> str:
    """A pair of sets with its correlation, of a model where there are several."""
    interval = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
    of = f" ({row['model']})" if several else ""
    return f"{row['first']} with {row['second']}{of}: {row['value']:+.2f}{interval}, plain {row['plain']:+.2f}"


def _verdict(known: pl.DataFrame, word: str) -> str:
    count, positive = known.height, known.filter(pl.col("low") > 0).height
    negative = known.filter(pl.col("high") < 0).height
    if known["low"].is_null().all():
        return (
            f"Whether the test sets agree once ID {word} is known cannot be told: intervals take several runs of a "
            f"model, and none of {count} pairs has one. Add seeds to the study."
        )
    share = max(positive, negative) / count
    verdict = "agree" if positive == count else "mostly agree" if positive / count > 0.5 else "do not agree as a whole"
    return (
        f"Once ID {word} is known, the test sets {verdict}: of {count} pairs {positive} are positive, {negative} "
        f"negative and {count - positive - negative} have no interval that leaves 0 out "
        f"(largest share one way: {share:.0%})."
    )


def _significant(pairs: pl.DataFrame) -> str:
    tested = pairs.filter(pl.col("smoother") == "linear").drop_nulls("q")
    if tested.is_empty():
        return _by_signs(pairs)
    test = "circular shift within one run" if tested["low"].is_null().all() else "run permutation"
    certain = tested.filter(pl.col("q") < 0.05).height
    return f"{certain} pairs (linear) are significant at 5% by {test} after Benjamini and Hochberg"


def _by_signs(pairs: pl.DataFrame) -> str:
    """Where no permutation is possible: whether correlations are as often positive as negative over runs."""
    tested = pairs.drop_nulls("p_sign")
    if tested.is_empty():
        return "significance is not known"
    certain = int((benjamini_hochberg(tested["p_sign"]) < 0.05).sum())
    return (
        f"{certain} of {tested.height} pairs (linear) have one sign in more runs than chance allows (5%, sign test "
        "after Benjamini and Hochberg; what all runs share is in it)"
    )


def cautions(found: Trajectories) -> tuple[str, ...]:
    """What a reader must know: skipped checkpoints, too few runs, noisy sets, signs that depend on the smoother."""
    notes = [str(note) for note in (found.manifest.get("note"), *(found.manifest.get("notes") or ())) if note]
    notes += [f"Left out: {note}" for note in found.skipped]
    notes += [f"{each.code}: {each.sentence}" for each in of_runs(found)]
    if (fewest := min(model.units for model in found.models)) < 5:
        had = "neither intervals nor a permutation p" if fewest == 1 else "intervals and no p"
        few = f"{fewest} run{'' if fewest == 1 else 's'} of a model"
        notes.append(f"{few}: {had}; at least 5 are needed for the run-permutation test.")
    low = found.reliability
    if low.height and (noisy := low.filter(pl.col("reliability") < 0.5)).height:
        notes.append(f"Less than half of the movement is signal: {', '.join(sorted(set(noisy['set'])))}.")
    if depends := found.sign_differs.height:
        notes.append(f"The sign of {depends} partial correlations depends on the smoother.")
    for metric, said in (
        ("truncated", "Premises cut"),
        ("duplicates", "Pairs that are in the training data too"),
        ("empty_texts", "Pairs left out for an empty text"),
    ):
        rows = found.rows.filter(pl.col("metric") == metric, pl.col("value") > 0).unique(["ood", "params", "value"])
        named = sorted({f"{_whose(row)} {row['value']:g}" for row in rows.iter_rows(named=True)})
        notes += [f"{said}: {', '.join(named)}."] if named else []
    return tuple(notes)


def _whose(row: Mapping[str, Any]) -> str:
    """The set that a count is of, or the training data."""
    return "training data" if row["params"] else row["ood"] or row["id"]


def uneven_labels(found: Trajectories, balanced: Trajectories | None) -> tuple[str, ...]:
    """Whether label shares differ, so that a leaning to one answer moves sets apart, and what is left without it."""
    rows = found.rows.filter(pl.col("role") == "baseline", pl.col("metric") == "accuracy", pl.col("value") > UNEVEN)
    uneven = sorted({f"{row['ood'] or row['id']} {row['value']:.0%}" for row in rows.iter_rows(named=True)})
    if balanced is None or not uneven:
        return ()
    known = balanced.pairs.filter(pl.col("smoother") == "spline").drop_nulls("value")
    positive, negative = known.filter(pl.col("low") > 0).height, known.filter(pl.col("high") < 0).height
    return (
        f"Label shares differ (more frequent label: {', '.join(uneven)}), so that a leaning to one answer moves their "
        f"accuracies apart. By balanced accuracy, of {known.height} pairs {positive} are positive, {negative} "
        f"negative; {_significant(balanced.pairs)}, which takes ID accuracy for exact.",
    )


def _facts(found: Trajectories) -> list[tuple[str, str]]:
    runs = sum(len(model.runs) for model in found.models)
    measures = max(len(model.values) for model in found.models)
    steps = found.rows.group_by("run").agg(pl.col("step").n_unique())["step"].max()
    facts = {"models": len(found.models), "runs": runs, "checkpoints": int(steps)}  # type: ignore[arg-type]  # a count
    return tally(facts | {"measures": measures, "rows": found.rows.height})
