"""Makes the extracts of published tables that ship, and their notice, from the published files.

``python benchmarks/extracts.py FOLDER`` reads FOLDER/timm/results-imagenet.csv, FOLDER/pythia/... and writes
``src/outfield/tables/extracts``: files of the same names, compressed, with the columns and rows that the profiles read.
"""

from __future__ import annotations

import gzip
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from outfield.tables import published
from outfield.tables.profile import EXTRACTS, PACKAGE, Profile, Reading, load

FOLDERS = {
    "timm": "timm", "pythia": "pythia", "olmo": "olmo_ladder", "openclip": "open_clip", "testbed": ".",
    "boards": "openood_leaderboard", "berts": ".", "robustbench": "robustbench",
}  # fmt: skip
"""Profiles to the folder of their published files."""
WHOLE = ("openclip", "boards", "berts", "robustbench")
"""Tables that are small enough to ship as they are."""
STUDIES = {"olmo": ("ladder",)}
CHECKPOINTS = 40
"""Checkpoints of a run that ship."""
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without
limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the
Software, and to permit persons to whom the Software is furnished to do so, subject to the following
conditions: The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS
OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE
AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR
OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def readings(profile: Profile) -> Iterator[Reading]:
    """The readings whose files ship."""
    yield from map(profile.reading, STUDIES.get(profile.name, tuple(profile.studies) or ("",)))


def used(frame: pl.DataFrame, how: Reading) -> list[str]:
    """The columns of a file that a reading uses."""
    found = {*how.keys, *how.keep, *([how.step] if how.step else []), *(c for p in how.files for c in p.columns)}
    found |= {column for name in how.names.values() for column in name.columns}
    found |= {column for each in how.leave_out for column in each.where}
    measured = published.measured_columns(frame, how).values() if not any(part.columns for part in how.files) else ()
    return [column for column in frame.columns if column in found | set(measured)]


def pythia(frame: pl.DataFrame) -> pl.DataFrame:
    """The zero-shot rows of the final suite."""
    return frame.filter(pl.col("family") == "pythia-v1", pl.col("setting") == "zero-shot")


def ladder(frame: pl.DataFrame) -> pl.DataFrame:
    """Up to ``CHECKPOINTS`` of each run, and of a run and its rerun all that they share."""
    parts = []
    for (run,), rows in frame.group_by("run", maintain_order=True):
        twin = str(run).removesuffix("-rerun") if str(run).endswith("-rerun") else f"{run}-rerun"
        shared = rows.join(frame.filter(pl.col("run") == twin), on="_step", how="semi")
        spread = np.unique(np.linspace(0, rows.height - 1, min(rows.height, CHECKPOINTS)).round().astype(int))
        parts.append(shared if shared.height else rows[spread])
    return pl.concat(parts)


ROWS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {"pythia": pythia, "olmo": ladder}


def extract(profile: Profile, source: Path, target: Path) -> Iterator[Path]:
    """Write the extract of one table; yields its files."""
    columns: dict[str, dict[str, None]] = {}
    for how in readings(profile):
        for file in [*(part.file for part in how.files), *([how.errors.file] if how.errors else [])]:
            frame = published.cells(source / file)
            wanted = frame.columns if profile.name in WHOLE else used(frame, how)
            columns.setdefault(file, {}).update(dict.fromkeys(wanted))
    target.mkdir(parents=True)
    for file, names in columns.items():
        frame = published.cells(source / file)
        rows = ROWS.get(profile.name, pl.DataFrame.clone)(frame).select([c for c in frame.columns if c in names])
        path = target / f"{file}.gz"
        path.write_bytes(gzip.compress(rows.write_csv().encode(), 9, mtime=0))
        yield path


def notice(profiles: list[Profile]) -> str:
    """Where each extract is from and under which licence, as Markdown."""
    lines = ["# Extracts of published tables", "", "Numbers of others, under their own licences.", ""]
    for profile in profiles:
        lines += [f"## {profile.name}", "", profile.cited, ""]
        lines += [f"Copyright {profile.copyright}.", ""] if profile.copyright else []
        changed = profile.extract_note or "The published files are complete; they are compressed."
        lines += [f"{changed} Source: {profile.url}", ""]
    return "\n".join([*lines, "## The MIT licence", "", MIT, ""])


def main(folder: Path) -> None:
    """Make all extracts from the published files below a folder."""
    target = PACKAGE / EXTRACTS
    shutil.rmtree(target, ignore_errors=True)
    profiles = [load(name) for name in FOLDERS]
    for profile in profiles:
        for path in extract(profile, folder / FOLDERS[profile.name], target / profile.name):
            print(f"{path.relative_to(target)}: {path.stat().st_size:,} bytes")
    (target / "NOTICE.md").write_text(notice(profiles))
    print(f"{sum(path.stat().st_size for path in target.rglob('*') if path.is_file()):,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
