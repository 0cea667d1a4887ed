"""What the golden scripts say to workers: real machines, moved one step at a time, nothing left to chance.

    flow NAME workers=N [inputs=N] [budget=BYTES] [accumulation=none]
    start W | start all                 makes the vertices; says the initial counts (all: and delivers them)
    push W [1,2] | advance W EPOCH | close W         what worker W's source has next
    step W                              one step: a callback, a read or a flush
    run W                               steps until there is nothing to do; with `all`: all workers and all links
    deliver data|progress|ack A->B      the oldest message of a link
    checkpoint W NUMBER                 what the leader says
    show view W | unsent W | frontier W STAGE | requests W | queues | links

An exchanging connector is written ``a => b``, another ``a -> b``, the capabilities of a stage by its name alone. After
each command the invariants of the protocol are checked, as in the simulation.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from limnad import Flow, Timestamp
from limnad.cluster.effects import Ack, Captured, Data, Effect, LogCut, Marker, Progress, Publish
from limnad.cluster.worker import Worker
from limnad.connectors.hand import HandReader
from limnad.testing import Call, Invariants, Trace
from limnad.testing.invariants import RecordingBuffer
from limnad.timely.graph import StageKind
from limnad.timely.progress import Accumulation
from limnad.timely.snapshot import Snapshot
from limnad.timely.tracker import Update
from tests.helpers.golden import ScriptError
from tests.helpers.talk_flows import FLOWS, Describe, EachWorkers

INPUT = "numbers"


class Observer(Invariants):
    """Checks the invariants, and writes down each change of a count as it happens."""

    def __init__(self, workers: list[Worker], in_flight_to: Callable[[int], Iterable[Progress]]) -> None:
        super().__init__(workers, in_flight_to)
        self.changes: list[Update] = []

    def happened(self, location: int, time: Timestamp, delta: int) -> None:
        self.changes.append((location, time, delta))
        super().happened(location, time, delta)


class WorkersTalk:
    """A cluster that does what it is told. Call it with a command."""

    def __init__(self, flows: Mapping[str, Describe] = FLOWS) -> None:
        self.flows = flows
        self.workers: list[Worker] = []
        self.links: dict[tuple[int, int, str], deque[Any]] = {}
        self.trace = Trace()
        self.heard: list[str] = []

    def __call__(self, command: str) -> list[str]:
        verb, *words = command.split()
        known: dict[str, Callable[..., list[str]]] = {
            "flow": self.flow,
            "start": self.start,
            "push": self.push,
            "advance": self.advance,
            "close": self.close,
            "step": self.step,
            "run": self.run,
            "deliver": self.deliver,
            "checkpoint": self.checkpoint,
            "show": self.show,
        }
        if verb not in known:
            raise ScriptError(f"there is no command {verb!r}")
        answer = known[verb](*words)
        for worker in self.workers:
            self.observer.check(worker.index)
        return answer

    # -- commands ------------------------------------------------------------------------------------------------------

    def flow(self, name: str, *options: str) -> list[str]:
        given = dict(option.split("=") for option in options)
        count = int(given["workers"])
        flow = Flow()
        self.flows[name](flow, flow.read(EachWorkers(int(given.get("inputs", count)), self.heard), INPUT))
        built = flow.build()
        self.workers = [
            Worker(
                built.graph,
                index,
                count,
                built.sources,
                Accumulation(given.get("accumulation", "local")),
                budget_bytes=int(given.get("budget", 1 << 20)),
            )
            for index in range(count)
        ]
        self.observer = Observer(self.workers, self._on_the_way)
        for worker in self.workers:
            RecordingBuffer.install(worker, self.observer)
        holders = [
            self.place(len(built.graph.connectors) + stage.index)
            for stage in built.graph.stages
            if worker.locations.holds_capabilities(stage)
        ]
        hops = [self.place(edge.index) for edge in built.graph.connectors if not edge.target.is_system]
        return [f"messages wait on: {', '.join(hops)}", f"capabilities are held at: {', '.join(holders)}"]

    def start(self, who: str) -> list[str]:
        if who != "all":
            worker = self._worker(who)
            worker.start()
            self.trace.watch(worker)
            return self._done(worker)
        for worker in self.workers:
            self.start(str(worker.index))
        self._settle_links()
        return []

    def push(self, who: str, *rows: str) -> list[str]:
        self._feed(who, lambda reader: reader.on_next(json.loads("".join(rows))))
        return []

    def advance(self, who: str, epoch: str) -> list[str]:
        self._feed(who, lambda reader: reader.advance_to(int(epoch)))
        return []

    def close(self, who: str) -> list[str]:
        self._feed(who, lambda reader: reader.close())
        return []

    def step(self, who: str) -> list[str]:
        worker = self._worker(who)
        before = len(self.trace.calls)
        did = worker.step()
        told = [self._call(call) for call in self.trace.calls[before:]]
        told += self._done(worker)
        if worker.waiting_for_credit and not told:
            return ["its source has to wait"]
        return told or ["flushes" if did else "nothing to do" + (", ever again" if worker.finished else "")]

    def run(self, who: str) -> list[str]:
        if who == "all":
            return self._run_all()
        told = self.step(who)
        while not told[-1].startswith(_RESTS):
            told += self.step(who)
        return told

    def deliver(self, stream: str, link: str) -> list[str]:
        sender, receiver = map(int, link.split("->"))
        waiting = self.links.get((sender, receiver, stream))
        if not waiting:
            raise ScriptError(f"nothing waits on the {stream} link {link}")
        message = waiting.popleft()
        self._receive(self.workers[receiver], sender, message)
        return [f"worker {receiver} gets {self._message(message)}", *self._done(self.workers[receiver])]

    def checkpoint(self, who: str, number: str) -> list[str]:
        worker = self._worker(who)
        worker.begin_checkpoint(int(number))
        return self._done(worker)

    def show(self, what: str, *words: str) -> list[str]:
        match what, words:
            case "view", (who,):
                return self._counts(self._worker(who).view.occurrences()) or ["nothing is outstanding"]
            case "unsent", (who,):
                return self._counts(self._worker(who).buffer._deltas) or ["nothing"]
            case "frontier", (who, *stage):
                frontier = self._worker(who).frontier(" ".join(stage))
                return ["not all workers have been heard"] if frontier is None else [_times(frontier)]
            case "requests", (who,):
                return self._requests(self._worker(who)) or ["none"]
            case "queues", ():
                return self._queues() or ["nothing waits"]
            case "links", ():
                return self._links() or ["nothing is on its way"]
            case _:
                raise ScriptError(f"cannot show {what!r} of {words}")

    # -- the network ---------------------------------------------------------------------------------------------------

    def _on_the_way(self, receiver: int) -> list[Progress]:
        return [
            message
            for (_, to, stream), waiting in self.links.items()
            if to == receiver and stream == "progress"
            for message in waiting
        ]

    def _route(self, sender: int, effect: Effect) -> None:
        match effect:
            case Data() | Ack() | Marker():
                stream = "ack" if isinstance(effect, Ack) else "data"
                self.links.setdefault((sender, effect.peer, stream), deque()).append(effect)
            case Progress():
                for peer in range(len(self.workers)):
                    if peer != sender:
                        self.links.setdefault((sender, peer, "progress"), deque()).append(effect)
            case Publish() | Captured():
                pass

    @staticmethod
    def _receive(worker: Worker, sender: int, message: Any) -> None:
        match message:
            case Data(_, sequence, connector, time, batch):
                worker.data_arrived(sender, sequence, connector, time, batch)
            case Progress():
                worker.progress_arrived(sender, message)
            case Ack():
                worker.ack_arrived(sender, message)
            case Marker(_, sequence, checkpoint):
                worker.marker_arrived(sender, sequence, checkpoint)

    def _settle_links(self) -> None:
        for (sender, receiver, _), waiting in sorted(self.links.items()):
            while waiting:
                self._receive(self.workers[receiver], sender, waiting.popleft())

    def _run_all(self) -> list[str]:
        """All workers in turn, all links at once; tells only callbacks and what is published."""
        told: list[str] = []
        busy = True
        while busy:
            busy = False
            for worker in self.workers:
                lines = self.step(str(worker.index))
                busy = busy or not lines[-1].startswith(_RESTS)
                told += [f"worker {worker.index}: {line}" for line in lines if line.startswith(("on_", "publishes"))]
            busy = busy or any(self.links.values())
            self._settle_links()
        if all(worker.finished for worker in self.workers):
            self.observer.check_quiescent()
            told.append("all workers know that nothing can ever happen again")
        return told

    def _feed(self, who: str, feed: Callable[[HandReader], None]) -> None:
        worker = self._worker(who)
        reader = worker.inputs.reader(INPUT)
        assert isinstance(reader, HandReader)
        feed(reader)
        worker.wake()

    def _worker(self, who: str) -> Worker:
        return self.workers[int(who)]

    # -- in words ------------------------------------------------------------------------------------------------------

    def _done(self, worker: Worker) -> list[str]:
        """What a worker did since the last command: read, count, send."""
        told, self.heard[:] = list(self.heard), []
        changes, self.observer.changes = self.observer.changes, []
        told += [f"counts {self.point(location, time)} {delta:+}" for location, time, delta in changes if delta]
        for effect in worker.take_effects():
            self._route(worker.index, effect)
            match effect:
                case Publish(output, epoch, batch):
                    told.append(f"publishes {output}, epoch {epoch}: {batch}")
                case Progress():
                    told.append(f"tells all: {self._message(effect)}")
                case Captured(checkpoint, snapshot):
                    told.append(f"captures its part of checkpoint {checkpoint}:")
                    told += [f"    {line}" for line in self._captured(snapshot)]
                case LogCut(key, cut):
                    told.append(f"logs that {key} goes on to epoch {cut.epoch}")
                case _:
                    told.append(f"sends to worker {effect.peer}: {self._message(effect)}")
        return told

    def _captured(self, snapshot: Snapshot) -> list[str]:
        told = [
            f"{waiting.batch} waits on {self.point(waiting.connector, waiting.time)}" for waiting in snapshot.waiting
        ]
        told += [
            f"{request.stage} is owed a notification at {_time(request.guarantee)}" for request in snapshot.requests
        ]
        told += [f"{stage} holds {held}" for stage, held in snapshot.custom.items()]
        for (stage, _), partition in snapshot.partitions.items():
            told.append(f"the input {stage} stands at epoch {partition.epoch}, after {partition.position}")
        return told

    @staticmethod
    def _call(call: Call) -> str:
        match call.callback:
            case "on_recv":
                return f"on_recv at {call.stage}: {call.batch} at {_time(call.time)}"
            case "on_complete":
                return f"on_complete at {call.stage}: epochs {', '.join(map(str, call.time))}"
            case _:
                return f"{call.callback} at {call.stage}: {_time(call.time)}"

    def _message(self, message: Any) -> str:
        match message:
            case Data(_, sequence, connector, time, batch):
                return f"data {sequence}: {batch} on {self.point(connector, time)}"
            case Progress(sequence, updates, epochs):
                what = "; ".join(f"{self.point(place, time)} {delta:+}" for place, time, delta in sorted(updates))
                return f"progress {sequence}: {what or 'no counts'} ({_epochs(epochs)})"
            case Ack(_, received, queued_bytes):
                return f"ack: {received} received, {queued_bytes} bytes wait"
            case Marker(_, sequence, checkpoint):
                return f"data {sequence}: the marker of checkpoint {checkpoint}"
        raise AssertionError(message)

    def place(self, location: int) -> str:
        graph = self.workers[0].graph
        if location < len(graph.connectors):
            edge = graph.connectors[location]
            sources = [
                stage.name
                for stage in graph.stages
                for port in (graph.routes[stage.index] if stage.kind not in _SYSTEM else [])
                for route in port
                if route.connector is edge
            ]
            return f"{'/'.join(dict.fromkeys(sources))} {'=>' if edge.partition else '->'} {edge.target.name}"
        return graph.stages[location - len(graph.connectors)].name

    def point(self, location: int, time: Timestamp) -> str:
        at = "on" if location < len(self.workers[0].graph.connectors) else "at"
        return f"{_time(time)} {at} {self.place(location)}"

    def _counts(self, counts: dict[tuple[int, Timestamp], int]) -> list[str]:
        return [f"{self.point(*place)}: {count:+}" for place, count in sorted(counts.items())]

    def _requests(self, worker: Worker) -> list[str]:
        return [
            f"{stage.name} at {_time(guarantee)}"
            for stage in worker.graph.stages
            for guarantee, _ in worker.scheduler.requests[stage.index].items()
        ]

    def _queues(self) -> list[str]:
        told = []
        for worker in self.workers:
            for place, queue in sorted(worker.scheduler.queues.items()):
                told += [f"worker {worker.index}: {batch} waits on {self.point(*place)}" for batch, _ in queue]
            for place, buffer in sorted(worker.scheduler._buffers.items()):
                told.append(f"worker {worker.index}: {buffer.batches} in the outgoing buffer of {self.point(*place)}")
        return told

    def _links(self) -> list[str]:
        return [
            f"{sender}->{receiver}: {self._message(message)}"
            for (sender, receiver, _), waiting in sorted(self.links.items())
            for message in waiting
        ]


_RESTS = ("nothing to do", "its source has to wait")
_SYSTEM = (StageKind.INGRESS, StageKind.EGRESS, StageKind.FEEDBACK)


def _time(time: Timestamp) -> str:
    return f"({', '.join(map(str, time))})"


def _epochs(number: int) -> str:
    return f"{number} epoch" if number == 1 else f"{number} epochs"


def _times(times: list[Timestamp]) -> str:
    return ", ".join(map(_time, times)) or "nothing can arrive any more"
