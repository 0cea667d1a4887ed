"""How lists of things are printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show(rows: Sequence[Mapping[str, Any]], nothing: str = "nothing") -> None:
    """Prints a table; where there is no terminal, wide enough that nothing is cut."""
    if not rows:
        print(nothing, file=sys.stderr)
        return
    table = Table(box=None, header_style="dim", padding=(0, 2), show_edge=False)
    for name, value in rows[0].items():
        table.add_column(name.replace("_", " "), justify="right" if isinstance(value, int) else "left", overflow="fold")
    for row in rows:
        table.add_row(*("-" if value is None or value == "" else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
