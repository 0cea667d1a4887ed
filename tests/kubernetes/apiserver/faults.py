"""Faults that a test wants: some requests are refused, are left hanging, or lose their connection."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from tests.kubernetes.apiserver.errors import ApiError


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as faults look at it.

    Attributes:
        verb: get, list, watch, create, update, patch, delete or deletecollection.
        resource: The plural, with its subresource: ``pods``, ``statefulsets/status``.
        namespace: Where; empty: everywhere.
        name: Of the object; empty: of none.
        agent: What the client calls itself.
    """

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""
    agent: str = ""


@dataclass(slots=True)
class Fault:
    """What happens to which requests.

    Attributes:
        verb: A pattern, of the whole verb.
        resource: A pattern, of the whole resource.
        name: A pattern, of the whole name.
        agent: A pattern, found anywhere in the client's name.
        times: How often it still happens.
        code: What is answered; 0: nothing.
        hang: The request gets no answer, until the client gives up. A watch is opened and says nothing.
        drop: The connection is closed without an answer; a watch that is open is closed in the middle.
        delay_s: The answer comes later.
        seen: How often it has happened.
    """

    verb: str = ".*"
    resource: str = ".*"
    name: str = ".*"
    agent: str = ""
    times: int = 1_000_000
    code: int = 0
    hang: bool = False
    drop: bool = False
    delay_s: float = 0.0
    seen: int = field(default=0, compare=False)

    def fits(self, asked: Asked) -> bool:
        """Whether it happens to this request."""
        pairs = ((self.verb, asked.verb), (self.resource, asked.resource), (self.name, asked.name))
        whole = all(re.fullmatch(pattern, value) for pattern, value in pairs)
        return self.times > 0 and whole and re.search(self.agent, asked.agent) is not None


_REASONS = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", ""),
    409: ("Conflict", "the object has been modified; please apply your changes to the latest version and try again"),
    429: ("TooManyRequests", "too many requests, please try again later"),
    500: ("InternalError", "Internal error occurred: etcdserver: leader changed"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
}


class Dropped(Exception):
    """The connection is to be closed."""


class Faults:
    """Those of one server."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """From now on it happens."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Nothing happens any more."""
        self._faults.clear()

    async def strike(self, asked: Asked) -> Fault | None:
        """Lets happen what is to happen before a request is answered.

        Returns:
            What a watch has to do: it hangs, or ends in the middle.

        Raises:
            ApiError: The answer.
            Dropped: There is none.
        """
        for fault in self._faults:
            if fault.fits(asked):
                fault.times -= 1
                fault.seen += 1
                await asyncio.sleep(fault.delay_s)
                return await self._happen(fault, asked)
        return None

    async def _happen(self, fault: Fault, asked: Asked) -> Fault | None:
        if fault.code:
            raise _error(fault.code, asked)
        if asked.verb == "watch" and (fault.hang or fault.drop):
            return fault
        if fault.hang:
            await asyncio.Event().wait()
        if fault.drop:
            raise Dropped
        return None


def _error(code: int, asked: Asked) -> ApiError:
    reason, message = _REASONS[code]
    if code == 403:
        user = "system:serviceaccount:default:default"
        message = f'{asked.resource} is forbidden: User "{user}" cannot {asked.verb} resource "{asked.resource}"'
        if asked.namespace:
            message += f' in API group "" in the namespace "{asked.namespace}"'
    return ApiError(code, reason, message, {"kind": asked.resource, "name": asked.name}, 1 if code == 429 else 0)
