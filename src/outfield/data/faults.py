"""Items that cannot be read, in their places, and looks at items that are not kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from outfield.data.content_keys import item_key


class Fault(str):
    """Why an item cannot be read, in its place.

    Examples
    --------
    >>> Look.at(Fault("is empty")).fault, Look.at("a film").fault
    ('is empty', '')
    """


@dataclass(frozen=True)
class Look:
    """What is to be told of an item without keeping it.

    Attributes
    ----------
    shape : tuple of int
        () for texts.
    key : str
        Its content key.
    fault : str
        Why it cannot be read; then there is nothing else.
    notes : tuple of str
        What a user may not expect of it.

    Examples
    --------
    >>> Look.at(np.zeros((2, 3))).shape, Look.at("a film").shape
    ((2, 3), ())
    """

    shape: tuple[int, ...] = ()
    key: str = ""
    fault: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def at(cls, item: Any, notes: tuple[str, ...] = ()) -> Look:
        """Of one item, or of the ``Fault`` in its place."""
        if isinstance(item, Fault):
            return cls(fault=item)
        return cls(np.shape(item) if isinstance(item, np.ndarray) else (), item_key(item), notes=notes)
