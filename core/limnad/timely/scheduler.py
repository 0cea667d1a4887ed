"""Which callback runs next on one worker: the vertices, their queues and their pending notifications (Naiad, 3.2).

Messages come before notifications, and of either the earliest first. A batch that a vertex sends is *queued*, never
delivered from within `send_by`, so a loop on one worker does not recurse. A batch for an exchanging connector joins the
outgoing buffer of its connector and time; when the buffer is flushed, it is combined, split, and handed out as
`Parcel`s for other workers.

Counts follow the paper's section 2.3: a send adds at its start, a callback subtracts at its end. What is counted is
one physical batch for one destination: an outgoing buffer counts once for each destination from when it opens, and when
it goes, the destinations that get nothing are subtracted.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, TypeVar

from limnad.batch import concat, size_bytes
from limnad.histogram import Histogram
from limnad.timely.context import Context
from limnad.timely.counters import StageCounters, connector_counters
from limnad.timely.ending import Ending
from limnad.timely.graph import Connector, LogicalGraph, Stage
from limnad.timely.notifications import Requests
from limnad.timely.order import ranks
from limnad.timely.progress import ProgressBuffer
from limnad.timely.reachability import Locations
from limnad.timely.timestamp import END, TOP, Timestamp
from limnad.timely.tracker import Tracker
from limnad.timely.vertex import Vertex, wants_completions

COALESCE_BYTES = 1 << 20
"""An outgoing buffer goes when it holds this much. Larger batches cost less each, smaller ones keep others busy."""

MERGE_BYTES = 1 << 18
"""Waiting batches up to this size are merged into one `on_recv`: a callback costs the same for 10 rows and 10,000."""

T = TypeVar("T")


class VertexFailure(Exception):
    """User code raised in a callback; the cause is what it raised.

    Attributes:
        stage: The stage's name.
        worker: Where.
        time: The callback's time, or None at the start.
        callback: Which callback.
    """

    def __init__(self, stage: str, worker: int, time: Timestamp | None, callback: str) -> None:
        at = f" at time {time}" if time is not None else ""
        super().__init__(f"stage {stage!r} failed in {callback} on worker {worker}{at}")
        self.stage, self.worker, self.time, self.callback = stage, worker, time, callback


@dataclass(frozen=True, slots=True)
class Parcel:
    """A part of a batch for another worker."""

    worker: int
    connector: int
    time: Timestamp
    batch: Any


class Scheduler:
    """The physical graph of one worker and its run queue.

    Events come in by `start`, `deliver`, `feed`, `hold`, `release` and `frontier_changed`; `step` runs one callback;
    `flush` yields what must go to other workers; count changes go into the `ProgressBuffer`.

    Attributes:
        queued_bytes: Estimated size of all batches that wait on this worker, `queued_batches` in number.
        buffered_bytes: That of all outgoing buffers.
        counters: By stage.
        connector_counters: By connector.
        loops: The trips round each loop, by the loop's name.
        notification_delays: From when a frontier moved at a stage until the notification ran that became due by it.
        vertices: By stage; None where a stage has none.
        queues: The batches that wait, with their sizes, by connector and time.
        requests: The notifications that are owed and not due yet, by stage.
        due_capabilities: The capabilities of those that are due, by stage and guarantee.
        completed: For each stage that wants to know, how many epochs it has been told to be complete.
    """

    def __init__(
        self,
        graph: LogicalGraph,
        locations: Locations,
        view: Tracker,
        progress: ProgressBuffer,
        worker: int,
        workers: int,
        publish: Callable[[str, int, Any], None],
        clock_ns: Callable[[], int],
        generation: int = 1,
        job: str = "job",
    ) -> None:
        self.graph = graph
        self.worker = worker
        self.workers = workers
        self.generation = generation
        self.job = job
        self.queued_bytes = self.queued_batches = 0
        self.buffered_bytes = 0
        self.counters = [StageCounters() for _ in graph.stages]
        self.connector_counters, self.loops = connector_counters(graph)
        self.notification_delays = Histogram()
        self.vertices: list[Vertex | None] = [None for _ in graph.stages]
        self.epochs_opened = 0
        self.publish = publish
        self._clock_ns = clock_ns
        self._locations = locations
        self._view = view
        self.progress = progress
        self._ranks = ranks(locations)
        self.queues: dict[tuple[int, Timestamp], list[tuple[Any, int]]] = {}
        self._ready: list[tuple[Timestamp, int, int]] = []
        self._buffers: dict[tuple[int, Timestamp], _Buffer] = {}
        self._full: set[tuple[int, Timestamp]] = set()
        self.requests = [Requests() for _ in graph.stages]
        self._due: list[tuple[Timestamp, int, int, int]] = []
        self.due_capabilities: dict[tuple[int, Timestamp], set[Timestamp]] = {}
        self._unchecked: dict[int, int] = {}
        self.completed: dict[int, int] = {}
        self.notifying = False
        self._ending = Ending(graph, locations, view)

    # -- the vertices ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Makes the vertices.

        Raises:
            VertexFailure: A factory raised.
        """
        for stage in self.graph.stages:
            if stage.factory is None:
                continue
            context = Context(self, stage)
            try:
                vertex = stage.factory()
                vertex._context = context
            except Exception as error:
                raise VertexFailure(stage.name, self.worker, None, "the vertex factory") from error
            self.vertices[stage.index] = vertex
            if wants_completions(vertex):
                self.completed[stage.index] = 0
                self._unchecked[stage.index] = self._clock_ns()

    # -- events ------------------------------------------------------------------------------------------------------

    def deliver(self, connector: int, time: Timestamp, batch: Any, size: int | None = None) -> None:
        """A batch has arrived on a connector; its sender has counted it."""
        place = (connector, time)
        bytes_held = size_bytes(batch) if size is None else size
        self.queued_bytes += bytes_held
        self.queued_batches += 1
        self.connector_counters[connector].arrived_bytes += bytes_held
        queue = self.queues.get(place)
        if queue is None:
            self.queues[place] = [(batch, bytes_held)]
            if time[0] == END and self.graph.connectors[connector].target.index in self.completed:
                self._look_for_end()
                if not self._ending.come:
                    self._ending.held.append(place)
                    return
            heappush(self._ready, (time, self._ranks[connector], connector))
        else:
            queue.append((batch, bytes_held))

    def hold(self, stage: Stage, epoch: int) -> None:
        """An input takes a capability for an epoch, before it gives up an earlier one."""
        self.progress.add(self._locations.of_stage(stage), (epoch,), 1)

    def release(self, stage: Stage, epoch: int) -> None:
        """An input gives up its capability for an epoch."""
        self.progress.add(self._locations.of_stage(stage), (epoch,), -1)

    def feed(self, stage: Stage, batch: Any, epoch: int) -> None:
        """An input that holds a capability for ``epoch`` sends a batch."""
        self.open_epochs(epoch + 1)
        self._send(stage, 0, batch, (epoch,))

    def open_epochs(self, epochs: int) -> None:
        """At least so many epochs are known to exist; sinks whose inputs have all ended look again."""
        if epochs > self.epochs_opened:
            self.epochs_opened = epochs
            now_ns = self._clock_ns()
            for stage_index in self.completed:
                self._unchecked.setdefault(stage_index, now_ns)

    def frontier_changed(self, locations: Iterable[int]) -> None:
        """The view's frontier moved at these locations: requests there may have become due."""
        connectors = self.graph.connectors
        for location in locations:
            if location < len(connectors):
                target = connectors[location].target.index
                if target not in self._unchecked and (self.requests[target] or target in self.completed):
                    self._unchecked[target] = self._clock_ns()
        self._look_for_end()

    def _look_for_end(self) -> None:
        """All inputs may have ended: then the number of the last epoch is known, and sinks may have its rows."""
        if self.notifying and self._ending.comes():
            for connector, time in self._ending.held:
                heappush(self._ready, (time, self._ranks[connector], connector))
            self._unchecked = dict.fromkeys(self.completed, self._clock_ns()) | self._unchecked

    # -- running -----------------------------------------------------------------------------------------------------

    @property
    def has_messages(self) -> bool:
        """Whether a batch waits."""
        return bool(self._ready)

    @property
    def quiet(self) -> bool:
        """Whether no batch waits, no outgoing buffer is open and no notification is due."""
        return not (self._ready or self._buffers or self._due or self._unchecked)

    def step(self) -> bool:
        """Runs one callback; False if there is none to run.

        Raises:
            VertexFailure: The callback raised.
        """
        if self._ready:
            self._run_message()
            return True
        if not self.notifying:
            return False
        if self._unchecked:
            self._find_due()
        if self._due:
            self._run_notification()
            return True
        return False

    def next_message_time(self) -> Timestamp | None:
        """The time of the batch that is next, None if none waits."""
        return self._ready[0][0] if self._ready else None

    def _run_message(self) -> None:
        time, _, connector_index = heappop(self._ready)
        place = (connector_index, time)
        batches = self.queues.pop(place)
        taken = _mergeable(batches)
        if taken < len(batches):
            self.queues[place] = batches[taken:]
            heappush(self._ready, (time, self._ranks[connector_index], connector_index))
        connector = self.graph.connectors[connector_index]
        at_sink = time[0] == END and connector.target.index in self.completed
        self._receive(connector, (self.epochs_opened,) if at_sink else time, [batch for batch, _ in batches[:taken]])
        taken_bytes = batches[0][1] if taken == 1 else sum(size for _, size in batches[:taken])
        self.queued_bytes -= taken_bytes
        self.queued_batches -= taken
        counters = self.connector_counters[connector_index]
        counters.bytes += taken_bytes
        counters.batches += taken
        if counters.trips is not None:
            counters.trips.reached(time)
        self.progress.add(connector_index, time, -taken)

    def _receive(self, connector: Connector, time: Timestamp, batches: list[Any]) -> None:
        stage = connector.target
        vertex = self.vertices[stage.index]
        assert vertex is not None
        counters = self.connector_counters[connector.index]

        def receive() -> None:
            batch = batches[0] if len(batches) == 1 else concat(batches)
            counters.rows += len(batch)
            vertex.on_recv(connector.input, batch, time)

        self._call(stage, "on_recv", time, () if connector.input in stage.quiet else (time,), receive)

    def _find_due(self) -> None:
        self._look_for_end()
        implied = self._view.implied
        for index, since_ns in self._unchecked.items():
            frontiers = [implied[connector.index] for connector in self.graph.inputs[index]]
            rank = self._ranks[len(self.graph.connectors) + index]
            for guarantee, capabilities in self.requests[index].take_ready(frontiers):
                heappush(self._due, (guarantee, rank, index, since_ns))
                self.due_capabilities[index, guarantee] = capabilities
            if index in self.completed and self._complete(index) > self.completed[index]:
                heappush(self._due, (TOP, rank, index, since_ns))
        self._unchecked.clear()

    def _complete(self, stage_index: int) -> int:
        """How many epochs are complete at the inputs of a stage outside all loops.

        A vertex may send into epochs that never come; these do not exist. The end is one epoch more.
        """
        frontiers = [self._view.implied[connector.index].frontier for connector in self.graph.inputs[stage_index]]
        least = [frontier[0][0] for frontier in frontiers if frontier]
        return min([self.epochs_opened + (self._ending.come and not least), *least])

    def _run_notification(self) -> None:
        guarantee, _, index, since_ns = heappop(self._due)
        stage = self.graph.stages[index]
        vertex = self.vertices[index]
        assert vertex is not None
        if guarantee is TOP:
            self._run_completion(stage, vertex)
            return
        times = [guarantee]
        began_ns = self._clock_ns()
        self.notification_delays.add(began_ns - since_ns)
        capabilities = self.due_capabilities.pop((index, guarantee))
        held = list(capabilities)
        if type(vertex).on_frontier is not Vertex.on_frontier:
            for other, since_ns in self._take_due_of(index):
                times.append(other)
                self.notification_delays.add(began_ns - since_ns)
                held.extend(self.due_capabilities.pop((index, other)))
        usable = tuple({capability for capability in held if capability is not TOP})
        self.counters[index].notifications += len(times)
        self._call(stage, "on_notify", guarantee, usable, lambda: vertex.on_frontier(times))
        location = self._locations.of_stage(stage)
        for capability in held:
            if capability is not TOP:
                self.progress.add(location, capability, -1)

    def _take_due_of(self, index: int) -> list[tuple[Timestamp, int]]:
        """Removes and returns all other due times of one stage, and since when they are due, earliest first."""
        taken = sorted(entry for entry in self._due if entry[2] == index and entry[0] is not TOP)
        if taken:
            self._due = sorted(entry for entry in self._due if entry[2] != index or entry[0] is TOP)
        return [(time, since_ns) for time, _, _, since_ns in taken]

    def vertex_of(self, stage: str) -> Vertex:
        """This worker's vertex of a stage."""
        vertex = self.vertices[self.graph.stage(stage).index]
        assert vertex is not None, f"the stage {stage!r} has no vertex"
        return vertex

    def input_frontier(self, stage: Stage, port: int, depth: int) -> tuple[Timestamp, ...]:
        """The frontier at an input port; the least one before all workers' initial counts are known."""
        if not self.notifying:
            return ((0,) * depth,)
        return tuple(self._view.implied[self.graph.inputs[stage.index][port].index].frontier)

    def _run_completion(self, stage: Stage, vertex: Vertex) -> None:
        epochs = self._complete(stage.index)
        if epochs > self.completed[stage.index]:
            fresh = range(self.completed[stage.index], epochs)
            self.completed[stage.index] = epochs
            self.outside_time(stage, "on_complete", vertex.on_complete, fresh)

    def outside_time(self, stage: Stage, callback: str, run: Callable[..., T], *arguments: Any) -> T:
        """Runs a callback that holds no capability.

        Raises:
            VertexFailure: It raised.
        """
        answers: list[T] = []
        self._call(stage, callback, None, (), lambda: answers.append(run(*arguments)))
        return answers[0]

    def _call(
        self,
        stage: Stage,
        callback: str,
        time: Timestamp | None,
        capabilities: tuple[Timestamp, ...],
        run: Callable[[], None],
    ) -> None:
        context = self.vertices[stage.index]._context  # type: ignore[union-attr]
        assert isinstance(context, Context)
        context.capabilities = capabilities
        began_ns = self._clock_ns()
        try:
            run()
        except VertexFailure:
            raise
        except Exception as error:
            raise VertexFailure(stage.name, self.worker, time, callback) from error
        finally:
            context.capabilities = None
            self.counters[stage.index].busy_ns += self._clock_ns() - began_ns

    # -- sending -----------------------------------------------------------------------------------------------------

    def _send(self, stage: Stage, port: int, batch: Any, time: Timestamp) -> None:
        rows = len(batch)
        if not rows:
            return
        self.counters[stage.index].rows_out += rows
        for route in self.graph.routes[stage.index][port]:
            moved = route.summary(time) if route.summary else time
            connector = route.connector
            if connector.combine is None and (connector.partition is None or self.workers == 1):
                self.progress.add(connector.index, moved, 1)
                self.deliver(connector.index, moved, batch)
            else:
                self._buffer(connector, moved, batch)

    def _buffer(self, connector: Connector, time: Timestamp, batch: Any) -> None:
        place = (connector.index, time)
        buffer = self._buffers.get(place)
        if buffer is None:
            buffer = self._buffers[place] = _Buffer([], 0)
            self.progress.add(connector.index, time, self.destinations(connector))
        held_bytes = size_bytes(batch)
        buffer.batches.append(batch)
        buffer.size_bytes += held_bytes
        self.buffered_bytes += held_bytes
        if buffer.size_bytes >= COALESCE_BYTES:
            self._full.add(place)

    def destinations(self, connector: Connector) -> int:
        """How many physical batches an open buffer stands for: one for each worker that may get a part.

        Counting it as one and adding the rest when it is split is *not* safe: a receiver's removal of its part would
        cancel the buffer's own count before the other parts are known (the simulation shows it).
        """
        return 1 if connector.partition is None else self.workers

    def flush_full(self) -> list[Parcel]:
        """Empties the outgoing buffers that have grown to `COALESCE_BYTES` and do not shrink by being combined."""
        if not self._full:
            return []
        full, self._full = self._full, set()
        return [parcel for place in full if self._stays_full(place) for parcel in self._parcels(place)]

    def flush(self, before_epoch: int | None = None) -> list[Parcel]:
        """Empties all outgoing buffers, or those of epochs before one."""
        places = [place for place in self._buffers if before_epoch is None or place[1][0] < before_epoch]
        self._full.difference_update(places)
        return [parcel for place in places for parcel in self._parcels(place)]

    def _stays_full(self, place: tuple[int, Timestamp]) -> bool:
        buffer = self._buffers[place]
        combine = self.graph.connectors[place[0]].combine
        if combine is None or len(buffer.batches) == 1:
            return True
        combined = combine(concat(buffer.batches))
        self._buffers[place] = smaller = _Buffer([combined], size_bytes(combined))
        self.buffered_bytes += smaller.size_bytes - buffer.size_bytes
        return smaller.size_bytes >= COALESCE_BYTES // 2

    def _parcels(self, place: tuple[int, Timestamp]) -> list[Parcel]:
        index, time = place
        connector = self.graph.connectors[index]
        buffer = self._buffers.pop(place)
        self.buffered_bytes -= buffer.size_bytes
        try:
            parts = [(worker, part) for worker, part in self._split(connector, buffer.batches) if len(part)]
        except Exception as error:
            callback = f"what goes to stage {connector.target.name!r}"
            raise VertexFailure(connector.source.name, self.worker, time, callback) from error
        self.progress.add(index, time, len(parts) - self.destinations(connector))
        parcels = []
        for worker, part in parts:
            if worker == self.worker:
                self.deliver(index, time, part)
            else:
                parcels.append(Parcel(worker, index, time, part))
        return parcels

    def _split(self, connector: Connector, batches: list[Any]) -> list[tuple[int, Any]]:
        """Combines an outgoing buffer and splits it by destination; here the user's key functions run."""
        whole = concat(batches) if len(batches) > 1 else batches[0]
        if connector.combine is not None:
            whole = connector.combine(whole)
        if connector.partition is None or self.workers == 1:
            return [(self.worker, whole)]
        return list(connector.partition.split(whole, self.workers))

    def request(self, stage: Stage, guarantee: Timestamp, capability: Timestamp) -> None:
        """A vertex is owed a notification; its capability counts from now on."""
        due = self.due_capabilities.get((stage.index, guarantee))
        if due is not None:  # The call is about to be made, and will be for this request too.
            fresh = capability not in due
            due.add(capability)
        elif fresh := self.requests[stage.index].add(guarantee, capability):
            self._unchecked.setdefault(stage.index, self._clock_ns())
        if fresh and capability is not TOP:
            self.progress.add(self._locations.of_stage(stage), capability, 1)


@dataclass(slots=True)
class _Buffer:
    batches: list[Any]
    size_bytes: int


def _mergeable(batches: list[tuple[Any, int]]) -> int:
    """How many waiting batches one `on_recv` takes."""
    total, taken = 0, 0
    for _, size in batches:
        total += size
        if taken and total > MERGE_BYTES:
            break
        taken += 1
    return taken
