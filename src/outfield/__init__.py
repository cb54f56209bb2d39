"""outfield: what a model does outside its training distribution, measured, explained, guarded.

The names below load what they need when they are first used; ``import outfield`` itself loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outfield.card.card import Card
    from outfield.card.run import evaluate
    from outfield.features.fit_data import FitData
    from outfield.guard.accuracy import estimate_accuracy
    from outfield.guard.build import build as build_guard
    from outfield.models.open import open_model
    from outfield.models.torch import TorchModel
    from outfield.registry import create, names
    from outfield.reports.comparison import compare
    from outfield.reports.page import write as report
    from outfield.studies.run import run
    from outfield.studies.spec import Spec
    from outfield.types import Estimate, Head, Outputs

__all__ = [
    "Card",
    "Estimate",
    "FitData",
    "Head",
    "Outputs",
    "Spec",
    "TorchModel",
    "build_guard",
    "compare",
    "create",
    "estimate_accuracy",
    "evaluate",
    "names",
    "open_model",
    "report",
    "run",
]

_PLACES = {
    "Card": "card.card.Card",
    "Estimate": "types.Estimate",
    "FitData": "features.fit_data.FitData",
    "Head": "types.Head",
    "Outputs": "types.Outputs",
    "Spec": "studies.spec.Spec",
    "TorchModel": "models.torch.TorchModel",
    "build_guard": "guard.build.build",
    "compare": "reports.comparison.compare",
    "create": "registry.create",
    "estimate_accuracy": "guard.accuracy.estimate_accuracy",
    "evaluate": "card.run.evaluate",
    "names": "registry.names",
    "open_model": "models.open.open_model",
    "report": "reports.page.write",
    "run": "studies.run.run",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'outfield' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].rpartition(".")
    return getattr(import_module(f"outfield.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
