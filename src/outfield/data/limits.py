"""How large what is read may be: every limit in one place, each moved by an environment variable of its name.

``OUTFIELD_MOST_PIXELS`` of one picture, and of all that are decoded at one time; ``OUTFIELD_MOST_FILE_BYTES`` of an
encoded picture; ``OUTFIELD_MOST_ARRAY_BYTES`` of an array that must be unpacked; ``OUTFIELD_MOST_SHARDS`` of a pattern.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from outfield.errors import UserError


@dataclass(frozen=True)
class Limit:
    """A greatest number, and the environment variable that moves it.

    Raises
    ------
    UserError
        The variable is set, to no positive integer.

    Examples
    --------
    >>> Limit("OUTFIELD_MOST_OF_AN_EXAMPLE", 1000)()
    1000
    """

    variable: str
    default: int

    def __call__(self) -> int:
        stated = os.environ.get(self.variable, "").strip()
        if not stated:
            return self.default
        if not (stated.isascii() and stated.isdigit() and len(stated) < 19 and int(stated)):
            raise UserError(f"Expected a positive integer in ${self.variable}, but got {stated!r}. Set another.")
        return int(stated)

    def exceeded(self, count: int, unit: str) -> str:
        """What a message says of too many: how many, how many may be, and how to allow more."""
        return f"{count:,} {unit}, more than the limit of {self():,}; set ${self.variable} to allow more"


PIXELS = Limit("OUTFIELD_MOST_PIXELS", 80_000_000)
FILE_BYTES = Limit("OUTFIELD_MOST_FILE_BYTES", 2**30)
ARRAY_BYTES = Limit("OUTFIELD_MOST_ARRAY_BYTES", 2**32)
SHARDS = Limit("OUTFIELD_MOST_SHARDS", 100_000)


class Budget:
    """At most ``limit`` of something in use over all threads; what is larger than the limit waits to be alone.

    Examples
    --------
    >>> budget = Budget(Limit("OUTFIELD_MOST_OF_AN_EXAMPLE", 1000))
    >>> with budget.share(600), budget.share(400):
    ...     budget.used
    1000
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.fresh()

    def fresh(self) -> None:
        """Nothing is in use: in a process that was forked, whatever the threads of the first one did."""
        self.used = 0
        self._changed = threading.Condition()

    @contextmanager
    def share(self, amount: int) -> Iterator[None]:
        """Wait until ``amount`` is free, and hold it."""
        most = self.limit()
        with self._changed:
            self._changed.wait_for(lambda: not self.used or self.used + amount <= most)
            self.used += amount
        try:
            yield
        finally:
            with self._changed:
                self.used -= amount
                self._changed.notify_all()


DECODED = Budget(PIXELS)
"""Pixels of pictures that are decoded at this moment."""
os.register_at_fork(after_in_child=DECODED.fresh)
