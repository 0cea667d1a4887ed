"""What the server answers when it refuses: a Status, with the words of a real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.kubernetes.apiserver.objects import Object


@dataclass(frozen=True, slots=True)
class Cause:
    """What is wrong with one field.

    Attributes:
        field: Its path: ``spec.workers.replicas``.
        message: What is wrong, as a real server says it.
        reason: FieldValueInvalid, FieldValueRequired, ...
    """

    field: str
    message: str
    reason: str = "FieldValueInvalid"


class ApiError(Exception):
    """A request that is refused.

    Args:
        code: Of HTTP.
        reason: One word, which clients go by.
        message: For people.
        details: What it is about; may name causes.
        retry_after_s: When to try again, if the client should.
    """

    def __init__(
        self, code: int, reason: str, message: str, details: Object | None = None, retry_after_s: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after_s = retry_after_s

    def status(self) -> Object:
        """What goes over the wire."""
        details = dict(self.details or {})
        if self.retry_after_s:
            details["retryAfterSeconds"] = self.retry_after_s
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if details:
            status["details"] = details
        return status


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> ApiError:
    """There is no such object."""
    details = {"name": name, "group": group, "kind": plural}
    return ApiError(404, "NotFound", f'{_qualified(plural, group)} "{name}" not found', details)


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """There is one of that name."""
    details = {"name": name, "group": group, "kind": plural}
    return ApiError(409, "AlreadyExists", f'{_qualified(plural, group)} "{name}" already exists', details)


def conflict(plural: str, group: str, name: str, why: str = "") -> ApiError:
    """The request was made for another version of the object."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, {"name": name, "group": group, "kind": plural})


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """The object breaks its schema, or a rule."""
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    sentence = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    qualified = f"{kind}.{group}" if group else kind
    details = {
        "name": name,
        "group": group,
        "kind": kind,
        "causes": [{"reason": each.reason, "message": each.message, "field": each.field} for each in causes],
    }
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {sentence}', details)


def bad_request(message: str) -> ApiError:
    """The request cannot be read."""
    return ApiError(400, "BadRequest", message)


def forbidden(plural: str, group: str, name: str, why: str, causes: Sequence[Object] = ()) -> ApiError:
    """The request is understood, and refused."""
    details: Object = {"name": name, "group": group, "kind": plural}
    if causes:
        details["causes"] = list(causes)
    return ApiError(403, "Forbidden", f'{_qualified(plural, group)} "{name}" is forbidden: {why}', details)


def expired() -> ApiError:
    """What is asked for has been forgotten; clients list anew."""
    return ApiError(410, "Expired", "The resourceVersion for the provided watch is too old.")


def too_many_requests(message: str, retry_after_s: int = 1, causes: Sequence[Object] = ()) -> ApiError:
    """Later."""
    return ApiError(429, "TooManyRequests", message, {"causes": list(causes)} if causes else None, retry_after_s)


def method_not_allowed() -> ApiError:
    """The resource has no such verb."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unknown_path() -> ApiError:
    """There is no such resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})
