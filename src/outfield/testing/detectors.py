"""What every detector keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import load, save
from scipy.stats import spearmanr
from torch import Tensor
from torch.overrides import TorchFunctionMode

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.registry import create, name_of, names
from outfield.testing._expect import all_of, carries_tags, expect, refused
from outfield.testing.world import Sharded, world
from outfield.types import Outputs, State

INFORMATION = {"inputs", "outputs", "features", "hybrid", "layers", "gradients"}
FIELDS = {"logits", "features", "inputs", "head"}


def check_detector(detector: Detector) -> None:
    """The contract of a detector, on a small trained network whose ID and far inputs are known.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.detectors.energy import Energy
    >>> check_detector(Energy())
    """
    all_of(CHECKS, detector)


def _known(train: Outputs, val: Outputs | None = None) -> FitData:
    return FitData.of(train, val, encoder=world().model.texts)


def fitted(detector: Detector, data: FitData | None = None) -> State:
    """What it learned, by default from the world's training outputs."""
    return detector.fit(data or world().fit_data(detector))


def scores(detector: Detector, split: str = "test", state: State | None = None) -> Tensor:
    """Its scores of a split of the world."""
    return detector.score(world().outputs(split, detector), fitted(detector) if state is None else state)


def shape(detector: Detector) -> None:
    """One finite score for each row."""
    result = scores(detector)
    expect(result.shape == (400,), "one score for each of 400 rows, shape [400]", list(result.shape))
    expect(result.is_floating_point(), "scores as floats", result.dtype)
    expect(torch.isfinite(result).all(), "finite scores", f"{int((~torch.isfinite(result)).sum())} that are not")


def direction(detector: Detector) -> None:
    """A higher score is further out."""
    state = fitted(detector)
    ours, far = scores(detector, "test", state), scores(detector, "far", state)
    auroc = (far[:, None] > ours).double().mean() + (far[:, None] == ours).double().mean() / 2
    expect(auroc > 0.9, "higher scores for inputs that are far out, AUROC above .9", f"{auroc:.3f}")


def rows_alone(detector: Detector) -> None:
    """A row's score is the same alone, in any batch and in any order."""
    state, out = fitted(detector), world().outputs("test", detector)
    together = detector.score(out, state)
    order = torch.randperm(len(out), generator=torch.Generator().manual_seed(0))
    _close(_in_batches(detector, out, state, 7), together, "the same scores in batches of 7")
    _close(_in_batches(detector, out[:60], state, 1), together[:60], "the same scores one by one")
    _close(detector.score(out[order], state), together[order], "the same scores in another order")


def reads_what_it_needs(detector: Detector) -> None:
    """It reads what ``needs`` names, all of it, and nothing else."""
    state, out = fitted(detector), world().outputs("test", detector)
    alone = detector.score(_needed(detector, out), state)
    expect(torch.equal(alone, detector.score(out, state)), f"the same scores from {set(detector.needs)} alone")
    for need in detector.needs:
        with refused(f"outputs without {need}, which it needs", "Expected"):
            detector.score(_needed(detector, out, without=need), state)


def fits_on_what_it_says(detector: Detector) -> None:
    """It is fitted on the splits that ``fits_on`` names, and learns something there."""
    train = world().outputs("train", detector)
    if "val" in detector.fits_on:
        with refused("fit data without validation rows", "validation"):
            detector.fit(_known(train))
    else:
        _same(detector.fit(_known(train)), fitted(detector, _known(train)), "one fit on the training rows")
    learned = fitted(detector)
    expect(bool(learned) == bool(detector.fits_on), f"a state where fits_on is {set(detector.fits_on)}", list(learned))
    asked = {fold.split for fold in detector.folds()}
    expect(asked <= detector.fits_on, f"folds over {set(detector.fits_on)}", asked)


def state_is_saved(detector: Detector) -> None:
    """Its state comes back from safetensors, and so do its scores."""
    state = fitted(detector)
    loaded = load(save(state)) if state else {}
    _same(state, loaded, "the state back from safetensors")
    expect(torch.equal(scores(detector, state=state), scores(detector, state=loaded)), "the same scores from it")


def fits_again(detector: Detector) -> None:
    """Two fits on the same rows are equal."""
    _same(fitted(detector), fitted(detector), "equal states of two fits")


def chunks_and_shards(detector: Detector) -> None:
    """What it learns does not depend on how the rows were cut."""
    whole = scores(detector, state=fitted(detector, world().fit_data(detector, chunk=10_000)))
    small = scores(detector, state=fitted(detector, world().fit_data(detector, chunk=37)))
    data = world().fit_data(detector)
    sharded = scores(detector, state=fitted(detector, Sharded(data.train, data.val, world().model.texts)))
    _close(small, whole, "the same scores after a fit in chunks of 37 rows", 1e-6)
    _close(sharded, whole, "the same scores after a fit in three shards", 1e-6)


def parameters(detector: Detector) -> None:
    """Its parameters come back from JSON, by its name; so do those of its variants."""
    name = name_of("detectors", detector)
    again = create("detectors", name, **json.loads(json.dumps(detector.params)))
    expect(again == detector, f"{detector!r} back from JSON", again)
    expect(hash(again) == hash(detector), "equal hashes of equal detectors")
    for variant in (detector, *detector.variants(world().fit_data(detector))):
        again = create("detectors", name, **json.loads(json.dumps(variant.params)))
        expect(again == variant, f"{variant!r} back from JSON", again)


def bounds(detector: Detector) -> None:
    """A parameter outside ``bounds`` is refused."""
    for name, (low, high) in detector.bounds.items():
        for outside in (low - 1, high * 2 + 1, "many"):
            if outside != float("inf"):
                with refused(f"{name}={outside!r}", f"Expected {name}"):
                    replace(detector, **{name: outside})


def grid(detector: Detector) -> None:
    """The variants of ``grid`` differ, are clipped to what exists, and score."""
    data = world().fit_data(detector)
    variants = detector.variants(data)
    expect(len(set(variants)) == len(variants) >= 1, "variants that differ", variants)
    for variant in variants:
        expect(variant.clipped(data) == variant, f"{variant!r} clipped already", variant.clipped(data))
    for variant in dict.fromkeys((variants[0], variants[-1])):
        expect(torch.isfinite(scores(variant)).all(), f"finite scores of {variant!r}", "others")


def half_precision(detector: Detector) -> None:
    """Outputs in half precision are ranked alike."""
    state, out = fitted(detector), world().outputs("test", detector)
    half = out.map(lambda value: value.half() if value.is_floating_point() else value)
    rho = spearmanr(detector.score(half, state), detector.score(out, state)).statistic
    expect(rho > 0.99, "the ranks of float32 from float16, Spearman's rho above .99", f"{rho:.3f}")


def a_thousand_and_one_rows(detector: Detector) -> None:
    """Any number of rows, also none."""
    out = world().outputs("test", detector)
    many = Outputs.cat([out, out, out])[:1001]
    state = fitted(detector)
    once = detector.score(out, state)
    _close(detector.score(many, state), torch.cat([once, once, once])[:1001], "a score for each of 1,001 rows")
    none = detector.score(out[:0], state)
    expect(len(none) == 0, "no scores of no rows", list(none.shape))


def extreme_rows(detector: Detector) -> None:
    """Rows without activation, with huge activations, and with logits far apart or all equal have finite scores."""
    state, out = fitted(detector), world().outputs("test", detector)[:6]
    factors = torch.tensor([0.0, 1e-20, 1.0, 1e3, 1e4, 0.0])[:, None]
    layers = {name: value * factors.view(-1, *[1] * (value.ndim - 1)) for name, value in out.layers.items()}
    inputs = out.inputs * factors[..., None, None]
    changed = {"logits": out.logits * factors.flip(0), "features": out.features * factors, "inputs": inputs}
    found = detector.score(out.with_fields(**changed, layers=layers), state)
    expect(torch.isfinite(found).all(), "finite scores of extreme rows", found.tolist())


def rows_that_are_not_finite(detector: Detector) -> None:
    """NaN, or infinity, in what it needs: the score NaN for exactly those rows."""
    state, out = fitted(detector), world().outputs("test", detector)[:9]
    whole = detector.score(out, state)
    others = torch.arange(9) != 4
    for odd in (torch.nan, torch.inf, -torch.inf):
        found = detector.score(_spoilt(out, 4, odd), state)
        spoilt = torch.isnan(found).nonzero().flatten().tolist()
        expect(spoilt == [4], f"NaN for row 4 alone, which holds {odd}", f"NaN for rows {spoilt}")
        _close(found[others], whole[others], "the other rows as before")


def fit_refuses_what_is_not_finite(detector: Detector) -> None:
    """A fit on rows with NaN is refused."""
    if not detector.fits_on:
        return
    train, val = (_spoilt(world().outputs(split, detector), 3, torch.nan) for split in ("train", "val"))
    with refused("fit data with NaN in row 3", r"Expected finite .* (1 of|row 3)"):
        detector.fit(_known(train, val))


def score_moves_nothing(detector: Detector) -> None:
    """State, head and values are on one device before a score is asked for; it moves none of them."""
    state, out = fitted(detector), world().outputs("test", detector)
    with _Moves() as moves:
        detector.score(out, state)
    expect(moves.count == 0, "no tensor sent to a device", f"{moves.count}")


def types_of_labels(detector: Detector) -> None:
    """Class numbers of any type give one fit; what is no class number is refused."""
    train, val = (world().outputs(split, detector) for split in ("train", "val"))
    state = detector.fit(_known(train, val))
    for dtype in (torch.uint8, torch.int16, torch.float64, torch.float16):
        other = [out.with_fields(labels=out.labels.to(dtype)) for out in (train, val)]
        _same(detector.fit(_known(other[0], other[1])), state, f"the same state from labels as {dtype}")
    for odd, text in (
        (torch.nn.functional.one_hot(train.labels), "One-hot"),
        (train.labels + 0.5, "whole"),
        (train.labels[:-1], "lengths"),
    ):
        with refused(f"labels {list(odd.shape)} of {odd.dtype} that are no class numbers", text):
            detector.fit(_known(train.with_fields(labels=odd), val))
    if detector.fits_on:
        with refused("labels beyond the classes", "labels from 0 to"):
            beyond = [out.with_fields(labels=out.labels + 1) for out in (train, val)]
            detector.fit(_known(beyond[0], beyond[1]))


def inference_mode(detector: Detector) -> None:
    """The same scores in inference mode, and none that keeps a graph."""
    with torch.inference_mode():
        inside = scores(detector)
    expect(torch.equal(inside, scores(detector)), "the same scores in inference mode")
    expect(not scores(detector).requires_grad, "scores without a graph", "scores that require gradients")


def inputs_untouched(detector: Detector) -> None:
    """Outputs and state are as before when it has been fitted and has scored."""
    before = [world().outputs(split, detector) for split in ("train", "val", "test")]
    train, val, test = after = [out.map(torch.clone) for out in before]
    state = detector.fit(_known(train, val))
    kept = {name: value.clone() for name, value in state.items()}
    detector.score(test, state)
    for old, new in zip(before, after, strict=True):
        changed = [name for name in _rows(old) if not torch.equal(_rows(old)[name], _rows(new)[name])]
        expect(not changed, "outputs left as they were", f"others in {changed}")
    _same(state, kept, "the state left as it was")


def absent_class(detector: Detector) -> None:
    """Fit rows without one class: an error that says so, or finite scores."""
    train, val = (world().outputs(split, detector) for split in ("train", "val"))
    train, val = (out[(out.labels != 2) & (out.logits.argmax(1) != 2)] for out in (train, val))
    try:
        state = detector.fit(_known(train, val))
    except UserError as error:
        problem = str(error)
    else:
        problem = "" if torch.isfinite(scores(detector, state=state)).all() else "scores that are not finite"
    expect(
        not problem or "class 2" in problem, "finite scores without rows of class 2, or an error that says so", problem
    )


def declares(detector: Detector) -> None:
    """What it declares is known: information, needs, splits, parameters, and where it comes from."""
    expect(detector.information in INFORMATION, f"information of {sorted(INFORMATION)}", detector.information)
    carries_tags("detectors", type(detector))
    known = FIELDS | set(names("probes"))
    expect(detector.needs <= known, f"needs of {sorted(known)}", sorted(detector.needs))
    probes = {name_of("probes", probe) for probe in detector.probes()}
    expect(detector.needs - FIELDS == probes, f"the probes that needs names, {detector.needs - FIELDS}", probes)
    expect(detector.fits_on <= {"train", "val"}, "fits_on of train and val", set(detector.fits_on))
    unknown = (set(type(detector).grid) | set(detector.bounds)) - set(detector.params)
    expect(not unknown, "grid and bounds of its parameters", sorted(unknown))
    expect(isinstance(detector.title, str), "a title", detector.title)
    expect("References" in str(type(detector).__doc__), "a docstring with References", "none")


CHECKS: tuple[Callable[[Detector], None], ...] = (
    shape, direction, rows_alone, reads_what_it_needs, fits_on_what_it_says, state_is_saved, fits_again,
    chunks_and_shards, parameters, bounds, grid, half_precision, extreme_rows, inference_mode, a_thousand_and_one_rows,
    inputs_untouched, absent_class, declares, rows_that_are_not_finite, fit_refuses_what_is_not_finite, types_of_labels,
    score_moves_nothing,
)  # fmt: skip


def _needed(detector: Detector, out: Outputs, without: str = "") -> Outputs:
    """The outputs with only what the detector declares that it reads."""
    allowed = detector.needs - {without}
    fields = {name: getattr(out, name) for name in FIELDS if name in allowed}
    probed = tuple(probe.key for probe in detector.probes() if name_of("probes", probe) in allowed)
    return Outputs(**fields, layers={name: value for name, value in out.layers.items() if name.startswith(probed)})


def _close(ours: Tensor, theirs: Tensor, expected: str, tolerance: float = 1e-4) -> None:
    spread = float(theirs.double().std()) + 1e-12
    near = ours.shape == theirs.shape and torch.allclose(
        ours.double(), theirs.double(), rtol=1e-5, atol=tolerance * spread
    )
    expect(near, expected, f"others, such as {ours[:3].tolist()} for {theirs[:3].tolist()}")


def _same(state: State, other: State, expected: str) -> None:
    expect(state.keys() == other.keys(), expected, f"{sorted(state)} and {sorted(other)}")
    apart = [name for name in state if not torch.equal(state[name], other[name])]
    expect(not apart, expected, f"other values of {apart}")


def _in_batches(detector: Detector, out: Outputs, state: State, size: int) -> Tensor:
    return torch.cat([detector.score(chunk, state) for chunk in out.chunks(size)])


def _spoilt(out: Outputs, row: int, value: float) -> Outputs:
    """The same outputs with one number of one row replaced, in every field of floats."""

    def changed(values: Tensor) -> Tensor:
        if values.is_floating_point():
            values = values.clone()
            values[row].view(-1)[0] = value
        return values

    return out.map(changed)


def _rows(out: Outputs) -> dict[str, Tensor]:
    return {name: getattr(out, name) for name in ("logits", "features", "labels", "inputs")} | dict(out.layers)


class _Moves(TorchFunctionMode):
    """Counts tensors that are sent to a device."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        told = (*args[1:], *(kwargs or {}).values())
        moves = func in (Tensor.cpu, Tensor.cuda) or any(isinstance(one, (torch.device, str, Tensor)) for one in told)
        self.count += moves and func in (Tensor.cpu, Tensor.cuda, Tensor.to)
        return func(*args, **(kwargs or {}))
