"""Two clients, an agent, an engine and a log in one thread: what is pushed to one input, under faults from one seed.

Everything that travels waits in a list until the seed picks it: calls of the store (in their order, as on a thread of
their own), what the agent tells the engine and back, what clients send and are answered. Faults: the engine, the agent
and each client die and come back; an answer to a client is lost; a call of the store fails before or after its effect;
what a dead agent has sent to the store arrives late; the newest checkpoint cannot be read.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

from limnad.batch import encode
from limnad.cluster import feeding
from limnad.cluster.feeding import Feeding, Push
from limnad.connectors.hand import HandReader
from limnad.store import Conflict, Gap, LogState, LostState, New, Unavailable
from limnad.testing.memory_store import MemoryLog
from limnad.timely.source import End, Idle, Rows
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import exchange_pb2
from limnad_worker.taking import Taking

INPUT = "x"
KEEP = 2
CLIENTS = ("ann", "bob")


class Wrong(AssertionError):
    """What must never be."""


class Unfenced(MemoryLog):
    """Lets older generations append."""

    def _check(self, generation: int) -> None:
        del generation


@dataclass
class Checkpoint:
    position: dict[str, Any] | None
    shown: int


@dataclass
class Engine:
    """The only worker: what it has read from its input is its state."""

    reader: HandReader | None
    shown: int
    taking: Taking = field(default_factory=Taking)

    def inbox(self, push: wire.Push) -> wire.Pushed:
        return self.taking.take(self, push)  # type: ignore[arg-type]

    def reader_of(self) -> HandReader:
        if self.reader is None:
            raise KeyError("no open input")
        return self.reader


class Client:
    """Pushes its actions one after the other, each until it is acknowledged."""

    def __init__(self, name: str, actions: list[wire.Push]) -> None:
        self.name = name
        self.actions = actions
        self.done: int | None = None

    @property
    def finished(self) -> bool:
        return self.done == len(self.actions)


class World:
    """See above.

    Args:
        seed: Decides everything.
        machine: What to test.
        fenced: Whether the log refuses older generations.
        covered: What says how far the log may be trimmed.
    """

    def __init__(
        self,
        seed: int,
        machine: Callable[[], Feeding] = Feeding,
        *,
        fenced: bool = True,
        covered: Callable[..., dict[str, int]] = feeding.covered,
    ) -> None:
        self.random = Random(seed)
        self.make, self.covered = machine, covered
        self.log = MemoryLog() if fenced else Unfenced()
        self.durable: set[bytes] = set()
        self.checkpoints = [Checkpoint({"offset": 0, "epoch": 0, "used": False}, 0)]
        self.any_checkpoint = False
        self.outputs: list[tuple[int, Any]] = []
        self.generation = self.pushes = self.faults = 0
        self.requests: dict[int, tuple[str, int]] = {}
        self.calls: deque[tuple[Callable[[], Any], Callable[[Any], None], int]] = deque()
        self.late: list[Callable[[], Any]] = []
        self.told: deque[wire.Push] = deque()
        self.said: deque[tuple[int, wire.Pushed]] = deque()
        self.clients = {name: Client(name, actions(name, self.random)) for name in CLIENTS}
        self.start_agent()

    # -- the agent -----------------------------------------------------------------------------------------------------

    def start_agent(self) -> None:
        self.late += [work for work, _, _ in self.calls]
        self.calls.clear()
        self.requests.clear()
        self.machine = self.make()
        self.start_engine()

    def start_engine(self) -> None:
        self.machine.lose()
        self.generation += 1
        if len(self.checkpoints) > 1 and self.random.random() < 0.3:
            self.checkpoints.pop()
        newest = self.checkpoints[-1]
        self.told.clear()
        self.said.clear()
        self.engine = Engine(None if newest.position is None else HandReader(None, newest.position), newest.shown)
        self.engine.taking = TakesFrom(self.engine)
        generation, offset = self.generation, None if newest.position is None else newest.position["offset"]
        self.call(
            lambda: self.log.claim(generation),
            lambda state: self.begin(generation, offset, state),
        )

    def begin(self, generation: int, offset: int | None, state: LogState) -> None:
        if generation == self.generation:
            last = {producer: (each.sequence, each.offset) for producer, each in state.producers.items()}
            self.carry_out(self.machine.begin(generation, offset, state.end, last))

    def call(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self.calls.append((work, then, self.generation))

    def carry_out(self, effects: list[feeding.Effect]) -> None:
        generation = self.generation
        for effect in effects:
            match effect:
                case feeding.Check(push):
                    asked = wire.Push.FromString(push.data)
                    asked.check, asked.request = True, push.number
                    self.told.append(asked)
                case feeding.Hand(offset, data, number):
                    entry = wire.Push(input=INPUT, request=number) if data is None else wire.Push.FromString(data)
                    entry.offset = offset
                    self.told.append(entry)
                case feeding.Read(start):
                    self.read(start, generation)
                case feeding.Acknowledge(push, _):
                    self.answer(push, None)
                case feeding.Refuse(push, reason):
                    self.answer(push, reason)
        group = [effect for effect in effects if isinstance(effect, feeding.Append)]
        if group:
            self.append([effect.push for effect in group], group[0].generation)

    def read(self, start: int, generation: int) -> None:
        count = self.random.randrange(1, 4)
        self.call(
            # What is not wanted any more may have been trimmed.
            lambda: self.look(start, count) if generation == self.generation else [],
            lambda found: self.carry_out(self.machine.entries(generation, found)),
        )

    def append(self, pushes: list[Push], by: int) -> None:
        machine = self.machine

        def appended(offsets: list[int]) -> None:
            for push, offset in zip(pushes, offsets, strict=True):
                self.carry_out(machine.appended(push, by, offset))

        self.call(lambda: self.put(pushes, by), appended)

    def put(self, pushes: list[Push], by: int) -> list[int]:
        """Sometimes it fails behind a part of them, as a store of several writes may."""
        count = self.random.randrange(len(pushes)) if self.random.random() < 0.1 else len(pushes)
        entries = [New(push.producer, push.sequence, push.data) for push in pushes[:count]]
        offsets = self.log.append_many(entries, generation=by)
        self.durable.update(push.data for push in pushes[:count])
        if count < len(pushes):
            raise Unavailable("not all of it")
        return offsets

    def look(self, start: int, count: int) -> list[tuple[int, bytes]]:
        try:
            return list(islice(self.log.read(start), count))
        except LostState as error:
            raise Wrong(str(error)) from error

    def run_call(self) -> None:
        work, then, generation = self.calls.popleft()
        fails = self.random.random() < 0.2
        if fails and self.random.random() < 0.5:
            result = None  # It fails before its effect.
        else:
            try:
                result = work()
            except Conflict:
                return
            except Unavailable:
                fails, result = True, None
        if not fails:
            then(result)
        elif generation == self.generation:
            self.calls.appendleft((work, then, generation))

    # -- clients -------------------------------------------------------------------------------------------------------

    def ask(self, client: Client) -> None:
        """A client that is new asks for its newest number, any other pushes, or pushes again."""
        if client.done is None:
            client.done = self.machine.last_sequence(client.name)
        elif not client.finished:
            number = client.done + 1
            self.push(client, number)
            while (
                number < len(client.actions) and client.actions[number].HasField("rows") and self.random.random() < 0.5
            ):
                number += 1  # It does not wait for the answer.
                self.push(client, number)

    def push(self, client: Client, number: int) -> None:
        self.pushes += 1
        action = client.actions[number - 1]
        self.requests[self.pushes] = (client.name, number)
        push = Push(self.pushes, client.name, number, action.SerializeToString(), action.HasField("rows"))
        self.carry_out(self.machine.push(push))

    def answer(self, push: Push, refusal: str | None) -> None:
        name, number = self.requests.pop(push.number)
        if refusal is not None:
            raise Wrong(f"{name} was refused: {refusal}")
        if push.data not in self.durable:
            raise Wrong(f"number {number} of {name} was acknowledged, but is not in the log")
        client = self.clients[name]
        if self.random.random() < 0.7 and client.done == number - 1:  # Else the answer is lost.
            client.done = number

    def waits(self, client: Client) -> bool:
        return any(name == client.name for name, _ in self.requests.values())

    # -- the engine ----------------------------------------------------------------------------------------------------

    def engine_reads(self) -> None:
        reader = self.engine.reader
        if reader is None:
            return
        match reader.read():
            case Idle():
                return
            case Rows(epoch, batch):
                self.show((epoch, batch))
            case End(epochs):
                self.engine.reader = None
                self.show((epochs, "end"))

    def show(self, what: tuple[int, Any]) -> None:
        """What is shown again, after a restore, must be what was shown before."""
        if self.engine.shown < len(self.outputs):
            if self.outputs[self.engine.shown] != what:
                raise Wrong(f"{self.outputs[self.engine.shown]} was shown, and now {what}")
        else:
            self.outputs.append(what)
        self.engine.shown += 1

    def checkpoint(self) -> None:
        reader = self.engine.reader
        if not self.any_checkpoint:
            self.checkpoints.clear()
        self.any_checkpoint = True
        self.checkpoints.append(Checkpoint(None if reader is None else reader.position(), self.engine.shown))
        del self.checkpoints[:-KEEP]
        kept = [{INPUT: None if each.position is None else each.position["offset"]} for each in self.checkpoints]
        ends = {INPUT: self.machine.end} if self.machine.known else {}
        self.log.trim(self.covered(kept, ends).get(INPUT, 0))

    # -- the run -------------------------------------------------------------------------------------------------------

    def run(self, faults: int = 12, steps: int = 6000) -> None:
        """Runs until everything has been shown.

        Raises:
            Wrong: Something was lost or repeated.
        """
        for _ in range(steps):
            if self.finished:
                break
            self.step()
            if self.faults < faults and self.random.random() < 0.03:
                self.faults += 1
                self.random.choice([self.start_engine, self.start_engine, self.start_agent, self.lose_client])()
        else:
            raise Wrong("it never ends")
        self.check()

    def check(self) -> None:
        """Each client's rows are there once, in their order, and the epochs never go back."""
        for name, client in self.clients.items():
            got = [row[1] for _, batch in self.outputs if isinstance(batch, list) for row in batch if row[0] == name]
            if got != list(range(sum(action.HasField("rows") for action in client.actions))):
                raise Wrong(f"of {name} came {got}")
        epochs = [epoch for epoch, _ in self.outputs]
        if epochs != sorted(epochs):
            raise Wrong(f"epochs came as {epochs}")

    @property
    def finished(self) -> bool:
        ended = all(client.finished for client in self.clients.values())
        return ended and self.engine.reader is None and self.engine.shown == len(self.outputs)

    def lose_client(self) -> None:
        client = self.clients[self.random.choice(CLIENTS)]
        client.done = None

    def step(self) -> None:
        choice = self.random.randrange(12)
        if choice < 3 and self.calls:
            self.run_call()
        elif choice < 5 and self.told:
            self.said.append((self.generation, self.engine.inbox(self.told.popleft())))
        elif choice < 7 and self.said:
            self.engine_said(*self.said.popleft())
        elif choice < 9:
            self.engine_reads()
        elif choice == 9 and self.random.random() < 0.3:
            self.checkpoint()
        elif choice == 10 and self.late:
            with contextlib.suppress(Conflict, Gap, Unavailable):
                self.late.pop(self.random.randrange(len(self.late)))()
        else:
            self.client_acts(self.clients[self.random.choice(CLIENTS)])

    def client_acts(self, client: Client) -> None:
        closes = client.name == "ann" and client.done == len(client.actions) - 1
        if closes and not self.clients["bob"].finished:
            return  # She closes the input when he has nothing more to push.
        if not self.waits(client) or self.random.random() < 0.05:  # Sometimes it does not wait for an answer.
            self.ask(client)

    def engine_said(self, generation: int, said: wire.Pushed) -> None:
        if said.HasField("offset"):
            self.carry_out(self.machine.taken(generation, said.offset))
        else:
            self.carry_out(self.machine.checked(generation, said.request, said.error))


class TakesFrom(Taking):
    """Takes for the engine of this simulation."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def take(self, inputs: Any, push: wire.Push) -> wire.Pushed:
        del inputs
        engine = self._engine

        class One:
            def reader(self, name: str) -> HandReader:
                del name
                return engine.reader_of()

        return super().take(One(), push)  # type: ignore[arg-type]


def actions(name: str, random: Random) -> list[wire.Push]:
    """What a client pushes: numbered rows; ann also ends epochs, and the input when bob has nothing more."""
    found: list[wire.Push] = []
    epoch = 0
    for number in range(random.randrange(3, 12)):
        found.append(rows(name, number))
        if name == "ann" and random.random() < 0.5:
            epoch += random.randrange(1, 3)
            found.append(wire.Push(input=INPUT, advance_to=epoch))
    if name == "ann":
        found.append(wire.Push(input=INPUT, close=True))
    return found


def rows(name: str, number: int) -> wire.Push:
    encoding, payload = encode([(name, number)])
    called = exchange_pb2.Encoding.Name(int(encoding))
    return wire.Push(input=INPUT, rows=wire.Rows(encoding=called, payload=payload))
