from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from outfield.errors import UserError
from outfield.reports.analyses.base import Analysis, Result
from outfield.reports.results import Results
from outfield.tables.priors import prior

FAMILIES = ("cnn", "transformer")


@dataclass(frozen=True)
class ChoiceByArchitecture(Analysis):
    """What OpenOOD's board says of the study's detectors on CNNs and on transformers, beside what they did here [1].

    Gains are points of AUROC, near and far averaged, over MSP on the same network: the mean over networks, the least
    and the most. A detector ties with the best where it is as good on half of the networks; so few allow no test.

    References
    ----------
    [1] Zhang et al. OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection. DMLR 2024.
    """

    title: ClassVar[str] = "The choice of a detector by family of architectures"
    question: ClassVar[str] = "Which of these detectors do published boards favour on CNNs, and which on transformers?"
    needs: ClassVar[frozenset[str]] = frozenset({"auroc", "detector"})

    def of(self, results: Results) -> Result:
        known = [found for name in FAMILIES if (found := prior(name, results.detectors)) is not None]
        if not known:
            raise UserError("Expected detectors that OpenOOD's board knows, but there is none. Add some to the study.")
        rows = pl.DataFrame(list(_rows(results)), infer_schema_length=None)
        return Result(rows, (*(one.sentence for one in known), _here(results)))


def _rows(results: Results) -> Iterator[dict[str, object]]:
    """Each detector: what it did here, what it costs, and what the board says of it on each family."""
    here = results.cells.group_by("detector").agg(pl.col("value").mean())
    auroc = dict(here.select("detector", "value").iter_rows())
    passes = results.rows.drop_nulls(["detector", "passes"]).group_by("detector").agg(pl.col("passes").max())
    cost = dict(passes.iter_rows())
    tables = {name: prior(name, results.detectors) for name in FAMILIES}
    for detector in results.detectors:
        row: dict[str, object] = {
            "detector": detector,
            "mean AUROC here": auroc.get(detector),
            "passes": cost.get(detector),
        }
        for name, found in tables.items():
            some = None if found is None else found.table.filter(pl.col("detector") == detector)
            values = some.row(0, named=True) if some is not None and some.height else {}
            row |= {f"{name}: {key}": values.get(key) for key in ("gain", "least", "most", "networks")}
            row[f"{name}: favoured"] = found is not None and detector in found.favoured
        yield row


def _here(results: Results) -> str:
    best = results.detectors[0]
    cost = results.rows.filter(pl.col("detector") == best)["passes"].drop_nulls()
    count = 0.0 if cost.is_empty() else float(cost.to_numpy().max())
    price = f", for {count:g} pass{'es' * (count != 1)} an input" if count else ""
    return f"Here {best} has the highest mean AUROC{price}; a board is no substitute for data of one's own."
