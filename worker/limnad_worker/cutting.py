"""An engine's way to the logs of its timed inputs, on a thread of its own: an append takes as long as a disk does."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from limnad.cluster.cuts import cuts_of, encode_cuts
from limnad.cluster.effects import LogCut
from limnad.histogram import Histogram
from limnad.store import Full, StoreError, Unavailable, open_store
from limnad.timely.source import Cut, PartitionKey
from limnad_worker.inbox import Inbox

STORE_RETRY_S = 1.0
"""How often an append that waits for the store is tried again."""


@dataclass(frozen=True, slots=True)
class CutLogged:
    """A partition's newest cut is durable."""

    key: PartitionKey


@dataclass(frozen=True, slots=True)
class CutLost:
    """No cut can be logged any more."""

    reason: str


class CutLogs:
    """One engine's cuts.

    Args:
        url: See `limnad.store.open_store`.
        space: The job's name in the store.
        stages: The timed inputs; each has a log of its name.
        worker: Which worker this is: its producer's name in the logs.
        generation: In whose name it appends.
        inbox: Where `CutLogged` and `CutLost` go.
    """

    def __init__(self, url: str, space: str, stages: Iterable[str], worker: int, generation: int, inbox: Inbox) -> None:
        self.waiting = ""
        self._store = open_store(url)
        self._logs = {stage: self._store.job(space).log(stage) for stage in stages}
        self._producer = f"worker {worker}"
        self._generation = generation
        self._inbox = inbox
        self._numbers: dict[str, int] = {}
        self._pending: list[LogCut] = []
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="cuts", daemon=True)

    def open(self) -> dict[PartitionKey, list[Cut]]:
        """Claims the logs; all cuts that are in them.

        Raises:
            StoreError: They cannot be read, or belong to a newer generation.
        """
        found: dict[PartitionKey, list[Cut]] = {}
        for stage, log in self._logs.items():
            last = log.claim(self._generation).producers.get(self._producer)
            self._numbers[stage] = last.sequence if last is not None else 0
            found |= cuts_of(stage, log.read(log.first()))
        self._thread.start()
        return found

    @property
    def requests(self) -> Histogram:
        """How long each request to the store's server took."""
        return self._store.requests

    def append(self, cut: LogCut) -> None:
        """Appends a cut; a `CutLogged` comes when it is durable."""
        with self._news:
            self._pending.append(cut)
            self._news.notify()

    def close(self) -> None:
        """Gives up what is not appended yet."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._store.close()

    def _run(self) -> None:
        try:
            while cuts := self._take():
                for stage in {cut.key[0] for cut in cuts}:
                    self._log(stage, [cut for cut in cuts if cut.key[0] == stage])
        except Exception as error:  # noqa: BLE001 - whatever it is, this engine's epochs would never end
            if not self._closed:
                self._inbox.put_from_thread(CutLost(f"the epochs of timed inputs cannot be logged: {error}"))

    def _take(self) -> list[LogCut]:
        """All that wait; none: it was closed."""
        with self._news:
            self._news.wait_for(lambda: self._pending or self._closed)
            cuts, self._pending = self._pending, []
            return [] if self._closed else cuts

    def _log(self, stage: str, cuts: list[LogCut]) -> None:
        number = self._numbers[stage] + 1
        data = encode_cuts([(cut.key[1], cut.cut) for cut in cuts])
        while not self._closed:
            try:
                self._logs[stage].append(self._producer, number, data, generation=self._generation)
            except (Full, Unavailable) as error:
                self._wait(stage, error)
            else:
                self.waiting, self._numbers[stage] = "", number
                for cut in cuts:
                    self._inbox.put_from_thread(CutLogged(cut.key))
                return

    def _wait(self, stage: str, error: StoreError) -> None:
        self.waiting = f"epochs of {stage!r} wait for the store: {error}"
        with self._news:
            self._news.wait_for(lambda: self._closed, STORE_RETRY_S)
