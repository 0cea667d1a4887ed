"""Turns what a job raised into what its user wants to read: their own frames first, ours not at all."""

from __future__ import annotations

import traceback
from pathlib import Path

import polars as pl

import limnad
import limnad_worker
from limnad.cluster.effects import LinkError
from limnad.cluster.inputs import SourceFailure
from limnad.errors import ClusterError, InputError, JobError
from limnad.timely.scheduler import VertexFailure
from limnad_proto.v1 import control_pb2 as wire

# Frames inside Polars tell a user no more than its message does.
_HIDDEN = tuple(str(Path(package.__file__).parent) for package in (limnad, limnad_worker, pl) if package.__file__)


class Unrestorable(Exception):
    """The checkpoint to start from cannot be read."""


def describe(error: BaseException, worker: int) -> wire.Failed:
    """A failure as the agent is told of it."""
    match error:
        case VertexFailure():
            cause = error.__cause__ or error
            return wire.Failed(
                summary=f"{_brief(cause)}\nThis came from stage {error.stage!r} in {error.callback} on worker {worker}"
                + (f" at time {error.time}." if error.time is not None else "."),
                traceback=user_traceback(cause),
                stage=error.stage,
                time=error.time or (),
                fault="job",
            )
        case SourceFailure():
            cause = error.__cause__ or error
            return wire.Failed(
                summary=f"{_brief(cause)}\nThis came from input {error.stage!r}, partition {error.partition!r}, on "
                f"worker {worker}.",
                traceback="" if isinstance(cause, (InputError, OSError)) else user_traceback(cause),
                stage=error.stage,
                fault="job",
            )
        case Unrestorable():
            return wire.Failed(summary=str(error), fault="checkpoint")
        case LinkError():
            return wire.Failed(summary=str(error), fault="link", peer=error.peer)
        case ClusterError():
            return wire.Failed(summary=str(error), fault="engine")
        case JobError() | InputError() | OSError():
            return wire.Failed(summary=_brief(error), traceback=user_traceback(error), fault="job")
        case _:
            return wire.Failed(
                summary=f"{_brief(error)}\nThis came from the job's own code while it described its dataflow.",
                traceback=user_traceback(error),
                fault="job",
            )


def user_traceback(error: BaseException) -> str:
    """The traceback with only the user's frames and those of libraries they called; empty where none is left."""
    shown = traceback.TracebackException.from_exception(error)
    kept = _without_ours(shown)
    return "".join(shown.format()).rstrip() if kept else ""


def _without_ours(shown: traceback.TracebackException) -> bool:
    """Drops our frames from the whole chain of causes; whether any frame of the user's is left."""
    shown.stack = traceback.StackSummary.from_list([frame for frame in shown.stack if not _is_ours(frame.filename)])
    kept = bool(shown.stack) or bool(shown.exc_type and issubclass(shown.exc_type, SyntaxError))
    context = None if shown.__suppress_context__ else shown.__context__
    for cause in (shown.__cause__, context):
        if cause is not None:
            kept |= _without_ours(cause)
    return kept


def _is_ours(filename: str) -> bool:
    return filename.startswith((*_HIDDEN, "<frozen importlib"))


def _brief(error: BaseException) -> str:
    text = str(error).strip()
    if isinstance(error, (JobError, InputError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
