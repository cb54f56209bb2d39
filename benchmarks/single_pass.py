"""Extraction, fit and score of all detectors over one plain forward pass of the same inputs through one network.

A network of ResNet-18's size for 32 x 32 inputs with random weights; 5,000 inputs to fit on (a fifth held out) and
three sets of 2,000. Its own predictions are the labels, so that every class is predicted. Processor time stands beside
the clock's, since a machine with other work to do moves the clock.

Run: python benchmarks/single_pass.py            every detector that reads logits and features: at most 1.3
     python benchmarks/single_pass.py --probes   with ODIN, AdaSCALE and Gram as well: at most 6
     python benchmarks/single_pass.py --tuned    all grids on the cached values: at most 2.0
     --fit 1000 --test 400                       smaller, for a busy machine: what does not shrink weighs more
"""

from __future__ import annotations

import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from _resnet18 import ResNet18
from _side_by_side import Seconds, arguments, parsed, timed
from numpy.typing import NDArray
from torch import Tensor, nn

from outfield import registry
from outfield.data.datasets import ArrayDataset
from outfield.detectors.base import Detector
from outfield.features.cache import Cache
from outfield.features.extract import BATCH, Values, extract
from outfield.features.fit_data import FitData
from outfield.models.preprocess import Pictures
from outfield.models.torch import TorchModel
from outfield.studies.scoring import score
from outfield.studies.tuning import tune

CLASSES = 10
PROBED = ("odin", "adascale", "gram")
SCORED = ("test", "ood", "tuning")
"""The three sets that every detector scores; the others are fitted on."""
R = TypeVar("R")


@dataclass
class World:
    """A network and its inputs."""

    fit: int
    test: int
    module: nn.Module = field(init=False)
    sets: dict[str, ArrayDataset] = field(default_factory=dict)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.module = ResNet18(CLASSES).eval()
        held_out = self.fit // 5
        tests = dict.fromkeys(("test", "ood", "tuning"), self.test)
        counts = {"train": self.fit - held_out, "val": held_out} | tests
        items = {name: pictures(n, seed) for seed, (name, n) in enumerate(counts.items())}
        spread(self.module, items["val"])
        self.sets = {name: ArrayDataset(found, logits(self.module, found).argmax(1)) for name, found in items.items()}

    def plain(self, part: slice) -> None:
        """Every second input through the network, nothing kept."""
        for data in self.sets.values():
            logits(self.module, data.items[part])


def pictures(n: int, seed: int) -> NDArray[np.uint8]:
    """Random pictures: 4 x 4 colours enlarged, and a little noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    return np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)


def spread(module: nn.Module, items: NDArray[np.uint8]) -> None:
    """Centre and scale the logits, so that a random network predicts every class."""
    found = logits(module, items)
    with torch.no_grad():
        module.head.weight.div_(found.std(0)[:, None] / 5)
        module.head.bias.copy_((module.head.bias - found.mean(0)) / (found.std(0) / 5))


def logits(module: nn.Module, items: NDArray[np.uint8]) -> Tensor:
    """What a plain loop does."""
    prepare = Pictures()
    with torch.inference_mode():
        return torch.cat([module(prepare(items[start : start + BATCH])) for start in range(0, len(items), BATCH)])


@dataclass
class Pipeline:
    """What outfield does with the same inputs, its steps timed."""

    world: World
    names: Iterable[str]
    tuned: bool
    steps: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    total: Seconds = field(default_factory=Seconds)

    def __call__(self) -> None:
        detectors = [registry.create("detectors", name) for name in self.names]
        data = self.world.sets
        with tempfile.TemporaryDirectory() as folder:
            model = TorchModel(self.world.module, data["val"].read(slice(0, 2)), name="ResNet-18")
            digest = self.step("digest of the model", model.digest)
            values = {name: self.extracted(model, name, digest, detectors, Cache(Path(folder))) for name in data}
            fit = FitData(values["train"], values["val"])
            self.step("folds", lambda: fit.prepare(f for d in detectors for f in d.folds_on(fit)))
            for detector in detectors:
                name = registry.name_of("detectors", detector)
                chosen, state = self.step(f"fit {name}", lambda d=detector: self.fitted(d, fit, values))
                self.step(f"score {name}", lambda d=chosen, s=state: [score(d, s, values[v], v) for v in SCORED])

    def extracted(self, model: TorchModel, name: str, digest: str, detectors: list[Detector], cache: Cache) -> Values:
        """One pass over a set, with the probes that are scored or fitted on it: as a study does."""
        reading = [one for one in detectors if name in SCORED or name in one.fits_on]
        probes = tuple(dict.fromkeys(probe for one in reading for probe in one.probes()))
        data = self.world.sets[name]
        return self.step("extraction", lambda: extract(model, data, cache, probes=probes, digest=digest))

    def fitted(self, detector: Detector, fit: FitData, values: dict[str, Values]) -> tuple[Detector, dict[str, Tensor]]:
        if self.tuned and detector.grid:
            found = tune(detector, fit, values["val"], {"tuning": values["tuning"]})
            return found.detector, found.state
        detector = detector.clipped(fit)
        return detector, detector.fit(fit)

    def step(self, name: str, work: Callable[[], R]) -> R:
        made, spent = timed(work)
        self.steps[name] += spent.cpu
        self.total += spent
        return made


def main() -> None:
    parser = parsed(__doc__, fit=5000, test=2000)
    parser.add_argument("--probes", action="store_true", help="ODIN, AdaSCALE and Gram as well")
    parser.add_argument("--tuned", action="store_true", help="every setting of every grid")
    args = arguments(parser)
    warnings.simplefilter("ignore")
    every = registry.usual("detectors")
    probed = PROBED if args.probes else ()
    names = [name for name in every if name in probed or not registry.create("detectors", name).probes()]
    world = World(args.fit, args.test)
    pipeline = Pipeline(world, names, args.tuned)
    _, before = timed(lambda: world.plain(slice(0, None, 2)))
    pipeline()
    _, after = timed(lambda: world.plain(slice(1, None, 2)))
    plain = before + after
    target = 6.0 if args.probes else 2.0 if args.tuned else 1.3
    print(f"{len(names)} detectors{', tuned' if args.tuned else ''}: fit on {args.fit:,}, three sets of {args.test:,}")
    print(f"one plain forward pass: {plain} (half of it before, {before}; half after, {after})")
    print(f"extraction, fit and score: {pipeline.total}")
    print(f"ratio {pipeline.total.over(plain)}; target {target}")
    longest = sorted(pipeline.steps.items(), key=lambda step: -step[1])[:14]
    print("processor seconds: " + ", ".join(f"{name} {spent:.2f}" for name, spent in longest))


if __name__ == "__main__":
    main()
