"""Where the real data and weights of the reference tests lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def root(*needed: str) -> Path:
    """``$OUTFIELD_DATA``, or ``shared/data`` beside the checkout; the test is skipped where what it needs is absent."""
    folder = Path(os.environ.get("OUTFIELD_DATA") or Path(__file__).parents[3] / "shared" / "data")
    absent = [name for name in needed if not (folder / name).exists()]
    if absent:
        pytest.skip(f"needs {', '.join(absent)} in {folder} (set $OUTFIELD_DATA)")
    return folder
