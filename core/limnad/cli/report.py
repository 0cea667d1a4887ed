"""How errors look: the user's own traceback first, then one paragraph."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from limnad.errors import JobFailed, LimnadError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def report_error(error: LimnadError, console: Console | None = None) -> int:
    """Prints an error; returns the exit code."""
    console = console or Console(stderr=True)
    if isinstance(error, JobFailed) and error.traceback:
        console.print(Text(error.traceback), soft_wrap=True)
        console.print()
    summary = error.summary if isinstance(error, JobFailed) else str(error)
    console.print(Text.assemble(("error: ", "bold red"), summary), soft_wrap=True)
    return EXIT_FAILED
