"""What detectors are tested on: pictures of five kinds, a network trained on them, and inputs that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import run
from outfield.features.probes.base import Probe
from outfield.types import Head, Outputs

CLASSES, SIDE = 5, 6


class TinyModel:
    """A convolution, a hidden layer and a head, behind the interface of model adapters."""

    name = "tiny"
    layers = ("conv", "hidden")
    input_std = torch.tensor([[[0.5]]])
    input_mean = torch.tensor([[[0.25]]])

    def __init__(self, width: int = 64) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.hidden = nn.Conv2d(1, 6, 3), nn.Linear(6 * (SIDE - 2) ** 2, width)
            self.linear = nn.Linear(width, CLASSES)
        self.forwards = 0
        self.changes: dict[str, Callable[[Tensor], Tensor]] = {}

    @property
    def parameters(self) -> list[Tensor]:
        return [p for layer in (self.conv, self.hidden, self.linear) for p in layer.parameters()]

    @property
    def head(self) -> Head:
        return Head(self.linear.weight.detach(), self.linear.bias.detach())

    def prepare(self, batch: Any) -> Tensor:
        return torch.as_tensor(batch)

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        self.forwards += 1
        conv = self._changed("conv", self.conv(x).relu())
        hidden = self._changed("hidden", self.hidden(conv.flatten(1)).relu())
        known = {"conv": conv, "hidden": hidden}
        return Outputs(self.linear(hidden), hidden, head=self.head, layers={name: known[name] for name in layers})

    def _changed(self, layer: str, values: Tensor) -> Tensor:
        return self.changes[layer](values) if layer in self.changes else values

    @contextmanager
    def changed(self, layer: str, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        self.changes[layer] = change
        yield
        del self.changes[layer]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        yield

    def texts(self, words: Sequence[str]) -> Tensor:
        """For each word the hidden values of a picture of noise."""
        chances = [torch.Generator().manual_seed(crc32(word.encode())) for word in words]
        pictures = torch.stack([-0.5 * torch.rand(1, SIDE, SIDE, generator=chance) for chance in chances])
        with torch.no_grad():
            found: Tensor = self.hidden(self.conv(pictures).relu().flatten(1)).relu()
            return nn.functional.normalize(found, dim=1)

    def regions(self, x: Tensor) -> Tensor:
        """The hidden values of the picture, and of its left and right half."""
        columns = torch.arange(SIDE, device=x.device) < SIDE // 2
        some = torch.stack([x, x * columns, x * ~columns], dim=1).flatten(0, 1)
        found: Tensor = self.forward(some).features
        return nn.functional.normalize(found, dim=1).view(len(x), 3, -1)

    def digest(self) -> str:
        return "tiny"


def extract(model: TinyModel, x: Tensor, labels: Tensor | None, probes: Sequence[Probe] = ()) -> Outputs:
    """Outputs with the values of probes: one forward pass, then what each probe asks for."""
    x = x.clone().requires_grad_(any(probe.needs_graph or probe.needs_layer_graph for probe in probes))
    with torch.set_grad_enabled(x.requires_grad):
        first = model.forward(x, model.layers)
    asked = (probe(model, x, first) for probe in probes)  # type: ignore[arg-type]  # of a model, what probes ask
    values = {name: value.detach() for found in asked for name, value in found.items()}
    return Outputs(first.logits.detach(), first.features.detach(), labels, model.head, values, inputs=x.detach())


@dataclass(frozen=True)
class Split:
    """Pictures [n, 1, side, side] and the number of each one's class [n]."""

    x: Tensor
    labels: Tensor


class World:
    """Splits of ID pictures, far OOD pictures, and the network trained on the first."""

    @torch.inference_mode(mode=False)
    def __init__(self, seed: int = 0) -> None:
        self.rng = torch.Generator().manual_seed(seed)
        self.templates = (torch.rand(CLASSES, 1, SIDE, SIDE, generator=self.rng) < 0.3).float()
        self.train, self.val, self.test = self._id(800), self._id(300), self._id(400)
        self.far = Split(-0.5 * torch.rand(400, 1, SIDE, SIDE, generator=self.rng), torch.zeros(400).long())
        self._known: dict[tuple[str, tuple[Probe, ...]], Outputs] = {}

    def _id(self, n: int) -> Split:
        labels = torch.randint(CLASSES, (n,), generator=self.rng)
        noise = 0.1 * torch.randn(n, 1, SIDE, SIDE, generator=self.rng)
        return Split(self.templates[labels] + noise, labels)

    @cached_property
    @torch.inference_mode(mode=False)
    def model(self) -> TinyModel:
        torch.manual_seed(0)
        model = TinyModel()
        optimiser = torch.optim.Adam(model.parameters, lr=0.003)
        for _ in range(150):
            optimiser.zero_grad()
            out = model.forward(self.train.x)
            loss = nn.functional.cross_entropy(out.logits, self.train.labels) + 0.003 * out.features.mean()
            loss.backward()
            optimiser.step()
        return model

    @torch.inference_mode(mode=False)
    def outputs(self, split: str, detector: Detector) -> Outputs:
        """Outputs of a split with the values of the detector's probes."""
        asked = (split, detector.probes())
        if asked not in self._known:
            rows: Split = getattr(self, split)
            self._known[asked] = extract(self.model, rows.x, rows.labels, detector.probes())
        return self._known[asked]

    def fit_data(self, detector: Detector, chunk: int = 300) -> FitData:
        return FitData.of(self.outputs("train", detector), self.outputs("val", detector), chunk, self.model.texts)


class Sharded(FitData):
    """Fit data whose folds are computed in three shards that are merged."""

    def _pass(self, wanted: Sequence[Any], split: Any) -> None:
        whole = Outputs.cat(list(self.train if split == "train" else self.val))
        cuts = [0, len(whole) // 5, len(whole) // 2, len(whole)]
        shards = [run(wanted, whole[a:b].chunks(111), first=a) for a, b in pairwise(cuts)]
        for fold, totals in zip(wanted, zip(*shards, strict=True), strict=True):
            total = totals[0]
            for other in totals[1:]:
                total = fold.merge(total, other)
            self._results[fold] = fold.finish(total)


@cache
def world() -> World:
    """The one world that all detectors share."""
    return World()
