"""A real Redis of one's own: found or installed, started on a socket in a fresh folder, ended by its process id."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import redis

from tests.helpers.debian import find_program


def find_redis_server() -> str:
    """The program; see `find_program`.

    Raises:
        RuntimeError: There is none.
    """
    advice = "Install one (Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis)"
    return find_program("redis-server", "redis-server", "LIMNAD_REDIS_SERVER", advice)


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
