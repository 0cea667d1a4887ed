"""Feeds the hand-fed inputs of a run from files of JSON lines."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final

from limnad.client import Input, Job
from limnad.errors import ClusterError, JobError, LimnadError

if TYPE_CHECKING:
    import polars as pl

FEED_ROWS: Final = 10_000
"""How many JSON lines make one batch."""

PART_BYTES: Final = 16 << 20
"""How large a part of a frame is pushed at once: well below what an agent takes as one message."""


class Feeder:
    """Feeds one input from one file, whatever becomes of the agent meanwhile.

    Each step (a batch, an epoch, the end) is one push, so the n-th step has number n. A job with a store knows up to
    which number it has everything: steps that it has are passed over, the file being the same as before.

    Args:
        name: The input's.
        file: The file; ``-``: standard input.
        durable: Whether the job has a store, so that another agent can go on with it.
        failed: To be called, from another thread, when feeding cannot go on.
        say: Shows the user a line.
    """

    def __init__(
        self,
        name: str,
        file: str,
        *,
        durable: bool,
        failed: Callable[[LimnadError], None],
        say: Callable[[str], None],
    ) -> None:
        self._name = name
        self._file = file
        self._durable = durable
        self._failed = failed
        self._say = say
        self._producer = f"feed {name}={file}" if durable else None
        self._job: Job | None = None
        self._asked: Job | None = None
        self._done = 0
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def feed(self, job: Job) -> None:
        """Begins, or goes on with another agent's job."""
        with self._news:
            self._job = job
            self._news.notify_all()
        if not self._thread.ident:
            self._thread.start()

    def _run(self) -> None:
        steps = 0
        try:
            with contextlib.nullcontext(sys.stdin) if self._file == "-" else open(self._file) as lines:
                for epoch, rows in json_epochs(lines, self._file):
                    if epoch is not None:
                        steps = self._push(steps + 1, partial(Input.advance_to, epoch=epoch))
                    if rows:
                        steps = self._push(steps + 1, partial(Input.on_next, batch=rows))
            self._push(steps + 1, Input.close)
        except (LimnadError, OSError) as error:
            self._tell(error if isinstance(error, LimnadError) else JobError(str(error)))

    def _push(self, step: int, push: Callable[[Input], None]) -> int:
        """Makes one step, with as many jobs as it takes; returns its number."""
        while True:
            job = self._job
            assert job is not None
            try:
                into = job.input(self._name, self._producer)
                if self._durable and job is not self._asked:
                    self._done, self._asked = into.last_sequence, job
                    if self._done > step - 1:
                        self._say(f"{self._name}: the first {self._done:,} pushes of {self._file} are in already")
                if step > self._done:
                    push(into)
            except ClusterError:
                if not self._durable:
                    raise
                self._wait_for_another(job)
            else:
                return step

    def _wait_for_another(self, job: Job) -> None:
        """The run notices, too, that the agent is gone, and starts another one or ends."""
        with self._news:
            self._news.wait_for(lambda: self._job is not job)

    def _tell(self, error: LimnadError) -> None:
        job = self._job
        with contextlib.suppress(LimnadError):
            if job is not None and job.status().state in ("finished", "failed", "cancelled"):
                return  # Of that the run tells more than we can.
        self._failed(error)


def json_epochs(lines: IO[str], file: str) -> Iterator[tuple[int | None, list[Any]]]:
    """Reads JSON lines: yields ``(None, rows)`` for rows of the open epoch and ``(epoch, [])`` where one begins.

    Lines of a terminal or pipe come as they are typed: each is a batch of its own then.

    Raises:
        JobError: A line is not JSON.
    """
    epoch = 0
    waiting: list[Any] = []
    limit = 1 if file == "-" else FEED_ROWS
    for number, line in enumerate(lines, 1):
        if not line.strip():
            if waiting:
                yield None, waiting
            epoch, waiting = epoch + 1, []
            yield epoch, []
            continue
        try:
            waiting.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise JobError(f"{file}, line {number} is not JSON ({error.msg}): {line.strip()[:80]}") from None
        if len(waiting) >= limit:
            yield None, waiting
            waiting = []
    if waiting:
        yield None, waiting


def in_parts(frame: pl.DataFrame, nbytes: int = PART_BYTES) -> Iterator[pl.DataFrame]:
    """The rows of a frame in frames of about so many bytes each, the same ones each time; of an empty frame, itself."""
    if frame.estimated_size() <= nbytes or len(frame) <= 1:
        yield frame
    else:
        half = len(frame) // 2
        yield from in_parts(frame.head(half), nbytes)
        yield from in_parts(frame.tail(-half), nbytes)
