from __future__ import annotations

from collections.abc import Iterator, Mapping
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
        Option(help="Read every item of a study's data (its YAML file), or of a folder or zip of pictures, instead."),
    ] = None,
    root: Annotated[Path | None, Option(help="Data root of the study, as `outfield run --data`.")] = None,
) -> None:
    """Say what this installation has and lacks; with --data, what is wrong with data: broken, double, odd sizes."""
    if data is None:
        _installation()
    elif data.suffix in (".yaml", ".yml"):
        _study_data(data, root)
    else:
        _told(_sets_in(data))


def _study_data(path: Path, root: Path | None) -> None:
    from outfield.studies.sets import named
    from outfield.studies.spec import Spec

    spec = Spec.load(path, root)
    read = [(name, role, source) for name, role, source, _ in named(spec) if source.name != "synthetic"]
    drawn = [name for name, _, source, _ in named(spec) if source.name == "synthetic"]
    if drawn:
        say(f"Drawn, not read: {', '.join(drawn)}")
    sources = {role if role in SPLITS else f"{role} {name}": source.build("sources") for name, role, source in read}
    _told(sources, resized=_resizes(spec))


def _resizes(spec: Spec) -> bool:
    """Whether every model brings pictures to a size of its own."""
    from outfield.studies.spec import Stored

    return all(isinstance(model, Stored) and "side" in model.preprocess for model in spec.models)


def _sets_in(path: Path) -> dict[str, Source]:
    """The train, val and test sets of a folder, with whatever lies beside them; or the folder or zip as one set."""
    from outfield.data.sources.folder import Folder
    from outfield.data.sources.zip import Zip

    if path.is_file():
        return {path.name: Zip(str(path))}
    inside = sorted((one.name for one in path.iterdir() if one.is_dir()), key=_splits_first) if path.is_dir() else []
    if not set(inside) & set(SPLITS):
        return {path.name: Folder(str(path))}
    return {name: Folder(str(path / name)) for name in inside}


def _splits_first(name: str) -> tuple[int, str]:
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)


def _told(sources: Mapping[str, Source], *, resized: bool = False) -> None:
    """Check and print; exit status 1 where something is wrong. Other sizes are not, where all models resize."""
    from outfield.data.check import Report, check

    report = check(sources)
    say(str(Report(report.seen, tuple(_wrong(report.findings, resized)))))
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
