from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option


def cache(
    clear: Annotated[bool, Option("--clear", help="Remove every entry.")] = False,
    folder: Annotated[Path | None, Option(help="Instead of $OUTFIELD_CACHE or the user's cache folder.")] = None,
) -> None:
    """Show the cache of extracted outputs, or clear it."""
    from rich.table import Table

    from outfield.cli._console import console as terminal
    from outfield.features.cache import Cache, default_folder

    console = terminal()
    store = Cache(folder or default_folder())
    if clear:
        console.print(f"Freed {store.clear() / 2**20:,.1f} MiB in {store.folder}.")
        return
    entries = store.entries()
    if entries:
        table = Table("key", "outputs of", "MiB")
        for key, about, size in entries:
            table.add_row(key, str(about.get("about", "damaged: will be made again")), f"{size / 2**20:,.2f}")
        console.print(table)
    console.print(f"{len(entries)} entries, {sum(size for *_, size in entries) / 2**20:,.1f} MiB in {store.folder}.")
