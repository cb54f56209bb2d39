"""Where tasks run. An executor alone chooses processes, threads and devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Event:
    """Progress of a stage (training, extraction, scoring) of one task."""

    task: str
    stage: str
    done: int
    total: int


Notify: TypeAlias = Callable[[Event], None]
Work: TypeAlias = Callable[[Any, Notify], Any]
"""``work(task, notify)`` does a task and returns what it made."""


@dataclass(frozen=True)
class Done:
    """A task that ended well."""

    index: int
    result: Any


@dataclass(frozen=True)
class Failed:
    """A task that did not; the others go on."""

    index: int
    reason: str
    by_user: bool


class Executor(ABC):
    """Runs tasks; one file each in ``studies/executors``."""

    @abstractmethod
    def run(self, work: Work, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        """Do every task, in whatever order they end."""
