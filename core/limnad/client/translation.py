"""From what gRPC says to errors of Limnad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc

from limnad.errors import ClusterError, JobError

T = TypeVar("T")


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


def translated_stream(call: Any) -> Iterator[Any]:
    """What a call answers, one after the other. Raises: see `translated`."""
    try:
        yield from call
    except grpc.RpcError as error:
        raise translate(error) from None
    finally:
        call.cancel()


def translate(error: Any) -> Exception:
    """What an error of gRPC means."""
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unreachable(f"the agent cannot be reached: {details}")
    if code is grpc.StatusCode.ABORTED:
        return ClusterError(details)
    if code is grpc.StatusCode.CANCELLED:
        return ClusterError("this client was closed")
    if code is grpc.StatusCode.NOT_FOUND:
        return UnknownJob(details)
    return JobError(details or str(code))
