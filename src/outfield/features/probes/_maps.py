"""Which layers give feature maps: what probes of maps share."""

from __future__ import annotations

from torch import Tensor

from outfield.errors import UserError
from outfield.models.base import Model
from outfield.types import Outputs


def chosen(model: Model, first: Outputs, layers: tuple[str, ...], axes: int = 1) -> dict[str, Tensor]:
    """The activations of the named layers, or of all of the model's that have so many axes behind the first.

    Raises
    ------
    UserError
        There are none, or a named one is not there or has fewer axes.

    Examples
    --------
    >>> import torch
    >>> class Two:
    ...     layers = ("block", "pool")
    >>> first = Outputs(layers={"block": torch.zeros(1, 2, 3, 3), "pool": torch.zeros(1, 2)})
    >>> list(chosen(Two(), first, (), axes=3)), list(chosen(Two(), first, ("pool",)))
    (['block'], ['pool'])
    """
    there = {name: first.layers[name] for name in layers or model.layers if name in first.layers}
    found = {name: values for name, values in there.items() if values.ndim > axes}
    if not found or (layers and len(found) < len(layers)):
        raise UserError(
            f"Expected activations [n, {'C, ...' if axes > 1 else '...'}] of the layers "
            f"{', '.join(layers) or '(all that the model has)'}, but got "
            f"{', '.join(f'{name} {list(value.shape)}' for name, value in first.layers.items()) or 'none'}. "
            "Choose layers that the model has."
        )
    return found
