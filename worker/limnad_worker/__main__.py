"""``python -m limnad_worker agent|engine``: what `limnad` starts; not for typing by hand."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from limnad_worker import log_format

if TYPE_CHECKING:
    from limnad_worker.agent import Agent
    from limnad_worker.page import Page


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="limnad_worker", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    agent = commands.add_parser("agent", help="start engines and serve clients")
    agent.add_argument("--workers", type=int, required=True)
    agent.add_argument("--host", default="127.0.0.1")
    agent.add_argument("--port", type=int, default=0)
    agent.add_argument("--ui-port", type=int, help="serve the web page there; 0: anywhere; without it there is none")
    agent.add_argument("--announce-fd", type=int, help="where to write the address, as a line of JSON")
    agent.add_argument("--until-stdin-ends", action="store_true", help="stop when standard input ends")
    agent.add_argument("--metrics-port", type=int, help="where to serve metrics; 0: anywhere")
    engine = commands.add_parser("engine", help="run one worker of one job")
    engine.add_argument("--agent", required=True)
    engine.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    log_format.set_up()
    if options.command == "agent":
        sys.exit(asyncio.run(_agent(options)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from limnad_worker.engine import run_engine  # the agent does without Polars and the engine without the agent

    run_engine(options.agent, os.environ.pop("LIMNAD_ENGINE_TOKEN"), options.host, os.getpid())


async def _agent(options: argparse.Namespace) -> int:
    from limnad_worker.agent import Agent
    from limnad_worker.jobs import JobService

    agent = Agent(options.workers, options.host)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        await agent.start(JobService(agent), options.port)
    except RuntimeError:
        _announce(options, error=f"port {options.port} on {options.host} is taken: choose another, or 0 for any")
        return 1
    try:
        news = {} if options.metrics_port is None else {"metrics": _serve_metrics(agent, options)}
    except OSError as error:
        _announce(options, error=f"port {options.metrics_port} on {options.host} cannot be had for metrics: {error}")
        await agent.stop()
        return 1
    try:
        page = await _open_page(agent, options)
    except (OSError, ValueError) as error:
        _announce(options, error=_no_page(options, error))
        await agent.stop()
        return 1
    if page is not None:
        news["ui"] = page.url
    _announce(options, address=agent.address, **news)
    if options.until_stdin_ends:
        loop.add_reader(sys.stdin.fileno(), stopped.set)
    await stopped.wait()
    if page is not None:
        await page.stop()
    await agent.stop()
    return 0


async def _open_page(agent: Agent, options: argparse.Namespace) -> Page | None:
    if options.ui_port is None:
        return None
    from limnad_worker.page import Page  # its HTTP server takes a while to import

    page = Page(lambda: [job.snapshot() for job in agent.jobs.values()])
    await page.start(options.host, options.ui_port)
    return page


def _no_page(options: argparse.Namespace, error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error)
    return f"port {options.ui_port} for the page on {options.host} is taken: choose another --ui-port, or 0 for any"


def _serve_metrics(agent: Agent, options: argparse.Namespace) -> str:
    from limnad_worker.metrics import AgentMetrics, serve

    metrics = AgentMetrics(agent.jobs.values)
    agent.keep(metrics.watch())
    return serve(metrics, options.host, options.metrics_port)


def _announce(options: argparse.Namespace, **news: str) -> None:
    if options.announce_fd is None:
        sys.stdout.write(json.dumps(news) + "\n")
        sys.stdout.flush()
    else:
        with os.fdopen(options.announce_fd, "w") as pipe:
            pipe.write(json.dumps(news) + "\n")


main()
