"""A job that is checkpointed, killed and restored, in one process, every step decided by one seed.

A `Recovery` runs one generation of workers after the other. Within a generation the real leader's machine
(`limnad.cluster.checkpoints`) asks for checkpoints, the real workers halt and capture, and the real
`limnad.store.Checkpoints` keeps their parts in memory, now and then late, now and then not at all, and deletes the
older ones. Whenever the test says so, all workers are gone at once, and a new generation, perhaps of another width,
starts from the newest checkpoint that is complete. The old one may be a **zombie**: it was only taken for dead, and
goes on for a while beside the new one.

With a coordinator that one is struck too: it is killed in the middle of a generation and comes back as another, or it
is cut off and lives on, and workers of a later generation come upon it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Final

from limnad.cluster import checkpoints as points
from limnad.cluster.coordinator import Coordinator
from limnad.cluster.effects import COORDINATOR, Captured, Effect, Marker, Publish
from limnad.cluster.parts import read_part, write_part
from limnad.cluster.records import CheckpointRecord, PartRecord
from limnad.cluster.worker import Worker
from limnad.store import Checkpoints, ChunkRef, Conflict, retain
from limnad.stream.flow import BuiltFlow
from limnad.testing.memory_store import MemorySpace
from limnad.testing.simulation import JOB, LinkName, Simulation, SimulationError
from limnad.timely.progress import Accumulation
from limnad.timely.source import Source

KEPT: Final = 2
"""How many checkpoints are kept."""

LEADER = -2
"""The leader's number as a sender on links."""

Published = tuple[str, int, Any]
"""``(output, epoch, rows)``."""


class Generation(Simulation):
    """One generation of workers with its leader. Arguments: see `Recovery` and `Simulation`."""

    def __init__(self, recovery: Recovery, workers: int, seed: int, number: int) -> None:
        self._recovery = recovery
        self.fenced = False
        self._link_lost = self.given_up = False
        self.leader = points.Checkpoints(workers, interval_s=recovery.interval_ticks, timeout_s=2_000)
        self.checkpoints = recovery.checkpoints(number)
        self.log: list[Published] = []
        self._cut: dict[int, int] = {}
        self._writing: list[tuple[Captured, int]] = []
        self._committing: points.Commit | None = None
        self._committed: Sequence[PartRecord] = ()
        self.checkpoints.take_over()
        complete = self.checkpoints.numbers()
        self._restored = recovery.record(complete[-1]).parts if complete else []
        super().__init__(
            recovery.built.graph,
            recovery.make_sources,
            workers,
            seed,
            recovery.accumulation,
            make_worker=recovery.make_worker,
            check=recovery.check,
            generation=number,
            job=recovery.job,
        )

    def begin(self, worker: Worker) -> None:
        """See `Simulation.begin`."""
        get = self._recovery.get
        worker.start([read_part(record, get, worker.index, worker.workers) for record in self._restored])

    @property
    def settled(self) -> bool:
        """See `Simulation.settled`."""
        busy = self._writing or self._link_lost or self._committing is not None
        return super().settled and not busy

    def choices(self) -> list[Any]:
        """See `Simulation.choices`."""
        more: list[Any] = [self._store] if self._writing else []
        more += [self._commit] if self._committing else []
        return [*super().choices(), *more, *([self._give_up] if self._link_lost else [])]

    def advance(self) -> None:
        """See `Simulation.advance`. One that finds itself fenced stops."""
        try:
            self._advance()
        except Conflict:
            self.fenced = True

    def _advance(self) -> None:
        if all(worker.finished for worker in self.workers):
            self.leader.interval_s = None
        self._lead(self.leader.tick(self.tick))
        if self._link_lost and self.invariants is not None:
            self.invariants.lossless = False
        super().advance()

    def route(self, sender: int, effect: Effect) -> None:
        """See `Simulation.route`."""
        match effect:
            case Marker():
                self.send((sender, effect.peer, "data"), effect)
            case Captured():
                if sender == 0:
                    self._cut[effect.checkpoint] = len(self.log)
                self._writing.append((effect, sender))
            case Publish(output, epoch, batch):
                self.log.append((output, epoch, batch))
                self._recovery.see(self, (output, epoch, batch))
            case _:
                super().route(sender, effect)

    def receive(self, worker: Worker, sender: int, message: Any) -> None:
        """See `Simulation.receive`."""
        match message:
            case Marker(_, sequence, checkpoint):
                worker.marker_arrived(sender, sequence, checkpoint)
            case points.Begin(checkpoint):
                worker.begin_checkpoint(checkpoint)
            case points.Abort(checkpoint):
                worker.abort_checkpoint(checkpoint)
            case points.Announce(checkpoint):
                worker.checkpoint_committed(checkpoint)
            case _:
                super().receive(worker, sender, message)

    def checkpoint(self) -> None:
        """Asks the leader for a checkpoint."""
        self._lead(self.leader.ask(self.tick))

    # -- the coordinator -----------------------------------------------------------------------------------------------

    def appoint(self) -> None:
        """See `Simulation.appoint`. Now and then a worker comes upon a coordinator that is not the one."""
        appointed = self._recovery.coordinator
        appointed.assign(JOB, self.generation, len(self.workers))
        for worker in self.workers:
            stray = self._random.random() < self._recovery.strays
            reached = self._random.choice(self._recovery.others) if stray else appointed
            self._link_lost |= not self.connect(worker, reached, appointed.identity)

    def kill_coordinator(self) -> None:
        """It is gone with all that was on its way to it; of what it had sent some is still delivered."""
        lost = self._recovery.coordinator
        self._recovery.restart_coordinator()
        for (sender, receiver, _), link in self.links.items():
            if receiver == COORDINATOR:
                link.waiting.clear()
            elif sender == COORDINATOR:
                for _ in range(self._random.randint(0, len(link.waiting))):
                    link.waiting.pop()
        self.streams.clear()
        self._sending.clear()
        for worker in self.workers:
            self._link_lost |= not self.connect(worker, self._recovery.coordinator, lost.identity)

    def _give_up(self) -> None:
        """The leader hears of a lost link."""
        self.given_up = True

    # -- the leader and the store --------------------------------------------------------------------------------------

    def _lead(self, effects: Sequence[points.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, points.Open):
                self._lead(self.leader.opened(self.checkpoints.begin()))
                continue
            if isinstance(effect, points.Commit):
                self._committing = effect
                continue
            if isinstance(effect, points.Drop):
                continue
            if isinstance(effect, points.Announce):
                self._recovery.released.extend(self.take_committed(effect.checkpoint))
            for worker in self.workers:
                name: LinkName = (LEADER, worker.index, "control")
                self.send(name, effect)

    def take_committed(self, checkpoint: int) -> list[Published]:
        """What was published before a checkpoint and not released yet."""
        cut = self._cut[checkpoint]
        released, self.log = self.log[:cut], self.log[cut:]
        self._cut = {number: at - cut for number, at in self._cut.items() if number > checkpoint}
        return released

    def _store(self) -> None:
        captured, worker = self._writing.pop(self._random.randrange(len(self._writing)))
        recovery = self._recovery
        put = partial(recovery.put, mark=captured.checkpoint)
        part = write_part(captured.snapshot, put, self._committed[worker] if self._committed else None)
        if self._random.random() < recovery.store_failures:
            self._lead(self.leader.failed(captured.checkpoint, "the store said no", self.tick))
        else:
            self._lead(self.leader.stored(worker, captured.checkpoint, part, self.tick))

    def _commit(self) -> None:
        commit, self._committing = self._committing, None
        assert commit is not None
        self._make(commit)
        self._committed = commit.parts
        self._lead(self.leader.commit_done(commit.checkpoint, self.tick))
        retain(self.checkpoints, keep=KEPT)

    def _make(self, commit: points.Commit) -> None:
        parts = list(commit.parts)
        record = CheckpointRecord(fingerprint="", stages=[], generation=self.generation, parts=parts, outputs=[])
        chunks = map(ChunkRef.parse, sorted(record.chunks()))
        self.checkpoints.commit(commit.checkpoint, chunks, record.encode())

    def crash(self) -> None:
        """All workers and the leader are gone. A manifest on its way may have arrived all the same."""
        if self._committing is not None and self._random.random() < 0.5:
            self._make(self._committing)
            self._recovery.released.extend(self.take_committed(self._committing.checkpoint))


class Recovery:
    """A job and the generations that run it.

    Args:
        built: The job.
        make_sources: Makes the sources anew, by input stage name.
        seed: Decides everything.
        interval_ticks: From one checkpoint to the next; None for none.
        store_failures: How likely a part cannot be stored.
        accumulation: How progress updates are gathered.
        coordinator_kills: How likely the coordinator is killed at a tick; another one takes its place at once.
        strays: How likely a worker comes upon a coordinator that it was not told.
        zombies: How likely a generation that is killed goes on beside the next.
        make_worker: The worker machine's class; tests put mutants here.
        make_coordinator: Makes a coordinator from its identity; likewise.
        check: Whether to check the invariants of the progress protocol at each tick.

    Attributes:
        space: What is durable.
        released: What readers of committed output have seen, in order.
        seen: What readers of eager output have seen, in order.
        coordinator: The coordinator's process of the moment; it outlives generations.
        others: Those that came before it, each as it was when it was lost, and one that was never assigned to anything.
    """

    def __init__(
        self,
        built: BuiltFlow,
        make_sources: Callable[[], Mapping[str, Source]],
        seed: int = 0,
        *,
        interval_ticks: float | None = 50,
        store_failures: float = 0.0,
        accumulation: Accumulation = Accumulation.LOCAL,
        coordinator_kills: float = 0.0,
        strays: float = 0.0,
        zombies: float = 0.0,
        make_worker: type[Worker] = Worker,
        make_coordinator: Callable[[str], Coordinator] = Coordinator,
        check: bool = True,
    ) -> None:
        self.built = built
        self.make_sources = make_sources
        self.seed = seed
        self.interval_ticks = interval_ticks
        self.store_failures = store_failures
        self.accumulation = accumulation
        self.coordinator_kills = coordinator_kills
        self.strays = strays
        self._zombies = zombies
        self._random = Random(seed)
        self.make_worker = make_worker
        self.check = check
        self._make_coordinator = make_coordinator
        self.coordinator = make_coordinator("coordinator 1")
        self.others = [make_coordinator("coordinator 0")]
        self.space = MemorySpace()
        self.released: list[Published] = []
        self.seen: list[Published] = []
        self.generations = 0
        self.zombies: list[Generation] = []
        self.job = secrets.token_hex(8)

    def checkpoints(self, generation: int) -> Checkpoints:
        """What a generation's leader decides its checkpoints with; tests put mutants here."""
        return Checkpoints(self.space, generation)

    def start(self, workers: int) -> Generation:
        """A new generation, from the newest complete checkpoint or from the beginning."""
        self.generations += 1
        return Generation(self, workers, self.seed * 1_000_003 + self.generations, self.generations)

    def restart_coordinator(self) -> None:
        """Another process is the coordinator from now on; the one before may live on."""
        self.others.append(self.coordinator)
        self.coordinator = self._make_coordinator(f"coordinator {len(self.others)}")

    def run(self, workers: int, ticks: int | None = None, max_ticks: int = 1_000_000) -> bool:
        """Runs one generation to its end, or kills it after so many ticks; whether it has finished.

        It has not finished either when the link to a coordinator was lost: then there is to be another generation.
        """
        generation = self.start(workers)
        limit = max_ticks if ticks is None else ticks
        while not generation.settled and not generation.given_up and generation.tick < limit:
            if generation.streams and self._random.random() < self.coordinator_kills:
                generation.kill_coordinator()
            generation.advance()
            if generation.fenced:
                raise SimulationError(f"seed {self.seed}: generation {generation.generation} is fenced, but the newest")
            self._advance_zombies()
        finished = generation.settled
        if finished:
            if not all(worker.finished for worker in generation.workers):
                raise SimulationError(f"seed {self.seed}: at rest at tick {generation.tick}, but not finished")
            self.released.extend(generation.log)
        elif ticks is None and not generation.given_up:
            raise SimulationError(f"seed {self.seed}: not finished after {max_ticks} ticks")
        elif self._random.random() < self._zombies:
            self.zombies.append(generation)
        else:
            generation.crash()
        return finished

    def _advance_zombies(self) -> None:
        for zombie in self.zombies:
            if not zombie.fenced and not zombie.settled and self._random.random() < 0.5:
                zombie.advance()

    def see(self, generation: Generation, published: Published) -> None:
        """An epoch was said by a generation; who reads at once takes it from the newest only."""
        if generation.generation == self.generations:
            self.seen.append(published)

    # -- the store -----------------------------------------------------------------------------------------------------

    def put(self, datas: Iterable[bytes], mark: int) -> list[str]:
        """Keeps chunks; see `limnad.cluster.parts.Put`."""
        return [str(ref) for ref in self.space.chunks.put_many(datas, mark=mark)]

    def get(self, names: Iterable[str]) -> Iterable[bytes]:
        """See `limnad.cluster.parts.Get`."""
        return self.space.chunks.get_many(map(ChunkRef.parse, names))

    def record(self, number: int) -> CheckpointRecord:
        """What a complete checkpoint says."""
        return CheckpointRecord.decode(Checkpoints(self.space).manifest(number).body)
