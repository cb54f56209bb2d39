"""The jobs of a card under content keys, as a study's are: what was done before is taken from the cache.

The files that a job writes are kept there as they are, with the cache's checksums, beside what it warned of. A changed
model, data set, detector or source file of a step gives another key, so that the job is done anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outfield.features.cache import Cache
from outfield.store.write import ROWS, scores_path
from outfield.studies.job import Job

WARNED = "warned"


@dataclass(frozen=True)
class Shelf:
    """The files of jobs in a cache, for a folder where they are wanted."""

    cache: Cache
    folder: Path
    model: str

    def take(self, job: Job) -> tuple[str, ...] | None:
        """Put a job's files into the folder; what it warned of, or None where the cache does not have it."""
        if (found := self.cache.get(job.key)) is None:
            return None
        for name, path in self._files(job):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found[name].tobytes())
        return tuple(json.loads(found[WARNED].tobytes()))

    def keep(self, job: Job, warned: Sequence[str]) -> None:
        """Keep the files that a job has written."""
        with self.cache.writing(job.key, rows=1, about=f"{job.title} of model {self.model!r} for its card") as entry:
            for name, path in self._files(job):
                entry.append(name, _line(path.read_bytes()))
            entry.append(WARNED, _line(json.dumps(list(warned)).encode()))

    def _files(self, job: Job) -> Iterator[tuple[str, Path]]:
        yield "rows", self.folder / ROWS / f"{job.key}.parquet"
        yield "scores", scores_path(self.folder, self.model, job.key)


def _line(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, dtype=np.uint8)[None]
