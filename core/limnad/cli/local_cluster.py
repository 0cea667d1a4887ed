"""The cluster of this machine, as commands find it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from limnad.cli.supervisor import ClusterState, holder
from limnad.errors import ClusterError

if TYPE_CHECKING:
    from limnad.client import Client


def default_folder() -> Path:
    """Where a cluster on this machine keeps what it has to remember."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "limnad"


def running(folder: Path | None = None) -> ClusterState:
    """The cluster that `limnad cluster up` has started.

    Args:
        folder: Where it is described; None: where it is by default.

    Raises:
        ClusterError: There is none.
    """
    folder = folder or Path(os.environ.get("LIMNAD_CLUSTER_FOLDER") or default_folder())
    state = ClusterState.read(folder)
    if holder(folder) is None or state is None:
        raise ClusterError(
            f"there is no cluster on this machine (looked in {folder}): start one with limnad cluster up, or say "
            "--cluster HOST:PORT (LIMNAD_CLUSTER)"
        )
    return state


def open_client(state: ClusterState) -> Client:
    """A client of its leader."""
    from limnad.client import Client, Tls

    if not state.tls:
        return Client(state.leader)
    folder = Path(state.tls)
    return Client(state.leader, token_file=str(folder / "token"), tls=Tls(str(folder / "ca.crt")))
