"""Any ``torch.nn.Module`` as a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from outfield import keys
from outfield.data.base import Batch
from outfield.errors import UserError
from outfield.models import heads
from outfield.models.preprocess import Pictures
from outfield.types import Head, Outputs


class TorchModel:
    """A ``torch.nn.Module`` that maps a batch of inputs to logits.

    The head is the linear layer that made the logits of one traced batch; ``print(model)`` says which.

    Parameters
    ----------
    module : nn.Module
    example : Batch
        A few items of the data, to trace with.
    preprocess : callable, optional
        Items to input tensor; ``Pictures()`` by default.
    head : str, optional
        Name of the linear head, where tracing finds the wrong one or none.
    layers : sequence of str, optional
        Names of the layers whose activations probes read; by default the model's blocks.
    name : str
    device : str
        Where the runner put the module.

    Examples
    --------
    >>> import numpy as np
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> model = TorchModel(net, example=np.zeros((1, 2, 2, 1), np.float32), name="tiny")
    >>> model
    TorchModel('tiny', head '3' [2 classes, 3 features], layers none)
    """

    def __init__(
        self,
        module: nn.Module,
        example: Batch,
        *,
        preprocess: Callable[[Batch], Tensor] | None = None,
        head: str | None = None,
        layers: Sequence[str] | None = None,
        name: str = "model",
        device: str = "cpu",
    ) -> None:
        self.name, self.device = name, device
        self.module = module.to(device)
        self.preprocess = preprocess or Pictures()
        with self.evaluating():
            found = heads.trace(module, self.prepare(example), self._logits)
        self.head_name = head or found.head
        self.layers = found.layers if layers is None else tuple(layers)
        heads.check_layers(self.layers, module)
        heads.linear_head(module, self.head_name)
        self.forwards = 0

    def __repr__(self) -> str:
        shape = "" if self.head is None else " [{} classes, {} features]".format(*self.head.weight.shape)
        head = f"head {self.head_name!r}{shape}" if self.head_name else "no linear head"
        return f"TorchModel({self.name!r}, {head}, layers {', '.join(self.layers) or 'none'})"

    @property
    def head(self) -> Head | None:
        """The linear head as it is now."""
        return heads.linear_head(self.module, self.head_name)

    @cached_property
    def input_std(self) -> Tensor:
        """What the preprocessing divides by, [C, 1, 1]."""
        scale = getattr(self.preprocess, "scale", None)
        return torch.ones(()) if scale is None else scale.to(self.device)

    def prepare(self, batch: Batch) -> Tensor:
        return self.preprocess(batch).to(self.device)

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """One forward pass; ``forwards`` counts the inputs of all passes so far."""
        self.forwards += len(x)
        seen: dict[str, Tensor] = {}
        modules = dict(self.module.named_modules())
        wanted = {name: modules[name] for name in {*layers, *filter(None, [self.head_name])}}
        with heads.listening(wanted, lambda name, _, x, out: seen.update({name: x if name == self.head_name else out})):
            logits = self._logits(x)
        features = seen.pop(self.head_name).flatten(1) if self.head_name else None
        return Outputs(logits, features, head=self.head, layers={name: seen[name] for name in layers})

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        modes = {module: module.training for module in self.module.modules()}
        self.module.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training

    def digest(self) -> str:
        return keys.key(
            weights=keys.of_tensors(self.module.state_dict()),
            architecture=repr(self.module),
            preprocess=repr(self.preprocess),
            head=self.head_name,
            layers=self.layers,
        )

    def _logits(self, x: Tensor) -> Tensor:
        return _tensor(self.module(x))


def _tensor(output: Any) -> Tensor:
    output = getattr(output, "logits", output)
    if isinstance(output, Tensor) and output.ndim == 2:
        return output
    shape = f"a tensor {list(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise UserError(
        f"Expected a model that returns logits [n, classes], but it returned {shape}. Wrap it in one that does."
    )


def load_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from ``.safetensors``, or from a torch file that holds tensors alone.

    Raises
    ------
    UserError
        The file is missing or damaged, or would run code when loaded; the message says the way out.
    """
    if not path.is_file():
        raise UserError(f"Expected a file of weights at {path}, but there is none. Check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise UserError(
            f"Expected safetensors in {path}, but it cannot be read ({error}). Save the weights again."
        ) from None
    except Exception as error:
        raise UserError(
            f"Expected a file of tensors at {path}, but loading it safely failed ({type(error).__name__}). "
            "If you trust it, load it yourself and save its tensors: "
            "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')."
        ) from None
    return _state_dict(loaded, path)


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in ("state_dict", "model", "net"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserError(f"Expected a state dict (names to tensors) in {path}, but got a {type(loaded).__name__}.")
    return {name.removeprefix("module."): value for name, value in loaded.items()}
