"""How errors look: the user's own traceback first, then one paragraph."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from limnad.cli.terminal import console
from limnad.errors import JobFailed, LimnadError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def report_error(error: LimnadError, on: Console | None = None) -> int:
    """Prints an error; returns the exit code."""
    on = on or console(stderr=True)
    if isinstance(error, JobFailed) and error.traceback:
        on.print(Text(error.traceback), soft_wrap=True)
        on.print()
    summary = error.summary if isinstance(error, JobFailed) else str(error)
    on.print(Text.assemble(("error: ", "bold red"), summary), soft_wrap=True)
    return EXIT_FAILED
