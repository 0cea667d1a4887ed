"""The command line: ``limnad run``, ``limnad graph``.

What a person types and sees lives here: options, the live view, tables, pictures. It starts processes and speaks to
them through `limnad.client`; what must never live here: anything that a program would want without a terminal.
"""

import os
import sys


def main() -> None:
    """The console script."""
    # gRPC's C core would print its own log lines between ours.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from limnad.cli.app import app
    from limnad.cli.report import report_error
    from limnad.errors import LimnadError

    try:
        app()
    except LimnadError as error:
        sys.exit(report_error(error))


__all__ = ["main"]
