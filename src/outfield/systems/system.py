"""A published system: its paper, the parts that stand for it here, the tests that hold it, and what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from outfield import registry, strict_yaml
from outfield.errors import UnknownName, UserError

GROUP = "outfield.systems"
"""The entry points by which a package of its own brings the files of its systems: each names a Python package."""
GROUPS = {
    1: "Detectors and how they are judged",
    2: "Analyses, shifts and questions of evaluation",
    3: "Methods that train: outliers, prototypes, density models",
    4: "Domains and vision-language models",
    5: "Sequences and language models",
    6: "Control, physics, other signals",
}


def _sequence(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_sequence)]


class System(BaseModel):
    """A row of the table of systems.

    Parameters
    ----------
    id : str
        Its number, such as ``S009``.
    name, title, paper : str
        Its short name, the title of its paper, and the paper's authors and year.
    group : int
        A key of ``GROUPS``.
    kind : str
        What it is in the literature.
    status : str
        ``works`` where its behaviour shows here; ``identity only`` where only its formulae hold.
    here : str
        What it is here, and how it is called.
    parts : mapping
        Kind of plug-in to names; under ``functions`` the full names of functions.
    studies, tests : tuple of str
        Study files, and tests as ``FILE::NAME``; both from the root of the repository.
    measured : str
        Figures as measured here, beside the paper's where there are any.
    corrected : str
        What was unclear about the method, and what its source says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(pattern=r"^S\d{3}$")
    name: str = Field(min_length=1)
    title: str = Field(min_length=1)
    paper: str = Field(min_length=1)
    group: Literal[1, 2, 3, 4, 5, 6]
    kind: Literal["detector", "metric", "analysis", "study", "strategy", "source", "page"]
    status: Literal["works", "identity only"]
    here: str = Field(min_length=1)
    parts: Mapping[str, Names] = {}
    studies: Names = ()
    tests: Names = Field(min_length=1)
    measured: str = Field(min_length=1)
    corrected: str = ""

    def missing(self, root: Path) -> Iterator[str]:
        """What the row names and is not there: plug-ins, study files, tests.

        Parameters
        ----------
        root : Path
            The root of the repository, where studies and tests are.
        """
        for kind, names in self.parts.items():
            yield from (f"{self.id}: no {name} among the {kind}" for name in names if not _exists(kind, name))
        yield from (f"{self.id}: no file {path}" for path in self.studies if not (root / path).is_file())
        yield from (f"{self.id}: no test {test}" for test in self.tests if not _test_exists(root, test))


def _exists(kind: str, name: str) -> bool:
    if kind != "functions":
        return kind in registry.kinds() and name in registry.names(kind)
    try:
        return callable(resolve_name(name))
    except (ImportError, AttributeError, ValueError):
        return False


def _test_exists(root: Path, test: str) -> bool:
    path, *names = test.split("::")
    if not names or not (root / path).is_file():
        return False
    source = (root / path).read_text(encoding="utf-8")
    return all(re.search(rf"^\s*(?:async )?(?:def|class) {re.escape(name)}\b", source, re.MULTILINE) for name in names)


def load(path: Path) -> System:
    """The system that a file describes.

    Raises
    ------
    UserError
        The file is no YAML, or says what a system does not have.
    """
    try:
        return System.model_validate(strict_yaml.read(path, "a system"))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UserError(f"Expected the fields of a system in {path}, but got: {wrong}. Correct the file.") from None


def paths() -> list[Path]:
    """The files of all systems: those of outfield, and those of the packages that are installed."""
    brought = (point.value for point in metadata.entry_points(group=GROUP))
    folders = [Path(str(files(package))) for package in ("outfield.systems", *brought)]
    return [path for folder in folders for path in folder.glob("*.yaml")]


@cache
def systems() -> tuple[System, ...]:
    """Every system, by number.

    Examples
    --------
    >>> {one.id for one in systems()} >= {"S114"}
    True
    """
    return tuple(sorted(map(load, paths()), key=lambda one: one.id))


def find(words: str) -> System:
    """The one system that a number, a name, a part or words of a title mean.

    Raises
    ------
    UnknownName
        None is meant, or several are.

    Examples
    --------
    >>> find("S114").name == find("MSP").name
    True
    """
    for says in (_is, _begins, _holds):
        found = [one for one in systems() if says(one, words.casefold())]
        if len(found) == 1:
            return found[0]
    raise UnknownName("systems", words, [one.id for one in systems()], listable=True)


def _is(one: System, words: str) -> bool:
    parts = (name for names in one.parts.values() for name in names)
    return words in map(str.casefold, (one.id, one.name, *re.split(r"[ (),+]+", one.name), *parts))


def _begins(one: System, words: str) -> bool:
    return any(text.casefold().startswith(words) for text in (one.name, one.title, one.paper))


def _holds(one: System, words: str) -> bool:
    return any(words in text.casefold() for text in (one.name, one.title, one.paper))
