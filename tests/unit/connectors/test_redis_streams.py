"""Redis Streams as source and as sink, with a real Redis."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from limnad import Flow
from limnad.connectors import Covered, Delivery, Fenced, LostOutput, Sink, by_file, by_rows, by_time
from limnad.connectors.redis_streams import SLICE_ROWS, RedisStreams, RedisTarget
from limnad.errors import ClusterError, InputError, JobError
from limnad.timely.graph import GraphError
from limnad.timely.source import Cut, End, Idle, Rows
from tests.helpers.redis_server import RedisServer
from tests.helpers.sources import Clock, check_every_cut, epochs_of, pairs, read_all, rows_of, stored, until_pause

SCHEMA = pl.Schema({"n": pl.Int64, "x": pl.Float64, "text": pl.String, "data": pl.Binary, "yes": pl.Boolean})
FRAME = pl.DataFrame(
    {
        "n": [1, None, -(1 << 62)],
        "x": [0.1, float("inf"), None],
        "text": ["a\nb", "", None],
        "data": [b"\xff\x00", None, b""],
        "yes": [True, False, None],
    },
    schema=SCHEMA,
)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(server: RedisServer) -> RedisServer:
    server.do("FLUSHALL")
    return server


class Context:
    """As much of an engine as a sink sees."""

    stage = "write"
    job = "job"

    def __init__(self, worker: int, generation: int) -> None:
        self.worker = worker
        self.workers = 2
        self.generation = generation


def sink(
    redis: RedisServer,
    *,
    delivery: Delivery = "eager",
    worker: int = 0,
    generation: int = 1,
    restored: Covered | None = None,
    empty: Any = (),
) -> Sink:
    schema = empty.schema if isinstance(empty, pl.DataFrame) else None
    made = Sink(empty, lambda: RedisTarget(redis.url, "out", schema), delivery)
    made._context = Context(worker, generation)  # type: ignore[assignment]
    if restored is not None:
        made.restore(restored)
    made.on_start()
    return made


def give(one: Sink, epoch: int, batch: Any) -> None:
    one.on_recv(0, batch, (epoch,))
    one.on_complete(range(epoch, epoch + 1))


def shown(redis: RedisServer) -> list[tuple[str, str]]:
    """Epoch and value of each entry."""
    source = RedisStreams(redis.url, "out", follow=False)
    return [(record["_epoch"], record.get("value", "")) for record in rows_of(source)]


def add(redis: RedisServer, *fields: dict[str, str], stream: str = "in") -> None:
    with redis.client() as client:
        for each in fields:
            client.xadd(stream, each)


# -- the sink ----------------------------------------------------------------------------------------------------------


def test_frames_come_back_as_they_were(redis: RedisServer) -> None:
    give(sink(redis, empty=FRAME.clear()), 0, FRAME)
    found = RedisStreams(redis.url, "out", schema=SCHEMA, follow=False).open("out", None).read()
    assert isinstance(found, Rows)
    assert found.batch.equals(FRAME)


@pytest.mark.parametrize("rows", [1, SLICE_ROWS, 2 * SLICE_ROWS + 1])
def test_what_was_committed_is_not_committed_again(redis: RedisServer, rows: int) -> None:
    one = sink(redis, delivery="committed")
    give(one, 0, list(range(rows)))
    durable = one.checkpoint()
    assert shown(redis) == []
    one.on_commit(1)
    sink(redis, delivery="committed", generation=2, restored=durable)
    assert shown(redis) == [("0", str(number)) for number in range(rows)]


def test_a_commit_that_broke_off_is_finished(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    one = sink(redis, delivery="committed")
    give(one, 0, list(range(2 * SLICE_ROWS)))
    durable = one.checkpoint()
    call, calls = RedisTarget._call, []

    def breaks_off(target: RedisTarget, worker: int, reached: str, rows: list[Any]) -> None:
        calls.append(reached)
        if len(calls) == 2:
            raise ClusterError("gone")
        call(target, worker, reached, rows)

    with monkeypatch.context() as patch:
        patch.setattr(RedisTarget, "_call", breaks_off)
        with pytest.raises(ClusterError):
            one.on_commit(1)
    assert len(shown(redis)) == SLICE_ROWS
    sink(redis, delivery="committed", generation=2, restored=durable)
    assert shown(redis) == [("0", str(number)) for number in range(2 * SLICE_ROWS)]


def test_a_zombie_is_refused(redis: RedisServer) -> None:
    zombie, late = sink(redis), sink(redis, delivery="committed", worker=1)
    give(late, 0, ["late"])
    sink(redis, generation=2)
    with pytest.raises(Fenced, match="newer generation"):
        give(zombie, 0, ["x"])
    with pytest.raises(Fenced, match="newer generation"):
        late.on_commit(1)
    with pytest.raises(Fenced):
        sink(redis)
    assert shown(redis) == []


def test_eager_rows_come_again_under_their_epoch(redis: RedisServer) -> None:
    give(sink(redis), 3, ["x"])
    give(sink(redis, generation=2), 3, ["x"])
    assert shown(redis) == [("3", '"x"')] * 2


def test_a_checkpoint_that_is_older_than_what_was_shown_is_refused(redis: RedisServer) -> None:
    one = sink(redis, delivery="committed")
    give(one, 0, [1])
    older = one.checkpoint()
    give(one, 1, [2])
    one.on_commit(2)
    for restored in (older, None):
        with pytest.raises(LostOutput, match="holds epoch 1 of generation 1"):
            sink(redis, delivery="committed", generation=2, restored=restored)


def test_a_stream_can_be_kept_short(redis: RedisServer) -> None:
    target = RedisTarget(redis.url, "out", maxlen=100)
    made = Sink([], lambda: target, "eager")
    made._context = Context(0, 1)  # type: ignore[assignment]
    made.on_start()
    give(made, 0, list(range(1_000)))
    assert len(shown(redis)) < 1_000


def test_what_makes_no_sense_is_refused_where_it_is_said() -> None:
    flow = Flow()
    rows = flow.input("rows", {"n": pl.Int64, "many": pl.List(pl.Int64)})
    with pytest.raises(JobError, match="column 'many' is List"):
        rows.write_redis("redis://here", "out")
    with pytest.raises(JobError, match="rename that column"):
        rows.select(_epoch="n").write_redis("redis://here", "out")
    with pytest.raises(JobError, match="redis://"):
        rows.select("n").write_redis("http://here", "out")
    rows.select("n").write_redis("redis://here", "out")
    with pytest.raises(GraphError, match="two sinks"):
        rows.select("n").write_redis("redis://here", "out")
    with pytest.raises(JobError, match="delivery"):
        rows.select("n").write_redis("redis://here", "more", delivery="sometimes")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="by_rows"):
        flow.read_redis("redis://here", "in", epochs=by_file())


def test_a_redis_that_refuses_is_named(redis: RedisServer) -> None:
    redis.do("SET", "out", "no stream")
    with pytest.raises(ClusterError, match="the stream 'out' refuses"):
        give(sink(redis), 0, [1])
    with pytest.raises(ClusterError, match="the stream 'out' refuses"):
        RedisStreams(redis.url, "out").open("out", None)


# -- the source --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("follow", [False, True])
def test_every_cut_of_a_stream(redis: RedisServer, follow: bool) -> None:
    for stream in ("in", "more"):
        add(redis, *({"n": str(number)} for number in range(7)), stream=stream)
    for schema in (None, pl.Schema({"n": pl.Int64})):
        source = RedisStreams(redis.url, ["in", "more"], schema=schema, epochs=by_rows(3), batch_rows=2, follow=follow)
        check_every_cut(source)
        if not follow:
            assert read_all(source)[:7] == [
                (number // 3, (number,) if schema else {"n": str(number)}) for number in range(7)
            ]
            assert epochs_of(source) == 3


def test_the_end_is_where_it_was_when_the_stream_was_opened(redis: RedisServer) -> None:
    add(redis, {"n": "1"}, {"n": "2"})
    source = RedisStreams(redis.url, "in", follow=False, batch_rows=1)
    reader = source.open("in", None)
    assert isinstance(reader.read(), Rows)
    add(redis, {"n": "3"})
    answers, end = until_pause(source.open("in", stored(reader.position())))
    assert [answer.batch for answer in answers] == [[{"n": "2"}]]
    assert end == End(1)


def test_a_stream_that_is_followed_waits(redis: RedisServer) -> None:
    clock = Clock()
    source = RedisStreams(redis.url, "in", epochs=replace(by_time(1.0), clock=clock))
    reader = source.open("in", None)
    assert isinstance(reader.read(), Idle)
    add(redis, {"n": "1"})
    assert reader.read() == Rows(0, [{"n": "1"}])
    clock.now_s = 2.5
    assert reader.read() == Rows(2)
    again = source.open("in", stored(reader.position()))
    add(redis, {"n": "2"})
    assert again.read() == Rows(2, [{"n": "2"}])


def test_a_restart_cuts_epochs_where_they_were_cut(redis: RedisServer) -> None:
    add(redis, *({"n": str(number)} for number in range(4)))
    clock = Clock()
    source = RedisStreams(redis.url, "in", epochs=replace(by_time(1.0), clock=clock), batch_rows=3)
    assert source.timed
    reader = source.open("in", None)
    first = reader.read()
    clock.now_s = 2.5
    cut = Cut(2, stored(reader.position()))
    later = reader.read()
    assert pairs([first, later]) == [(0, {"n": "0"}), (0, {"n": "1"}), (0, {"n": "2"}), (2, {"n": "3"})]  # type: ignore[list-item]
    for batch_rows in (1, 3, 10):
        again = RedisStreams(redis.url, "in", epochs=source.epochs.rule, batch_rows=batch_rows).open("in", None)
        again.repeat([cut])
        assert pairs(until_pause(again)[0]) == pairs([first, later])  # type: ignore[list-item]


@pytest.mark.parametrize("how", [("XTRIM", "in", "MAXLEN", "1"), ("XTRIM", "in", "MAXLEN", "0")])
def test_entries_that_went_before_they_were_read_are_missed(redis: RedisServer, how: tuple[str, ...]) -> None:
    add(redis, *({"n": str(number)} for number in range(5)))
    source = RedisStreams(redis.url, "in", batch_rows=2)
    reader = source.open("in", None)
    reader.read()
    redis.do("XTRIM", "in", "MAXLEN", "3")  # What was read may go.
    again = source.open("in", stored(reader.position()))
    redis.do(*how)
    for late in (reader, again):
        with pytest.raises(InputError, match="deleted before they were read"):
            late.read()


def test_a_field_that_does_not_fit_is_named(redis: RedisServer) -> None:
    add(redis, {"n": "1"}, {"n": "one"})
    with pytest.raises(InputError, match=r"entry \d+-\d+: field 'n' should be Int64, but is 'one'"):
        rows_of(RedisStreams(redis.url, "in", schema=pl.Schema({"n": pl.Int64}), follow=False))
