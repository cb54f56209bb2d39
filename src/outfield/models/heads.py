"""Finding the classifier head: the last linear layer, whose output is the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.types import Head

Hook = Callable[[str, nn.Module, Any, Any], None]


@dataclass(frozen=True)
class Trace:
    """What one batch showed of a model: its head's name, and the layers whose activations can be had."""

    head: str | None
    layers: tuple[str, ...]


@contextmanager
def listening(modules: dict[str, nn.Module], hear: Hook) -> Iterator[None]:
    """Call ``hear(name, module, first_input, output)`` for every forward of the named modules."""

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, output: hear(name, module, inputs[0] if inputs else None, output)

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def trace(module: nn.Module, x: Tensor, call: Callable[[Tensor], Tensor]) -> Trace:
    """Run one batch and see which linear layer made the logits, and which blocks gave feature maps.

    Parameters
    ----------
    module : nn.Module, in evaluation mode
    x : Tensor
        A prepared batch of at least one input.
    call : function
        ``call(x)`` runs the module and returns the logits [n, C].
    """
    linear: dict[str, Tensor] = {}
    maps: dict[str, int] = {}

    def hear(name: str, layer: nn.Module, _: Any, output: Any) -> None:
        if isinstance(layer, nn.Linear):
            linear[name] = output
        elif isinstance(output, Tensor) and output.ndim == 4:
            maps[name] = name.count(".")

    with torch.inference_mode(), listening({n: m for n, m in module.named_modules() if n}, hear):
        logits = call(x)
    heads = [name for name, out in linear.items() if out.shape == logits.shape and torch.equal(out, logits)]
    return Trace(heads[-1] if heads else None, _blocks(maps))


def linear_head(module: nn.Module, name: str | None) -> Head | None:
    """Weight and bias of the named linear layer, detached; None for no name.

    Raises
    ------
    UserError
        The name is not a linear layer's.
    """
    if name is None:
        return None
    layers = dict(module.named_modules())
    if not isinstance(layer := layers.get(name), nn.Linear):
        linear = [n for n, m in layers.items() if isinstance(m, nn.Linear)]
        raise UserError(
            f"Expected the name of a linear layer as head, but {name!r} is "
            f"{'no layer' if layer is None else 'a ' + type(layer).__name__}. Choose: {', '.join(linear) or 'none'}."
        )
    weight = layer.weight.detach()
    return Head(weight, weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach())


def _blocks(maps: dict[str, int]) -> tuple[str, ...]:
    """The shallowest level of the module tree at which at least two layers give feature maps."""
    for depth in sorted(set(maps.values())):
        if len(found := [name for name, level in maps.items() if level == depth]) > 1:
            return tuple(found)
    return tuple(maps)


def check_layers(wanted: Sequence[str], module: nn.Module) -> None:
    """``UserError`` for names that are no layers of the module."""
    known = dict(module.named_modules())
    if absent := [name for name in wanted if name not in known]:
        raise UserError(
            f"Expected names of layers, but the model has no {', '.join(absent)}. "
            f"Its layers are: {', '.join(name for name in known if name)}."
        )
