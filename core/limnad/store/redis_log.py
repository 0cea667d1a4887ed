"""Logs in Redis.

::

    <prefix>:{<job>}:logs               set: the names of the logs
    <prefix>:{<job>}:log:<name>         hash: `generation`, and `end`, the offset of the next entry
    <prefix>:{<job>}:log:<name>:last    hash: producer -> number and offset of its newest entry
    <prefix>:{<job>}:log:<name>:data    stream: entry <offset + 1>-0 with producer, number and data

One script decides and appends, so an append is whole or not there, and may be sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from limnad.store.errors import Conflict, Unavailable
from limnad.store.interface import Bytes, Guard
from limnad.store.logs import Entry, Last, LogState, New, check_entry, fenced, first_offset, gap, trimmed
from limnad.store.redis_guard import GUARD, REFUSED, guard_arguments
from limnad.store.redis_link import Command, Link, judge, look_at_persistence
from limnad.store.windows import WINDOW_BYTES, windows

LOOK_S: Final = 10.0
"""How long what Redis does for durability is taken to be as it was: asking costs more than an append."""

SYNC_SHARE: Final = 0.8
"""Of the time-out: how long Redis may wait for its disk before it answers that it is not yet done."""

_PAGE: Final = 16
"""So many entries are read at first; then as many as make a window, as far as can be told."""

_DONE, _OLD, _GAP, _FENCED = range(4)

# KEYS: the hash, the newest ones, the logs' names. ARGV: the generation, the log's name.
# Writing what is there already gives this connection a write that WAITAOF can wait for.
_CLAIM: Final = """
local generation = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
if tonumber(ARGV[1]) < generation then return {3, generation} end
redis.call('SADD', KEYS[3], ARGV[2])
redis.call('HSET', KEYS[1], 'generation', ARGV[1])
return {0, redis.call('HGET', KEYS[1], 'end') or '0', redis.call('HGETALL', KEYS[2])}
"""
# KEYS: likewise, and the stream. ARGV: likewise; producer, number, data.
_APPEND: Final = """
local generation = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
if tonumber(ARGV[1]) < generation then return {3, generation} end
local held = redis.call('HGET', KEYS[2], ARGV[3])
local last, at = 0, 0
if held then
  last, at = string.match(held, '^(%d+) (%d+)$')
  last, at = tonumber(last), tonumber(at)
end
local number = tonumber(ARGV[4])
if number < last then return {1, last} end
if number > last + 1 then return {2, last} end
if number == last then
  redis.call('HSET', KEYS[2], ARGV[3], held)
  return {0, at}
end
local offset = tonumber(redis.call('HGET', KEYS[1], 'end') or '0')
local following = string.format('%.0f', offset + 1)
redis.call('XADD', KEYS[4], following .. '-0', 'p', ARGV[3], 's', ARGV[4], 'd', ARGV[5])
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'end', following)
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4] .. ' ' .. string.format('%.0f', offset))
redis.call('SADD', KEYS[3], ARGV[2])
return {0, offset}
"""


# KEYS: the hash, the newest ones. ARGV: the generation; producers, each with what is held of it.
_FORGET: Final = """
local generation = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
if tonumber(ARGV[1]) < generation then return {3, generation} end
local gone = {}
for i = 2, #ARGV, 2 do
  if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[2], ARGV[i])
    gone[#gone + 1] = ARGV[i]
  end
end
return {0, gone}
"""
# KEYS: the ledger, what makes the log, the logs' names. ARGV: the guard, see `redis_guard`; the log's name.
_DELETE: Final = f"""
{GUARD}
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
return redis.call('SREM', KEYS[5], ARGV[3])
"""


class Waiting:
    """What makes a connection wait until what it wrote is on the server's disk, as far as the server can say so.

    Args:
        link: To the server.
        clock: Seconds that never go back.
    """

    def __init__(self, link: Link, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._clock = clock
        self._looked_s: float | None = None
        self._commands: list[Command] = []

    def commands(self) -> list[Command]:
        """To be sent behind a write."""
        now_s = self._clock()
        if self._looked_s is None or now_s - self._looked_s > LOOK_S:
            facts = look_at_persistence(self._link)
            waits = judge(facts).sure and facts.waits
            self._commands = [("WAITAOF", 1, 0, int(self._link.timing.timeout_s * 1000 * SYNC_SHARE))] if waits else []
            self._looked_s = now_s
        return self._commands


class RedisLog:
    """See `limnad.store.Log`.

    Args:
        link: To the server.
        write: Sends what writes.
        waiting: See `Waiting`.
        root: Begins the job's keys.
        name: The log's, escaped.
        where: For people.
    """

    def __init__(
        self,
        link: Link,
        write: Callable[[Sequence[Command]], list[Any]],
        waiting: Waiting,
        root: str,
        name: str,
        where: str,
    ) -> None:
        self._link = link
        self._write = write
        self._waiting = waiting
        self._name = name
        self._where = where
        self._ledger = f"{root}:ledger"
        self._names = f"{root}:logs"
        self._hash = f"{root}:log:{name}"
        self._last = f"{self._hash}:last"
        self._stream = f"{self._hash}:data"

    def claim(self, generation: int) -> LogState:
        """See `limnad.store.Log`."""
        command: Command = ("EVAL", _CLAIM, 3, self._hash, self._last, self._names, generation, self._name)
        (said,) = self._durably([command], f"generation {generation}")
        if said[0] == _FENCED:
            raise fenced(self._where, generation, said[1])
        producers = {name.decode(): _last(held) for name, held in zip(said[2][::2], said[2][1::2], strict=True)}
        return LogState(int(said[1]), producers)

    def append(self, producer: str, sequence: int, data: Bytes, *, generation: int) -> int:
        """See `limnad.store.Log`."""
        return self.append_many([New(producer, sequence, data)], generation=generation)[0]

    def append_many(self, entries: Sequence[New], *, generation: int) -> list[int]:
        """See `limnad.store.Log`."""
        keys = (self._hash, self._last, self._names, self._stream)
        commands: list[Command] = []
        for entry in entries:
            name = check_entry(entry.producer, entry.sequence, entry.data)
            payload = memoryview(entry.data).cast("B")
            commands.append(("EVAL", _APPEND, 4, *keys, generation, self._name, name, entry.sequence, payload))
        first, last = entries[0], entries[-1]
        what = f"entry {first.sequence} of {first.producer!r}"
        if last is not first:
            what += f" to entry {last.sequence} of {last.producer!r}"
        said = self._durably(commands, what)
        return [self._offset(entry, generation, *each) for entry, each in zip(entries, said, strict=True)]

    def _offset(self, entry: New, generation: int, outcome: int, value: int) -> int:
        match outcome:
            case 3:  # _FENCED
                raise fenced(self._where, generation, value)
            case 2:  # _GAP
                raise gap(self._where, entry.producer, value, entry.sequence)
            case 1:  # _OLD
                first, end = self.first(), self.end()
                return first_offset(self._entries(first, end), entry.producer, entry.sequence, first)
            case _:
                return int(value)

    def read(self, start: int) -> Iterator[tuple[int, bytes]]:
        """See `limnad.store.Log`."""
        end, first = self.end(), self.first()
        if start < end and start < first:
            raise trimmed(self._where, start, first)
        return self._read(start, end)

    def _read(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        expected = start
        for entry in self._entries(start, end):
            if entry.offset != expected:
                raise trimmed(self._where, expected, entry.offset)
            yield entry.offset, entry.data
            expected += 1
        if expected < end:
            raise trimmed(self._where, expected, self.first())

    def _entries(self, start: int, end: int) -> Iterator[Entry]:
        count = _PAGE
        while start < end:
            page = self._link.call("XRANGE", self._stream, f"{start + 1}-0", f"{end}-0", "COUNT", count)
            nbytes = 1
            for place, fields in page:
                start = int(place.partition(b"-")[0])
                entry = Entry(start - 1, fields[b"p"].decode(), int(fields[b"s"]), fields[b"d"])
                nbytes += len(entry.data)
                yield entry
            if len(page) < count:
                return
            count = max(1, min(512, WINDOW_BYTES * len(page) // nbytes))

    def first(self) -> int:
        """See `limnad.store.Log`."""
        page = self._link.call("XRANGE", self._stream, "-", "+", "COUNT", 1)
        return int(page[0][0].partition(b"-")[0]) - 1 if page else self.end()

    def end(self) -> int:
        """See `limnad.store.Log`."""
        return int(self._link.call("HGET", self._hash, "end") or 0)

    def last_sequence(self, producer: str) -> int:
        """See `limnad.store.Log`."""
        held = self._link.call("HGET", self._last, producer.encode())
        return 0 if held is None else _last(held).sequence

    def trim(self, below: int) -> None:
        """See `limnad.store.Log`."""
        if below > 0:
            self._link.call("XTRIM", self._stream, "MINID", f"{below + 1}-0")

    def forget(self, producers: Mapping[str, Last], *, generation: int) -> AbstractSet[str]:
        """See `limnad.store.Log`."""
        gone: set[str] = set()
        for window in windows(producers.items()):
            held = [part for name, last in window for part in (name.encode(), f"{last.sequence} {last.offset}")]
            said = self._link.call("EVAL", _FORGET, 2, self._hash, self._last, generation, *held)
            if said[0] == _FENCED:
                raise fenced(self._where, generation, said[1])
            gone.update(name.decode() for name in said[1])
        return gone

    def delete(self, *, guard: Guard | None = None) -> None:
        """See `limnad.store.Log`."""
        keys = (self._ledger, self._stream, self._last, self._hash, self._names)
        deleted = self._link.call("EVAL", _DELETE, len(keys), *keys, *guard_arguments(guard), self._name)
        if guard is not None and deleted == REFUSED:
            raise Conflict.at(guard.key, self._where)

    def _durably(self, commands: Sequence[Command], what: str) -> list[Any]:
        answers = self._write([*commands, *self._waiting.commands()])
        said, synced = answers[: len(commands)], answers[len(commands) :]
        if synced and not synced[0][0]:
            raise Unavailable(
                f"{self._where}: {what} is written, but the disk of Redis has not confirmed it in time: see whether it "
                "is overloaded; the call may be made again"
            )
        return said


def _last(held: bytes) -> Last:
    sequence, offset = held.split()
    return Last(int(sequence), int(offset))
