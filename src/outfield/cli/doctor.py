from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

from outfield.cli._plain import say

if TYPE_CHECKING:
    from outfield.data.base import Source
    from outfield.data.check import Finding
    from outfield.studies.spec import Spec

SPLITS = ("train", "val", "test")


def doctor(
    data: Annotated[
        Path | None,
        Option(
            help="Read every item of a study's data (its YAML file), of a folder, a zip or a tar of pictures, or of "
            "arrays (.npy, .npz), instead."
        ),
    ] = None,
    root: Annotated[Path | None, Option(help="Data root of the study, as `outfield run --data`.")] = None,
) -> None:
    """Say what this installation has and lacks; with --data, what is wrong with data: broken, double, odd sizes."""
    if data is None:
        _installation()
    elif data.suffix.lower() in (".yaml", ".yml"):
        _study_data(data, root)
    else:
        _told(_sets_in(data))


def _study_data(path: Path, root: Path | None) -> None:
    from outfield.data.sources.synthetic import Synthetic
    from outfield.studies.sets import wanted
    from outfield.studies.spec import Spec

    spec = Spec.load(path, root)
    found = list(wanted(spec))
    if drawn := [one.name for one in found if isinstance(one.source, Synthetic)]:
        say(f"Drawn, not read: {', '.join(drawn)}")
    read = [one for one in found if not isinstance(one.source, Synthetic)]
    sources = {one.role if one.role in SPLITS else f"{one.role} {one.name}": one.source for one in read}
    _told(sources, resized=_resizes(spec))


def _resizes(spec: Spec) -> bool:
    """Whether every model brings pictures to a size of its own."""
    from outfield.studies.spec import Stored

    return all(isinstance(model, Stored) and "side" in model.preprocess for model in spec.models)


def _sets_in(path: Path) -> dict[str, Source]:
    """The train, val and test sets of a folder, with whatever lies beside them; or the folder or file as one set."""
    from outfield.data.sources.folder import Folder

    if path.is_file():
        return {path.name: _in_file(path)}
    inside = sorted(_folders_in(path), key=_splits_first)
    if not set(inside) & set(SPLITS):
        return {path.name: Folder(str(path))}
    return {name: Folder(str(path / name)) for name in inside}


def _folders_in(path: Path) -> list[str]:
    from outfield.data.sources._names import is_foreign

    if not path.is_dir():
        return []
    return [one.name for one in path.iterdir() if one.is_dir() and not is_foreign(one.name)]


def _in_file(path: Path) -> Source:
    """The source that reads a file of its ending; a zip of pictures where nothing else does."""
    from outfield.data.sources.arrays import Arrays, names_in
    from outfield.data.sources.webdataset import Webdataset
    from outfield.data.sources.zip import Zip

    ending = path.suffix.lower()
    if ending == ".npz":
        return Arrays(str(path), labels="labels" if "labels" in names_in(path) else None)
    readers: dict[str, Callable[[str], Source]] = {".npy": Arrays, ".tar": Webdataset}
    return readers.get(ending, Zip)(str(path))


def _splits_first(name: str) -> tuple[int, str]:
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)


def _told(sources: Mapping[str, Source], *, resized: bool = False) -> None:
    """Check and print; exit status 1 where something is wrong. Other sizes are not, where all models resize."""
    from outfield.data.check import Report, check

    report = check(sources)
    say(str(Report(report.seen, tuple(_wrong(report.findings, resized)), report.notes)))
    if resized and any(finding.kind == "size" for finding in report.findings):
        say("Sizes differ; every model brings pictures to its own.")
    if list(_wrong(report.findings, resized)):
        raise Exit(1)


def _wrong(findings: tuple[Finding, ...], resized: bool) -> Iterator[Finding]:
    yield from (finding for finding in findings if not (resized and finding.kind == "size"))


def _installation() -> None:
    from outfield import registry
    from outfield.cli import _listing, _machine
    from outfield.features.cache import default_folder

    folder = default_folder()
    counts = (f"{len(registry.names(kind))} {kind}" for kind in registry.kinds())
    known = [
        *_machine.lines(),
        ("Plug-ins", ", ".join(counts)),
        ("Cache", f"{folder} ({'writable' if _writable(folder) else 'NOT writable: set $OUTFIELD_CACHE'})"),
    ]
    say(_listing.columns(known, _listing.terminal()))
    if broken := _unloadable():
        say("Plug-ins that do not load:\n" + "\n".join(f"  {line}" for line in broken))
        raise Exit(1)


def _unloadable() -> list[str]:
    """Plug-ins that cannot be imported, each with the reason."""
    from outfield import registry

    broken = []
    for kind in registry.kinds():
        for name in registry.names(kind):
            try:
                registry.find(kind, name)
            except Exception as error:
                broken.append(f"{kind} {name}: {type(error).__name__}: {error}")
    return broken


def _writable(folder: Path) -> bool:
    import os

    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)
