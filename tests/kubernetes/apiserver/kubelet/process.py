"""A container as a process of this machine, in namespaces of its own."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OWN_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PSEUDO: Final = ("/dev", "/sys")
_LAUNCHER: Final = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of this machine that the container sees elsewhere."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run.

    Attributes:
        network: The namespace of the pod.
        hostname: The pod's name.
        command: Program and arguments.
        env: All its variables.
        folder: Where it starts; empty: at the root.
        scratch: An empty folder for the layer over the machine's file system.
        mounts: What it sees besides.
        keeps: Folders that are there whatever is mounted over them.
        names: A folder with ``hosts``, which goes on changing.
        read_only: Its own layer cannot be written.
        log: Where what it prints goes.
    """

    network: str
    hostname: str
    command: Sequence[str]
    env: Mapping[str, str]
    folder: str
    scratch: Path
    mounts: Sequence[Mount]
    keeps: Sequence[Path]
    names: Path
    read_only: bool
    log: Path


def script(launch: Launch) -> str:
    """The shell commands that make the container's view of the file system and then become its program."""
    root = launch.scratch / "root"
    quoted = shlex.quote(str(root))
    lines = [
        "set -e",
        f"mount -t tmpfs tmpfs {shlex.quote(str(launch.scratch))}",
        f"cd {shlex.quote(str(launch.scratch))}",
        "mkdir upper work root",
        "mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root",
        f"mount -t proc proc {quoted}/proc",
        *(f"mount --rbind {each} {quoted}{each}" for each in _PSEUDO),
        f"mkdir -p {quoted}/run/limnad-names",
        f"mount --bind {shlex.quote(str(launch.names))} {quoted}/run/limnad-names",
        f"rm -f {quoted}/etc/hosts {quoted}/etc/resolv.conf",
        f"ln -s /run/limnad-names/hosts {quoted}/etc/hosts",
        f"ln -s /run/limnad-names/resolv.conf {quoted}/etc/resolv.conf",
        f"hostname {shlex.quote(launch.hostname)}",
    ]
    # A path may lead through a link (/var/run): it is followed inside, where it does not lead out to the machine's own.
    lines.append(f'inside() {{ at={quoted}"$(chroot {quoted} realpath -m "$1")"; }}')
    for mount in launch.mounts:
        lines += _bind(mount)
    for keep in launch.keeps:
        own = shlex.quote(str(keep))
        bind = f'mkdir -p "$at"; mount --rbind {own} "$at"'
        lines.append(f'inside {own}; [ -n "$(ls "$at" 2>/dev/null)" ] || {{ {bind}; }}')
    if launch.read_only:
        lines.append(f"mount -o remount,ro,bind {quoted}")
    variables = " ".join(shlex.quote(f"{name}={value}") for name, value in launch.env.items())
    start = shlex.quote(launch.folder or "/")
    command = " ".join(shlex.quote(word) for word in launch.command)
    lines.append(f"exec chroot {quoted} /usr/bin/env -i -C {start} {variables} {command}")
    return "\n".join(lines)


def _bind(mount: Mount) -> Iterable[str]:
    yield f"inside {shlex.quote(mount.target)}"
    yield 'mkdir -p "$at"' if mount.source.is_dir() else 'mkdir -p "$(dirname "$at")"; : > "$at"'
    yield f'mount --bind {shlex.quote(str(mount.source))} "$at"'
    if mount.read_only:
        yield 'mount -o remount,ro,bind "$at"'


class Process:
    """One that runs; it ends with the thread that started it.

    Args:
        outer: What waits for it: the launcher.
        env: Its variables.
    """

    def __init__(self, outer: asyncio.subprocess.Process, env: Mapping[str, str]) -> None:
        self._outer = outer
        self._env = env  # Not from /proc: a program may write over its own.

    @classmethod
    async def start(cls, launch: Launch) -> Process:
        """Starts it."""
        command = [sys.executable, "-I", "-S", str(_LAUNCHER), launch.network, script(launch)]
        launch.scratch.mkdir(parents=True, exist_ok=True)
        with launch.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal of the tests is no signal for pods.
            outer = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": OWN_PATH},
            )
        return cls(outer, launch.env)

    async def wait(self) -> int:
        """Its exit code; 128 and the signal's number if a signal ended it."""
        code = await self._outer.wait()
        return 128 - code if code < 0 else code  # Below 0: the launcher itself was killed.

    @property
    def pid(self) -> int:
        """Of the program itself, which is the first in its namespace; 0: it has ended."""
        outer = self._outer.pid
        try:
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        except OSError:
            return 0
        return int(children[0]) if children else 0

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program."""
        if pid := self.pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Ends all of it at once: the first process of a namespace takes the others along."""
        self.signal(signal.SIGKILL)
        if self._outer.returncode is None and not self.pid:
            self._outer.kill()

    def freeze(self, *, frozen: bool) -> None:
        """Stops all its processes where they are, or lets them go on."""
        number = signal.SIGSTOP if frozen else signal.SIGCONT
        for pid in _tree(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def run_inside(self, command: Sequence[str], timeout_s: float) -> tuple[int, str]:
        """Runs a command in the container; its exit code and what it printed.

        Raises:
            TimeoutError: It takes too long.
        """
        target = str(self.pid)
        if target == "0":
            return 1, "the container does not run"
        inside = await asyncio.create_subprocess_exec(
            *("nsenter", "--target", target, "--mount", "--net", "--pid", "--uts", "--root", "--wd"),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
        )
        try:
            async with asyncio.timeout(timeout_s):
                out, _ = await inside.communicate()
        except TimeoutError:
            inside.kill()
            await inside.wait()
            raise
        return inside.returncode or 0, out.decode(errors="replace")


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    if not pid:
        return []
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            found += _tree(int(child))
    return found
