"""What a vertex may do, and the rule that binds it: nothing before the capability of the running callback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from limnad.timely.graph import Stage, depth_of
from limnad.timely.timestamp import END, TOP, Timestamp, less_equal
from limnad.timely.vertex import TimeError, Vertex

if TYPE_CHECKING:
    from limnad.timely.scheduler import Scheduler


class Context:
    """What one vertex may do; checks each call against the capability of the running callback."""

    __slots__ = ("_depth", "_scheduler", "_stage", "capabilities", "generation", "job", "stage", "worker", "workers")

    def __init__(self, scheduler: Scheduler, stage: Stage) -> None:
        self.worker = scheduler.worker
        self.workers = scheduler.workers
        self.generation = scheduler.generation
        self.job = scheduler.job
        self.stage = stage.name
        self.capabilities: tuple[Timestamp, ...] | None = None
        self._scheduler = scheduler
        self._stage = stage
        self._depth = depth_of(stage.context)

    def send(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `VertexContext.send`."""
        self._check("send", time)
        if not isinstance(batch, (pl.DataFrame, list)):
            raise TypeError(
                f"stage {self._stage.name!r} sent a {type(batch).__name__}: a batch is a Polars frame or a list"
            )
        if not 0 <= port < self._stage.outputs:
            raise IndexError(f"stage {self._stage.name!r} has {self._stage.outputs} outputs, no output {port}")
        self._scheduler._send(self._stage, port, batch, time)

    def notify(self, guarantee: Timestamp, capability: Timestamp) -> None:
        """See `VertexContext.notify`."""
        if not self._stage.notifies:
            raise TypeError(f"stage {self._stage.name!r} asks for a notification but does not override on_notify")
        if len(guarantee) != self._depth:
            raise TimeError(self._wrong_depth("be notified", guarantee))
        if guarantee[0] == END and not self._scheduler.graph.has_end:
            raise TimeError(
                f"stage {self._stage.name!r} asks to be notified of the end of all inputs: say `at_end = True` in the "
                "class of its vertex"
            )
        if capability is not TOP:
            self._check("be notified", capability)
        self._scheduler.request(self._stage, guarantee, capability)

    def frontier(self, port: int) -> tuple[Timestamp, ...]:
        """See `VertexContext.frontier`."""
        return self._scheduler.input_frontier(self._stage, port, self._depth)

    def sibling(self, stage: str) -> Vertex:
        """See `VertexContext.sibling`."""
        return self._scheduler.vertex_of(stage)

    def publish(self, output: str, epoch: int, batch: Any) -> None:
        """See `VertexContext.publish`."""
        self._scheduler.publish(output, epoch, batch)

    def _check(self, deed: str, time: Timestamp) -> None:
        capabilities = self.capabilities
        if capabilities is None:
            raise TimeError(f"stage {self._stage.name!r} tried to {deed} at {time} outside a callback")
        if len(time) != self._depth:
            raise TimeError(self._wrong_depth(deed, time))
        for capability in capabilities:
            if less_equal(capability, time):
                return
        held = " or ".join(map(str, capabilities)) or "none (from a purge or a quiet input nothing follows)"
        raise TimeError(
            f"stage {self._stage.name!r} on worker {self.worker} tried to {deed} at {time}, which is not at or after "
            f"the capability of the running callback: {held}"
        )

    def _wrong_depth(self, deed: str, time: Timestamp) -> str:
        return (
            f"stage {self._stage.name!r} tried to {deed} at {time}: a time there is an epoch and "
            f"{self._depth - 1} loop counters"
        )
