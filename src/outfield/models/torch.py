"""Any ``torch.nn.Module`` as a model."""

from __future__ import annotations

import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from outfield import keys
from outfield.data.base import Items
from outfield.errors import UserError
from outfield.models import heads
from outfield.models.preprocess import Named, Pictures, Preprocess, code_of, fitting, shown, stated
from outfield.types import Head, Outputs


class TorchModel:
    """A ``torch.nn.Module`` that maps a batch of inputs to logits, or to the numbers that are asked for.

    The head is the linear layer that made the logits of one traced batch (see ``heads.trace``), the features are
    what goes into it; ``print(model)`` says which. Wrappers (``DataParallel``, ``torch.compile``) are taken off.

    Parameters
    ----------
    module : nn.Module
        Returns logits [n, C]; or an object or mapping with ``logits`` (or ``out``), or a tuple that begins with them.
        One logit [n, 1] or [n], or its sigmoid where the linear layer before it shows that it is one, is two classes.
    example : Items
        A few items of the data, to trace with.
    preprocess : callable, optional
        Items to input tensor; by default ``Pictures()``, ``Table()`` or ``Named``, after what the example holds.
    head : str, optional
        Name of the linear head, where tracing finds the wrong one.
    features : str, optional
        Name of a layer whose output, averaged over places, is the features; the head is then left out, since it does
        not follow them.
    layers : sequence of str, optional
        Names of the layers whose activations probes read; by default the model's blocks.
    name : str
    classes : sequence of str, optional
        Names of the classes in the order of the logits.
    device : str, optional
        Where the runner puts the module; by default it stays where it is.
    numbers : bool
        What it returns are predictions of numbers [n, k], and no logits of classes.

    Raises
    ------
    UserError
        No example; a module that does not return logits, or returns NaN; names that are no layers.

    Examples
    --------
    >>> import numpy as np
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> model = TorchModel(net, example=np.zeros((1, 2, 2, 1), np.float32), name="tiny")
    >>> model
    TorchModel('tiny', head '3' [2 classes, 3 features], layers none, preprocess Pictures())
    """

    differentiable = True
    single = ""
    """What the module returns where it is one number an input: ``logit`` or ``probability``; else empty."""

    def __init__(
        self,
        module: nn.Module,
        example: Items,
        *,
        preprocess: Preprocess | None = None,
        head: str | None = None,
        features: str | None = None,
        layers: Sequence[str] | None = None,
        name: str = "model",
        classes: Sequence[str] | None = None,
        device: str | None = None,
        numbers: bool = False,
    ) -> None:
        self.name, self.forwards, self.numbers = name, 0, numbers
        self.module = unwrapped(module) if device is None else unwrapped(module).to(device)
        self.device = _placed(self.module).device
        self.preprocess = preprocess or (Named.of(example) if _asks_for(self.module, example) else fitting(example))
        self.feature_layer = features
        self._example_shape: tuple[int, ...] = ()
        found = self._traced(example, head)
        self.site = None if features else found.site
        self.layers = found.layers if layers is None else tuple(layers)
        self.classes = None if classes is None else tuple(map(str, classes))
        self._check(found.logits)

    def _traced(self, example: Items, head: str | None) -> heads.Trace:
        if not len(example):
            raise UserError("Expected an example of at least one item to trace the model with, but got none. Pass one.")
        x = self.prepare(example)
        self._example_shape = tuple(x.shape[1:])
        with self.evaluating():
            with torch.inference_mode():
                raw = logits_of(self._answer(x), len(x))
            if raw.shape[1] > 1:
                return heads.trace(self.module, x, self._logits, head)
            if self.numbers:
                self.single = "number"
                return heads.trace(self.module, x, self._logits, head)
            return self._traced_single(x, raw, head)

    def _traced_single(self, x: Tensor, raw: Tensor, head: str | None) -> heads.Trace:
        """Of one number an input, whether it is a logit or a probability: the linear layer that made it shows."""
        self.single = "logit"
        if not bool(((raw >= 0) & (raw <= 1)).all()):
            return heads.trace(self.module, x, self._logits, head)
        for self.single in ("logit", "probability"):
            found = heads.trace(self.module, x, self._logits)
            if found.site is not None and head in (None, found.site.name):
                return found
        raise UserError(
            f"Expected one logit or a number for each class, but {self.name!r} returned one number in [0, 1] an input, "
            "which may be a probability or a logit. Return the logit: leave the sigmoid out."
        )

    def _check(self, logits: Tensor) -> None:
        heads.check_layers([*self.layers, *filter(None, [self.feature_layer])], self.module)
        if not logits.isfinite().all():
            raise UserError(
                f"Expected finite logits for the example, but {self.name!r} gave NaN or infinity. "
                f"{_bad_weights(self.module)}"
            )
        if self.classes is not None and len(self.classes) != logits.shape[1]:
            raise UserError(
                f"Expected names for {logits.shape[1]} classes, but got {len(self.classes)}. Pass one for each logit."
            )

    def __repr__(self) -> str:
        layers, preprocess = ", ".join(self.layers) or "none", shown(self.preprocess)
        single = f", two classes of one {self.single}" if self.single else ""
        single = ", predictions of numbers" if self.numbers else single
        about = f"{self._about_head()}{single}, layers {layers}, preprocess {preprocess}"
        return f"{type(self).__name__}({self.name!r}, {about})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of how the model was read."""
        if not self.single or self.numbers:
            return ()
        return (
            f"The model gives one {self.single} an input: it counts as two classes through the sigmoid, class 1 where "
            f"the {self.single} is above {'0' if self.single == 'logit' else '0.5'}.",
        )

    def _about_head(self) -> str:
        if self.feature_layer:
            return f"features of {self.feature_layer!r}, no linear head"
        if self.site is None:
            return "no linear head"
        pool = "" if self.site.pool in ("as it is", "flattened") else f", {self.site.pool}"
        classes, features = self.site.head(self.module).weight.shape
        return f"head {self.site.name!r} [{classes} classes, {features} features{pool}]"

    @property
    def head(self) -> Head | None:
        """The linear head as it is now, a copy: it stays what it is when the model is trained on."""
        if self.site is None or self.numbers:
            return None
        head = self.site.head(self.module)
        return Head(head.weight.clone(), head.bias.clone())

    @property
    def offers(self) -> frozenset[str]:
        has = {
            "logits": not self.numbers,
            "features": self.site or self.feature_layer,
            "head": self.site and not self.numbers,
            "layers": self.layers,
            "gradients": not self.numbers and self.differentiable and getattr(self.preprocess, "fractions", True),
            "pictures": isinstance(self.preprocess, Pictures),
        }
        return frozenset(name for name, value in has.items() if value)

    @cached_property
    def input_std(self) -> Tensor:
        """What the preprocessing divides by, [C, 1, 1]."""
        scale = getattr(self.preprocess, "scale", None)
        return torch.ones(()) if scale is None else scale.to(self.device)

    @cached_property
    def input_mean(self) -> Tensor:
        """What the preprocessing subtracts, [C, 1, 1]."""
        offset = getattr(self.preprocess, "offset", None)
        return torch.zeros(()) if offset is None else offset.to(self.device)

    def prepare(self, batch: Items) -> Tensor:
        x = self.preprocess(batch).to(self.device)
        whole = not getattr(self.preprocess, "fractions", True)
        return x.to(_placed(self.module).dtype) if x.is_floating_point() and not whole else x

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """One forward pass; ``forwards`` counts the inputs of all passes so far.

        Raises
        ------
        UserError
            Inputs of a shape that the model cannot take.
        """
        self.forwards += len(x)
        seen: dict[str, Any] = {}
        known = dict(self.module.named_modules(remove_duplicate=False))
        wanted = {name: known[name] for name in {*layers, *filter(None, [self.feature_layer])}}
        inputs = heads.Inputs(self.module)
        listening = heads.listening(wanted, lambda name, _, __, output: seen.update({name: output}))
        with listening, inputs.heard([self.site.name] if self.site else []):
            logits = self._logits(x)
        found = {name: seen[name] for name in layers}
        features = head = None
        if self.site is not None:
            head = self.site.head(self.module)
            features = self.site.features(inputs.seen[self.site.name], head, logits)
        elif self.feature_layer:
            features = heads.pooled(seen[self.feature_layer], self.feature_layer)
        if not self.numbers:
            return Outputs(logits, features, head=head, layers=found)
        numbers = logits[:, 1:] - logits[:, :1] if self.single else logits
        return Outputs(features=features, predictions=numbers, layers=found)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        modes = {module: module.training for module in self.module.modules()}
        self.module.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training

    @contextmanager
    def changed(self, layer: str, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Inside, forward passes go on from what ``change`` makes of the output of a layer."""
        place = dict(self.module.named_modules(remove_duplicate=False))[layer]
        handle = place.register_forward_hook(lambda _, __, output: change(output))
        try:
            yield
        finally:
            handle.remove()

    def digest(self) -> str:
        module = self.module
        return keys.key(
            weights=keys.of_tensors({**dict(module.named_buffers()), **dict(module.named_parameters())}),
            architecture=repr(module),
            code=sorted({code_of(kind) for kind in (heads.Site, *type(self).__mro__, *map(type, module.modules()))}),
            preprocess=stated(self.preprocess),
            site=self.site,
            features=self.feature_layer,
            layers=self.layers,
            **({"numbers": True} if self.numbers else {}),
        )

    def _run(self, x: Tensor) -> Any:
        if not isinstance(self.preprocess, Named):
            return self.module(x)
        dtype = _placed(self.module).dtype
        given = self.preprocess.apart(x).items()
        return self.module(**{name: value.to(dtype) if value.is_floating_point() else value for name, value in given})

    def _logits(self, x: Tensor) -> Tensor:
        raw = logits_of(self._answer(x), len(x))
        if raw.shape[1] > 1:
            return raw
        return heads.two_sided(torch.logit(raw) if self.single == "probability" else raw)

    def _answer(self, x: Tensor) -> Any:
        """What the module returns; where it cannot take such inputs, what is to be done."""
        try:
            return self._run(x)
        except IndexError as error:
            raise self._cannot_take(x, error) from error
        except (RuntimeError, ValueError, AssertionError, KeyError) as error:
            if isinstance(error, torch.OutOfMemoryError) or not self._reads_otherwise(x):
                raise
            raise self._cannot_take(x, error) from error
        except TypeError as error:
            if self._binds():
                raise
            raise self._cannot_take(x, error) from error

    def _cannot_take(self, x: Tensor, error: Exception) -> UserError:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return UserError(
            f"Expected inputs that {self.name!r} can take, but it failed on {list(x.shape)}: {reason} {self._hint(x)}"
        )

    def _binds(self) -> bool:
        """Whether the module's ``forward`` can be called with what it is given."""
        names = [name for name, *_ in self.preprocess.inputs] if isinstance(self.preprocess, Named) else []
        try:
            inspect.signature(self.module.forward).bind(*([] if names else [0]), **dict.fromkeys(names))
        except TypeError:
            return False
        except ValueError:  # it states no signature
            return True
        return True

    def _reads_otherwise(self, x: Tensor) -> bool:
        """Whether the model has not taken an input of this shape before."""
        return not self.forwards or tuple(x.shape[1:]) != self._example_shape

    def _hint(self, x: Tensor) -> str:
        reads = next((layer.in_channels for layer in self.module.modules() if isinstance(layer, nn.Conv2d)), None)
        if reads is not None and x.ndim == 4 and x.shape[1] != reads:
            return f"Its first convolution reads {reads} channels: pass preprocess=Pictures(channels={reads})."
        if not self._binds():
            wanted = [name for name, one in _parameters(self.module).items() if one.default is one.empty]
            given = ", ".join(f"{name!r}: ..." for name in wanted)
            return f"Its forward takes {', '.join(wanted)}: pass items by name, ({{{given}}}, labels)."
        known = next((one.num_embeddings for one in self.module.modules() if isinstance(one, nn.Embedding)), None)
        if known is not None and isinstance(self.preprocess, Named):
            return f"Its embedding knows the numbers 0 to {known - 1:,}: look at the inputs."
        if known is not None and x.is_floating_point():
            first = next(iter(_parameters(self.module)), "x")
            return f"It reads whole numbers: pass items by name, which keeps their type, ({{{first!r}: ...}}, labels)."
        if x.ndim == 2:
            return "Pass rows with the columns that it was trained on."
        return "Pass `preprocess` that gives the size it was trained on, for example Pictures(side=32)."


def _asks_for(module: nn.Module, example: Items) -> bool:
    """Whether the items are records whose names are what ``forward`` takes."""
    if not len(example) or not isinstance(example[0], Mapping):
        return False
    return set(example[0]) <= set(_parameters(module))


def _parameters(module: nn.Module) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(module.forward).parameters


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside of ``DataParallel``, ``DistributedDataParallel`` and ``torch.compile``.

    Examples
    --------
    >>> net = nn.Linear(2, 1)
    >>> unwrapped(nn.DataParallel(net)) is net
    True
    """
    while True:
        inner = getattr(module, "_orig_mod", None)
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _placed(module: nn.Module) -> Tensor:
    """A tensor of the module's device and precision."""
    tensors = (tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point())
    return next(tensors, torch.empty(0))


def _bad_weights(module: nn.Module) -> str:
    bad = [name for name, weight in module.named_parameters() if not weight.isfinite().all()]
    if bad:
        return f"Its weights {', '.join(bad[:3])}{', ...' * (len(bad) > 3)} hold such values: load others."
    return "Its weights are finite: look at the preprocessing."


def logits_of(output: Any, rows: int | None = None) -> Tensor:
    """The logits [n, C] of what a module returned: a tensor, an object or mapping with ``logits`` or ``out``, a tuple's
    first; a tensor [n] as [n, 1].

    Raises
    ------
    UserError
        There are none, of whole numbers, or for another number of inputs than ``rows``.

    Examples
    --------
    >>> logits_of({"logits": torch.ones(1, 2)}), logits_of((torch.zeros(1, 2), "what else"))
    (tensor([[1., 1.]]), tensor([[0., 0.]]))
    """
    found = _named_logits(output)
    found = found[0] if isinstance(found, (tuple, list)) and found else found
    if rows is not None and isinstance(found, Tensor) and found.shape == (rows,):
        found = found[:, None]
    if not isinstance(found, Tensor) or found.ndim != 2 or not found.shape[1] or not found.is_floating_point():
        shape = f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(output).__name__}"
        whole = f" of {found.dtype}" if isinstance(found, Tensor) and not found.is_floating_point() else ""
        raise UserError(
            "Expected a model that returns logits [n, classes] of at least 2 classes, or one logit [n, 1], but it "
            f"returned {shape}{whole}. Wrap it in one that does."
        )
    if rows is not None and len(found) != rows:
        raise UserError(
            f"Expected logits for each of {rows} inputs, but the model returned {len(found)} rows. "
            "Let it return one row for each input, in their order."
        )
    return found


def _named_logits(output: Any) -> Any:
    if isinstance(output, Mapping):
        return output.get("logits", output.get("out"))
    return getattr(output, "logits", output)


def load_into(module: nn.Module, weights: Mapping[str, Tensor], about: str = "the model") -> nn.Module:
    """The module with these weights, every one of them; counters of batch normalisation, which old files lack, aside.

    Where all of them stand under one attribute (``model.``, as in checkpoints of Lightning) they are taken from there.

    Raises
    ------
    UserError
        Weights that are missing, unknown or of another shape: they belong to another network.

    Examples
    --------
    >>> load_into(nn.Linear(2, 1), {"weight": torch.zeros(1, 2), "scale": torch.ones(1)}, "tiny")
    Traceback (most recent call last):
    outfield.errors.UserError: Expected the weights of tiny, but got others: bias missing; scale unknown. ...
    """
    own = module.state_dict()
    weights = _within(_under_module(weights, own), [name for name in own if not name.endswith("num_batches_tracked")])
    faults = {
        "missing": [name for name in own if name not in weights and not name.endswith("num_batches_tracked")],
        "unknown": [name for name in weights if name not in own],
        "of another shape": [n for n in own if n in weights and own[n].shape != weights[n].shape],
    }
    if any(faults.values()):
        told = "; ".join(f"{_some(names)} {what}" for what, names in faults.items() if names)
        raise UserError(
            f"Expected the weights of {about}, but got others: {told}. "
            "Pass the network that they were trained with (its depth, width and classes)."
        )
    module.load_state_dict(dict(weights))
    return module


def _under_module(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights whose leading ``module.`` was taken for a wrapper's, under it again where it is the network's own."""
    lost = {name for name in weights if name not in own and f"module.{name}" in own}
    return {f"module.{name}" if name in lost else name: value for name, value in weights.items()}


def _within(weights: Mapping[str, Tensor], own: Sequence[str]) -> Mapping[str, Tensor]:
    """The weights under the attribute that holds a whole network; as they are where none does."""
    if not own or all(name in weights for name in own):
        return weights
    before = [name.removesuffix(own[0]) for name in weights if name.endswith(f".{own[0]}")]
    whole = [prefix for prefix in before if all(prefix + name in weights for name in own)]
    if len(whole) > 1:
        raise UserError(
            f"Expected the weights of one network, but the file holds {len(whole)}, under {', '.join(sorted(whole))}. "
            "Save those that are meant in a file of their own."
        )
    prefix = whole[0] if whole else ""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) and "nsupported" in str(error):
            raise UserError(
                f"Expected a file of tensors at {path}, but it holds other Python objects, and loading those can run "
                "any code. If you trust it, load it yourself and save its tensors: "
                "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')."
            ) from None
        if "TorchScript" in str(error):
            raise UserError(
                f"Expected a file of tensors at {path}, but it is a TorchScript archive, whose layers stay closed. "
                "Save the weights of the network that it was made from: torch.save(network.state_dict(), 'net.pt')."
            ) from None
        raise UserError(
            f"Expected a file of tensors at {path}, but it cannot be read ({type(error).__name__}). "
            "It may be cut off: save or download the weights again."
        ) from None
    return _state_dict(loaded, path)


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in ("state_dict", "model_state_dict", "model", "net", "online_backbone"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserError(f"Expected a state dict (names to tensors) in {path}, but got a {type(loaded).__name__}.")
    return {name.removeprefix("module.").removeprefix("_orig_mod."): value for name, value in loaded.items()}
