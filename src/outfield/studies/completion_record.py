"""A finished study that nothing has touched, recognised by looking at its files: no data are read and no torch loaded.

A run that leaves nothing to do writes ``finished.json``: digests of the study's text, of outfield's code and the
installed packages, and of size, number and times of every file that was read or written. The next run compares them.
Contents alone make the keys of jobs; this only says that nothing has changed since they were compared, and whatever
differs, or cannot be told, leads to the whole comparison.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outfield import checksums
from outfield.registry import kinds
from outfield.studies.outcome import Outcome, Spent
from outfield.studies.stamp import Stamp

if TYPE_CHECKING:
    from outfield.studies.spec import Spec

RECORD = "finished.json"
MOST = 200_000
"""Paths beyond which no record is made: to look at all of them would take as long as to compare them."""
_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Seen:
    """What a run begins with: the study as it is written, what it runs on, and how its data look (``watching``)."""

    study: str
    surroundings: str
    began: int = field(default_factory=time.time_ns)
    files: str | None = None

    @classmethod
    def of(cls, study: Spec | Path | str, data: Path | str | None = None) -> Seen:
        """The study as an object, or its file with the data root that goes before the file's own."""
        stated = _in_file(Path(study), data) if isinstance(study, (str, Path)) else _as_object(study)
        return cls(_digest(stated), _surroundings())

    def watching(self, spec: Spec) -> Seen:
        """The same with how data and weights look before they are read; without it ``keep`` writes no record."""
        files = files_of(spec)
        return self if files is None or len(files) > MOST else replace(self, files=Stamp.of(files).digest)

    def finished(self, folder: Path | str) -> Outcome | None:
        """The outcome of a run that would find nothing to do; None where something differs or cannot be told."""
        if "://" in str(folder):
            return None
        place = Path(folder)
        try:
            made = (place / RECORD).stat()
            content = (place / RECORD).read_bytes()
            record = json.loads(content)
            rows = [place / name for name in record["rows"]]
            same = (record["study"], record["surroundings"]) == (self.study, self.surroundings)
            same = same and checksums.check(content, "finished", "finished") and _whole(place, rows)
            if same:
                now = Stamp.of([*map(Path, record["files"]), *rows, *(place / name for name in record["own"])])
                if now.digest == record["stamp"] and now.newest < made.st_mtime_ns:
                    return _outcome(place, record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, checksums.Broken):
            return None
        return None

    def keep(self, outcome: Outcome, spec: Spec, unmeasured: frozenset[str]) -> None:
        """Write the record of a run that left nothing to do; none where that cannot be told by looking at files.

        Parameters
        ----------
        outcome : Outcome
        spec : Spec
        unmeasured : set of str
            Keys of jobs without rows, since their detector does not apply to the model.
        """
        from outfield.store.write import MANIFEST, MODELS, ROWS, SCORES, atomically

        files = files_of(spec)
        if "://" in str(outcome.folder) or outcome.failures or files is None or self.files is None:
            return
        stamp = Stamp.of(files)
        if stamp.digest != self.files or not stamp.settled_by(self.began):
            return
        files, place = (*files, *_foreign_code()), outcome.folder
        rows, own = sorted(f"{ROWS}/{key}.parquet" for key in outcome.keys - unmeasured), [MANIFEST, SCORES, MODELS]
        if not all((place / name).is_file() for name in rows):
            return
        record = {
            "study": self.study,
            "surroundings": self.surroundings,
            "stamp": Stamp.of([*files, *(place / name for name in (*rows, *own))]).digest,
            "files": list(map(str, files)),
            "rows": rows,
            "own": own,
            "jobs": sorted(outcome.keys),
            "spent": [asdict(one) | {"jobs": 0, "forwards": 0} for one in outcome.spent if one.left_out],
            "missing": outcome.missing,
        }
        with atomically(place / RECORD) as temporary:
            temporary.write_bytes(checksums.to_json(record, "finished", "finished"))


def _outcome(folder: Path, record: dict[str, Any]) -> Outcome:
    spent = (Spent(one["task"], one["jobs"], one["forwards"], tuple(one["left_out"]), ()) for one in record["spent"])
    return Outcome(
        folder, frozenset(record["jobs"]), len(record["rows"]), tuple(spent), missing=tuple(record["missing"])
    )


def files_of(spec: Spec) -> tuple[Path, ...] | None:
    """Every file and folder of data and weights that a study names; None where a source does not tell its own."""
    from outfield.studies.sets import wanted
    from outfield.studies.spec import Opened, Stored

    found: list[Path] = []
    for one in wanted(spec):
        if (files := one.source.files()) is None:
            return None
        found += files
    if any(isinstance(model, Opened) for model in spec.models):
        return None
    found += [path for model in spec.models if isinstance(model, Stored) for path in model.weights]
    return tuple(dict.fromkeys(Path(os.path.abspath(path)) for path in found))


def _in_file(path: Path, data: Path | str | None) -> list[str]:
    """The text of a study's file, and what its relative paths start from."""
    roots = [os.path.abspath(path.parent), os.environ.get("OUTFIELD_DATA", ""), os.path.expanduser("~"), os.getcwd()]
    try:
        return [path.read_text(encoding="utf-8"), str(data), *roots]
    except (OSError, UnicodeDecodeError):
        return ["unreadable", *roots]


def _as_object(spec: Spec) -> list[str]:
    return [spec.model_dump_json(exclude={"resources"}), os.path.expanduser("~"), os.getcwd()]


def _surroundings() -> str:
    """Python, the code of outfield, and every installed package with the time of its installation.

    Folders within a package are passed over: some put one of theirs on the path when they are imported (setuptools).
    """
    packages = [
        (entry.name, entry.stat().st_mtime_ns)
        for folder in dict.fromkeys(sys.path)
        if os.path.isdir(folder) and not os.path.exists(os.path.join(folder, os.pardir, "__init__.py"))
        for entry in os.scandir(folder)
        if entry.name.endswith((".dist-info", ".egg-info", ".egg-link", ".pth"))
    ]
    return _digest([sys.version, sys.platform, *map(str, sorted(packages)), Stamp.of([_PACKAGE]).digest])


def _foreign_code() -> tuple[Path, ...]:
    """Files of the packages whose plug-ins were loaded."""
    points = (point for kind in kinds() for point in metadata.entry_points(group=f"outfield.{kind}"))
    packages = {point.module.partition(".")[0] for point in points if point.module in sys.modules}
    loaded = (module for name, module in list(sys.modules.items()) if name.partition(".")[0] in packages)
    files = (getattr(module, "__file__", None) for module in loaded)
    return tuple(sorted({Path(file) for file in files if file}))


def _whole(folder: Path, rows: list[Path]) -> bool:
    """Whether the list of jobs and every file of rows is as it was written."""
    return checksums.check_file(folder / "study.json", "study", "study") and all(
        checksums.check_file(path, "rows", path.stem) for path in rows
    )


def _digest(parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
