"""What a log is: entries in one order, each appended once however often its append is tried.

A log has one claimant at a time, named by a **generation**: a number that only rises. Each entry carries its
**producer** and that producer's **sequence** number (1, 2, 3, ...), by which a repetition is known. **Offsets** count
the entries from 0 and are never given twice, not even after the entry was trimmed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Protocol

from limnad.store.errors import Conflict, Gap, LostState
from limnad.store.interface import MAX_CHUNK_BYTES, Bytes, Guard

MAX_ENTRY_BYTES: Final = MAX_CHUNK_BYTES
MAX_PRODUCER_BYTES: Final = 240


@dataclass(frozen=True, slots=True)
class Last:
    """A producer's newest entry, which is remembered when the entry itself is trimmed.

    Attributes:
        sequence: Its number.
        offset: Where it lies, or lay.
    """

    sequence: int
    offset: int


@dataclass(frozen=True, slots=True)
class LogState:
    """What a log knew when it was claimed.

    Attributes:
        end: The offset that the next new entry gets.
        producers: The newest entry of each.
    """

    end: int = 0
    producers: Mapping[str, Last] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class New:
    """What is to be appended: see `Log.append`."""

    producer: str
    sequence: int
    data: Bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry.

    Attributes:
        offset: Its place.
        producer: Whose it is.
        sequence: The producer's number for it.
        data: What was appended.
    """

    offset: int
    producer: str
    sequence: int
    data: bytes


class Log(Protocol):
    """A log. Like all calls of a store, each may be made twice."""

    def claim(self, generation: int) -> LogState:
        """Takes the log over: from now on appends of an older generation are refused.

        Law: what is in the log when it returns is all that an older generation ever gets into it.

        Raises:
            Conflict: A newer generation has claimed it.
        """

    def append(self, producer: str, sequence: int, data: Bytes, *, generation: int) -> int:
        """Appends an entry; returns its offset when it is durable (in Redis: as durable as that server can make it).

        Laws: a number that its producer has used already appends nothing and returns the offset of the first time, or,
        if that entry is trimmed and not the producer's newest, an offset below which all is trimmed. Entries of one
        producer lie in the order of their numbers without a gap. What failed with `Full` is not there; what failed with
        `Unavailable` may be, and the same call finds out.

        Args:
            producer: Any text of at most `MAX_PRODUCER_BYTES` bytes.
            sequence: The producer's newest number plus one; 1 for the first.
            data: At most `MAX_ENTRY_BYTES`.
            generation: In whose name; a newer one than the log has seen claims it.

        Raises:
            Gap: The number skips one.
            Conflict: A newer generation has claimed the log.
            Full: There is no room.
            Unavailable: The outcome is unknown.
        """

    def append_many(self, entries: Sequence[New], *, generation: int) -> list[int]:
        """Appends entries in their order, like `append` each, but with one wait for all; returns their offsets.

        Law: if it fails, some may be there, and `append` of each finds out; of one producer only the first ones may.

        Raises: See `append`.
        """

    def read(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Offset and data of each entry from ``start`` to what is the end now, in order and in bounded memory.

        Raises:
            LostState: One of them is not there any more.
        """

    def first(self) -> int:
        """The offset of the first entry that is still there; if there is none, `end`."""

    def end(self) -> int:
        """The offset that the next new entry gets."""

    def trim(self, below: int) -> None:
        """Lets entries below an offset go; some of them may stay for a while. Which numbers were used stays known."""

    def last_sequence(self, producer: str) -> int:
        """The newest number that a producer has used; 0: none."""

    def forget(self, producers: Mapping[str, Last], *, generation: int) -> AbstractSet[str]:
        """Forgets producers whose newest entries are these: as if they had never appended anything. Returns which.

        A producer that has appended since is not forgotten, nor one of which that is not true.

        Raises:
            Conflict: A newer generation has claimed the log.
        """

    def delete(self, *, guard: Guard | None = None) -> None:
        """Deletes all of it, and forgets numbers and generation.

        Raises:
            Conflict: The guard's record has another version, and nothing is deleted.
        """


def check_entry(producer: str, sequence: int, data: Bytes) -> bytes:
    """Refuses what no log takes, and gives back the producer as bytes.

    >>> check_entry("ann", 1, b"")
    b'ann'

    Raises:
        ValueError: The producer is empty, too long or no Unicode text, the number not positive, the data too long.
    """
    try:
        name = producer.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a producer is Unicode text, which {producer!r} is not") from None
    if not 0 < len(name) <= MAX_PRODUCER_BYTES:
        raise ValueError(f"a producer has 1 to {MAX_PRODUCER_BYTES} bytes, not {len(name)}: {producer[:40]!r}")
    if not 0 < sequence < 1 << 53:
        raise ValueError(f"a sequence number is at least 1, not {sequence}")
    nbytes = memoryview(data).nbytes
    if nbytes > MAX_ENTRY_BYTES:
        raise ValueError(f"an entry has at most {MAX_ENTRY_BYTES:,} bytes, not {nbytes:,}: push fewer rows at once")
    return name


def gap(where: str, producer: str, last: int, sequence: int) -> Gap:
    """A number was skipped."""
    return Gap(
        f"{where}: {producer!r} comes with number {sequence}, but its newest is {last}: what lies between was never "
        "appended, or this log is not the one it was. Ask for the newest number and go on from there"
    )


def fenced(where: str, generation: int, claimed: int) -> Conflict:
    """A newer generation has claimed the log."""
    return Conflict(f"{where} belongs to generation {claimed}, not to {generation}: another leader has taken over")


def trimmed(where: str, start: int, first: int) -> LostState:
    """Entries are wanted that are gone."""
    return LostState(
        f"{where} begins at entry {first}, but entry {start} is wanted: it was trimmed because checkpoints covered it, "
        "and those are gone. Rows that were pushed would be missing: start the job anew under another name"
    )


def first_offset(entries: Iterator[Entry], producer: str, sequence: int, first: int) -> int:
    """Where an older entry lies; if it was trimmed, the last place where it can have been. Nobody does this often."""
    for entry in entries:
        if entry.producer == producer and entry.sequence == sequence:
            return entry.offset
    return first - 1
