"""A guard before Polars' reader of Arrow IPC streams: it walks the metadata and refuses impossible lengths.

Polars' reader believes some lengths before it has seen the bytes, and asks for the memory: a forged length then aborts
the process (not an exception; found by fuzzing). Also refused is what we never write and what multiplies: compressed
bodies, schemas nested beyond 64 levels, or with more fields than bytes. What passes, Polars validates itself: offsets,
UTF-8 and dictionary keys.

The metadata are flatbuffers: a table starts with the distance back to its vtable, whose entries are the distances of
its fields.
"""

import struct
from collections.abc import Iterator

from limnad.batch._errors import CodecError

__all__ = ["check_stream"]

MAX_DEPTH = 64
MAX_FIELDS = 16_384
MAX_ROWS = (1 << 32) - 1

_CONTINUATION = 0xFFFFFFFF
_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3


def check_stream(data: bytes) -> None:
    """Checks that the stream's messages lie within `data` and each buffer within its message.

    Raises:
        CodecError: if not.
    """
    position = 0
    headers: list[int] = []
    while True:
        if _unsigned(data, position, 4) != _CONTINUATION:
            raise CodecError("not an Arrow stream: a message does not start with its marker")
        size = _unsigned(data, position + 4, 4)
        position += 8
        if not size:
            break
        body = position + size
        _require(size <= len(data) - position, "metadata beyond the end")
        message = _Table.root(data[position:body])
        body_size = message.signed(3, 8)
        _require(0 <= body_size <= len(data) - body, "a body beyond the end")
        headers.append(message.unsigned(1, 1))
        _check_message(message, headers[-1], body_size)
        position = body + body_size
    _require(position == len(data), "bytes after the end")
    _require(headers[:1] == [_SCHEMA] and headers.count(_SCHEMA) == 1, "no schema at the start, or several")


def _check_message(message: "_Table", header: int, body_size: int) -> None:
    content = message.table(2)
    if header == _SCHEMA:
        _check_fields(content)
    elif header == _RECORD_BATCH:
        _check_batch(content, body_size)
    elif header == _DICTIONARY_BATCH:
        _check_batch(content.table(1), body_size)
    else:
        raise CodecError(f"malformed Arrow stream: a message of the unknown type {header}")


def _check_fields(schema: "_Table") -> None:
    level = list(schema.tables(1))
    seen = 0
    for _ in range(MAX_DEPTH):
        # Offsets may share a table, so that a small schema unfolds to any number of fields.
        seen += len(level)
        _require(seen <= MAX_FIELDS, "too many fields")
        level = [child for field in level for child in field.tables(5)]
        if not level:
            return
    raise CodecError(f"malformed Arrow stream: types nested deeper than {MAX_DEPTH}")


def _check_batch(batch: "_Table", body_size: int) -> None:
    _require(not batch.has(3), "a compressed body, which Limnad never writes")
    _require(0 <= batch.signed(0, 8) <= MAX_ROWS, "an impossible number of rows")
    for length, nulls in batch.pairs(1):
        _require(0 <= nulls <= length <= MAX_ROWS, "an impossible length of a column")
    for offset, length in batch.pairs(2):
        _require(offset >= 0 and length >= 0 and offset + length <= body_size, "a buffer beyond its body")


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise CodecError(f"malformed Arrow stream: {fault}")


def _unsigned(data: bytes, position: int, size: int) -> int:
    _require(0 <= position <= len(data) - size, "truncated")
    return int.from_bytes(data[position : position + size], "little")


def _signed(data: bytes, position: int, size: int) -> int:
    _require(0 <= position <= len(data) - size, "truncated")
    return int.from_bytes(data[position : position + size], "little", signed=True)


class _Table:
    """A flatbuffers table; every read is within the metadata."""

    __slots__ = ("_data", "_fields", "_position")

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position
        vtable = position - _signed(data, position, 4)
        size = _unsigned(data, vtable, 2)
        _require(4 <= size <= len(data) - vtable and size % 2 == 0, "a broken table")
        self._fields = struct.unpack_from(f"<{(size - 4) // 2}H", data, vtable + 4)

    @classmethod
    def root(cls, data: bytes) -> "_Table":
        return cls(data, _unsigned(data, 0, 4))

    def has(self, field: int) -> bool:
        return field < len(self._fields) and self._fields[field] != 0

    def _at(self, field: int) -> int:
        return self._position + int(self._fields[field])

    def signed(self, field: int, size: int) -> int:
        return _signed(self._data, self._at(field), size) if self.has(field) else 0

    def unsigned(self, field: int, size: int) -> int:
        return _unsigned(self._data, self._at(field), size) if self.has(field) else 0

    def table(self, field: int) -> "_Table":
        _require(self.has(field), "a missing table")
        at = self._at(field)
        return _Table(self._data, at + _unsigned(self._data, at, 4))

    def _vector(self, field: int, item_size: int) -> range:
        """The positions of a vector's items."""
        if not self.has(field):
            return range(0)
        at = self._at(field)
        at += _unsigned(self._data, at, 4)
        count = _unsigned(self._data, at, 4)
        _require(count * item_size <= len(self._data) - at - 4, "a vector beyond the end")
        return range(at + 4, at + 4 + count * item_size, item_size)

    def tables(self, field: int) -> Iterator["_Table"]:
        """The tables of a vector of tables."""
        for at in self._vector(field, 4):
            yield _Table(self._data, at + _unsigned(self._data, at, 4))

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """The items of a vector of pairs of 64-bit integers."""
        for at in self._vector(field, 16):
            yield struct.unpack_from("<qq", self._data, at)
