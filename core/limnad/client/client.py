"""A client of a cluster's leader."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from limnad.client.agents import ClusterStatus
from limnad.client.channels import Line, Tls
from limnad.client.inputs import PATIENCE_S, Input
from limnad.client.packing import Packed, pack
from limnad.client.status import CheckpointInfo, Checkpointing, JobStatus, status_of
from limnad.client.translation import patient_stream, translated, translated_stream
from limnad.errors import JobError, MissedEpochs
from limnad_proto.v1 import control_pb2, jobs_pb2

OWNER = "limnad-owner"
"""Of a call's metadata: who calls."""

CALL_S = 10.0
"""How long what is answered at once may take."""

PIECE_BYTES = 1 << 20
"""Of an archive, in one message."""


class Client:
    """Speaks to the leader of a cluster.

    Args:
        address: ``"HOST:PORT"``.
        token: A bearer token, if the cluster wants one.
        tls: How to speak TLS, or just the file (PEM) of the authorities that the leader is checked against; None: plain
            text.
        token_file: Instead of a token: a file whose first one is sent, read again when it changes.
        insecure: Send a token in plain text to another machine, which is refused else.
        patience_s: How long a leader that was there and is gone is waited for, by whoever watches or subscribes.
        owner: Whose jobs are submitted and changed here: a job that has an owner is changed by that one only.

    Raises:
        ClusterError: A file cannot be used, or a token would go in plain text to another machine.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        tls: str | Tls | None = None,
        *,
        token_file: str | None = None,
        insecure: bool = False,
        patience_s: float = PATIENCE_S,
        owner: str = "",
    ) -> None:
        self.address = address
        self._owner = owner
        self._patience_s = patience_s
        speaks = Tls(tls) if isinstance(tls, str) else tls
        self._line = Line(address, token, token_file, speaks, insecure=insecure)

    def submit(
        self,
        path: str,
        function: str = "job",
        *,
        arguments: Mapping[str, object] | None = None,
        workers: int = 0,
        progress: str = "",
        checkpointing: Checkpointing | None = None,
        root: str | None = None,
        upload: bool = True,
        ephemeral: bool = False,
        replace: bool = False,
        request_id: str | None = None,
    ) -> Job:
        """Starts a job.

        Args:
            path: The job file, or an archive that `limnad pack` has made, which says its job file itself.
            function: The function in it that describes the flow.
            arguments: For that function; given as text, they take the types of its parameters.
            workers: How many; 0: as many as the cluster has slots.
            progress: How progress updates are gathered: ``"none"``, ``"local"``, ``"global"`` or ``"local+global"``;
                empty: as the cluster does.
            checkpointing: How it survives the loss of workers. None: by checkpoints in the cluster's store, if it has
                one; else a worker that is lost ends the job.
            root: The folder with all that the job imports; None: the job file is all.
            upload: Send the job's files along. Without, all workers must be able to read the path, which only a
                `LocalCluster` believes.
            ephemeral: Keep no checkpoints, although the cluster has a store.
            replace: Take the place of a job of the same name, which has ended; see `Checkpointing.resume`.
            request_id: A text of the caller's own: a request that is made again under it starts no second job.

        Raises:
            JobError: The request is wrong.
            ClusterError: The leader cannot be reached.
        """
        packed = pack(path, function, root) if upload else Packed(str(Path(path).absolute()), function)
        request = jobs_pb2.SubmitRequest(
            path=packed.path,
            function=packed.function,
            archive=self._upload(packed.data) if upload else "",
            arguments=[control_pb2.Argument(name=name, value=str(value)) for name, value in (arguments or {}).items()],
            workers=workers,
            progress=progress,
            ephemeral=ephemeral,
            replace=replace,
            owner=self._owner,
            request_id=request_id or secrets.token_hex(16),
            **(checkpointing or Checkpointing()).fields(),
        )
        answer = translated(lambda: self._line.jobs.Submit(request))
        return self._job(answer.job, durable=answer.durable)

    def _upload(self, data: bytes) -> str:
        def pieces() -> Iterator[jobs_pb2.UploadPiece]:
            for start in range(0, len(data), PIECE_BYTES):
                yield jobs_pb2.UploadPiece(data=data[start : start + PIECE_BYTES])

        return translated(lambda: self._line.jobs.Upload(pieces())).archive

    def _job(self, name: str, *, durable: bool) -> Job:
        return Job(name, self._line, durable=durable, patience_s=self._patience_s, owner=self._owner)

    def job(self, name: str) -> Job:
        """A job that somebody has submitted, by its name.

        Raises:
            JobError: There is no job of that name.
            ClusterError: The leader cannot be reached.
        """
        view = translated(lambda: self._line.jobs.Get(jobs_pb2.GetRequest(job=name)))
        return self._job(name, durable=view.durable)

    def jobs(self) -> list[JobStatus]:
        """All jobs, the newest first, those that have ended included.

        Raises:
            ClusterError: The leader cannot be reached.
        """
        return list(map(status_of, translated(lambda: self._line.jobs.List(jobs_pb2.ListRequest())).jobs))

    def cluster(self, wait_s: float | None = None) -> ClusterStatus:
        """Who works there.

        Args:
            wait_s: Wait so long for the leader, and for the agents that it expects; None: ask once.

        Raises:
            ClusterError: The leader cannot be reached.
        """
        request = jobs_pb2.GetClusterRequest(gathered=wait_s is not None)
        view = translated(lambda: self._line.jobs.GetCluster(request, timeout=wait_s, wait_for_ready=request.gathered))
        return ClusterStatus.of(view)

    def resize(self, agents: int) -> None:
        """Says how many agents the cluster is to have: so many are waited for, and others get no work any more.

        Raises:
            ClusterError: The leader cannot be reached.
        """
        translated(lambda: self._line.jobs.Resize(jobs_pb2.ResizeRequest(agents=agents), timeout=CALL_S))

    def close(self) -> None:
        """Hangs up; jobs go on."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Job:
    """A job that has been submitted.

    Args:
        name: Its name at the agent.
        line: To the leader.
        durable: Whether it has a store.
        patience_s: See `Client`.
        owner: See `Client`.
    """

    def __init__(
        self,
        name: str,
        line: Line,
        *,
        durable: bool = False,
        patience_s: float = PATIENCE_S,
        owner: str = "",
    ) -> None:
        self.name = name
        self._as_owner: tuple[tuple[str, str], ...] = ((OWNER, owner),) if owner else ()
        self._patience_s = patience_s
        self._line = line
        self._durable = durable
        self._inputs: dict[tuple[str, str | None], Input] = {}

    def watch(self) -> Iterator[JobStatus]:
        """The job's status, about four times a second and whenever its state changes, until it has ended."""
        request = jobs_pb2.WatchRequest(job=self.name)
        yield from map(status_of, self._stream(lambda: self._line.jobs.Watch(request)))

    def status(self) -> JobStatus:
        """The job's status now."""
        return status_of(translated(lambda: self._line.jobs.Get(jobs_pb2.GetRequest(job=self.name))))

    def outputs(self, *names: str, from_epochs: Mapping[str, int] | None = None) -> Iterator[tuple[str, int, Any]]:
        """``(output, epoch, rows)`` of these outputs, or of all, as epochs complete, until the job has ended.

        For each output the epochs come in order, from the first one that is kept, or the one that is wanted, the empty
        ones included. What an open iterator has not given yet is kept for it, up to 1 GiB of a job, unless the leader
        dies: a checkpoint keeps the newest 1,000 of each output.

        Raises:
            MissedEpochs: One that was wanted, or that follows one that has come, is not kept any more.
        """
        wanted = dict(from_epochs or {})

        def start() -> Any:
            request = jobs_pb2.SubscribeRequest(job=self.name, outputs=names, from_epochs=wanted)
            return self._line.jobs.Subscribe(request)

        from limnad.batch import decode  # Polars; only here, so that it is loaded while the job starts.

        for output in self._stream(start):
            if output.epoch > (first := wanted.get(output.name, output.epoch)):
                raise MissedEpochs(
                    f"epochs {first} to {output.epoch - 1} of the output {output.name!r} are not kept any more: the "
                    "job went on from a checkpoint, or nobody read it for long. Read from epoch "
                    f"{output.epoch} on, and let a sink keep what must not be missed"
                )
            wanted[output.name] = output.epoch + 1
            yield output.name, output.epoch, decode(output.encoding, output.payload)

    def _stream(self, start: Callable[[], Any]) -> Iterator[Any]:
        return patient_stream(start, self._patience_s)

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
            self._inputs[name, producer] = Input(
                self.name, name, self._line, producer, durable=self._durable, patience_s=self._patience_s
            )
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
            JobError: It was cancelled before.
        """

        def complete(status: JobStatus) -> bool:
            if status.state == "finished":
                return True
            if not status.probes:  # Nothing is known: its workers are about to start, or to start again.
                return False
            if probe not in status.probes:
                raise KeyError(f"the job has no probe {probe!r}; it has {sorted(status.probes)}")
            frontier = status.probes[probe]
            return frontier is None or frontier > epoch

        status = self._until(complete)
        if status.failure is not None:
            raise status.failure
        if not complete(status):
            raise JobError(f"the job is {status.state}: epoch {epoch} does not become complete at {probe!r}")

    def _until(self, holds: Callable[[JobStatus], bool]) -> JobStatus:
        for status in self.watch():
            if holds(status) or status.failure is not None:
                break
        return status

    def logs(self, *, follow: bool = False) -> Iterator[tuple[int, str]]:
        """``(worker, text)`` of what the job's workers have printed, the newest megabyte, also of those that are gone.

        Args:
            follow: Go on until the job has ended.
        """
        request = jobs_pb2.LogsRequest(job=self.name, follow=follow)
        for piece in translated_stream(lambda: self._line.jobs.Logs(request)):
            yield piece.worker, piece.text.decode(errors="replace")

    def checkpoint(self) -> int:
        """Makes a checkpoint of all that the job has done by now; returns its number when it is durable.

        Raises:
            JobError: The job has no store, or has ended.
            ClusterError: It was given up, says why; or the leader cannot be reached.
        """
        answer = translated(lambda: self._line.jobs.Checkpoint(jobs_pb2.CheckpointRequest(job=self.name)))
        return answer.checkpoint

    def rescale(self, workers: int) -> None:
        """Goes on with another number of workers, from a new checkpoint; returns when they run.

        Raises:
            JobError: The job has no store, has ended, has an owner, or a stage's state cannot be spread over so many.
        """
        request = jobs_pb2.RescaleRequest(job=self.name, workers=workers)
        translated(lambda: self._line.jobs.Rescale(request, metadata=self._as_owner))

    def cancel(self) -> None:
        """Ends the job at once."""
        translated(lambda: self._line.jobs.Cancel(jobs_pb2.CancelRequest(job=self.name), metadata=self._as_owner))

    def drain(self) -> None:
        """Has the job's inputs end where they stand, so that it finishes, with a last checkpoint; returns at once."""
        translated(lambda: self._line.jobs.Drain(jobs_pb2.DrainRequest(job=self.name), metadata=self._as_owner))

    def pin(self, name: str, *, hold: bool = False) -> int:
        """Makes a checkpoint that is kept until it is unpinned; returns its number when it is durable.

        Args:
            name: By which it is unpinned; asked for again by the same name, it is the same one.
            hold: Make no other one until it is unpinned: output that waits for a checkpoint is held back.

        Raises:
            JobError: The job has no store, has ended, or is held already.
        """
        request = jobs_pb2.PinRequest(job=self.name, name=name, hold=hold)
        return translated(lambda: self._line.jobs.Pin(request)).checkpoint

    def unpin(self, name: str) -> None:
        """Lets go of a pinned checkpoint; one that is not there is no error."""
        translated(lambda: self._line.jobs.Unpin(jobs_pb2.UnpinRequest(job=self.name, name=name)))

    def delete(self) -> None:
        """Forgets the job, which has ended, and its checkpoints.

        Raises:
            JobError: It has not ended, or has another owner.
        """
        translated(lambda: self._line.jobs.Delete(jobs_pb2.DeleteRequest(job=self.name), metadata=self._as_owner))

    def checkpoints(self) -> list[CheckpointInfo]:
        """The job's complete checkpoints, the newest first.

        Raises:
            ClusterError: The store cannot be reached.
        """
        answer = translated(lambda: self._line.jobs.ListCheckpoints(jobs_pb2.ListCheckpointsRequest(job=self.name)))
        return [
            CheckpointInfo(
                each.checkpoint,
                each.made_s,
                each.epoch if each.HasField("epoch") else None,
                each.workers,
                each.generation,
                each.bytes,
            )
            for each in answer.checkpoints
        ]

    def restore(self, checkpoint: int | None = None, workers: int | None = None) -> None:
        """Goes back to a checkpoint, and forgets those made since; also when the job has ended. Returns when it runs.

        Args:
            checkpoint: Its number; None: the newest.
            workers: How many workers; None: as many as before.

        Raises:
            JobError: The job has no store, or no such checkpoint.
        """
        request = jobs_pb2.RestoreRequest(job=self.name, checkpoint=checkpoint or 0, workers=workers or 0)
        translated(lambda: self._line.jobs.Restore(request, metadata=self._as_owner))
