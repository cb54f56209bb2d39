"""The figures of docs/domains.md: each site of studies/domains_digits.yaml left out in turn.

python docs/domains.py [FOLDER]      trains what is not there yet, and writes docs/domains.csv
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from outfield import registry
from outfield.reports.results import Results
from outfield.store import query
from outfield.studies.run import run
from outfield.studies.spec import Spec, shipped

SITES = [f"site {number}" for number in range(5)]


def rows(folder: Path) -> Iterator[pl.DataFrame]:
    """Of each study that leaves a site out."""
    spec = Spec.load(shipped("domains_digits"))
    assert spec.task is not None
    for site in SITES:
        content = spec.model_dump(mode="json", exclude_none=True)
        content["name"] = f"domains_digits_{site.replace(' ', '_')}"
        content["task"]["leave_out"] = [site]
        run(Spec.parse(content), folder / content["name"])
        yield query.rows(folder / content["name"])


def main(folder: Path = Path("results/domains_digits")) -> None:
    every = Results.of(pl.concat(rows(folder), how="diagonal_relaxed"))
    found = {name: registry.create("analyses", name).of(every) for name in ("performance_by_domain", CHOICE)}
    for result in found.values():
        print(*result.sentences(), sep="\n")
    by_domain = found["performance_by_domain"].frame().filter("left_out")
    wide = by_domain.pivot("domain", index="strategy", values="value")
    wide = wide.with_columns(mean=pl.mean_horizontal(SITES), worst=pl.min_horizontal(SITES))
    taken = found[CHOICE].frame().group_by("strategy").agg(chosen=pl.col("left_out").mean(), cost=pl.col("cost").mean())
    table = wide.join(taken, on="strategy").sort("chosen", "strategy", descending=[True, False])
    table.select("strategy", *SITES, "mean", "worst", "chosen", "cost").write_csv(
        Path(__file__).with_suffix(".csv"), float_precision=3
    )
    print(table)


CHOICE = "choice_on_id_validation"

if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
