"""Ranking metrics of many detectors and OOD sets against scikit-learn's ``roc_auc_score`` alone, both on one thread.

Run: python benchmarks/metrics.py [--detectors 31] [--sets 8] [--samples 50000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from outfield import registry
from outfield.metrics.auroc import Auroc
from outfield.metrics.base import IdScores, RankingMetric

Scores = NDArray[np.float32]


def seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def ours(metrics: list[RankingMetric], known: Scores, unknown: Scores) -> list[float]:
    ranked = (IdScores(row) for row in known)
    rankings = (scores.against(row) for scores, rows in zip(ranked, unknown, strict=True) for row in rows)
    values = [[metric.of(ranking).value for metric in metrics] for ranking in rankings]
    return [row[0] for row in values]


def theirs(known: Scores, unknown: Scores) -> list[float]:
    labels = np.repeat([0, 1], [known.shape[1], unknown.shape[2]])
    pairs = ((row, ood) for row, rows in zip(known, unknown, strict=True) for ood in rows)
    return [float(roc_auc_score(labels, np.concatenate(pair))) for pair in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("detectors", 31), ("sets", 8), ("samples", 50_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    known = rng.normal(size=(args.detectors, args.samples)).astype(np.float32)
    unknown = rng.normal(1, 1, (args.detectors, args.sets, args.samples)).astype(np.float32)
    every = [
        m for name in registry.names("metrics") if isinstance(m := registry.create("metrics", name), RankingMetric)
    ]
    peer = seconds(lambda: theirs(known, unknown))
    for label, metrics in (("AUROC with DeLong interval", [Auroc()]), (f"all {len(every)} ranking metrics", every)):
        own = seconds(lambda metrics=metrics: ours(metrics, known, unknown))  # type: ignore[misc]  # bound at definition
        print(f"{label}: {own:.2f} s; roc_auc_score alone: {peer:.2f} s; ratio {peer / own:.1f}")
    gap = np.abs(np.subtract(ours([Auroc()], known, unknown), theirs(known, unknown))).max()
    print(f"largest difference: {gap:.1e}")


if __name__ == "__main__":
    main()
