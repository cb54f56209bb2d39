"""A comparison as Markdown, LaTeX, CSV, or records of the schema of Every Eval Ever."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import polars as pl

from outfield.errors import UserError
from outfield.reports.comparison.base import Comparison
from outfield.store.spreadsheet import without_formulas
from outfield.store.write import write_text

SCHEMA = "0.2.2"
"""Version of the schema of Every Eval Ever (github.com/evaleval/every_eval_ever, schemas/eval.schema.json)."""
FORMATS = {".md": "Markdown", ".tex": "LaTeX", ".csv": "CSV", ".json": "Every Eval Ever"}
COLUMNS = ("name", "first", "second", "value", "low", "high", "n", "p corrected", "verdict")
MOST_FLIPS = 50
"""Flipped items that Markdown lists; CSV has all."""
SHARES = re.compile(r"acc|auroc|aupr|fpr|tpr|exact_match|correct|f1|ece", re.IGNORECASE)
"""Measures that lie between 0 and 1."""


def check_ending(path: Path) -> Path:
    """The path; ``UserError`` where its ending is none that a comparison is written as."""
    if path.suffix.lower() not in (*FORMATS, ".html"):
        endings = ", ".join([".html", *FORMATS])
        raise UserError(f"Expected a file of {endings}, but got {path.name!r}. Choose one of these.")
    return path


def write(found: Comparison, path: Path) -> tuple[Path, ...]:
    """Write a comparison by the ending of its path; the files written.

    CSV writes the items that flipped to a file of their own beside; the schema of Every Eval Ever holds one model a
    record, so that ``.json`` writes two.

    Raises
    ------
    UserError
        Another ending, or a file cannot be written.
    """
    texts = {".md": _of_one(markdown), ".tex": _of_one(latex), ".csv": _tables, ".json": _records}
    files = texts[check_ending(path).suffix.lower()](found, path)
    return tuple(write_text(text, each) for each, text in files.items())


def _of_one(text: Any) -> Any:
    return lambda found, path: {path: text(found)}


def _tables(found: Comparison, path: Path) -> dict[Path, str]:
    files = {path: _csv(found.overview)}
    if found.flips:
        files[path.with_name(f"{path.stem}.flips{path.suffix}")] = _csv(found.flipped())
    return files


def _csv(table: pl.DataFrame) -> str:
    floats = [name for name, kind in table.schema.items() if kind.is_float()]
    return without_formulas(table.with_columns(pl.col(floats).fill_nan(None))).write_csv()


def _records(found: Comparison, path: Path) -> dict[Path, str]:
    made = zip(("first", "second"), records(found), strict=True)
    return {
        path.with_name(f"{path.stem}.{side}{path.suffix}"): json.dumps(record, indent=2, ensure_ascii=False)
        for side, record in made
    }


def markdown(found: Comparison) -> str:
    r"""The differences as a table, what is to be known of them, and the first items that flipped.

    Examples
    --------
    >>> from outfield.reports.comparison import compare
    >>> table = pl.DataFrame({"item": list("stuvwxyz"), "a": [1, 0, 0, 0, 1, 0, 0, 0], "b": [1] * 7 + [0]})
    >>> print(*markdown(compare(table, model="a", versus="b")).splitlines()[:5], sep="\n")
    ## b against a
    <BLANKLINE>
    | measure | a | b | difference | 95% | n | p | b is |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | correct | 0.250 | 0.875 | +0.625 | +0.084 to +0.916 | 8 | 0.062 | not told apart |
    """
    first, second = found.names
    lines = [f"## {_cell(second)} against {_cell(first)}", "", _line(_headings(found))]
    lines += [_line(["---"] * len(_headings(found)))]
    lines += [_line(map(_cell, _cells(row))) for row in _rows(found)]
    lines += ["", *(f"{_cell(text)}  " for text in (*found.sentences, found.intervals, *found.notes))]
    if found.flips:
        said = f" (the first {MOST_FLIPS} of {len(found.flips)})" if len(found.flips) > MOST_FLIPS else ""
        lines += [
            "",
            f"### Items that flipped{said}",
            "",
            _line(["item", "set", f"{second} is", first, second, "text"]),
        ]
        lines += [_line(["---"] * 6)]
        lines += [
            _line(map(_cell, (one.item, one.set, "better" if one.better else "worse", *_said(one), one.text[:120])))
            for one in found.flips[:MOST_FLIPS]
        ]
    if not found.only.is_empty():
        lines += ["", "### Only in one", ""]
        lines += [f"- {_cell(side)}: {_cell(what)} {_cell(name)}" for side, what, name in found.only.iter_rows()]
    return "\n".join(lines) + "\n"


def _said(one: Any) -> tuple[str, str]:
    return (one.said[0] or f"{one.first:g}", one.said[1] or f"{one.second:g}")


def _headings(found: Comparison) -> list[str]:
    return ["measure", *found.names, "difference", "95%", "n", "p", f"{found.names[1]} is"]


def _rows(found: Comparison) -> Iterator[dict[str, Any]]:
    for row in found.overview.iter_rows(named=True):
        yield {name: row.get(name) for name in COLUMNS}


def _cells(row: Mapping[str, Any]) -> list[str]:
    ends = f"{row['low']:+.3f} to {row['high']:+.3f}" if _known(row["low"]) else ""
    p = row["p corrected"]
    shown = "" if not _known(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return [
        row["name"], f"{row['first']:.3f}", f"{row['second']:.3f}", f"{row['value']:+.3f}", ends,
        "" if row["n"] is None else f"{row['n']:,}", shown, row["verdict"],
    ]  # fmt: skip


def _known(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: object) -> str:
    """Text as a cell of Markdown: no line ends, no bars, no marks that begin HTML."""
    return re.sub(r"\s+", " ", str(text)).replace("|", r"\|").replace("<", "&lt;")


def latex(found: Comparison) -> str:
    r"""The differences as a ``tabular`` with the rules of booktabs.

    Examples
    --------
    >>> from outfield.reports.comparison import compare
    >>> table = pl.DataFrame({"item": list("stuvwxyz"), "a": [1, 0, 0, 0, 1, 0, 0, 0], "b_2": [1] * 7 + [0]})
    >>> print(latex(compare(table, model="a", versus="b_2")).splitlines()[3])
    measure & a & b\_2 & difference & 95\% & n & p & b\_2 is \\
    """
    rows = [_headings(found), *(_cells(row) for row in _rows(found))]
    head, *body = (" & ".join(map(_tex, row)) + r" \\" for row in rows)
    notes = ["% " + " ".join(text.split()) for text in (*found.sentences, found.intervals, *found.notes)]
    lines = [r"% \usepackage{booktabs}", r"\begin{tabular}{lrrrlrrl}", r"\toprule", head, r"\midrule", *body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *notes]) + "\n"


TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def _tex(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    if re.fullmatch(r"[-+][\d.]+( to [-+][\d.]+)?", text):
        return f"${text.replace(' to ', '$ to $')}$"
    return "".join(TEX.get(letter, letter) for letter in text)


def records(found: Comparison) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both models' results, each as a record of the schema of Every Eval Ever.

    A score has its standard error where that is known. That of the second model says in ``details`` how it differs
    from the first. What nobody knows of a run (who made it) is said to be unknown.

    Examples
    --------
    >>> from outfield.reports.comparison import compare
    >>> table = pl.DataFrame({"item": list("stuvwxyz"), "a": [1, 0, 0, 0, 1, 0, 0, 0], "b": [1] * 7 + [0]})
    >>> first, second = records(compare(table, model="a", versus="b"))
    >>> second["evaluation_results"][0]["score_details"]["score"]
    0.875
    """
    now = f"{time.time():.0f}"
    first, second = (_record(found, side, now) for side in (0, 1))
    return first, second


def _record(found: Comparison, side: int, now: str) -> dict[str, Any]:
    name, story = found.names[side], found.stories[side]
    single = found.overview
    if "set" in single.columns:
        single = single.filter(~pl.col("set").str.starts_with("mean of "))
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{_slug(found.names[1])}_against_{_slug(found.names[0])}/{_slug(name)}/{now}",
        "retrieved_timestamp": now,
        "source_metadata": {
            "source_name": story.get("file", "outfield"), "source_type": "evaluation_run",
            "source_organization_name": "unknown", "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": story.get("kind", "outfield").partition(",")[0],
            "version": story.get("version", "unknown" if story else version("outfield")),
            "additional_details": {"compared_with": f"outfield {version('outfield')}"},
        },
        "model_info": {"name": name, "id": name},
        "evaluation_results": [_result(row, side, found.names) for row in single.iter_rows(named=True)],
    }  # fmt: skip


def _result(row: Mapping[str, Any], side: int, names: tuple[str, str]) -> dict[str, Any]:
    metric, of_set = row.get("metric") or row["name"], row.get("set") or "unknown"
    bounds = {"score_type": "continuous", "min_score": 0.0, "max_score": 1.0} if SHARES.search(metric) else {}
    error = row.get(("first_error", "second_error")[side])
    uncertainty: dict[str, Any] = {}
    if _known(error):
        uncertainty["standard_error"] = {"value": error, "method": "analytic"}
    if row["n"]:
        uncertainty["num_samples"] = row["n"]
    score: dict[str, Any] = {"score": row[("first", "second")[side]]}
    if uncertainty:
        score["uncertainty"] = uncertainty
    if side:
        score["details"] = {
            "compared_with": names[0], "difference": f"{row['value']:.6g}", "verdict": row["verdict"],
            **{f"difference_{end}": f"{row[end]:.6g}" for end in ("low", "high") if _known(row[end])},
            **{f"difference_{name}": f"{row[name]:.6g}" for name in ("p", "error") if _known(row.get(name))},
        }  # fmt: skip
    return {
        "evaluation_result_id": f"{_slug(of_set)}/{_slug(metric)}",
        "evaluation_name": f"{of_set}: {metric}",
        "source_data": {"dataset_name": of_set, "source_type": "other"},
        "metric_config": {"metric_id": metric, "lower_is_better": row["better"] == "lower", **bounds},
        "score_details": score,
    }


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("_") or "unnamed"
