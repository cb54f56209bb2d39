"""A package of its own contributes a detector: installed for real, found by name, run like our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, torch
from outfield import registry
from outfield.types import Outputs
detector = registry.create("detectors", "margin", scale=2.0)
scores = detector.score(Outputs(logits=torch.tensor([[3.0, 1.0, 0.0]])), {})
print(json.dumps({"listed": "margin" in registry.names("detectors"), "name": registry.name_of("detectors", detector),
                  "scores": scores.tolist()}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, str]:
    target = tmp_path_factory.mktemp("site")
    uv = Path(sys.executable).parent / "uv"
    example = repository / "tests" / "plugin_example"
    command = [str(uv), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(target)]
    subprocess.run([*command, str(example)], check=True, timeout=300)
    return os.environ | {"PYTHONPATH": str(target)}


def test_a_foreign_detector_takes_the_same_road_as_our_own(installed: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=installed, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"listed": True, "name": "margin", "scores": [-4.0]}


def test_the_command_line_lists_a_foreign_detector(installed: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "outfield", "list", "detectors"],
        env=installed,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "margin" in done.stdout.split()
