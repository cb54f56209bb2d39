"""The terminal: what is printed is shown as it is, whoever chose the names in it.

Every command prints through ``console``, ``Words`` and ``say``. Square brackets are no markup, ``:name:`` no emoji, and
control characters of a name (which could move the cursor, or rewrite what stands there) are written out.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import Task, TextColumn
from rich.text import Text

from outfield.cli._plain import plain


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain(text), **options)


def console(**options: Any) -> Console:
    """A console that shows strings, cells and titles as they are; ``style=`` colours them.

    Examples
    --------
    >>> console().print("a [/red] :smile:")
    a [/red] :smile:
    """
    return _Console(markup=False, emoji=False, highlight=False, **options)


class Words(TextColumn):
    """A column of a progress bar, its text as it is."""

    def __init__(self, text_format: str, style: str = "none") -> None:
        super().__init__(text_format, style=style, markup=False)

    def render(self, task: Task) -> Text:
        return Text(plain(self.text_format.format(task=task)), style=self.style)
