"""The report: one HTML file that holds everything and asks the network for nothing."""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from outfield import strict_yaml
from outfield.errors import UserError
from outfield.reports import trajectory_page
from outfield.reports.analysis import Analysis
from outfield.reports.displays import (
    analyses,
    calibration,
    cost,
    densities,
    detectors,
    errors,
    estimates,
    performance,
    sets,
    shifts,
    variance,
)
from outfield.reports.displays.base import Display
from outfield.reports.findings import Told, findings, ordered, told
from outfield.reports.headline import ERRORS, PREDICTION, sentences
from outfield.reports.html import environment, legends, render_sections, tally, vega
from outfield.reports.results import Results
from outfield.store.write import write_text
from outfield.tables.measures import measures
from outfield.trajectory.analysis import Trajectories

SECTIONS: dict[str, tuple[Callable[[Results], Display], ...]] = {
    "Which detector for which model": (detectors.best_per_strategy, detectors.heat_map, detectors.worst_case),
    "Performance against detection": (
        *map(analyses.display, PREDICTION),
        performance.performance_by_category,
        performance.performance_by_detector,
        performance.performance_against_each_detector,
    ),
    "Shares of variance": (variance.variance_shares,),
    "Ranks": (detectors.mean_ranks, detectors.boxes),
    "Near and far": (sets.by_category, sets.synthetic_parts, densities.score_densities),
    "Errors or the unknown": (
        errors.correct_and_incorrect,
        errors.four_aurocs,
        analyses.display(ERRORS),
    ),
    "Calibration": (calibration.ece_against_auroc,),
    "Features": (calibration.feature_statistics,),
    "Under shift": (shifts.under_shift, shifts.generalisation_against_detection, estimates.estimated_accuracy),
    "Cost": (cost.cost,),
}
"""The page's sections in the order of a reader's questions, and the displays of each."""


def write(
    study: Path | str | pl.DataFrame, path: Path | str, *, command: str = "", tracked: Path | str | None = None
) -> Path:
    """Write a study's report as one self-contained HTML file.

    The report of runs that were followed over checkpoints is another page, ``outfield.reports.trajectory_page``; it is
    written where the study is such a one.

    Parameters
    ----------
    study : path or frame
        A study's folder, a Parquet file of rows, or rows.
    path : path
        The file to write.
    command : str
        What reproduces the study, shown on the page.
    tracked : path, optional
        The folder of tracked runs whose displays are put behind those of the study.

    Raises
    ------
    UserError
        There are no rows, or the file cannot be written.

    Examples
    --------
    >>> write("results/digits", "report.html")  # doctest: +SKIP
    """
    return write_text(_text(Results.of(study), command, tracked), path)


def _text(results: Results, command: str, tracked: Path | str | None) -> str:
    if results.folder is not None and results.rows["step"].is_not_null().any():
        followed = Trajectories.of(results.folder)
        return trajectory_page.html(
            followed, command=command, balanced=trajectory_page.by_balanced_accuracy(results.folder)
        )
    if tracked is None:
        return html(results, command=command)
    followed, balanced = Trajectories.of(tracked), trajectory_page.by_balanced_accuracy(tracked)
    return html(results, command=command, tracked=followed, balanced=balanced)


def html(
    results: Results,
    *,
    command: str = "",
    tracked: Trajectories | None = None,
    balanced: Trajectories | None = None,
) -> str:
    """The page as text; ``balanced`` are the tracked runs by balanced accuracy."""
    asked = sections()
    if results.performance != "accuracy":
        asked |= {
            title: tuple(one for one in builds if one is not estimates.estimated_accuracy)
            for title, builds in asked.items()
        }
    parts = render_sections(asked, results)
    cautions = list(results.cautions)
    if tracked is not None:
        parts |= {
            f"Trajectories: {title[0].lower()}{title[1:]}": found
            for title, found in render_sections(trajectory_page.SECTIONS, tracked).items()
        }
        parts["Cost"] = parts.pop("Cost")
        notes = (*trajectory_page.cautions(tracked), *trajectory_page.uneven_labels(tracked, balanced))
        cautions += [f"Trajectories: {note}" for note in notes]
    template = environment().get_template("page.html")
    stated, unchecked = findings_or_reason(results)
    return template.render(
        title=_title(results),
        about=(results.manifest.get("study") or {}).get("title") or "",
        answer=sentences(results),
        findings=stated,
        unchecked=unchecked,
        facts=_facts(results),
        cautions=cautions,
        legends=legends(results),
        sections=parts,
        provenance=provenance(results),
        manifest=_study_file(results),
        command=command,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        vega=vega(),
    )


def findings_or_reason(results: Results) -> tuple[list[Told], str]:
    """What the checks of ``outfield analyse`` and all analyses find, and why the checks cannot run."""
    further = tuple(analyses.findings(results))
    try:
        found = findings(Analysis(measures(results.rows, baseline=results.baseline)))
    except UserError as error:
        return told(ordered(further)), f"The checks cannot run: {error}"
    return told(ordered((*found, *further))), ""


def sections() -> dict[str, tuple[Callable[[Results], Display], ...]]:
    """The page's sections with the analyses that other packages contribute, where there are some."""
    further = analyses.others((*PREDICTION, ERRORS))
    return {**SECTIONS, **({analyses.FURTHER: further} if further else {})}


def _title(results: Results) -> str:
    names = results.rows["study"].drop_nulls().unique().sort().to_list()
    return ", ".join(names) or "Study"


def _facts(results: Results) -> list[tuple[str, str]]:
    counts = {
        "strategies": results.strategies.height,
        "models": results.models.height,
        "detectors": len(results.detectors),
        "OOD sets": results.auroc["ood"].n_unique(),
        "shifts": results.rows["shift"].drop_nulls().n_unique(),
        "rows": results.rows.height,
    }
    return tally(counts)


def provenance(results: Results) -> list[tuple[str, str]]:
    """Where the numbers come from: versions, data, digests, seeds, time; what the rows do not say is left out."""
    rows = results.rows
    jobs = rows.group_by("model", "detector").agg(pl.col("seconds").first())
    seconds = jobs["seconds"].sum() or 0.0
    facts = [
        ("outfield", _distinct(rows, "outfield")),
        ("torch", _distinct(rows, "torch")),
        ("machines", "; ".join(results.manifest.get("machines") or ()) or "not recorded by the version that ran it"),
        ("Python and system of this report", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("ID set", _distinct(rows, "id")),
        ("OOD sets", _distinct(results.auroc, "ood")),
        ("seeds", _distinct(rows, "seed")),
        ("digest of the ID test set", _distinct(rows, "data_digest")),
        ("digests of the models' weights", _distinct(rows, "model_digest")),
        ("detectors tuned", "yes" if rows["tuned"].any() else "no, every detector has its paper's parameters"),
        ("seconds to fit, score and measure, all jobs", f"{seconds:,.0f}" if seconds else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _distinct(table: pl.DataFrame, column: str, most: int = 60) -> str:
    found = table[column].drop_nulls().unique().sort().cast(pl.String).to_list()
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


def _study_file(results: Results) -> str:
    study = results.manifest.get("study")
    return strict_yaml.dump(study) if study else ""
