"""``limnad cluster up | status | down``: a cluster on this machine, and ``limnad worker``: one agent of any cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from limnad.cli import options
from limnad.cli.certificates import DAYS, make_certificates
from limnad.cli.local_cluster import default_folder, open_client, running
from limnad.cli.supervisor import ClusterState, holder, lock
from limnad.cli.tables import show
from limnad.errors import ClusterError

app = typer.Typer(help="A cluster on this machine.", no_args_is_help=True)

START_S = 120.0
"""How long a cluster may take until all of its agents are there; it takes two seconds on a quiet machine."""


Folder = Annotated[
    Path,
    typer.Option(
        envvar="LIMNAD_CLUSTER_FOLDER",
        help="Where the cluster is described, and its agents' logs lie.",
        default_factory=default_folder,
        show_default="~/.local/state/limnad",
    ),
]
Output = Annotated[Literal["table", "json"], typer.Option("-o", "--output", help="How to print.")]


@app.command()
def up(
    folder: Folder,
    workers: Annotated[int, typer.Option("-w", "--workers", min=1, max=256, help="How many agents.")] = 1,
    slots: Annotated[int, typer.Option(min=1, help="How many workers of one job each agent is made for.")] = 1,
    store: Annotated[
        str, typer.Option(metavar="URL", help="Where jobs, archives and checkpoints are kept; without, in memory only.")
    ] = "",
    memory: Annotated[str, typer.Option(metavar="SIZE", help="As for `limnad worker`: a limit for each engine.")] = "",
    coordinator: Annotated[
        bool, typer.Option("--coordinator", help="Gather jobs' progress updates at a coordinator: a process more each.")
    ] = False,
    port: Annotated[int, typer.Option(help="Where the leader listens on loopback; 0: anywhere.")] = 0,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls", help="With certificates and a token of its own, which `limnad submit` and the others find."
        ),
    ] = False,
    data_plane: Annotated[
        Literal["mtls", "plain"],
        typer.Option(help="`plain`: with --tls, data between engines go in plain text all the same."),
    ] = "mtls",
    ui: options.Ui = False,
    ui_port: options.UiPort = None,
    grace: Annotated[float, typer.Option(help="Seconds for last checkpoints when it is taken down.")] = 20.0,
) -> None:
    """Start agents on this machine, and keep them alive."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    held = lock(folder)
    if held is None:
        raise ClusterError(f"there is a cluster in {folder} already: limnad cluster status, or limnad cluster down")
    flags = ["--slots", str(slots), "--grace", str(grace), "--gather", str(START_S)]
    flags += ["--memory", memory] if memory else []
    flags += ["--progress", "local+global"] if coordinator else []
    # The page's port, too, is chosen now: a leader that is restarted serves it where it was.
    wanted = [port, *[0] * (workers - 1), *([0] * workers if tls else [])]
    addresses = _free_addresses([*wanted, *([ui_port or 0] if ui or ui_port is not None else [])])
    page = addresses[len(wanted) :]
    flags += ["--ui-address", *page] if page else []
    state = ClusterState(addresses[:workers], flags, grace)
    if page:
        state.page = f"{'https' if tls else 'http'}://{page[0]}/"
    if tls:
        state.clients, state.tls = addresses[workers : 2 * workers], str((folder / "tls").absolute())
        flags += ["--data-plane", data_plane]
        make_certificates(Path(state.tls))
    state.write(folder)
    held.close()
    _start_supervisor(folder, _absolute(store) if store else "", workers * slots)
    try:
        with open_client(state) as client:
            agents = client.cluster(wait_s=START_S).agents
    except ClusterError as error:
        take_down(folder)
        raise ClusterError(f"the cluster did not come up ({error}): see {folder}/agent-*.log") from None
    if len(agents) < workers:
        take_down(folder)
        raise ClusterError(f"only {len(agents)} of {workers} agents came up: see {folder}/agent-*.log")
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    say(f"{workers} agents are up; the leader serves at {state.leader}")
    if tls:
        say(f"certificates and the token: {state.tls}")
    if state.page:
        say(f"the page: {state.page}")


def _start_supervisor(folder: Path, store: str, engines: int) -> None:
    """Starts what keeps the described cluster alive.

    Args:
        folder: Where it is described.
        store: Its store; empty: it has none.
        engines: How many are to work at once.

    Raises:
        ClusterError: It did not start.
    """
    # What is about another cluster, which is spoken to from here, is not about this one.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("LIMNAD_TLS_", "LIMNAD_TOKEN"))
    }
    if store:
        environment["LIMNAD_STORE"] = store  # It may hold a password, which others could read in a flag.
    environment.setdefault("POLARS_MAX_THREADS", str(max(1, len(os.sched_getaffinity(0)) // engines)))
    with open(folder / "supervisor.log", "ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "limnad.cli.supervisor", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    assert supervisor.stdout is not None
    if not supervisor.stdout.readline():
        raise ClusterError(f"the cluster did not start: see {folder / 'supervisor.log'}")


@app.command()
def status(
    folder: Folder,
    output: Output = "table",
    wait: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Wait so long until all agents are there."),
    ] = None,
) -> None:
    """Show the agents of this machine's cluster."""
    state = running(folder)
    with open_client(state) as client:
        seen = client.cluster(wait)
    pids = dict(zip(state.addresses, state.pids, strict=False))
    rows = [{**asdict(agent), "pid": pids.get(agent.address)} for agent in seen.agents]
    if output == "json":
        told = {"address": state.leader, "page": state.page or None, "restarts": state.restarts, "agents": rows}
        print(json.dumps(told))
    else:
        show(rows)
        if state.page:
            Console(stderr=True, highlight=False, soft_wrap=True).print(f"the page: {state.page}")


@app.command()
def certs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; nobody else may read it.")],
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A name or address by which clients reach the leader; may be repeated."),
    ] = None,
    domain: Annotated[str, typer.Option(help="What stands behind the role; as --tls-domain.")] = "limnad.internal",
    days: Annotated[float, typer.Option(min=0, help="How long the certificates are good.")] = DAYS,
    new_authority: Annotated[
        bool, typer.Option("--new-authority", help="Begin with a new authority, and trust the old one on.")
    ] = False,
) -> None:
    """Make, or renew, a development authority with certificates for each role, and a token for clients."""
    make_certificates(folder, name or (), domain=domain, days=days, new_authority=new_authority)
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"{folder}/leader, /worker and /coordinator have tls.crt, tls.key and ca.crt; {folder}/token is for clients"
    )


@app.command()
def down(folder: Folder) -> None:
    """Take the cluster down: jobs with a store make a last checkpoint, and nothing is left running."""
    if not take_down(folder):
        raise ClusterError(f"there is no cluster in {folder}: limnad cluster up starts one")


def take_down(folder: Path) -> bool:
    """Ends the cluster, and returns when it is gone; False: there was none."""
    supervisor = holder(folder)
    if supervisor is None:
        return False
    os.kill(supervisor, signal.SIGTERM)
    held = lock(folder, wait=True)
    assert held is not None
    held.close()
    return True


def _free_addresses(ports_wanted: Sequence[int]) -> list[str]:
    with ExitStack() as open_sockets:
        ports = []
        for wanted in ports_wanted:
            each = open_sockets.enter_context(socket.socket())
            try:
                each.bind(("127.0.0.1", wanted))
            except OSError:
                raise ClusterError(f"port {wanted} is taken: choose another, or 0 for any") from None
            ports.append(each.getsockname()[1])
    return [f"127.0.0.1:{port}" for port in ports]


def _absolute(store: str) -> str:
    """Agents have another working directory than who starts them may have later."""
    scheme, _, path = store.partition(":")
    return f"dir:{Path(path).absolute()}" if scheme == "dir" else store


def serve_worker(arguments: list[str]) -> None:
    """Becomes an agent: this process is its process."""
    os.execv(sys.executable, [sys.executable, "-m", "limnad_worker", "serve", *arguments])  # noqa: S606
