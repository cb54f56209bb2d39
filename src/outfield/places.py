"""Where files lie: on this machine, or on what fsspec reaches (``s3://bucket/study``, ``gs://``, ``sftp://``).

A place is a ``pathlib.Path``, or a ``UPath`` that has its methods. Nothing here costs a local path anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from outfield import keys, temporary_files
from outfield.errors import MissingExtra, NotThere, UserError

LONGEST = 150
"""Bytes of a name in a path: what is put before and after it must fit into the 255 of a file's name."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)


def place(path: Path | str) -> Path:
    """The place that a path or an address stands for.

    A ``Path`` that was made of an address has lost a slash (``s3:/bucket``): it is understood too. ``file://`` is
    the local path.

    Raises
    ------
    MissingExtra
        An address, and the package for such places is not installed.
    UserError
        There is no file system of this name.

    Examples
    --------
    >>> place("results/digits"), place("file:///results/digits")
    (PosixPath('results/digits'), PosixPath('/results/digits'))
    >>> is_remote(place("memory://results")), is_remote(place(Path("memory://results"))), is_remote(place("results"))
    (True, True, False)
    """
    if not isinstance(path, Path | str) or not (match := _ADDRESS.fullmatch(str(path))):
        return Path(path) if isinstance(path, str) else path
    kind, rest = match[1].lower(), match[2]
    return Path("/" + rest) if kind in ("file", "local") else _remote(kind, rest)


def _remote(kind: str, rest: str) -> Path:
    try:
        from upath import UPath
    except ImportError:
        raise MissingExtra("universal-pathlib", extra="s3") from None
    try:
        found = UPath(f"{kind}://{rest}", use_listings_cache=False)
        _ = found.fs
    except (ImportError, ValueError) as error:
        raise UserError(
            f"Expected a folder or an address such as s3://bucket/study, but {kind}:// cannot be used: {error}"
        ) from None
    return cast("Path", found)


def is_remote(path: Path) -> bool:
    """Whether a place is reached through fsspec and not through this machine's file system.

    Examples
    --------
    >>> is_remote(Path("results")), is_remote(place("memory://results"))
    (False, True)
    """
    return not isinstance(path, Path)


def file_name(name: str) -> str:
    """A name that anyone may have chosen as the name of one file or folder: no two names become one.

    Letters, digits, blanks and ``_.-~()+,=@`` stay; other characters become their ``%`` codes, which tells Unicode's
    ways of writing one letter apart too. So does what would leave the folder (``..``), hide the file or has a meaning
    of its own on some system, and a long name ends in its digest. Where a file system takes ``A`` for ``a``, the two
    meet in one folder: files in it bear their keys, and readers ask the rows whose they are.

    Examples
    --------
    >>> file_name("PGD 2/255 seed 0"), file_name("../x"), file_name("nul")
    ('PGD 2%2F255 seed 0', '%2E.%2Fx', '%6Eul')
    """
    quoted = quote(name, safe=" ()+,=@", errors="surrogatepass")
    if not name or len(quoted) > LONGEST:
        return f"{quoted[: LONGEST - keys.LENGTH - 2]}%~{keys.digest(name.encode('utf-8', 'surrogatepass'))}"
    if quoted[0] == "." or _RESERVED.fullmatch(quoted):
        quoted = f"%{ord(quoted[0]):02X}{quoted[1:]}"
    return f"{quoted[:-1]}%{ord(quoted[-1]):02X}" if quoted[-1] in ". " else quoted


def home(path: Path | str) -> Path:
    """A path on this machine with ``~`` and ``~USER`` written out.

    Raises
    ------
    NotThere
        There is no such user, or no path can be so.

    Examples
    --------
    >>> home("~/data") == Path.home() / "data", home("data")
    (True, PosixPath('data'))
    """
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError) as error:
        said = str(error).rstrip(".")
        raise NotThere(
            f"Expected a path, but got {str(path)!r}, and there is no home folder for it ({said}). Write it out."
        ) from None


def absolute(path: Path) -> Path:
    """The same place for a process that works in another folder.

    Examples
    --------
    >>> absolute(place("results")) == Path.cwd() / "results", absolute(place("memory://results")).as_posix()
    (True, 'memory://results')
    """
    return path if is_remote(path) else path.absolute()


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder."""
    with reaching(path):
        return path.exists()


def listed(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder whose names match, sorted; none where there is no such folder.

    Examples
    --------
    >>> listed(Path(__file__).parent, "place?.py")[0].name, listed(Path("nowhere"), "*")
    ('places.py', [])
    """
    with reaching(folder):
        return sorted(folder.glob(pattern), key=str) if folder.is_dir() else []


@contextmanager
def copies(files: Sequence[Path]) -> Iterator[list[Path]]:
    """The same files on this machine: themselves, or copies for as long as the block lasts, fetched together.

    Raises
    ------
    FileNotFoundError
        One is not there.
    UserError
        Its file system cannot be reached.

    Examples
    --------
    >>> there = place("memory://copies/note.txt")
    >>> _ = there.write_text("far away")
    >>> with copies([there]) as (here,):
    ...     here.read_text()
    'far away'
    """
    if not any(map(is_remote, files)):
        yield list(files)
        return
    with temporary_files.work_folder("copies") as folder:
        here = [Path(folder) / str(number) / file.name for number, file in enumerate(files)]
        fetch(files, here)
        yield here


def fetch(files: Sequence[Path], here: Sequence[Path]) -> None:
    """Copy remote files of one file system to paths on this machine, many at a time where that system can."""
    with reaching(files[0]):
        _system(files[0]).get([_inside(file) for file in files], [str(path) for path in here])


def put(file: Path, target: Path) -> None:
    """Write a local file to a remote place: an object store shows it whole or not at all."""
    with reaching(target):
        _system(target).put_file(str(file), _inside(target))


def move(source: Path, target: Path) -> None:
    """Give a remote file another name."""
    with reaching(target):
        _system(target).mv(_inside(source), _inside(target))


def remove(folder: Path) -> None:
    """Remove what is below a remote folder, if there is such a folder."""
    with suppress(FileNotFoundError), reaching(folder):
        _system(folder).rm(_inside(folder), recursive=True)


def size(folder: Path) -> int:
    """Bytes of all files below a folder; none where there is no such folder.

    Examples
    --------
    >>> size(Path("nowhere"))
    0
    """
    if not is_remote(folder):
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    with suppress(FileNotFoundError), reaching(folder):
        return int(_system(folder).du(_inside(folder)))
    return 0


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """What a file system raises when it cannot be reached becomes a ``UserError``; that a file is absent does not."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        if not is_remote(path) or isinstance(error, UserError):
            raise
        said = f"{type(error).__name__}: {error}".strip(": ")
        raise UserError(
            f"Expected to reach {path}, but got {said}. Check the address, your rights there and the network."
        ) from error


def _system(path: Path) -> Any:
    return cast("Any", path).fs


def _inside(path: Path) -> str:
    """The path within its file system."""
    return str(cast("Any", path).path)
