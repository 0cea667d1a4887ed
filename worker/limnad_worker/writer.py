"""Stores what an engine captures, on a thread of its own, while the engine runs on; and reads what it starts from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from limnad.cluster.effects import Captured
from limnad.cluster.parts import read_part, write_part
from limnad.cluster.records import CheckpointRecord, PartRecord
from limnad.errors import JobError
from limnad.histogram import Histogram
from limnad.store import Checkpoints, ChunkRef, Durability, Space, open_store
from limnad.timely.snapshot import Part
from limnad_worker.inbox import Inbox


@dataclass(frozen=True, slots=True)
class Written:
    """A captured part is durable, or could not be stored.

    Attributes:
        checkpoint: Its number.
        part: Its record as MessagePack; None: it could not be stored.
        encode_us: How long encoding took.
        upload_us: How long the rest of storing took: naming chunks by their content and handing them to the store.
        stored_bytes: How much was encoded.
        error: Why not.
        lost: Whether chunks that an earlier checkpoint had stored are gone: the next must not build upon them.
    """

    checkpoint: int
    part: bytes | None
    encode_us: int = 0
    upload_us: int = 0
    stored_bytes: int = 0
    error: str = ""
    lost: bool = False


class ChunksGone(Exception):
    """What an earlier checkpoint has stored is not in the store any more."""


def check_durable(committed: Sequence[str], writer: Writer | None) -> None:
    """Refuses sinks with committed delivery where nothing is ever sure to be committed.

    Args:
        committed: Their names.
        writer: The way to the store; None: there is no store.

    Raises:
        JobError: There is such a sink, and no store, or one that may forget.
    """
    if not committed:
        return
    if writer is None:
        raise JobError(
            f"the sink {committed[0]!r} has committed delivery: it shows what a checkpoint covers, and this run makes "
            "none. Run it with --checkpoint, or give the sink eager delivery"
        )
    if not (durability := writer.durability).sure:
        raise JobError(
            f"the sink {committed[0]!r} has committed delivery, which needs a store that does not forget what it has "
            f"acknowledged: {durability.reason}"
        )


class Writer:
    """One engine's way to the store.

    Args:
        url: See `limnad.store.open_store`.
        space: The job's name in the store.
        inbox: Where `Written` goes.
    """

    def __init__(self, url: str, space: str, inbox: Inbox) -> None:
        self._inbox = inbox
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._store = open_store(url)
        self._space: Space = self._store.job(space)
        self._records: dict[int, PartRecord] = {}
        self._previous: PartRecord | None = None
        self._bytes = 0
        self._encode_s = 0.0

    @property
    def durability(self) -> Durability:
        """What the store promises."""
        return self._store.durability

    def read(self, checkpoint: int, worker: int, workers: int) -> Sequence[Part]:
        """All workers' parts of a checkpoint, as far as this worker gets a share of them.

        Raises:
            StoreError: The store cannot be read, or a chunk is missing or corrupt.
            PartError: What was stored is not what it should be.
        """
        record = CheckpointRecord.decode(Checkpoints(self._space).manifest(checkpoint).body)
        return [read_part(part, self._get, worker, workers) for part in record.parts]

    def _get(self, names: Iterable[str]) -> Iterable[bytes]:
        return self._space.chunks.get_many(map(ChunkRef.parse, names))

    @property
    def requests(self) -> Histogram:
        """How long each request to the store's server took."""
        return self._store.requests

    def write(self, captured: Captured) -> None:
        """Stores a part; a `Written` comes when it is done."""
        self._thread.submit(self._write, captured)

    def committed(self, checkpoint: int) -> None:
        """A checkpoint is durable: what has not changed since need not be written again."""
        self._previous = self._records.pop(checkpoint, self._previous)
        self._records = {number: record for number, record in self._records.items() if number > checkpoint}

    def close(self) -> None:
        """Gives up what is not stored yet."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._store.close()

    def _write(self, captured: Captured) -> None:
        began_s = time.perf_counter()
        number, previous = captured.checkpoint, self._previous
        self._bytes, self._encode_s = 0, 0.0
        try:
            record = write_part(captured.snapshot, lambda datas: self._put(datas, number), previous)
            self._keep(record, previous, number)
        except Exception as error:  # noqa: BLE001 - whatever it is, this checkpoint is dropped and the job goes on
            told = Written(number, None, error=str(error), lost=isinstance(error, ChunksGone))
        else:
            # A checkpoint begins when the one before is decided; of that this engine may not have heard yet.
            self._records = {other: self._records[other] for other in list(self._records)[-1:]} | {number: record}
            upload_s = time.perf_counter() - began_s - self._encode_s
            part = msgspec.msgpack.encode(record)
            told = Written(number, part, int(self._encode_s * 1e6), int(upload_s * 1e6), self._bytes)
        self._inbox.put_from_thread(told)

    def _put(self, datas: Iterable[bytes], checkpoint: int) -> list[str]:
        return [str(ref) for ref in self._space.chunks.put_many(self._measured(datas), mark=checkpoint)]

    def _measured(self, datas: Iterable[bytes]) -> Iterator[bytes]:
        """The same; chunks are encoded while they are asked for."""
        asked_s = time.perf_counter()
        for data in datas:
            self._encode_s += time.perf_counter() - asked_s
            self._bytes += len(data)
            yield data
            asked_s = time.perf_counter()
        self._encode_s += time.perf_counter() - asked_s

    def _keep(self, record: PartRecord, previous: PartRecord | None, checkpoint: int) -> None:
        """Claims the chunks of the previous checkpoint that this one uses again."""
        again = {ChunkRef.parse(name) for name in record.chunks() & (previous.chunks() if previous else set())}
        if gone := again - self._space.chunks.touch(again, mark=checkpoint):
            raise ChunksGone(f"{len(gone)} chunks of an earlier checkpoint are gone from {self._space.where}")
