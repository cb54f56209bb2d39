"""Any ``torch.nn.Module`` as a model."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from outfield import keys
from outfield.data.base import Batch
from outfield.errors import UserError
from outfield.models import heads
from outfield.models.preprocess import Pictures, Preprocess, code_of, shown, stated
from outfield.types import Head, Outputs


class TorchModel:
    """A ``torch.nn.Module`` that maps a batch of inputs to logits.

    The head is the linear layer that made the logits of one traced batch (see ``heads.trace``), the features are
    what goes into it; ``print(model)`` says which. Wrappers (``DataParallel``, ``torch.compile``) are taken off.

    Parameters
    ----------
    module : nn.Module
        Returns logits [n, C]; or an object or mapping with ``logits``, or a tuple that begins with them.
    example : Batch
        A few items of the data, to trace with.
    preprocess : callable, optional
        Items to input tensor; ``Pictures()`` by default.
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

    Raises
    ------
    UserError
        No example; a module that does not return logits of at least two classes, or returns NaN; names that are
        no layers.

    Examples
    --------
    >>> import numpy as np
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> model = TorchModel(net, example=np.zeros((1, 2, 2, 1), np.float32), name="tiny")
    >>> model
    TorchModel('tiny', head '3' [2 classes, 3 features], layers none, preprocess Pictures())
    """

    differentiable = True

    def __init__(
        self,
        module: nn.Module,
        example: Batch,
        *,
        preprocess: Preprocess | None = None,
        head: str | None = None,
        features: str | None = None,
        layers: Sequence[str] | None = None,
        name: str = "model",
        classes: Sequence[str] | None = None,
        device: str | None = None,
    ) -> None:
        self.name, self.forwards = name, 0
        self.module = unwrapped(module) if device is None else unwrapped(module).to(device)
        self.device = _placed(self.module).device
        self.preprocess = preprocess or Pictures()
        self.feature_layer = features
        self._example_shape: tuple[int, ...] = ()
        found = self._traced(example, head)
        self.site = None if features else found.site
        self.layers = found.layers if layers is None else tuple(layers)
        self.classes = None if classes is None else tuple(map(str, classes))
        self._check(found.logits)

    def _traced(self, example: Batch, head: str | None) -> heads.Trace:
        if not len(example):
            raise UserError("Expected an example of at least one item to trace the model with, but got none. Pass one.")
        x = self.prepare(example)
        self._example_shape = tuple(x.shape[1:])
        with self.evaluating():
            return heads.trace(self.module, x, self._logits, head)

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
        return f"{type(self).__name__}({self.name!r}, {self._about_head()}, layers {layers}, preprocess {preprocess})"

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
        if self.site is None:
            return None
        head = self.site.head(self.module)
        return Head(head.weight.clone(), head.bias.clone())

    @property
    def offers(self) -> frozenset[str]:
        has = {
            "features": self.site or self.feature_layer,
            "head": self.site,
            "layers": self.layers,
            "gradients": self.differentiable,
        }
        return frozenset(name for name, value in has.items() if value)

    @cached_property
    def input_std(self) -> Tensor:
        """What the preprocessing divides by, [C, 1, 1]."""
        scale = getattr(self.preprocess, "scale", None)
        return torch.ones(()) if scale is None else scale.to(self.device)

    def prepare(self, batch: Batch) -> Tensor:
        x = self.preprocess(batch).to(self.device)
        return x.to(_placed(self.module).dtype) if x.is_floating_point() else x

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
        if self.site is None:
            features = heads.pooled(seen[self.feature_layer], self.feature_layer) if self.feature_layer else None
            return Outputs(logits, features, layers=found)
        head = self.site.head(self.module)
        features = self.site.features(inputs.seen[self.site.name], head, logits)
        return Outputs(logits, features, head=head, layers=found)

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
        module = self.module
        return keys.key(
            weights=keys.of_tensors({**dict(module.named_buffers()), **dict(module.named_parameters())}),
            architecture=repr(module),
            code=sorted({code_of(kind) for kind in (heads.Site, *type(self).__mro__, *map(type, module.modules()))}),
            preprocess=stated(self.preprocess),
            site=self.site,
            features=self.feature_layer,
            layers=self.layers,
        )

    def _run(self, x: Tensor) -> Any:
        return self.module(x)

    def _logits(self, x: Tensor) -> Tensor:
        try:
            return logits_of(self._run(x))
        except (RuntimeError, ValueError, AssertionError) as error:
            if isinstance(error, torch.OutOfMemoryError) or not self._reads_otherwise(x):
                raise
            raise UserError(
                f"Expected inputs that {self.name!r} can take, but it failed on {list(x.shape)}: "
                f"{str(error).splitlines()[0]} {self._hint(x)}"
            ) from error

    def _reads_otherwise(self, x: Tensor) -> bool:
        """Whether the model has not taken an input of this shape before."""
        return not self.forwards or tuple(x.shape[1:]) != self._example_shape

    def _hint(self, x: Tensor) -> str:
        reads = next((layer.in_channels for layer in self.module.modules() if isinstance(layer, nn.Conv2d)), None)
        if reads is not None and x.ndim == 4 and x.shape[1] != reads:
            return f"Its first convolution reads {reads} channels: pass preprocess=Pictures(channels={reads})."
        return "Pass `preprocess` that gives the size it was trained on, for example Pictures(side=32)."


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside of ``DataParallel``, ``DistributedDataParallel`` and ``torch.compile``."""
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


def logits_of(output: Any) -> Tensor:
    """The logits [n, C] of what a module returned: a tensor, an object or mapping with ``logits``, a tuple's first.

    Raises
    ------
    UserError
        There are none, or of fewer than two classes.
    """
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    found = found[0] if isinstance(found, (tuple, list)) and found else found
    if isinstance(found, Tensor) and found.ndim == 2 and found.shape[1] > 1:
        return found
    shape = f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(output).__name__}"
    raise UserError(
        f"Expected a model that returns logits [n, classes] of at least 2 classes, but it returned {shape}. "
        "Wrap it in one that does."
    )


def load_into(module: nn.Module, weights: Mapping[str, Tensor], about: str = "the model") -> nn.Module:
    """The module with these weights, every one of them; counters of batch normalisation, which old files lack, aside.

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
