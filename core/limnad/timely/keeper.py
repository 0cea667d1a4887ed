"""What one worker's vertices hold and are owed: taken for a checkpoint, given back by a restore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from limnad.timely.graph import Connector, LogicalGraph, Stage
from limnad.timely.scheduler import Scheduler
from limnad.timely.snapshot import Part, Request, Snapshot, StateCapture, Waiting, share_of
from limnad.timely.state import Piece, Share, State, StateError, TimedBatches, states_of, undeclared
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex


class Keeper:
    """Looks after what is on one worker.

    Args:
        graph: The job's graph.
        scheduler: It has been started: its vertices are there.
    """

    def __init__(self, graph: LogicalGraph, scheduler: Scheduler) -> None:
        self._graph = graph
        self._scheduler = scheduler
        self._worker = scheduler.worker
        self._workers = scheduler.workers
        self._vertices = [
            (stage, vertex, states_of(vertex, stage.name))
            for stage, vertex in zip(graph.stages, scheduler.vertices, strict=True)
            if vertex is not None
        ]
        self._fullest: dict[tuple[int, Timestamp | None], int] = {}

    def check_declared(self) -> None:
        """Checks that vertices declare what they seem to remember.

        Raises:
            StateError: An attribute looks like state and is none.
        """
        for stage, vertex, _ in self._vertices:
            declares_itself = vertex.stateless or type(vertex).checkpoint is not Vertex.checkpoint
            if declares_itself or type(vertex).__module__.startswith("limnad."):
                continue
            if found := undeclared(vertex):
                kept = ", ".join(f"self.{name}" for name in found)
                raise StateError(
                    f"stage {stage.name!r} keeps {kept}, which a checkpoint would lose: make it a limnad.KeyedState or "
                    "limnad.TimedBatches, give the vertex checkpoint() and restore(), or say `stateless = True` in its "
                    "class if nothing of it matters after a restart"
                )

    def state_bytes(self) -> dict[str, int]:
        """About how much memory each stage's declared state takes here; only of stages that have some."""
        return {
            stage.name: sum(state.size_bytes() for state in states.values())
            for stage, _, states in self._vertices
            if states
        }

    # -- taking --------------------------------------------------------------------------------------------------------

    def capture(self, snapshot: Snapshot) -> None:
        """Adds all that the vertices hold and are owed, by reference. No outgoing buffer may be open.

        Raises:
            VertexFailure: A vertex's own `checkpoint` raised.
        """
        scheduler = self._scheduler
        snapshot.epochs_opened = scheduler.epochs_opened
        snapshot.waiting.extend(
            Waiting(connector, time, batch)
            for (connector, time), batches in scheduler.queues.items()
            for batch, _ in batches
        )
        snapshot.requests.extend(self._requests())
        for index, epochs in scheduler.completed.items():
            snapshot.completed[self._graph.stages[index].name] = epochs
        for stage, vertex, states in self._vertices:
            for name, state in states.items():
                snapshot.states[stage.name, name] = StateCapture(state.version, state.capture())
            if type(vertex).checkpoint is not Vertex.checkpoint:
                snapshot.custom[stage.name] = scheduler.outside_time(stage, "checkpoint", vertex.checkpoint)

    def _requests(self) -> list[Request]:
        """All that is owed, what is due already included."""
        owed = [
            (stage.index, guarantee, capabilities)
            for stage in self._graph.stages
            for guarantee, capabilities in self._scheduler.requests[stage.index].items()
        ]
        owed += [(index, time, frozenset(held)) for (index, time), held in self._scheduler.due_capabilities.items()]
        return [
            Request(self._graph.stages[index].name, guarantee, capability)
            for index, guarantee, capabilities in owed
            for capability in sorted(capabilities)
        ]

    def committed(self, snapshot: Snapshot) -> None:
        """The checkpoint that this worker's snapshot went into is durable.

        Raises:
            VertexFailure: A vertex's `on_commit` raised.
        """
        for stage, vertex, states in self._vertices:
            for name, state in states.items():
                state.committed(snapshot.states[stage.name, name].capture)
            if stage.name in snapshot.completed:
                self._scheduler.outside_time(stage, "on_commit", vertex.on_commit, snapshot.completed[stage.name])

    def forget(self) -> None:
        """What was committed is lost: the next capture has to hold everything."""
        for _, _, states in self._vertices:
            for state in states.values():
                state.forget()

    def started(self) -> None:
        """Tells the vertices that they have all that they will be given.

        Raises:
            VertexFailure: A vertex's `on_start` raised.
        """
        for stage, vertex, _ in self._vertices:
            if type(vertex).on_start is not Vertex.on_start:
                self._scheduler.outside_time(stage, "on_start", vertex.on_start)

    # -- giving back ---------------------------------------------------------------------------------------------------

    def restore(self, parts: Sequence[Part]) -> None:
        """Takes over this worker's share of a checkpoint, before anything has happened.

        Raises:
            StateError: A state cannot be restored, or cannot change its number of workers.
            VertexFailure: A vertex's own `restore` raised.
        """
        scheduler = self._scheduler
        same = len(parts) == self._workers
        self._fullest = {} if same else self._find_fullest(parts)
        scheduler.open_epochs(max(part.epochs_opened for part in parts))
        for part in parts:
            for waiting in part.waiting:
                connector = self._graph.connectors[waiting.connector]
                mine = self._share(part, connector, waiting.time, waiting.batch)
                if mine is not None:
                    scheduler.progress.add(connector.index, waiting.time, 1)
                    scheduler.deliver(connector.index, waiting.time, mine)
            if not same or part.worker == self._worker:
                for request in part.requests:
                    scheduler.request(self._graph.stage(request.stage), request.guarantee, request.capability)
        for index in scheduler.completed:
            counts = [part.completed.get(self._graph.stages[index].name, 0) for part in parts]
            scheduler.completed[index] = counts[self._worker] if same else min(counts)
        for stage, vertex, states in self._vertices:
            self._restore_states(stage, states, parts)
            self._restore_custom(stage, vertex, parts)

    def _share(self, part: Part, connector: Connector, time: Timestamp | None, batch: Any) -> Any | None:
        copied_from = self._fullest.get((connector.index, time))
        return share_of(connector.partition, batch, part.worker, part.workers, self._worker, self._workers, copied_from)

    def _find_fullest(self, parts: Sequence[Part]) -> dict[tuple[int, Timestamp | None], int]:
        """For what every worker had a copy of: which one still has all of a time.

        One that was notified of the time has let go of it; keys that come from elsewhere still need it. Only of stages
        that keep batches until their time is complete: what others have taken up cannot be told from what waits.
        """
        rows: dict[tuple[int, Timestamp | None], Counter[int]] = {}
        for stage, _, states in self._vertices:
            copied = [edge for edge in self._graph.inputs[stage.index] if edge.partition and edge.partition.replicates]
            if not copied or not any(isinstance(state, TimedBatches) for state in states.values()):
                continue
            for part in parts:
                kept = [piece for name in states for piece in part.states.get((stage.name, name), (0, ()))[1]]
                for edge in copied:
                    held = [(piece.time, piece.batch) for piece in kept if piece.port == edge.input]
                    held += [(each.time, each.batch) for each in part.waiting if each.connector == edge.index]
                    for time, batch in held:
                        rows.setdefault((edge.index, time), Counter())[part.worker] += len(batch)
        return {place: min(held, key=lambda worker: (-held[worker], worker)) for place, held in rows.items()}

    def _restore_states(self, stage: Stage, states: Mapping[str, State], parts: Sequence[Part]) -> None:
        stored = {name for part in parts for of_stage, name in part.states if of_stage == stage.name}
        if gone := sorted(stored - states.keys()):
            raise StateError(f"stage {stage.name!r} has no state {gone[0]!r} any more, but the checkpoint holds one")
        for name in sorted(stored):
            version, pieces = 0, []
            for part in parts:
                version, stored_pieces = part.states.get((stage.name, name), (version, ()))
                pieces += [mine for piece in stored_pieces if (mine := self._piece(stage, part, piece)) is not None]
            share = Share(version, pieces, self._worker, self._workers)
            self._scheduler.outside_time(stage, "restore", states[name].restore, share)

    def _piece(self, stage: Stage, part: Part, piece: Piece) -> Piece | None:
        """This worker's share of a piece, if the piece does not say by itself whose its rows are."""
        if piece.port is None:
            return piece
        mine = self._share(part, self._graph.inputs[stage.index][piece.port], piece.time, piece.batch)
        return None if mine is None else Piece(mine, None, piece.port, piece.time)

    def _restore_custom(self, stage: Stage, vertex: Vertex, parts: Sequence[Part]) -> None:
        given = {part.worker: part.custom[stage.name] for part in parts if stage.name in part.custom}
        if not given:
            return
        if len(parts) != self._workers:
            if type(vertex).rescale is Vertex.rescale:
                raise StateError(
                    f"stage {stage.name!r} keeps state that is not by key, and does not say how to spread it over "
                    f"{self._workers} workers instead of {len(parts)}: give its vertex a rescale(states, workers)"
                )
            states = [given[worker] for worker in sorted(given)]
            given = dict(enumerate(vertex.rescale(states, self._workers)))
        self._scheduler.outside_time(stage, "restore", vertex.restore, given[self._worker])
