"""The leader's side of the registry: `limnad.cluster.registry` in a store. Its calls block."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from limnad.cluster.registry import Deposed, JobRecord, LeaderRecord
from limnad.store import ABSENT, Conflict, Record, Space, Version

LEADER = "leader"
"""The leader's record."""

JOB = "job/"
"""Begins the keys of the jobs' records."""

DEPOSED = "another leader has taken over"


class Registry:
    """The jobs of a cluster, as one leader writes them.

    Args:
        space: Where.
        uid: Of the leader's process.
    """

    def __init__(self, space: Space, uid: str) -> None:
        self._ledger = space.ledger
        self._uid = uid
        self._versions: dict[str, Version] = {}
        self.term = 0

    def take_lead(self) -> list[JobRecord]:
        """Begins a new term, and takes over all jobs."""
        self.term = self._change(lambda record: record.succeed(self._uid)).term
        return sorted(map(self._take_over, self._ledger.keys(JOB)), key=lambda record: record.number)

    def _take_over(self, key: str) -> JobRecord:
        while True:
            held = self._ledger.get(key)
            if held is None:
                raise Deposed(DEPOSED)  # Only a leader deletes.
            record = JobRecord.decode(held.value)
            if record.term > self.term:
                raise Deposed(DEPOSED)
            own = _of_term(record, self.term)
            try:
                self._versions[record.job] = self._ledger.put(key, own.encode(), held.version)
            except Conflict:
                continue  # The leader before us was at it once more.
            return own

    def check(self) -> None:
        """Whether this is the leader still.

        Raises:
            Deposed: It is not.
        """
        record = _leader(self._ledger.get(LEADER))
        if (record.term, record.uid) != (self.term, self._uid):
            raise Deposed(DEPOSED)

    def give_number(self) -> int:
        """A number for a new job.

        Raises:
            Deposed: There is another leader.
        """
        return self._change(lambda record: record.give_number(self.term, self._uid)).next_job - 1

    def save(self, record: JobRecord) -> None:
        """Writes a job's record; may be called again if its outcome is unknown.

        Raises:
            Deposed: There is another leader.
        """
        key, value = f"{JOB}{record.job}", _of_term(record, self.term).encode()
        try:
            self._versions[record.job] = self._ledger.put(key, value, self._versions.get(record.job, ABSENT))
        except Conflict:
            held = self._ledger.get(key)
            if held is None or held.value != value:
                raise Deposed(DEPOSED) from None
            self._versions[record.job] = held.version

    def forget(self, job: str) -> None:
        """Deletes a job's record.

        Raises:
            Deposed: There is another leader.
        """
        try:
            self._ledger.delete(f"{JOB}{job}", self._versions.pop(job))
        except Conflict:
            raise Deposed(DEPOSED) from None

    def _change(self, step: Callable[[LeaderRecord], LeaderRecord]) -> LeaderRecord:
        while True:
            held = self._ledger.get(LEADER)
            following = step(_leader(held))
            try:
                self._ledger.put(LEADER, following.encode(), held.version if held else ABSENT)
            except Conflict:
                continue
            return following


def _leader(held: Record | None) -> LeaderRecord:
    return LeaderRecord() if held is None else LeaderRecord.decode(held.value)


def _of_term(record: JobRecord, term: int) -> JobRecord:
    return msgspec.structs.replace(record, term=term)
