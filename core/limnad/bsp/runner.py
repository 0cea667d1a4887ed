"""The stage that runs programs of supersteps, as a vertex in a loop.

**Starting.** The rows of a time are complete on all workers when one of them is notified of it: then it starts its
program, and its first messages start the programs of the others, also of those that have no rows.

**Running.** Each superstep, each worker sends one *envelope* to each worker, and goes on when it has one from each. No
notification is waited for, so a superstep costs one hop, and workers are never more than one superstep apart.

**Ending.** Each program ends in the same superstep. The loop is quiet then; each vertex had asked from the start to be
notified of that (of a loop counter no program reaches), and only then sends its answer. So a checkpoint finds answers
of a time sent only if all its programs have ended.

**Going on.** Envelopes carry the generation; those of an earlier one are dropped. So after a restart the loop is quiet
at once, and that notification comes to vertices whose programs have not ended: they tell each other what they have
saved, and start anew from the newest save that all have. It makes no difference whether the number of workers is the
same.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from limnad.batch import concat, hash_frame, owners
from limnad.bsp.programs import Part, Program, Saved, Supersteps
from limnad.connectors.options import SchemaLike
from limnad.errors import JobError
from limnad.stream import RecordStream, Stream
from limnad.timely.state import TimedBatches
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex

ATTEMPT = 1 << 32
"""The loop counters of one attempt to run a program: more than it has supersteps."""

FRESH, RESUMED = 0, -1
"""The first superstep of a program, and of one that goes on after a restart."""


class Envelope(NamedTuple):
    """What one worker sends another in one superstep."""

    to: int
    sender: int
    generation: int
    superstep: int
    content: Any


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a program is, for a checkpoint.

    Attributes:
        ended: Whether it has its answer.
        answer: That.
        saves: What it has saved, by number.
    """

    ended: bool
    answer: Any
    saves: dict[int, Saved]


@dataclass(slots=True)
class _Running:
    part: Part
    program: Generator[Any, Any, Any]
    superstep: int
    quiet_at: Timestamp
    arrived: dict[int, dict[int, Any]] = field(default_factory=dict)
    ended: bool = False
    answer: Any = None

    def standing(self) -> Standing:
        return Standing(self.ended, self.answer, dict(self.part.saves))


class Superstepping(Vertex):
    """Runs one program for each time. Its last input port and first output port are for envelopes."""

    def __init__(self, program: Program, inputs: int) -> None:
        self._program = program
        self._inputs = inputs
        self._rows = TimedBatches("rows", ports=inputs)
        self._running: dict[Timestamp, _Running] = {}
        self._standing: dict[Timestamp, Standing] = {}

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        if port == self._inputs:
            for fields in batch:
                self._open(Envelope(*fields), time)
        elif self._rows.add(time, port, batch):
            self.notify_at(time)

    def on_notify(self, time: Timestamp) -> None:
        """The rows of a time are complete, or the loop has come to rest."""
        running = self._running.get(time[:-1])
        if time[-1] == 0:
            if running is None:
                self._start(FRESH, time)
        elif running is None:
            if time[:-1] in self._standing:
                self._start(RESUMED, time)
        elif running.quiet_at == time:
            self._answer(running, time)

    # -- one program ---------------------------------------------------------------------------------------------------

    def _open(self, envelope: Envelope, time: Timestamp) -> None:
        if envelope.generation != self.generation:
            return
        running = self._running.get(time[:-1])
        if running is None:
            running = self._start(envelope.superstep, time)
        running.arrived.setdefault(envelope.superstep, {})[envelope.sender] = envelope.content
        self._advance(running, time)

    def _start(self, superstep: int, time: Timestamp) -> _Running:
        outer = time[:-1]
        part = Part(self.worker, self.workers, [self._rows.get((*outer, 0), port) for port in range(self._inputs)])
        standing = self._standing.pop(outer, None)
        program = self._program(part) if superstep == FRESH else _resume(part, self._program, standing)
        quiet_at = (*outer, (time[-1] // ATTEMPT + 1) * ATTEMPT)
        running = self._running[outer] = _Running(part, program, superstep, quiet_at)
        self.notify_at(quiet_at)
        self._go_on(running, None, time)
        return running

    def _advance(self, running: _Running, time: Timestamp) -> None:
        while len(running.arrived.get(running.superstep, ())) == self.workers:
            if running.ended:
                self._disagree()
            arrived = running.arrived.pop(running.superstep)
            received = [arrived[worker] for worker in range(self.workers)]
            running.superstep += 1
            self._go_on(running, received, time)

    def _go_on(self, running: _Running, received: Sequence[Any] | None, time: Timestamp) -> None:
        """Lets the program go on to its next yield, and sends what it yields; or to its end."""
        try:
            contents = running.program.send(received)
        except StopIteration as end:
            running.ended, running.answer = True, end.value
            return
        if len(contents) != self.workers:
            raise JobError(f"a program yields one message for each of {self.workers} workers, not {len(contents)}")
        envelopes = [
            (worker, self.worker, self.generation, running.superstep, content)
            for worker, content in enumerate(contents)
        ]
        self.send_by(0, envelopes, time)

    def _answer(self, running: _Running, time: Timestamp) -> None:
        if not running.ended or running.arrived:
            self._disagree()
        del self._running[time[:-1]]
        self._rows.pop((*time[:-1], 0))
        if running.answer is not None:
            self.send_by(1, running.answer, time)

    def _disagree(self) -> None:
        raise JobError(
            "the programs of the workers disagree: one has ended while another waits for its message. Whether a "
            "program goes on must follow from what all workers know, such as the answer of all_reduce()"
        )

    # -- restarts ------------------------------------------------------------------------------------------------------

    def checkpoint(self) -> dict[Timestamp, Standing]:
        """See `Vertex.checkpoint`."""
        return self._standing | {outer: running.standing() for outer, running in self._running.items()}

    def restore(self, state: dict[Timestamp, Standing]) -> None:
        """See `Vertex.restore`."""
        self._standing = dict(state)

    @staticmethod
    def rescale(states: Sequence[dict[Timestamp, Standing]], workers: int) -> Sequence[dict[Timestamp, Standing]]:
        """See `Vertex.rescale`."""
        times = {time for state in states for time in state}
        shared = {time: _share([state.get(time) for state in states], workers) for time in times}
        return [{time: shares[worker] for time, shares in shared.items()} for worker in range(workers)]


def _resume(part: Part, program: Program, standing: Standing | None) -> Supersteps[Any]:
    """Starts from the newest save that all workers have; or only keeps the answer, if all have one.

    A worker that does not know the time has sent its answer, or never started: the others tell which.
    """
    told = yield [None if standing is None else (standing.ended, sorted(standing.saves))] * part.workers
    if all(ended for ended, _ in filter(None, told)):
        return standing.answer if standing is not None else None
    common = set.intersection(*(set(other[1]) if other is not None else set() for other in told))
    if common and standing is not None:
        part.go_on(max(common), standing.saves[max(common)])
    return (yield from program(part))


def _share(told: Sequence[Standing | None], workers: int) -> list[Standing]:
    """What each of so many workers is given of a time's programs; None: that worker does not know the time."""
    standings = [standing for standing in told if standing is not None]
    if all(standing.ended for standing in standings):
        return [Standing(ended=True, answer=_joined(standings[worker::workers]), saves={}) for worker in range(workers)]
    common = set.intersection(*(set(standing.saves) if standing is not None else set() for standing in told))
    spread = {number: _spread([standing.saves[number] for standing in standings], workers) for number in common}
    return [
        Standing(ended=False, answer=None, saves={number: shares[worker] for number, shares in spread.items()})
        for worker in range(workers)
    ]


def _joined(standings: Sequence[Standing]) -> Any:
    answers = [standing.answer for standing in standings if standing.answer is not None]
    return concat(answers) if answers else None


def _spread(saves: Sequence[Saved], workers: int) -> list[Saved]:
    by = saves[0].by
    if by is None:
        return [saves[0]] * workers
    whole = {name: np.concatenate([saved.columns[name] for saved in saves]) for name in saves[0].columns}
    keys = pl.DataFrame({"key": whole[by]})
    destinations = owners(hash_frame(keys, ["key"]), workers)
    return [
        Saved(by, {name: column[destinations == worker] for name, column in whole.items()}) for worker in range(workers)
    ]


def run_supersteps(
    program: Program, *inputs: Stream, name: str = "supersteps", schema: SchemaLike | None = None
) -> Any:
    """Runs a program for each time that has rows, one instance on each worker.

    Args:
        program: See `limnad.bsp.Program`.
        inputs: Streams of one loop (or none); say with ``partition_by`` how their rows are spread over the workers.
        name: Of the stage and its loop.
        schema: Of the frames that programs return; None: they return lists of records.

    Returns:
        What all workers' programs have returned, at the time of the rows.
    """
    flow = inputs[0].flow
    loop = flow.loop_around(inputs[0], name)
    entered = [loop.enter(stream) for stream in inputs]
    feedback = loop.feedback(RecordStream[Any](flow, entered[0].stage))
    ports = len(inputs)
    envelopes, answers = flow.vertex(
        lambda: Superstepping(program, ports),
        *entered,
        feedback.stream.route(_to),
        name=name,
        outputs=2,
        schemas=[None, schema],
    )
    feedback.connect(envelopes)
    return loop.leave(answers)


def _to(envelope: tuple[Any, ...]) -> int:
    return int(envelope[0])
