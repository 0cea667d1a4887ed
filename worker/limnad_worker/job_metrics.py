"""What a leader remembers of one job for its metrics only: plain numbers, written as news comes, read at a scrape."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from limnad.cluster import checkpoints as points
from limnad.histogram import Histogram
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2

MOST_MARKS = 4096
"""How many moments at which epochs were opened are remembered; then every other one is forgotten."""


class Lag:
    """How far the frontier of a job is behind its inputs.

    >>> lag = Lag()
    >>> lag.told(opened=1, frontier=0, now_s=10.0), lag.told(opened=3, frontier=1, now_s=12.0)
    (None, None)
    >>> lag.epochs, lag.seconds(now_s=13.0)
    (2, 1.0)
    >>> lag.told(opened=3, frontier=None, now_s=14.0), lag.epochs, lag.frontier, lag.seconds(now_s=15.0)
    (None, 0, 3, 0.0)

    Attributes:
        opened: How many epochs have been opened.
        frontier: The first that is not complete; ``opened`` if all are.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.frontier = 0
        self._marks: deque[tuple[int, float]] = deque()

    def told(self, opened: int, frontier: int | None, now_s: float) -> None:
        """News of one moment; ``frontier`` is None when every epoch is complete."""
        if opened > self.opened:
            self._marks.append((opened, now_s))
        self.opened = max(self.opened, opened)
        self.frontier = self.opened if frontier is None else frontier
        while self._marks and self._marks[0][0] <= self.frontier:
            self._marks.popleft()
        if len(self._marks) > MOST_MARKS:
            self._marks = deque(list(self._marks)[::2])

    @property
    def epochs(self) -> int:
        """Opened and not complete."""
        return max(0, self.opened - self.frontier)

    def seconds(self, now_s: float) -> float:
        """How long the first epoch that is not complete has been open."""
        return now_s - self._marks[0][1] if self._marks else 0.0


class CheckpointTimes:
    """How long a job's checkpoints take, phase by phase.

    Attributes:
        phase: What the leader waits for.
        whole: From when one was due until it was durable.
        phases: By the phase that ended.
        halts: How long the slowest worker stood still for each.
        written_bytes: For all that have become durable.
        size_bytes: For the newest of them.
        committed_at_s: When that was, by the calendar; 0: never.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.phase = points.Phase.IDLE
        self.whole = Histogram()
        self.phases = {phase: Histogram() for phase in points.Phase if phase is not points.Phase.IDLE}
        self.halts = Histogram()
        self.written_bytes = self.size_bytes = 0
        self.committed_at_s = 0.0
        self._clock_ns = clock_ns
        self._due_ns = self._since_ns = 0

    def saw(self, effect: points.Effect, view: jobs_pb2.JobView) -> None:
        """The leader's machine wants something done."""
        match effect:
            case points.Open():
                self._due_ns = self._clock_ns()
                self._enter(points.Phase.OPENING)
            case points.Begin():
                self._enter(points.Phase.STORING)
            case points.Commit():
                self._enter(points.Phase.COMMITTING)
            case points.Announce():
                self._enter(points.Phase.IDLE)
                self.whole.add(self._clock_ns() - self._due_ns)
                told = view.checkpoint_phases
                slowest_us = max((each.stop_us + each.markers_us + each.references_us for each in told), default=0)
                self.halts.add(slowest_us * 1000)
                self.size_bytes = sum(each.stored_bytes for each in told)
                self.written_bytes += self.size_bytes
                self.committed_at_s = time.time()
            case points.Drop():
                self.reset()

    def reset(self) -> None:
        """The one that was being made was given up."""
        self.phase = points.Phase.IDLE

    def _enter(self, phase: points.Phase) -> None:
        now_ns = self._clock_ns()
        if self.phase is not points.Phase.IDLE:
            self.phases[self.phase].add(now_ns - self._since_ns)
        self.phase, self._since_ns = phase, now_ns


class JobMetrics:
    """One job's, from its submission on.

    Attributes:
        lag: See `Lag`.
        checkpoints: See `CheckpointTimes`.
        measures: What the workers of this generation have told last, by worker.
        connectors: Those of the job's graph.
        ended_s: When the job ended, on the monotonic clock.

    Args:
        store_requests: Those of the leader to the store that the job has at the moment, if it has one.
    """

    def __init__(self, store_requests: Callable[[], Histogram | None]) -> None:
        self.lag = Lag()
        self.checkpoints = CheckpointTimes()
        self.measures: list[wire.Measures] = []
        self.connectors: Sequence[wire.ConnectorInfo] = ()
        self._store_requests = store_requests
        self.ended_s: float | None = None
        self._known: dict[int, tuple[int, int | None]] = {}

    @property
    def store_requests(self) -> Histogram | None:
        """The leader's own to the job's store; None: it has none."""
        return self._store_requests()

    def begin(self, workers: int) -> None:
        """A generation begins."""
        self.measures = [wire.Measures() for _ in range(workers)]
        self.lag = Lag()
        self._known = {}
        self.checkpoints.reset()

    def built(self, built: wire.Built) -> None:
        """A worker has built the job's graph."""
        self.connectors = built.connectors

    def told(self, worker: int, status: wire.Status) -> None:
        """A worker tells how far it is; its measures stay here."""
        # A new message each time: one that is filled again and again takes more memory each time.
        self.measures[worker] = wire.Measures.FromString(status.measures.SerializeToString())
        status.ClearField("measures")
        if status.frontiers_known:
            self._known[worker] = (status.epochs_opened, status.epoch if status.HasField("epoch") else None)
            opened = max(known[0] for known in self._known.values())
            # A worker that has not been heard of for a while is behind: the first frontier of all is the job's.
            open_ones = [epoch for _, epoch in self._known.values() if epoch is not None]
            self.lag.told(opened, min(open_ones, default=None), time.monotonic())

    @property
    def frontier_known(self) -> bool:
        """Whether any worker of this generation knows frontiers."""
        return bool(self._known)
