"""What every detector keeps, own or foreign, found by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load, save
from scipy.stats import spearmanr
from torch import Tensor
from torch.overrides import TorchFunctionMode

from outfield.detectors._wrapper import part, state_with
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.registry import create, find, name_of, names
from outfield.types import Outputs, State
from tests.contracts.worlds import CLASSES, Sharded, world
from tests.plugin_example.src.outfield_example.flow import Flow
from tests.plugin_example.src.outfield_example.standardised import Standardised

DETECTORS = names("detectors")
SMALLER: dict[str, dict[str, Any]] = {"corp": {"m": 96}}
"""Settings that keep the tests quick where the paper's default is large."""
INFORMATION = {"inputs", "outputs", "features", "hybrid", "layers", "gradients"}


def fitted(detector: Detector, data: FitData | None = None) -> State:
    return detector.fit(data or world().fit_data(detector))


def scores(detector: Detector, split: str = "test", state: State | None = None) -> Tensor:
    return detector.score(world().outputs(split, detector), fitted(detector) if state is None else state)


def needed(detector: Detector, out: Outputs, without: str = "") -> Outputs:
    """The outputs with only what the detector declares that it reads."""
    allowed = detector.needs - {without}
    fields = {name: getattr(out, name) for name in ("logits", "features", "inputs", "head") if name in allowed}
    probed = tuple(probe.key for probe in detector.probes() if name_of("probes", probe) in allowed)
    return Outputs(**fields, layers={name: value for name, value in out.layers.items() if name.startswith(probed)})


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-4) -> bool:
    spread = float(theirs.double().std()) + 1e-12
    return bool(torch.allclose(ours.double(), theirs.double(), rtol=1e-5, atol=tolerance * spread))


def joined(detector: Detector, out: Outputs, state: State, size: int) -> Tensor:
    return torch.cat([detector.score(chunk, state) for chunk in out.chunks(size)])


def check_shape(detector: Detector) -> None:
    result = scores(detector)
    assert result.shape == (400,)
    assert result.is_floating_point()
    assert torch.isfinite(result).all()


def check_direction(detector: Detector) -> None:
    state = fitted(detector)
    ours, far = scores(detector, "test", state), scores(detector, "far", state)
    auroc = (far[:, None] > ours).double().mean() + (far[:, None] == ours).double().mean() / 2
    assert auroc > 0.9, f"AUROC {auroc:.3f}"


def check_rows_alone(detector: Detector) -> None:
    state, out = fitted(detector), world().outputs("test", detector)
    together = detector.score(out, state)
    order = torch.randperm(len(out), generator=torch.Generator().manual_seed(0))
    assert close(joined(detector, out, state, 7), together)
    assert close(joined(detector, out[:60], state, 1), together[:60])
    assert close(detector.score(out[order], state), together[order])


def check_reads_what_it_needs(detector: Detector) -> None:
    state, out = fitted(detector), world().outputs("test", detector)
    assert torch.equal(detector.score(needed(detector, out), state), detector.score(out, state))
    for need in detector.needs:
        with pytest.raises(UserError, match="Expected"):
            detector.score(needed(detector, out, without=need), state)


def check_fits_on_what_it_says(detector: Detector) -> None:
    train = world().outputs("train", detector)
    if "val" in detector.fits_on:
        with pytest.raises(UserError, match="validation"):
            detector.fit(FitData.of(train))
    else:
        assert same(detector.fit(FitData.of(train)), fitted(detector, FitData.of(train)))
    assert bool(fitted(detector)) == bool(detector.fits_on)
    assert {fold.split for fold in detector.folds()} <= detector.fits_on


def same(state: State, other: State) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


def check_state_is_saved(detector: Detector) -> None:
    state = fitted(detector)
    loaded = load(save(state)) if state else {}
    assert same(state, loaded)
    assert torch.equal(scores(detector, state=state), scores(detector, state=loaded))


def check_fits_again(detector: Detector) -> None:
    assert same(fitted(detector), fitted(detector))


def check_chunks_and_shards(detector: Detector) -> None:
    whole = scores(detector, state=fitted(detector, world().fit_data(detector, chunk=10_000)))
    small = scores(detector, state=fitted(detector, world().fit_data(detector, chunk=37)))
    data = world().fit_data(detector)
    sharded = scores(detector, state=fitted(detector, Sharded(data.train, data.val)))
    assert close(small, whole, 1e-6)
    assert close(sharded, whole, 1e-6)


def check_parameters(detector: Detector) -> None:
    name = name_of("detectors", detector)
    again = create("detectors", name, **json.loads(json.dumps(detector.params)))
    assert again == detector
    assert hash(again) == hash(detector)
    for variant in (detector, *detector.variants(world().fit_data(detector))):
        assert create("detectors", name, **json.loads(json.dumps(variant.params))) == variant


def check_bounds(detector: Detector) -> None:
    for name, (low, high) in detector.bounds.items():
        for outside in (low - 1, high * 2 + 1, "many"):
            if outside != float("inf"):
                with pytest.raises(UserError, match=f"Expected {name}"):
                    replace(detector, **{name: outside})


def check_grid(detector: Detector) -> None:
    data = world().fit_data(detector)
    variants = detector.variants(data)
    assert len(set(variants)) == len(variants) >= 1
    for variant in variants:
        assert variant.clipped(data) == variant
    ends = dict.fromkeys((variants[0], variants[-1]))
    for variant in ends:
        assert torch.isfinite(scores(variant)).all()


def check_half_precision(detector: Detector) -> None:
    state, out = fitted(detector), world().outputs("test", detector)
    half = out.map(lambda value: value.half() if value.is_floating_point() else value)
    assert spearmanr(detector.score(half, state), detector.score(out, state)).statistic > 0.99


def check_a_thousand_and_one_rows(detector: Detector) -> None:
    out = world().outputs("test", detector)
    many = Outputs.cat([out, out, out])[:1001]
    state = fitted(detector)
    once = detector.score(out, state)
    assert close(detector.score(many, state), torch.cat([once, once, once])[:1001])
    assert len(detector.score(out[:0], state)) == 0


def check_extreme_rows(detector: Detector) -> None:
    """Rows without activation, with huge activations, and with logits far apart or all equal."""
    state, out = fitted(detector), world().outputs("test", detector)[:6]
    factors = torch.tensor([0.0, 1e-20, 1.0, 1e3, 1e4, 0.0])[:, None]
    layers = {name: value * factors for name, value in out.layers.items()}
    inputs = out.inputs * factors[..., None, None]
    changed = {"logits": out.logits * factors.flip(0), "features": out.features * factors, "inputs": inputs}
    extreme = out.with_fields(**changed, layers=layers)
    assert torch.isfinite(detector.score(extreme, state)).all()


def check_rows_that_are_not_finite(detector: Detector) -> None:
    """NaN, or infinity, in what it needs: the score NaN for exactly those rows."""
    state, out = fitted(detector), world().outputs("test", detector)[:9]
    whole = detector.score(out, state)
    for odd in (torch.nan, torch.inf, -torch.inf):
        spoilt = out.map(lambda values, odd=odd: at_row(values, 4, odd))  # type: ignore[misc]
        found = detector.score(spoilt, state)
        assert torch.isnan(found).nonzero().flatten().tolist() == [4]
        assert close(found[torch.arange(9) != 4], whole[torch.arange(9) != 4])


def at_row(values: Tensor, row: int, value: float) -> Tensor:
    """The same values with one number of one row replaced, where they are floats."""
    if values.is_floating_point():
        values = values.clone()
        values[row].view(-1)[0] = value
    return values


def check_fit_refuses_what_is_not_finite(detector: Detector) -> None:
    if not detector.fits_on:
        return
    train, val = (world().outputs(split, detector) for split in ("train", "val"))
    train, val = (out.map(lambda values: at_row(values, 3, torch.nan)) for out in (train, val))
    with pytest.raises(UserError, match=r"Expected finite .* (1 of|row 3)"):
        detector.fit(FitData.of(train, val))


class _Moves(TorchFunctionMode):
    """Counts tensors that are sent to a device."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        told = (*args[1:], *(kwargs or {}).values())
        moves = func in (Tensor.cpu, Tensor.cuda) or any(isinstance(one, (torch.device, str, Tensor)) for one in told)
        self.count += moves and func in (Tensor.cpu, Tensor.cuda, Tensor.to)
        return func(*args, **(kwargs or {}))


def check_score_moves_nothing(detector: Detector) -> None:
    """State, head and values are on one device before a score is asked for."""
    state, out = fitted(detector), world().outputs("test", detector)
    with _Moves() as moves:
        detector.score(out, state)
    assert moves.count == 0


def check_types_of_labels(detector: Detector) -> None:
    """Class numbers of any type give one fit; what is no class number is refused."""
    train, val = (world().outputs(split, detector) for split in ("train", "val"))
    state = detector.fit(FitData.of(train, val))
    for dtype in (torch.uint8, torch.int16, torch.float64, torch.float16):
        other = [out.with_fields(labels=out.labels.to(dtype)) for out in (train, val)]
        assert same(detector.fit(FitData.of(other[0], other[1])), state)
    for odd, text in (
        (torch.nn.functional.one_hot(train.labels), "One-hot"),
        (train.labels + 0.5, "whole"),
        (train.labels[:-1], "lengths"),
    ):
        with pytest.raises(UserError, match=text):
            detector.fit(FitData.of(train.with_fields(labels=odd), val))
    if detector.fits_on:
        with pytest.raises(UserError, match="labels from 0 to"):
            beyond = [out.with_fields(labels=out.labels + 1) for out in (train, val)]
            detector.fit(FitData.of(beyond[0], beyond[1]))


def check_inference_mode(detector: Detector) -> None:
    with torch.inference_mode():
        inside = scores(detector)
    assert torch.equal(inside, scores(detector))
    assert not scores(detector).requires_grad


def check_inputs_untouched(detector: Detector) -> None:
    before = [world().outputs(split, detector) for split in ("train", "val", "test")]
    train, val, test = after = [out.map(torch.clone) for out in before]
    state = detector.fit(FitData.of(train, val))
    kept = {name: value.clone() for name, value in state.items()}
    detector.score(test, state)
    assert all(
        torch.equal(rows(a)[name], rows(b)[name]) for a, b in zip(before, after, strict=True) for name in rows(a)
    )
    assert same(state, kept)


def rows(out: Outputs) -> dict[str, Tensor]:
    return {name: getattr(out, name) for name in ("logits", "features", "labels", "inputs")} | dict(out.layers)


def check_absent_class(detector: Detector) -> None:
    """Fit rows without one class: an error that says so, or finite scores."""
    train, val = (world().outputs(split, detector) for split in ("train", "val"))
    train, val = (out[(out.labels != 2) & (out.logits.argmax(1) != 2)] for out in (train, val))
    try:
        state = detector.fit(FitData.of(train, val))
    except UserError as error:
        problem = str(error)
    else:
        problem = "" if torch.isfinite(scores(detector, state=state)).all() else "scores are not finite"
    assert not problem or "class 2" in problem


def check_declares(detector: Detector) -> None:
    assert detector.information in INFORMATION
    assert detector.needs <= {"logits", "features", "inputs", "head", *names("probes")}
    fields = {"logits", "features", "inputs", "head"}
    assert detector.needs - fields == {name_of("probes", p) for p in detector.probes()}
    assert detector.fits_on <= {"train", "val"}
    assert set(type(detector).grid) | set(detector.bounds) <= set(detector.params)
    assert isinstance(detector.title, str)
    assert "References" in str(type(detector).__doc__)


CHECKS: tuple[Callable[[Detector], None], ...] = (
    check_shape, check_direction, check_rows_alone, check_reads_what_it_needs, check_fits_on_what_it_says,
    check_state_is_saved, check_fits_again, check_chunks_and_shards, check_parameters, check_bounds, check_grid,
    check_half_precision, check_extreme_rows, check_inference_mode, check_a_thousand_and_one_rows,
    check_inputs_untouched, check_absent_class, check_declares, check_rows_that_are_not_finite,
    check_fit_refuses_what_is_not_finite, check_types_of_labels,
    check_score_moves_nothing,
)  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", DETECTORS)
def test_contract(name: str, check: Callable[[Detector], None]) -> None:
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


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("detector", [Flow(epochs=4), _InputFlow(epochs=4)], ids=["features", "inputs"])
def test_contract_of_a_density(detector: Detector, check: Callable[[Detector], None]) -> None:
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
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("detector", WRAPPERS, ids=["outputs", "layers", "twice", "several"])
def test_contract_of_a_wrapper(detector: Detector, check: Callable[[Detector], None]) -> None:
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
    (_WrongShape, check_shape),
    (_NotFinite, check_shape),
    (_Reversed, check_direction),
    (_BatchNormalising, check_rows_alone),
    (_ReadsLabels, check_reads_what_it_needs),
    (_NeedsTooMuch, check_reads_what_it_needs),
    (_FitsOnVal, check_fits_on_what_it_says),
    (_StateOfViews, check_state_is_saved),
    (_Random, check_fits_again),
    (_LastChunk, check_chunks_and_shards),
    (_ForgetsAParameter, check_parameters),
    (_Unbounded, check_bounds),
    (_Unclipped, check_grid),
    (_Coarse, check_half_precision),
    (_Ratio, check_extreme_rows),
    (_Differentiates, check_inference_mode),
    (_FirstThousand, check_a_thousand_and_one_rows),
    (_Overwrites, check_inputs_untouched),
    (_NothingForTheAbsent, check_absent_class),
    (_Undocumented, check_declares),
    (_FitsOnWhatever, check_fit_refuses_what_is_not_finite),
    (_HidesTheSpoilt, check_rows_that_are_not_finite),
    (_FitsOnWhatever, check_types_of_labels),
    (_MovesItsState, check_score_moves_nothing),
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

    monkeypatch.setattr(f"{__name__}.create", lambda kind, name, **params: local[name](**params))
    monkeypatch.setattr(f"{__name__}.name_of", called)


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_detector_passes(check: Callable[[Detector], None]) -> None:
    check(_Sound())


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize(("faulty", "check"), FAULTS, ids=lambda thing: thing.__name__)
def test_a_fault_is_caught(faulty: type[Detector], check: Callable[[Detector], None]) -> None:
    torch.manual_seed(0)
    with pytest.raises((AssertionError, UserError, RuntimeError, pytest.fail.Exception)):
        check(faulty())


def test_every_check_catches_something() -> None:
    assert {check for _, check in FAULTS} == set(CHECKS)
