"""What a cluster remembers of its leader and its jobs: the records, and what may follow upon what.

A leader takes the lead by replacing the leader's record with one of the next term, and then rewrites each job's record
with that term. All writes are compare-and-set, so whatever an older leader still writes fails: a new job needs the next
number from the leader's record, and a change of a job needs the job's record as it was.

Laws: terms only rise; of all leaders of one term one is right; a job's number is given once; a record of a job is
written only by the leader of the newest term, or by one that has not yet been succeeded.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Self

import msgspec

KEPT_JOBS = 100
"""How many jobs that have ended are remembered."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", re.IGNORECASE)


class Deposed(Exception):
    """Another leader has taken over: this one must not do anything any more."""


class LeaderRecord(msgspec.Struct, frozen=True):
    """Who leads.

    Attributes:
        term: Of this leader.
        uid: Of its process.
        next_job: The number of the next job.
    """

    term: int = 0
    uid: str = ""
    next_job: int = 1

    def succeed(self, uid: str) -> LeaderRecord:
        """The record of the next leader."""
        return LeaderRecord(self.term + 1, uid, self.next_job)

    def give_number(self, term: int, uid: str) -> LeaderRecord:
        """The record when that leader has begun a job.

        Raises:
            Deposed: It leads no more.
        """
        if (self.term, self.uid) != (term, uid):
            raise Deposed(f"another leader has taken over, in term {self.term}")
        return msgspec.structs.replace(self, next_job=self.next_job + 1)

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The inverse of `encode`."""
        return msgspec.json.decode(data, type=cls)


class Fate(Enum):
    """What is to become of a job that a new leader finds."""

    GONE = "gone"
    ENDED = "ended"
    GOES_ON = "goes on"
    LOST = "lost"


class Pin(msgspec.Struct, frozen=True, array_like=True):
    """A checkpoint that is kept until it is unpinned.

    Attributes:
        checkpoint: Its number.
        hold: Whether no other one is made meanwhile.
    """

    checkpoint: int
    hold: bool = False


class JobRecord(msgspec.Struct, frozen=True):
    """A job.

    Attributes:
        term: Of the leader that wrote this.
        job: Its name.
        number: The higher, the newer.
        request: The `SubmitRequest`, serialised.
        width: How many workers; 0: not decided yet.
        store: Where its checkpoints are; empty: it keeps none.
        space: Its name there.
        submitted_s: When it was submitted: Unix time, in seconds.
        draining: Whether its inputs are to end.
        view: How it ended, as a serialised `JobView`; empty: it has not.
        pins: By name, the checkpoints that are kept.
        gone: Whether it is being forgotten: its checkpoints may be deleted in part.
    """

    term: int
    job: str
    number: int
    request: bytes
    width: int = 0
    store: str = ""
    space: str = ""
    submitted_s: float = 0.0
    draining: bool = False
    view: bytes = b""
    pins: dict[str, Pin] = {}
    gone: bool = False

    @property
    def fate(self) -> Fate:
        """What a new leader makes of it."""
        if self.gone:
            return Fate.GONE
        if self.view:
            return Fate.ENDED
        return Fate.GOES_ON if self.store else Fate.LOST

    def encode(self) -> bytes:
        """As MessagePack."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The inverse of `encode`."""
        return msgspec.msgpack.decode(data, type=cls)


def forgotten(records: list[JobRecord], kept: int = KEPT_JOBS) -> list[JobRecord]:
    """Those of the jobs that have ended that are too many, the oldest."""
    ended = sorted((record for record in records if record.fate is Fate.ENDED), key=lambda record: record.number)
    return ended[: max(0, len(ended) - kept)]


def job_name(wanted: str, stem: str, number: int) -> str:
    """A job's name.

    >>> job_name("", "word count", 3), job_name("etl", "x", 4)
    ('word-count-3', 'etl')

    Raises:
        ValueError: What is wanted is no name.
    """
    if wanted:
        if not _NAME.fullmatch(wanted):
            raise ValueError(
                f"{wanted!r} cannot be a job's name: it has 1 to 63 letters, digits, '-', '_' or '.', and begins and "
                "ends with a letter or digit"
            )
        return wanted
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:48] or "job"
    return f"{plain}-{number}"
