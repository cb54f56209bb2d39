"""Tags of plug-ins: the tasks that each serves and the inputs that it takes, derived from what its class declares.

The tasks are those of the survey of generalised out-of-distribution detection [1]: they differ in what shifts
(what an input shows, or how it looks), in whether known classes are still told apart, and in whether all data are
there from the start.

References
----------
[1] Miyai et al. Generalized Out-of-Distribution Detection and Beyond in Vision Language Model Era: A Survey. TMLR 2025.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from outfield.errors import UserError, singular

TASKS = {
    "sensory-anomaly": "Sensory anomaly detection: the same things, under another look (covariate shift).",
    "anomaly": "Semantic anomaly detection: other things than the one kind that is normal.",
    "novelty": "Novelty detection: new classes beside one or several known ones, which need not be told apart.",
    "open-set": "Open-set recognition: new classes, while the known ones are still classified.",
    "ood": "OOD detection: inputs of other label sets, near and far, beside a model that does its task.",
    "outlier": "Outlier detection: all data are there at once, and the odd ones among them are looked for.",
}
"""The leaves of the survey's tree, in its order."""
MODALITIES = {
    "pictures": "Pictures, and maps of other sensors",
    "tokens": "Texts and other sequences of tokens",
    "rows": "Rows of a table, vectors and series",
    "episodes": "Episodes that a policy plays",
    "any": "Any input: only the values of a model are read",
}
TAGGED = ("detectors", "shifts", "strategies", "sources")
"""Kinds of plug-in that carry tags."""
DECLARED = ("tasks", "modality", "needs", "information", "fits_with", "items")
"""Class attributes that tags come from."""

_VALUES = frozenset({"logits", "features", "head", "predictions"})
_CLASSES = frozenset({"logits", "head", "classes"})
_FROM_CLASSES = ("outputs", "hybrid", "gradients")


@dataclass(frozen=True)
class Tags:
    """What a plug-in is for; empty where its class does not say.

    Parameters
    ----------
    tasks : frozenset of names in ``TASKS``, or ``any``
    modality : frozenset of names in ``MODALITIES``
    needs : frozenset
        What a detector reads.

    Examples
    --------
    >>> dog = Tags(tasks=frozenset({"ood"}), modality=frozenset({"any"}))
    >>> dog.has(task="ood", modality="tokens"), dog.has(task="novelty")
    (True, False)
    """

    tasks: frozenset[str] = frozenset()
    modality: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()

    def has(self, task: str = "", modality: str = "", needs: Collection[str] = ()) -> bool:
        """Whether it carries all that is asked for; what takes ``any`` takes each."""
        tagged = ((task, self.tasks), (modality, self.modality))
        return all(not one or one in some or "any" in some for one, some in tagged) and set(needs) <= self.needs


def derived(kind: str, declared: Mapping[str, Any]) -> Tags:
    """The tags of a plug-in from its class attributes: those that it states, else those that follow.

    A detector that reads values of a model alone takes any input; one that reads inputs or asks a probe must state its
    ``modality``. One that reads nothing of classes also finds anomalies and novelties; one that does leaves the
    classifier at work, as open-set recognition asks. A strategy takes the ``items`` that it trains on.

    Examples
    --------
    >>> sorted(derived("detectors", {"needs": {"features"}, "information": "features"}).tasks)
    ['anomaly', 'novelty', 'ood', 'sensory-anomaly']
    >>> derived("detectors", {"needs": {"inputs"}, "information": "inputs"}).modality
    frozenset()
    """
    needs = _set(declared.get("needs"))
    tasks, modality = _set(declared.get("tasks")), _set(declared.get("modality"))
    if kind == "detectors":
        tasks = tasks or _tasks_of_detector(needs | _set(declared.get("fits_with")), str(declared.get("information")))
        modality = modality or (frozenset({"any"}) if needs <= _VALUES else modality)
    return Tags(tasks, modality or _set(declared.get("items")), needs)


def of_class(kind: str, cls: type) -> Tags:
    """The tags of a plug-in's class.

    Examples
    --------
    >>> from outfield.detectors.msp import MSP
    >>> of_class("detectors", MSP).modality
    frozenset({'any'})
    """
    return derived(kind, {name: getattr(cls, name) for name in DECLARED if hasattr(cls, name)})


def check(kind: str, cls: type) -> None:
    """Whether a plug-in carries tags that are known.

    Raises
    ------
    UserError
        It carries none, or an unknown one, with the line that its class lacks.

    Examples
    --------
    >>> class Bare:
    ...     needs, information = frozenset({"inputs"}), "inputs"
    >>> check("detectors", Bare)
    Traceback (most recent call last):
    outfield.errors.UserError: Expected a modality of the detector Bare among pictures, tokens, rows, episodes, ...
    """
    found = of_class(kind, cls)
    for name, some, known in (("tasks", found.tasks, (*TASKS, "any")), ("modality", found.modality, MODALITIES)):
        if not some or not some <= set(known):
            example = f'{name}: ClassVar[frozenset[str]] = frozenset({{"{next(iter(known))}"}})'
            raise UserError(
                f"Expected {'a modality' if name == 'modality' else 'tasks'} of the {singular(kind)} {cls.__name__} "
                f"among {', '.join(known)}, but got {', '.join(sorted(some)) or 'none'}. "
                f"Add to its class, for example: {example}"
            )


def _tasks_of_detector(reads: frozenset[str], information: str) -> frozenset[str]:
    if "predictions" in reads:
        return frozenset({"ood"})
    if reads & _CLASSES or information in _FROM_CLASSES:
        return frozenset({"open-set", "ood"})
    return frozenset({"sensory-anomaly", "anomaly", "novelty", "ood"})


def _set(values: Any) -> frozenset[str]:
    return frozenset(values) if isinstance(values, Collection) and not isinstance(values, str) else frozenset()
