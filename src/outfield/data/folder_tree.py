"""Folders walked through: regular files or not, links followed once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from outfield.errors import UserError

Identity = tuple[int, int]


@dataclass
class Tree:
    """What lies below a folder, as paths from it with ``/`` between their parts.

    A folder that a link leads to is entered once for each subfolder of the root, and never where it holds that link:
    a folder that links to itself ends.

    Attributes
    ----------
    files : every file, sorted; links to files are files
    again : links to folders that were entered already, and not entered again
    skipped : files and folders that ``skip`` passes over
    """

    files: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @classmethod
    def below(cls, root: Path, skip: Callable[[str], bool] = "".__eq__) -> Tree:
        """Walk through a folder.

        Parameters
        ----------
        root : Path
        skip : function of a file's or folder's own name
            True where it is to be passed over.

        Raises
        ------
        UserError
            A folder that cannot be read.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.txt").write_text("")
        ...     Path(folder, "loop").symlink_to(folder)
        ...     Tree.below(Path(folder))
        Tree(files=['a.txt'], again=['loop'], skipped=[])
        """
        tree = cls()
        above = frozenset({_identity(root), *map(_identity, root.resolve().parents)})
        for branch in tree._listed(root, "", skip):
            tree._walk(root, branch, above, skip)
        tree.files.sort()
        return tree

    def _walk(self, root: Path, branch: str, above: frozenset[Identity], skip: Callable[[str], bool]) -> None:
        """Everything below one subfolder: its own folders first, those that links lead to after them."""
        seen, folders, links = set(above), deque[str](), deque[str]()
        _sorted_in([branch], root, folders, links)
        while folders or links:
            folder = folders.popleft() if folders else links.popleft()
            if (identity := _identity(root / folder)) in seen:
                self.again.append(folder)
                continue
            seen.add(identity)
            _sorted_in(self._listed(root, folder, skip), root, folders, links)

    def _listed(self, root: Path, folder: str, skip: Callable[[str], bool]) -> list[str]:
        """The folders of a folder, in order; its files are noted."""
        inside = []
        for name, is_folder in _entries(root / folder):
            path = f"{folder}/{name}" if folder else name
            if skip(name):
                self.skipped.append(path)
            elif is_folder:
                inside.append(path)
            else:
                self.files.append(path)
        return inside


def _sorted_in(paths: Iterable[str], root: Path, folders: deque[str], links: deque[str]) -> None:
    for path in paths:
        (links if (root / path).is_symlink() else folders).append(path)


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        raise UserError(
            f"Expected a folder that can be read at {folder}, but got: {error.strerror or error}. Mend its permissions."
        ) from error


def _identity(path: Path) -> Identity:
    about = os.stat(path)
    return about.st_dev, about.st_ino
