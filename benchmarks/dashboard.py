"""Milliseconds that each view of the dashboard takes, on a store of generated rows and scores.

The store has the shape of a study: a file of rows a job, per-sample scores a job in the model's folder; 31 detectors,
eight OOD sets (one of them in 17 parts), models of 60 strategies. Full size: --rows 10000000 --scores 100000000, which
is about 70,000 files of rows and as many of scores. A server runs as the command starts it, in a process of its own;
each view is asked several times with other models, detectors, sets and pages. Target: every view under 500 ms at the
median on two cores. The first answer of a view is told apart: it works out what later ones find made.

Run: python benchmarks/dashboard.py [--rows 400000] [--scores 4000000] [--folder F] [--repeats 7] [--processes 2]
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import polars as pl

from outfield import keys, registry
from outfield.store import schema, write

TARGET = 500.0
STUDY = "generated"
OOD = {
    "near a": "near", "near b": "near", "far a": "far", "far b": "far", "far c": "far", "extreme a": "extreme",
    "extreme b": "extreme", "unit tests": "synthetic",
}  # fmt: skip
FAMILIES = ("baseline", "adversarial", "augmentation", "self-supervised", "recipe", "freezing")
RANKING = ("auroc", "aupr_in", "aupr_out", "fpr_at_95_id", "fpr_at_95_ood", "autc")
DIAGNOSTIC = ("auroc_correct_vs_ood", "auroc_incorrect_vs_ood", "auroc_correct_vs_incorrect")
OF_MODEL = (
    "accuracy",
    "ece",
    "nll",
    "brier",
    "balanced_accuracy",
    "total_variance",
    "participation_ratio",
    "norm_mean",
)
SHIFTS = ("gaussian_noise", "blur", "rotation", "contrast_inversion")
STRATEGIES, PARTS = 60, 17


@dataclass(frozen=True)
class Size:
    """How much is made: models, and samples that each detector of a model scores."""

    models: int
    samples: int

    @classmethod
    def of(cls, rows: int, scores: int) -> Size:
        detectors = len(registry.names("detectors"))
        models = max(STRATEGIES, round(rows / (_of_detector("x").height * detectors + _of_model().height)))
        return cls(models, max(100, round(scores / models / detectors)))


def _of_detector(name: str) -> pl.DataFrame:
    """The rows of one detector's job, without values."""
    sets = [(ood, None) for ood in OOD] + [("unit tests", f"part {part}") for part in range(PARTS)]
    rows = [{"ood": ood, "part": part, "metric": metric} for ood, part in sets for metric in RANKING]
    rows += [{"ood": ood, "part": None, "metric": metric} for ood in OOD for metric in DIAGNOSTIC]
    table = pl.DataFrame(rows, schema={"ood": pl.String, "part": pl.String, "metric": pl.String})
    category = pl.col("ood").replace_strict(OOD, return_dtype=pl.String)
    same = {"set_kind": pl.lit("ood"), "detector": pl.lit(name), "n_ood": pl.lit(300)}
    return table.with_columns(ood_category=category, **same)


def _of_model() -> pl.DataFrame:
    """The rows of a model's own job, without values."""
    shifted = [(shift, severity) for shift in SHIFTS for severity in range(1, 6)]
    rows: list[dict[str, Any]] = [{"metric": metric, "set_kind": "id"} for metric in OF_MODEL]
    rows += [
        {"metric": metric, "set_kind": "shift", "ood": f"{shift} {severity}", "shift": shift, "severity": severity}
        for shift, severity in shifted
        for metric in ("accuracy", "ece")
    ]
    types = {"ood": pl.String, "metric": pl.String, "set_kind": pl.String, "shift": pl.String, "severity": pl.Int64}
    return pl.DataFrame(rows, schema=types)


def model_files(number: int, folder: Path, size: Size) -> list[str]:
    """Write the files of one model; the keys of its jobs."""
    rng = np.random.default_rng(number)
    strategy = number % STRATEGIES
    title = f"strategy {strategy:02}"
    named = {
        "study": STUDY, "model": f"{title}-{number // STRATEGIES}", "strategy": title,
        "family": FAMILIES[strategy % len(FAMILIES)], "seed": number // STRATEGIES, "role": "test", "id": "known",
        "n_id": 1000, "outfield": "0", "torch": "0", "model_digest": keys.key(model=number), "data_digest": "0" * 20,
        "tuned": False, "passes": 1.0, "params": "{}",
    }  # fmt: skip
    named["run"] = named["model"]
    skill, jobs = rng.uniform(0.6, 0.95), []
    for detector in (None, *registry.names("detectors")):
        key = keys.key(model=number, detector=detector)
        table = _of_model() if detector is None else _of_detector(detector)
        write.parquet(_rows(table, named, rng, skill), folder / write.ROWS / f"{key}.parquet", write.ROWS)
        jobs.append(key)
        if detector is not None:
            write.parquet(_scores(size, rng), write.scores_path(folder, str(named["model"]), key), write.SCORES)
    return jobs


def _rows(table: pl.DataFrame, named: dict[str, Any], rng: np.random.Generator, skill: float) -> pl.DataFrame:
    value = np.clip(skill + 0.08 * rng.standard_normal(table.height), 0.01, 0.999)
    numbers = {"value": value, "low": value - 0.01, "high": value + 0.001}
    filled = table.with_columns(**{name: pl.lit(one) for name, one in named.items()}, seconds=pl.lit(rng.random()))
    filled = filled.with_columns(pl.Series(name, column) for name, column in numbers.items())
    absent = [pl.lit(None, kind).alias(name) for name, kind in schema.COLUMNS.items() if name not in filled.columns]
    return filled.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in schema.COLUMNS.items())


def _scores(size: Size, rng: np.random.Generator) -> pl.DataFrame:
    """An ID test set of a fifth of the samples, the rest shared among the OOD sets."""
    known = size.samples // 5
    each = (size.samples - known) // len(OOD)
    sets = np.repeat(["test", *OOD], [known] + [each] * len(OOD))
    rows = np.concatenate([np.arange(known), *[np.arange(each)] * len(OOD)])
    score = rng.standard_normal(len(rows)) + (sets != "test")
    return schema.scores(pl.DataFrame({"set": sets, "row": rows, "score": score}))


def generate(folder: Path, size: Size, processes: int) -> None:
    """Write the store: rows, scores, and the list of its jobs."""
    (folder / write.ROWS).mkdir(parents=True)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        work = partial(model_files, folder=folder, size=size)
        jobs = [key for made in pool.map(work, range(size.models), chunksize=8) for key in made]
    manifest = {"study": {"name": STUDY, "title": "A generated study"}, "jobs": sorted(jobs)}
    (folder / write.MANIFEST).write_text(json.dumps(manifest))


@contextmanager
def served(folder: Path, cache: Path) -> Iterator[tuple[str, int]]:
    """The dashboard as the command starts it, with a cache of its own: its address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "outfield", "serve", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, env=os.environ | {"OUTFIELD_CACHE": str(cache)}, stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def ask(address: str) -> tuple[int, bytes, float]:
    """Status, content and milliseconds of one answer."""
    start = time.perf_counter()
    try:
        with urlopen(address) as answer:
            status, content = answer.status, answer.read()
    except HTTPError as error:
        status, content = error.code, error.read()
    return status, content, 1000 * (time.perf_counter() - start)


def ready(base: str) -> tuple[float, dict[str, Any]]:
    """Seconds until the rows are gathered, and the study's own answer."""
    start, status, content = time.perf_counter(), 503, b""
    while status == 503:
        with suppress(OSError):
            status, content, _ = ask(f"{base}/api/studies/{STUDY}/rows?size=1")
        time.sleep(0.2)
    gathered = time.perf_counter() - start
    status, content, _ = ask(f"{base}/api/studies/{STUDY}")
    if status != 200:
        raise SystemExit(content.decode())
    return gathered, json.loads(content)


def views(study: dict[str, Any], rng: np.random.Generator) -> Iterator[tuple[str, list[str]]]:
    """Every view with some addresses that ask for it."""
    models, detectors, sets = ([one[name] for one in study[kind]] for kind, name in
                               (("models", "model"), ("detectors", "name"), ("sets", "name")))  # fmt: skip
    oods = [name for name in sets if name in OOD]
    path = f"/api/studies/{STUDY}"

    def some(**choices: list[Any]) -> list[str]:
        chosen = [{name: rng.choice(among) for name, among in choices.items()} for _ in range(32)]
        return [urlencode(each) for each in chosen]

    yield "studies", ["/api/studies"]
    yield "study", [path]
    yield "findings", [f"{path}/findings"]
    yield "progress", [f"{path}/progress"]
    for section in study["sections"]:
        for display in section["displays"]:
            yield f"display {display['id']}", [f"{path}/displays/{display['id']}"]
            chosen = some(detector=detectors) + some(set=oods) + some(model=models)
            yield f"display {display['id']}, selected", [f"{path}/displays/{display['id']}?{one}" for one in chosen]
    pages = list(range(1, 200))
    yield "rows", [f"{path}/rows?{one}" for one in some(page=pages)]
    yield "rows of a model", [f"{path}/rows?{one}" for one in some(model=models, page=[1, 2, 3])]
    yield (
        "rows, filtered and sorted",
        [f"{path}/rows?sort=value&{one}" for one in some(detector=detectors, metric=list(RANKING), page=pages)],
    )
    yield "rows, all sorted", [f"{path}/rows?sort=value&{one}" for one in some(page=pages, descending=[True, False])]
    yield "samples by disagreement", [f"{path}/samples?{one}" for one in some(model=models, page=[1, 2, 3])]
    yield (
        "samples by score",
        [f"{path}/samples?sort=score&{one}" for one in some(model=models, detector=detectors, set=oods)],
    )
    yield "sample", [f"{path}/sample?{one}" for one in some(model=models, set=["test"], row=list(range(15)))]


def measure(base: str, study: dict[str, Any], repeats: int) -> bool:
    """Ask and print; whether every view is within the target."""
    rng, good = np.random.default_rng(0), True
    print(f"\n{'view':55} {'first':>9} {'median':>9} {'worst':>9}  ms; target: median under {TARGET:.0f}")
    for name, addresses in views(study, rng):
        chosen = [addresses[0], *rng.permutation(addresses[1:] or addresses)]
        asked = [ask(base + chosen[turn % len(chosen)]) for turn in range(repeats + 1)]
        if wrong := [content for status, content, _ in asked if status != 200]:
            raise SystemExit(f"{name}: {wrong[0].decode()}")
        first, *others = (took for _, _, took in asked)
        median = statistics.median(others)
        good &= median < TARGET
        print(
            f"{name:55} {first:9.0f} {median:9.0f} {max(others):9.0f}{'' if median < TARGET else '  over'}", flush=True
        )
    return good


def memory(process: int) -> str:
    """The largest resident memory of the server."""
    status = Path(f"/proc/{process}/status")
    peak = next((line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")), "0")
    return f"{int(peak) / 2**20:.1f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--scores", type=int, default=4_000_000)
    parser.add_argument("--folder", type=Path, help="Where the store is; made there when absent, and then kept.")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--processes", type=int, default=2, help="That make the store.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary) / "studies") / STUDY
        size = Size.of(args.rows, args.scores)
        if not (folder / write.MANIFEST).exists():
            start = time.perf_counter()
            generate(folder, size, args.processes)
            print(f"store made in {time.perf_counter() - start:.0f} s")
        with served(folder.parent, Path(temporary) / secrets.token_hex(4)) as (base, process):
            gathered, study = ready(base)
            facts = ", ".join(f"{count} {name}" for name, count in study["facts"])
            print(f"{facts}; {size.samples:,} scores a job; rows gathered in {gathered:.0f} s")
            good = measure(base, study, args.repeats)
            print(f"\nlargest memory of the server: {memory(process)}; {'within' if good else 'NOT within'} the target")


if __name__ == "__main__":
    main()
