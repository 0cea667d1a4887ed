"""A cluster on this machine, for as long as it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Self

from limnad.client.client import Client, Job
from limnad.client.status import Checkpointing
from limnad.errors import ClusterError, JobError
from limnad.limits import MAX_WORKERS

STOP_S = 3.0
"""How long an agent that is to end may take; one that is stopped itself is killed then."""


class LocalCluster:
    """An agent and its engines on this machine.

    It ends with this object (`stop`), and also if this process dies: the agent watches the pipe to its standard input.

    Args:
        workers: How many engines.
        port: Where the agent listens on loopback; 0: anywhere.
        output: Where engines' own prints go: None: to this process's; or `subprocess.PIPE`.
        ui_port: Where the web page is served on loopback; 0: anywhere; None: nowhere.
        metrics_port: Where the agent serves metrics for Prometheus on loopback; 0: anywhere; None: nowhere.
        environment: Variables for the agent and its engines, over those of this process.

    Attributes:
        address: The agent's.
        ui: The URL of its web page, if it serves one.
        metrics: The URL of its metrics, if it serves them.

    Raises:
        JobError: The number of workers makes no sense.
        ClusterError: The agent did not start.
    """

    def __init__(
        self,
        workers: int,
        port: int = 0,
        output: int | None = None,
        ui_port: int | None = None,
        metrics_port: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if not 1 <= workers <= MAX_WORKERS:
            raise JobError(f"a job needs 1 to {MAX_WORKERS} workers, not {workers}")
        announced, announce = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "limnad_worker", "agent"),
                    *("--workers", str(workers), "--port", str(port)),
                    *("--announce-fd", str(announce)),
                    *(() if ui_port is None else ("--ui-port", str(ui_port))),
                    *(() if metrics_port is None else ("--metrics-port", str(metrics_port))),
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[announce],
                start_new_session=True,
                # gRPC's C core would log between the job's own prints.
                env={"GRPC_VERBOSITY": "ERROR", **os.environ, **(environment or {})},
            )
        finally:
            os.close(announce)
        with os.fdopen(announced) as pipe:
            news = json.loads(pipe.readline() or '{"error": "the agent died while it started"}')
        if "error" in news:
            self.stop()
            raise ClusterError(news["error"])
        self.address: str = news["address"]
        self.ui: str | None = news.get("ui")
        self.metrics: str | None = news.get("metrics")

    @property
    def pid(self) -> int:
        """The agent's process."""
        return self._process.pid

    @property
    def streams(self) -> tuple[IO[bytes], IO[bytes]]:
        """What agent and engines print, if it was asked for as a pipe: standard output and error."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        return self._process.stdout, self._process.stderr

    def stop(self) -> None:
        """Ends the agent and all its engines."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


@contextmanager
def local(
    target: str,
    workers: int = 1,
    arguments: Mapping[str, Any] | None = None,
    checkpointing: Checkpointing | None = None,
) -> Iterator[Job]:
    """Runs a job on this machine for the length of a ``with`` block; what is left of it then is cancelled.

    Args:
        target: ``"FILE[:FUNCTION]"``, as for `limnad run`.
        workers: How many worker processes.
        arguments: For the function.
        checkpointing: How it survives the loss of workers, and goes on in a later program; None: not at all.

    Raises:
        JobError: The request is wrong.
        ClusterError: The agent did not start.
    """
    from limnad.stream.jobfile import split_target  # needs Polars and Pydantic: a program may import limnad in a moment

    path, function = split_target(target)
    with LocalCluster(workers) as cluster, Client(cluster.address) as client:
        job = client.submit(path, function, arguments=arguments, workers=workers, checkpointing=checkpointing)
        yield job
