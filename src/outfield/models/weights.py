"""A file of weights as a model: the network that they belong to is named, made, and given them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from torch import Tensor, nn

from outfield import registry, strict_yaml
from outfield.errors import UserError, reading
from outfield.models.base import Model
from outfield.models.torch import TorchModel, load_into, load_weights

NETWORKS = "timm:resnet18?num_classes=10, one of outfield's own (resnet_cifar?classes=10&depth=20), or FILE.py:FUNCTION"


def open_weights(path: str | Path, *, network: Any = None, **options: Any) -> Model:
    """The network that is named, with the weights of a file.

    Files are read as tensors alone, never as pickled code. In a checkpoint of Lightning the network's weights may stand
    under the name of an attribute (``model.``, ``net.``); what is under other names is left out.

    Parameters
    ----------
    path : path of a ``.ckpt``, ``.pth``, ``.pt``, ``.safetensors`` or ``.bin`` file
    network : str or nn.Module
        ``timm:NAME?num_classes=10``, ``NAME?classes=10`` of outfield's own networks, ``FILE.py:FUNCTION``, or a module,
        of which a copy is filled.
    options
        As for ``TorchModel``.

    Raises
    ------
    UserError
        No network is named, there is none of that name, or the weights belong to another.
    """
    path = Path(path)
    weights = load_weights(path)
    if network is None:
        raise UserError(
            f"Expected the network that the weights in {path.name} belong to, for the file holds {_held(weights)} "
            f"alone. Say which: network='...' in Python, --network on the command line; {NETWORKS}.{_folder_of(path)}"
        )
    options = {"name": path.stem, **options}
    if isinstance(network, str) and network.startswith("timm:"):
        from outfield.models.timm import open_timm

        name, params = parsed(network.removeprefix("timm:"))
        return open_timm(name, weights=path, network=params, **options)
    module = load_into(_module(network), weights, f"{network if isinstance(network, str) else type(network).__name__}")
    if "example" not in options:
        raise UserError(
            f"Expected `example`, a few items of the data to trace {type(module).__name__} with, but got none. "
            "Pass some: example=data.read(slice(0, 2))."
        )
    return TorchModel(module.eval(), **options)


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Name and parameters of ``NAME?key=value&key=value``.

    Examples
    --------
    >>> parsed("resnet_cifar?classes=10&depth=20"), parsed("timm_net?rate=1e-3")
    (('resnet_cifar', {'classes': 10, 'depth': 20}), ('timm_net', {'rate': 0.001}))
    """
    name, _, query = text.partition("?")
    pairs = parse_qsl(query)
    if query.count("&") + bool(query) != len(pairs) or not all(key.isidentifier() for key, _ in pairs):
        raise UserError(f"Expected parameters as key=value with & between, but got {query!r}. Write, say, ?classes=10.")
    return name, {key: strict_yaml.parse(value, f"the parameters of {name}") for key, value in pairs}


def _module(network: Any) -> nn.Module:
    if isinstance(network, nn.Module):
        return copy.deepcopy(network)
    if not isinstance(network, (str, Path)):
        raise UserError(f"Expected a network as {NETWORKS}, or a torch module, but got a {type(network).__name__}.")
    path, _, function = str(network).rpartition(":")
    if path.endswith(".py") and function:
        from outfield.models.open import called

        made = called(Path(path), function)
        if isinstance(made, nn.Module):
            return made
        raise UserError(f"Expected {network} to return a torch module, but it returned a {type(made).__name__}.")
    name, params = parsed(str(network))
    registry.check("networks", name, params)
    wanted = inspect.signature(registry.find("networks", name)).parameters
    if absent := [one for one in wanted if wanted[one].default is inspect.Parameter.empty and one not in params]:
        raise UserError(
            f"Expected {' and '.join(absent)} of the network {name!r}, but it is not given. "
            f"Write {name}?{'&'.join(f'{one}=...' for one in absent)}."
        )
    with reading(network, "a network that can be made of these parameters", "Mend their values."):
        made = registry.create("networks", name, **params)
    assert isinstance(made, nn.Module)
    return made


def _held(weights: Mapping[str, Tensor]) -> str:
    """What a file holds, in words: how many tensors, and the last matrix, whose rows are often the classes."""
    matrices = [name for name, value in weights.items() if value.ndim == 2]
    last = f", the last matrix {matrices[-1]!r} {list(weights[matrices[-1]].shape)}" if matrices else ""
    return f"{len(weights):,} tensors{last},"


def _folder_of(path: Path) -> str:
    if (path.parent / "config.json").is_file():
        return f" There is a config.json beside it: pass the folder, {path.parent}."
    return ""
