"""From the items of a data set to the input of a model: size, channels, scale."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from decimal import Decimal
from math import floor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from outfield import keys
from outfield.data.adapters import is_missing
from outfield.data.base import Items
from outfield.data.pictures import cut
from outfield.errors import UserError

Preprocess = Callable[[Items], Tensor]


@dataclass(frozen=True)
class Pictures:
    """Pictures to a normalised tensor [n, C, side, side].

    Sizes and cuts are those of the published evaluation transforms (torchvision, timm): the shorter edge becomes
    ``floor(side / crop)``, the longer one keeps the aspect, the centre is cut out.

    Parameters
    ----------
    side : int, optional
        Edge of the square that the model reads; None leaves the size as it is.
    channels : int, optional
        1 (grey, ITU-R 601 luma) or 3 (grey is repeated); None leaves them as they are.
    mean, std : per channel, on values in [0, 1]; one number serves all channels
    crop : float
        Share of the shorter edge that the centre crop keeps, in (0, 1].
    interpolation : {"bilinear", "bicubic", "nearest", "lanczos"}
        With anti-aliasing, as Pillow does it.
    squash : bool
        Resize both edges to ``floor(side / crop)``, whatever the aspect.

    Raises
    ------
    UserError
        Pictures of several sizes and no ``side``; what is no picture in 8 or 16 bits or in [0, 1].

    Examples
    --------
    >>> Pictures(mean=(0.5,), std=(0.5,))(np.full((1, 2, 2, 1), 255, np.uint8)).flatten()
    tensor([1., 1., 1., 1.])
    """

    side: int | None = None
    channels: int | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    crop: float = 1.0
    interpolation: str = "bilinear"
    squash: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise UserError(f"Expected crop in (0, 1], but got {self.crop:g}. Give the share that the cut keeps.")
        if self.interpolation.upper() not in Image.Resampling.__members__:
            known = ", ".join(name.lower() for name in Image.Resampling.__members__)
            raise UserError(f"Expected an interpolation among {known}, but got {self.interpolation!r}. Choose one.")

    def __call__(self, batch: Items) -> Tensor:
        pictures = _stacked([self._sized(self._channelled(picture(item))) for item in batch], self.side)
        scaled = torch.from_numpy(pictures).float() / (255 if pictures.dtype == np.uint8 else 1)
        return (scaled.permute(0, 3, 1, 2) - _column(self.mean)) / _column(self.std)

    @property
    def scale(self) -> Tensor:
        """``std``, shaped to divide one input [C, H, W]."""
        return _column(self.std)

    @property
    def offset(self) -> Tensor:
        """``mean``, shaped to be subtracted from one input [C, H, W]."""
        return _column(self.mean)

    def _channelled(self, picture: NDArray[Any]) -> NDArray[Any]:
        if self.channels is None or picture.shape[2] == self.channels:
            return picture
        if self.channels == 3:
            return np.repeat(picture[:, :, :1], 3, axis=2)
        luma = picture[:, :, :3] @ np.array([0.299, 0.587, 0.114], np.float32)
        return (np.rint(luma) if picture.dtype == np.uint8 else luma).astype(picture.dtype)[:, :, None]

    def _sized(self, picture: NDArray[Any]) -> NDArray[Any]:
        height, width = picture.shape[:2]
        if self.side is None or (self.crop == 1 and height == width == self.side):
            return picture
        return _centre(picture, self._resized_to(width, height), self.side, self.interpolation)

    def _resized_to(self, width: int, height: int) -> tuple[int, int]:
        short = floor((self.side or 0) / self.crop)
        if self.squash:
            return short, short
        longer = int(short * max(width, height) / min(width, height))
        return (longer, short) if width > height else (short, longer)


@dataclass(frozen=True)
class Table:
    """Rows of numbers to a tensor [n, D]; pictures are flattened, their values left as they are.

    Rows of a frame are taken in the order of its columns.

    Parameters
    ----------
    columns : int, optional
        D that the model expects.
    double : bool
        As float64 rather than float32.
    missing : bool
        Whether NaN may stand for a missing number.

    Raises
    ------
    UserError
        What is no array of numbers, has another number of columns, or lacks numbers.

    Examples
    --------
    >>> Table()(np.arange(8).reshape(2, 2, 2, 1))
    tensor([[0., 1., 2., 3.],
            [4., 5., 6., 7.]])
    """

    columns: int | None = None
    double: bool = False
    missing: bool = False

    def __call__(self, batch: Items) -> Tensor:
        rows = numbers_of(batch)
        if rows.dtype.kind not in "biuf":
            raise UserError(f"Expected rows of numbers, but got {_called(batch[0])}. Pass data that the model reads.")
        rows = rows.reshape(len(rows), -1).astype(np.float64 if self.double else np.float32)
        if self.columns not in (None, rows.shape[1]):
            raise UserError(
                f"Expected rows of {self.columns} numbers, as the model was trained on, but got {rows.shape[1]}. "
                "Pass the same columns."
            )
        if not self.missing and (lacking := int(np.isnan(rows).any(axis=1).sum())):
            raise UserError(
                f"Expected a number in every column, but {lacking} of {len(rows)} rows of a batch lack one (NaN), and "
                "this model cannot take that. Fill or remove them, or pass a pipeline with an imputer."
            )
        return torch.from_numpy(rows)


@dataclass(frozen=True)
class Named:
    """Records of arrays, ``{"a": [...], "b": [...]}``, to the inputs of a model by their names.

    All of them travel as one tensor [n, D], each laid flat beside the last, and ``apart`` gives them back as they were.

    Parameters
    ----------
    inputs : tuple of (name, shape of one item, type)

    Raises
    ------
    UserError
        Records that lack an input, or have one of another shape.

    Examples
    --------
    >>> named = Named.of([{"a": np.zeros((2, 2), np.float32), "b": np.array([7])}])
    >>> x = named([{"a": np.ones((2, 2), np.float32), "b": np.array([3])}])
    >>> x.shape, named.apart(x)["b"]
    (torch.Size([1, 5]), tensor([[3]]))
    """

    inputs: tuple[tuple[str, tuple[int, ...], str], ...]

    @classmethod
    def of(cls, example: Items) -> Named:
        """The inputs that an example has; numbers that are no arrays are inputs of one number each."""
        record = {name: np.asarray(value) for name, value in example[0].items()}
        return cls(tuple((name, value.shape, value.dtype.name) for name, value in record.items()))

    def __call__(self, batch: Items) -> Tensor:
        return torch.cat([torch.from_numpy(self._flat(batch, *one)) for one in self.inputs], dim=1)

    def _flat(self, batch: Items, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[np.float64]:
        if not all(isinstance(item, Mapping) and name in item for item in batch):
            has = ", ".join(map(str, batch[0])) if isinstance(batch[0], Mapping) else _called(batch[0])
            names = ", ".join(one for one, *_ in self.inputs)
            raise UserError(f"Expected records with the inputs {names}, but got {has}. Pass each input by its name.")
        values = [np.asarray(item[name]) for item in batch]
        if odd := [value for value in values if value.shape != shape or value.dtype.kind not in "biuf"]:
            raise UserError(
                f"Expected numbers of shape {shape} for the input {name!r}, as the first item has, but got "
                f"{odd[0].dtype} of shape {odd[0].shape}. Make the items alike."
            )
        rows = np.stack(values).reshape(len(values), -1).astype(np.float64)
        if not np.isfinite(rows).all() or (np.dtype(dtype).kind in "iu" and np.abs(rows).max(initial=0) > 1 << 24):
            raise UserError(
                f"Expected finite numbers for the input {name!r}, whole ones up to {1 << 24:,}, but it has others. "
                "Mend or remove those items."
            )
        return rows

    def apart(self, x: Tensor) -> dict[str, Tensor]:
        """The inputs by name, [n, ...] each: whole numbers as they were, fractions in the tensor's precision."""
        sizes = [int(np.prod(shape)) for _, shape, _ in self.inputs]
        pieces = zip(self.inputs, x.split(sizes, dim=1), strict=True)
        return {
            name: _typed(piece.reshape(len(x), *shape), np.dtype(dtype).kind) for (name, shape, dtype), piece in pieces
        }

    @property
    def fractions(self) -> bool:
        """Whether no input is whole numbers, so that the logits can be differentiated by all."""
        return all(np.dtype(dtype).kind == "f" for *_, dtype in self.inputs)


def _typed(values: Tensor, kind: str) -> Tensor:
    return values if kind == "f" else values.bool() if kind == "b" else values.round().long()


def numbers_of(batch: Items) -> NDArray[Any]:
    """A batch as one array; records as rows in the order of their columns, what they lack as NaN.

    Raises
    ------
    UserError
        Records with values that are no numbers.

    Examples
    --------
    >>> numbers_of([{"a": 1, "b": None}])
    array([[ 1., nan]])
    """
    if not len(batch) or not isinstance(batch[0], Mapping):
        return _one_array(batch)
    names = list(batch[0])
    if odd := [row for row in batch if not isinstance(row, Mapping) or row.keys() != batch[0].keys()]:
        has = ", ".join(map(str, odd[0])) if isinstance(odd[0], Mapping) else _called(odd[0])
        raise UserError(f"Expected records of {', '.join(names)} each, but got one of {has}. Give all the same names.")
    for name in names:
        if odd := [row[name] for row in batch if not _number(row[name])]:
            raise UserError(
                f"Expected a number in the column {name!r}, but got {str(odd[0])[:40]!r}. "
                "Encode it as numbers, or pass a pipeline that does."
            )
    return np.array(
        [[np.nan if is_missing(row[name]) else row[name] for name in names] for row in batch], dtype=np.float64
    )


def _one_array(batch: Items) -> NDArray[Any]:
    try:
        return np.asarray(batch)
    except ValueError:
        raise UserError(
            f"Expected rows of one length, but got items of several shapes, the first {_called(batch[0])}. "
            "Pass data that the model reads."
        ) from None


def _number(value: Any) -> bool:
    return is_missing(value) or isinstance(value, (bool, int, float, Decimal, np.bool_, np.integer, np.floating))


def fitting(example: Items) -> Preprocess:
    """The preprocessing that fits what an example holds: rows, records of arrays, or pictures.

    Examples
    --------
    >>> fitting(np.zeros((1, 3))), fitting(np.zeros((1, 8, 8, 3)))
    (Table(columns=None, double=False, missing=False), Pictures(side=None, channels=None, ...))
    """
    first = example[0] if len(example) else None
    if isinstance(first, Mapping):
        alone = all(np.ndim(value) == 0 for value in first.values())
        return Table() if alone else Named.of(example)
    return Table() if isinstance(first, np.ndarray) and first.ndim == 1 else Pictures()


def stated(preprocess: Any) -> Any:
    """What a preprocessing is, as JSON can state it: parameters and code, never an address in memory.

    An object with ``digest()`` is what that says, a dataclass its fields, a function its code (what it closes over
    must be stated by other means), any other object its class's code and its repr.

    Raises
    ------
    UserError
        Its repr is an address.
    """
    if callable(digest := getattr(preprocess, "digest", None)):
        return {"content": digest(), "code": code_of(type(preprocess))}
    if is_dataclass(preprocess) and not isinstance(preprocess, type):
        return {"parameters": keys.plain(preprocess), "code": code_of(type(preprocess))}
    if inspect.isroutine(preprocess):
        return code_of(preprocess)
    if " at 0x" in (shown := repr(preprocess)):
        raise UserError(
            f"Expected a preprocessing whose repr states its parameters, but got {shown}. "
            "Make it a dataclass, or give it a method `digest`."
        )
    return {"repr": shown, "code": code_of(type(preprocess))}


def shown(preprocess: Any) -> str:
    """A preprocessing with the fields that are not its class's defaults; anything else by its name or repr.

    Examples
    --------
    >>> shown(Pictures(side=32))
    'Pictures(side=32)'
    """
    if isinstance(preprocess, Named):
        return f"inputs by name: {', '.join(name for name, *_ in preprocess.inputs)}"
    if not isinstance(preprocess, (Pictures, Table)):
        return str(getattr(preprocess, "__name__", preprocess))
    fields = {one.name: (getattr(preprocess, one.name), one.default) for one in dataclasses.fields(preprocess)}
    given = [f"{name}={value!r}" for name, (value, default) in fields.items() if value != default]
    return f"{type(preprocess).__name__}({', '.join(given)})"


def noise(channels: int, height: int, width: int, count: int = 2) -> NDArray[np.uint8]:
    """Seeded noise pictures [count, H, W, C]: an example to trace a model with."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def code_of(thing: Any) -> str:
    """Digest of the file that defines a class or function, or of its byte code where there is no file."""
    name = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
    try:
        return keys.key(name=name, file=keys.of_code(thing))
    except (OSError, TypeError):
        return keys.key(name=name, code=[keys.digest(code) for code in _byte_codes(thing)])


def _byte_codes(thing: Any) -> list[bytes]:
    functions = [thing, *vars(thing).values()] if inspect.isclass(thing) else [thing]
    codes = [code for function in functions if (code := getattr(function, "__code__", None))]
    return [code.co_code + repr((code.co_names, code.co_varnames)).encode() for code in codes]


def picture(item: Any) -> NDArray[Any]:
    """One picture [H, W, C], 8-bit or float32 in [0, 1]; 16-bit values are divided by 65535.

    Raises
    ------
    UserError
        It is no picture: other shapes, other numbers, values out of [0, 1], text.
    """
    values = np.asarray(item)
    values = values[:, :, None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise UserError(f"Expected a picture [H, W, 1 or 3], but got {_called(item)}. Pass data that the model reads.")
    values = values[:, :, :3] if values.shape[2] == 4 else values
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return values.astype(np.float32) / np.float32(65535)
    if values.dtype.kind != "f":
        raise UserError(f"Expected a picture in 8 or 16 bits or in [0, 1], but got {values.dtype}. Convert it.")
    if not (values.min() >= 0 and values.max() <= 1):
        raise UserError(
            f"Expected a picture in [0, 1], but got [{values.min():g}, {values.max():g}]. Divide by 255, or pass uint8."
        )
    return values.astype(np.float32)


def _called(item: Any) -> str:
    return f"shape {item.shape}" if isinstance(item, np.ndarray) else f"{type(item).__name__} {str(item)[:40]!r}"


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def _centre(picture: NDArray[Any], size: tuple[int, int], side: int, interpolation: str) -> NDArray[Any]:
    """The centre of a picture that is resized to ``size`` (width, height)."""
    method, corner = Image.Resampling[interpolation.upper()], tuple(round((edge - side) / 2) for edge in size)
    grey = picture.squeeze(2) if picture.shape[2] == 1 else picture
    planes = [grey] if picture.dtype == np.uint8 else np.moveaxis(picture, 2, 0)
    cuts = [np.asarray(cut(Image.fromarray(plane), size, (corner[0], corner[1]), side, method)) for plane in planes]
    return cuts[0].reshape(side, side, -1) if picture.dtype == np.uint8 else np.stack(cuts, axis=2)


def _stacked(pictures: Sequence[NDArray[Any]], side: int | None) -> NDArray[Any]:
    shapes = {picture.shape for picture in pictures}
    if len(shapes) > 1:
        raise UserError(
            f"Expected pictures of one shape, but got {', '.join(map(str, sorted(shapes)[:3]))}. "
            + ("Give the model a `side` to resize to." if side is None else "Give the model its number of `channels`.")
        )
    return np.stack(pictures) if len(pictures) else np.zeros((0, side or 1, side or 1, 1), np.float32)
