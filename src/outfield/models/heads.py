"""Finding the classifier head: the linear operation whose output is the logits, and what goes into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from outfield.errors import UserError
from outfield.types import Head

Hook = Callable[[str, nn.Module, Any, Any], None]
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NO_MAPS = (nn.Identity, nn.Dropout, nn.LayerNorm, nn.RMSNorm, nn.Linear, nn.Softmax)
"""Leaves whose four axes are tokens and attention heads, or that change nothing."""
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda x: x,
    "channel means": lambda x: x.flatten(2).mean(2),
    "flattened": lambda x: x.flatten(1),
    "token means": lambda x: x.flatten(1, -2).mean(1),
}
"""How the head's input becomes one row [D] per model input; beside them ``ONE_TOKEN``."""
FLOOR = 1e-12
"""Smallest probability whose logarithm is taken."""
ONE_TOKEN = "one token"


@dataclass(frozen=True)
class Site:
    """Where a module applies its linear head.

    Parameters
    ----------
    name : str
        Of the layer, or of the weight where it is used through a functional call.
    weight, bias : str
        Dotted names of the tensors; no bias is None.
    call : int
        Which of the layer's calls in one forward pass: layers may be shared.
    pool : str
        Key of ``POOLS``, or ``ONE_TOKEN``: what turns the layer's input into features [n, D].
    """

    name: str
    weight: str
    bias: str | None
    call: int = 0
    pool: str = "as it is"

    def head(self, module: nn.Module) -> Head:
        """Weight [C, D] and bias [C] as they are now, not copied; those of one logit as of two classes."""
        weight = attrgetter(self.weight)(module).detach().flatten(1)
        bias = weight.new_zeros(len(weight)) if self.bias is None else attrgetter(self.bias)(module).detach()
        return Head(weight, bias) if len(weight) > 1 else Head(two_sided(weight.T).T, two_sided(bias[:, None])[0])

    def features(self, calls: Sequence[Tensor], head: Head, logits: Tensor) -> Tensor:
        """The head's input in the right call, pooled to [n, D]."""
        x = calls[self.call]
        return _chosen_token(x, head, logits) if self.pool == ONE_TOKEN else POOLS[self.pool](x)


def two_sided(logit: Tensor) -> Tensor:
    """One logit [n, 1] of a binary classifier as two [n, 2], whose softmax is its sigmoid: ``[-z, z] / 2``.

    Examples
    --------
    >>> two_sided(torch.tensor([[3.0]]))
    tensor([[-1.5000,  1.5000]])
    """
    return torch.cat([-logit, logit], dim=1) / 2


def _chosen_token(x: Tensor, head: Head, logits: Tensor) -> Tensor:
    """Of the places [n, ..., D] that went through the head, the one for each row that gave its logits."""
    tokens = x.flatten(1, -2)
    with torch.no_grad():
        place = (head(tokens) - logits[:, None]).abs().amax(2).argmin(1)
    return tokens[torch.arange(tokens.shape[0], device=tokens.device), place]


@dataclass(frozen=True)
class Trace:
    """What one batch showed of a model: where its head is, its logits, and the layers that give feature maps."""

    site: Site | None
    logits: Tensor
    layers: tuple[str, ...]


@contextmanager
def listening(modules: dict[str, nn.Module], hear: Hook) -> Iterator[None]:
    """Call ``hear(name, module, first_input, output)`` for every forward of the named modules."""

    def hook(name: str) -> Callable[..., None]:
        return lambda module, args, kwargs, output: hear(
            name, module, next(iter((*args, *kwargs.values())), None), output
        )

    handles = [module.register_forward_hook(hook(name), with_kwargs=True) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class Inputs:
    """The inputs of linear operations during forward passes, by the name of layer or weight."""

    module: nn.Module
    seen: dict[str, list[Tensor]] = field(default_factory=dict)

    def _hear(self, name: str, _: nn.Module, x: Any, __: Any) -> None:
        self.seen.setdefault(name, []).append(x)

    @contextmanager
    def heard(self, names: Sequence[str] | None = None) -> Iterator[dict[str, list[Tensor]]]:
        """Listen to all linear operations, or to the named ones, while the block runs."""
        layers = {name: layer for name, layer in _linear_layers(self.module) if names is None or name in names}
        weights = {name: weight for name, weight in _weights(self.module) if names is None or name in names}
        with listening(layers, self._hear):
            if names is not None and not weights:
                yield self.seen
                return
            with _FunctionalCalls(weights, self.seen):
                yield self.seen


class _FunctionalCalls(TorchFunctionMode):
    """Hears ``functional.linear`` called with one of the weights."""

    def __init__(self, weights: dict[str, Tensor], seen: dict[str, list[Tensor]]) -> None:
        super().__init__()
        self.names = {id(weight): name for name, weight in weights.items()}
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(zip(("input", "weight"), args, strict=False)) | (kwargs or {})
        if func is functional.linear and (name := self.names.get(id(given["weight"]))):
            self.seen.setdefault(name, []).append(given["input"])
        return func(*args, **(kwargs or {}))


def _linear_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, *_CONVOLUTIONS)):
            yield name, layer


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, weight) for name, weight in module.named_parameters() if weight.ndim == 2)


def last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the last linear layer.

    Raises
    ------
    UserError
        The network has no linear layer.
    """
    linear = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(
            f"Expected a network with a linear layer at its end, but {type(network).__name__} has none. "
            "Pass a network whose logits come from torch.nn.Linear."
        )
    return linear[-1]


def trace(module: nn.Module, x: Tensor, call: Callable[[Tensor], Tensor], head: str | None = None) -> Trace:
    """Run one batch and see which linear operation made the logits, and which blocks gave feature maps.

    A candidate is the head only where ``features @ weight.T + bias`` gives the logits again, so that what a
    detector does to the features can be followed to the logits. Linear layers, convolutions over one place
    (1 x 1, before or after the pooling) and weights used through ``functional.linear`` are tried, the last one first.
    Where all logits are zero and several fit, as in a network before training, none is taken.

    Parameters
    ----------
    module : nn.Module, in evaluation mode
    x : Tensor
        A prepared batch of at least one input.
    call : function
        ``call(x)`` runs the module and returns the logits [n, C].
    head : str, optional
        The only layer or weight to try.

    Raises
    ------
    UserError
        The named head is none, or gives other logits.
    """
    maps: dict[str, bool] = {}

    def hear(name: str, layer: nn.Module, _: Any, output: Any) -> None:
        maps_out = isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1
        if maps_out and not isinstance(layer, _NO_MAPS):
            maps[name] = next(layer.children(), None) is None

    inputs = Inputs(module)
    named = {name: layer for name, layer in module.named_modules() if name}
    with torch.inference_mode(), listening(named, hear), inputs.heard() as seen:
        logits = call(x)
    sites = [site for name in seen if head in (None, name) for site in _sites(module, name, seen[name])]
    gaps = {site: _gap(site, site.head(module), seen[site.name], logits) for site in sites}
    found = [site for site, gap in gaps.items() if gap <= tolerance(logits)]
    if head is not None and not found:
        raise _no_such_head(module, head, list(gaps.values()), logits)
    ambiguous = not logits.any() and len({site.weight for site in found}) > 1
    return Trace(found[-1] if found and not ambiguous else None, logits, _blocks(maps))


def _sites(module: nn.Module, name: str, calls: Sequence[Tensor]) -> Iterator[Site]:
    """Every way in which the calls of a layer, or of a weight, could have made logits."""
    layer = dict(module.named_modules()).get(name)
    if layer is None:
        weight, bias = name, _bias_of(module, name)
    else:
        weight, bias = _inside(name, "weight"), None if layer.bias is None else _inside(name, "bias")
    for i, x in enumerate(calls):
        yield from (Site(name, weight, bias, i, pool) for pool in _pools(layer, x))


def _inside(name: str, what: str) -> str:
    """The dotted name of a layer's tensor; the layer may be the whole module."""
    return f"{name}.{what}" if name else what


def _bias_of(module: nn.Module, weight: str) -> str | None:
    """The parameter that is called like the weight, but bias."""
    bias = f"{weight.removesuffix('weight')}bias"
    return bias if bias in dict(module.named_parameters()) else None


def _pools(layer: nn.Module | None, x: Tensor) -> tuple[str, ...]:
    """The pools that fit a layer's input; what weighs places unlike another is no linear head."""
    if isinstance(layer, _CONVOLUTIONS):
        whole = tuple(x.shape[2:]) == layer.kernel_size and set(layer.padding) == {0}
        point = set(layer.kernel_size) == set(layer.stride) == {1}
        return () if layer.groups > 1 else ("flattened",) * whole or ("channel means",) * point
    if layer is not None and x.shape[-1] != layer.in_features:
        return ()
    return ("as it is",) if x.ndim == 2 else ("token means", ONE_TOKEN)


def _gap(site: Site, head: Head, calls: Sequence[Tensor], logits: Tensor) -> float:
    """The largest difference between ``head(features)`` and the logits; infinity for other shapes."""
    if len(head.bias) != logits.shape[1] or len(calls[site.call]) != len(logits):
        return float("inf")
    features = site.features(calls, head, logits)
    return float((head.to(dtype=torch.float32)(features.float()) - logits.float()).abs().max())


def tolerance(logits: Tensor) -> float:
    """What rounding allows in the logits' own precision."""
    return max(1e-4, 4 * torch.finfo(logits.dtype).eps) * max(1.0, float(logits.abs().max()))


def _no_such_head(module: nn.Module, head: str, gaps: Sequence[float], logits: Tensor) -> UserError:
    known = dict(module.named_modules(remove_duplicate=False)) | dict(_weights(module))
    fitting = [name for name, layer in _linear_layers(module) if getattr(layer, "weight").shape[0] == logits.shape[1]]  # noqa: B009
    choose = f"Linear layers with {logits.shape[1]} outputs: {', '.join(fitting) or 'none'}."
    if head not in known:
        return UserError(f"Expected the name of a linear layer as head, but the model has no {head!r}. {choose}")
    if not gaps or min(gaps) == float("inf"):
        return UserError(
            f"Expected a linear head with {logits.shape[1]} outputs, but {head!r} ({type(known[head]).__name__}) is "
            f"none, or is not used in the forward pass. {choose}"
        )
    return UserError(
        f"Expected a head whose output is the logits, but that of {head!r} differs by up to {min(gaps):.2g}. "
        f"Leave `head` out to have it found. {choose}"
    )


def _blocks(maps: dict[str, bool]) -> tuple[str, ...]:
    """The shallowest level of the module tree with at least two layers that give maps; blocks rather than leaves."""
    for depth in sorted({name.count(".") for name in maps}):
        level = [name for name in maps if name.count(".") == depth]
        for found in ([name for name in level if not maps[name]], level):
            if len(found) > 1:
                return tuple(found)
    return ()


def pooled(output: Any, name: str) -> Tensor:
    """A layer's output as features [n, D]: channel means of maps [n, D, ...], token means of tokens [n, T, D].

    Raises
    ------
    UserError
        The layer gives no tensor of rows.
    """
    if not isinstance(output, Tensor) or output.ndim < 2:
        raise UserError(f"Expected features from the layer {name!r}, but it gives no tensor [n, ...]. Name another.")
    return output if output.ndim == 2 else output.mean(1) if output.ndim == 3 else output.flatten(2).mean(2)


def check_layers(wanted: Sequence[str], module: nn.Module) -> None:
    """``UserError`` for names that are no layers of the module."""
    known = dict(module.named_modules(remove_duplicate=False))
    if absent := [name for name in wanted if name not in known]:
        raise UserError(
            f"Expected names of layers, but the model has no {', '.join(absent)}. "
            f"Its layers are: {', '.join(name for name in known if name)}."
        )
