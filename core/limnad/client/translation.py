"""From what gRPC says to errors of Limnad."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import grpc

from limnad.errors import ClusterError, JobError, MissedEpochs

T = TypeVar("T")

FIRST_WAIT_S: Final = 0.05
LONGEST_WAIT_S: Final = 2.0
"""Between two attempts; each wait is twice the last one."""


class Unreachable(ClusterError):
    """Nobody answers: whether the call had its effect is unknown."""


class UnknownJob(JobError):
    """The agent does not know that job: it is another one than it was submitted to, or was started anew."""


def translated(call: Callable[[], T]) -> T:
    """Makes a call.

    Raises:
        JobError: The agent refuses.
        ClusterError: It cannot be reached.
    """
    try:
        return call()
    except grpc.RpcError as error:
        raise translate(error) from None
    except StopIteration:
        raise Unreachable("the agent has ended the call") from None
    except ValueError as error:
        raise ClusterError(f"this client was closed: {error}") from None


def translated_stream(start: Callable[[], Any]) -> Iterator[Any]:
    """What a call answers, one after the other. Raises: see `translated`."""
    call = translated(start)
    try:
        yield from call
    except grpc.RpcError as error:
        raise translate(error) from None
    finally:
        call.cancel()


def patient_stream(start: Callable[[], Any], patience_s: float) -> Iterator[Any]:
    """The same for a call that may be made again, where it left off, when whoever answers it has been restarted.

    Args:
        start: Makes the call.
        patience_s: How long whoever answers may be away, counted from when that is noticed: before it, the call may
            have had nothing to answer for hours.
    """
    deadline_s, wait_s = 0.0, FIRST_WAIT_S
    while True:
        try:
            for answer in translated_stream(start):
                deadline_s, wait_s = 0.0, FIRST_WAIT_S
                yield answer
        except Unreachable:
            deadline_s = deadline_s or time.monotonic() + patience_s
            if time.monotonic() + wait_s >= deadline_s:
                raise
        else:
            return
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def translate(error: Any) -> Exception:
    """What an error of gRPC means."""
    code, details = error.code(), error.details()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Unreachable(f"the agent cannot be reached: {details}{_hint(details or '')}")
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return ClusterError(f"the cluster does not let this client in: {details} (--token-file, LIMNAD_TOKEN, token=)")
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return ClusterError(f"the cluster does not let this client in: {details}")
    if code is grpc.StatusCode.ABORTED:
        return ClusterError(details)
    if code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):  # Not by us: what was done until then is not known.
        return ClusterError(f"the agent has failed at it: {details}")
    if code is grpc.StatusCode.DATA_LOSS:
        return MissedEpochs(details)
    if code is grpc.StatusCode.CANCELLED:
        return ClusterError("this client was closed")
    if code is grpc.StatusCode.NOT_FOUND:
        return UnknownJob(details)
    return JobError(details or str(code))


def _hint(details: str) -> str:
    """What to look at when TLS could not be agreed upon."""
    if "Hostname Verification" in details:
        return ": its certificate has another name: say which (--tls-name, LIMNAD_TLS_NAME, limnad.Tls(name=))"
    if "WRONG_VERSION_NUMBER" in details:
        return ": it speaks no TLS there: leave --tls-ca out, or take its port for clients"
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return ": its certificate is none of this authority's, or has expired (--tls-ca, LIMNAD_TLS_CA, tls=)"
    return ""
