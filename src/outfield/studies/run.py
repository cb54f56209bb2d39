"""A study from beginning to end: load, plan, run what is not done yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from outfield.places import absolute, place
from outfield.studies.completion_record import Seen
from outfield.studies.outcome import Outcome

if TYPE_CHECKING:
    from outfield.features.cache import Cache
    from outfield.studies.executors.base import Executor, Notify
    from outfield.studies.sets import Sets
    from outfield.studies.spec import Spec


__all__ = ["Outcome", "name_of", "run"]


def run(
    spec: Spec | Path | str,
    folder: Path | str | None = None,
    *,
    sets: Sets | None = None,
    executor: Executor | None = None,
    cache: Cache | None = None,
    notify: Notify = lambda _: None,
    seen: Seen | None = None,
) -> Outcome:
    """Run a study; run it again and it goes on where it was.

    Where all is done and no file has been touched since, that is said at once: nothing is read, and no torch loaded.
    Data sets and weights that are not there are left out and told in ``missing`` of the outcome. A script calls this
    below ``if __name__ == "__main__":``, since the worker processes of a study import it.

    Parameters
    ----------
    spec : Spec, or the path of its YAML file
    folder : path or address, optional
        Where rows, scores and trained weights go, created when absent; by default ``results/NAME``. Other machines
        reach an address such as ``s3://bucket/study``.
    sets : Sets, optional
        The study's data, where it is loaded already.
    executor : Executor, optional
        By default the one that the study names, with its resources.
    cache : Cache, optional
        By default the user's.
    notify : callable, optional
        Told of progress as ``Event``.
    seen : Seen, optional
        What the study rested on before ``sets`` was loaded, ``Seen.of(spec).watching(spec)``; without it, a run with
        ``sets`` compares everything.

    Raises
    ------
    Problems
        Data that cannot be used; or no ID data, no OOD set or no model is there.
    UserError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.features.cache import Cache
    >>> from outfield.studies.spec import Spec
    >>> digits = {"name": "digits", "side": 8, "classes": [0, 1]}
    >>> spec = Spec.parse({
    ...     "name": "example", "epochs": 1, "network": {"name": "small_cnn", "width": 2},
    ...     "id": {split: digits | {"part": split.replace("train", "fit")} for split in ("train", "val", "test")},
    ...     "ood": [{"name": "eights", "category": "near", "source": digits | {"classes": [8]}}],
    ...     "models": [{"strategy": "baseline", "seeds": [0]}], "detectors": ["msp"], "resources": {"processes": 1},
    ... })
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run(spec, folder, cache=Cache(Path(folder) / "cache")).jobs
    2
    """
    folder = place(folder or Path("results") / name_of(spec))
    seen = seen if sets or seen else Seen.of(spec)
    if seen and not sets and (already := seen.finished(folder)):
        return already
    from outfield.features.cache import Cache, default_folder
    from outfield.studies.comparison import Comparison
    from outfield.studies.sets import load
    from outfield.studies.spec import Spec

    spec = Spec.load(spec) if isinstance(spec, (str, Path)) else spec
    seen = seen.watching(spec) if seen and not sets else seen
    cache = cache or Cache(default_folder())
    outcome = Comparison(spec, sets or load(spec, cache), absolute(folder), cache, seen).run(executor, notify)
    return replace(outcome, folder=folder)


def name_of(study: Spec | Path | str) -> str:
    """The name of a study, or of the study in a file, which is not checked any further.

    Examples
    --------
    >>> from outfield.studies.spec import shipped
    >>> name_of(shipped("digits"))
    'digits'
    """
    if not isinstance(study, (str, Path)):
        return study.name
    from outfield import strict_yaml

    try:
        return str(strict_yaml.read(study)["name"])
    except (KeyError, TypeError):
        from outfield.studies.spec import Spec

        return Spec.load(study).name
