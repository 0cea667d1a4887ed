"""Loops: enter, feedback, leave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Generic

from limnad.stream.base import AnyStream, Stream
from limnad.timely.graph import GraphError, LoopContext, Stage

if TYPE_CHECKING:
    from limnad.stream.flow import Flow


class Feedback(Generic[AnyStream]):
    """The edge by which rows start another trip: read `stream`, then say with `connect` what comes round."""

    def __init__(self, stream: AnyStream, loop: Loop) -> None:
        self.stream: AnyStream = stream
        self._loop = loop
        self._connected = False

    def connect(self, again: Stream) -> None:
        """What goes round once more.

        Raises:
            GraphError: It was said already; ``again`` is not a stream of this loop, or would be exchanged on its way.
        """
        if self._connected:
            raise GraphError(f"the feedback of loop {self._loop.name!r} is connected already")
        if again.partition is not None:
            raise GraphError(
                f"what goes round loop {self._loop.name!r} stays on its worker: a partition_by, broadcast or to_worker "
                "just before the feedback would do nothing. Say it of the stream that is read: "
                "feedback.stream.partition_by(...)"
            )
        self._connected = True
        self._loop.flow.connect(replace(again, partition=None, combine=None), self.stream.stage, 0)


class Loop:
    """A loop context: times inside it have one counter more (Naiad, section 2.1).

    Loops nest: what is entered must live in the loop around.
    """

    def __init__(self, flow: Flow, name: str, parent: LoopContext | None) -> None:
        self.flow = flow
        self.name = name
        self.context = LoopContext(name, parent)

    @classmethod
    def of(cls, flow: Flow, context: LoopContext) -> Loop:
        """A handle on a loop that is there already."""
        loop = object.__new__(cls)
        loop.flow, loop.name, loop.context = flow, context.name, context
        return loop

    def loop(self, name: str = "loop") -> Loop:
        """A loop inside this one."""
        return self.flow.nested_loop(name, self.context)

    def enter(self, stream: AnyStream) -> AnyStream:
        """The stream inside the loop, its loop counter 0.

        Raises:
            GraphError: The stream lives elsewhere than around this loop.
        """
        stage = self.flow.builder.ingress(self.flow.unique(f"enter {self.name}"), self.context)
        return self._moved(stream, stage)

    def feedback(self, like: AnyStream) -> Feedback[AnyStream]:
        """An edge round the loop, for rows of the same kind as ``like``."""
        stage = self.flow.builder.feedback(self.flow.unique(f"feedback {self.name}"), self.context)
        return Feedback(replace(like, stage=stage, port=0, partition=None, combine=None), self)

    def leave(self, stream: AnyStream) -> AnyStream:
        """The stream outside the loop, at the time at which its rows entered.

        Raises:
            GraphError: The stream does not live in this loop.
        """
        stage = self.flow.builder.egress(self.flow.unique(f"leave {self.name}"), self.context)
        return self._moved(stream, stage)

    def _moved(self, stream: AnyStream, stage: Stage) -> AnyStream:
        """Joins a stream to a stage that changes its times. A partition travels along: a vertex behind exchanges."""
        self.flow.connect(replace(stream, partition=None, combine=None), stage, 0)
        return replace(stream, stage=stage, port=0)
