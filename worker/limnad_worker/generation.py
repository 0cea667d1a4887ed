"""One generation of a job's engines: what they are told, and what they say.

All decisions are those of `limnad.cluster`: `leader.Run` for the generation, `Checkpoints` for its checkpoints. What
comes before it and after it is its job's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from limnad.cluster import leader
from limnad.timely.progress import Accumulation
from limnad_proto.v1 import control_pb2 as wire
from limnad_worker import history
from limnad_worker.coordination import Coordination, start_message
from limnad_worker.hosts import Engine
from limnad_worker.saving import Saving, Surroundings

if TYPE_CHECKING:
    from limnad_worker.job import Job


class Generation:
    """One generation; of one that has been let go nothing counts any more.

    Args:
        job: Whose.
        accumulation: How progress updates are gathered.
        coordination: Where its coordinator comes from.

    Attributes:
        run: The leader's machine.
        engines: By worker; none, before it has them and when they were let go.
        saving: Its checkpoints; None: it has not begun, or makes none.
    """

    def __init__(self, job: Job, accumulation: Accumulation, coordination: Coordination) -> None:
        self.run = leader.Run(job.workers, accumulation, concludes=job.survives_losses)
        self.engines: list[Engine] = []
        self.saving: Saving | None = None
        self._job = job
        self._coordination = coordination
        self._secret = secrets.token_urlsafe(24)

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, or another generation has begun."""
        return self._job.state.ended or self._job.current is not self

    def begin(self) -> None:
        """It has its number, and the checkpoint from which it starts."""
        job = self._job
        if job.vault is None:
            return
        around = Surroundings(
            vault=job.vault,
            outputs=job.outputs,
            view=job.view,
            told=job.told,
            generation=job.generation,
            graph=lambda: self.run.built_graph,
            send_all=self.send_all,
            keep=job.source.keep,
            made=job.feeder.made,
            committed=job.committed,
            dropped=job.asked.given_up,
            concluded=lambda worker: job.tell_leader(leader.Concluded(worker)),
            retained=job.feeder.retained,
            lost=job.lost,
            fenced=job.fenced,
            saw=job.watch.saw,
            pins=job.pins,
        )
        self.saving = Saving(job.request, self.run.workers, around)

    async def take(self) -> None:
        """Takes engines, unless it is over by the time that there are some."""
        engines = await self._job.source.take(self._job, self.run.workers)
        if self.is_over:
            for engine in engines:
                engine.kill()
            return
        self.engines = engines
        for worker, engine in enumerate(engines):
            if engine.address and not self.is_over:
                await self._job.tell_leader(leader.Attached(worker, engine.address))

    def let_go(self) -> None:
        """Ends the engines; what they still say counts for nothing."""
        engines, self.engines = self.engines, []
        self.close()
        for engine in engines:
            engine.kill()

    def close(self) -> None:
        """What is under way of its checkpoints changes nothing any more."""
        if self.saving is not None:
            self.saving.close()

    # -- what engines are told -----------------------------------------------------------------------------------------

    async def tell(self, event: leader.Event) -> None:
        """Feeds the leader's machine and carries out its effects."""
        for effect in self.run.handle(event, time.monotonic()):
            match effect:
                case leader.SendPrepare(worker):
                    self.send(worker, prepare=self._prepare(worker))
                case leader.Assign():
                    job = self._job
                    job.source.keep(self._coordination.assign(job.name, job.generation, job.workers))
                case leader.SendStart():
                    self.send(effect.worker, start=start_message(effect))
                case leader.SendStop(worker):
                    self.send(worker, stop=wire.Stop())
                case leader.Kill(worker):
                    for engine in self.engines[worker : worker + 1]:  # None, if they were let go.
                        engine.kill()
                case leader.Conclude():
                    assert self.saving is not None
                    await self.saving.conclude()
                case leader.Changed(state):
                    await self._job.changed_to(state)

    def _prepare(self, worker: int) -> wire.Prepare:
        job = self._job
        return wire.Prepare(
            job=job.name,
            generation=job.generation,
            path=job.request.path,
            archive=job.request.archive,
            function=job.request.function or "job",
            arguments=job.request.arguments,
            workers=self.run.workers,
            worker=worker,
            secret=self._secret,
            identity=job.identity,
            store=job.vault.url if job.vault is not None else "",
            space=job.vault.space if job.vault is not None else "",
            restore=job.past.start if job.past is not None else 0,
            traceparent=job.watch.traceparent,
        )

    def send(self, worker: int, **message: Any) -> None:
        """Tells one engine something."""
        self.engines[worker].outgoing.put_nowait(wire.ToEngine(**message))

    def send_all(self, **message: Any) -> None:
        """Tells all engines something."""
        for worker in range(len(self.engines)):
            self.send(worker, **message)

    # -- what engines say ----------------------------------------------------------------------------------------------

    async def became(self, engine: Engine, event: Callable[[int], leader.Event]) -> None:
        """Something became of an engine; of one of an older generation it means nothing."""
        if engine in self.engines:
            await self._job.tell_leader(event(self.engines.index(engine)))

    async def said(self, engine: Engine, message: wire.FromEngine) -> None:
        """Takes a message of an engine; one of an older generation is ignored."""
        if engine not in self.engines:
            return
        job, worker = self._job, self.engines.index(engine)
        match message.WhichOneof("message"):
            case "built":
                await job.tell_leader(self._built(worker, message.built))
            case "finished":
                await job.tell_leader(leader.Finished(worker))
            case "failed":
                await job.tell_leader(leader.Failed(worker, history.told(worker, message.failed)))
            case "status":
                job.watch.metrics.told(worker, message.status)
                job.told.statuses[worker] = message.status
                if job.trial is not None:
                    job.trial.works(worker)
                await job.notify()
            case "output":
                job.outputs.add(message.output)
                await job.notify()
            case "pushed":
                job.feeder.pushed(message.pushed)
                await job.notify()
            case _ if self.saving is not None:
                await self.saving.told(worker, message)

    def _built(self, worker: int, built: wire.Built) -> leader.Built:
        if not self._job.view.stages:
            history.built(self._job.view, built)
        self._job.watch.metrics.built(built)
        stages = tuple(stage.name for stage in built.stages)
        return leader.Built(worker, built.fingerprint, stages, built.graph)
