"""Content keys of large data sets, kept with how their files looked: what was not touched is not read again."""

from __future__ import annotations

from typing import Any

from outfield import keys
from outfield.data.base import Dataset, Source
from outfield.data.datasets import Rows
from outfield.features.cache import Cache
from outfield.studies.stamp import Stamp

LARGE = 64 << 20
"""Bytes of files from which on it is worth the while."""


def look(source: Source) -> Stamp | None:
    """How the files of a source look before they are read; None where that is not known or not worth the while."""
    stamp = Stamp.of(files) if (files := source.files()) else None
    return stamp if stamp and stamp.settled and stamp.size >= LARGE else None


def know(data: Dataset, looked: Stamp | None, cache: Cache, **made: Any) -> None:
    """Give a data set the content keys of its rows that it had when its files looked as they do now.

    Where they are not known they are computed, and kept.

    Parameters
    ----------
    data : Dataset
    looked : Stamp, or None
        What ``look`` gave before the data set was loaded.
    cache : Cache
    made
        What else the rows rest on: the source with its parameters and its code.
    """
    if looked is None or not isinstance(data, Rows):
        return
    key = keys.key(files=looked.digest, **made)
    if (found := cache.get(key)) is not None and len(found["keys"]) == len(data):
        data.recall_row_keys(found["keys"].astype(str))
        return
    computed = data.row_keys
    with cache.writing(key, len(data), about="content keys of a data set") as entry:
        entry.append("keys", computed.astype(bytes))
