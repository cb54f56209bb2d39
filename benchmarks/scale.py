"""Fit and score of all value detectors on many rows that lie in memory-mapped float16 files.

The whole is 1,281,167 x 2,048 features of 1,000 classes (``--rows 1281167 --dim 2048 --classes 1000``, 8 GB of files).
CoRP's map and Relation's bank rest on a seeded subsample of 50,000 rows, KNN and NNGuide on one row in a hundred; at
fewer rows the subsample shrinks with them. Targets: the fit in at most 3 times the time of one covariance product
(float64, as the fit's own) over the same file, and at most 1 GiB of added memory (peak anonymous RSS: mapped pages do
not count).

Run: python benchmarks/scale.py [--rows 40000] [--dim 1024] [--classes 100] [--test 5000] [--folder F]
"""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _side_by_side import Seconds, arguments, parsed, timed
from numpy.typing import NDArray
from torch import Tensor

from outfield import registry
from outfield.detectors.base import Detector
from outfield.features.extract import Values
from outfield.features.fit_data import FitData
from outfield.studies.scoring import score
from outfield.types import Head

CHUNK = 8192
IMAGENET, BANK, NEIGHBOURS = 1_281_167, 50_000, 0.01


def head(dim: int, classes: int) -> Head:
    """Class directions of seed 0: what the features are made of, and the classifier that reads them."""
    rng = torch.Generator().manual_seed(0)
    return Head(torch.randn(classes, dim, generator=rng) / dim**0.5, torch.zeros(classes))


def generate(folder: Path, rows: int, own: Head, seed: int) -> Values:
    """Features ``relu(3 w_y sqrt(D) + noise)`` and their logits, written chunk by chunk."""
    folder.mkdir(parents=True, exist_ok=True)
    classes, dim = own.weight.shape
    shapes = {"features": ((rows, dim), "f2"), "logits": ((rows, classes), "f2"), "labels": ((rows,), "i8")}
    files = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", t, s) for name, (s, t) in shapes.items()}
    rng = torch.Generator().manual_seed(seed)
    for start in range(0, rows, CHUNK):
        part = slice(start, min(start + CHUNK, rows))
        labels = torch.randint(classes, (part.stop - start,), generator=rng)
        labels[: max(0, classes - start)] = torch.arange(start, max(start, classes))[: len(labels)]
        noise = torch.randn(len(labels), dim, generator=rng)
        features = (own.weight[labels] * dim**0.5 + noise).relu().half()
        for name, values in {"features": features, "logits": own(features.float()).half(), "labels": labels}.items():
            files[name][part] = values.numpy()
    return Values({name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in files}, own, CHUNK)


def covariance(features: NDArray[Any], kind: torch.dtype) -> Tensor:
    """One covariance product over the file."""
    dim = features.shape[1]
    total, products = torch.zeros(dim, dtype=kind), torch.zeros(dim, dim, dtype=kind)
    for start in range(0, len(features), CHUNK):
        rows = torch.from_numpy(np.array(features[start : start + CHUNK])).to(kind)
        total += rows.sum(0)
        products.addmm_(rows.T, rows)
    mean = total / len(features)
    return products / len(features) - torch.outer(mean, mean)


@contextmanager
def peak() -> Iterator[list[int]]:
    """The largest anonymous memory of this process, in KiB, at the start and so far: sampled every 5 ms."""
    seen, over = [anonymous(), 0], threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            seen[1] = max(seen[1], anonymous())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def anonymous() -> int:
    """RssAnon of this process in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))


def settled(name: str, rows: int) -> Detector:
    """A detector with banks of ImageNet's proportions."""
    detector: Detector = registry.create("detectors", name)
    bank = max(500, min(BANK, round(BANK * rows / IMAGENET)))
    changes = {"limit": bank, "share": NEIGHBOURS}
    return replace(detector, **{field: value for field, value in changes.items() if field in detector.params})


def main() -> None:
    parser = parsed(__doc__, rows=40_000, dim=1024, classes=100, test=5_000)
    parser.add_argument("--folder", type=Path)
    args = arguments(parser)
    warnings.simplefilter("ignore")
    every = registry.names("detectors")
    names = [name for name in every if not registry.create("detectors", name).probes()]
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder, own = Path(temporary), head(args.dim, args.classes)
        train, val, test = (
            generate(folder / part, rows, own, seed)
            for seed, (part, rows) in enumerate((("train", args.rows), ("val", args.test), ("test", args.test)))
        )
        measure(names, train, val, test)


def measure(names: list[str], train: Values, val: Values, test: Values) -> None:
    features = train.arrays["features"]
    print(f"{len(features):,} x {features.shape[1]:,} features, {len(names)} detectors, {len(test):,} rows to score")
    _, single = timed(lambda: covariance(features, torch.float32))
    _, product = timed(lambda: covariance(features, torch.float64))
    print(f"one covariance product: {product}; in float32 {single}")
    fit, spent, states = FitData(train, val), {}, {}
    detectors = {name: settled(name, len(train)).clipped(fit) for name in names}
    with peak() as memory:
        _, passes = timed(lambda: fit.prepare(fold for one in detectors.values() for fold in one.folds()))
        after_pass = memory[1]
        for name, detector in detectors.items():
            states[name], spent[name] = timed(lambda one=detector: one.fit(fit))  # type: ignore[misc]  # bound here
    whole = sum(spent.values(), passes)
    print(f"fit: {whole}, ratio {whole.over(product)}; target 3")
    print(f"  of that the shared pass {passes}, ratio {passes.over(product)}")
    own = ", ".join(f"{name} {s.cpu:.2f}" for name, s in sorted(spent.items(), key=lambda p: -p[1].cpu)[:10])
    print(f"  then, processor seconds: {own}")
    added = (memory[1] - memory[0]) / 1024
    print(f"added anonymous memory: {added:,.0f} MiB at most ({(after_pass - memory[0]) / 1024:,.0f} in the pass)")
    report_scores(detectors, states, test)


def report_scores(detectors: dict[str, Detector], states: dict[str, dict[str, Tensor]], test: Values) -> None:
    with peak() as memory:
        taken: dict[str, Seconds] = {
            name: timed(lambda name=name, one=one: score(one, states[name], test, "test"))[1]  # type: ignore[misc]
            for name, one in detectors.items()
        }
    print("scores, processor seconds: " + ", ".join(f"{name} {spent.cpu:.2f}" for name, spent in taken.items()))
    print(f"added anonymous memory while scoring: {(memory[1] - memory[0]) / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
