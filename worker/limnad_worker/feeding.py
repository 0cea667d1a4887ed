"""How pushes of clients get to engine 0: the shells around `limnad.cluster.feeding`, and the way without a store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from limnad.cluster import feeding as machine
from limnad.cluster.cuts import Standings, standings
from limnad.cluster.producers import Silence
from limnad.cluster.records import CheckpointRecord
from limnad.store import Full, Gap, StoreError, Unavailable
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker.vault import Vault

T = TypeVar("T")

STORE_RETRY_S = 1.0
"""How often a push that waits for its store is tried again."""


class Refused(Exception):
    """What a client asked for cannot be had; says why."""


class Doubtful(Exception):
    """Whether what a client asked for was done is not known; says why."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What pushes need of their job.

    Attributes:
        view: What clients see of it.
        tell: Tells engine 0 something.
        keep: Runs something until the agent stops.
        notify: Wakes whoever waits for news.
        lost: To be called with the reason when the job cannot go on.
    """

    view: jobs_pb2.JobView
    tell: Callable[[wire.Push], None]
    keep: Callable[[Coroutine[Any, Any, None]], None]
    notify: Callable[[], Awaitable[None]]
    lost: Callable[[str], Awaitable[None]]


class Feeder:
    """The hand-fed inputs of one job."""

    def push(self, request: jobs_pb2.PushRequest) -> asyncio.Future[int | None]:
        """Takes one up, in the order of these calls; to be awaited is where it lies in its log, if it has one.

        Raises:
            Refused: It was not taken. What is awaited raises it, too.
            Doubtful: Only what is awaited: the job has ended before that was known.
        """
        raise NotImplementedError

    def pushed(self, pushed: wire.Pushed) -> None:
        """Engine 0 answers."""
        raise NotImplementedError

    def last_sequence(self, name: str, producer: str) -> int | None:
        """The newest number of a producer; None: it is not known yet.

        Raises:
            Refused: Pushes are not numbered.
        """
        raise NotImplementedError

    def finish(self, reason: str) -> None:
        """The job has ended."""
        raise NotImplementedError

    @property
    def waiting(self) -> str:
        """What waits for the store, and why."""
        return ""

    # What follows concerns only those who keep something.

    def restored(self, record: CheckpointRecord | None) -> None:
        """From which checkpoint the next generation starts; None: from none."""

    def begin(self, generation: int) -> None:
        """The engines of a generation run."""

    def lose(self) -> None:
        """The engines are gone."""

    def made(self, number: int, record: CheckpointRecord) -> None:
        """A checkpoint is about to be committed."""

    async def retained(self, kept: Sequence[int]) -> None:
        """These checkpoints are all that may ever be restored."""


class DirectFeeder(Feeder):
    """Without a store: what is pushed goes to the engine, and is gone with it."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._waiting: dict[int, asyncio.Future[int | None]] = {}
        self._last = 0
        self._over = ""

    def push(self, request: jobs_pb2.PushRequest) -> asyncio.Future[int | None]:
        """See `Feeder`."""
        if self._over:
            raise Refused(self._over)
        self._last += 1
        answer = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        numbered = wire.Push()
        numbered.CopyFrom(request.push)
        numbered.request = self._last
        self._around.tell(numbered)
        return answer

    def pushed(self, pushed: wire.Pushed) -> None:
        """See `Feeder`."""
        refusal = Refused(pushed.error) if pushed.error else None
        _answer(self._waiting.pop(pushed.request, None), refusal=refusal)

    def last_sequence(self, name: str, producer: str) -> int | None:
        """See `Feeder`."""
        raise Refused("the job has no store, so what is pushed is not numbered: give it one when it is submitted")

    def finish(self, reason: str) -> None:
        """See `Feeder`."""
        self._over = reason
        for waiting in self._waiting.values():
            _answer(waiting, refusal=Refused(reason))


class LoggedFeeder(Feeder):
    """With a store: what is pushed goes into the input's log first.

    Args:
        vault: The job's store.
        around: See `Surroundings`.
    """

    def __init__(self, vault: Vault, around: Surroundings) -> None:
        self._vault = vault
        self._around = around
        self._inputs: dict[str, machine.Feeding] = {}
        self._silence: dict[str, Silence] = {}
        self._waiting: dict[int, asyncio.Future[int | None]] = {}
        self._last = 0
        self._generation = 0
        self._record: CheckpointRecord | None = None
        self._standings: dict[int, Standings] = {}
        self._over = False
        self._waits: dict[str, str] = {}

    @property
    def waiting(self) -> str:
        """See `Feeder`."""
        return next(iter(self._waits.values()), "")

    # -- clients -------------------------------------------------------------------------------------------------------

    def push(self, request: jobs_pb2.PushRequest) -> asyncio.Future[int | None]:
        """See `Feeder`."""
        if not request.producer or not request.sequence:
            raise Refused(
                "a push to a job with a store has to say its producer and its number, so that it is taken once"
            )
        feeding = self._inputs.get(request.push.input)
        if feeding is None:
            raise Refused("the job has ended before its inputs could be fed")
        self._silence[request.push.input].heard(request.producer, time.monotonic())
        self._last += 1
        request.push.drained = request.producer == machine.DRAINER
        data, rows = request.push.SerializeToString(), request.push.HasField("rows")
        push = machine.Push(self._last, request.producer, request.sequence, data, rows)
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting[push.number] = answer
        self._carry_out(request.push.input, feeding.push(push))
        return answer

    def last_sequence(self, name: str, producer: str) -> int | None:
        """See `Feeder`."""
        feeding = self._inputs.get(name)
        if feeding is None:
            return None
        self._silence[name].heard(producer, time.monotonic())
        return feeding.last_sequence(producer)

    # -- the job -------------------------------------------------------------------------------------------------------

    def restored(self, record: CheckpointRecord | None) -> None:
        """See `Feeder`."""
        self._record = record

    def begin(self, generation: int) -> None:
        """See `Feeder`."""
        self._generation = generation
        for name in self._around.view.inputs:
            self._inputs.setdefault(name, machine.Feeding())
            self._silence.setdefault(name, Silence())
            self._around.keep(self._begin(name, generation))

    async def _begin(self, name: str, generation: int) -> None:
        positions = {} if self._record is None else machine.positions(standings(self._record), [name])
        state = await self._with_store(name, generation, lambda: self._vault.claim_log(name, generation))
        if state is None or generation != self._generation:
            return
        last = {producer: (each.sequence, each.offset) for producer, each in state.producers.items()}
        self._silence[name].found(last, time.monotonic())
        try:
            self._carry_out(name, self._inputs[name].begin(generation, positions.get(name, 0), state.end, last))
        except machine.Backwards as error:
            await self._lost(name, error)
        await self._around.notify()

    def lose(self) -> None:
        """See `Feeder`."""
        self._generation = 0
        for feeding in self._inputs.values():
            feeding.lose()

    def finish(self, reason: str) -> None:
        """See `Feeder`."""
        self._generation, self._over = 0, True
        self._waits.clear()
        for name, feeding in self._inputs.items():
            self._carry_out(name, feeding.finish(reason))

    def pushed(self, pushed: wire.Pushed) -> None:
        """See `Feeder`."""
        if pushed.HasField("offset"):
            self._carry_out(pushed.input, self._inputs[pushed.input].taken(self._generation, pushed.offset))
            return
        for name, feeding in self._inputs.items():
            self._carry_out(name, feeding.checked(self._generation, pushed.request, pushed.error))

    # -- effects -------------------------------------------------------------------------------------------------------

    def _carry_out(self, name: str, effects: Sequence[machine.Effect]) -> None:
        for effect in effects:
            match effect:
                case machine.Check(push):
                    asked = wire.Push.FromString(push.data)
                    asked.check, asked.request = True, push.number
                    self._around.tell(asked)
                case machine.Hand():
                    self._around.tell(self._entry(name, effect))
                case machine.Append():
                    pass  # All together: see below.
                case machine.Read(start):
                    self._around.keep(self._read(name, start, self._generation))
                case machine.Acknowledge(push, offset):
                    _answer(self._waiting.pop(push.number, None), offset)
                case machine.Refuse(push, reason):
                    _answer(self._waiting.pop(push.number, None), refusal=Refused(reason))
                case machine.Doubt(push, reason):
                    _answer(self._waiting.pop(push.number, None), refusal=Doubtful(reason))
        group = [effect for effect in effects if isinstance(effect, machine.Append)]
        if group:
            self._around.keep(self._append_all(name, [effect.push for effect in group], group[0].generation))

    def _entry(self, name: str, hand: machine.Hand) -> wire.Push:
        if hand.data is None:
            return wire.Push(input=name, request=hand.number, offset=hand.offset)
        entry = wire.Push.FromString(hand.data)
        if entry.drained and self._inputs[name].is_undone(hand.offset):
            entry.reopen = 0
        entry.offset = hand.offset
        return entry

    async def _append_all(self, name: str, pushes: Sequence[machine.Push], generation: int) -> None:
        """Appends a group; if not all of it can be, one after the other, to know which."""
        try:
            offsets = await self._with_store(
                name, generation, lambda: self._vault.append(name, pushes, generation), refusable=True
            )
        except (StoreError, ValueError):
            for push in pushes:
                await self._append(name, push, generation)
            return
        for push, offset in zip(pushes, offsets or [], strict=False):
            await self._appended(name, push, generation, offset)
        await self._around.notify()

    async def _append(self, name: str, push: machine.Push, generation: int) -> None:
        feeding = self._inputs[name]
        try:
            offsets = await self._with_store(
                name, generation, lambda: self._vault.append(name, [push], generation), refusable=True
            )
        except (StoreError, ValueError) as error:
            self._carry_out(name, feeding.not_appended(push, generation, str(error)))
        else:
            if offsets is not None:
                await self._appended(name, push, generation, offsets[0])
        await self._around.notify()

    async def _appended(self, name: str, push: machine.Push, generation: int, offset: int) -> None:
        try:
            self._carry_out(name, self._inputs[name].appended(push, generation, offset))
        except machine.Backwards as error:
            await self._lost(name, error)

    async def _lost(self, name: str, error: Exception) -> None:
        await self._around.lost(f"the store has lost rows that were pushed to the input {name!r}: {error}")

    async def _read(self, name: str, start: int, generation: int) -> None:
        entries = await self._with_store(name, generation, lambda: self._vault.read_log(name, start))
        if entries is not None:
            self._carry_out(name, self._inputs[name].entries(generation, entries))

    async def _with_store(
        self, name: str, generation: int, work: Callable[[], Awaitable[T]], *, refusable: bool = False
    ) -> T | None:
        """Does something with the store as often as it is away; None: it is not wanted any more.

        Args:
            name: For which input.
            generation: For which one.
            work: What to do.
            refusable: Whether somebody can be told that it is impossible.

        Raises:
            StoreError: It is impossible; nothing was done.
            ValueError: Likewise.
        """
        while True:
            try:
                done = await work()
            except (Gap, ValueError) as error:
                if refusable:
                    raise
                problem: Exception = error
            except (StoreError, RuntimeError) as error:  # RuntimeError: the job has ended and its store was closed.
                problem = error
            else:
                self._waits.pop(name, None)
                return done
            if generation != self._generation:
                return None
            if not isinstance(problem, (Full, Unavailable)):
                await self._around.lost(f"the log of what is pushed cannot be used: {problem}")
                return None
            self._waits[name] = f"pushes to {name!r} wait for the store: {problem}"
            await self._around.notify()
            await asyncio.sleep(STORE_RETRY_S)
            if generation != self._generation:
                return None

    # -- trimming ------------------------------------------------------------------------------------------------------

    def made(self, number: int, record: CheckpointRecord) -> None:
        """See `Feeder`."""
        self._standings[number] = standings(record)

    async def retained(self, kept: Sequence[int]) -> None:
        """See `Feeder`."""
        newest = max(kept, default=0)
        self._standings = {
            number: each for number, each in self._standings.items() if number in kept or number > newest
        }
        logs = await self._vault.logs()
        if not logs:
            return
        states = []
        for number in kept:
            if (state := self._standings.get(number)) is None:
                state = self._standings[number] = standings(await self._vault.read(number))
            states.append(state)
        ends = {name: feeding.end for name, feeding in self._inputs.items()}
        positions = [machine.positions(state, self._inputs) for state in states]
        for name, below in machine.covered(positions, ends).items():
            await self._vault.trim_log(name, below)
            await self._forget_producers(name, below)
        for name in set(logs) - set(self._inputs):
            await self._vault.trim_cuts(name, states)

    async def _forget_producers(self, name: str, below: int) -> None:
        """Those without a name that are not heard of any more: see `limnad.cluster.producers`."""
        feeding, silence = self._inputs[name], self._silence[name]
        if (silent := silence.long(time.monotonic())) and self._generation:
            producers = feeding.forgettable(silent, below)
            gone = await self._vault.forget_producers(name, producers, self._generation)
            feeding.forget(gone)
            silence.forget(gone)


def _answer(waiting: asyncio.Future[Any] | None, result: Any = None, refusal: Exception | None = None) -> None:
    if waiting is None or waiting.done():
        return
    if refusal is not None:
        waiting.set_exception(refusal)
    else:
        waiting.set_result(result)
