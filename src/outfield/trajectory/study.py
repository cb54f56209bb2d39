"""A study of tracked runs, of pictures or of texts: which kind its file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from outfield import strict_yaml
from outfield.errors import UserError
from outfield.trajectory.spec import Trajectory

KINDS = ("vision", "nli")


def load(path: Path | str, data: Path | str | None = None) -> Any:
    """The study of a YAML file, by its field ``kind``; ``data`` goes before the data root that it names.

    Raises
    ------
    Problems
        Everything that is wrong with the file.
    UserError
        No such file; a kind that there is not.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "vision":
        return cast(Trajectory, Trajectory.load(path, data))
    from outfield.trajectory.nli.spec import Nli

    return Nli.load(path, data)


def _kind(path: Path) -> str:
    content = strict_yaml.read(path)
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind not in KINDS:
        raise UserError(f"Expected kind: {' or '.join(KINDS)} in {path}, but got {kind!r}. Say which study it is.")
    return str(kind)


def track(spec: Any, folder: Path, **options: Any) -> Any:
    """Run a study of either kind; an outcome with ``measured``, ``present`` and ``notes``."""
    if isinstance(spec, Trajectory):
        from outfield.trajectory import vision

        return vision.track(spec, folder, **options)
    from outfield.trajectory.nli.track import track as follow

    return follow(spec, folder, **options)
