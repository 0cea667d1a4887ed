"""Where processes of this machine listen."""

from __future__ import annotations

from pathlib import Path

LISTENING = "0A"
"""The state, as the kernel's tables have it."""


def listening(pid: int) -> list[str]:
    """The addresses on loopback of a process's TCP ports."""
    sockets = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
    tables = [Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    own = [line for line in lines if line[3] == LISTENING and f"socket:[{line[9]}]" in sockets]
    return [f"127.0.0.1:{int(line[1].split(':')[1], 16)}" for line in own]
