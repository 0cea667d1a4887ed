"""One job as its leader sees it: one generation of engines after the other, and what they have told.

    Submit -> [begin a generation: mint it, take engines, Prepare ... Start] -> engines run
                    ^                                                              |
                    +---- a worker is lost, and the supervisor allows it ----------+----> the job has ended

All decisions are those of `limnad.cluster`: `leader.Run` for a generation, `Checkpoints` for its checkpoints,
`Supervisor` for what comes after it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

from limnad.cluster import leader
from limnad.cluster.records import PartError
from limnad.cluster.registry import Deposed
from limnad.cluster.supervisor import MAX_RESTARTS, WINDOW_S, Supervisor
from limnad.store import Conflict, Full, StoreError, Unavailable
from limnad.timely.progress import Accumulation
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker import history
from limnad_worker.asking import Asked
from limnad_worker.coordination import Coordination, start_message
from limnad_worker.draining import tell_drain
from limnad_worker.feeding import DirectFeeder, Feeder, LoggedFeeder, Refused
from limnad_worker.feeding import Surroundings as Fed
from limnad_worker.hosts import Engine, Hosts
from limnad_worker.job_watch import JobWatch
from limnad_worker.logs import JobLog, close_at_last
from limnad_worker.outputs import Delivery, Outputs
from limnad_worker.past import Past
from limnad_worker.pinning import Pins
from limnad_worker.saving import Saving, Surroundings
from limnad_worker.tracing import JobTrace
from limnad_worker.trial import Trial, or_back
from limnad_worker.vault import Vault

STORE_RETRY_S = 1.0
"""How often a job that cannot begin because its store is away looks again."""


class Job:
    """One job.

    Args:
        name: Its name at the leader.
        request: What was asked for.
        engines: Where engines come from.
        vault: Its store; None: a worker that is lost ends the job.
        trace: Where its traces go; None: nowhere.

    Attributes:
        workers: How many engines; 0, until it begins: as many as there are slots then.
        log: What they print.
        pins: Those of its checkpoints that are kept.
        past: What it can go on from; None: it keeps no checkpoints.
        watch: What becomes of it, for those who watch it.
        steering: Held by who changes what it works on or goes on from.
    """

    def __init__(
        self,
        name: str,
        request: jobs_pb2.SubmitRequest,
        engines: Hosts,
        vault: Vault | None,
        trace: JobTrace | None = None,
    ) -> None:
        self.name = name
        self.request = request
        self.workers = request.workers
        self.log = JobLog()
        self.draining = False
        self.on_change: Callable[[], None] = lambda: None
        self.engines: list[Engine] = []
        self.view = history.begun(name, request, durable=vault is not None)
        self.changed = asyncio.Condition()
        self.told = history.Told()
        self.outputs = Outputs(Delivery(request.delivery or "eager"))
        self.failure: leader.Failure | None = None
        self.state = leader.State.STARTING
        self.recovering = False
        self.generation = 0
        self.watch = JobWatch(name, trace, vault.requests if vault is not None else None)
        self.trial: Trial | None = None
        self._source = engines
        self.pins = Pins()
        self._vault = vault
        self._feeder = self._make_feeder(vault)
        self._run = leader.Run(self.workers)
        self._beginning = asyncio.Lock()
        self.steering = asyncio.Lock()
        self._coordination = Coordination(engines.host, engines.coordinator, self.tell_leader)
        self._saving: Saving | None = None
        self._supervisor = Supervisor(request.max_restarts or MAX_RESTARTS, request.restart_window_s or WINDOW_S)
        self.past = None if vault is None else Past(vault, self.view, self.outputs)
        self._asked = Asked()
        self._identity = secrets.token_hex(16)
        self._secret = ""
        self._submitted_s = self._running_s = time.monotonic()

    @property
    def survives_losses(self) -> bool:
        """Whether it goes on when a worker is lost."""
        return self._vault is not None

    # -- generations ---------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Begins a generation, and with a store as often as the store is away again.

        If another one is begun before it has engines, that one takes its place.
        """
        self._let_go()
        if not self.workers:
            self.workers = await self._source.gathered()
            self.on_change()
        accumulation = Accumulation(self.request.progress or self._source.progress)
        # From here on what is still said of the generation before means nothing.
        run = self._run = leader.Run(self.workers, accumulation, concludes=self._vault is not None)
        if self.past is None:
            self.generation += 1
        else:
            async with self._beginning:
                if not await self._begin_in(self.past, run):
                    return
        self._secret = secrets.token_urlsafe(24)
        self._saving = self._make_saving(self._vault, run) if self._vault is not None else None
        self.outputs.restart()
        self.view.generation, self.view.restarts = self.generation, self._supervisor.restarts
        del self.view.workers[:]
        self.told.begin(run.workers)
        self.watch.begins(self.generation, run.workers, self.past.start if self.past is not None else 0)
        engines = await self._source.take(self, run.workers)
        if self._is_over(run):
            for engine in engines:
                engine.kill()
            return
        self.engines = engines
        for worker, engine in enumerate(engines):
            if engine.address and not self._is_over(run):
                await self.tell_leader(leader.Attached(worker, engine.address))

    def _is_over(self, run: leader.Run) -> bool:
        """Whether the job has ended, or another generation has begun."""
        return self.state.ended or self._run is not run

    async def _begin_in(self, past: Past, run: leader.Run) -> bool:
        """Begins a generation in the store, as often as that is away; False: it is over before it has begun."""
        while not self._is_over(run):
            try:
                self.generation = await past.begin(run, self._source.check)
            except (Unavailable, Full) as error:
                self.view.last_fault = f"the store is {'full' if isinstance(error, Full) else 'away'}: {error}"
                await asyncio.sleep(STORE_RETRY_S)
            except Conflict as error:
                if not self._source.succeeds:
                    await self._fenced(str(error))
            except Deposed:
                return False  # The agent ends, and who leads now begins a generation of its own.
            except (StoreError, PartError) as error:
                await self._end(leader.State.FAILED, leader.Failure(leader.Fault.CHECKPOINT, str(error)))
            except RuntimeError:  # The job has ended, and its store was closed.
                if not self._is_over(run):
                    raise
            else:
                self._feeder.restored(past.record)
                return not self._is_over(run)
        return False

    async def restart(self) -> None:
        """A new generation in the place of one that has ended; none if the job has."""
        if self.state.ended:
            return
        self.recovering = True
        await self.notify()
        await self.begin()

    # -- the leader ----------------------------------------------------------------------------------------------------

    async def engine_event(self, engine: Engine, event: Callable[[int], leader.Event]) -> None:
        """Something became of an engine; of one of an older generation it means nothing."""
        if engine in self.engines:
            await self.tell_leader(event(self.engines.index(engine)))

    async def tell_leader(self, event: leader.Event) -> None:
        """Feeds the leader's machine and carries out its effects."""
        for effect in self._run.handle(event, time.monotonic()):
            match effect:
                case leader.SendPrepare(worker):
                    self._send(worker, prepare=self._prepare(worker))
                case leader.Assign():
                    self._source.keep(self._coordination.assign(self.name, self.generation, self.workers))
                case leader.SendStart():
                    self._send(effect.worker, start=start_message(effect))
                case leader.SendStop(worker):
                    self._send(worker, stop=wire.Stop())
                case leader.Kill(worker):
                    for engine in self.engines[worker : worker + 1]:  # None, from one generation to the next.
                        engine.kill()
                case leader.Conclude():
                    assert self._saving is not None
                    await self._saving.conclude()
                case leader.Changed(state):
                    await self._changed(state)
        await self.notify()

    def _prepare(self, worker: int) -> wire.Prepare:
        return wire.Prepare(
            job=self.name,
            generation=self.generation,
            path=self.request.path,
            archive=self.request.archive,
            function=self.request.function or "job",
            arguments=self.request.arguments,
            workers=self._run.workers,
            worker=worker,
            secret=self._secret,
            identity=self._vault.identity if self._vault is not None else self._identity,
            store=self._vault.url if self._vault is not None else "",
            space=self._vault.space if self._vault is not None else "",
            restore=self.past.start if self.past is not None else 0,
            traceparent=self.watch.traceparent,
        )

    def _send(self, worker: int, **message: Any) -> None:
        self.engines[worker].outgoing.put_nowait(wire.ToEngine(**message))

    def _send_all(self, **message: Any) -> None:
        for worker in range(len(self.engines)):
            self._send(worker, **message)

    async def _changed(self, state: leader.State) -> None:
        failure = self._run.failure
        if failure is not None and self._vault is None and failure.fault is leader.Fault.PROCESS:
            failure = history.for_good(failure)
        if failure is not None and self._vault is not None:
            if self._saving is not None:
                self._saving.close()
            if failure.fault is leader.Fault.CHECKPOINT:
                assert self.past is not None
                self.past.distrust()
            verdict = or_back(self, self._supervisor.judge(failure, time.monotonic()))
            if verdict is None:
                self.view.last_fault = failure.summary
                history.restarted(self.view, failure.summary)
                self.watch.lost(failure)
                self.recovering = True
                self._source.keep(self.restart())
                return
            failure = verdict
        if state is leader.State.RUNNING:
            if not self.view.starting_us:
                self._running_s = time.monotonic()
                self.view.starting_us = int((self._running_s - self._submitted_s) * 1e6)
            self.recovering = False
            self.state = state
            self.watch.running()
            self._feeder.begin(self.generation)
            if self.draining:
                tell_drain(self)
        elif state.ended:
            await self._end(state, failure)

    async def _end(self, state: leader.State, failure: leader.Failure | None) -> None:
        if self.state.ended:
            return
        self.state, self.failure, self.recovering = state, failure, False
        self.watch.ended(state, failure)
        self._coordination.let_go()
        if self._saving is not None:
            self._saving.close()
        if self.view.starting_us:
            self.view.running_us = int((time.monotonic() - self._running_s) * 1e6)
        if failure is not None:
            history.failed(self.view, failure)
        self.refuse_pushes()
        self._asked.end(self._over)
        self.view.ended_s = time.time()
        self._source.keep(close_at_last(self))
        self.on_change()
        if self._vault is not None:
            self._source.keep(self._vault.close())
        await self.notify()

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Time has passed."""
        await self.tell_leader(leader.Tick())
        if self._saving is not None and self._run.state is leader.State.RUNNING:
            await self._saving.tick(asked=bool(self._asked))

    async def checkpoint(self) -> int:
        """Makes a checkpoint; its number, when it is durable.

        Raises:
            Refused: The job has no store, or has ended.
            GivenUp: It could not be made; another one may.
        """
        if self.state.ended:
            raise Refused(self._over)
        if self._vault is None:
            raise Refused("the job has no store to keep a checkpoint in: give it one when it is submitted")
        answer = self._asked.ask(self._saving.current if self._saving is not None else 0)
        if self._saving is not None and self._run.state is leader.State.RUNNING:
            await self._saving.ask()
        return await answer

    @property
    def is_running(self) -> bool:
        """Whether its engines run."""
        return self.state is leader.State.RUNNING and not self.recovering

    def _let_go(self) -> None:
        """Ends this generation's engines; what they still say counts for nothing."""
        self._feeder.lose()
        before, self.engines = self.engines, []
        if self._saving is not None:
            self._saving.close()
        for engine in before:
            engine.kill()
        self._coordination.let_go()

    async def _committed(self, checkpoint: int) -> None:
        self._asked.made(checkpoint)
        await self.notify()

    async def _lost(self, why: str) -> None:
        self._let_go()
        await self._end(leader.State.FAILED, leader.Failure(leader.Fault.CHECKPOINT, why))

    async def _fenced(self, why: str) -> None:
        """Somebody else has taken the job over: an earlier leader that did not know better, or another run."""
        if self._source.succeeds:  # Who leads is decided elsewhere: whether that is this one is asked before it begins.
            await self.tell_leader(leader.Failed(0, leader.Failure(leader.Fault.PROCESS, f"{why}.")))
        else:
            await self._lost(why)

    def _make_saving(self, vault: Vault, run: leader.Run) -> Saving:
        around = Surroundings(
            vault=vault,
            outputs=self.outputs,
            view=self.view,
            told=self.told,
            generation=self.generation,
            graph=lambda: run.built_graph,
            send_all=self._send_all,
            keep=self._source.keep,
            made=self._feeder.made,
            committed=self._committed,
            dropped=self._asked.given_up,
            concluded=lambda worker: self.tell_leader(leader.Concluded(worker)),
            retained=self._feeder.retained,
            lost=self._lost,
            fenced=self._fenced,
            saw=self.watch.saw,
            pins=self.pins,
        )
        return Saving(self.request, run.workers, around)

    def _make_feeder(self, vault: Vault | None) -> Feeder:
        around = Fed(
            view=self.view,
            tell=lambda push: self._send(0, push=push),
            keep=self._source.keep,
            notify=self.notify,
            lost=self._lost,
        )
        return DirectFeeder(around) if vault is None else LoggedFeeder(vault, around)

    # -- what engines say ----------------------------------------------------------------------------------------------

    async def engine_said(self, engine: Engine, message: wire.FromEngine) -> None:
        """Takes a message of an engine; one of an older generation is ignored."""
        if engine not in self.engines:
            return
        worker = self.engines.index(engine)
        match message.WhichOneof("message"):
            case "built":
                self._built(message.built)
                self.watch.metrics.built(message.built)
                stages = tuple(stage.name for stage in message.built.stages)
                built = leader.Built(worker, message.built.fingerprint, stages, message.built.graph)
                await self.tell_leader(built)
            case "finished":
                await self.tell_leader(leader.Finished(worker))
            case "failed":
                await self.tell_leader(leader.Failed(worker, history.told(worker, message.failed)))
            case "status":
                self.watch.metrics.told(worker, message.status)
                self.told.statuses[worker] = message.status
                if self.trial is not None:
                    self.trial.works(worker)
                await self.notify()
            case "output":
                self.outputs.add(message.output)
                await self.notify()
            case "pushed":
                self._feeder.pushed(message.pushed)
                await self.notify()
            case _ if self._saving is not None:
                await self._saving.told(worker, message)

    def _built(self, built: wire.Built) -> None:
        if not self.view.stages:
            history.built(self.view, built)

    async def notify(self) -> None:
        """Wakes whoever waits for news."""
        async with self.changed:
            self.changed.notify_all()

    # -- what clients ask ----------------------------------------------------------------------------------------------

    def snapshot(self) -> jobs_pb2.JobView:
        """The job as a client sees it."""
        self.view.state = jobs_pb2.JOB_STATE_RECOVERING if self.recovering else history.STATES[self.state]
        if self.state is leader.State.RUNNING:
            self.view.running_us = int((time.monotonic() - self._running_s) * 1e6)
        self.view.width = self.workers
        waits = [self._feeder.waiting, *(status.waiting for status in self.told.statuses)]
        self.view.waiting = "" if self.state.ended else next(filter(None, waits), "")
        copy = jobs_pb2.JobView()
        copy.CopyFrom(self.view)
        self.told.show(copy)
        return copy

    def revive(self, vault: Vault) -> None:
        """Makes a job that has ended, or keeps no checkpoints yet, ready to be started again from those in a store."""
        self._vault, self.past = vault, Past(vault, self.view, self.outputs)
        self._feeder = self._make_feeder(vault)
        self.state, self.failure, self.draining, self.view.draining = leader.State.STARTING, None, False, False
        for field in ("failure", "failed_worker", "ended_s"):
            self.view.ClearField(field)
        self.log.reopen()

    async def fail(self, failure: leader.Failure) -> None:
        """Ends the job: it cannot even begin."""
        await self._end(leader.State.FAILED, failure)

    def abandon(self) -> None:
        """The leader is about to go: lets engines go, and ends nothing."""
        self._let_go()
        self.log.close()

    async def cancel(self) -> None:
        """Ends the job at once."""
        if self._run.state.ended and not self.state.ended:
            await self._end(leader.State.CANCELLED, None)
        await self.tell_leader(leader.Cancel())

    def refuse_pushes(self) -> None:
        """The job has ended: nothing is fed to it any more."""
        self._feeder.finish(self._over)

    @property
    def _over(self) -> str:
        return f"the job has ended: it is {self.state.value}"

    async def push(self, request: jobs_pb2.PushRequest) -> asyncio.Future[int | None]:
        """Begins to feed a hand-fed input: see `Feeder.push`.

        Raises:
            Refused: It was not taken.
        """
        await self._wait_for_inputs(request.push.input)
        return self._feeder.push(request)

    async def last_sequence(self, name: str, producer: str) -> int:
        """The newest number under which a producer's pushes to an input are durable.

        Raises:
            Refused: The job has no store, or has no such input, or has ended before that was known.
        """
        await self._wait_for_inputs(name)
        async with self.changed:
            await self.changed.wait_for(
                lambda: self._feeder.last_sequence(name, producer) is not None or self.state.ended
            )
        sequence = self._feeder.last_sequence(name, producer)
        if sequence is None:
            raise Refused(self._over)
        return sequence

    async def _wait_for_inputs(self, name: str) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.state is not leader.State.STARTING)
        if name not in self.view.inputs:
            if self.state.ended:
                raise Refused(self._over)
            known = ", ".join(self.view.inputs) or "none"
            raise Refused(f"the job has no hand-fed input {name!r}; it has: {known}")
