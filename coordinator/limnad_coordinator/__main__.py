"""``python -m limnad_coordinator``: sums the progress updates of the jobs that leaders assign to it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import sys
from pathlib import Path

from limnad_coordinator.server import Server


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="limnad_coordinator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the interface to listen on (default: loopback)")
    parser.add_argument("--port", type=int, default=0, help="0, the default: any; it is told as a line of JSON")
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when standard input ends")
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("limnad-coord")  # For ps and top.
    sys.exit(asyncio.run(_serve(parser.parse_args())))


async def _serve(options: argparse.Namespace) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(secrets.token_hex(8))
    try:
        address = await server.start(options.host, options.port)
    except RuntimeError:
        _tell(error=f"port {options.port} on {options.host} is taken: choose another, or 0 for any")
        return 1
    _tell(address=address)
    if options.until_stdin_ends:
        loop.add_reader(sys.stdin.fileno(), stopped.set)
    await stopped.wait()
    await server.stop()
    return 0


def _tell(**news: str) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


main()
