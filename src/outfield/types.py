"""The nouns that everybody shares: values, never machinery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, overload

from outfield.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
"""Numbers of any type and shape, as statistics take them."""

State: TypeAlias = "dict[str, Tensor]"
"""What a detector learned: names to tensors, nothing else, so that safetensors can hold it."""

FIELDS = ("logits", "features", "labels", "predictions", "targets", "inputs")
"""The fields of ``Outputs`` that have a row for each input."""


@dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier head, ``features @ weight.T + bias``.

    Parameters
    ----------
    weight : Tensor, shape [C, D]
    bias : Tensor, shape [C]

    Examples
    --------
    >>> import torch
    >>> Head(torch.eye(2), torch.tensor([0.0, 1.0]))(torch.tensor([[2.0, 3.0]]))
    tensor([[2., 4.]])
    """

    weight: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise UserError(
                f"Expected a head with weight [C, D] and bias [C], but got {list(self.weight.shape)} and "
                f"{list(self.bias.shape)}. Pass the last linear layer's own weight and bias."
            )

    def __call__(self, features: Tensor) -> Tensor:
        return features @ self.weight.to(features.dtype).T + self.bias.to(features.dtype)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Head:
        return Head(self.weight.to(device=device, dtype=dtype), self.bias.to(device=device, dtype=dtype))


T = TypeVar("T")


_SOURCES = {
    "inputs": "Take them from the values of a data set: values.keeping(('inputs', 'features')).",
    "targets": "Extract them from a data set that has targets.",
    "labels": "Extract them from a data set that has labels.",
}
"""Where fields come from that no model gives."""


class _Optional(Generic[T]):
    """A field that may be absent: reading it then is an error that says so."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, outputs: None, owner: type) -> None: ...
    @overload
    def __get__(self, outputs: Outputs, owner: type) -> T: ...
    def __get__(self, outputs: Outputs | None, owner: type) -> T | None:
        if outputs is None:
            return None
        value: T | None = outputs.__dict__[self.name]
        if value is None:
            raise UserError(
                f"Expected outputs with {self.name}, but these have {', '.join(outputs.present) or 'nothing'}. "
                f"{_SOURCES.get(self.name, f'Extract them from a model that has {self.name}.')}"
            )
        return value

    def __set__(self, outputs: Outputs, value: T | None) -> None:
        outputs.__dict__[self.name] = value


@dataclass(frozen=True, eq=False, repr=False)
class Outputs:
    """What a model said about n inputs. Every field may be absent; those present have n rows.

    Half-precision values are widened to float32 on entry, so that no arithmetic is ever done in
    float16 (arrays on disk stay as they are; the chunks read from them are widened).

    Parameters
    ----------
    logits : Tensor, shape [n, C]
    features : Tensor, shape [n, D]
        Penultimate features: the exact input of the last linear layer.
    labels : Tensor, shape [n]
        Class numbers, of any type whose values are whole; int64 once they are here.
    head : Head
        Shared, never copied per row.
    layers : mapping of name to Tensor, each [n, ...]
        Values of named layers and of probes.
    predictions : Tensor, shape [n] or [n, k]
        What a regressor, a policy or a sequence model says, of any number type.
    targets : Tensor, shape [n] or [n, k]
        What was to be said.
    inputs : Tensor, shape [n, ...]
        What the model was given: read from the data set, never from the cache.

    Raises
    ------
    UserError
        Fields of different lengths; labels that are no class numbers; or a field is read that is absent (ask ``has``).

    Examples
    --------
    >>> import torch
    >>> out = Outputs(logits=torch.zeros(5, 3), features=torch.ones(5, 2))
    >>> len(out), [len(chunk) for chunk in out.chunks(2)]
    (5, [2, 2, 1])
    >>> out
    Outputs(logits [5, 3], features [5, 2])
    """

    logits: _Optional[Tensor] = _Optional()
    features: _Optional[Tensor] = _Optional()
    labels: _Optional[Tensor] = _Optional()
    head: _Optional[Head] = _Optional()
    layers: Mapping[str, Tensor] = field(default_factory=dict)
    predictions: _Optional[Tensor] = _Optional()
    targets: _Optional[Tensor] = _Optional()
    inputs: _Optional[Tensor] = _Optional()

    def __post_init__(self) -> None:
        lengths = {name: len(value) for name, value in self._rows()}
        if len(set(lengths.values())) > 1:
            raise UserError(
                f"Expected values with one row for each input, but got lengths {lengths}. "
                "Pass values of one and the same extraction."
            )
        fields = {name: _numbers(value) if name == "labels" else _widened(value) for name, value in self._fields()}
        self.__dict__.update(fields, layers={name: _widened(value) for name, value in self.layers.items()})

    def _fields(self) -> Iterator[tuple[str, Tensor]]:
        yield from ((name, self.__dict__[name]) for name in self.present if name != "head")

    def _rows(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._fields()
        yield from self.layers.items()

    def __len__(self) -> int:
        return next((len(value) for _, value in self._rows()), 0)

    def __repr__(self) -> str:
        return f"Outputs({', '.join(f'{name} {list(value.shape)}' for name, value in self._rows())})"

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the fields that are there, layers aside."""
        return tuple(name for name in (*FIELDS, "head") if self.__dict__[name] is not None)

    def has(self, name: str) -> bool:
        """Whether a field, or a layer of that name, is there."""
        return name in self.present or name in self.layers

    def map(self, change: Callable[[Tensor], Tensor]) -> Outputs:
        """The same outputs with ``change`` applied to every array that has rows.

        Examples
        --------
        >>> import torch
        >>> Outputs(logits=torch.ones(2, 3), labels=torch.tensor([0, 1])).map(lambda value: value[:1])
        Outputs(logits [1, 3], labels [1])
        """
        fields = {name: change(value) for name, value in self._fields()}
        return self.with_fields(**fields, layers={name: change(value) for name, value in self.layers.items()})

    def with_fields(self, **fields: Any) -> Outputs:
        """The same outputs with some fields given anew; None leaves a field out."""
        own = {name: self.__dict__[name] for name in (*self.present, "layers")}
        return Outputs(**own | fields)

    def __getitem__(self, rows: slice | Tensor) -> Outputs:
        return self.map(lambda value: value[rows])

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return next(value.device for _, value in self._rows())

    def chunks(self, size: int = 8192) -> Iterator[Outputs]:
        """Consecutive pieces of at most ``size`` rows."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def to(self, device: torch.device | str) -> Outputs:
        """The same values on another device; the head goes with them."""
        moved = self.map(lambda value: value.to(device))
        return moved.with_fields(head=self.head.to(device)) if self.has("head") else moved

    @staticmethod
    def cat(parts: Sequence[Outputs]) -> Outputs:
        """One ``Outputs`` of all rows of ``parts``, in order; the head is the first part's.

        Examples
        --------
        >>> import torch
        >>> Outputs.cat([Outputs(logits=torch.zeros(2, 3)), Outputs(logits=torch.ones(1, 3))])
        Outputs(logits [3, 3])
        """
        import torch

        if not parts:
            raise UserError("Expected at least one part to join, but got none.")
        fields = {name: torch.cat([part.__dict__[name] for part in parts]) for name, _ in parts[0]._fields()}
        layers = {name: torch.cat([part.layers[name] for part in parts]) for name in parts[0].layers}
        return parts[0].with_fields(**fields, layers=layers)


@dataclass(frozen=True, eq=False)
class Batch:
    """Items that training reads together: of one step, or the whole training set.

    Parameters
    ----------
    x : Tensor [n, ...] or any sequence that takes an index tensor
        Inputs.
    y : Tensor [n, ...], optional
        Targets.
    groups : Tensor of int64 [n], optional
        Number of the group (domain, environment, attribute) of each item.
    rows : Tensor of int64 [n], optional
        Numbers of the items in the whole training set.
    streams : mapping of role to Batch
        What is read beside: ``outliers``, ``wild``, ``unlabelled``, ``learn``.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.zeros(4, 2), torch.arange(4))
    >>> len(batch), batch[torch.tensor([3, 1])].y
    (4, tensor([3, 1]))
    """

    x: Any
    y: Tensor | None = None
    groups: Tensor | None = None
    rows: Tensor | None = None
    streams: Mapping[str, Batch] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def targets(self) -> Tensor:
        """``y``, where there must be one.

        Raises
        ------
        UserError
            There are no targets.
        """
        if self.y is None:
            raise UserError("Expected items with targets, but these have none. Give each item its label or value.")
        return self.y

    def __getitem__(self, rows: Tensor | slice) -> Batch:
        """Some of the items, in that order; streams are left as they are."""
        some = {name: None if value is None else value[rows] for name, value in self._columns()}
        return Batch(**some, streams=self.streams)

    def to(self, device: torch.device | str | None) -> Batch:
        """The same items with their tensors on a device, those of streams too; None leaves them where they are.

        Examples
        --------
        >>> import torch
        >>> batch = Batch(torch.zeros(2, 3), streams={"outliers": Batch(torch.ones(4, 3))})
        >>> batch.to("meta").streams["outliers"].x.device.type, batch.to(None).x.device.type
        ('meta', 'cpu')
        """
        placed = {name: value.to(device) if _is_tensor(value) else value for name, value in self._columns()}
        return Batch(**placed, streams={role: stream.to(device) for role, stream in self.streams.items()})

    def digest(self) -> str:
        """Content key of inputs, targets, groups and streams; inputs that are no tensor say their own.

        Examples
        --------
        >>> import torch
        >>> batch = Batch(torch.zeros(2, 3), torch.tensor([0, 1]))
        >>> batch.digest() == batch[:].digest(), batch.digest() == batch[torch.tensor([1, 0])].digest()
        (True, False)
        """
        from outfield import keys

        tensors = {name: value for name, value in self._columns() if _is_tensor(value)}
        inputs = None if "x" in tensors else self.x.digest()
        streams = {role: stream.digest() for role, stream in self.streams.items()}
        return keys.key(tensors=keys.of_tensors(tensors), inputs=inputs, streams=streams)

    def _columns(self) -> Iterator[tuple[str, Any]]:
        yield from ((name, getattr(self, name)) for name in ("x", "y", "groups", "rows"))


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() and value.element_size() < 4 else value


def _numbers(labels: Tensor) -> Tensor:
    """Labels as int64."""
    import torch

    if labels.ndim != 1:
        one_hot = " One-hot labels become numbers by labels.argmax(dim=1)." if labels.ndim == 2 else ""
        raise UserError(
            f"Expected labels of shape [n], the number of each row's class, but got {list(labels.shape)}.{one_hot}"
        )
    if labels.dtype == torch.int64:
        return labels
    if labels.is_complex():
        raise UserError("Expected labels as whole numbers, but got complex ones. Pass the number of each row's class.")
    whole = labels.to(torch.int64)
    if odd := int((whole != labels).sum()):
        raise UserError(
            f"Expected labels as whole numbers, but {odd} of {len(labels)} are not whole. "
            "Pass the number of each row's class; leave rows without a class out."
        )
    return whole


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty: value, interval, and how many independent units stand behind it.

    ``low`` and ``high`` are the ends of a 95% interval unless ``level`` says otherwise; NaN where no
    interval is defined.

    Examples
    --------
    >>> print(Estimate(0.9312, 0.91, 0.95, n=400))
    0.931 [0.910, 0.950] (n = 400)
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0
    level: float = 0.95

    def __str__(self) -> str:
        interval = "" if self.low != self.low else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f}{interval} (n = {self.n})"

    def __float__(self) -> float:
        return self.value
