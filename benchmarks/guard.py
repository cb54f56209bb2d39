"""What the guard costs, and what it bears: beside the bare model in one process, then as a service on loopback.

    python benchmarks/guard.py [--minutes M] [--rounds N]

The published ResNet-20 on CIFAR-10 where the data are ($OUTFIELD_DATA), else a small network on digits. Times of the
guarded and of the bare model are taken in turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from _guard_models import WEIGHTS, digits, digits_network, resnet20
from guard_demo import Client, pictures, service

from outfield.features.cache import Cache
from outfield.guard.build import build
from outfield.guard.bundle import Bundle
from outfield.guard.guarded import Guarded

WAITING = 64
"""Requests that the service lets wait."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    found: str
    target: str
    kept: bool | None


def setting() -> tuple[str, object, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Its name, the model, items to calibrate on, and labelled items to fit on."""
    if WEIGHTS.is_file():
        x, _ = pictures("cifar10_test")
        y, labels = pictures("cifar10_train500")
        return "ResNet-20 on CIFAR-10", resnet20(), x[:1000], (y[::5], labels[::5])
    fit, (x, _), _ = digits()
    return "a small network on digits", digits_network(), x, fit


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def beside_the_model(bundle: Bundle, model: object, items: np.ndarray, rounds: int) -> list[Row]:
    """Medians in turns, and the guard's stage alone."""
    guard = Guarded(model, bundle, {})
    found = []
    for n in (1, 8, 64):
        part = items[:n]

        def bare(part: np.ndarray = part) -> object:
            with model.evaluating(), torch.inference_mode():
                return model.forward(model.prepare(part)).to("cpu")

        out = bare()
        steps = {"bare": bare, "guarded": lambda part=part: guard(part), "stage": lambda out=out: bundle.score(out)}
        times, cpu = ({name: [] for name in steps} for _ in range(2))
        for _ in range(rounds):
            for name, step in steps.items():
                spent = time.process_time()
                times[name].append(timed(step))
                cpu[name].append(time.process_time() - spent)
        found += _rows(n, times, np.median(cpu["guarded"]) / np.median(cpu["bare"]))
    return found


def _rows(n: int, times: dict[str, list[float]], processor: float) -> list[Row]:
    bare, guarded = np.median(times["bare"]), np.median(times["guarded"])
    limit = 1.05 if bare >= 0.01 else 1.10 if bare >= 0.002 else None
    share = np.quantile(times["stage"], 0.99) / np.quantile(times["bare"], 0.99)
    said = f"{guarded / bare:.3f} ({1e3 * guarded:.2f} / {1e3 * bare:.2f} ms; processor {processor:.2f})"
    return [
        Row(
            f"p50, guarded / bare, {n} inputs",
            said,
            f"{limit or '-'}",
            None if limit is None else guarded / bare <= limit,
        ),
        Row(f"p99, guard's stage / model, {n} inputs", f"{share:.1%}", "10%", bool(share <= 0.1)),
    ]


@dataclass
class Load:
    """Threads that ask for answers until they are stopped.

    Each waits a pause after its answer; or, with ``every``, all together ask so often, whether answers come or not, as
    long as there is a thread that does not wait for one.
    """

    port: int
    body: dict | str
    clients: int = 1
    pause: float = 0.0
    every: float = 0.0
    begun: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._start, self._places = time.perf_counter(), 0
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for one in self._threads:
            one.join()

    def _ask(self) -> None:
        client = Client(self.port)
        while not self._stop.wait(self._due()):
            start = time.perf_counter()
            with self._lock:
                self.begun += 1
            client = Client(self.port) if self.every else client  # the server ends connections that idle for 5 s
            try:
                status = client.status("/score", self.body)
            except (OSError, HTTPException):
                status, client = 0, Client(self.port)
            with self._lock:
                self.statuses[status] = self.statuses.get(status, 0) + 1
                self.seconds.append(time.perf_counter() - start)

    def _due(self) -> float:
        """Seconds until the next request."""
        with self._lock:
            self._places += 1
            at = self._start + self._places * self.every
        return max(at - time.perf_counter(), 0.0) if self.every else self.pause

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if status not in (200, 429))


def reloads(port: int, body: dict) -> Row:
    """Requests during a hundred reloads."""
    client = Client(port)
    with Load(port, body, clients=2) as load:
        for _ in range(100):
            client.post("/reload", {})
    n = sum(load.statuses.values())
    bad = n - load.statuses.get(200, 0)
    return Row("failed requests in 100 reloads", f"{bad} of {n:,}", "0", bad == 0)


def overload(port: int, body: dict, seconds: float) -> list[Row]:
    """Requests at three times the rate that can be answered, and how soon a lone one is answered as before."""
    text = json.dumps({name: values * (128 // len(values)) for name, values in body.items()})
    with Load(port, text, clients=4) as load:
        time.sleep(seconds)
    capacity = load.statuses.get(200, 0) / seconds
    client = Client(port)
    before = float(np.median([timed(lambda: client.status("/score", text)) for _ in range(20)]))
    with Load(port, text, clients=3 * WAITING, every=1 / (3 * capacity)) as load:
        time.sleep(seconds)
        offered, start = load.begun / seconds, time.perf_counter()
    client = Client(port)
    while timed(lambda: client.status("/score", text)) > 2 * before and time.perf_counter() - start < 60:
        pass
    took = time.perf_counter() - start
    told = ", ".join(f"{n:,} x {status}" for status, n in sorted(load.statuses.items()))
    late = f"{offered / capacity:.1f} times {capacity:.0f}/s"
    return [
        Row(f"answers under overload, {late}", told, "200 and 429", load.failed == 0),
        Row("seconds to recover", f"{took:.2f}", "5", took <= 5),
    ]


def long_run(port: int, pid: int, body: dict, minutes: float) -> list[Row]:
    """Memory over a run at 70% of what one client gets."""
    client = Client(port)
    each = float(np.median([timed(lambda: client.post("/score", body)) for _ in range(40)]))
    at, rss = [], []
    with Load(port, body, pause=each * 0.3 / 0.7) as load:
        end = time.perf_counter() + 60 * minutes
        while time.perf_counter() < end:
            time.sleep(1)
            at.append(time.perf_counter() / 3600)
            rss.append(_rss(pid))
    late = len(at) // 3
    slope = np.polyfit(at[late:], rss[late:], 1)[0]
    n = sum(load.statuses.values())
    return [
        Row(f"errors in {minutes:g} minutes", f"{load.failed} of {n:,}", "0", load.failed == 0),
        Row("memory, MiB an hour", f"{slope:+.1f} (at {rss[-1]:.0f} MiB)", "1 in an hour's run", bool(slope <= 1)),
    ]


def _rss(pid: int) -> float:
    """MiB of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="of the long run")
    parser.add_argument("--rounds", type=int, default=150, help="turns of the guarded and the bare model")
    args = parser.parse_args()
    torch.set_num_threads(1)
    name, model, items, fit = setting()
    print(name)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = build(model, fit=fit, calibrate=items, detector="energy", cache=Cache(folder / "cache"))
        saved = bundle.save(folder / "bench.guard")
        told(beside_the_model(bundle, model, items, args.rounds))
        out = Guarded(model, bundle, {})
        with torch.inference_mode():
            outputs = out._said(items[:8])
        body = {"logits": outputs.logits.tolist(), "features": outputs.features.tolist()}
        with service(saved, None, folder / "audit") as (port, pid):
            told([reloads(port, body)])
            told(overload(port, body, 10.0))
            told(long_run(port, pid, body, args.minutes))


def told(rows: list[Row]) -> None:
    for row in rows:
        mark = "" if row.kept is None else "kept" if row.kept else "NOT KEPT"
        print(f"{row.what:44} {row.found:44} target {row.target:20} {mark}", flush=True)


if __name__ == "__main__":
    main()
