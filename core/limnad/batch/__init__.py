"""Batches: what one message carries, and what is done to it between two vertices.

A batch is a Polars frame or a list of Python records. Here live, for both alike: the stable hash of keys (`hashing`),
key groups and the split by destination (`partition`), rows that are found by their key (`sorted_rows`), keys that a
dict finds (`nans`), bytes for the wire and for checkpoints (`codec`), sizes and joining (`sizes`).

What must never come here: anything that knows timestamps, stages or workers beyond their number; IO, threads, clocks;
Polars' or Python's own `hash`; a Python loop over a frame's rows. Whatever is done to each batch is done to every byte
that the engine moves: measure before changing it.
"""

from limnad.batch.codec import CodecError, Encoding, decode, encode
from limnad.batch.hashing import combine_hashes, hash_frame, hash_numbers, hash_records, hash_series, hash_value
from limnad.batch.nans import with_one_nan
from limnad.batch.partition import (
    KEY_GROUPS,
    MAX_KEY_GROUPS,
    Destinations,
    groups_of,
    key_group,
    least_hash,
    owners,
    split_frame,
    split_records,
    worker_of,
    workers_of,
)
from limnad.batch.sizes import Batch, concat, rows, size_bytes, stack
from limnad.batch.sorted_rows import SortedRows

__all__ = [
    "KEY_GROUPS",
    "MAX_KEY_GROUPS",
    "Batch",
    "CodecError",
    "Destinations",
    "Encoding",
    "SortedRows",
    "combine_hashes",
    "concat",
    "decode",
    "encode",
    "groups_of",
    "hash_frame",
    "hash_numbers",
    "hash_records",
    "hash_series",
    "hash_value",
    "key_group",
    "least_hash",
    "owners",
    "rows",
    "size_bytes",
    "split_frame",
    "split_records",
    "stack",
    "with_one_nan",
    "worker_of",
    "workers_of",
]
