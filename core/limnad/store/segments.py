"""Files of records that are only ever appended to, and what a crash in the middle of an append leaves of one.

A record is a head with checksums of its own and of what follows, then a name, then data. What is appended at once is
one record: several are packed into a **group**, a record whose data are records, so that all of it is there or nothing.
An append is synced before the next one begins, so at most the last record of a file can be torn:

    what is at the end                                      is
    fewer bytes than a head, or than the head says          torn
    all that the head says, but not what was written        torn, if nothing follows; else damage
    no head                                                 torn, if there are only zeros to the end; else damage

What is torn was never acknowledged, and is cut off. Damage is an error: what was acknowledged is gone. That the last
record of a file was damaged after it had been synced cannot be told from a torn one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final
from zlib import crc32

from limnad.store.errors import StoreError
from limnad.store.interface import Bytes

_FIELDS: Final = Struct("<BHIQI")  # kind, bytes of the name, bytes of the data, number, checksum of both
_SUM: Final = Struct("<I")
_HEAD_BYTES: Final = _FIELDS.size + _SUM.size
_PIECE_BYTES: Final = 1 << 20
_GROUP: Final = 255


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is read.

    Attributes:
        kind: For whoever wrote it: less than 255.
        number: Likewise.
        name: Likewise.
        data: Likewise; empty if only heads were asked for.
        stop: Where in the file the next one begins that is not of the same group.
    """

    kind: int
    number: int
    name: bytes
    data: bytes
    stop: int


class Torn(Exception):
    """The end of a file is a part of a record.

    Attributes:
        start: Where it begins.
    """

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


def pack(kind: int, number: int, name: bytes, data: Bytes) -> list[Bytes]:
    """A record, in parts that are to be written one behind the other."""
    fields = _FIELDS.pack(kind, len(name), memoryview(data).nbytes, number, crc32(data, crc32(name)))
    return [fields + _SUM.pack(crc32(fields)) + name, data]


def pack_group(records: Sequence[list[Bytes]]) -> list[Bytes]:
    """Records that are written together, each from `pack`."""
    if len(records) == 1:
        return records[0]
    return pack(_GROUP, len(records), b"", b"".join(part for record in records for part in record))


def write_at(path: Path, start: int, parts: list[Bytes]) -> int:
    """Writes behind what is there, and syncs; returns where it ends. If that fails, what was written is cut off.

    Raises:
        OSError: It failed.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        try:
            at = start
            for part in parts:
                left = memoryview(part).cast("B")
                while left:
                    written = os.pwrite(handle, left, at)
                    at, left = at + written, left[written:]
            os.fsync(handle)
        except BaseException:
            os.ftruncate(handle, start)
            raise
    finally:
        os.close(handle)
    return at


def read_records(path: Path, start: int = 0, stop: int | None = None, *, heads: bool = False) -> Iterator[Record]:
    """The records from one place of a file to another, by default its end.

    Args:
        path: The file.
        start: Where a record begins.
        stop: Where one ends.
        heads: Whether to pass over data, unchecked.

    Raises:
        Torn: The last record is not whole.
        StoreError: The file is damaged.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size if stop is None else stop
        while start < size:
            record = _read(file, start, size, heads=heads)
            if record.kind == _GROUP:
                yield from _of_group(file, start, record.stop, heads=heads)
            else:
                yield record
            start = record.stop


def _of_group(file: BinaryIO, start: int, stop: int, *, heads: bool) -> Iterator[Record]:
    at = start + _HEAD_BYTES
    while at < stop:
        record = _read(file, at, stop, heads=heads)
        yield replace(record, stop=stop)
        at = record.stop


def _read(file: BinaryIO, start: int, size: int, *, heads: bool) -> Record:
    file.seek(start)
    head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES or start + _HEAD_BYTES > size:
        raise Torn(start)
    fields = head[: _FIELDS.size]
    if _SUM.pack(crc32(fields)) != head[_FIELDS.size :]:
        file.seek(start)
        if _only_zeros(file):
            raise Torn(start)
        raise _damaged(file, start)
    kind, name_bytes, data_bytes, number, checksum = _FIELDS.unpack(fields)
    stop = start + _HEAD_BYTES + name_bytes + data_bytes
    if stop > size:
        raise Torn(start)
    name = file.read(name_bytes)
    if heads:
        return Record(kind, number, name, b"", stop)
    data = file.read(data_bytes)
    if crc32(data, crc32(name)) != checksum:
        raise Torn(start) if stop == size else _damaged(file, start)
    return Record(kind, number, name, data, stop)


def _only_zeros(file: BinaryIO) -> bool:
    while piece := file.read(_PIECE_BYTES):
        if piece.count(0) != len(piece):
            return False
    return True


def _damaged(file: BinaryIO, start: int) -> StoreError:
    return StoreError(
        f"{file.name} is damaged at byte {start}: check the disk, and bring the file back from where it is kept. To go "
        "on without what was pushed from there on, cut it off at that byte"
    )
