"""The leader's side of the registry: `limnad.cluster.registry` in a store. Its calls block."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec

from limnad.cluster.registry import Deposed, JobRecord, LeaderRecord
from limnad.store import ABSENT, Conflict, Guard, Record, Space, Version

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
        self.lead()

    def lead(self) -> Guard:
        """What is deleted in this one's name is deleted only while this is the leader.

        Raises:
            Deposed: It is not.
        """
        held = self._ledger.get(LEADER)
        record = _leader(held)
        if held is None or (record.term, record.uid) != (self.term, self._uid):
            raise Deposed(DEPOSED)
        return Guard(LEADER, held.version)

    def give_number(self) -> int:
        """A number for a new job.

        Raises:
            Deposed: There is another leader.
        """
        return self._change(lambda record: record.give_number(self.term, self._uid)).next_job - 1

    def save(self, record: JobRecord) -> None:
        """Writes a job's record; may be called again, also with another one, if its outcome is unknown.

        Raises:
            Deposed: There is another leader.
        """
        key, value = f"{JOB}{record.job}", _of_term(record, self.term).encode()
        version = self._versions.get(record.job, ABSENT)
        while True:
            try:
                self._versions[record.job] = self._ledger.put(key, value, version)
            except Conflict:
                held = self._own(key)
                if held is None:
                    raise Deposed(DEPOSED) from None
                version = held.version  # An earlier call of ours has come about, though its answer was lost.
            else:
                return

    def forget(self, job: str) -> None:
        """Deletes a job's record, if there is one; may be called again.

        Raises:
            Deposed: There is another leader.
        """
        key = f"{JOB}{job}"
        while (held := self._own(key)) is not None:
            with suppress(Conflict):  # Another leader has just found it, as we shall see.
                self._ledger.delete(key, held.version)
        self._versions.pop(job, None)

    def _own(self, key: str) -> Record | None:
        """A job's record, which nobody else has written: each leader writes its own term into it.

        Raises:
            Deposed: Somebody else has.
        """
        held = self._ledger.get(key)
        if held is not None and JobRecord.decode(held.value).term != self.term:
            raise Deposed(DEPOSED)
        return held

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
