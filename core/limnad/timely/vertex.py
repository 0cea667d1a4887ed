"""What a user writes: a vertex, the state and the callbacks of one stage on one worker (Naiad, section 2.2).

Two callbacks are written, two methods are called:

- `Vertex.on_recv`: a batch has come. - `Vertex.send_by`: sends one on.
- `Vertex.on_notify`: no batch at that time or before can come any more. - `Vertex.notify_at`: asks for it.

One rule binds them: what a callback sends or asks for must not lie before its own *capability*: in `on_recv` the time
of the batch; in `on_notify` the capability that was asked with, which by default is the time asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from limnad.errors import JobError
from limnad.timely.timestamp import Timestamp


class TimeError(JobError, ValueError):
    """A vertex tried to send or to ask into the past, or at a time of the wrong depth: a fault of the flow."""


class VertexContext(Protocol):
    """What a vertex may do; the engine gives one to each vertex when it starts."""

    worker: int
    workers: int
    generation: int
    job: str
    stage: str

    def send(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.send_by`."""

    def notify(self, guarantee: Timestamp, capability: Timestamp) -> None:
        """See `Vertex.notify_at`."""

    def frontier(self, port: int) -> tuple[Timestamp, ...]:
        """See `Vertex.frontier`."""

    def sibling(self, stage: str) -> Vertex:
        """The vertex of another stage on the same worker, for stages that read one state; from `on_start` on."""

    def publish(self, output: str, epoch: int, batch: Any) -> None:
        """Hands all of an epoch's rows of a named output to whoever has subscribed to it, outside the dataflow."""


class Vertex:
    """One stage's part on one worker. Subclasses override the callbacks they need.

    All callbacks of one worker run on one thread, so a vertex needs no locks. What it does must depend only on the
    *multiset* of rows it has seen at each time, not on their order: batches may be merged, split and reordered.

    A stage whose vertices call `notify_at` overrides `on_notify` or `on_frontier`: that is how the engine knows that
    they may hold others back.
    """

    stateless: ClassVar[bool] = False
    """Says that what its attributes hold need not survive a restart, though it may look as if it had to."""

    quiet_inputs: ClassVar[frozenset[int]] = frozenset()
    """Input ports at which `on_recv` only takes notice: it does not send, and asks for notifications with the
    capability `TOP` alone. What may still come there holds up this stage's notifications, and nobody behind it: a query
    can be answered with what is known of an earlier epoch while the query's own is still being worked on."""

    at_end: ClassVar[bool] = False
    """Says that its vertices ask to be notified of `limnad.END`, when all inputs have ended, and may send at that time.
    Then each output of the job has one more epoch, the last, with what was sent. After a restore on another number of
    workers it may be told to a vertex again."""

    _context: VertexContext

    @property
    def worker(self) -> int:
        """Which worker this vertex runs on, from 0."""
        return self._context.worker

    @property
    def workers(self) -> int:
        """How many workers the job has."""
        return self._context.workers

    @property
    def generation(self) -> int:
        """Which run of the job this is: it grows with every restart."""
        return self._context.generation

    def on_start(self) -> None:
        """Called once, behind `restore` if there is one, and before any other callback.

        On no worker has an epoch become complete or a notification been given before it has been called on all.
        """

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """A batch has arrived.

        Args:
            port: The input port, from 0.
            batch: A Polars frame or a list of records.
            time: Its timestamp.
        """
        raise NotImplementedError(f"{type(self).__name__} has inputs but does not override on_recv")

    def on_notify(self, time: Timestamp) -> None:
        """No `on_recv` at ``time`` or before will come any more, from anywhere in the cluster.

        Called once for each guarantee time that was asked for since the last call for it.
        """
        raise NotImplementedError(f"{type(self).__name__} calls notify_at but does not override on_notify")

    def on_frontier(self, times: list[Timestamp]) -> None:
        """All times asked for that no `on_recv` can reach any more, at once, earliest first.

        A vertex for which a callback per time would be too dear overrides this instead of `on_notify`. It may send
        with the capabilities of any of the requests.
        """
        for time in times:
            self.on_notify(time)

    def on_complete(self, epochs: range) -> None:
        """These epochs of the job have become complete at this stage, the empty ones included.

        Called when their number has grown, each epoch once and in order. Nothing may be sent from here: no capability
        is held. For sinks outside all loops.
        """

    def on_commit(self, epochs: int) -> None:
        """A durable checkpoint covers the first ``epochs`` epochs that `on_complete` has told.

        What a sink has done for them can be shown: no restore will ask for it again.
        """

    def checkpoint(self) -> Any:
        """What this vertex remembers besides its `limnad.timely.state.State` attributes; None for nothing.

        The engine stands still for it, and stores what it returns (pickled) while the job runs on: return something
        that will not be changed.
        """
        return None

    def restore(self, state: Any) -> None:
        """Takes over what `checkpoint` returned; before the first callback.

        After a restore the vertex may be notified of times that it has never seen: requests are restored at every
        vertex of their stage when the number of workers has changed.
        """
        raise NotImplementedError(f"{type(self).__name__} overrides checkpoint but not restore")

    @staticmethod
    def rescale(states: Sequence[Any], workers: int) -> Sequence[Any]:
        """Turns what the vertices of all workers returned from `checkpoint` into one state for each of ``workers``.

        A vertex that overrides `checkpoint` and not this cannot change its number of workers.
        """
        raise NotImplementedError

    def frontier(self, port: int) -> tuple[Timestamp, ...]:
        """The earliest times at which `on_recv` may still be called for an input port, as this worker knows it.

        No batch at a time comes any more that none of these is `less_equal` to. It only ever moves forward, and is
        empty when nothing can come any more. A vertex that asks for no notification may look at it in any callback, to
        forget what no later batch can need; what it *sends* must not depend on it, because workers learn of it at
        different moments.
        """
        return self._context.frontier(port)

    def send_by(self, port: int, batch: Any, time: Timestamp) -> None:
        """Sends a batch through an output port.

        Args:
            port: The output port, from 0.
            batch: A frame or a list; it belongs to the engine from here on and must not be changed.
            time: Its timestamp, not before the capability of the running callback.

        Raises:
            TimeError: ``time`` lies before it, or has another depth than the port.
            IndexError: There is no such port.
        """
        self._context.send(port, batch, time)

    def notify_at(self, guarantee: Timestamp, capability: Timestamp | None = None) -> None:
        """Asks for one `on_notify` once nothing at ``guarantee`` or before can arrive any more.

        Args:
            guarantee: What to be notified of. Any time; with an earlier one than the capability, staleness is bounded
                (Naiad, section 2.4). ``(limnad.END,)``: that all inputs have ended, see `at_end`.
            capability: The time at which that callback may send, by default ``guarantee``. Until it ends, later
                stages wait for this time. `TOP` holds up nobody, and the callback may not send (a purge).

        Raises:
            TimeError: ``capability`` lies before that of the running callback.
        """
        self._context.notify(guarantee, guarantee if capability is None else capability)


def wants_notifications(vertex: type[Vertex]) -> bool:
    """Whether vertices of this class may ask for notifications."""
    return vertex.on_notify is not Vertex.on_notify or vertex.on_frontier is not Vertex.on_frontier


def wants_completions(vertex: Vertex) -> bool:
    """Whether the vertex is to be told of complete epochs."""
    return type(vertex).on_complete is not Vertex.on_complete
