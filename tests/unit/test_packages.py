"""What the packages beside outfield keep, so that the README's two commands install and test them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from outfield import registry

ROOT = Path(__file__).parents[2]


def faults(folder: Path, locked: set[str]) -> list[str]:
    """What a package's folder lacks, in words."""
    declared = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    groups: dict[str, Any] = declared.get("entry-points", {})
    asked = {re.split(r"[\s\[<>=!~;]", line)[0].lower() for line in declared["dependencies"]}
    found = {
        "its folder's name": declared["name"] == folder.name,
        "a README.md": (folder / "README.md").exists(),
        "its sources": (folder / "src" / folder.name.replace("-", "_") / "__init__.py").exists(),
        "tests": any(folder.glob("tests/test_*.py")),
        "plug-ins of known kinds": bool(groups)
        and groups.keys() <= {f"outfield.{kind}" for kind in (*registry.kinds(), "systems")},
        "outfield as a dependency": "outfield" in asked,
        "dependencies in requirements.lock": asked <= {"outfield", *locked},
    }
    return [said for said, holds in found.items() if not holds]


@pytest.fixture(scope="module")
def locked() -> set[str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {line.partition("==")[0] for line in lines if "==" in line}


def test_every_package_of_the_workspace_is_whole(locked: set[str]) -> None:
    folders = [path.parent for path in ROOT.glob("packages/*/pyproject.toml")]
    assert {folder.name: found for folder in folders if (found := faults(folder, locked))} == {}


@pytest.mark.parametrize(
    ("dependencies", "group", "lacking"),
    [
        ('"outfield", "numpy>=1"', "outfield.detectors", []),
        ('"numpy"', "outfield.detectors", ["outfield as a dependency"]),
        ('"outfield", "nothing-locked"', "outfield.detectors", ["dependencies in requirements.lock"]),
        ('"outfield"', "outfield.detector", ["plug-ins of known kinds"]),
    ],
)
def test_a_fault_of_a_package_is_named(
    tmp_path: Path, locked: set[str], dependencies: str, group: str, lacking: list[str]
) -> None:
    folder = tmp_path / "outfield-some"
    for file in ("README.md", "src/outfield_some/__init__.py", "tests/test_some.py"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    points = f'[project.entry-points."{group}"]\na = "a"'
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "outfield-some"\ndependencies = [{dependencies}]\n{points}'
    )
    assert faults(folder, locked) == lacking
    (folder / "README.md").unlink()
    assert faults(folder, locked) == ["a README.md", *lacking]
