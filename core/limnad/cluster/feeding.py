"""How what clients push to one hand-fed input gets into its log and from there into engine 0: decisions only.

    push -> queue -> Check (would the engine take it?) -> Append -> Hand (the engine takes it) -> Acknowledge

One group of pushes at a time, so that what the engine has checked is still true when it is appended: the order of the
log *is* the order in which the engine takes them. A group is the pushes at the head of the queue of which only the last
may be something else than rows: rows do not change what the engine says of what comes behind them. So many clients, or
one that does not wait for each answer, share the way to the engine and one sync of the disk. The states, and what each
event does:

    event              AWAY         REPLAYING                   READY          CHECKING            APPENDING
    begin(position)    from any state: Read what the engine has not got; -> REPLAYING, or READY if there is nothing
    lose               from any state: -> AWAY; a group that was under way stays at the head of the queue
    push               waits        waits                       Check;         waits               waits
                                                                -> CHECKING
    entries            ignored      Hand each                   ignored        ignored             ignored
    taken(offset)      ignored      the last one: Read on,      ignored        ignored             ignored
                                    or -> READY
    checked(yes)       ignored      ignored                     ignored        the last: Append    ignored
                                                                               each; -> APPENDING
    checked(no)        ignored      ignored                     ignored        Refuse; what is     ignored
                                                                               behind it is checked
                                                                               again, later
    appended(offset)   Acknowledge  Acknowledge                 Acknowledge    Acknowledge         Hand, Acknowledge;
                                                                                                   the last: -> READY
    not_appended(why)  ignored      ignored                     ignored        ignored             Refuse; the last:
                                                                                                   -> READY
    finish             from any state: -> AWAY; Refuse all that wait, but Doubt what may be in the log

In READY a push whose number its producer has used already is acknowledged, and goes nowhere.

Why nothing is lost or repeated: what was acknowledged is in the log. A new generation's engine stands where its
checkpoint says, and is handed the log from there on, all of it, each offset once, before anything new. An append of an
older generation comes before the new one's `begin`, whose end of the log then includes it, or is refused by the log.

A close is an entry like any other, so it is replayed like any other: no row follows it, in no generation. Only that of
a drain may be taken back, when somebody goes back to a checkpoint before it: by a further entry of the drainer, which
says at which epoch the input goes on, behind all that were complete. Then no later generation is handed the close.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Final

from limnad.cluster.cuts import Standings

DRAINER: Final = "limnad drain"
"""The producer that closes an input when its job is drained (odd numbers), and takes that back (even ones)."""

GROUP_PUSHES: Final = 64
"""How many pushes one append takes: enough that its sync is cheap for each."""

GROUP_BYTES: Final = 8 << 20
"""A group with so many is not made larger: the engine and the log hold it all at once."""


@dataclass(frozen=True, slots=True)
class Push:
    """What a client wants an input to be fed.

    Attributes:
        number: The agent's own, never given twice: which client waits for the answer.
        producer: Who pushes.
        sequence: The producer's number for it.
        data: What is appended, and what the engine takes.
        rows: Whether it is rows, which change nothing for what comes behind them.
    """

    number: int
    producer: str
    sequence: int
    data: bytes
    rows: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """Ask the engine whether it would take this; it keeps it until it is handed a later one."""

    push: Push


@dataclass(frozen=True, slots=True)
class Append:
    """Append this to the log, in the name of a generation."""

    push: Push
    generation: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read some entries of the log, from this one on."""

    start: int


@dataclass(frozen=True, slots=True)
class Hand:
    """The engine is to take this entry.

    Attributes:
        offset: Which one.
        data: What it says; None: the engine has it, because it has checked it.
        number: Of the push that it has checked.
    """

    offset: int
    data: bytes | None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """It is in the log: tell the client.

    Attributes:
        push: What.
        offset: Where; None: it is not the producer's newest, and nobody remembers.
    """

    push: Push
    offset: int | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """It is not in the log: tell the client why."""

    push: Push
    reason: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Nobody knows whether it is in the log: tell the client that."""

    push: Push
    reason: str


Effect = Check | Append | Read | Hand | Acknowledge | Refuse | Doubt


class Phase(Enum):
    """See the table above."""

    AWAY = "away"
    REPLAYING = "replaying"
    READY = "ready"
    CHECKING = "checking"
    APPENDING = "appending"


class Backwards(Exception):
    """The log is behind what a checkpoint has seen of it."""


@dataclass(slots=True)
class Feeding:
    """One input.

    Attributes:
        phase: See the table above.
        generation: Of the engine that is fed.
        known: Whether the log has been looked at.
        next: The offset that the engine is to be handed next.
        end: Of the log, as far as it is known.
    """

    phase: Phase = Phase.AWAY
    generation: int = 0
    known: bool = False
    next: int = 0
    end: int = 0
    _closed: bool = False
    _over: str = ""
    _last: dict[str, tuple[int, int]] = field(default_factory=dict)
    _said: dict[str, tuple[int, int]] = field(default_factory=dict)
    _queue: deque[Push] = field(default_factory=deque)
    _asked: set[int] = field(default_factory=set)
    _group: deque[Push] = field(default_factory=deque)
    _unsettled: list[Push] = field(default_factory=list)

    def last_sequence(self, producer: str) -> int | None:
        """The newest number that a producer has used; 0: none.

        None: that is not known yet. The log was not looked at, or something of that producer is still under way.
        """
        under_way = [*self._queue, *self._unsettled]
        if not self.known or any(push.producer == producer for push in under_way):
            return None
        return self._newest(producer)

    def _newest(self, producer: str) -> int:
        return self._last.get(producer, (0, 0))[0]

    @property
    def producers(self) -> list[str]:
        """Those that are remembered."""
        return list(self._last)

    def forgettable(self, silent: AbstractSet[str], below: int) -> dict[str, tuple[int, int]]:
        """Those of them whose newest entry lies below that offset, and that wait for nothing: its number and offset."""
        busy = {push.producer for push in (*self._queue, *self._unsettled)}
        return {
            producer: last for producer, last in self._last.items() if producer in silent - busy and last[1] < below
        }

    def forget(self, producers: Mapping[str, tuple[int, int]]) -> None:
        """The log does not remember them any more, whose newest entries those were."""
        for producer, last in producers.items():
            if self._last.get(producer) == last:
                del self._last[producer]
                self._said.pop(producer, None)

    def is_undone(self, offset: int) -> bool:
        """Whether a drain that closed the input at that offset was taken back since: the drainer has a newer entry."""
        return DRAINER in self._last and offset < self._last[DRAINER][1]

    # -- the engine comes and goes -------------------------------------------------------------------------------------

    def begin(
        self, generation: int, position: int | None, end: int, last: Mapping[str, tuple[int, int]]
    ) -> list[Effect]:
        """An engine runs that has nothing yet of what lies behind its checkpoint.

        Args:
            generation: In whose name the log was claimed.
            position: The first entry that the checkpoint does not cover; None: the input had ended.
            end: Of the log, since it was claimed.
            last: Number and offset of each producer's newest entry.

        Raises:
            Backwards: The log ends before the position.
        """
        if position is not None and position > end:
            raise Backwards(f"its log ends at entry {end}, but the checkpoint has read up to entry {position}")
        self.generation, self.known, self._closed = generation, True, position is None
        self.next, self.end = end if position is None else position, end
        self._last.update(last)
        self._unsettled.clear()
        return self._read_on()

    def lose(self) -> None:
        """The engine is gone."""
        if not self._over:
            self.phase = Phase.AWAY

    def finish(self, reason: str) -> list[Effect]:
        """The job has ended: whoever waits is told, and whoever comes later."""
        self.phase, self._over = Phase.AWAY, reason
        waiting = list(self._queue)
        self._queue.clear()
        return [self._too_late(push) for push in waiting]

    # -- entries that are there already --------------------------------------------------------------------------------

    def entries(self, generation: int, entries: Sequence[tuple[int, bytes]]) -> list[Effect]:
        """What was to be read, or the beginning of it."""
        if generation != self.generation or self.phase is not Phase.REPLAYING:
            return []
        effects: list[Effect] = [Hand(offset, data) for offset, data in entries if offset >= self.next]
        self.next += len(effects)
        return effects

    def taken(self, generation: int, offset: int) -> list[Effect]:
        """The engine has taken an entry."""
        if generation != self.generation or self.phase is not Phase.REPLAYING or offset != self.next - 1:
            return []
        return self._read_on()

    def _read_on(self) -> list[Effect]:
        if self.next < self.end:
            self.phase = Phase.REPLAYING
            return [Read(self.next)]
        return self._ready()

    # -- pushes --------------------------------------------------------------------------------------------------------

    def push(self, push: Push) -> list[Effect]:
        """A client pushes."""
        if self._over:
            return [self._too_late(push)]
        self._queue.append(push)
        return self._ready() if self.phase is Phase.READY else []

    def checked(self, generation: int, number: int, reason: str) -> list[Effect]:
        """The engine's answer: why it would not take that push, or nothing."""
        if generation != self.generation or self.phase is not Phase.CHECKING or number not in self._asked:
            return []
        self._asked.remove(number)
        effects: list[Effect] = []
        if reason:
            effects.append(self._take_out(number, reason))
        if self._asked:
            return effects
        if not self._group:
            return [*effects, *self._ready()]
        self.phase = Phase.APPENDING
        self._unsettled.extend(self._group)
        return [*effects, *(Append(push, self.generation) for push in self._group)]

    def _take_out(self, number: int, reason: str) -> Effect:
        """Refuses one of the group. Those behind it may be of the same producer: they stay in the queue for now."""
        refused = next(push for push in self._queue if push.number == number)
        self._queue.remove(refused)
        if refused in self._group:
            while self._group.pop() != refused:
                pass
        return Refuse(refused, reason)

    def appended(self, push: Push, generation: int, offset: int) -> list[Effect]:
        """It is durable. Those of a group come in their order.

        Raises:
            Backwards: It lies where something else lay before.
        """
        current = self._settle(push, generation)
        if current and offset < self.next:
            raise Backwards(f"an entry was appended at {offset}, but there were {self.next} already")
        if push.sequence > self._newest(push.producer):
            self._last[push.producer] = (push.sequence, offset)
            self._said[push.producer] = (push.sequence, hash(push.data))
        effects: list[Effect] = []
        if push in self._queue:
            self._queue.remove(push)
            effects.append(Acknowledge(push, offset))
        if not current:  # Its engine is gone, and the next one reads it from the log.
            return effects
        self.end = max(self.end, offset + 1)
        if offset == self.next:  # Else it is read, with what lies before it.
            self.next += 1
            effects.insert(0, Hand(offset, None, push.number))
        return effects if self._group else [*effects, *self._read_on()]

    def not_appended(self, push: Push, generation: int, reason: str) -> list[Effect]:
        """The log is sure that it has not taken it."""
        if not self._settle(push, generation):
            return []
        self._queue.remove(push)
        return [Refuse(push, reason), *([] if self._group else self._read_on())]

    def _settle(self, push: Push, generation: int) -> bool:
        """Notes that an append's outcome is known; whether it is the one that is waited for."""
        if push in self._unsettled:
            self._unsettled.remove(push)
        current = generation == self.generation and self.phase is Phase.APPENDING and self._group[0] == push
        if current:
            self._group.popleft()
        return current

    def _ready(self) -> list[Effect]:
        """Nothing is under way: takes up the next pushes."""
        self.phase = Phase.READY
        answers: list[Effect] = []
        while self._queue:
            push = self._queue[0]
            last = self._newest(push.producer)
            if push.sequence == last + 1 and not self._closed:
                self.phase, self._group = Phase.CHECKING, self._next_group()
                self._asked = {each.number for each in self._group}
                return [*answers, *map(Check, self._group)]
            self._queue.popleft()
            if push.sequence <= last:
                answers.append(self._repeated(push))
            else:
                answers.append(Refuse(push, _CLOSED if self._closed else _gap(push, last)))
        return answers

    def _next_group(self) -> deque[Push]:
        """What is at the head of the queue, up to something else than rows, or a number that is not the next one."""
        group: deque[Push] = deque()
        newest: dict[str, int] = {}
        nbytes = 0
        for push in islice(self._queue, GROUP_PUSHES):
            nbytes += len(push.data)
            fits = not group or (group[-1].rows and nbytes <= GROUP_BYTES)
            if not fits or push.sequence != 1 + newest.get(push.producer, self._newest(push.producer)):
                break
            newest[push.producer] = push.sequence
            group.append(push)
        return group

    def _repeated(self, push: Push) -> Effect:
        sequence, offset = self._last[push.producer]
        said = self._said.get(push.producer)
        if said is not None and push.sequence == said[0] and hash(push.data) != said[1]:
            return Refuse(push, _other(push))
        return Acknowledge(push, offset if push.sequence == sequence else None)

    def _too_late(self, push: Push) -> Effect:
        """A repetition is acknowledged even then: that it was taken stays true."""
        if push.sequence <= self._newest(push.producer):
            return self._repeated(push)
        if any((each.producer, each.sequence) == (push.producer, push.sequence) for each in self._unsettled):
            return Doubt(push, f"{self._over}. {_DOUBT}")
        return Refuse(push, self._over)


_CLOSED = "the input is closed: no rows can follow"

_DOUBT = (
    "Whether the newest rows that were pushed are in the log is not known: go on from the job's store (--resume) and "
    "ask for the newest number"
)


def _other(push: Push) -> str:
    return (
        f"producer {push.producer!r} pushes other rows as number {push.sequence} than it did before: two programs push "
        "under one name, or one has not asked for its newest number. Give each a name of its own"
    )


def _gap(push: Push, last: int) -> str:
    return (
        f"producer {push.producer!r} pushes number {push.sequence}, but its newest is {last}: what lies between was "
        "never pushed. Ask for the newest number and go on from there"
    )


def positions(standings: Standings, inputs: Iterable[str]) -> dict[str, int | None]:
    """Up to which entry of its log a checkpoint covers each hand-fed input; None: it had ended.

    Args:
        standings: Where the checkpoint's partitions stand.
        inputs: The hand-fed ones.
    """
    wanted = set(inputs)
    return {
        stage: None if partition.position is None else int(partition.position["offset"])
        for (stage, _), partition in standings.items()
        if stage in wanted
    }


def covered(kept: Iterable[Mapping[str, int | None]], ends: Mapping[str, int]) -> dict[str, int]:
    """Below which offset no checkpoint that is kept needs an input's log; inputs that have a log only.

    >>> covered([{"x": 3, "y": 1}, {"x": None, "y": None}], {"x": 9, "y": 9})
    {'x': 3, 'y': 1}
    """
    lowest: dict[str, int] = {}
    for of_one in kept:
        for name, end in ends.items():
            position = of_one.get(name, 0)
            lowest[name] = min(lowest.get(name, end), end if position is None else position)
    return lowest
