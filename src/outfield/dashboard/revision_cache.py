"""What was worked out of a study, kept until the study changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

R = TypeVar("R")


class Memo:
    """Values by key, each made once however many ask at the same time; all are dropped when the revision moves on.

    Parameters
    ----------
    most : int
        Values that are kept; the one not asked for the longest goes first.

    Examples
    --------
    >>> memo = Memo(2)
    >>> memo.get(1, "a", lambda: "made"), memo.get(1, "a", lambda: "again"), memo.get(2, "a", lambda: "anew")
    ('made', 'made', 'anew')
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._revision: Hashable = None
        self._made: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, revision: Hashable, key: Hashable, make: Callable[[], R]) -> R:
        """The value of a key at a revision; what ``make`` raises is raised to all who wait, and not kept."""
        with self._lock:
            if revision != self._revision:
                self._revision, self._made, self._making = revision, OrderedDict(), {}
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            found, value = self._kept(revision, key)
            return value if found else self._keep(revision, key, make())

    def peek(self, revision: Hashable, key: Hashable) -> Any:
        """The value of a key where it is made already, else None."""
        return self._kept(revision, key)[1]

    def _kept(self, revision: Hashable, key: Hashable) -> tuple[bool, Any]:
        with self._lock:
            if revision != self._revision or key not in self._made:
                return False, None
            self._made.move_to_end(key)
            return True, self._made[key]

    def _keep(self, revision: Hashable, key: Hashable, value: R) -> R:
        with self._lock:
            if revision == self._revision:
                self._made[key] = value
                while len(self._made) > self.most:
                    self._making.pop(self._made.popitem(last=False)[0], None)
        return value
