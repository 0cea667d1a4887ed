"""What happened in a simulated run, callback by callback, so that a test can assert on times and notifications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from limnad.cluster.worker import Worker
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex


@dataclass(frozen=True)
class Call:
    """One callback of one vertex.

    Attributes:
        worker: Where it ran.
        stage: The stage's name.
        callback: ``"on_recv"``, ``"on_notify"``, ``"on_frontier"`` or ``"on_complete"``.
        time: The batch's time, the guarantee time, the list of times, or the number of complete epochs.
        frontier: The least times that this worker believed could still arrive at the stage.
        batch: The batch, for ``on_recv``.
    """

    worker: int
    stage: str
    callback: str
    time: Any
    frontier: tuple[Timestamp, ...]
    batch: Any = None


@dataclass
class Trace:
    """Collects the calls of all workers."""

    calls: list[Call] = field(default_factory=list)

    def watch(self, worker: Worker) -> None:
        """Records every callback of a worker's vertices from now on."""
        for stage, vertex in zip(worker.graph.stages, worker.scheduler.vertices, strict=True):
            if vertex is not None:
                self._watch_vertex(worker, stage.name, vertex)

    def _watch_vertex(self, worker: Worker, stage: str, vertex: Vertex) -> None:
        def recorded(callback: str, run: Callable[..., None], time_of: Callable[..., Any]) -> Callable[..., None]:
            def wrapper(*arguments: Any) -> None:
                batch = arguments[1] if callback == "on_recv" else None
                seen = tuple(worker.frontier(stage) or ())
                self.calls.append(Call(worker.index, stage, callback, time_of(*arguments), seen, batch))
                run(*arguments)

            return wrapper

        vertex.on_recv = recorded("on_recv", vertex.on_recv, lambda port, batch, time: time)  # type: ignore[method-assign]
        vertex.on_notify = recorded("on_notify", vertex.on_notify, lambda time: time)  # type: ignore[method-assign]
        if type(vertex).on_complete is not Vertex.on_complete:
            vertex.on_complete = recorded("on_complete", vertex.on_complete, lambda epochs: epochs)  # type: ignore[method-assign]
        if type(vertex).on_frontier is not Vertex.on_frontier:
            vertex.on_frontier = recorded("on_frontier", vertex.on_frontier, tuple)  # type: ignore[method-assign]
