"""Our own detectors keep their contract, and for each of its promises a detector that breaks it is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

import pytest
import torch
from torch import Tensor

from outfield.detectors._wrapper import part, state_with
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.registry import create, find, name_of, own
from outfield.testing import detectors as contract
from outfield.testing._expect import all_of
from outfield.testing.detectors import CHECKS
from outfield.testing.world import CLASSES
from outfield.types import Outputs, State
from tests.plugin_example.src.outfield_example.flow import Flow
from tests.plugin_example.src.outfield_example.standardised import Standardised

Check: TypeAlias = Callable[[Detector], None]
DETECTORS = own("detectors")
SMALLER: dict[str, dict[str, Any]] = {
    "corp": {"m": 96},
    "flowcon": {"epochs": 3},
    "hvae": {"epochs": 10},
    "likelihood": {"epochs": 5},
    "msma": {"epochs": 5, "components": 2},
}
"""Settings that keep the tests quick where the paper's default is large."""

ELSEWHERE = {
    ("blood", "direction"): "one hidden layer cannot grow smooth: see tests/unit/test_blood.py",
    ("hvae", "direction"): "its upper levels stay unused on so simple pictures: see tests/unit/test_hvae.py",
}
"""Promises that this world is too small to show, and where they are held."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", DETECTORS)
def test_contract(name: str, check: Check) -> None:
    if (name, check.__name__) in ELSEWHERE:
        pytest.skip(ELSEWHERE[name, check.__name__])
    check(create("detectors", name, **SMALLER.get(name, {})))


def test_titles_differ() -> None:
    titles = [find("detectors", name).title for name in DETECTORS]
    assert len(set(titles)) == len(titles)


@dataclass(frozen=True)
class _InputFlow(Flow):
    """A flow on what the model was given.

    References
    ----------
    See ``Flow``.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})
    information: ClassVar[str] = "inputs"
    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "rows"})


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("detector", [Flow(epochs=4), _InputFlow(epochs=4)], ids=["features", "inputs"])
def test_contract_of_a_density(detector: Detector, check: Check) -> None:
    check(detector)


@dataclass(frozen=True)
class _Highest(Detector):
    """The highest of several scores, each in deviations above its mean.

    References
    ----------
    None.
    """

    bases: tuple[Detector, ...] = (Standardised("msp"), Standardised("knn"))  # type: ignore[arg-type]  # built

    needs: ClassVar[frozenset[str]] = frozenset()
    information: ClassVar[str] = "hybrid"

    def fit(self, data: FitData) -> State:
        return state_with({}, **{str(i): base.fit(data) for i, base in enumerate(self.bases)})

    def score(self, out: Outputs, state: State) -> Tensor:
        found = [base.score(out, part(str(i), state)) for i, base in enumerate(self.bases)]
        return torch.stack(found).amax(0)


WRAPPERS = (Standardised("gen"), Standardised("gram"), Standardised(Standardised("residual")), _Highest())  # type: ignore[arg-type]


@pytest.mark.usefixtures("foreign", "plugins")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("detector", WRAPPERS, ids=["outputs", "layers", "twice", "several"])
def test_contract_of_a_wrapper(detector: Detector, check: Check) -> None:
    check(detector)


# The contract itself: for each promise, a detector that breaks it is caught.


@dataclass(frozen=True)
class _Sound(Detector):
    """Distance to the mean logits, a detector that keeps every promise but the one that a subclass breaks.

    References
    ----------
    None.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    information: ClassVar[str] = "outputs"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})

    def fit(self, data: FitData) -> State:
        rows = data.bank(("logits",)).logits.double()
        return {"scale": rows.std().reshape(1)}

    def score(self, out: Outputs, state: State) -> Tensor:
        return -torch.logsumexp(out.logits.double() / state["scale"], dim=1)


class _WrongShape(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        return super().score(out, state)[:, None]


class _NotFinite(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        return super().score(out, state).where(out.logits.argmax(1) != 0, torch.nan)


class _Reversed(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        return -super().score(out, state)


class _BatchNormalising(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        result = super().score(out, state)
        return result - result.mean()


class _ReadsLabels(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        return super().score(out, state) + out.labels


class _NeedsTooMuch(_Sound):
    needs: ClassVar[frozenset[str]] = frozenset({"logits", "head"})


class _FitsOnVal(_Sound):
    def fit(self, data: FitData) -> State:
        return {"scale": next(iter(data.val)).logits.std().reshape(1).double()}


class _StateOfViews(_Sound):
    def fit(self, data: FitData) -> State:
        scale = super().fit(data)["scale"]
        return {"scale": scale, "again": scale}


class _Random(_Sound):
    def fit(self, data: FitData) -> State:
        return {"scale": super().fit(data)["scale"] * (1 + torch.rand(1))}


class _LastChunk(_Sound):
    def fit(self, data: FitData) -> State:
        *_, last = data.train
        return {"scale": last.logits.double().std().reshape(1)}


@dataclass(frozen=True)
class _ForgetsAParameter(_Sound):
    steps: Any = (1, 2)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", (*self.steps, 1))


@dataclass(frozen=True)
class _Unbounded(_Sound):
    k: int = 1
    bounds: ClassVar[dict[str, tuple[float, float]]] = {"k": (1, 10)}

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True)
class _Unclipped(_Sound):
    k: int = 1
    grid: ClassVar[dict[str, tuple[Any, ...]]] = {"k": (1, 1000)}

    def clipped(self, data: FitData) -> _Unclipped:
        return replace(self, k=self.k + 1)


class _Coarse(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        return (1e4 * out.logits.sum(1)).sin()


class _Ratio(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        return super().score(out, state) + 1e-9 / out.logits.abs().sum(1)


class _Differentiates(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        logits = out.logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(logits.logsumexp(1).sum(), logits)
        return super().score(out, state) + gradient.sum(1)


class _Overwrites(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        out.logits.sub_(out.logits.mean(1, keepdim=True))
        return super().score(out, state)


class _NothingForTheAbsent(_Sound):
    def fit(self, data: FitData) -> State:
        counts = torch.bincount(data.bank(("labels",)).labels, minlength=CLASSES)
        return {"scale": super().fit(data)["scale"] * (counts / counts).prod()}


class _HidesTheSpoilt(_Sound):
    needs: ClassVar[frozenset[str]] = frozenset({"head"})

    def score(self, out: Outputs, state: State) -> Tensor:
        return super().score(out, state).nan_to_num()


class _FitsOnWhatever(_Sound):
    def fit(self, data: FitData) -> State:
        return {"scale": torch.ones(1, dtype=torch.float64)}


class _MovesItsState(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        return super().score(out, {name: value.to(out.logits.device) for name, value in state.items()})


class _Undocumented(_Sound):
    """No source."""


class _FirstThousand(_Sound):
    def score(self, out: Outputs, state: State) -> Tensor:
        return super().score(out, state)[:1000]


FAULTS = (
    (_WrongShape, contract.shape),
    (_NotFinite, contract.shape),
    (_Reversed, contract.direction),
    (_BatchNormalising, contract.rows_alone),
    (_ReadsLabels, contract.reads_what_it_needs),
    (_NeedsTooMuch, contract.reads_what_it_needs),
    (_FitsOnVal, contract.fits_on_what_it_says),
    (_StateOfViews, contract.state_is_saved),
    (_Random, contract.fits_again),
    (_LastChunk, contract.chunks_and_shards),
    (_ForgetsAParameter, contract.parameters),
    (_Unbounded, contract.bounds),
    (_Unclipped, contract.grid),
    (_Coarse, contract.half_precision),
    (_Ratio, contract.extreme_rows),
    (_Differentiates, contract.inference_mode),
    (_FirstThousand, contract.a_thousand_and_one_rows),
    (_Overwrites, contract.inputs_untouched),
    (_NothingForTheAbsent, contract.absent_class),
    (_Undocumented, contract.declares),
    (_FitsOnWhatever, contract.fit_refuses_what_is_not_finite),
    (_HidesTheSpoilt, contract.rows_that_are_not_finite),
    (_FitsOnWhatever, contract.types_of_labels),
    (_MovesItsState, contract.score_moves_nothing),
)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors of this file, created by the name of their class."""
    local = {
        cls.__name__: cls for cls in (_Sound, Flow, _InputFlow, Standardised, _Highest, *(cls for cls, _ in FAULTS))
    }
    usual = name_of

    def called(kind: str, plugin: Any) -> str:
        return type(plugin).__name__ if kind == "detectors" else usual(kind, plugin)

    monkeypatch.setattr(contract, "create", lambda kind, name, **params: local[name](**params))
    monkeypatch.setattr(contract, "name_of", called)


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_detector_passes(check: Check) -> None:
    check(_Sound())


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize(("faulty", "check"), FAULTS, ids=lambda thing: thing.__name__)
def test_a_fault_is_caught(faulty: type[Detector], check: Check) -> None:
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match=f"breaks {check.__name__!r}"):
        all_of((check,), faulty())


def test_every_check_catches_something() -> None:
    assert {check for _, check in FAULTS} == set(CHECKS)
