"""The plug-ins that an installed package declares, each with its contract."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from outfield import registry
from outfield.errors import UserError
from outfield.studies.spec import Plugin
from outfield.testing.analyses import check_analysis
from outfield.testing.detectors import check_detector
from outfield.testing.estimators import check_estimator
from outfield.testing.metrics import check_metric
from outfield.testing.networks import check_network
from outfield.testing.shifts import check_shift
from outfield.testing.sources import check_source
from outfield.testing.strategies import check_strategy
from outfield.testing.synthetic import check_synthetic
from outfield.testing.tasks import check_task

GROUP = "outfield."
SYSTEMS = "outfield.systems"
"""Not plug-ins: where a package says which published systems it holds."""
CONTRACTS: dict[str, Callable[..., None]] = {
    "analyses": check_analysis,
    "detectors": check_detector,
    "estimators": check_estimator,
    "metrics": check_metric,
    "networks": check_network,
    "shifts": check_shift,
    "sources": check_source,
    "strategies": check_strategy,
    "synthetic": check_synthetic,
    "tasks": check_task,
}
"""Kind of plug-in to its contract. Probes and executors have none: the detectors and studies that use them show it."""


@dataclass(frozen=True)
class Contract:
    """The contract of one plug-in, to be called.

    Parameters
    ----------
    kind, name : str
    parameters : mapping
        Those of the plug-in, as a study file writes them.
    """

    kind: str
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    def __call__(self) -> None:
        """Run it.

        Raises
        ------
        AssertionError
            What was expected, and what came.
        """
        if self.kind == "networks":
            check_network(registry.find(self.kind, self.name), **self.parameters)
        else:
            CONTRACTS[self.kind](self._built())

    def _built(self) -> Any:
        try:
            return Plugin(name=self.name, **self.parameters).build(self.kind)
        except (UserError, TypeError) as error:
            way = f"plugins_of(..., parameters={{{self.name!r}: {{...}}}})"
            raise AssertionError(
                f"Expected to build {self} from {dict(self.parameters)}: {error} Use {way}."
            ) from error


def plugins_of(
    distribution: str,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    apart: Collection[str] = (),
) -> tuple[Contract, ...]:
    """The contracts of all plug-ins that an installed package declares by its entry points.

    Parameters
    ----------
    distribution : str
        Name of the package, as it is installed.
    parameters : mapping of plug-in to its parameters, optional
        For those that have none by default, or whose defaults are slow.
    apart : names
        Plug-ins that a test of their own checks, with what cannot be written in a study file.

    Raises
    ------
    UserError
        The package is not installed, declares no plug-in, a kind that there is not; or a name is given that it does
        not declare.

    Examples
    --------
    >>> plugins_of("some-package")
    Traceback (most recent call last):
    outfield.errors.UserError: Expected an installed package, but 'some-package' is none. Install it: pip install -e .
    """
    declared = [each for each in _points(distribution) if each.group.startswith(GROUP) and each.group != SYSTEMS]
    kinds = {point.group.removeprefix(GROUP) for point in declared}
    if unknown := sorted(kinds - set(registry.kinds())):
        raise UserError(
            f"Expected entry points of {', '.join(GROUP + kind for kind in registry.kinds())}, but {distribution!r} "
            f"declares {', '.join(GROUP + kind for kind in unknown)}. Write the kind as `outfield list kinds` does."
        )
    given, names = parameters or {}, {point.name for point in declared}
    if loose := sorted({*given, *apart} - names) or not names:
        raise UserError(
            f"Expected plug-ins that {distribution!r} declares, but got {loose or 'a package without any'}. "
            f"It has {', '.join(sorted(names)) or 'none'}: look at its entry points, and install it again."
        )
    found = ((point.group.removeprefix(GROUP), point.name) for point in declared if point.name not in apart)
    return tuple(Contract(kind, name, given.get(name, {})) for kind, name in sorted(found) if kind in CONTRACTS)


def _points(distribution: str) -> Collection[metadata.EntryPoint]:
    try:
        return tuple(metadata.distribution(distribution).entry_points)
    except metadata.PackageNotFoundError:
        raise UserError(
            f"Expected an installed package, but {distribution!r} is none. Install it: pip install -e ."
        ) from None
