"""The commands together: their help in whole sentences, ``--version``, and what was meant by a wrong name."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated, Any

from typer import Exit, Option, echo
from typer.core import TyperGroup


def _version(asked: bool) -> None:
    if asked:
        echo(f"outfield {metadata.version('outfield')}")
        raise Exit


def start(
    version: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


class Group(TyperGroup):
    """A group whose help shows the whole first paragraph of each command."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, " ".join((one.help or "").split("\n\n")[0].split())) for name, one in commands if one]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
