"""What detectors that wrap others share: states within a state, and scores in a fit."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.fit_data import Chunks, Stored
from outfield.types import State


def state_with(own: State, **parts: State) -> State:
    """A state that holds others under their names.

    Examples
    --------
    >>> import torch
    >>> state = state_with({"mean": torch.ones(1)}, base={"bank": torch.zeros(1)})
    >>> sorted(state), sorted(part("base", state))
    (['base/bank', 'mean'], ['bank'])
    """
    return own | {f"{name}/{key}": value for name, state in parts.items() for key, value in state.items()}


def part(name: str, state: State) -> State:
    """The state that another holds under a name."""
    return {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}


def scores(detector: Detector, state: State, chunks: Chunks) -> Iterator[Tensor]:
    """Scores of chunks, each [n] and where its chunk is; the state is moved there once."""
    if "inputs" in detector.needs and isinstance(chunks, Stored):
        chunks = chunks.keeping(tuple(sorted(detector.needs)))
    for number, chunk in enumerate(chunks):
        if number == 0:
            state = {name: value.to(chunk.device) for name, value in state.items()}
        yield detector.score(chunk, state)
