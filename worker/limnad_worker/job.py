"""One job as its leader sees it: one generation of engines after the other, and what they have told.

    Submit -> [begin a generation: mint it, take engines, Prepare ... Start] -> engines run
                    ^                                                              |
                    +---- a worker is lost, and the supervisor allows it ----------+----> the job has ended

What goes on within one is in `generation`. What comes after it is the decision of `limnad.cluster.supervisor`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

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
from limnad_worker.coordination import Coordination
from limnad_worker.draining import tell_drain
from limnad_worker.feeding import DirectFeeder, Feeder, LoggedFeeder, Refused
from limnad_worker.feeding import Surroundings as Fed
from limnad_worker.generation import Generation
from limnad_worker.hosts import Engine, Hosts
from limnad_worker.job_watch import JobWatch
from limnad_worker.logs import JobLog, close_at_last
from limnad_worker.outputs import Delivery, Outputs
from limnad_worker.past import Past
from limnad_worker.pinning import Pins
from limnad_worker.saving import Saving
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
        current: The generation of the moment.
        source: Where engines come from.
        vault: Its store; None: it has none.
        feeder: How its hand-fed inputs are fed.
        asked: Who waits for a checkpoint.
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
        self.view = history.begun(name, request, durable=vault is not None)
        self.changed = asyncio.Condition()
        self.told = history.Told()
        self.outputs = Outputs(Delivery(request.delivery or "eager"))
        self.failure: leader.Failure | None = None
        self.state = leader.State.STARTING
        self.recovering = False
        self.generation = 0
        self.watch = JobWatch(name, trace, lambda: self.vault.requests if self.vault is not None else None)
        self.trial: Trial | None = None
        self.source = engines
        self.pins = Pins()
        self.vault = vault
        self.feeder = self._make_feeder(vault)
        self.steering = asyncio.Lock()
        self.asked = Asked()
        self._beginning = asyncio.Lock()
        self._coordination = Coordination(engines.host, engines.coordinator, self.tell_leader)
        self.current = self._next_generation()
        self._supervisor = Supervisor(request.max_restarts or MAX_RESTARTS, request.restart_window_s or WINDOW_S)
        self.past = None if vault is None else Past(vault, self.view, self.outputs)
        self._identity = secrets.token_hex(16)
        self._waits = ""
        self._submitted_s = self._running_s = time.monotonic()

    @property
    def survives_losses(self) -> bool:
        """Whether it goes on when a worker is lost."""
        return self.vault is not None

    @property
    def engines(self) -> list[Engine]:
        """Those of the generation of the moment, by worker; it may have none."""
        return self.current.engines

    @property
    def saving(self) -> Saving | None:
        """The checkpoints of the generation of the moment; None: it has not begun, or makes none."""
        return self.current.saving

    @property
    def waits_for_store(self) -> bool:
        """Whether it can only begin when its store is there again."""
        return bool(self._waits)

    @property
    def identity(self) -> str:
        """Of the job, for its sinks: for as long as its store remembers it, or this leader."""
        return self.vault.identity if self.vault is not None else self._identity

    # -- generations ---------------------------------------------------------------------------------------------------

    def _next_generation(self) -> Generation:
        accumulation = Accumulation(self.request.progress or self.source.progress)
        return Generation(self, accumulation, self._coordination)

    async def begin(self) -> None:
        """Begins a generation, and with a store as often as the store is away again.

        If another one is begun before it has engines, that one takes its place.
        """
        self._let_go()
        if not self.workers:
            self.workers = await self.source.gathered()
            self.on_change()
        # From here on what is still said of the generation before means nothing.
        generation = self.current = self._next_generation()
        if self.past is None:
            self.generation += 1
        else:
            async with self._beginning:
                if not await self._begin_in(self.past, generation):
                    return
        generation.begin()
        self.outputs.restart()
        self.view.generation, self.view.restarts = self.generation, self._supervisor.restarts
        del self.view.workers[:]
        workers = generation.run.workers
        self.told.begin(workers)
        self.watch.begins(self.generation, workers, self.past.start if self.past is not None else 0)
        await generation.take()

    async def _begin_in(self, past: Past, generation: Generation) -> bool:
        """Begins a generation in the store, as often as that is away; False: it is over before it has begun."""
        while not generation.is_over:
            try:
                self.generation = await past.begin(generation.run, self.source.check)
            except (Unavailable, Full) as error:
                self._waits = f"the job begins when its store is no longer {_lacking(error)}: {error}"
                await asyncio.sleep(STORE_RETRY_S)
            except Conflict as error:
                if not self.source.succeeds:
                    await self.fenced(str(error))
            except Deposed:
                return False  # The agent ends, and who leads now begins a generation of its own.
            except (StoreError, PartError) as error:
                await self._end(leader.State.FAILED, leader.Failure(leader.Fault.CHECKPOINT, str(error)))
            except RuntimeError:  # The job has ended, and its store was closed.
                if not generation.is_over:
                    raise
            else:
                self._waits = ""
                self.feeder.restored(past.record)
                return not generation.is_over
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
        """See `Generation.became`."""
        await self.current.became(engine, event)

    async def engine_said(self, engine: Engine, message: wire.FromEngine) -> None:
        """See `Generation.said`."""
        await self.current.said(engine, message)

    async def tell_leader(self, event: leader.Event) -> None:
        """Something happened to the generation of the moment."""
        await self.current.tell(event)
        await self.notify()

    async def changed_to(self, state: leader.State) -> None:
        """The generation of the moment has come to another state; what becomes of the job."""
        failure = self.current.run.failure
        if failure is not None and self.vault is None and failure.fault is leader.Fault.PROCESS:
            failure = history.for_good(failure)
        if failure is not None and self.past is not None:
            self.current.close()
            if failure.fault is leader.Fault.CHECKPOINT:
                self.past.distrust()
            verdict = or_back(self, self._supervisor.judge(failure, time.monotonic()))
            if verdict is None:
                self.view.last_fault = failure.summary
                history.restarted(self.view, failure.summary)
                self.watch.lost(failure)
                self.recovering = True
                self.source.keep(self.restart())
                return
            failure = verdict
        if state is leader.State.RUNNING:
            if not self.view.starting_us:
                self._running_s = time.monotonic()
                self.view.starting_us = int((self._running_s - self._submitted_s) * 1e6)
            self.recovering = False
            self.state = state
            self.watch.running()
            self.feeder.begin(self.generation)
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
        self.current.close()
        if self.view.starting_us:
            self.view.running_us = int((time.monotonic() - self._running_s) * 1e6)
        if failure is not None:
            history.failed(self.view, failure)
        self.refuse_pushes()
        self.asked.end(self._over)
        self.view.ended_s = time.time()
        self.source.keep(close_at_last(self))
        self.on_change()
        if self.vault is not None:
            self.source.keep(self.vault.close())
        await self.notify()

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Time has passed."""
        await self.tell_leader(leader.Tick())
        if self.saving is not None and self.current.run.state is leader.State.RUNNING:
            await self.saving.tick(asked=bool(self.asked))

    async def checkpoint(self) -> int:
        """Makes a checkpoint; its number, when it is durable.

        Raises:
            Refused: The job has no store, or has ended.
            GivenUp: It could not be made; another one may.
        """
        if self.state.ended:
            raise Refused(self._over)
        if self.vault is None:
            raise Refused("the job has no store to keep a checkpoint in: give it one when it is submitted")
        answer = self.asked.ask(self.saving.current if self.saving is not None else 0)
        if self.saving is not None and self.current.run.state is leader.State.RUNNING:
            await self.saving.ask()
        return await answer

    @property
    def is_running(self) -> bool:
        """Whether its engines run."""
        return self.state is leader.State.RUNNING and not self.recovering

    def _let_go(self) -> None:
        """Ends this generation's engines; what they still say counts for nothing."""
        self.feeder.lose()
        self.current.let_go()
        self._coordination.let_go()

    async def committed(self, checkpoint: int) -> None:
        """A checkpoint is durable."""
        self.asked.made(checkpoint)
        await self.notify()

    async def lost(self, why: str) -> None:
        """The job cannot go on: its store has lost what it knew."""
        self._let_go()
        await self._end(leader.State.FAILED, leader.Failure(leader.Fault.CHECKPOINT, why))

    async def fenced(self, why: str) -> None:
        """Somebody else has taken the job over: an earlier leader that did not know better, or another run."""
        if self.source.succeeds:  # Who leads is decided elsewhere: whether that is this one is asked before it begins.
            await self.tell_leader(leader.Failed(0, leader.Failure(leader.Fault.PROCESS, f"{why}.")))
        else:
            await self.lost(why)

    def _make_feeder(self, vault: Vault | None) -> Feeder:
        around = Fed(
            view=self.view,
            tell=lambda push: self.current.send(0, push=push),
            keep=self.source.keep,
            notify=self.notify,
            lost=self.lost,
        )
        return DirectFeeder(around) if vault is None else LoggedFeeder(vault, around)

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
        waits = [self._waits, self.feeder.waiting, *(status.waiting for status in self.told.statuses)]
        self.view.waiting = "" if self.state.ended else next(filter(None, waits), "")
        copy = jobs_pb2.JobView()
        copy.CopyFrom(self.view)
        self.told.show(copy)
        return copy

    def revive(self, vault: Vault) -> None:
        """Makes a job that has ended, or keeps no checkpoints yet, ready to be started again from those in a store."""
        self.vault, self.past = vault, Past(vault, self.view, self.outputs)
        self.feeder = self._make_feeder(vault)
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
        if self.current.run.state.ended and not self.state.ended:
            await self._end(leader.State.CANCELLED, None)
        await self.tell_leader(leader.Cancel())

    def refuse_pushes(self) -> None:
        """The job has ended: nothing is fed to it any more."""
        self.feeder.finish(self._over)

    @property
    def _over(self) -> str:
        return f"the job has ended: it is {self.state.value}"

    async def push(self, request: jobs_pb2.PushRequest) -> asyncio.Future[int | None]:
        """Begins to feed a hand-fed input: see `Feeder.push`.

        Raises:
            Refused: It was not taken.
        """
        await self._wait_for_inputs(request.push.input)
        return self.feeder.push(request)

    async def last_sequence(self, name: str, producer: str) -> int:
        """The newest number under which a producer's pushes to an input are durable.

        Raises:
            Refused: The job has no store, or has no such input, or has ended before that was known.
        """
        await self._wait_for_inputs(name)
        async with self.changed:
            await self.changed.wait_for(
                lambda: self.feeder.last_sequence(name, producer) is not None or self.state.ended
            )
        sequence = self.feeder.last_sequence(name, producer)
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


def _lacking(error: StoreError) -> str:
    return "full" if isinstance(error, Full) else "away"
