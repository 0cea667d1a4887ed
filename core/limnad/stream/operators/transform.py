"""Stateless operators: a batch in, at most one batch out, at the same time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex

Step = Callable[[Any], Any]


@dataclass(frozen=True)
class Steps:
    """What a stage of stateless steps does; neighbouring stages of this kind are fused into one."""

    steps: tuple[Step, ...]


class Transform(Vertex):
    """Runs each batch through its steps; an empty batch goes no further."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        for step in self._steps:
            batch = step(batch)
            if not len(batch):
                return
        self.send_by(0, batch, time)


class Inspect(Vertex):
    """Shows each batch to a function of the user and passes it on."""

    def __init__(self, look: Callable[[Timestamp, Any], None]) -> None:
        self._look = look

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        self._look(time, batch)
        self.send_by(0, batch, time)


class Concat(Vertex):
    """Passes on what comes from any of its inputs."""

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        self.send_by(0, batch, time)


class Swallow(Vertex):
    """Takes everything in and does nothing: where only the frontier matters."""

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
