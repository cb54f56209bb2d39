"""Probes: what must query the model. Everything after them sees values only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

from torch import Tensor

from outfield.errors import UserError
from outfield.models.base import Model
from outfield.registry import name_of
from outfield.types import Outputs


@dataclass(frozen=True)
class Probe(ABC):
    """A query of the model for each batch: values per sample that land in ``Outputs.layers[probe.key]``.

    Equal probes run once, whichever detectors ask for them.

    Examples
    --------
    >>> import torch
    >>> @dataclass(frozen=True)
    ... class Doubled(Probe):
    ...     factor: float = 2.0
    ...     key = "doubled"
    ...     def __call__(self, model, x, first):
    ...         return {self.key: self.factor * first.logits}
    >>> Doubled()(None, None, Outputs(logits=torch.ones(1, 2)))
    {'doubled': tensor([[2., 2.]])}
    >>> Doubled().values(Outputs(logits=torch.ones(1, 2)))
    Traceback (most recent call last):
    outfield.errors.UserError: Expected outputs with values of the probe doubled, but these have none. ...
    """

    passes: ClassVar[int] = 0
    """Passes through the model beside the first forward; a forward or a backward counts one."""
    forwards: ClassVar[int] = 0
    """Forward passes among them."""
    needs_graph: ClassVar[bool] = False
    """True where the probe differentiates the first forward pass with respect to its input."""
    needs_layers: ClassVar[bool] = False
    """True where the probe reads the activations of the model's layers in the first forward pass."""
    needs_pictures: ClassVar[bool] = False
    """True where the probe changes the pictures that the model was given."""
    needs_layer_graph: ClassVar[bool] = False
    """True where the probe differentiates these by each other; the input itself need have no gradient."""

    @property
    def key(self) -> str:
        """The probe's name and parameters: where its values lie in ``Outputs.layers``."""
        shown = ",".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))
        return f"{name_of('probes', self)}({shown})"

    def values(self, out: Outputs) -> dict[str, Tensor]:
        """What this probe left in ``out.layers``; ``UserError`` where it was not run."""
        found = {name: value for name, value in out.layers.items() if name.startswith(self.key)}
        if not found:
            raise UserError(
                f"Expected outputs with values of the probe {self.key}, but these have "
                f"{', '.join(out.layers) or 'none'}. "
                "Extract them with the detector's probes."
            )
        return found

    @abstractmethod
    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        """Values of one batch, each [n, ...]; the names begin with ``self.key``.

        Parameters
        ----------
        model : Model
            In evaluation mode, its weights not to be touched.
        x : Tensor, [n, ...]
            Prepared inputs, a leaf that requires a gradient where ``needs_graph``.
        first : Outputs
            The first forward pass of ``x``; with its graph where ``needs_graph`` or ``needs_layer_graph``.
        """
