"""Limnad: timely dataflow for Python.

The library. It knows no process, no socket and no Kubernetes: what runs a dataflow (threads, gRPC, pods) are the shells
in ``limnad_worker``, ``limnad_coordinator`` and ``limnad_operator``, which stand on it and are never imported by it.

A job is a function that takes a `Flow`. `FrameStream` and `RecordStream` are what most of it is written with; `Vertex`
is for the rest. `local` runs a job from a program, `limnad.testing` in a test, ``limnad run`` from a shell.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from limnad.errors import ClusterError, InputError, JobError, JobFailed, LimnadError
from limnad.timely import END, TOP, GraphError, TimeError, Timestamp, Vertex, join, less_equal, meet

if TYPE_CHECKING:
    from limnad.client import AsyncClient, Checkpointing, Client, LocalCluster, Tls, local
    from limnad.stream import Flow, FrameStream, GroupBy, KeyedStream, Loop, Probe, RecordStream, Stream
    from limnad.timely.frame_state import FrameState
    from limnad.timely.state import KeyedState, StateError, TimedBatches

# What needs Polars or gRPC is imported when it is first asked for: an agent does without Polars, an engine without the
# client, and both start in half the time.
_LAZY = {
    **dict.fromkeys(("AsyncClient", "Checkpointing", "Client", "LocalCluster", "Tls", "local"), "limnad.client"),
    "FrameState": "limnad.timely.frame_state",
    **dict.fromkeys(("KeyedState", "StateError", "TimedBatches"), "limnad.timely.state"),
    **dict.fromkeys(
        ("Flow", "FrameStream", "GroupBy", "KeyedStream", "Loop", "Probe", "RecordStream", "Stream"), "limnad.stream"
    ),
}

__all__ = [
    "END",
    "TOP",
    "AsyncClient",
    "Checkpointing",
    "Client",
    "ClusterError",
    "Flow",
    "FrameState",
    "FrameStream",
    "GraphError",
    "GroupBy",
    "InputError",
    "JobError",
    "JobFailed",
    "KeyedState",
    "KeyedStream",
    "LimnadError",
    "LocalCluster",
    "Loop",
    "Probe",
    "RecordStream",
    "StateError",
    "Stream",
    "TimeError",
    "TimedBatches",
    "Timestamp",
    "Tls",
    "Vertex",
    "join",
    "less_equal",
    "local",
    "meet",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'limnad' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
