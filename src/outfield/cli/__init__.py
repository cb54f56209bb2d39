"""The command line: one file a command, with a function of the same name, or a ``group`` of commands."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer import Typer


INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def main() -> None:
    """Run a command; a user's mistake is shown without a traceback."""
    from outfield.errors import UserError

    warnings.formatwarning = _sentence
    try:
        app()()
    except UserError as error:
        from outfield.cli._plain import plain

        print(f"Error: {plain(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("Interrupted. What is finished is kept: run the same command again to go on.", file=sys.stderr)
        raise


def _sentence(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning as a line for the terminal; one of another library with its place."""
    from outfield.cli._plain import plain

    own = category.__module__.partition(".")[0] == "outfield"
    where = "" if own else f" ({category.__name__}, {filename}:{lineno}{f': {line}' if line else ''})"
    return f"Warning: {plain(message)}{where}\n"


def app() -> Typer:
    """Every command, and every ``group`` of them; their heavy imports wait until they run."""
    from typer import Typer

    from outfield.cli._group import Group, start

    commands = Typer(
        name="outfield",
        help="What a model does outside its training distribution: measured, explained, guarded.",
        cls=Group,
        callback=start,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"max_content_width": 100},
    )
    for name in sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py")):
        module = import_module(f"outfield.cli.{name}")
        if isinstance(several := getattr(module, "group", None), Typer):
            commands.add_typer(several, cls=Group)
        else:
            commands.command(name)(getattr(module, name))
    return commands
