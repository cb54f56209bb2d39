"""Fit and score of all value detectors on many rows that lie in memory-mapped float16 files.

The whole is 1,281,167 x 2,048 features of 1,000 classes (8 GB of files):

    python benchmarks/scale.py --rows 1281167 --dim 2048 --classes 1000 --test 50000 --threads 2 --folder F

CoRP's map and Relation's bank rest on a seeded subsample of 50,000 rows, KNN and NNGuide on one row in a hundred; at
fewer rows the subsample shrinks with them, unless ``--bank`` says how many rows it has. Targets: the fit in at most 3
times the time of one covariance product (float64, as the fit's own, over the same file), and at most 1 GiB of added
memory (peak anonymous RSS: mapped pages do not count). Every detector's state is held until all are fitted.

Run: python benchmarks/scale.py [--rows 40000] [--dim 1024] [--classes 100] [--test 5000] [--threads 1]
     [--device cuda] [--folder F]
With a folder the files are kept there, and used again by the next run of the same size.
"""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from _side_by_side import Seconds, arguments, parsed, timed
from numpy.typing import NDArray
from torch import Tensor

from outfield import registry
from outfield.detectors.base import Detector
from outfield.features.extract import Values
from outfield.features.fit_data import FitData
from outfield.features.memory import give_back
from outfield.studies.scoring import score
from outfield.types import Head, State

R = TypeVar("R")
Fitted: TypeAlias = "tuple[Detector, State]"

CHUNK = 8192
IMAGENET, BANK, NEIGHBOURS = 1_281_167, 50_000, 0.01


def head(dim: int, classes: int) -> Head:
    """Class directions of seed 0: what the features are made of, and the classifier that reads them."""
    rng = torch.Generator().manual_seed(0)
    return Head(torch.randn(classes, dim, generator=rng) / dim**0.5, torch.zeros(classes))


def generate(folder: Path, rows: int, own: Head, seed: int, device: str = "cpu") -> Values:
    """Features ``relu(sqrt(D) w_y + noise)`` and their logits, in files that are written once."""
    classes, dim = own.weight.shape
    folder = folder / f"{rows}x{dim}of{classes}seed{seed}"
    if not (done := folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _, spent = timed(lambda: fill(folder, rows, own, seed))
        print(f"{rows:,} rows written in {spent}")
        done.touch()
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in FILES}
    return Values(arrays, own.to(device), device=device)


FILES = ("features", "logits", "labels")


def fill(folder: Path, rows: int, own: Head, seed: int) -> None:
    """Write the files chunk by chunk."""
    classes, dim = own.weight.shape
    shapes = ((rows, dim), "f2"), ((rows, classes), "f2"), ((rows,), "i8")
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape)
        for name, (shape, kind) in zip(FILES, shapes, strict=True)
    }
    rng = torch.Generator().manual_seed(seed)
    for start in range(0, rows, CHUNK):
        part = slice(start, min(start + CHUNK, rows))
        labels = torch.randint(classes, (part.stop - start,), generator=rng)
        labels[: max(0, classes - start)] = torch.arange(start, max(start, classes))[: len(labels)]
        noise = torch.randn(len(labels), dim, generator=rng)
        features = noise.addcmul_(own.weight[labels], torch.tensor(dim**0.5)).relu_().half()
        for name, values in zip(FILES, (features, own(features.float()).half(), labels), strict=True):
            files[name][part] = values.numpy()


def covariance(features: NDArray[Any], kind: torch.dtype, device: str) -> Tensor:
    """One covariance product over the file."""
    dim = features.shape[1]
    total, products = (torch.zeros(shape, dtype=kind, device=device) for shape in ((dim,), (dim, dim)))
    for start in range(0, len(features), CHUNK):
        rows = torch.from_numpy(np.array(features[start : start + CHUNK])).to(device).to(kind)
        total += rows.sum(0)
        products.addmm_(rows.T, rows)
    mean = total / len(features)
    return products / len(features) - torch.outer(mean, mean)


def finished(work: Callable[[], R]) -> tuple[R, Seconds]:
    """``timed``, until the device has done what it was given."""

    def done() -> R:
        made = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return made

    return timed(done)


@contextmanager
def peak() -> Iterator[list[int]]:
    """The largest anonymous memory of this process, in KiB, at the start and so far: sampled every 10 ms."""
    give_back()
    seen, over = [anonymous(), 0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
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


def settled(name: str, rows: int, bank: int | None) -> Detector:
    """A detector with banks of ImageNet's proportions, or of the size at ImageNet that belongs to a given one."""
    detector: Detector = registry.create("detectors", name)
    bank = bank or max(500, min(BANK, round(BANK * rows / IMAGENET)))
    changes = {"limit": bank, "share": min(1.0, NEIGHBOURS * IMAGENET * bank / BANK / rows)}
    return replace(detector, **{field: value for field, value in changes.items() if field in detector.params})


def main() -> None:
    parser = parsed(__doc__, rows=40_000, dim=1024, classes=100, test=5_000)
    parser.add_argument("--bank", type=int, help="rows of CoRP's map and Relation's bank")
    parser.add_argument("--device", default="cpu", help="cpu by default")
    parser.add_argument("--folder", type=Path)
    args = arguments(parser)
    warnings.simplefilter("ignore")
    every = registry.usual("detectors")
    names = [name for name in every if not registry.create("detectors", name).probes()]
    own = head(args.dim, args.classes)
    with kept(args.folder) as folder:
        train, val, test = (
            generate(folder, rows, own, seed, args.device)
            for seed, rows in enumerate((args.rows, args.test, args.test))
        )
        measure({name: settled(name, args.rows, args.bank) for name in names}, train, val, test)


@contextmanager
def kept(folder: Path | None) -> Iterator[Path]:
    """The folder given, or one that is gone afterwards."""
    if folder:
        yield folder
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


def measure(detectors: dict[str, Detector], train: Values, val: Values, test: Values) -> None:
    features = train.arrays["features"]
    print(
        f"{len(features):,} x {features.shape[1]:,} features, {len(detectors)} detectors, {len(test):,} rows to score"
    )
    _, single = finished(lambda: covariance(features, torch.float32, train.device))
    _, product = finished(lambda: covariance(features, torch.float64, train.device))
    print(f"one covariance product: {product}; in float32 {single}")
    fit, spent = FitData(train, val), {}
    fitted: dict[str, Fitted] = {}
    with peak() as memory:
        _, passes = finished(lambda: fit.prepare(fold for one in detectors.values() for fold in one.folds_on(fit)))
        after_pass = memory[1]
        for name, detector in detectors.items():
            fitted[name], spent[name] = finished(lambda one=detector: learned(one, fit))  # type: ignore[misc]  # bound here
    whole = sum(spent.values(), passes)
    print(f"fit: {whole}, ratio {whole.over(product)}; target 3")
    print(f"  of that the shared pass {passes}, ratio {passes.over(product)}")
    own = ", ".join(f"{name} {s.wall:.2f}" for name, s in sorted(spent.items(), key=lambda p: -p[1].wall))
    print(f"  then, seconds: {own}")
    added = (memory[1] - memory[0]) / 1024
    print(f"added anonymous memory: {added:,.0f} MiB at most ({(after_pass - memory[0]) / 1024:,.0f} in the pass)")
    report_scores(fitted, test)


def learned(detector: Detector, fit: FitData) -> Fitted:
    """The detector with its settings clipped to the data, and what it learned."""
    detector = detector.clipped(fit)
    return detector, detector.fit(fit)


def report_scores(fitted: dict[str, Fitted], test: Values) -> None:
    with peak() as memory:
        taken: dict[str, Seconds] = {
            name: finished(lambda one=one, state=state: score(one, state, test, "test"))[1]  # type: ignore[misc]  # bound
            for name, (one, state) in fitted.items()
        }
    print("scores, seconds: " + ", ".join(f"{name} {spent.wall:.2f}" for name, spent in taken.items()))
    print(f"  together {sum(taken.values(), Seconds())}")
    print(f"added anonymous memory while scoring: {(memory[1] - memory[0]) / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
