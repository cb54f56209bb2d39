"""``python -m outfield``."""

from outfield.cli import main

main()
