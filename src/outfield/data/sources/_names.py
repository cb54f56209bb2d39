"""Names of files: which are pictures, which are an operating system's own, and how messages show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

FORMATS = {
    "AVIF": ".avif .avifs",
    "BMP": ".bmp .dib",
    "DDS": ".dds",
    "GIF": ".gif",
    "ICO": ".ico",
    "JPEG": ".jpg .jpeg .jpe .jfif .mpo",
    "JPEG2000": ".jp2 .j2k .j2c .jpc .jpf .jpx",
    "PCX": ".pcx",
    "PNG": ".png .apng",
    "PPM": ".ppm .pgm .pbm .pnm .pfm",
    "QOI": ".qoi",
    "SGI": ".sgi .rgb .rgba .bw",
    "SUN": ".ras",
    "TGA": ".tga .icb .vda .vst",
    "TIFF": ".tif .tiff",
    "WEBP": ".webp",
    "XBM": ".xbm",
    "XPM": ".xpm",
}
"""The formats that are read, by Pillow's names, and the endings that name their files: raster pictures only.

What draws (PDF, PostScript, WMF) or merely holds (HDF5, GRIB, FITS) pictures is none of them.
"""
ENDINGS = frozenset(" ".join(FORMATS.values()).split())

_SYSTEM = frozenset(
    {"__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)


def is_foreign(name: str) -> bool:
    """Whether a file's or folder's own name is hidden or an operating system's: ``._x.jpg``, ``__MACOSX``.

    Examples
    --------
    >>> [is_foreign(name) for name in ("._x.jpg", ".DS_Store", "__MACOSX", "x.jpg")]
    [True, True, True, False]
    """
    return name.startswith(".") or name in _SYSTEM


def is_picture(name: str) -> bool:
    """Whether a path, with ``/`` between its parts, is named as a raster picture, and no part of it is foreign.

    Examples
    --------
    >>> [is_picture(name) for name in ("cat/x.JPG", "__MACOSX/cat/x.jpg", "cat/x.pdf", "cat.png/")]
    [True, False, False, False]
    """
    return PurePosixPath(name).suffix.lower() in ENDINGS and not name.endswith("/") and not has_foreign(name)


def has_foreign(name: str) -> bool:
    """Whether a part of a path is foreign."""
    return any(map(is_foreign, name.split("/")))


def printable(text: str) -> str:
    """A name as messages show it: what cannot be printed (line ends, NUL, bytes of no text) by its escape.

    Examples
    --------
    >>> print(printable("a\\nb"), printable("caf\\udce9"), printable("[/red] é"))
    a\\nb caf\\udce9 [/red] é
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def passed_over(foreign: Iterable[str], others: Iterable[str], again: Iterable[str] = ()) -> tuple[str, ...]:
    """What lay beside the pictures and was not read, each kind counted in a sentence.

    Examples
    --------
    >>> passed_over(["a/.DS_Store"], ["a/x.pdf", "a/notes.txt", "b/y.pdf"])
    ('1 hidden or system file or folder passed over: .DS_Store',
     '3 files that are no pictures by name passed over: .pdf, .txt')
    """
    named = {
        "hidden or system file{s} or folder{s} passed over": [PurePosixPath(name).name for name in foreign],
        "file{s} that {be} no picture{s} by name passed over": [_ending(name) for name in others],
        "link{s} to folders that were read already passed over": list(again),
    }
    return tuple(_counted(text, kinds) for text, kinds in named.items() if kinds)


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower() or PurePosixPath(name).name


def _counted(text: str, kinds: list[str]) -> str:
    usual = [printable(kind) for kind, _ in Counter(kinds).most_common(5)]
    several = len(kinds) != 1
    said = text.format(s="s" * several, be="are" if several else "is")
    return f"{len(kinds)} {said}: {', '.join(usual)}{' ...' if len(set(kinds)) > 5 else ''}"
