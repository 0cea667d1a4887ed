"""How the rows of outputs are printed."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from limnad.cli.view import rows_text


def print_epoch(console: Console, output: str, epoch: int, batch: Any, show: int) -> None:
    """Prints some rows of an epoch as a table."""
    title = f"{output}, epoch {epoch}: {rows_text(len(batch))}"
    console.print(title, style="bold", highlight=False, soft_wrap=True)
    if not show or not len(batch):
        return
    table = Table(header_style="dim", show_edge=False, box=box.SIMPLE_HEAD, padding=(0, 1))
    head = batch.head(show) if isinstance(batch, pl.DataFrame) else batch[:show]
    if isinstance(head, pl.DataFrame):
        for name, dtype in head.schema.items():
            table.add_column(name, justify="right" if dtype.is_numeric() else "left")
        rows = [list(row) for row in head.rows()]
    else:
        rows = [list(record) if isinstance(record, tuple) else [record] for record in head]
        for number in range(max(map(len, rows))):
            table.add_column(str(number))
    for row in rows:
        table.add_row(*(str(value) for value in row))
    console.print(table)
    if len(batch) > show:
        console.print(f"  and {len(batch) - show:,} more rows (--show N)", style="dim", highlight=False)


def json_line(output: str, epoch: int, batch: Any) -> str:
    """An epoch as one line of JSON."""
    rows = batch.to_dicts() if isinstance(batch, pl.DataFrame) else batch
    return json.dumps({"output": output, "epoch": epoch, "rows": rows}, default=str)
