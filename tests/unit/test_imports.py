"""Imports point one way, and listing what there is imports no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LAYERS = (
    {"strict_yaml", "errors", "types", "registry", "keys", "places", "checksums", "temporary_files"},
    {"data"},
    {"models"},
    {"features"},
    {"detectors", "metrics"},
    {"strategies", "stats"},
    {"store", "tasks"},
    {"studies"},
    {"trajectory"},
    {"reports"},
    {"card"},
    {"guard", "dashboard"},
    {"cli"},
)
"""A package may import what stands in an earlier layer; those of one layer do not import each other."""

FREE_OF_TORCH = {"errors", "registry", "metrics", "stats", "store", "reports"}
PATH = {"numpy", "scipy", "torch", "safetensors"}
COMPUTE = ("types", "errors", "registry", "keys", "features", "detectors", "metrics", "data/shifts", "models/torch")

SOURCE = Path(__file__).parents[2] / "src" / "outfield"
FILES = sorted(SOURCE.rglob("*.py"))


def level(package: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if package in layer)


def package_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Full names of the modules that a file imports, those for typing alone aside."""
    tree = ast.parse(path.read_bytes())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree) if lazy else tree.body:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "outfield" else []
            yield from names or [str(node.module)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    if (own := package_of(path)) in ("__init__", "__main__"):
        return
    for name in imports(path):
        if name.startswith("outfield.") and (other := name.split(".")[1]) != own and own != "reference":
            if level(own) == level(other) == 0:
                continue
            if {own, other} == {"studies", "stats"}:
                pytest.fail(f"{path} imports {name}: rows lie between studies and statistics")
            assert level(other) < level(own), f"{path.relative_to(SOURCE)} imports {name}, which comes later"


@pytest.mark.parametrize("path", [p for p in FILES if package_of(p) in FREE_OF_TORCH], ids=lambda p: p.stem)
def test_what_needs_no_torch_does_not_import_it(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path, lazy=False)} & {"torch", "lightning_fabric"}


@pytest.mark.parametrize(
    "path", [p for p in FILES if str(p.relative_to(SOURCE)).startswith(COMPUTE)], ids=lambda p: p.stem
)
def test_the_compute_path_runs_on_a_bare_machine(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports(path, lazy=False)}
    allowed = PATH | {"outfield", "__future__"} | ({"PIL"} if package_of(path) == "models" else set())
    assert tops - set(sys.stdlib_module_names) <= allowed


def loaded(program: str) -> set[str]:
    code = f"import sys; {program}; print('|'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.strip().rpartition("\n")[2].split("|"))


def test_listing_imports_no_torch() -> None:
    modules = loaded("from outfield import registry; [registry.names(kind) for kind in registry.kinds()]")
    assert not modules & {"torch", "numpy", "outfield.detectors.base"}


def test_the_help_text_imports_no_torch() -> None:
    modules = loaded("import outfield.cli; outfield.cli.app()")
    assert not modules & {"torch", "numpy", "polars", "pydantic"}


def test_importing_outfield_imports_nothing_heavy() -> None:
    assert not loaded("import outfield") & {"torch", "numpy", "polars", "pydantic", "typer"}
