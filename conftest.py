"""For the tests of outfield and of the packages beside it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("OUTFIELD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The machine's cores belong to the test processes."""
    import torch

    torch.set_num_threads(1)
