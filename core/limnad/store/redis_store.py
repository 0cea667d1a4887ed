"""A store in Redis.

::

    <prefix>:jobs                   set: the jobs that have written something
    <prefix>:{<job>}:ledger         hash: key -> 16 bytes of version, then the value
    <prefix>:{<job>}:marks          sorted set: chunk -> the highest mark of those that wanted it
    <prefix>:{<job>}:c:<chunk>      string: a chunk
    <prefix>:{<job>}:log...         see `redis_log`

The store's own keys have ``*`` for a job, which no escaped name is. All keys of a job have one hash tag, so scripts may
use them together on a cluster too. No key ever expires.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from limnad.histogram import Histogram
from limnad.store.compression import Compression, Compressor, unpack
from limnad.store.errors import ChunkMissing, Conflict, Unavailable, Unsafe
from limnad.store.interface import Bytes, ChunkRef, Durability, Guard, Record, Version, check_name, unescape
from limnad.store.redis_guard import GUARD, REFUSED, guard_arguments
from limnad.store.redis_link import Command, Link, Timing, judge, look_at_persistence
from limnad.store.redis_log import SYNC_SHARE, RedisLog, Waiting
from limnad.store.windows import windows

_VERSION_BYTES: Final = 16

# Each script may run twice with the same arguments: the second run finds what the first one did.
# Writing again what is ours already gives this connection a write that WAITAOF can wait for.
_PUT: Final = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
local version = held and string.sub(held, 1, 16) or ''
if version ~= ARGV[2] and version ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ARGV[4])
return 1
"""
# KEYS: the ledger. ARGV: the guard's key and version, both empty without one; the record's.
_DELETE: Final = f"""
{GUARD}
local held = redis.call('HGET', KEYS[1], ARGV[3])
if not held then return 1 end
if string.sub(held, 1, 16) ~= ARGV[4] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[3])
"""
# KEYS: the marks, then the chunks. ARGV: the mark; whether also those are marked that are not there; the chunks.
_MARK: Final = """
local there = {}
for i = 2, #KEYS do
  there[i - 1] = redis.call('EXISTS', KEYS[i])
  if there[i - 1] == 1 or ARGV[2] == '1' then redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[i + 1]) end
end
return there
"""
# KEYS: the ledger, the marks, then the chunks. ARGV: the guard, likewise; below which mark, or nothing; the chunks.
_SWEEP: Final = f"""
{GUARD}
local count = 0
for i = 3, #KEYS do
  local mark = redis.call('ZSCORE', KEYS[2], ARGV[i + 1])
  if ARGV[3] == '' or not mark or tonumber(mark) < tonumber(ARGV[3]) then
    count = count + redis.call('UNLINK', KEYS[i])
    redis.call('ZREM', KEYS[2], ARGV[i + 1])
  end
end
return count
"""


class RedisStore:
    """See `limnad.store.Store`.

    Args:
        where: The address, without password.
        arguments: For `redis.Redis`.
        prefix: Begins all keys.
        timing: How long to wait.
        compression: When to compress chunks.

    Raises:
        Unavailable: It cannot be reached.
        Unsafe: It drops keys to make room.
    """

    def __init__(
        self,
        where: str,
        arguments: Mapping[str, Any],
        prefix: str = "limnad",
        timing: Timing = Timing(),  # noqa: B008 - frozen
        compression: Compression = Compression.AUTO,
    ) -> None:
        self.where = where
        self._link = Link(where, arguments, timing)
        self._prefix = prefix
        self._compressor = Compressor(compression)
        own = self._own = RedisSpace(self._link, f"{prefix}:{{*}}", where, self._compressor, ())
        self.ledger, self.chunks = own.ledger, own.chunks
        try:
            self._link.call("PING")
        except BaseException:
            self.close()
            raise

    @property
    def durability(self) -> Durability:
        """See `limnad.store.Store`; asks anew each time, because somebody may have changed the configuration."""
        return judge(look_at_persistence(self._link))

    def job(self, name: str) -> RedisSpace:
        """See `limnad.store.Store`."""
        escaped = check_name("job's name", name)
        registration = ("SADD", f"{self._prefix}:jobs", escaped)
        root = f"{self._prefix}:{{{escaped}}}"
        return RedisSpace(self._link, root, f"{self.where}, job {name}", self._compressor, registration)

    def jobs(self) -> list[str]:
        """See `limnad.store.Store`."""
        return sorted(unescape(name.decode()) for name in self._link.call("SMEMBERS", f"{self._prefix}:jobs"))

    def log(self, name: str) -> RedisLog:
        """See `limnad.store.Space`."""
        return self._own.log(name)

    def logs(self) -> list[str]:
        """See `limnad.store.Space`."""
        return self._own.logs()

    def describe(self) -> str:
        """See `limnad.store.Store`."""
        return self.where

    @property
    def requests(self) -> Histogram:
        """See `limnad.store.Store`."""
        return self._link.requests

    def close(self) -> None:
        """See `limnad.store.Store`."""
        self._link.close()


class RedisSpace:
    """See `limnad.store.Space`.

    Args:
        link: To the server.
        root: Begins the keys.
        where: For people.
        compressor: Of chunks.
        registration: A command to be sent before the first write; may be empty.
    """

    def __init__(self, link: Link, root: str, where: str, compressor: Compressor, registration: Command) -> None:
        self.where = where
        writer = self._writer = _Writer(link, registration)
        self._link, self._root = link, root
        self._waiting = Waiting(link)
        self.ledger = RedisLedger(link, writer, root, where)
        self.chunks = RedisChunks(link, writer, root, where, compressor)

    def log(self, name: str) -> RedisLog:
        """See `limnad.store.Space`."""
        escaped, where = check_name("log's name", name), f"{self.where}, log {name}"
        return RedisLog(self._link, self._writer.calls, self._waiting, self._root, escaped, where)

    def logs(self) -> list[str]:
        """See `limnad.store.Space`."""
        return sorted(unescape(name.decode()) for name in self._link.call("SMEMBERS", f"{self._root}:logs"))


class _Writer:
    """Registers a job before its first write."""

    def __init__(self, link: Link, registration: Command) -> None:
        self._link = link
        self._registration = registration

    def calls(self, commands: Sequence[Command]) -> list[Any]:
        """Sends what writes."""
        if self._registration:
            self._link.call(*self._registration)
            self._registration = ()
        return self._link.calls(commands)


class RedisLedger:
    """See `limnad.store.Ledger`."""

    def __init__(self, link: Link, writer: _Writer, root: str, where: str) -> None:
        self._link = link
        self._writer = writer
        self._hash = f"{root}:ledger"
        self._where = where

    def get(self, key: str) -> Record | None:
        """See `limnad.store.Ledger`."""
        check_name("key", key)
        held = self._link.call("HGET", self._hash, key)
        return None if held is None else Record(held[_VERSION_BYTES:], Version(held[:_VERSION_BYTES]))

    def put(self, key: str, value: Bytes, expected: Version, *, durable: bool = False) -> Version:
        """See `limnad.store.Ledger`."""
        check_name("key", key)
        own = Version(secrets.token_bytes(_VERSION_BYTES))
        commands: list[Command] = [("EVAL", _PUT, 1, self._hash, key, expected, own, memoryview(value).cast("B"))]
        if durable:
            commands += self._waiting()
        done, *synced = self._writer.calls(commands)
        if not done:
            raise Conflict.at(key, self._where)
        if synced and not synced[0][0]:
            raise Unavailable(
                f"{self._where}: {key!r} is written, but the disk of Redis has not confirmed it in time: see whether "
                "it is overloaded; read the record, and put it again"
            )
        return own

    def _waiting(self) -> list[Command]:
        """What makes the connection wait until its writes are on the disk; nothing if the answer itself says so."""
        facts = look_at_persistence(self._link)
        durability = judge(facts)
        if not durability.sure:
            raise Unsafe(f"{self._where} cannot promise to keep what it acknowledges: {durability.reason}")
        return [("WAITAOF", 1, 0, int(self._link.timing.timeout_s * 1000 * SYNC_SHARE))] if facts.waits else []

    def delete(self, key: str, expected: Version, *, guard: Guard | None = None) -> None:
        """See `limnad.store.Ledger`."""
        check_name("key", key)
        done = self._link.call("EVAL", _DELETE, 1, self._hash, *guard_arguments(guard), key, expected)
        if done != 1:
            raise Conflict.at(guard.key if guard is not None and done == REFUSED else key, self._where)

    def keys(self, prefix: str = "") -> list[str]:
        """See `limnad.store.Ledger`."""
        keys = (key.decode() for key in self._link.call("HKEYS", self._hash))
        return sorted(key for key in keys if key.startswith(prefix))


class RedisChunks:
    """See `limnad.store.Chunks`."""

    def __init__(self, link: Link, writer: _Writer, root: str, where: str, compressor: Compressor) -> None:
        self._link = link
        self._writer = writer
        self._ledger = f"{root}:ledger"
        self._marks = f"{root}:marks"
        self._root = f"{root}:c:"
        self._where = where
        self._compressor = compressor

    def put(self, data: Bytes, *, mark: int) -> ChunkRef:
        """See `limnad.store.Chunks`."""
        return self.put_many([data], mark=mark)[0]

    def put_many(self, datas: Iterable[Bytes], *, mark: int) -> list[ChunkRef]:
        """See `limnad.store.Chunks`."""
        refs: list[ChunkRef] = []
        for window in windows(datas, lambda data: memoryview(data).nbytes):
            refs += self._put_window(window, mark)
        return refs

    def _put_window(self, datas: Sequence[Bytes], mark: int) -> list[ChunkRef]:
        refs = [ChunkRef.of(data) for data in datas]
        # Marked from here on, so no deletion that could hurt comes between looking and writing.
        there = self._mark(refs, mark, announce=True)
        wanted = {ref: data for ref, data in zip(refs, datas, strict=True) if ref not in there}
        if wanted:
            packed = [memoryview(data).cast("B") for data in self._compressor.pack(list(wanted.values()))]
            began_s = time.perf_counter()
            self._writer.calls([("SET", self._key(ref), data) for ref, data in zip(wanted, packed, strict=True)])
            self._compressor.stored(sum(data.nbytes for data in packed), time.perf_counter() - began_s)
        return refs

    def touch(self, refs: Iterable[ChunkRef], *, mark: int) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks`."""
        there: set[ChunkRef] = set()
        for window in windows(refs):
            there |= self._mark(window, mark, announce=False)
        return there

    def _mark(self, refs: Sequence[ChunkRef], mark: int, *, announce: bool) -> set[ChunkRef]:
        names = [str(ref) for ref in refs]
        keys = (self._marks, *(self._root + name for name in names))
        [there] = self._writer.calls([("EVAL", _MARK, len(keys), *keys, mark, int(announce), *names)])
        return {ref for ref, is_there in zip(refs, there, strict=True) if is_there}

    def get(self, ref: ChunkRef) -> bytes:
        """See `limnad.store.Chunks`."""
        return next(self.get_many([ref]))

    def get_many(self, refs: Iterable[ChunkRef]) -> Iterator[bytes]:
        """See `limnad.store.Chunks`."""
        for window in windows(refs, lambda ref: ref.size):
            for ref, stored in zip(window, self._link.call("MGET", *map(self._key, window)), strict=True):
                if stored is None:
                    raise ChunkMissing(ref, self._where)
                yield unpack(ref, stored, self._where)

    def has(self, refs: Iterable[ChunkRef]) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks`."""
        there: set[ChunkRef] = set()
        for window in windows(refs):
            answers = self._link.calls([("EXISTS", self._key(ref)) for ref in window])
            there |= {ref for ref, is_there in zip(window, answers, strict=True) if is_there}
        return there

    def delete(self, refs: Iterable[ChunkRef], *, below: int | None = None, guard: Guard | None = None) -> int:
        """See `limnad.store.Chunks`."""
        count = 0
        for window in windows(refs):
            names = [str(ref) for ref in window]
            keys = (self._ledger, self._marks, *(self._root + name for name in names))
            bound = "" if below is None else below
            deleted = self._link.call("EVAL", _SWEEP, len(keys), *keys, *guard_arguments(guard), bound, *names)
            if guard is not None and deleted == REFUSED:
                raise Conflict.at(guard.key, self._where)
            count += deleted
        return count

    def refs(self) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks`."""
        names = self._link.call("ZRANGE", self._marks, 0, -1)
        return {ChunkRef.parse(name.decode()) for name in names}

    def _key(self, ref: ChunkRef) -> str:
        return self._root + str(ref)
