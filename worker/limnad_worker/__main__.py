"""``python -m limnad_worker agent|serve|engine``: what `limnad` starts; not for typing by hand."""

from __future__ import annotations

import argparse
import asyncio
import atexit
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from limnad_proto.variables import SECURITY
from limnad_worker import log_format

if TYPE_CHECKING:
    from limnad_worker.agent import Options


DEPOSED = 3
"""Exit code of a leader that has found another one in its place."""


def main() -> None:
    """Reads the command line."""
    # gRPC's C core would log each peer that is not the leader. What matters of it is in our own logs.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    atexit.register(gc.freeze)  # See `limnad.cli.main`.
    if sys.argv[1:2] == ["serve"]:
        sys.exit(_serve(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="limnad_worker", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    agent = commands.add_parser("agent", help="one agent alone, as long as standard input is open")
    agent.add_argument("--workers", type=int, required=True)
    agent.add_argument("--port", type=int, default=0)
    agent.add_argument("--announce-fd", type=int, required=True, help="where to write the address, as a line of JSON")
    agent.add_argument("--ui-port", type=int, help="where to serve the page; 0: anywhere")
    agent.add_argument("--metrics-port", type=int, help="where to serve metrics; 0: anywhere")
    engine = commands.add_parser("engine", help="run one worker of one job")
    engine.add_argument("--leader", required=True)
    engine.add_argument("--host", default="127.0.0.1")
    engine.add_argument("--cache", type=Path, required=True)
    engine.add_argument("--memory", type=int)
    options = parser.parse_args()
    log_format.set_up()
    if options.command == "agent":
        sys.exit(asyncio.run(_run_alone(options)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from limnad_worker.engine import run_engine  # the agent does without Polars and the engine without the agent

    token = os.environ.pop("LIMNAD_ENGINE_TOKEN")
    run_engine(options.leader, token, options.host, os.getpid(), memory_bytes=options.memory, cache=options.cache)


async def _run_alone(arguments: argparse.Namespace) -> int:
    from limnad_worker.agent import Options

    for name in SECURITY:
        os.environ.pop(name, None)  # They are of a cluster that is spoken to, not of one that lives on loopback.
    workers = arguments.workers
    options = Options(
        slots=workers,
        warm=workers,
        spares=0,
        port=arguments.port,
        accept_paths=True,
        metrics_port=arguments.metrics_port,
        ui=None if arguments.ui_port is None else ("127.0.0.1", arguments.ui_port),
    )
    return await _live(options, grace_s=0.0, announce_fd=arguments.announce_fd)


def _serve(arguments: list[str]) -> int:
    """The agent of a cluster. Under ``LIMNAD_SUPERVISED`` it ends when its standard input does."""
    from limnad.errors import ClusterError
    from limnad_worker.settings import load

    try:
        settings = load(arguments)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - nothing else is there yet
        return 2
    os.environ.update(settings.environment())  # For the engines, too.
    log_format.set_up()
    return asyncio.run(_live(settings.options(), settings.grace))


async def _live(options: Options, grace_s: float, announce_fd: int | None = None) -> int:
    from limnad_worker.agent import Agent, CannotServe

    try:
        agent = Agent(options)
    except CannotServe as error:
        _announce(announce_fd, error=str(error))
        return 1
    stopped, hung_up = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        await agent.start()
    except CannotServe as error:
        _announce(announce_fd, error=str(error))
        await agent.stop()
        return 1
    _announce(announce_fd, address=agent.address, **agent.urls)
    if announce_fd is not None or os.environ.get("LIMNAD_SUPERVISED"):
        loop.add_reader(sys.stdin.fileno(), hung_up.set)
    ends = [asyncio.ensure_future(event.wait()) for event in (stopped, hung_up, agent.deposed)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if grace_s and not hung_up.is_set() and not agent.deposed.is_set():
        await agent.leave(grace_s)
    await agent.stop()
    return DEPOSED if agent.deposed.is_set() else 0


def _announce(descriptor: int | None, **news: str) -> None:
    if descriptor is None:
        sys.stdout.write(json.dumps(news) + "\n")
        sys.stdout.flush()
    else:
        with os.fdopen(descriptor, "w") as pipe:
            pipe.write(json.dumps(news) + "\n")


main()
