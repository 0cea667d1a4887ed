"""Redis Streams as source and as sink.

**Source**: each stream is a partition; a position is the id of the last entry that was read.

**Sink**: an entry for each row, a field for each column, and the field ``_epoch``. Rows are staged in the checkpoint
itself. One script writes them, and nothing else does; it compares two things that stand in a hash beside the stream:

    generation    the newest that has ever written: an older one is refused
    <worker>      how far that worker's rows have been written: what is there already is not written again

The script is atomic, so what was sent and not answered can be sent again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSilent
from redis.retry import Retry

from limnad.connectors.epochs import EpochRule
from limnad.connectors.exactly_once import Covered, Fenced, LostOutput, Staged, Writer
from limnad.connectors.row_epochs import PartitionEpochs, RowEpochs
from limnad.errors import ClusterError, InputError, JobError
from limnad.timely.source import Answer, Cut, End, Idle, Position, Rows

EPOCH_FIELD: Final = "_epoch"
"""Each entry's epoch: with eager delivery the same may come again, under the same number."""

VALUE_FIELD: Final = "value"
"""A record (not a frame's row) is one field of JSON."""

RETRY_S: Final = 0.05
"""How often a stream that had nothing is looked at again."""

SLICE_ROWS: Final = 1_000
"""So many rows are written by one call of the script: Redis does nothing else meanwhile."""

TIMEOUT_S: Final = 5.0
"""For one answer."""

RETRIES: Final = 12
"""After waits of 50 ms, 100 ms, ... 2 s at most: some 15 s in all."""

Entry = tuple[bytes, dict[bytes, bytes]]

_SCALARS: Final = (pl.String, pl.Binary, pl.Boolean)

_WRITE: Final = """
local newest = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
if tonumber(ARGV[1]) < newest then return redis.error_reply('FENCED by generation ' .. newest) end
redis.call('HSET', KEYS[1], 'generation', ARGV[1])
local reached = redis.call('HGET', KEYS[1], ARGV[2])
if reached and reached >= ARGV[3] then return 0 end
local at = 5
while at < #ARGV do
    local fields = tonumber(ARGV[at])
    local entry = {'XADD', KEYS[2]}
    if ARGV[4] ~= '' then
        entry[3] = 'MAXLEN'; entry[4] = '~'; entry[5] = ARGV[4]
    end
    entry[#entry + 1] = '*'
    for field = at + 1, at + fields do entry[#entry + 1] = ARGV[field] end
    redis.call(unpack(entry))
    at = at + 1 + fields
end
if at > 5 then redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) end
return 1
"""


def connect(url: str) -> redis.Redis:
    """A client that waits for a Redis which is away for a moment.

    Raises:
        JobError: It is no URL of a Redis.
    """
    retry = Retry(ExponentialBackoff(cap=2.0, base=RETRY_S), RETRIES)
    try:
        client: redis.Redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=retry, protocol=2
        )
    except ValueError:
        raise JobError(
            "a Redis is named as redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://... or unix:///PATH/TO/SOCKET"
        ) from None
    return client


@contextlib.contextmanager
def _explained(stream: str) -> Iterator[None]:
    try:
        yield
    except (RedisAway, RedisSilent) as error:
        raise ClusterError(
            f"the Redis of the stream {stream!r} did not answer ({error}): see whether it runs and can be reached"
        ) from error
    except RedisError as error:
        if str(error).startswith("FENCED"):
            raise Fenced(f"the stream {stream!r} is written by a newer generation ({error})") from None
        raise ClusterError(f"the Redis of the stream {stream!r} refuses: {error}") from error


def _check_schema(schema: pl.Schema) -> None:
    for name, kind in schema.items():
        if not (kind.is_integer() or kind.is_float() or kind in _SCALARS):
            raise JobError(
                f"column {name!r} is {kind}: a field of a Redis stream holds a number, a text, bytes or a truth value. "
                "Cast it, or encode it as JSON"
            )
        if name == EPOCH_FIELD:
            raise JobError(f"the field {EPOCH_FIELD!r} holds an entry's epoch: rename that column")


class RedisStreams:
    """Entries of Redis Streams: with a schema as frames, else as records, each a dict of texts.

    Args:
        url: Of the Redis, as redis-py takes it.
        streams: Their keys; each is a partition. One that is not there yet is empty.
        schema: Columns and types: an entry's fields by name; a field that an entry lacks is null.
        epochs: `by_time` or `by_rows`; by default an epoch each second.
        batch_rows: At most so many entries make a batch.
        follow: Wait for new entries for ever; else read those that were there when the source was opened.

    Raises:
        JobError: The URL, the schema or the epochs make no sense.
    """

    def __init__(
        self,
        url: str,
        streams: str | Sequence[str],
        *,
        schema: pl.Schema | None = None,
        epochs: EpochRule | None = None,
        batch_rows: int = 10_000,
        follow: bool = True,
    ) -> None:
        self.client = connect(url)
        self.schema = None if schema is None else pl.Schema(schema)
        if self.schema is not None:
            _check_schema(self.schema)
        self.epochs = RowEpochs(epochs)
        self.batch_rows = batch_rows
        self.follow = follow
        self._streams = [streams] if isinstance(streams, str) else list(streams)

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return self._streams

    def open(self, partition: str, position: Position | None) -> RedisReader:
        """See `limnad.timely.source.Source`."""
        return RedisReader(self, partition, position)

    @property
    def timed(self) -> bool:
        """See `limnad.timely.source.TimedSource`."""
        return self.epochs.timed

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return ", ".join(self._streams)

    def parse(self, stream: str, entries: Sequence[Entry]) -> Any:
        """Entries as a batch.

        Raises:
            InputError: A field does not hold what the schema says.
        """
        if self.schema is None:
            return [{_text(name): _text(value) for name, value in fields.items()} for _, fields in entries]
        columns = {name: [fields.get(name.encode()) for _, fields in entries] for name in self.schema}
        made = [_column(name, values, self.schema[name]) for name, values in columns.items()]
        for column, values in zip(made, columns.values(), strict=True):
            wrong = [place for place, value in enumerate(values) if value is not None and column[place] is None]
            if wrong:
                raise InputError(
                    f"the stream {stream!r}, entry {_text(entries[wrong[0]][0])}: field {column.name!r} should be "
                    f"{column.dtype}, but is {_text(values[wrong[0]] or b'')!r}"
                )
        return pl.DataFrame(made)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _column(name: str, values: Sequence[bytes | None], kind: pl.DataType) -> pl.Series:
    """A column; null where a value does not fit."""
    raw = pl.Series(name, values, dtype=pl.Binary)
    if kind == pl.Binary:
        return raw
    texts = raw.cast(pl.String, strict=False)
    if kind == pl.Boolean:
        return texts.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    return texts.cast(kind, strict=False)


class RedisReader:
    """Reads one stream."""

    def __init__(self, source: RedisStreams, stream: str, position: Position | None) -> None:
        self._source = source
        self._stream = stream
        self._id = b"0-0" if position is None else position["id"].encode()
        self._epochs = PartitionEpochs(source.epochs, position)
        facts, _ = self._look(1)
        self._gone = facts.gone if position is None else int(position["gone"])
        self._end = None if source.follow else facts.last if position is None else position["end"].encode()

    def _look(self, count: int) -> tuple[_Facts, list[Entry]]:
        """What Redis says of the stream, and the next entries, at one moment."""
        with _explained(self._stream), self._source.client.pipeline(transaction=True) as pipeline:
            pipeline.execute_command("XINFO", "STREAM", self._stream)  # type: ignore[no-untyped-call]
            pipeline.xread({self._stream: self._id}, count=count)
            told, read = pipeline.execute(raise_on_error=False)
            for answer in (told, read):
                if isinstance(answer, RedisError) and "no such key" not in str(answer):
                    raise answer
        return _facts(told), read[0][1] if read else []

    def repeat(self, cuts: Sequence[Cut]) -> None:
        """See `limnad.timely.source.TimedReader`."""
        self._epochs.repeat(cuts)

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`.

        Raises:
            InputError: A field does not hold what the schema says, or entries were deleted before they were read.
            ClusterError: Redis cannot be reached.
        """
        source = self._source
        epoch = self._epochs.next()
        entries = self._entries(self._epochs.room(source.batch_rows))
        if entries:
            self._id = entries[-1][0]
            self._epochs.read(epoch, len(entries))
            return Rows(epoch, source.parse(self._stream, entries))
        if not source.follow:
            return End(self._epochs.epoch + 1)
        if epoch > self._epochs.epoch:
            self._epochs.read(epoch, 0)
            return Rows(epoch)
        return Idle(RETRY_S)

    def _entries(self, count: int) -> list[Entry]:
        if self._end is not None and _order(self._id) >= _order(self._end):
            return []
        facts, entries = self._look(count)
        # So many have gone from the front, and more than were read: some of them were not.
        if facts.gone > self._gone + self._epochs.rows and (
            facts.first is None or _order(facts.first) > _order(self._id)
        ):
            raise InputError(
                f"entries of the stream {self._stream!r} were deleted before they were read, behind entry "
                f"{_text(self._id)}: keep more of them (XTRIM, MAXLEN), or start the job anew"
            )
        return [entry for entry in entries if self._end is None or _order(entry[0]) <= _order(self._end)]

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        place: Position = {"id": _text(self._id), "gone": self._gone, **self._epochs.position()}
        return place if self._end is None else {**place, "end": _text(self._end)}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """A stream at one moment: how many entries have gone from it, the first that is there, the last there ever was."""

    gone: int = 0
    first: bytes | None = None
    last: bytes = b"0-0"


def _facts(told: Any) -> _Facts:
    if isinstance(told, RedisError):
        return _Facts()
    if not isinstance(told, dict):
        told = dict(zip((_text(name) for name in told[::2]), told[1::2], strict=True))
    first = told["first-entry"]
    gone = int(told.get("entries-added", 0)) - int(told["length"])  # A Redis before 7.0 does not say.
    return _Facts(max(0, gone), first[0] if first else None, told["last-generated-id"])


def _order(entry: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry.partition(b"-")
    return int(milliseconds), int(number or 0)


class RedisTarget:
    """A stream that rows are appended to; see the module.

    Args:
        url: Of the Redis, as redis-py takes it.
        stream: The stream's key.
        schema: Of the frames; None: lists of records.
        maxlen: About how many entries the stream keeps; None: all.

    Raises:
        JobError: The URL or the schema makes no sense.
    """

    def __init__(self, url: str, stream: str, schema: pl.Schema | None = None, maxlen: int | None = None) -> None:
        if schema is not None:
            _check_schema(schema)
        self._client = connect(url)
        self._stream = stream
        self._maxlen = "" if maxlen is None else maxlen
        self._write = self._client.register_script(_WRITE)

    def open(self, writer: Writer) -> None:
        """See `Target.open`."""
        self._writer = writer
        # The braces keep the two keys together in a Redis Cluster.
        self._state = f"limnad:{{{self._stream}}}:{writer.job}:{writer.stage}"

    def place(self) -> None:
        """See `Target.place`."""

    def stage(self, epoch: int, batch: Any) -> list[list[bytes]]:
        """See `Target.stage`: the rows themselves, each as fields and values in turn."""
        head = [EPOCH_FIELD.encode(), str(epoch).encode()]
        if not isinstance(batch, pl.DataFrame):
            name = VALUE_FIELD.encode()
            return [[*head, name, json.dumps(record, default=str).encode()] for record in batch]
        names = [name.encode() for name in batch.columns]
        texts = batch.with_columns(pl.all().exclude(pl.Binary).cast(pl.String).cast(pl.Binary))
        return [
            head + [part for name, value in zip(names, row, strict=True) if value is not None for part in (name, value)]
            for row in texts.iter_rows()
        ]

    def commit(self, staged: Sequence[Staged]) -> None:
        """See `Target.commit`.

        Raises:
            ClusterError: Redis cannot be reached, or refuses.
        """
        for each in staged:
            for start in range(0, len(each.content), SLICE_ROWS):
                rows = each.content[start : start + SLICE_ROWS]
                reached = f"{each.generation:012d}.{each.epoch:012d}.{start:012d}"
                self._call(each.worker, reached, [part for row in rows for part in (len(row), *row)])

    def discard(self, covered: Covered | None, *, shown: bool) -> None:
        """See `Target.discard`.

        Raises:
            ClusterError: Redis cannot be reached, or refuses.
        """
        self._call(self._writer.worker, "", [])
        if shown:
            return
        with _explained(self._stream):
            state: Any = self._client.hgetall(self._state)
        for name, reached in state.items():
            if name == b"generation" or not self._writer.looks_after(int(name)):
                continue
            generation, epoch, _ = map(int, reached.split(b"."))
            if covered is None or not covered.covers(generation, int(name), epoch):
                raise LostOutput(
                    f"the stream {self._stream!r} holds epoch {epoch} of generation {generation}, of which the "
                    "checkpoint that was restored knows nothing: going on would repeat it. Bring the newest "
                    "checkpoint back, or start the job anew"
                )

    def _call(self, worker: int, reached: str, rows: list[Any]) -> None:
        with _explained(self._stream):
            self._write(
                keys=[self._state, self._stream], args=[self._writer.generation, worker, reached, self._maxlen, *rows]
            )
