"""Seals: a stored file says what it is, and bears a digest of all its other bytes.

A seal is one line of text within the file, where its format has room for text: the metadata of Parquet and of
safetensors, a field of JSON. Whoever reads the file compares the digest, and what the file says it is with what was
asked for: a flipped bit, a cut end and a file that was copied over another one are found before a value is taken.
"""

from __future__ import annotations

import json
import os
import re
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from outfield import keys
from outfield.errors import OutfieldError, reading

FIELD = "seal"
"""Where JSON, and the metadata of other formats, have it."""
SETTLED = 2_000_000_000
"""Nanoseconds that a file must have been left alone for its times to tell of every change."""
_MARK = b"sealed-with:sha256:"
_TRACES = (b"sealed-with", b":sha256:")
_SEAL = re.compile(rb"sealed-with:sha256:([a-z]+):([^:\x00-\x1f]*):([0-9a-f]{%d})" % keys.LENGTH)
_OPEN = b"0" * keys.LENGTH


class Broken(OutfieldError):
    """A stored file is not what was written, or not what was asked for; the message says which, to follow 'it'."""


class EarlierFileWarning(UserWarning):
    """Stored files bear no checksum, as those of earlier versions: whether they are as they were is not known."""


@cache
def tell_of_earlier(folder: Path, which: str) -> None:
    """Warn, once, of files without a seal; ``which`` names them, with its verb."""
    warnings.warn(
        f"In {folder} {which} no checksum, as files of an earlier outfield. They are taken as they are; "
        "damage that can still be read would not be found.",
        EarlierFileWarning,
        stacklevel=4,
    )


def blank(kind: str, name: str) -> str:
    """A seal to write into a file; ``seal`` or ``seal_file`` puts in the digest.

    Parameters
    ----------
    kind : str
        What files of this sort are called: lower-case letters.
    name : str
        Which of them this is: its key.

    Examples
    --------
    >>> whole = seal(blank("rows", "ab12").encode(), "rows", "ab12")
    >>> check(whole, "rows", "ab12"), len(whole) == len(blank("rows", "ab12"))
    (True, True)
    """
    return f"{_MARK.decode()}{kind}:{name}:{_OPEN.decode()}"


def seal(content: bytes, kind: str, name: str) -> bytes:
    """Content that holds a blank seal, with the digest put in.

    Examples
    --------
    >>> whole = seal(b"a value, " + blank("rows", "ab12").encode(), "rows", "ab12")
    >>> check(whole, "rows", "ab12")
    True
    >>> check(whole.replace(b"value", b"ualue"), "rows", "ab12")
    Traceback (most recent call last):
    outfield.checksums.Broken: is not as it was written
    """
    start = content.rindex(blank(kind, name).encode()) + len(blank(kind, name)) - len(_OPEN)
    return content[:start] + keys.digest(content).encode() + content[start + len(_OPEN) :]


def seal_file(path: Path, kind: str, name: str) -> None:
    """Put the digest into the blank seal of a file."""
    path.write_bytes(seal(path.read_bytes(), kind, name))


def check(content: bytes, kind: str, name: str) -> bool:
    """True where content is as it was written; False where it bears no seal, as files of earlier versions.

    Raises
    ------
    Broken
        It is not as it was written, or it is another file.

    Examples
    --------
    >>> whole = to_json({"jobs": []}, "study", "demo")
    >>> check(whole, "study", "demo"), check(b"{}", "study", "demo")
    (True, False)
    """
    start = content.rfind(_MARK)
    found = _SEAL.match(content, start) if start >= 0 else None
    if found is None:
        if start >= 0 or any(trace in content for trace in _TRACES):
            raise Broken("is not as it was written")
        return False
    at, end = found.span(3)
    view = memoryview(content)
    if keys.digest(view[:at], _OPEN, view[end:]).encode() != found[3]:
        raise Broken("is not as it was written")
    if (said := (found[1].decode(), found[2].decode())) != (kind, name):
        raise Broken(f"is a copy of another file ({' '.join(said)})")
    return True


_known: dict[tuple[str, str, str], tuple[tuple[int, ...], bool]] = {}


def check_file(path: Path, kind: str, name: str) -> bool:
    """What ``check`` says of a file on this machine; one that looks as it did before is not read again.

    Raises
    ------
    Broken
        As ``check``.
    OSError
        The file cannot be read.
    """
    asked, look = (str(path), kind, name), stamp(path)
    if (before := _known.get(asked)) and before[0] == look:
        return before[1]
    sealed = check(path.read_bytes(), kind, name)
    if is_settled(look):
        _known[asked] = look, sealed
    return sealed


def stamp(path: Path) -> tuple[int, ...]:
    """Size, number and times of a file: what changes with it."""
    found = os.stat(path)
    return found.st_size, found.st_ino, found.st_dev, found.st_mtime_ns, found.st_ctime_ns


def is_settled(look: tuple[int, ...]) -> bool:
    """Whether a file was left alone for long enough for its times to tell of the next change."""
    return time.time_ns() - max(look[-2:]) > SETTLED


def to_json(record: Mapping[str, Any], kind: str, name: str) -> bytes:
    """A record as sealed JSON.

    Examples
    --------
    >>> check(to_json({"jobs": ["ab12"]}, "study", "study"), "study", "study")
    True
    """
    sealed = {**record, FIELD: blank(kind, name)}
    return seal(json.dumps(sealed, indent=1, ensure_ascii=False).encode(), kind, name)


@contextmanager
def reading_archive(path: Path, expected: str, do: str) -> Iterator[None]:
    """Read a zip archive whose checksums are right; whatever is wrong with it or its content is a ``UserError``.

    Parameters
    ----------
    path : path
    expected : str
        What it should be, as in "a checkpoint".
    do : str
        What its user can do.
    """
    with reading(path, expected, do):
        try:
            check_archive(path)
        except Broken as error:
            raise ValueError(f"it {error}") from None
        except FileNotFoundError:
            raise ValueError("there is no such file") from None
        yield


def check_archive(path: Path) -> None:
    """Compare the checksums of a zip archive, as torch saves tensors in, and does not compare when it loads them.

    Raises
    ------
    Broken
        A part is not as it was written, or the file is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, UnicodeError) as error:
        raise Broken(f"is not as it was written ({error})") from None
    if damaged is not None:
        raise Broken(f"is not as it was written ({damaged})")
