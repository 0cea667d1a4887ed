"""Batches as bytes, on the wire and in a checkpoint.

Frames travel as Arrow IPC, records in a compact self-describing encoding that keeps every Python type. Values of a
user's own classes are data of a class that both sides can import: only with `trusted=True`, between the engines of one
job, they travel as a pickle. What comes from a client is decoded with `trusted=False`: it is never unpickled, and
whatever it is, the answer is a batch or a `CodecError`.
"""

import enum
import pickle

import polars as pl

from limnad.batch._errors import CodecError
from limnad.batch._frames import decode_frame, encode_frame
from limnad.batch._records import decode_records, encode_plain_records, encode_records
from limnad.batch.sizes import Batch

__all__ = ["CodecError", "Encoding", "decode", "encode"]


class Encoding(enum.IntEnum):
    """What the bytes are. The numbers are in checkpoints: never change one, only add."""

    FRAME = 1
    RECORDS = 2
    PICKLED = 3


def encode(batch: Batch, *, trusted: bool = False) -> tuple[Encoding, bytes]:
    """Encodes a batch.

    Law: `decode(*encode(batch))` equals the batch, with every type kept.

    Records that are plain values, or tuples, lists or dicts of them, are encoded alike in both modes. Others are
    pickled if trusted, which is faster and takes any class that can be imported.

    >>> encode([("a", 1)])[0].name, encode([1 + 2j], trusted=True)[0].name
    ('RECORDS', 'PICKLED')

    Raises:
        TypeError: for what cannot be encoded: the type, and what to do, are named.
        ValueError: for records nested deeper than 64 containers.
    """
    if isinstance(batch, pl.DataFrame):
        return Encoding.FRAME, encode_frame(batch)
    if not trusted:
        return Encoding.RECORDS, encode_records(batch)
    encoded = encode_plain_records(batch)
    if encoded is not None:
        return Encoding.RECORDS, encoded
    return Encoding.PICKLED, _pickle(batch)


def decode(encoding: int, data: bytes, *, trusted: bool = False) -> Batch:
    """Decodes a batch.

    >>> decode(*encode([(1, None), (2, b"x")]))
    [(1, None), (2, b'x')]

    Raises:
        CodecError: if the bytes are no batch of this encoding, or are pickled and not trusted.
    """
    if encoding == Encoding.FRAME:
        return decode_frame(data, trusted=trusted)
    if encoding == Encoding.RECORDS:
        return decode_records(data)
    if encoding != Encoding.PICKLED:
        raise CodecError(f"no encoding has the number {encoding}: the sender is of another version, or no Limnad")
    if not trusted:
        raise CodecError("these records are pickled, and were sent by somebody who is not trusted to run code here")
    return _unpickle(data)


def _pickle(records: list[object]) -> bytes:
    try:
        return pickle.dumps(records, protocol=5)
    except Exception as error:  # Pickling runs the classes' own code, which may raise anything.
        kinds = ", ".join(sorted({f"{type(record).__module__}.{type(record).__qualname__}" for record in records}))
        raise TypeError(
            f"records of type {kinds} cannot be sent ({error}); use plain values, or classes at the top of a module"
        ) from error


def _unpickle(data: bytes) -> Batch:
    try:
        records = pickle.loads(data)  # noqa: S301 - only from engines of the same job, which run the same code
    except Exception as error:
        raise CodecError(f"these bytes are no pickled records: {type(error).__name__}: {error}") from error
    if not isinstance(records, list):
        raise CodecError(f"these bytes are a pickled {type(records).__name__}, not a list of records")
    return records
