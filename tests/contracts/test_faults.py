"""For each promise of a contract there is a plug-in that breaks it, and is caught. (Detectors: test_detectors.)"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any, ClassVar

import altair as alt
import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from outfield import registry
from outfield.data.base import Shift, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.member import Member
from outfield.data.shifts.contrast_inversion import ContrastInversion
from outfield.data.shifts.gaussian_noise import GaussianNoise
from outfield.data.sources.diabetes import Diabetes
from outfield.data.synthetic.grey import Grey
from outfield.metrics.auroc import Auroc
from outfield.metrics.base import Metric
from outfield.reports.analyses.base import Analysis, Finding, Result
from outfield.reports.results import Results
from outfield.strategies.baseline import Baseline
from outfield.strategies.frozen_filters import FrozenFilters
from outfield.tasks.base import Wanted
from outfield.tasks.regress import Regress
from outfield.testing import analyses, metrics, networks, shifts, sources, strategies, synthetic, tasks
from outfield.testing._expect import all_of
from outfield.types import Outputs

COUNTED = iter(range(10**9))


# shifts


class _Sound(GaussianNoise):
    """A covariate shift that keeps every promise."""


class _Doubles(_Sound):
    def apply(self, image, severity, rng):
        return super().apply(image, severity, rng).astype(np.float64)


class _Even(_Sound):
    def apply(self, image, severity, rng):
        return super().apply(image, 3, rng)


class _OwnChance(_Sound):
    def apply(self, image, severity, rng):
        return super().apply(image, severity, np.random.default_rng())


class _Counts(ContrastInversion):
    def apply(self, image, severity, rng):
        return super().apply(image, severity, rng) * np.float32(next(COUNTED) % 5 / 5)


class _InPlace(_Sound):
    def apply(self, image, severity, rng):
        image *= 0.5
        return super().apply(image, severity, rng)


class _Square(_Sound):
    def apply(self, image, severity, rng):
        return super().apply(image[: min(image.shape[:2]), : min(image.shape[:2])], severity, rng)


class _OneSeverity(_Sound):
    severities: ClassVar = (1, 1, 2)


class _Every(tuple):
    def __contains__(self, value):
        return True


class _AnySeverity(_Sound):
    severities: ClassVar = _Every((1, 2, 3))


SHIFTS = (
    (Shift, "fields"), (_Doubles, "shape_range_and_labels"), (_Even, "severity"), (_OwnChance, "chance"),
    (_Counts, "batch_and_order"), (_InPlace, "original_untouched"), (_Square, "any_size"),
    (_OneSeverity, "content_keys"), (_AnySeverity, "unknown_severity"),
)  # fmt: skip


# synthetic unit tests


class _Unnamed(Grey):
    pass


class _Wide(Grey):
    def draw(self, side, channels, rng, pictures=()):
        return 2 * super().draw(side, channels, rng, pictures)


class _Anew(Grey):
    def draw(self, side, channels, rng, pictures=()):
        return super().draw(side, channels, np.random.default_rng(), pictures)


SYNTHETIC = ((_Unnamed, "fields"), (_Wide, "shape_range_and_type"), (_Anew, "the_same_again"))


# sources


class _Rows:
    """Rows as any package may hold them."""

    labels: Any = np.arange(6) % 2
    classes: Any = ("a", "b")

    def __init__(self):
        self.items = np.arange(18.0).reshape(6, 3)

    def __len__(self):
        return 6

    def read(self, rows):
        return self.items[rows]

    def digest(self):
        return ArrayDataset(self.items, self.labels, self.classes).digest()


@dataclass(frozen=True)
class _Source(Source):
    """A source that keeps every promise."""

    modality: ClassVar[frozenset[str]] = frozenset({"rows"})
    rows: ClassVar[Any] = _Rows

    def load(self):
        return self.rows()


@dataclass
class _Mutable(Source):
    def load(self):
        return _Rows()


class _Drawn(_Rows):
    def __init__(self):
        self.items = np.random.default_rng().normal(size=(6, 3))


class _FloatLabels(_Rows):
    labels = np.zeros(6)


class _NoTarget(ArrayDataset):
    def __init__(self):
        super().__init__(np.zeros((6, 3)), targets=np.arange(6.0))
        self.targets = np.full(6, np.nan)


class _Centred(_Rows):
    def read(self, rows):
        return self.items[rows] - self.items[rows].mean(axis=0)


class _OneKey(ArrayDataset):
    def __init__(self):
        super().__init__(np.eye(3))

    def digest(self):
        return "rows"


class _Drawing(_Source):
    rows = _Drawn


class _Halves(_Source):
    rows = _FloatLabels


class _Unknown(_Source):
    rows = _NoTarget


class _Centring(_Source):
    rows = _Centred


class _Fixed(_Source):
    rows = _OneKey


SOURCES = (
    (_Mutable, "fields"), (_Drawing, "rows_again"), (_Halves, "labels"), (_Unknown, "targets_and_groups"),
    (_Centring, "batch_and_order"), (_Fixed, "content_key"),
)  # fmt: skip


# networks


class _Linear(nn.Module):
    """A network that keeps every promise."""

    def __init__(self, classes=5, channels=1):
        super().__init__()
        self.body, self.head = nn.Linear(256 * channels, 8), nn.Linear(8, classes)

    def forward(self, x):
        return self.head(self.body(x.flatten(1)).relu())


class _Softmax(_Linear):
    def forward(self, x):
        return super().forward(x).softmax(1)


class _Callable(_Linear):
    def __init__(self, classes=5, channels=1, activation=torch.relu):
        super().__init__(classes, channels)


class _OwnWeights(_Linear):
    def __init__(self, classes=5, channels=1):
        super().__init__(classes, channels)
        self.head.weight.data[0, 0] = random.random()


class _Whitening(_Linear):
    def forward(self, x):
        return super().forward(x - x.mean(0))


class _Idle(_Linear):
    def __init__(self, classes=5, channels=1):
        super().__init__(classes, channels)
        self.idle = nn.Linear(2, 2)


class _Renaming(_Linear):
    published: ClassVar = {"^body": "trunk"}


NETWORKS = (
    (nn.Linear, "name"), (_Softmax, "outputs"), (_Callable, "parameters"), (_OwnWeights, "random_state"),
    (_Whitening, "inputs_alone"), (_Idle, "parameters_learn"), (_Renaming, "published_names"),
)  # fmt: skip


# metrics


class _Auroc(Auroc):
    """A metric that keeps every promise."""


class _Nameless(_Auroc):
    label = ""


class _Beyond(_Auroc):
    def of(self, data):
        return replace(super().of(data), value=2.0)


class _Bare(_Auroc):
    def of(self, data):
        return replace(super().of(data), low=np.nan, high=np.nan)


class _Stiff(_Auroc):
    def of(self, data):
        found = super().of(data)
        return replace(found, low=found.value - 0.1, high=found.value + 0.1)


class _First(_Auroc):
    def __call__(self, id_scores, ood_scores, **weights):
        found = super().__call__(id_scores, ood_scores, **weights)
        return replace(found, value=found.value * (1 - abs(id_scores[0]) / 100))


class _Backwards(_Auroc):
    higher_is_better = False


class _Many(_Auroc):
    def __call__(self, id_scores, ood_scores, **weights):
        if len(id_scores) < 5:
            raise ValueError("too few")
        return super().__call__(id_scores, ood_scores, **weights)


class _Tolerant(_Auroc):
    def __call__(self, id_scores, ood_scores, **weights):
        return super().__call__(np.nan_to_num(id_scores), np.nan_to_num(ood_scores), **weights)


METRICS = (
    (_Nameless, "fields"), (_Beyond, "value"), (_Bare, "interval"), (_Stiff, "more_samples"), (_First, "order_of_rows"),
    (_Backwards, "direction"), (_Many, "fewest_samples"), (_Tolerant, "empty_and_nan"),
)  # fmt: skip


# strategies


@dataclass(frozen=True, kw_only=True)
class _Plain(Baseline):
    """A strategy that keeps every promise."""

    batch_size: int = 12


class _NoFamily(_Plain):
    family = "other"


@dataclass(frozen=True, kw_only=True)
class _Boundless(_Plain):
    weight: float = 0.5


class _StillTraining(_Plain):
    def finish(self, network, data, task):
        return _Training(network)


class _Training(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def eval(self):
        return self.train()

    def forward(self, x):
        return self.network(x)


class _OtherShape(_Plain):
    def architecture(self, make, task):
        return registry.create("networks", "small_cnn", classes=3, width=5)


class _Unseeded(_Plain):
    def loss(self, network, batch, task):
        return task.loss(network, batch) * (1 + np.random.default_rng().random())


class _Global(_Plain):
    def loss(self, network, batch, task):
        return task.loss(network, batch) * (1 + random.random())


class _Spoils(_Plain):
    def data(self, data, task):
        data.x.mul_(0.9)
        return data


class _Detached(_Plain):
    def loss(self, network, batch, task):
        return task.loss(network, batch) if batch.rows is not None else network.head.weight.sum()


class _Thawing(FrozenFilters):
    def finish(self, network, data, task):
        finished = super().finish(network, data, task)
        for weight in finished.parameters():
            weight.requires_grad_(True)
        return finished


class _Whole(_Plain):
    def data(self, data, task):
        if len(data) < 12:
            raise ValueError("too few")
        return data


class _GreyOnly(_Plain):
    def augment(self, x):
        return super().augment(x[:, :1])


STRATEGIES = (
    (_NoFamily, "declares"), (_Boundless, "parameters"), (_StillTraining, "finished_network"),
    (_OtherShape, "architecture"), (_Unseeded, "seed"), (_Global, "random_state_and_threads"),
    (_Spoils, "data_untouched"), (_Detached, "step"), (_Thawing, "frozen_weights"), (_Whole, "few_items"),
    (_GreyOnly, "colour"),
)  # fmt: skip


# tasks

SETS = {"train": Diabetes("fit"), "val": Diabetes("val"), "test": Diabetes("test")}


@dataclass(frozen=True)
class _Regress(Regress):
    """A task that keeps every promise, but that this file imports torch."""


class _Sounds(_Regress):
    items = "sounds"


class _OfScores(_Regress):
    measures = ("auroc",)


class _TwoTests(_Regress):
    def wanted(self, seed):
        yield from super().wanted(seed)
        yield Wanted("again", "test", Diabetes("test"))


class _Random(_Regress):
    def derived(self, members, seed):
        noise = np.random.default_rng().normal(size=(9, 10))
        yield Member("noise", "ood", ArrayDataset(noise), "far")


class _Judging(_Regress):
    judges = "labels"


class _Error(_Regress):
    def merit(self, out: Outputs) -> Tensor:
        return -super().merit(out)


class _Absent(_Regress):
    measures = ("mean_absolute_error", "accuracy")


TASKS = (
    (_Regress, "fields"), (_Sounds, "declares"), (_OfScores, "measures"), (_TwoTests, "sets"), (_Random, "sets_again"),
    (_Judging, "right_answers"), (_Error, "merit"), (_Absent, "trains_and_is_measured"),
)  # fmt: skip


# analyses


@dataclass(frozen=True)
class _Highest(Analysis):
    """An analysis that keeps every promise."""

    title: ClassVar[str] = "The highest"
    question: ClassVar[str] = "Which strategy has the highest AUROC?"
    needs: ClassVar[frozenset[str]] = frozenset({"auroc", "strategy"})

    def table(self, results: Results) -> pl.DataFrame:
        return results.strategies.drop_nulls("auroc").select("strategy", "auroc")

    def of(self, results: Results) -> Result:
        table = self.table(results)
        return Result(table, [f"{table.height} strategies have one."], self.chart(table), self.noted())

    def chart(self, table: pl.DataFrame) -> Any:
        return alt.Chart(alt.Data(values=table.to_dicts())).mark_point().encode(x="auroc:Q", y="strategy:N")

    def noted(self) -> tuple[Finding, ...]:
        return ()


class _NoQuestion(_Highest):
    question = "The highest AUROC"


class _Nested(_Highest):
    def table(self, results):
        return super().table(results).with_columns(pl.col("auroc").reshape((-1, 1)))


class _FirstRow(_Highest):
    def table(self, results):
        return super().table(results).with_columns(first=pl.lit(results.rows["model"][0]))


class _Titled(_Highest):
    def chart(self, table):
        return super().chart(table).properties(title="The highest")


class _Borrowed(_Highest):
    def noted(self):
        return (Finding("OF006", "info", "A set is small."),)


class _Needy(_Highest):
    needs = frozenset({"strategy"})

    def table(self, results):
        return super().table(results).with_columns(best=pl.lit(max(results.metric("auroc", "ood")["value"])))


ANALYSES = (
    (_NoQuestion, "declares"), (_Nested, "result"), (_FirstRow, "same_again"), (_Titled, "picture"),
    (_Borrowed, "findings"), (_Needy, "what_is_missing"),
)  # fmt: skip


def _of_network(cls: type[nn.Module]) -> networks.Built:
    return networks.of(_Linear)[0] if cls is _Linear else replace(networks.of(_Linear)[0], cls=cls)


def _of_metric(cls: type[Metric[Any]]) -> metrics.Case:
    return metrics.Case(cls(), metrics.usual(cls()), 0.0, 1.0)


def _of_task(cls: type[Regress]) -> tasks.Case:
    return tasks.Case(cls(SETS), lambda classes: nn.Linear(10, classes), strategies_plan(), None)


def strategies_plan() -> Any:
    return registry.create("strategies", "adamw", batch_size=32, steps=2)


CONTRACTS: dict[str, tuple[Any, Any, Any, Any]] = {
    "shifts": (shifts, SHIFTS, _Sound, lambda cls: cls()),
    "synthetic": (synthetic, SYNTHETIC, Grey, lambda cls: cls()),
    "sources": (sources, SOURCES, _Source, lambda cls: cls()),
    "networks": (networks, NETWORKS, _Linear, _of_network),
    "metrics": (metrics, METRICS, _Auroc, _of_metric),
    "strategies": (strategies, STRATEGIES, _Plain, lambda cls: strategies.of(cls())),
    "tasks": (tasks, TASKS, None, _of_task),
    "analyses": (analyses, ANALYSES, _Highest, lambda cls: analyses.Case(cls(), analyses.usual())),
}
"""Kind to its contract, its faults, a plug-in without any, and how a class is brought to the checks."""
UNNAMED = {Shift, _Unnamed, nn.Linear}
"""What no entry point declares."""
FAULTS = [(kind, cls, check) for kind, (_, faults, _, _) in CONTRACTS.items() for cls, check in faults]


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-ins of this file, as if a package declared them."""
    ours: dict[str, dict[str, metadata.EntryPoint]] = {}
    for kind, (_, faults, sound, _) in CONTRACTS.items():
        classes = {*(cls for cls, _ in faults), sound} - UNNAMED - {None}
        ours[kind] = {
            cls.__name__: metadata.EntryPoint(cls.__name__, f"{cls.__module__}:{cls.__name__}", f"outfield.{kind}")
            for cls in classes
            if cls.__module__ == __name__
        }
    foreign = registry._foreign
    monkeypatch.setattr(registry, "_foreign", lambda kind: foreign(kind) | ours.get(kind, {}))


@pytest.mark.parametrize(("kind", "cls", "check"), FAULTS, ids=lambda part: getattr(part, "__name__", part))
def test_a_fault_is_caught(kind: str, cls: Any, check: str) -> None:
    contract, _, _, brought = CONTRACTS[kind]
    if cls is Shift:
        cls = type("_Lost", (_Sound,), {})
    with pytest.raises(AssertionError, match=rf"breaks '{check}'[\s\S]*Expected"):
        all_of((getattr(contract, check),), brought(cls))


@pytest.mark.parametrize("kind", CONTRACTS)
def test_every_check_catches_something(kind: str) -> None:
    contract, faults, _, _ = CONTRACTS[kind]
    assert {check for _, check in faults} == {check.__name__ for check in contract.CHECKS}


@pytest.mark.parametrize("kind", [kind for kind, (_, _, sound, _) in CONTRACTS.items() if sound])
def test_a_sound_plug_in_of_another_package_passes(kind: str) -> None:
    contract, _, sound, brought = CONTRACTS[kind]
    all_of(contract.CHECKS, brought(sound))
