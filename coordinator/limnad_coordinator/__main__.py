"""``python -m limnad_coordinator``: sums the progress updates of the jobs that leaders assign to it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from pathlib import Path

from limnad_coordinator.server import Server
from limnad_proto.loopback import is_loopback
from limnad_proto.tls import own_tls
from limnad_proto.variables import DATA_PLANE, TLS, TLS_CA, TLS_CERT, TLS_DOMAIN, TLS_KEY

_FILES = (
    ("--tls-cert", TLS_CERT, "this process's certificate"),
    ("--tls-key", TLS_KEY, "its key"),
    ("--tls-ca", TLS_CA, "the authorities that others' certificates are checked against"),
)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="limnad_coordinator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the interface to listen on (default: loopback)")
    parser.add_argument("--port", type=int, default=0, help="0, the default: any; it is told as a line of JSON")
    for name, variable, what in _FILES:
        parser.add_argument(name, metavar="FILE", help=f"{what} ({variable})")
    parser.add_argument("--tls-domain", metavar="NAME", help=f"what stands behind the role in them ({TLS_DOMAIN})")
    parser.add_argument("--data-plane", choices=["mtls", "plain"], help=f"`plain`: in plain text ({DATA_PLANE})")
    parser.add_argument("--insecure", action="store_true", help="listen beyond loopback without TLS (LIMNAD_INSECURE)")
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when standard input ends")
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("limnad-coord")  # For ps and top.
    options = parser.parse_args()
    told = {variable: getattr(options, variable.removeprefix("LIMNAD_").lower()) for variable in TLS}
    os.environ.update({variable: value for variable, value in told.items() if value})
    sys.exit(asyncio.run(_serve(options)))


def _problem(options: argparse.Namespace) -> str:
    """Why it must not serve like this; empty: it may."""
    try:
        tls = own_tls()
    except ValueError as error:
        return str(error)
    insecure = options.insecure or os.environ.get("LIMNAD_INSECURE", "").lower() in ("1", "true", "yes", "on")
    if tls is None and not insecure and not is_loopback(options.host):
        return (
            f"this coordinator would be open to all who reach {options.host}: give it --tls-cert, --tls-key and "
            "--tls-ca, or say --insecure if its network is yours alone"
        )
    return ""


async def _serve(options: argparse.Namespace) -> int:
    if problem := _problem(options):
        _tell(error=problem)
        return 1
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
