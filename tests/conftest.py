from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from outfield import registry


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detectors of the example package, as if it were installed."""
    place, kind = "tests.plugin_example.src.outfield_example", "outfield.detectors"
    found = {
        name: metadata.EntryPoint(name, f"{place}.{name}:{cls}", kind)
        for name, cls in (("flow", "Flow"), ("standardised", "Standardised"))
    }
    foreign = registry._foreign
    monkeypatch.setattr(registry, "_foreign", lambda asked: foreign(asked) | (found if asked == "detectors" else {}))


collect_ignore = ["plugin_example/tests"]
"""For those who installed the example: test_plugin_example runs them so."""
