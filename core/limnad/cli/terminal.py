"""Where things are printed."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_WIDTH = 1_000_000
"""In characters: what goes to a file or another program is never cut off."""


def console(*, stderr: bool = False) -> Console:
    """Standard output or standard error, on which text is what it is: rows may hold ``[/b]`` and ``:smile:``."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
