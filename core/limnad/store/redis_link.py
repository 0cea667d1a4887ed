"""Talking to a Redis that may be slow, away, full, or set up wrongly.

Everything sent through a `Link` may be sent twice, so a lost connection is simply a reason to try again, for a bounded
time. Each socket operation has a time-out: a server that hangs is the same as one that is away.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - that one is no OSError
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004 - likewise
)
from redis.retry import Retry

from limnad.histogram import Histogram
from limnad.store.errors import Full, StoreError, Unavailable, Unsafe
from limnad.store.interface import Durability

BACKOFF_S: Final = 0.05
"""The longest first wait; it doubles up to `BACKOFF_MOST_S`, and a random share of it is waited."""
BACKOFF_MOST_S: Final = 2.0

Command = tuple[Any, ...]
T = TypeVar("T")

_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)
_AWAY = (ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError)
# Answers that pass: the disk behind it is full or broken, a script of somebody else runs, a failover is under way.
_PASSING: Final = ("MISCONF", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "READONLY", "LOADING")


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait for a Redis.

    Attributes:
        timeout_s: For one answer.
        patience_s: For all attempts of one call; then it is `Unavailable`.
    """

    timeout_s: float = 5.0
    patience_s: float = 15.0


class Link:
    """A Redis server, reached by however many connections its threads need.

    Args:
        where: Its address, for people; never with a password.
        arguments: For `redis.Redis`.
        timing: How long to wait.
        clock: Seconds that never go back.
        sleep: Waits.

    Attributes:
        requests: How long each attempt took.

    Raises:
        Unavailable: It cannot be reached.
        Unsafe: It may drop keys to make room.
    """

    def __init__(
        self,
        where: str,
        arguments: Mapping[str, Any],
        timing: Timing,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.where = where
        self.timing = timing
        self._clock = clock
        self._sleep = sleep
        options: dict[str, Any] = {
            "socket_timeout": timing.timeout_s,
            "socket_connect_timeout": timing.timeout_s,
            "retry": Retry(NoBackoff(), 0),  # we do that, and say so
            "protocol": 2,
            "socket_read_size": 1 << 16,
            "redis_connect_func": self._connected,
        }
        self._client: Any = redis.Redis(**arguments, **options)
        self.requests = Histogram()

    def call(self, *command: Any) -> Any:
        """One command; see `calls`."""
        return self.calls([command])[0]

    def calls(self, commands: Sequence[Command]) -> list[Any]:
        """Commands in one round trip over one connection; all are sent again if an answer is lost.

        Raises:
            Unavailable: No answer within the patience.
            Full: Redis has no memory left.
            StoreError: Redis refuses, for a reason that does not pass.
        """
        return self._patiently(lambda: self._send(commands))

    def close(self) -> None:
        """Closes the connections; may be called twice."""
        self._client.close()

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        if len(commands) == 1:
            return [self._client.execute_command(*commands[0])]
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            # Raised by us, because redis-py would put the command, with its bytes, into the message.
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers

    def _connected(self, connection: Any) -> None:
        """Each new connection may lead to another server, or to the same with another configuration."""
        connection.on_connect()
        connection.send_command("INFO", "memory")
        lines = connection.read_response().decode().splitlines()
        try:
            check_safe(dict(line.split(":", 1) for line in lines if ":" in line), self.where)
        except Unsafe:
            connection.disconnect()  # or it would pass for one that was checked
            raise

    def _patiently(self, attempt: Callable[[], T]) -> T:
        deadline_s = self._clock() + self.timing.patience_s
        longest_s = BACKOFF_S
        while True:
            began_s = self._clock()
            try:
                return attempt()
            except RedisError as error:
                if not passes(error):
                    raise self._translated(error) from error
                wait_s = longest_s * random.random()
                if self._clock() + wait_s >= deadline_s:
                    raise Unavailable(
                        f"{self.where} did not answer for {self.timing.patience_s:g} s ({_said(error)}): see whether "
                        "it runs and can be reached; the call may be made again"
                    ) from error
            finally:
                self.requests.add(int((self._clock() - began_s) * 1e9))
            self._sleep(wait_s)
            longest_s = min(2 * longest_s, BACKOFF_MOST_S)

    def _translated(self, error: RedisError) -> StoreError:
        text = _said(error)
        if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in text:
            return Full(f"{self.where} has no memory left: raise its maxmemory, or keep fewer checkpoints")
        if isinstance(error, _REFUSED) or text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
            return StoreError(f"{self.where} refuses this user ({text}): see the URL's user and password, and its ACL")
        return StoreError(f"{self.where} refuses: {text}")


def passes(error: RedisError) -> bool:
    """Whether the same command may be answered a moment later."""
    if isinstance(error, _REFUSED):
        return False
    return isinstance(error, _AWAY) or (isinstance(error, ResponseError) and str(error).startswith(_PASSING))


def _said(error: RedisError) -> str:
    return str(error) or type(error).__name__


def check_safe(memory: Mapping[str, str], where: str) -> None:
    """Refuses a Redis that drops our keys when its memory is full.

    The policies ``volatile-*`` drop only keys that expire, and ours never do: to us they are ``noeviction``.

    >>> check_safe({"maxmemory": "0", "maxmemory_policy": "allkeys-lru"}, "here")
    >>> check_safe({"maxmemory": "1", "maxmemory_policy": "volatile-lru"}, "here")

    Raises:
        Unsafe: It does.
    """
    policy = memory.get("maxmemory_policy", "unknown")
    if int(memory.get("maxmemory", "0")) and policy != "noeviction" and not policy.startswith("volatile-"):
        raise Unsafe(
            f"{where} drops keys when its memory is full (maxmemory-policy {policy}), and so would lose checkpoints: "
            "set maxmemory-policy to noeviction"
        )


@dataclass(frozen=True, slots=True)
class Persistence:
    """What a Redis does for its data to survive.

    Attributes:
        appends: Whether it writes an append-only file.
        fsync: Its ``appendfsync``; None if it does not say.
        pauses: Whether it does not sync while it rewrites the file; None if it does not say.
        waits: Whether it knows ``WAITAOF`` (7.2).
    """

    appends: bool
    fsync: str | None
    pauses: bool | None
    waits: bool


def judge(facts: Persistence) -> Durability:
    """What follows.

    >>> judge(Persistence(appends=True, fsync="always", pauses=False, waits=False)).sure
    True
    >>> judge(Persistence(appends=True, fsync="everysec", pauses=False, waits=False)).reason
    'this Redis syncs its append-only file now and then (appendfsync everysec): set appendfsync always, or use 7.2 or newer, which can be waited for'
    """  # noqa: E501 - one line of output
    advice = "set appendfsync always, or use 7.2 or newer, which can be waited for"
    if not facts.appends:
        return Durability(False, "this Redis keeps its data in memory only: set appendonly yes")
    if facts.fsync == "no":
        return Durability(False, f"this Redis never syncs its append-only file (appendfsync no): {advice}")
    if facts.waits:
        return Durability(True, "Redis says when its append-only file is synced (WAITAOF)")
    if facts.fsync is None:
        return Durability(False, f"this Redis does not tell its appendfsync (CONFIG is forbidden): {advice}")
    if facts.fsync != "always":
        return Durability(
            False, f"this Redis syncs its append-only file now and then (appendfsync {facts.fsync}): {advice}"
        )
    if facts.pauses:
        return Durability(False, "this Redis does not sync while it rewrites: set no-appendfsync-on-rewrite no")
    return Durability(True, "Redis syncs its append-only file before it answers (appendfsync always)")


def look_at_persistence(link: Link) -> Persistence:
    """Asks; what is forbidden to ask is unknown."""
    info = link.call("INFO", "persistence")
    settings = {**_config(link, "appendfsync"), **_config(link, "no-appendfsync-on-rewrite")}
    pauses = settings.get("no-appendfsync-on-rewrite")
    return Persistence(
        appends=bool(int(info.get("aof_enabled", 0))),
        fsync=settings.get("appendfsync"),
        pauses=None if pauses is None else pauses == "yes",
        waits=_knows_waitaof(link),
    )


def _config(link: Link, name: str) -> dict[str, str]:
    answer = [_text(part) for part in _if_allowed(link, "CONFIG", "GET", name) or ()]
    return dict(zip(answer[::2], answer[1::2], strict=True))


def _knows_waitaof(link: Link) -> bool:
    return _if_allowed(link, "WAITAOF", 0, 0, 0) is not None  # waits for nobody


def _if_allowed(link: Link, *command: Any) -> Any:
    """The answer; None if this server or this user does not have the command."""
    try:
        return link.call(*command)
    except Unavailable:
        raise
    except StoreError:
        return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
