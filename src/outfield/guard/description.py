"""What a bundle is, for who reads an audit log without it: the manifest and the thresholds, exact."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from outfield.errors import Problems, UserError
from outfield.guard.manifest import Manifest, manifest_of
from outfield.guard.monitor import Monitor
from outfield.guard.thresholds import Ladder
from outfield.places import home
from outfield.store.write import write_text
from outfield.types import Array

FOLDER = "bundles"


class Promised(Protocol):
    """A bundle, or a graph of one."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def threshold(self) -> float: ...

    def monitor(self, *, run_length: float = ..., mirror: bool = ...) -> Monitor: ...


@dataclass(frozen=True, eq=False)
class Description:
    """A bundle's manifest, and its thresholds in hexadecimal, which holds float64.

    Parameters
    ----------
    manifest : Manifest
    threshold : float
    ladder, mirror : array [J]
        Thresholds of the manifest's rates, of the scores and of the negated scores.
    """

    manifest: Manifest
    threshold: float
    ladder: Array
    mirror: Array

    @classmethod
    def of(cls, bundle: Promised) -> Description:
        """Of a bundle, or of a graph."""
        ladders = (bundle.monitor(mirror=mirror).ladder.values for mirror in (False, True))
        return cls(bundle.manifest, bundle.threshold, *ladders)

    def save(self, folder: Path) -> Path:
        """Write it into an audit log.

        Raises
        ------
        UserError
            It cannot be written.
        """
        said = {
            "manifest": self.manifest.model_dump_json(), "threshold": self.threshold.hex(),
            "ladder": [float(one).hex() for one in self.ladder], "mirror": [float(one).hex() for one in self.mirror],
        }  # fmt: skip
        return write_text(json.dumps(said, indent=1) + "\n", _place(folder, self.manifest.digest))

    @classmethod
    def load(cls, folder: Path | str, digest: str) -> Description:
        """From an audit log.

        Raises
        ------
        UserError
            The log does not hold it, or it is damaged.
        """
        path = _place(home(folder), digest)
        if not path.is_file():
            raise UserError(
                f"Expected what bundle {digest[:12]} is in {path.parent}, but it is not there: an older outfield wrote "
                "this log. Pass the bundle."
            )
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            numbers = (np.array([float.fromhex(one) for one in said[name]]) for name in ("ladder", "mirror"))
            found = cls(manifest_of(said["manifest"].encode()), float.fromhex(said["threshold"]), *numbers)
        except (ValueError, TypeError, KeyError, AttributeError, Problems, UserError) as error:
            raise UserError(
                f"Expected what bundle {digest[:12]} is at {path}, but it is damaged ({error}). Pass the bundle."
            ) from None
        return found

    def monitor(self, *, run_length: float = 100_000, mirror: bool = False) -> Monitor:
        """As the bundle's."""
        part = self.manifest.ladder
        values = self.mirror if mirror else self.ladder
        return Monitor(Ladder(np.array(part.rates), values, part.n, part.delta), run_length=run_length)


def monitor_with_mirror(bundle: Promised, *, run_length: float = 100_000) -> Monitor:
    """A monitor for changes that move scores up, with its mirror for those that move them down."""
    found = bundle.monitor(run_length=run_length)
    found.mirror = bundle.monitor(run_length=run_length, mirror=True)
    return found


def _place(folder: Path, digest: str) -> Path:
    safe = "".join(sign for sign in digest if sign.isalnum())
    return folder / FOLDER / f"{safe}.json"
