"""Bring your own model: a name, a file or an object of any framework becomes a model of outfield."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from outfield.data.base import Items
from outfield.errors import UserError
from outfield.models.base import Model
from outfield.models.preprocess import Preprocess
from outfield.places import home

OPENERS = {
    "timm": "outfield.models.timm:open_timm",
    "clip": "outfield.models.clip:open_clip",
    "hf": "outfield.models.transformers:open_transformers",
    "onnx": "outfield.models.onnx:OnnxModel",
    "sklearn": "outfield.models.sklearn:open_sklearn",
    "weights": "outfield.models.weights:open_weights",
}
"""What stands before the colon, and what opens it."""
WEIGHTS = (".ckpt", ".pth", ".pt", ".safetensors", ".bin", ".tar")
"""Endings of files that hold weights alone: of torch, Lightning, safetensors and transformers."""
FORMS = (
    "timm:NAME, hf:NAME-or-folder, clip:mini-or-NAME-or-folder, onnx:FILE, sklearn:FILE.skops, FILE.py:CALLABLE, "
    "or a file of weights with `network`"
)


def open_model(
    what: Any,
    *,
    example: Items | None = None,
    head: str | None = None,
    features: str | None = None,
    layers: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    device: str | None = None,
    **options: Any,
) -> Model:
    """A model of any framework, its features, head, layers and preprocessing found; ``print`` shows them.

    Parameters
    ----------
    what : str or object
        ``timm:NAME`` (or a folder of one), ``hf:NAME-or-folder``, ``clip:NAME-or-folder`` with ``classes``,
        ``onnx:FILE``, ``sklearn:FILE.skops``,
        ``FILE.py:CALLABLE`` (a function without arguments that returns a model object); a file of weights (``.ckpt``,
        ``.pth``, ``.pt``, ``.safetensors``) with ``network``; or a module of torch, timm or transformers, a fitted
        classifier or regressor of scikit-learn, or what is a ``Model`` already.
    example : Items, optional
        A few items of the data; needed for torch modules, whose input nobody states.
    head, features, layers, preprocess, name, classes, device : optional
        Instead of what is found; see the adapter.
    options
        The adapter's own: ``network`` of weights, ``weights`` and ``network`` of timm, ``trusted`` of scikit-learn.

    Raises
    ------
    MissingExtra
        The framework is not installed; the message says the command.
    UserError
        No model of a known form; what the adapter cannot use.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> open_model(GaussianNB().fit([[0.0], [0.2], [1.0], [1.2]], [0, 0, 1, 1]))
    SklearnModel('GaussianNB', logits of predict_proba, features inputs, no linear head)
    """
    given = {
        "example": example,
        "head": head,
        "features": features,
        "layers": layers,
        "preprocess": preprocess,
        "name": name,
        "classes": classes,
        "device": device,
    }
    wanted = {key: value for key, value in given.items() if value is not None} | options
    return _by_name(str(what), wanted) if isinstance(what, (str, Path)) else _of_object(what, wanted)


def _by_name(what: str, options: dict[str, Any]) -> Model:
    kind, _, rest = what.partition(":")
    if what.startswith("~"):
        return _by_name(str(home(what)), options)
    if kind in OPENERS and rest.startswith("~"):
        rest = str(home(rest))
    if kind in OPENERS and rest:
        return _made(_opener(OPENERS[kind]), rest, options)
    path, _, function = what.rpartition(":")
    if path.endswith(".py") and function:
        return open_model(called(Path(path), function), **{"name": function, **options})
    known = {".onnx": "onnx", ".skops": "sklearn", ".pkl": "sklearn", ".joblib": "sklearn"}
    known |= dict.fromkeys(WEIGHTS, "weights")
    if (kind := known.get(Path(what).suffix.lower(), "")) or (Path(what) / "config.json").is_file():
        return _by_name(f"{kind or _of_folder(Path(what))}:{what}", options)
    raise UserError(f"Expected a model as {FORMS}, but got {what!r}. Write it in one of these forms.")


def named_by_data(what: Any) -> bool:
    """Whether a model takes the names of its classes from the data, unless they are given.

    Examples
    --------
    >>> named_by_data("clip:mini"), named_by_data("timm:resnet18")
    (True, False)
    """
    return isinstance(what, str) and what.startswith("clip:")


def _of_folder(folder: Path) -> str:
    """timm's configurations name their pretraining, those of transformers do not."""
    return "timm" if '"pretrained_cfg"' in (folder / "config.json").read_text(encoding="utf-8") else "hf"


def _opener(place: str) -> Callable[..., Model]:
    module, _, name = place.partition(":")
    opener: Callable[..., Model] = getattr(import_module(module), name)
    return opener


def _made(opener: Callable[..., Model], what: Any, options: dict[str, Any]) -> Model:
    """The model; an option that the adapter does not have is told."""
    try:
        return opener(what, **options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise UserError(
            f"Expected options of this kind of model, but got {str(error).rpartition(' ')[2]}. Leave it out."
        ) from error


def _of_object(what: Any, options: dict[str, Any]) -> Model:
    if isinstance(what, Model):
        return what
    if _is_module(what):
        return _of_module(what, options)
    if hasattr(what, "get_params") and hasattr(what, "predict"):
        return _made(_opener("outfield.models.sklearn:SklearnModel"), what, options)
    if isinstance(what, type):
        raise UserError(f"Expected a model, but got the class {what.__name__}. Make an instance of it, trained.")
    if isinstance(what, Mapping):
        raise UserError(
            f"Expected a model, but got a mapping of {len(what)} names, such as a state dict. "
            "Load it into its network, and pass that: network.load_state_dict(weights)."
        )
    raise UserError(
        f"Expected a torch module, a fitted model of scikit-learn, or a model as {FORMS}, but got a "
        f"{type(what).__name__}. Wrap it in a torch module that returns logits [n, classes]."
    )


def _is_module(what: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(what, torch.nn.Module)


def _of_module(what: Any, options: dict[str, Any]) -> Model:
    from outfield.models.torch import TorchModel, unwrapped

    what = unwrapped(what)
    if hasattr(what, "pretrained_cfg"):
        return _made(_opener("outfield.models.timm:TimmModel"), what, options)
    if hasattr(what, "config") and hasattr(what, "save_pretrained"):
        return _made(_opener("outfield.models.transformers:wrap"), what, options)
    if "example" not in options:
        raise UserError(
            f"Expected `example`, a few items of the data to trace {type(what).__name__} with, but got none. "
            "Pass some: example=data.read(slice(0, 2))."
        )
    return _made(TorchModel, what, options)


def called(path: Path, name: str) -> Any:
    """What the function of a Python file returns."""
    if not path.is_file():
        raise UserError(f"Expected a Python file at {path}, but there is none. Check the path.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        with _entered(module, path):
            spec.loader.exec_module(module)
            if not callable(function := getattr(module, name, None)):
                raise UserError(
                    f"Expected a function {name!r} in {path}, but there is none. Name one that returns a model."
                )
            return function if _is_module(function) else function()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"Expected {path}:{name} to return a model, but it failed: {_last(error, path)}") from error


@contextmanager
def _entered(module: ModuleType, path: Path) -> Iterator[None]:
    """The module of a file among those of Python, where dataclasses and pickles look for it.

    It stays, unless another module has its name, or the file fails.
    """
    name = module.__name__
    before, stays = sys.modules.get(name), False
    sys.modules[name] = module
    try:
        yield
        stays = not _is_taken(name, path, before)
    finally:
        if not stays:
            sys.modules.pop(name)
            sys.modules.update({} if before is None else {name: before})


def _is_taken(name: str, path: Path, before: ModuleType | None) -> bool:
    """Whether the name is that of a module in another file, imported or not."""
    spec = PathFinder.find_spec(name) if before is None else None
    if before is None and spec is None:
        return False
    file = getattr(before, "__file__", None) if spec is None else spec.origin
    return Path(file or "").absolute() != path.absolute()


def _last(error: Exception, path: Path) -> str:
    """The error and the line of the file that it came from."""
    import traceback

    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
    return f"{type(error).__name__}: {error}" + (f" (line {line})" if line else "")
