"""A client of an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc

from limnad.batch import decode
from limnad.client.inputs import Input
from limnad.client.status import JobStatus, status_of
from limnad.client.translation import translated, translated_stream
from limnad_proto.v1 import control_pb2, jobs_pb2, jobs_pb2_grpc

_OPTIONS = [
    # An agent that is stopped or cut off is noticed after twice this time, not when somebody gives up waiting.
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.ping_timeout_ms", 3000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True)
class Checkpointing:
    """How a job is made to survive the loss of its workers.

    Attributes:
        store: Where checkpoints are kept: ``"dir:PATH"``, ``"redis://HOST:PORT/DB"``; see `limnad.store.open_store`.
        name: The job's name there; by default that of its file.
        every_s: Seconds from one checkpoint to the next; None: only when asked for.
        every_epochs: A checkpoint after so many complete epochs, too; None: not by epochs.
        timeout_s: After how long a checkpoint is given up; None: the default.
        keep: How many are kept; None: the default.
        resume: Go on from the newest one. Without it, checkpoints of an earlier run are refused, never overwritten.
        max_restarts: How often the job is started again within ``restart_window_s``; None: the default.
        restart_window_s: For how long a restart counts; None: the default.
        delivery: When readers get an epoch of an output: ``"eager"``, at once; ``"committed"``, when a durable
            checkpoint covers it, so that nobody ever sees what might be computed again.
    """

    store: str
    name: str = ""
    every_s: float | None = 10.0
    every_epochs: int | None = None
    timeout_s: float | None = None
    keep: int | None = None
    resume: bool = False
    max_restarts: int | None = None
    restart_window_s: float | None = None
    delivery: str = "eager"

    def fields(self) -> dict[str, Any]:
        """Those of a `SubmitRequest`."""
        return {
            "store": self.store,
            "name": self.name,
            "checkpoint_interval_s": self.every_s or 0.0,
            "checkpoint_epochs": self.every_epochs or 0,
            "checkpoint_timeout_s": self.timeout_s or 0.0,
            "keep": self.keep or 0,
            "resume": self.resume,
            "max_restarts": self.max_restarts or 0,
            "restart_window_s": self.restart_window_s or 0.0,
            "delivery": self.delivery,
        }


class Client:
    """Speaks to the agent at an address.

    Args:
        address: ``"HOST:PORT"``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._jobs = jobs_pb2_grpc.JobServiceStub(self._channel)

    def submit(
        self,
        path: str,
        function: str = "job",
        *,
        arguments: Mapping[str, object] | None = None,
        workers: int = 0,
        progress: str = "local",
        checkpointing: Checkpointing | None = None,
    ) -> Job:
        """Starts a job.

        Args:
            path: The job file.
            function: The function in it that describes the flow.
            arguments: For that function; given as text, they take the types of its parameters.
            workers: How many; 0: all that the agent has.
            progress: How progress updates are gathered: ``"none"``, ``"local"``, ``"global"`` or ``"local+global"``.
            checkpointing: How it survives the loss of workers; None: a worker that is lost ends it.

        Raises:
            JobError: The request is wrong.
            ClusterError: The agent cannot be reached.
        """
        request = jobs_pb2.SubmitRequest(
            path=str(Path(path).absolute()),
            function=function,
            arguments=[control_pb2.Argument(name=name, value=str(value)) for name, value in (arguments or {}).items()],
            workers=workers,
            progress=progress,
            **(checkpointing.fields() if checkpointing is not None else {}),
        )
        answer = translated(lambda: self._jobs.Submit(request))
        return Job(answer.job, self._jobs, durable=checkpointing is not None)

    def job(self, name: str) -> Job:
        """A job that somebody else has submitted.

        Raises:
            JobError: The agent has no job of that name.
            ClusterError: The agent cannot be reached.
        """
        call = translated(lambda: self._jobs.Watch(jobs_pb2.WatchRequest(job=name)))
        view = next(translated_stream(call))
        return Job(name, self._jobs, durable=view.durable)

    def close(self) -> None:
        """Hangs up; jobs go on."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Job:
    """A job that has been submitted.

    Args:
        name: Its name at the agent.
        jobs: The agent.
        durable: Whether it has a store.
    """

    def __init__(self, name: str, jobs: jobs_pb2_grpc.JobServiceStub, *, durable: bool = False) -> None:
        self.name = name
        self._jobs = jobs
        self._durable = durable
        self._inputs: dict[tuple[str, str | None], Input] = {}

    def watch(self) -> Iterator[JobStatus]:
        """The job's status, about four times a second and whenever its state changes, until it has ended."""
        call = translated(lambda: self._jobs.Watch(jobs_pb2.WatchRequest(job=self.name)))
        yield from map(status_of, translated_stream(call))

    def status(self) -> JobStatus:
        """The job's status now."""
        return next(self.watch())

    def outputs(self, *names: str, from_epochs: Mapping[str, int] | None = None) -> Iterator[tuple[str, int, Any]]:
        """``(output, epoch, rows)`` of these outputs, or of all, as epochs complete, until the job has ended.

        For each output the epochs come in order, from the first one that is kept, or the one that is wanted, the empty
        ones included.
        """
        request = jobs_pb2.SubscribeRequest(job=self.name, outputs=names, from_epochs=from_epochs or {})
        call = translated(lambda: self._jobs.Subscribe(request))
        for output in translated_stream(call):
            yield output.name, output.epoch, decode(output.encoding, output.payload)

    def subscribe(self, output: str) -> Iterator[tuple[int, Any]]:
        """``(epoch, rows)`` of one output. See `outputs`.

        Raises:
            JobFailed: The job failed, after what it gave until then.
            KeyError: It has no such output.
        """
        for _, epoch, rows in self.outputs(output):
            yield epoch, rows
        status = self.status()
        if output not in status.outputs and status.state == "finished":
            raise KeyError(f"the job has no output {output!r}; it has {status.outputs}")
        if status.failure is not None:
            raise status.failure

    def input(self, name: str, producer: str | None = None) -> Input:
        """A hand-fed input of the job, to be fed from here.

        Args:
            name: The input's.
            producer: Who feeds it, so that the same program, started again, knows what it has pushed already; see
                `Input.last_sequence`. One program at a time. None: somebody new.
        """
        if (name, producer) not in self._inputs:
            self._inputs[name, producer] = Input(self.name, name, self._jobs, producer, durable=self._durable)
        return self._inputs[name, producer]

    def wait(self) -> JobStatus:
        """Waits until the job has ended.

        Raises:
            JobFailed: It failed.
        """
        status = self._until(lambda status: status.state in ("finished", "failed", "cancelled"))
        if status.failure is not None:
            raise status.failure
        return status

    def wait_for_probe(self, probe: str, epoch: int) -> None:
        """Waits until an epoch is complete at a probe.

        Raises:
            KeyError: The job has no such probe.
            JobFailed: The job failed before.
        """

        def passed(status: JobStatus) -> bool:
            if status.state in ("starting", "running") and not status.probes:
                return False
            if status.failure is None and probe not in status.probes and status.state == "running":
                raise KeyError(f"the job has no probe {probe!r}; it has {sorted(status.probes)}")
            frontier = status.probes.get(probe)
            return frontier is None or frontier > epoch

        status = self._until(passed)
        if status.failure is not None:
            raise status.failure

    def _until(self, holds: Callable[[JobStatus], bool]) -> JobStatus:
        for status in self.watch():
            if holds(status) or status.failure is not None:
                break
        return status

    def checkpoint(self) -> int:
        """Makes a checkpoint; returns its number when it is durable.

        Raises:
            JobError: The job has no store, or has ended.
        """
        answer = translated(lambda: self._jobs.Checkpoint(jobs_pb2.CheckpointRequest(job=self.name)))
        return answer.checkpoint

    def rescale(self, workers: int) -> None:
        """Goes on with another number of workers, from a new checkpoint; returns when they run.

        Raises:
            JobError: The job has no store, has ended, or a stage's state cannot be spread over so many.
        """
        request = jobs_pb2.RescaleRequest(job=self.name, workers=workers)
        translated(lambda: self._jobs.Rescale(request))

    def cancel(self) -> None:
        """Ends the job at once."""
        translated(lambda: self._jobs.Cancel(jobs_pb2.CancelRequest(job=self.name)))
