"""Feeding a job's hand-fed inputs."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from limnad.client.channels import Line
from limnad.client.moments import Moment
from limnad.client.translation import FIRST_WAIT_S, LONGEST_WAIT_S, UnknownJob, Unreachable, translated
from limnad.errors import ClusterError, JobError
from limnad.limits import ANONYMOUS, DOUBT_S
from limnad_proto.v1 import control_pb2, exchange_pb2, jobs_pb2

T = TypeVar("T")

PATIENCE_S: Final = 30.0
"""How long an agent that cannot be reached is tried again. It is one that was restarted, or it will not come back."""


WINDOW_PUSHES: Final = 64
"""How many pushes of `Input.on_all` are under way at once: enough that a sync of the store's disk is cheap for each."""

WINDOW_BYTES: Final = 16 << 20
"""With so many bytes under way it waits for an answer first."""

_MANY: Final = b""
"""Several pushes: no single one is the same."""

_FORGOTTEN: Final = (
    f"nobody knows whether the push before this one was taken, and after {DOUBT_S:g} s that cannot be found out any "
    "more, because a producer without a name is forgotten: give the input a producer's name, and it can always be"
)

_UNSURE: Final = (
    "nobody knows yet whether the push before this one was taken: make the same one again, or read last_sequence and "
    "go on from there"
)


class Input:
    """A hand-fed input of a running job (Naiad, section 4.1).

    Each call returns when the engine has taken what is pushed; in a job with a store, when it is durable, and then no
    crash of whichever process loses or repeats it.

    Laws, for a job with a store: a call that returns was taken once. One that raises `JobError` was not taken. After
    one that raises `ClusterError` nobody knows; the same call again, with the same rows, finds out and is taken once.
    So does `last_sequence`. Any other call is refused until then. Without a producer's name that can be found out for
    `DOUBT_S` only: after that `ClusterError` says so, whatever is called.

    Args:
        job: The job's name at the agent.
        name: The input's.
        line: To the agent.
        producer: Who feeds it; None: somebody new, who is forgotten after a while (`limnad.cluster.producers`).
        durable: Whether the job has a store. Without one a push is never sent again: it could be taken twice.
        patience_s: See `PATIENCE_S`.
    """

    def __init__(
        self,
        job: str,
        name: str,
        line: Line,
        producer: str | None = None,
        *,
        durable: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.producer = _somebody() if producer is None else producer
        self._named = producer is not None
        self._before = 0
        self._known = Moment.now()
        self._job = job
        self._name = name
        self._line = line
        self._durable = durable
        self._patience_s = patience_s
        self._sequence = 0 if producer is None else None
        self._unsure: bytes | None = None
        self._pending: deque[jobs_pb2.PushRequest] = deque()
        self._requests: SimpleQueue[jobs_pb2.PushRequest | None] = SimpleQueue()
        self._answers: Any = None
        self._lock = threading.Lock()

    def on_next(self, batch: Any) -> None:
        """Rows of the open epoch: a frame of the input's schema, or a list of records.

        Raises:
            JobError: The input does not exist, is closed, or the rows do not fit.
            ClusterError: The agent cannot be reached.
        """
        self._push(self._rows(batch))

    def on_all(self, batches: Iterable[Any]) -> int:
        """Rows of the open epoch, batch by batch, like `on_next` of each; returns how many when all are taken.

        In a job with a store, up to `WINDOW_PUSHES` are under way at once, in their order, and share the syncs of the
        store's disk: so this is much faster than `on_next` of one after the other.

        Laws: after a `JobError` all batches before one are taken, and that one and all behind it are not. After a
        `ClusterError` nobody knows how many are: read `last_sequence`, and go on from there.

        Raises: See `on_next`.
        """
        if self._durable:
            with self._lock:
                self._stay_known()
                return self._push_all(map(self._rows, batches))
        count = 0
        for batch in batches:
            self.on_next(batch)
            count += 1
        return count

    def advance_to(self, epoch: int) -> None:
        """Ends all epochs before this one. Raises: see `on_next`."""
        self._push(control_pb2.Push(input=self._name, advance_to=epoch))

    def close(self) -> None:
        """No more rows. Raises: see `on_next`."""
        self._push(control_pb2.Push(input=self._name, close=True))
        with self._lock:
            self._hang_up()

    @property
    def last_sequence(self) -> int:
        """How many of this producer's pushes (`on_next`, `advance_to`, `close`) are durable; asks the job.

        Raises:
            JobError: The job has no store, or no such input.
            ClusterError: The agent cannot be reached.
        """
        with self._lock:
            self._stay_known()
            return self._learn()

    def _stay_known(self) -> None:
        """Without a name: goes on under another one before this one can be forgotten, if nothing is in doubt.

        Raises:
            ClusterError: Something is.
        """
        if self._unsure is not None:
            self._refuse_if_forgotten()
            return
        if not self._named and self._known.age_s() > DOUBT_S:
            self._before += self._sequence or 0
            self.producer, self._sequence = _somebody(), 0
        self._known = Moment.now()

    def _refuse_if_forgotten(self) -> None:
        if not self._named and self._known.age_s() > DOUBT_S:
            raise ClusterError(_FORGOTTEN)

    def _learn(self) -> int:
        request = jobs_pb2.LastSequenceRequest(job=self._job, input=self._name, producer=self.producer)
        self._sequence = self._patiently(lambda: self._line.jobs.LastSequence(request)).sequence
        self._unsure = None
        return self._before + self._sequence

    def _rows(self, batch: Any) -> control_pb2.Push:
        from limnad.batch import encode  # Polars: see `Job.outputs`.

        encoding, payload = encode(batch)
        number = exchange_pb2.Encoding.Name(int(encoding))
        return control_pb2.Push(input=self._name, rows=control_pb2.Rows(encoding=number, payload=payload))

    def _push(self, push: control_pb2.Push) -> None:
        with self._lock:
            if self._durable:
                self._stay_known()
                self._push_once(push)
            else:
                self._pending.clear()  # One that was refused is not sent again.
                self._send(jobs_pb2.PushRequest(job=self._job, push=push))
                translated(self._hear)

    def _push_once(self, push: control_pb2.Push) -> None:
        said = push.SerializeToString(deterministic=True)
        if self._unsure not in (None, said):
            raise ClusterError(_UNSURE)
        self._unsure = None
        self._push_all([push], unsure=said)

    def _push_all(self, pushes: Iterable[control_pb2.Push], unsure: bytes = _MANY) -> int:
        """Pushes in their order, as many at once as the window has room for.

        Args:
            pushes: What.
            unsure: What may be pushed next when nobody knows what became of them.
        """
        if self._unsure is not None:
            raise ClusterError(_UNSURE)
        first = self._learn() if self._sequence is None else self._sequence
        self._pending.clear()
        coming = iter(pushes)
        try:
            while self._send_some(coming, unsure) or self._pending:
                self._settle_oldest()
        except BaseException:
            self._hang_up()  # What is answered on that stream is the answer to nothing that is pushed later.
            raise
        assert self._sequence is not None
        return self._sequence - first

    def _send_some(self, coming: Iterator[control_pb2.Push], unsure: bytes) -> bool:
        """Sends as many as there is room for; whether there was one."""
        assert self._sequence is not None
        sent = False
        while self._has_room() and (push := next(coming, None)) is not None:
            number = self._sequence + len(self._pending) + 1
            self._unsure, sent = unsure, True
            self._send(jobs_pb2.PushRequest(job=self._job, push=push, producer=self.producer, sequence=number))
        return sent

    def _settle_oldest(self) -> None:
        assert self._sequence is not None
        try:
            self._patiently(self._hear)
        except JobError:
            self._unsure = None
            raise
        self._sequence += 1
        self._known = Moment.now()
        if not self._pending:
            self._unsure = None

    def _has_room(self) -> bool:
        nbytes = sum(request.ByteSize() for request in self._pending)
        return len(self._pending) < WINDOW_PUSHES and nbytes < WINDOW_BYTES

    def _send(self, request: jobs_pb2.PushRequest) -> None:
        self._pending.append(request)
        if self._answers is not None:
            self._requests.put(request)

    def _hear(self) -> None:
        """Waits for the answer to the oldest push that waits for one; all are sent again over a new stream."""
        if self._answers is None:
            if self._durable:
                self._refuse_if_forgotten()
            self._requests = SimpleQueue()
            self._answers = self._line.jobs.Push(iter(self._requests.get, None))
            for request in self._pending:
                self._requests.put(request)
        try:
            next(self._answers)
        except BaseException:
            self._hang_up()
            raise
        self._pending.popleft()

    def _hang_up(self) -> None:
        self._requests.put(None)
        self._answers = None

    def _patiently(self, call: Callable[[], T]) -> T:
        """Makes a call that may be made twice, until the agent answers it.

        Raises:
            JobError: The agent refuses, and has done nothing.
            ClusterError: It did not answer.
        """
        deadline_s = time.monotonic() + self._patience_s
        wait_s, lost = FIRST_WAIT_S, False
        while True:
            try:
                return translated(call)
            except Unreachable:
                lost = True
                if time.monotonic() + wait_s >= deadline_s:
                    raise
            except UnknownJob as error:
                if lost:
                    raise ClusterError(f"the agent was started anew: {error}") from None
                raise
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _somebody() -> str:
    return f"{ANONYMOUS}{secrets.token_hex(8)}"
