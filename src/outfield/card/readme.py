"""A README.md with a YAML head, changed in two places: ``model-index`` in the head, a section between two marks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from outfield.errors import UserError
from outfield.places import reaching

BEGIN = "<!-- outfield:begin -->"
END = "<!-- outfield:end -->"
HEAD = re.compile(r"\A(\s*---[ \t]*\r?\n)([\S\s]*?)(^---[ \t]*(?:\r?\n|\Z))", re.MULTILINE)
"""The YAML block at the head of a file, as the hub finds it."""
KEY = "model-index"


@dataclass(frozen=True)
class Readme:
    """A README.md: the YAML of its head, its body, and how its lines end.

    Parameters
    ----------
    head : str
        The YAML between the two lines of ``---``, lines ending in a line feed; empty without a head.
    body : str
        All that follows, as it was.
    newline : str
    where : str
        What messages call it.
    mark : str
        A byte order mark, where the file began with one.

    Examples
    --------
    >>> Readme.of("# Net").with_index([{"name": "net", "results": []}]).text.splitlines()
    ['---', 'model-index:', '- name: net', '  results: []', '---', '', '# Net']
    """

    head: str = ""
    body: str = ""
    newline: str = "\n"
    where: str = "README.md"
    mark: str = ""

    @classmethod
    def read(cls, path: Path) -> Readme:
        """From a file; empty where there is none.

        Raises
        ------
        UserError
            It is no text in UTF-8; its head has no end, or is no YAML mapping; its marks are not a pair.
        """
        try:
            with reaching(path):
                content = path.read_bytes()
            text = content.decode()
        except FileNotFoundError:
            return cls(where=str(path))
        except OSError as error:
            raise UserError(
                f"Expected a README.md at {path}, but it cannot be read: {error.strerror}. Name a file."
            ) from None
        except UnicodeDecodeError:
            raise UserError(f"Expected text in UTF-8 in {path}, but it is none. Save it as UTF-8.") from None
        return cls.of(text, str(path))

    @classmethod
    def of(cls, text: str, where: str = "README.md") -> Readme:
        r"""From its text.

        Examples
        --------
        >>> found = Readme.of("---\nlicense: mit\n---\n# Net\n")
        >>> found.metadata, found.body
        ({'license': 'mit'}, '# Net\n')
        """
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        text = text.removeprefix(mark)
        newline = "\r\n" if "\r\n" in text else "\n"
        if not (found := HEAD.match(text)):
            if re.match(r"\s*---[ \t]*\r?\n", text):
                raise UserError(f"Expected a second line of --- that ends the YAML head of {where}. Add it.")
            made = cls("", text, newline, where, mark)
        else:
            made = cls(found[2].replace("\r\n", "\n"), text[found.end() :], newline, where, mark)
        made._check()
        return made

    def _check(self) -> None:
        """``UserError`` where the head is no mapping, or the marks are not one pair."""
        _ = self.metadata
        counts = self.body.count(BEGIN), self.body.count(END)
        if counts not in ((0, 0), (1, 1)) or self.body.find(BEGIN) > self.body.find(END):
            raise UserError(
                f"Expected {BEGIN} and after it {END}, once each, in {self.where}, but got {counts[0]} and {counts[1]} "
                "of them, or in another order. Remove these lines, and what outfield wrote between."
            )

    @property
    def metadata(self) -> dict[str, Any]:
        """What the head says."""
        try:
            found = yaml.safe_load(self.head)
        except yaml.YAMLError as error:
            raise UserError(
                f"Expected YAML at the head of {self.where}, but got: {' '.join(str(error).split())}. Mend it."
            ) from None
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise UserError(
                f"Expected a mapping at the head of {self.where}, but got {type(found).__name__}. "
                "Write, say, license: mit."
            )
        return found

    def with_section(self, section: str, title: str) -> Readme:
        """The same with a section between the marks; without them at the end, below a title in an empty one.

        Examples
        --------
        >>> print(Readme.of("# Net").with_section("It shifts.", "Net").text)
        # Net
        <BLANKLINE>
        <!-- outfield:begin -->
        It shifts.
        <!-- outfield:end -->
        <BLANKLINE>
        """
        block = f"{BEGIN}\n{section}\n{END}".replace("\n", self.newline)
        if BEGIN in self.body:
            before, _, rest = self.body.partition(BEGIN)
            return replace(self, body=before + block + rest.partition(END)[2])
        above = self.body.rstrip() or f"# {title}"
        return replace(self, body=f"{above}{self.newline * 2}{block}{self.newline}")

    def with_index(self, index: Sequence[Mapping[str, Any]]) -> Readme:
        """The same with this ``model-index``; every other line of the head stays as it was."""
        new = yaml.safe_dump({KEY: list(index)}, sort_keys=False, allow_unicode=True, width=2**31)
        gap = self.newline if not self.head and self.body[:1] not in ("", "\r", "\n") else ""
        made = replace(self, head=self._head_with(new), body=gap + self.body)
        if not made._says(self.metadata | {KEY: list(index)}):
            raise UserError(
                f"Expected to put {KEY} into the head of {self.where} and leave the rest, but other fields refer to "
                "it. Write them out, without YAML anchors."
            )
        return made

    def _says(self, metadata: Mapping[str, Any]) -> bool:
        with suppress(UserError):
            return self.metadata == metadata
        return False

    def _head_with(self, new: str) -> str:
        if not self.head.strip():
            return self.head + new
        root = yaml.compose(self.head, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            return self.head + new
        if root.flow_style:
            plain = {name: value for name, value in self.metadata.items() if name != KEY}
            return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True) + new
        for key, value in root.value:
            if key.value == KEY:
                start, end = key.start_mark.index, value.end_mark.index
                comments = re.search(r"(?:^[ \t]*(?:#.*)?\n)*\Z", self.head[start:end], re.MULTILINE)
                return self.head[:start] + new + (comments[0] if comments else "") + self._after(end)
        return self.head + new

    def _after(self, end: int) -> str:
        """What follows a value in the head, from the next line on."""
        return self.head[end:] if self.head[end - 1] == "\n" else self.head[end:].partition("\n")[2]

    @property
    def text(self) -> str:
        """The whole file."""
        head = f"---\n{self.head}---\n".replace("\n", self.newline) if self.head else ""
        return self.mark + head + self.body
