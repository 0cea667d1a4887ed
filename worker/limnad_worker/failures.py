"""What an engine tells the agent of its failure: by whose fault it is, and what its user wants to read."""

from __future__ import annotations

from limnad.cluster.effects import LinkError
from limnad.cluster.inputs import SourceFailure
from limnad.cluster.state_limits import StateFull
from limnad.connectors.exactly_once import LostOutput
from limnad.errors import ClusterError, InputError
from limnad.stream.failures import brief, undescribed, user_traceback
from limnad.timely.scheduler import VertexFailure
from limnad_proto.v1 import control_pb2 as wire


class Unrestorable(Exception):
    """The checkpoint to start from cannot be read."""


def describe(error: BaseException, worker: int) -> wire.Failed:
    """A failure as the agent is told of it."""
    match error:
        case VertexFailure():
            cause = error.__cause__ or error
            return wire.Failed(
                summary=f"{brief(cause)}\nThis came from stage {error.stage!r} in {error.callback} on worker {worker}"
                + (f" at time {error.time}." if error.time is not None else "."),
                traceback=user_traceback(cause),
                stage=error.stage,
                time=error.time or (),
                fault=_fault_of(cause),
            )
        case SourceFailure():
            cause = error.__cause__ or error
            return wire.Failed(
                summary=f"{brief(cause)}\nThis came from input {error.stage!r}, partition {error.partition!r}, on "
                f"worker {worker}.",
                traceback="" if isinstance(cause, (InputError, OSError)) else user_traceback(cause),
                stage=error.stage,
                fault=_fault_of(cause),
            )
        case StateFull():
            return wire.Failed(summary=f"{error}.", stage=error.stage, fault="job")
        case Unrestorable():
            return wire.Failed(summary=str(error), fault="checkpoint")
        case ClusterError():
            return wire.Failed(summary=str(error), fault="engine")
        case LinkError():
            return wire.Failed(summary=str(error), fault="link")
        case _:
            failed = undescribed(error)
            return wire.Failed(summary=failed.summary, traceback=failed.traceback, fault="job")


def _fault_of(cause: BaseException) -> str:
    """What is away now may be there in a new generation; what is wrong with the job stays so."""
    return "engine" if isinstance(cause, ClusterError) and not isinstance(cause, LostOutput) else "job"
