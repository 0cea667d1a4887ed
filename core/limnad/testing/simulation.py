"""A whole cluster in one process, every interleaving decided by one seed.

The real worker machines run on a simulated network: a FIFO link for each stream of each ordered pair of workers. At
each tick the seed picks what happens: some worker takes a step, or some link delivers its oldest message (or, where the
protocol allows it, delivers it twice). Some links are made slow for a while, so that rare orders get common.

At each tick the invariants of the progress protocol are checked (`Invariants`), so a seed that breaks one fails there
and then, and again in the same way when it is run again.
"""

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from limnad.cluster.coordinator import Accumulator, Coordinator, Refused, Ticket
from limnad.cluster.effects import COORDINATOR, Ack, Data, Effect, Progress, Publish
from limnad.cluster.worker import Worker
from limnad.testing.invariants import Invariants, RecordingBuffer
from limnad.timely.graph import LogicalGraph
from limnad.timely.progress import Accumulation
from limnad.timely.source import Source

LinkName = tuple[int, int, str]
"""``(sender, receiver, stream)``."""

JOB = "job"
"""What the job is called."""


class SimulationError(AssertionError):
    """The simulation found a fault; the message bears the seed and the tick that show it again."""


@dataclass(slots=True)
class Link:
    """One stream between two workers; messages leave in the order in which they came."""

    waiting: deque[Any] = field(default_factory=deque)
    last: Any = None


class Simulation:
    """A run of one graph.

    Args:
        graph: The job.
        sources: Makes the sources anew, by input stage name; called once for each worker.
        workers: How many.
        seed: Decides everything.
        accumulation: How progress updates are gathered.
        make_worker: The worker machine's class; tests put mutants here.
        check: Whether to check the invariants at each tick.
        duplicates: Whether links may deliver a message twice.
        make_coordinator: Makes the coordinator, where the mode has one, from its identity.
        generation: Which run of the job this is.
        job: Which job; empty: one of its own, for whoever runs a job twice runs two jobs.
    """

    def __init__(
        self,
        graph: LogicalGraph,
        sources: Callable[[], Mapping[str, Source]],
        workers: int,
        seed: int = 0,
        accumulation: Accumulation = Accumulation.LOCAL,
        make_worker: type[Worker] = Worker,
        check: bool = True,
        duplicates: bool = True,
        make_coordinator: Callable[[str], Coordinator] = Coordinator,
        generation: int = 1,
        job: str = "",
    ) -> None:
        self.seed = seed
        self.generation = generation
        self.tick = 0
        self.published: dict[str, dict[int, Any]] = {}
        self.accumulation = accumulation
        self.job = job or secrets.token_hex(8)
        self._graph = graph
        self._sources = sources
        self.workers = [self.make(make_worker, index, workers) for index in range(workers)]
        self.links: dict[LinkName, Link] = {}
        self._random = Random(seed)
        self._duplicates = duplicates
        self._slow = self._random.choice([0.0, 0.0, 0.5, 0.9])
        self._slow_links: set[LinkName] = set()
        self._idle: set[int] = set()
        self._make_coordinator = make_coordinator
        self.streams: dict[int, Accumulator] = {}
        self._sending: list[Accumulator] = []
        if accumulation.at_coordinator:
            self.appoint()
        self.invariants = Invariants(self.workers, self.in_flight_to) if check else None
        if self.invariants is not None:
            for worker in self.workers:
                RecordingBuffer.install(worker, self.invariants)
        for worker in self.workers:
            self.begin(worker)
            self._collect(worker)

    def make(self, make_worker: type[Worker], index: int, workers: int) -> Worker:
        """Makes one worker."""
        return make_worker(
            self._graph,
            index,
            workers,
            self._sources(),
            self.accumulation,
            generation=self.generation,
            job=self.job,
        )

    def appoint(self) -> None:
        """Starts a coordinator, assigns the generation to it, and opens all workers' streams to it."""
        coordinator = self._make_coordinator("the coordinator")
        coordinator.assign(JOB, self.generation, len(self.workers))
        for worker in self.workers:
            self.connect(worker, coordinator, coordinator.identity)

    def connect(self, worker: Worker, coordinator: Coordinator, named: str) -> bool:
        """A worker opens its stream to a coordinator, which may be another one than it was told; False if refused."""
        try:
            accumulator = coordinator.attach(Ticket(named, JOB, self.generation, worker.index))
        except Refused:
            return False
        self.streams[worker.index] = accumulator
        return True

    def begin(self, worker: Worker) -> None:
        """Starts it."""
        worker.start()

    def run(self, max_ticks: int = 1_000_000) -> None:
        """Runs until every worker has finished.

        Raises:
            SimulationError: An invariant broke, or the cluster came to rest without having finished.
        """
        while not self.settled:
            if self.tick >= max_ticks:
                raise SimulationError(f"seed {self.seed}: not finished after {max_ticks} ticks")
            self.advance()
        if not all(worker.finished for worker in self.workers):
            raise SimulationError(f"seed {self.seed}: at rest at tick {self.tick}, but not finished")
        if self.invariants is not None:
            self._check(self.invariants.check_quiescent)

    @property
    def settled(self) -> bool:
        """Whether nothing can happen any more: no message on a link, and every worker idle."""
        moving = self._sending or any(link.waiting for link in self.links.values())
        return len(self._idle) == len(self.workers) and not moving

    def advance(self) -> None:
        """One tick."""
        self.tick += 1
        if self.tick % 16 == 1:
            self._choose_slow_links()
        choice = self._random.choice(self.choices())
        if callable(choice):
            choice()
            return
        if isinstance(choice, int):
            self._step(self.workers[choice])
        else:
            self._deliver(choice)
        if self.invariants is not None:
            acted = choice if isinstance(choice, int) else choice[1]
            self._check(self.invariants.check, 0 if acted == COORDINATOR else acted)

    def choices(self) -> list[int | LinkName | Callable[[], None]]:
        """What can happen next: a worker's step, a link's oldest message, or something else to be called."""
        workers = [worker.index for worker in self.workers if worker.index not in self._idle]
        full = [name for name, link in self.links.items() if link.waiting]
        sends = [self._sent] if self._sending else []
        return [*workers, *sends, *([name for name in full if name not in self._slow_links] or full)]

    def _check(self, check: Callable[..., None], *arguments: int) -> None:
        try:
            check(*arguments)
        except AssertionError as error:
            raise SimulationError(f"seed {self.seed}, tick {self.tick}: {error}") from error

    def _choose_slow_links(self) -> None:
        self._slow_links = {name for name in sorted(self.links) if self._random.random() < self._slow}

    def _step(self, worker: Worker) -> None:
        if not worker.step():
            self._idle.add(worker.index)
        self._collect(worker)

    def _collect(self, worker: Worker) -> None:
        for effect in worker.take_effects():
            self.route(worker.index, effect)

    def route(self, sender: int, effect: Effect) -> None:
        """Puts an effect on the links it belongs to."""
        match effect:
            case Data():
                self.send((sender, effect.peer, "data"), effect)
            case Ack():
                self.send((sender, effect.peer, "ack"), effect)
            case Progress():
                for receiver in self._told_by(sender):
                    self.send((sender, receiver, "progress"), effect)
            case Publish(output, epoch, batch):
                self.published.setdefault(output, {})[epoch] = batch

    def _told_by(self, sender: int) -> list[int]:
        if self.accumulation.at_coordinator and sender != COORDINATOR:
            return [COORDINATOR] if sender in self.streams else []
        return [worker.index for worker in self.workers if worker.index != sender]

    def send(self, name: LinkName, message: Any) -> None:
        """Puts a message at the end of a link."""
        self.links.setdefault(name, Link()).waiting.append(message)

    def _deliver(self, name: LinkName) -> None:
        link = self.links[name]
        if self._duplicates and link.last is not None and self._random.random() < 0.02:
            message = link.last
        else:
            message = link.last = self.pick(name, link)
        sender, receiver, _ = name
        if receiver == COORDINATOR:
            accumulator = self.streams[sender]
            self._broadcast(accumulator, accumulator.arrived(sender, message))
            return
        self.receive(self.workers[receiver], sender, message)
        self._idle.discard(receiver)
        self._collect(self.workers[receiver])

    def _broadcast(self, accumulator: Accumulator, message: Progress | None) -> None:
        """What a coordinator wants to be sent goes to those who have a stream to it."""
        if message is not None:
            self._sending.append(accumulator)
            for receiver, stream in self.streams.items():
                if stream is accumulator:
                    self.send((COORDINATOR, receiver, "progress"), message)

    def _sent(self) -> None:
        """A coordinator has sent its last message to all."""
        accumulator = self._sending.pop(0)
        self._broadcast(accumulator, accumulator.sent())

    def pick(self, name: LinkName, link: Link) -> Any:
        """Takes the message that is delivered next from a link."""
        del name
        return link.waiting.popleft()

    def receive(self, worker: Worker, sender: int, message: Any) -> None:
        """Hands a message to its receiver."""
        match message:
            case Data(_, sequence, connector, time, batch):
                worker.data_arrived(sender, sequence, connector, time, batch)
            case Progress():
                worker.progress_arrived(sender, message)
            case Ack():
                worker.ack_arrived(sender, message)

    def in_flight_to(self, receiver: int) -> list[Progress]:
        """The progress messages that have been sent to a worker and not arrived, by way of the coordinator too."""
        flying = [
            message
            for (_, to, stream), link in self.links.items()
            if to in (receiver, COORDINATOR) and stream == "progress"
            for message in link.waiting
        ]
        held = self.streams.get(receiver)
        return flying if held is None else [*flying, Progress(0, held.held, 0)]
