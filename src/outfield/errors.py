"""The errors of outfield. A message says what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class OutfieldError(Exception):
    """Base class of every error that outfield raises on purpose.

    Examples
    --------
    >>> try:
    ...     raise UnknownName("examples", "digit", ["digits"])
    ... except OutfieldError as error:
    ...     print(error)
    There is no example 'digit'. Did you mean 'digits'? There is: digits.
    """


class UserError(OutfieldError):
    """A mistake that its user can mend; the command line prints it without a traceback.

    Examples
    --------
    >>> raise UserError("Expected a share in [0, 1], but got 7. Divide percent by 100.")
    Traceback (most recent call last):
    outfield.errors.UserError: Expected a share in [0, 1], but got 7. Divide percent by 100.
    """


class NotThere(UserError):
    """A file or folder that was named is not there: it may be put there, and what does not need it goes on.

    Examples
    --------
    >>> try:
    ...     raise NotThere("There is no file films.csv.")
    ... except UserError as error:
    ...     print(error)
    There is no file films.csv.
    """


def singular(kind: str) -> str:
    """What one plug-in of a kind is called.

    Examples
    --------
    >>> singular("strategies"), singular("detectors")
    ('strategy', 'detector')
    """
    return {"strategies": "strategy", "synthetic": "synthetic set", "analyses": "analysis"}.get(
        kind, kind.removesuffix("s")
    )


def near(name: str, known: Iterable[str]) -> str:
    """A question for the nearest of the names that there are, after a blank; empty where none is near.

    Examples
    --------
    >>> near("enrgy", ["energy", "msp"])
    " Did you mean 'energy'?"
    """
    plain = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), plain, n=1, cutoff=0.8)
    found = close or difflib.get_close_matches(name.lower(), plain, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(plain[one]) for one in found)}?" if found else ""


def listed(names: Sequence[str], most: int = 5) -> str:
    """Some names, as a message shows them: the others are counted.

    Examples
    --------
    >>> listed(list("abcdefg"))
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(word: str) -> str:
    """What several of a thing are called.

    Examples
    --------
    >>> plural("strategy"), plural("model")
    ('strategies', 'models')
    """
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else f"{word}s"


def with_and(names: Sequence[str], most: int = 5) -> str:
    """Names in a sentence: all of a few, of many the first and how many more.

    Examples
    --------
    >>> with_and(["a"]), with_and(["a", "b", "c"]), with_and(list("abcdefgh"))
    ('a', 'a, b and c', 'a, b, c, d, e and 3 more')
    """
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


class MissingExtra(UserError):
    """An optional dependency is absent.

    Examples
    --------
    >>> print(MissingExtra("timm", extra="vision"))
    This needs the package 'timm', which is not installed. Run: pip install 'outfield[vision]'
    """

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(
            f"This needs the package {package!r}, which is not installed. Run: pip install 'outfield[{extra}]'"
        )


class UnknownName(UserError, LookupError):
    """A name that there is not; the message suggests the nearest ones.

    Parameters
    ----------
    kind, name : str
    known : names that there are
    listable : bool
        Whether ``outfield list KIND`` shows them; else the message does.

    Examples
    --------
    >>> print(UnknownName("detectors", "enrgy", ["energy", "msp"], listable=True))
    There is no detector 'enrgy'. Did you mean 'energy'? `outfield list detectors` shows all 2.
    >>> print(UnknownName("examples", "a", ["krumpl2026"]))
    There is no example 'a'. There is: krumpl2026.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, listable: bool = False) -> None:
        known = sorted(known)
        hint = f"{near(name, known)} ".lstrip()
        super().__init__(f"There is no {singular(kind)} {name!r}. {hint}{_whereabouts(kind, known, listable)}")


def _whereabouts(kind: str, known: Sequence[str], listable: bool) -> str:
    """Where all names are shown: by the command for kinds that it lists, else here."""
    if listable:
        return f"`outfield list {kind}` shows all {len(known)}."
    return f"There {'is' if len(known) == 1 else 'are'}: {listed(known, most=10) or 'none'}."


class Problems(UserError):
    """Several mistakes of one input, collected and shown together.

    Examples
    --------
    >>> print(Problems("study.yaml", ["id: missing", "seeds: got 0"]))
    study.yaml: 2 problems
      1. id: missing
      2. seeds: got 0
    """

    def __init__(self, where: str, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "\n".join(f"  {i}. {text}" for i, text in enumerate(self.problems, 1))
        super().__init__(f"{where}: {count} problem{'s' * (count != 1)}\n{lines}")


@contextmanager
def reading(what: object, expected: str, do: str = "Check the file, or write it again.") -> Iterator[None]:
    """Whatever a library raises on a file that is damaged or foreign becomes a ``UserError`` that names it.

    That a file is absent, or may not be read, stays what it is; so does an error of outfield's own. A panic of polars,
    which is no ``Exception``, is caught too.

    Parameters
    ----------
    what : the path or the name of what is read
    expected : what it should be, as in "a table"
    do : what its user can do

    Examples
    --------
    >>> import json
    >>> with reading("a.json", "a study"):
    ...     json.loads("{")
    Traceback (most recent call last):
    outfield.errors.UserError: Expected a study at a.json, but it cannot be read (JSONDecodeError: Expecting ...
    """
    try:
        yield
    except (OutfieldError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        raise _unreadable(what, expected, do, error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise _unreadable(what, expected, do, error) from error


def _unreadable(what: object, expected: str, do: str, error: BaseException) -> UserError:
    said = f"{type(error).__name__}: {error}".strip(": ").splitlines()[0]
    return UserError(f"Expected {expected} at {what}, but it cannot be read ({said[:200]}). {do}")
