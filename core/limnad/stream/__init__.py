"""Streams: per-time operators on frames and on Python records.

Here lives what most jobs are written in: `Flow` (a dataflow being described), `FrameStream` (batches are Polars frames,
expressions are the language), `RecordStream` and `KeyedStream` (batches are lists of Python objects), `Loop`, and
`Probe`. All operators here forget a time once it is complete; only `scan` carries state across times.

What must never live here: processes, sockets, Kubernetes; anything that a user could not write with the same public
`Vertex`.
"""

from limnad.stream.base import Probe, Stream
from limnad.stream.flow import BuiltFlow, Flow
from limnad.stream.frames import FrameStream, GroupBy
from limnad.stream.loop import Loop
from limnad.stream.partitions import Broadcast, ByColumns, ByKey, Routed, ToWorker
from limnad.stream.records import KeyedStream, RecordStream

__all__ = [
    "Broadcast",
    "BuiltFlow",
    "ByColumns",
    "ByKey",
    "Flow",
    "FrameStream",
    "GroupBy",
    "KeyedStream",
    "Loop",
    "Probe",
    "RecordStream",
    "Routed",
    "Stream",
    "ToWorker",
]
