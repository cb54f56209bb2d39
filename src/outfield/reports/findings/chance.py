"""Models that say nothing of their data: at chance, below it, one class for all; and detectors that tell nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from outfield.reports.findings.base import Finding

CODES = frozenset({"OF016", "OF017", "OF018", "OF019"})
"""With any of these no detector is recommended."""


def chance(rows: pl.DataFrame) -> Iterator[Finding]:
    """OF016, OF017 and OF018: what the ID accuracy of each model of a study's rows says of it.

    ``classes``, ``labels_present``, ``majority_share`` and ``predicted_share`` are rows that a study keeps of each
    model; models without them are passed over.

    Examples
    --------
    >>> said = {"accuracy": (0.1, 0.08, 0.12), "classes": (10, None, None), "labels_present": (10, None, None)}
    >>> rows = [{"model": "net", "metric": name, "value": v, "low": low, "high": high, "set_kind": "id",
    ...          "role": "test", "detector": None} for name, (v, low, high) in said.items()]
    >>> print(*chance(pl.DataFrame(rows, schema_overrides={"value": pl.Float64, "detector": pl.String})))
    OF016 error: 'net' is right in 10.0% [8.0%, 12.0%] of the ID inputs, and guessing among 10 classes in 10.0%. ...
    """
    at = (pl.col("set_kind") == "id", pl.col("role") == "test", pl.col("detector").is_null())
    named = rows.filter(*at, pl.col("value").is_not_null())
    for (model,), own in named.group_by("model", maintain_order=True):
        found = {row["metric"]: row for row in own.iter_rows(named=True)}
        if "accuracy" in found and "classes" in found and found["accuracy"]["low"] is not None:
            yield from _of_model(str(model), found)


def _of_model(model: str, found: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    accuracy, classes = found["accuracy"], int(found["classes"]["value"])
    present = int(found["labels_present"]["value"])
    ends = f"[{accuracy['low']:.1%}, {accuracy['high']:.1%}]"
    said = f"{model!r} is right in {accuracy['value']:.1%} {ends} of the ID inputs"
    if classes < 2 or present < 2:
        return
    if _value(found, "predicted_share") == 1:
        yield Finding("OF017", "error", f"{model!r} predicts one class for every ID input. {said}.")
    elif accuracy["high"] < 1 / present:
        fewer = f" The head has {classes:,} classes, the labels {present:,}." if present < classes else ""
        yield Finding(
            "OF018", "error",
            f"{said}: guessing among the {present:,} classes of the labels would do better ({1 / present:.1%}). The "
            f"labels are probably in another order than the model's classes, or of another data set.{fewer}",
        )  # fmt: skip
    elif accuracy["low"] <= 1 / classes:
        yield Finding(
            "OF016", "error", f"{said}, and guessing among {classes:,} classes in {1 / classes:.1%}. {NOTHING}"
        )
    elif accuracy["low"] <= _value(found, "majority_share") and _balanced(found) <= 1 / present:
        yield Finding(
            "OF016", "error",
            f"{said}, and always naming the most frequent class in {_value(found, 'majority_share'):.1%}. {NOTHING}",
        )  # fmt: skip


NOTHING = "What detectors show of such a model says nothing of a trained one."


def _value(found: Mapping[str, Mapping[str, Any]], metric: str) -> float:
    return float(found[metric]["value"]) if metric in found else 0.0


def _balanced(found: Mapping[str, Mapping[str, Any]]) -> float:
    """The lower end of the balanced accuracy."""
    row = found.get("balanced_accuracy")
    return 1.0 if row is None or row["low"] is None else float(row["low"])


def no_detector(rows: pl.DataFrame) -> Iterator[Finding]:
    """OF019: every AUROC of every detector on every OOD set of a model has an interval that holds .5, or lies below."""
    at = (pl.col("set_kind") == "ood", pl.col("role") == "test", pl.col("metric") == "auroc", pl.col("part").is_null())
    known = rows.filter(*at).drop_nulls(["value", "low"])
    for (model,), own in known.group_by("model", maintain_order=True):
        if (own["low"] <= 0.5).all():
            best = float(own["value"].to_numpy().max())
            yield Finding(
                "OF019", "warning",
                f"On {model!r} no detector tells ID from OOD data: of {own.height} AUROCs, the highest {best:.3f}, "
                "none has an interval above .5.",
            )  # fmt: skip
