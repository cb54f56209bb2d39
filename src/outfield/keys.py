"""Content keys: the same inputs give the same key, a changed weight or parameter gives another."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

LENGTH = 20
"""Hexadecimal digits of a key: 80 bits."""


def key(**parts: Any) -> str:
    """The key of named parts: a digest of their canonical JSON.

    Examples
    --------
    >>> key(detector="msp", seed=0) == key(seed=0, detector="msp")
    True
    >>> key(seed=0) == key(seed=1)
    False
    """
    return digest(canonical(parts).encode())


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; dataclasses as their fields, with the class's name.

    Examples
    --------
    >>> canonical({"b": (1, 2), "a": 0.5})
    '{"a":0.5,"b":[1,2]}'
    """
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def plain(value: Any) -> Any:
    """A value as JSON knows it: dataclasses and tuples opened, paths as text.

    Raises
    ------
    TypeError
        For anything whose content JSON cannot state: no key may rest on ``repr``.

    Examples
    --------
    >>> plain({"path": Path("a/b"), "sizes": (1, 2), "names": {"b", "a"}})
    {'path': 'a/b', 'sizes': [1, 2], 'names': ['a', 'b']}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {"class": type(value).__name__, **{f.name: plain(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value))
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"Expected a value that JSON can state, but got {type(value).__name__}: {value!r}.")


def digest(*parts: bytes | memoryview) -> str:
    """SHA-256 of bytes, shortened to ``LENGTH`` digits.

    Examples
    --------
    >>> digest(b"ab", b"c") == digest(b"abc"), len(digest(b""))
    (True, 20)
    """
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part)
    return sha.hexdigest()[:LENGTH]


def of_array(array: np.ndarray) -> str:
    """Digest of an array's type, shape and content.

    Examples
    --------
    >>> import numpy as np
    >>> of_array(np.zeros(2)) == of_array(np.zeros((2, 1))), of_array(np.zeros(4)[::2]) == of_array(np.zeros(2))
    (False, True)
    """
    import numpy as np

    return digest(f"{array.dtype.str}{array.shape}".encode(), np.ascontiguousarray(array).view(np.uint8).data)


def of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Digest of named tensors, whatever order they come in: weights and detector states.

    Examples
    --------
    >>> import torch
    >>> a, b = torch.zeros(2), torch.ones(2)
    >>> of_tensors({"a": a, "b": b}) == of_tensors({"b": b, "a": a}) != of_tensors({"a": b, "b": a})
    True
    """
    return key(
        **{name: [str(tensor.dtype), list(tensor.shape), _of_tensor(tensor)] for name, tensor in tensors.items()}
    )


def _of_tensor(tensor: Tensor) -> str:
    import torch

    return of_array(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def of_file(path: Path) -> str:
    """Digest of a file's content.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> _ = path.write_text("It shifts.")
    >>> of_file(path) == digest(b"It shifts.")
    True
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:LENGTH]


def of_code(*things: Any) -> str:
    """Digest of the code behind ``things`` (classes, functions, modules): a step's code version.

    It covers the files that define them and every file of outfield that those import; comments, docstrings and the
    wording of errors do not count.

    Examples
    --------
    >>> from outfield.detectors import energy, knn
    >>> of_code(energy) == of_code(energy) != of_code(knn)
    True
    """
    return _of_files(frozenset(Path(inspect.getfile(thing)) for thing in things))


@cache
def _of_files(paths: frozenset[Path]) -> str:
    return key(files=sorted({_of_code(near) for path in paths for near in _behind(path)}))


SOURCE = Path(__file__).parent
_WORDING = ("outfield.errors", "outfield.registry")


@cache
def _behind(path: Path) -> frozenset[Path]:
    """A file, and all files of outfield that it needs, near and far."""
    found: set[Path] = set()
    ahead = [path]
    while ahead:
        found.add(one := ahead.pop())
        ahead += _imported(one) - found
    return frozenset(found)


@cache
def _imported(path: Path) -> frozenset[Path]:
    """Files of outfield that a file imports by name."""
    nodes = (node for node in ast.walk(_tree(path)) if isinstance(node, ast.ImportFrom))
    names = {name for node in nodes for name in (node.module or "", *(f"{node.module}.{n.name}" for n in node.names))}
    own = (name for name in names if name.startswith("outfield.") and not name.startswith(_WORDING))
    files = (SOURCE.joinpath(*name.split(".")[1:]).with_suffix(".py") for name in own)
    return frozenset(file for file in files if file.is_file())


@cache
def _of_code(path: Path) -> str:
    return digest(ast.dump(_tree(path)).encode())


@cache
def _tree(path: Path) -> ast.Module:
    """The syntax of a file, docstrings left out."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return tree
