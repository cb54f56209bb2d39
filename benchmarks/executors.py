"""What a second worker brings, and what more threads than cores cost, on a study that is all extraction.

Four networks of ResNet-18's size for 32 x 32 inputs with random weights, one cheap detector. Each setting is a run of
its own: an empty cache, workers that start anew. Its time is from the first batch extracted to the last, for the
start of workers does not grow with a study; the whole run stands beside it.

* Workers: two of one thread against one of one thread, of the local executor and of Ray. Target: at least 1.7.
* Crowding: processes x threads of 1x1, 1x2, 2x1 and 2x2, over 2x1. On two cores 2x2 asks for twice what is there.

Run: python benchmarks/executors.py                 about two minutes on two idle cores
     --models 4 --inputs 400                        smaller, for a busy machine
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from _side_by_side import arguments, parsed
from safetensors.torch import save_file

from outfield import registry
from outfield.features.cache import Cache
from outfield.studies.executors.base import Event
from outfield.studies.run import run
from outfield.studies.spec import Spec

SIDE, CLASSES, BATCH = 32, 10, 16
SETTINGS = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Processes and threads of each."""
TARGET = 1.7


@dataclass
class Clock:
    """When the first and the last batch were extracted."""

    first: float | None = None
    last: float = 0.0
    inputs: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if event.stage == "extraction":
            self.last = perf_counter()
            self.first = self.last if self.first is None else self.first
            self.inputs[event.task] = event.done

    @property
    def seconds(self) -> float:
        """Of the extraction alone."""
        return self.last - (self.first or self.last)


@dataclass(frozen=True)
class Took:
    """Seconds of a run: of its extraction, and of all."""

    extraction: float
    whole: float


def world(folder: Path, models: int, inputs: int) -> dict[str, Any]:
    """A study of stored networks on noise, ``inputs`` of it for each network."""
    rng = np.random.default_rng(0)
    each = inputs // 4
    for name in ("train", "val", "test", "ood"):
        np.save(folder / f"{name}.npy", rng.integers(0, 256, (each, SIDE, SIDE, 3), dtype=np.uint8))
        np.save(folder / f"{name}_labels.npy", np.arange(each) % CLASSES)
    for seed in range(models):
        torch.manual_seed(seed)
        save_file(registry.create("networks", "resnet18_cifar", classes=CLASSES).state_dict(), _weights(folder, seed))
    source = {
        name: {"name": "arrays", "path": str(folder / f"{name}.npy"), "labels": str(folder / f"{name}_labels.npy")}
        for name in ("train", "val", "test", "ood")
    }
    network = {"name": "resnet18_cifar", "classes": CLASSES}
    return {
        "name": "executors",
        "id": {name: source[name] for name in ("train", "val", "test")},
        "ood": [{"name": "noise", "category": "far", "source": source["ood"]}],
        "models": [
            {"label": f"network {seed}", "weights": str(_weights(folder, seed)), "network": network}
            for seed in range(models)
        ],
        "detectors": ["msp"],
        "batch": BATCH,
    }


def _weights(folder: Path, seed: int) -> Path:
    return folder / f"network{seed}.safetensors"


def measured(study: dict[str, Any], executor: str, processes: int, threads: int) -> Took:
    """One run with nothing cached."""
    resources = {"executor": executor, "processes": processes, "threads": threads}
    clock, start = Clock(), perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder) / "cache")
        run(Spec.parse(study | {"resources": resources}), f"{folder}/results", cache=cache, notify=clock).check()
    took = Took(clock.seconds, perf_counter() - start)
    print(
        f"  {executor:>5}, {processes} x {threads}: extraction {took.extraction:.1f} s "
        f"({sum(clock.inputs.values()) / took.extraction:.0f} inputs a second), the whole run {took.whole:.1f} s",
        flush=True,
    )
    return took


def main() -> None:
    args = arguments(parsed(__doc__, models=4, inputs=400))
    print(f"{args.models} networks, {args.inputs} inputs each; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        study = world(Path(folder), args.models, args.inputs)
        local = {setting: measured(study, "local", *setting) for setting in SETTINGS}
        ray = {setting: measured(study, "ray", *setting) for setting in ((1, 1), (2, 1)) if find_spec("ray")}
    for name, times in (("local", local), ("ray", ray)):
        if times:
            one, two = times[1, 1], times[2, 1]
            print(
                f"two workers of {name} against one: {one.extraction / two.extraction:.2f} times as fast "
                f"(target {TARGET}); with the start of workers {one.whole / two.whole:.2f}"
            )
    print("processes x threads, time over 2 x 1's:")
    for (processes, threads), took in local.items():
        print(f"  {processes} x {threads}: {took.extraction / local[2, 1].extraction:.2f}")


if __name__ == "__main__":
    main()
