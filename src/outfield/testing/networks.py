"""What every network keeps."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from outfield.models.networks._weight_names import renamed
from outfield.testing._expect import all_of, expect, is_found_by_its_name

CLASSES = 5


@dataclass(frozen=True, eq=False)
class Built:
    """A network plug-in with what it is made with and what it reads.

    Parameters
    ----------
    cls : type
    arguments : mapping
        What it is made with.
    x : Tensor [n, ...]
        At least four inputs.
    """

    cls: type[nn.Module]
    arguments: dict[str, Any] = field(default_factory=dict)
    x: Tensor = field(default_factory=lambda: torch.zeros(0))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.cls.__name__}({given})"

    def __call__(self, seed: int = 0) -> nn.Module:
        """A fresh one."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.cls(**self.arguments)


def check_network(network: type[nn.Module], x: Tensor | None = None, **arguments: Any) -> None:
    """The contract of a network plug-in.

    Parameters
    ----------
    network : type
    x : Tensor [n, ...], optional
        At least four inputs that it reads. By default pictures of 16 pixels a side, grey and in colour; rows of six
        numbers where its ``items`` is ``"rows"``.
    arguments
        What it is made with. By default five ``classes``, ``side`` 16 and six ``columns``, where it takes these.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.models.networks.small_cnn import SmallCNN
    >>> check_network(SmallCNN)
    """
    for built in of(network, x, **arguments):
        all_of(CHECKS, built)


def of(network: type[nn.Module], x: Tensor | None = None, **arguments: Any) -> tuple[Built, ...]:
    """The network as the checks take it: on what ``items`` says that it reads, pictures where it says nothing.

    Raises
    ------
    AssertionError
        It reads other items than can be made here, and no inputs are given.
    """
    takes = inspect.signature(network).parameters
    usually: dict[str, Any] = {
        "classes": CLASSES,
        "side": 16,
        "columns": 6,
        "names": ("circle", "square", "star", "ring", "moon"),
    }
    usual = {name: value for name, value in usually.items() if name in takes}
    if x is not None:
        return (Built(network, usual | arguments, x),)
    made = [usual | {"channels": channels} for channels in (1, 3)] if "channels" in takes else [usual]
    shapes = {"pictures": (8, 0, 16, 16), "rows": (8, 6)}
    reads = getattr(network, "items", "pictures")
    known = reads in shapes and (reads == "rows" or "channels" in takes)
    expect(known, f"inputs for {network.__name__}, `check_network({network.__name__}, x=...)`", "none")
    chance = torch.Generator().manual_seed(0)
    sizes = [[one or given["channels"] for one in shapes[reads]] for given in made]
    pairs = zip(made, sizes, strict=True)
    return tuple(Built(network, given | arguments, torch.rand(size, generator=chance)) for given, size in pairs)


def name(built: Built) -> None:
    """It is found by its name."""
    is_found_by_its_name("networks", built.cls)


def outputs(built: Built) -> None:
    """Finite outputs, one row for each input; of a classifier the logits of a linear layer named ``head``."""
    network = built().eval()
    seen: list[tuple[Tensor, Tensor]] = []
    head = getattr(network, "head", None)
    classifies = "classes" in built.arguments
    expect(not classifies or isinstance(head, nn.Linear), "a classifier's linear layer `head`", head)
    if isinstance(head, nn.Linear):
        head.register_forward_hook(lambda _, given, output: seen.append((given[0], output)))
    found = network(built.x)
    expect(isinstance(found, Tensor) and len(found) == len(built.x), f"a tensor [{len(built.x)}, ...]", type(found))
    expect(found.isfinite().all(), "finite outputs", "others")
    if classifies:
        shape = (len(built.x), built.arguments["classes"])
        expect(found.shape == shape, f"logits {list(shape)}", list(found.shape))
        expect(bool(seen) and torch.equal(seen[0][1], found), "the outputs of `head` as logits, unchanged", "others")
        rectified = any(isinstance(module, nn.ReLU) for module in network.modules())
        expect(not rectified or (seen[0][0] >= 0).all(), "features that follow a ReLU", "negative ones")


def parameters(built: Built) -> None:
    """What it can be made with is plain JSON."""
    given = inspect.signature(built.cls).parameters.values()
    defaults = [one.default for one in given if one.default is not inspect.Parameter.empty]
    listed = [list(one) if isinstance(one, tuple) else one for one in defaults]
    expect(json.loads(json.dumps(listed)) == listed, "parameters of plain JSON", defaults)


def random_state(built: Built) -> None:
    """Equal random state gives equal weights."""
    one, two = (dict(built(seed=3).state_dict()) for _ in range(2))
    apart = [key for key in one if not torch.equal(one[key], two[key])]
    expect(not apart, "equal weights from equal random state", f"others of {apart}")


def inputs_alone(built: Built) -> None:
    """An input is judged alone."""
    network = built().eval()
    with torch.no_grad():
        together, alone = network(built.x[:4])[1:2], network(built.x[1:2])
    near = together.shape == alone.shape and torch.allclose(together, alone, rtol=1.3e-6, atol=1e-5)
    expect(near, "the same outputs for an input alone and in a batch", "others")


def parameters_learn(built: Built) -> None:
    """A gradient reaches every parameter."""
    network = built().train()
    found = network(built.x)
    (found.logsumexp(1) if found.ndim > 1 else found).sum().backward()
    still = [key for key, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
    expect(not still, "a gradient for every parameter", f"none for {still}")


def published_names(built: Built) -> None:
    """The table of published names leaves the network's own names as they are."""
    weights = built().state_dict()
    found = renamed(weights, getattr(built.cls, "published", {}))
    expect(found.keys() == weights.keys(), "its own names unchanged", sorted(set(found) ^ set(weights)))


CHECKS: tuple[Callable[[Built], None], ...] = (
    name, outputs, parameters, random_state, inputs_alone, parameters_learn, published_names
)  # fmt: skip
