"""Imports point one way and in no circle, and listing what there is imports no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

LAYERS = (
    {"strict_yaml", "errors", "types", "registry", "keys", "places", "checksums", "temporary_files", "tags"},
    {"systems"},
    {"data"},
    {"models"},
    {"features"},
    {"detectors", "metrics"},
    {"tasks"},
    {"strategies", "stats"},
    {"estimators", "prototypes", "concepts"},
    {"store"},
    {"tables"},
    {"studies"},
    {"trajectory"},
    {"guard"},
    {"reports"},
    {"card"},
    {"dashboard"},
    {"cli"},
    {"testing"},
)
"""A package may import what stands in an earlier layer; those of one layer do not import each other."""

FREE_OF_TORCH = {"errors", "systems", "registry", "tags", "metrics", "stats", "store", "tables", "reports"}
PATH = {"numpy", "scipy", "torch", "safetensors"}
COMPUTE = ("types", "errors", "registry", "keys", "features", "detectors", "metrics", "data/shifts", "models/torch")


SOURCE = Path(__file__).parents[2] / "src" / "outfield"
FILES = sorted(SOURCE.rglob("*.py"))


MODULES = {".".join(("outfield", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in FILES}
MODULES = {name.removesuffix(".__init__"): path for name, path in MODULES.items()}


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
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES or node.module == "outfield" else str(node.module) for name in full)


def circle(graph: dict[str, set[str]]) -> str:
    """The first circle of modules, as ``a -> b -> a`` where each imports the next; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return ""


def test_modules_import_each_other_in_no_circle() -> None:
    """Imports within functions count: they hide a circle, and do not break it.

    Those under ``TYPE_CHECKING`` do not count: no program runs them. They may name what stands above, such as the
    class whose values a function below it takes. That a package is loaded before its modules does not count either;
    a module that takes names from the ``__init__`` of its own package does.
    """
    graph = {name: {other for other in imports(path) if other in MODULES} - {name} for name, path in MODULES.items()}
    assert not (found := circle(graph)), f"modules import each other in a circle: {found}"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("from outfield.studies import job", True),
        ("def run():\n    from outfield.studies.job import Job", True),
        ("def run():\n    import outfield.studies.job", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from outfield.studies import job", False),
        ("from outfield.studies import comparison", False),
    ],
)
def test_an_import_is_seen_wherever_it_stands(tmp_path: Path, text: str, seen: bool) -> None:
    (tmp_path / "some.py").write_text(text)
    assert ("outfield.studies.job" in imports(tmp_path / "some.py")) is seen


def test_a_circle_is_named_in_the_order_of_its_imports() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    named = circle(graph).split(" -> ")
    assert named[0] == named[-1]
    assert set(named) == {"a", "b", "c"}
    assert all(second in graph[first] for first, second in pairwise(named))
    assert circle({"a": {"b"}, "b": set()}) == ""


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


def test_the_analysis_of_a_table_imports_no_torch_and_no_statsmodels() -> None:
    read = "from outfield.reports import analysis, analysis_page as page; found = analysis.analyse(example='timm')"
    modules = loaded(f"{read}; page.stated(found); page.displays(found)")
    assert not modules & {"torch", "statsmodels", "pandas", "sklearn"}


def test_importing_outfield_imports_nothing_heavy() -> None:
    assert not loaded("import outfield") & {"torch", "numpy", "polars", "pydantic", "typer"}
