"""A real Redis of one's own: found or installed, started on a socket in a fresh folder, ended by its process id."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, Self

import redis

_APT: Final = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-q", "-y")
_UNKNOWN: Final = (
    "these tests need a redis-server. Install one (Debian, Ubuntu: apt-get install redis-server; macOS: brew install "
    "redis), or set LIMNAD_REDIS_SERVER to one"
)


def find_redis_server() -> str:
    """The program; on a Debian where we are root it is installed if need be.

    No package of PyPI ships a recent one for all our Pythons and machines.

    Raises:
        RuntimeError: There is none.
    """
    if named := os.environ.get("LIMNAD_REDIS_SERVER"):
        return named
    if found := shutil.which("redis-server"):
        return found
    if os.geteuid() or not shutil.which("apt-get"):
        raise RuntimeError(_UNKNOWN)
    # Tests may run side by side: one installs, the others wait.
    with (Path(tempfile.gettempdir()) / "limnad-redis-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shutil.which("redis-server"):
            _apt("update")
            _apt("install", "--no-install-recommends", "redis-server")
    return shutil.which("redis-server") or "redis-server"


def _apt(*arguments: str) -> None:
    # The package would start a server as a service of the machine, where there is an init to do so.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run([*_APT, *arguments], env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{_UNKNOWN}. apt-get {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


class RedisServer:
    """A server that keeps nothing unless told to.

    Args:
        options: For redis-server, over the defaults: ``{"appendonly": "yes"}``.
    """

    def __init__(self, **options: str) -> None:
        self._program = find_redis_server()
        self.folder = Path(tempfile.mkdtemp(prefix="limnad-redis-"))  # short: a socket's path has some 100 characters
        self.socket = self.folder / "s"
        self._options = {name.replace("_", "-"): value for name, value in options.items()}
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        """For `open_store`."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Starts, and returns when it accepts connections."""
        options = {"port": "0", "unixsocket": str(self.socket), "save": "", "dir": str(self.folder), **self._options}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        process = subprocess.Popen([self._program, *arguments], stdout=subprocess.PIPE, text=True, errors="replace")
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "ready to accept connections" in line.lower():
                self._process = process
                return
        process.wait()
        process.stdout.close()
        raise RuntimeError(f"redis-server did not start:\n{''.join(said)}")

    def client(self) -> redis.Redis:
        """A bare client, which waits as long as it takes; to be closed."""
        return redis.Redis(unix_socket_path=str(self.socket), protocol=2, socket_timeout=None)

    def do(self, *command: str) -> object:
        """One command."""
        with self.client() as client:
            answer: object = client.execute_command(*command)
            return answer

    def freeze(self) -> None:
        """It hangs: it neither answers nor closes."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it without warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def close(self) -> None:
        """Ends it and removes its folder."""
        self.kill()
        shutil.rmtree(self.folder)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


if __name__ == "__main__":
    sys.stdout.write(f"{find_redis_server()}\n")
