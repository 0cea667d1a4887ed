"""The command line: ``limnad run``, ``limnad graph``.

What a person types and sees lives here: options, the live view, tables, pictures. It starts processes and speaks to
them through `limnad.client`; what must never live here: anything that a program would want without a terminal.
"""

import atexit
import gc
import os
import sys


def main() -> None:
    """The console script."""
    # gRPC's C core would print its own log lines between ours.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    atexit.register(gc.freeze)  # Else the end is a tenth of a second of looking through all modules for garbage.
    from limnad.cli.report import report_error
    from limnad.client.channels import channel_options
    from limnad.errors import LimnadError

    try:
        channel_options()  # What is wrong with it is said here, before a process that is started stumbles over it.
        from limnad.cli.app import app

        app()
    except LimnadError as error:
        sys.exit(report_error(error))


__all__ = ["main"]
