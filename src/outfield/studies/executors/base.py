"""Where a study's work is done, a model with its jobs at a time. The executor alone chooses threads and devices."""

from __future__ import annotations

import inspect
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from outfield import registry
from outfield.errors import UserError

if TYPE_CHECKING:
    from outfield.studies.spec import Resources


@dataclass(frozen=True)
class Event:
    """Progress of a stage (training, extraction, scoring) of one model."""

    task: str
    stage: str
    done: int
    total: int


Notify: TypeAlias = Callable[[Event], None]
Work: TypeAlias = Callable[[Any, Notify], Any]
"""Does one piece of the work, and returns what it made."""


@dataclass(frozen=True)
class Done:
    """A piece of the work that ended well."""

    index: int
    result: Any


@dataclass(frozen=True)
class Failed:
    """A piece that did not; the others go on."""

    index: int
    reason: str
    by_user: bool


class Executor(ABC):
    """Does pieces of work; one file each in ``studies/executors``."""

    @abstractmethod
    def run(self, work: Work, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        """Do every piece, in whatever order they end."""


def of(resources: Resources, **given: Any) -> Executor:
    """The executor that a study names, with those of the study's resources that it takes, and what is given beside.

    Raises
    ------
    UnknownName
        There is no such executor.
    UserError
        It has no such parameter.

    Examples
    --------
    >>> from outfield.studies.spec import Resources
    >>> of(Resources(processes=3, threads=2))
    Local(processes=3, threads=2, device='cpu', retries=2)
    """
    offered = resources.model_dump(exclude={"executor"})
    known = inspect.signature(registry.find("executors", resources.executor)).parameters
    taken = {name: value for name, value in offered.items() if name in known}
    made: Executor = registry.create("executors", resources.executor, **taken | given)
    return made


def attempt(work: Work, index: int, task: Any, notify: Notify) -> Done | Failed:
    """Do one piece; an error ends it and no other."""
    try:
        return Done(index, work(task, notify))
    except UserError as error:
        return Failed(index, str(error), by_user=True)
    except Exception:
        return Failed(index, traceback.format_exc(), by_user=False)


def set_threads(threads: int) -> None:
    """The threads of this process."""
    import torch

    torch.set_num_threads(threads)


@contextmanager
def threads_of(threads: int) -> Iterator[None]:
    """The threads of this process for as long as the block lasts."""
    import torch

    before = torch.get_num_threads()
    set_threads(threads)
    try:
        yield
    finally:
        set_threads(before)


@dataclass
class Deaths:
    """How often the process of each piece was killed, and what becomes of the piece.

    Examples
    --------
    >>> deaths = Deaths(retries=1)
    >>> deaths.of(0), deaths.of(0).by_user
    (None, True)
    """

    retries: int
    counted: Counter[int] = field(default_factory=Counter)

    def of(self, index: int) -> Failed | None:
        """One more: None where the piece is to be tried again."""
        self.counted[index] += 1
        if self.counted[index] <= self.retries:
            return None
        return Failed(
            index,
            f"Its worker process was killed (out of memory?), {self.counted[index]} times in a row. What was finished "
            "is kept: run the same command again to go on, with fewer `resources.processes` if memory is short. A "
            'script of your own must call outfield below `if __name__ == "__main__":`, since workers import it.',
            by_user=True,
        )
