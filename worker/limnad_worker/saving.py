"""The checkpoints of one generation: the shell around `limnad.cluster.checkpoints`.

due, asked for, or all have finished -> number from the store -> engines halt, capture, store their parts
-> outputs' epochs -> manifest -> engines and readers are told
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from limnad.cluster import checkpoints as points
from limnad.cluster.records import CheckpointRecord, PartError, PartRecord, PhasesRecord
from limnad.store import Conflict, LostState, StoreError
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker import history
from limnad_worker.outputs import Outputs
from limnad_worker.pinning import Pins
from limnad_worker.vault import Vault


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a generation's checkpoints are made of, and whom they concern.

    Attributes:
        vault: The job's store.
        outputs: Its outputs.
        view: What clients see of it.
        told: What its workers tell, and what is told of its checkpoints.
        generation: The generation's number.
        graph: The fingerprint of its graph, once it is built.
        send_all: Tells all engines something.
        keep: Runs something until the agent stops.
        made: To be called when a checkpoint is about to be committed.
        committed: To be called when it is durable.
        dropped: To be called with its number, if it had one, and the reason when it was given up.
        retained: To be called with the numbers of those that are kept, after others were deleted.
        concluded: To be called when a worker's sinks show all that the last checkpoint covers.
        lost: To be called with the reason when the job cannot go on: its store has lost what it knew.
        fenced: To be called with the reason when somebody else has taken the job over in its store.
        saw: To be called with each effect and the view, for metrics.
        pins: The checkpoints that are kept; while one holds, none is begun.
    """

    vault: Vault
    outputs: Outputs
    view: jobs_pb2.JobView
    told: history.Told
    generation: int
    graph: Callable[[], str]
    send_all: Callable[..., None]
    keep: Callable[[Coroutine[Any, Any, None]], None]
    made: Callable[[int, CheckpointRecord], None]
    committed: Callable[[int], Awaitable[None]]
    dropped: Callable[[int | None, str], None]
    retained: Callable[[Sequence[int]], Awaitable[None]]
    concluded: Callable[[int], Awaitable[None]]
    lost: Callable[[str], Awaitable[None]]
    fenced: Callable[[str], Awaitable[None]]
    saw: Callable[[points.Effect, jobs_pb2.JobView], None]
    pins: Pins


class Saving:
    """Makes checkpoints.

    Args:
        request: What was asked for.
        workers: How many engines there are.
        around: See `Surroundings`.
    """

    def __init__(self, request: jobs_pb2.SubmitRequest, workers: int, around: Surroundings) -> None:
        self._around = around
        self._view = around.view
        self._machine = points.Checkpoints(
            workers,
            interval_s=request.checkpoint_interval_s or None,
            epochs=request.checkpoint_epochs or None,
            timeout_s=request.checkpoint_timeout_s or points.TIMEOUT_S,
        )
        self._published: dict[str, int] = {}
        self._phases: dict[int, wire.CheckpointPhases] = {}
        self._began_s = 0.0
        self._closed = False
        self._concluding = self._concluded = False
        self._last: int | None = None

    def close(self) -> None:
        """The generation has ended: what is under way changes nothing any more."""
        self._closed = True

    @property
    def idle(self) -> bool:
        """Whether no checkpoint is being made."""
        return self._machine.phase is points.Phase.IDLE

    @property
    def current(self) -> int:
        """The checkpoint that is being made; 0: none is, or it has no number yet."""
        return self._machine.current or 0

    async def tick(self, *, asked: bool) -> None:
        """Time has passed, and somebody waits for a checkpoint that has not begun yet, or nobody does."""
        if self.idle and self._around.pins.held:
            return
        if asked or (self._concluding and not self._concluded):
            await self.ask()
        if not self._concluding:
            await self._carry_out(self._machine.tick(time.monotonic(), self._around.told.epoch))

    async def ask(self) -> None:
        """Somebody wants a checkpoint: it begins now, or by a tick when none is under way and no pin holds."""
        if self.idle and not self._around.pins.held:
            await self._carry_out(self._machine.ask(time.monotonic()))

    async def conclude(self) -> None:
        """All engines have finished: makes the last checkpoint, and tries again until it is durable."""
        self._concluding = True
        await self.ask()

    def is_last(self, checkpoint: int) -> bool:
        """Whether this checkpoint was begun when all engines had finished.

        One that was under way then may lack what they did last.
        """
        return self._last is not None and checkpoint >= self._last

    async def told(self, worker: int, message: wire.FromEngine) -> None:
        """What an engine says of a checkpoint."""
        match message.WhichOneof("message"):
            case "stored":
                await self.stored(worker, message.stored)
            case "not_stored":
                await self.not_stored(worker, message.not_stored)
            case "released" if self.is_last(message.released.checkpoint):
                await self._around.concluded(worker)

    async def stored(self, worker: int, stored: wire.Stored) -> None:
        """An engine's part is durable."""
        if stored.checkpoint == self._machine.current:
            self._phases[worker] = stored.phases
            self._published.update(stored.published)
        await self._carry_out(self._machine.stored(worker, stored.checkpoint, stored.part, time.monotonic()))

    async def not_stored(self, worker: int, told: wire.NotStored) -> None:
        """An engine could not store its part."""
        reason = f"worker {worker} could not store its part: {told.reason}"
        await self._carry_out(self._machine.failed(told.checkpoint, reason, time.monotonic()))

    # -- effects -------------------------------------------------------------------------------------------------------

    async def _carry_out(self, effects: Sequence[points.Effect]) -> None:
        for effect in effects:
            self._around.saw(effect, self._around.told.view)
            match effect:
                case points.Open():
                    self._around.keep(self._with_store(None, self._open))
                case points.Begin(number):
                    if self._concluding and self._last is None:
                        self._last = number
                    self._began_s = time.monotonic()
                    self._phases.clear()
                    self._published.clear()
                    self._around.send_all(begin_checkpoint=wire.BeginCheckpoint(checkpoint=number))
                case points.Commit(number, parts):
                    self._around.keep(self._with_store(number, partial(self._commit, number, parts)))
                case points.Abort(number):
                    self._around.send_all(abort_checkpoint=wire.AbortCheckpoint(checkpoint=number))
                case points.Drop(number, reason):
                    self._drop(number, reason)
                case points.Announce(number):
                    await self._announce(number)

    async def _with_store(self, number: int | None, work: Callable[[], Awaitable[list[points.Effect]]]) -> None:
        """Does something with the store for the checkpoint that is being made."""
        try:
            effects = await work()
        except (LostState, Conflict) as error:
            if not self._closed:
                tell = self._around.lost if isinstance(error, LostState) else self._around.fenced
                await tell(f"the job's store is not its own any more: {error}")
            return
        except (StoreError, PartError) as error:
            effects = self._machine.failed(number, str(error), time.monotonic())
        except RuntimeError:  # The job has ended, and its store was closed.
            if not self._closed:
                raise
            return
        if not self._closed:
            await self._carry_out(effects)

    async def _open(self) -> list[points.Effect]:
        return self._machine.opened(await self._around.vault.begin())

    async def _commit(self, number: int, parts: Sequence[bytes]) -> list[points.Effect]:
        began_s = time.monotonic()
        published = dict(self._published)
        await self._save_outputs(number, published)
        record = CheckpointRecord(
            fingerprint=self._around.graph(),
            stages=[(stage.name, stage.label) for stage in self._view.stages],
            generation=self._around.generation,
            parts=[msgspec.msgpack.decode(part, type=PartRecord) for part in parts],
            outputs=self._around.outputs.records,
            epoch=self._around.told.epoch,
            made_s=time.time(),
            phases=[_phases_record(phases) for phases in self._phases_by_worker()],
        )
        self._around.made(number, record)
        await self._around.vault.commit(number, record)
        self._tell_phases(began_s)
        self._around.outputs.commit(published)
        return self._machine.commit_done(number, time.monotonic())

    def _phases_by_worker(self) -> list[wire.CheckpointPhases]:
        return [self._phases[worker] for worker in sorted(self._phases)]

    def _tell_phases(self, stored_s: float) -> None:
        """Shows how long a checkpoint took that has just been committed, and whose parts were stored at that time."""
        now_s = time.monotonic()
        for phases in self._phases.values():
            phases.commit_us = int((now_s - stored_s) * 1e6)
            phases.total_us = int((now_s - self._began_s) * 1e6)
        del self._around.told.view.checkpoint_phases[:]
        self._around.told.view.checkpoint_phases.extend(self._phases_by_worker())

    async def _save_outputs(self, number: int, published: dict[str, int]) -> None:
        outputs, vault = self._around.outputs, self._around.vault
        if unsaved := outputs.unsaved(published):
            (chunk,) = await vault.put([b"".join(output.payload for output in unsaved)], number)
            if self._closed:  # The next generation puts these epochs out anew, and they may be others.
                raise PartError("the generation has ended")
            outputs.save(unsaved, chunk)
        names = {record.blob.chunk for record in outputs.records if record.blob is not None}
        if gone := names - await vault.touch(names, number):
            outputs.lose(gone)
            raise PartError(f"{len(gone)} chunks with epochs of outputs are gone from the store")

    async def _announce(self, number: int) -> None:
        self._concluded = self.is_last(number)
        self._around.send_all(checkpoint_committed=wire.CheckpointCommitted(checkpoint=number))
        self._view.checkpoint = number
        self._view.checkpoints_committed += 1
        history.checkpoint_made(self._around.told.view, number, self._around.generation)
        self._around.told.renew()
        self._around.keep(self._retain())
        await self._around.committed(number)

    async def _retain(self) -> None:
        try:
            await self._around.retained(await self._around.vault.retain(self._around.pins.numbers))
        except (
            StoreError,
            PartError,
            RuntimeError,
        ) as error:  # RuntimeError: the job has ended and its store was closed.
            self._view.last_drop = f"old checkpoints could not be deleted: {error}"

    def _drop(self, number: int | None, reason: str) -> None:
        self._view.checkpoints_dropped += 1
        self._view.last_drop = reason
        history.checkpoint_dropped(self._around.told.view, number, self._around.generation, reason)
        self._around.told.renew()
        self._around.dropped(number, reason)
        if number is not None:
            self._around.keep(self._abandon(number))

    async def _abandon(self, number: int) -> None:
        with contextlib.suppress(StoreError, RuntimeError):  # If it fails, the next generation forgets the number.
            await self._around.vault.abandon(number)


def _phases_record(phases: wire.CheckpointPhases) -> PhasesRecord:
    return PhasesRecord(
        phases.stop_us,
        phases.markers_us,
        phases.references_us,
        phases.encode_us,
        phases.upload_us,
        phases.stored_bytes,
    )
