"""Kafka as source and as sink, with the mock cluster of its client."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import polars as pl
import pytest

from limnad import Flow
from limnad.connectors import Covered, Delivery, LostOutput, Sink, by_rows, by_size, by_time
from limnad.connectors import kafka as connector
from limnad.connectors.kafka import LOOK_S, KafkaTarget, KafkaTopic
from limnad.errors import ClusterError, InputError, JobError
from limnad.timely.source import Answer, End, Idle, Reader, Rows
from tests.helpers.kafka_mock import KafkaMock
from tests.helpers.sources import Clock, pairs, stored

SCHEMA = pl.Schema([("n", pl.Int64()), ("text", pl.String()), ("many", pl.List(pl.Int64))])
FRAME = pl.DataFrame({"n": [1, None], "text": ["a\n", None], "many": [[1, 2], None]}, schema=SCHEMA)


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaMock]:
    with KafkaMock() as kafka:
        yield kafka


@pytest.fixture
def topic(request: pytest.FixtureRequest, kafka: KafkaMock) -> str:
    """One of the test's own."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    kafka.create(name)
    return name


class Context:
    """As much of an engine as a sink sees."""

    stage = "write"
    job = "job"

    def __init__(self, worker: int, workers: int, generation: int) -> None:
        self.worker = worker
        self.workers = workers
        self.generation = generation


def sink(
    kafka: KafkaMock,
    topic: str,
    *,
    delivery: Delivery = "committed",
    worker: int = 0,
    workers: int = 1,
    generation: int = 1,
    restored: Covered | None = None,
    empty: Any = (),
    key: str | None = None,
    clock: Clock | None = None,
) -> Sink:
    records = not isinstance(empty, pl.DataFrame)
    always = count(0, LOOK_S).__next__  # It looks how far its topic has grown whenever it may.
    made = Sink(empty, lambda: KafkaTarget(kafka.servers, topic, key, records=records, clock=clock or always), delivery)
    made._context = Context(worker, workers, generation)  # type: ignore[assignment]
    if restored is not None:
        made.restore(restored)
    made.on_start()
    return made


def give(one: Sink, epoch: int, batch: Any) -> None:
    one.on_recv(0, batch, (epoch,))
    one.on_complete(range(epoch, epoch + 1))


def shown(kafka: KafkaMock, topic: str) -> list[tuple[int, Any]]:
    """Epoch and value of each message."""
    found = []
    for message in kafka.messages(topic):
        headers: Any = dict(message.headers() or [])
        found.append((int(headers["epoch"]), json.loads(message.value() or b"")))
    return sorted(found, key=repr)


def until_end(reader: Reader) -> tuple[list[Rows], Answer]:
    """All rows up to the end; the client fetches behind our back, so it is asked until it has something."""
    given: list[Rows] = []
    while True:
        answer = reader.read()
        if isinstance(answer, End):
            reader.close()
            return given, answer
        if isinstance(answer, Rows):
            given.append(answer)


def next_rows(reader: Reader) -> Rows:
    while not isinstance(answer := reader.read(), Rows):
        assert isinstance(answer, Idle)
    return answer


# -- the sink ----------------------------------------------------------------------------------------------------------


def test_frames_come_back_as_they_were(kafka: KafkaMock, topic: str) -> None:
    one = sink(kafka, topic, delivery="eager", empty=FRAME.clear(), key="n")
    give(one, 0, FRAME)
    source = KafkaTopic(kafka.servers, topic, schema=SCHEMA, follow=False)
    read = [until_end(source.open(partition, None))[0] for partition in source.partitions()]
    found = pl.concat([answer.batch for answers in read for answer in answers])
    assert found.sort("n", nulls_last=True).equals(FRAME)
    assert {message.key() for message in kafka.messages(topic)} == {None, b"1"}


def test_what_was_committed_is_not_committed_again(kafka: KafkaMock, topic: str) -> None:
    one = sink(kafka, topic)
    give(one, 0, list(range(100)))
    durable = one.checkpoint()
    assert shown(kafka, topic) == []
    one.on_commit(1)
    once = shown(kafka, topic)
    assert len(once) == 100
    give(one, 1, ["later"])
    later = one.checkpoint()
    for generation in (2, 3):
        sink(kafka, topic, generation=generation, restored=durable)
    assert shown(kafka, topic) == once
    for generation in (4, 5):
        sink(kafka, topic, generation=generation, restored=later)
    assert shown(kafka, topic) == sorted([*once, (1, "later")], key=repr)


def test_a_commit_that_did_not_come_about_is_made_by_whoever_restores_it(kafka: KafkaMock, topic: str) -> None:
    three = [sink(kafka, topic, worker=worker, workers=3) for worker in range(3)]
    for one in three:
        give(one, 2, [one.worker])
    states = Sink.rescale([one.checkpoint() for one in three], 2)
    three[1].on_commit(3)
    for worker in range(2):
        sink(kafka, topic, worker=worker, workers=2, generation=2, restored=states[worker])
    assert shown(kafka, topic) == [(2, 0), (2, 1), (2, 2)]


def test_half_of_a_commit_is_made_whole(kafka: KafkaMock, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka would hide that half; the mock shows it, and it is found by its headers."""
    one = sink(kafka, topic)
    give(one, 0, list(range(10)))
    durable = one.checkpoint()
    send = KafkaTarget._send
    with monkeypatch.context() as patch:
        patch.setattr(KafkaTarget, "_send", lambda target, messages: send(target, messages[:5]))
        one.on_commit(1)
    assert len(shown(kafka, topic)) == 5
    sink(kafka, topic, generation=2, restored=durable)
    assert shown(kafka, topic) == [(0, number) for number in range(10)]


def test_the_writers_of_an_older_generation_are_ended_before_the_topic_is_read(
    kafka: KafkaMock, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = [sink(kafka, topic, worker=worker, workers=3) for worker in range(3)]
    give(three[2], 0, ["x"])
    states = Sink.rescale([one.checkpoint() for one in three], 1)
    done: list[str] = []

    def told(name: str, what: str) -> None:
        call = getattr(KafkaTarget, name)

        def tells(target: KafkaTarget, argument: Any) -> Any:
            done.append(what.format(argument))
            return call(target, argument)

        monkeypatch.setattr(KafkaTarget, name, tells)

    told("_register", "ends {}")
    told("_sent", "reads")
    sink(kafka, topic, generation=2, restored=states[0])
    assert done == ["ends 0", "ends 2", "reads", "ends 1", "reads"]


def test_eager_rows_come_again_under_their_epoch(kafka: KafkaMock, topic: str) -> None:
    give(sink(kafka, topic, delivery="eager"), 3, ["x"])
    give(sink(kafka, topic, delivery="eager", generation=2), 3, ["x"])
    assert shown(kafka, topic) == [(3, "x")] * 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_checkpoint_that_is_older_than_what_was_shown_is_refused(kafka: KafkaMock, topic: str, workers: int) -> None:
    one = sink(kafka, topic)
    give(one, 0, [1])
    one.on_commit(1)
    (older, *_) = Sink.rescale([one.checkpoint()], workers)
    sink(kafka, topic, generation=2, workers=workers, restored=older)
    newer = sink(kafka, topic, generation=3, workers=workers, restored=older)
    give(newer, 1, [2])
    newer.on_commit(2)
    with pytest.raises(LostOutput, match="holds epoch 1 of generation 3"):
        sink(kafka, topic, generation=4, workers=workers, restored=older)


def test_a_topic_that_has_deleted_what_would_tell_is_refused(
    kafka: KafkaMock, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sink(kafka, topic)
    give(one, 0, ["x"])
    durable = one.checkpoint()
    monkeypatch.setattr(connector, "_watermarks", lambda *_: (7, 9))
    with pytest.raises(LostOutput, match="would tell"):
        sink(kafka, topic, generation=2, restored=durable)


def test_what_others_sent_may_be_deleted_though_a_job_sends_nothing_for_long(kafka: KafkaMock, topic: str) -> None:
    clock = Clock()
    one = sink(kafka, topic, clock=clock)
    kafka.send(topic, [b"other"] * 20)
    assert set(one.checkpoint().places[0].values()) == {0}
    clock.now_s += LOOK_S
    assert max(one.checkpoint().places[0].values()) == 20


def test_a_kafka_that_is_away_holds_up_no_checkpoint(
    kafka: KafkaMock, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sink(kafka, topic)
    monkeypatch.setattr(connector, "_watermarks", away)
    assert set(one.checkpoint().places[0].values()) == {0}


def away(*_: Any) -> tuple[int, int]:
    raise ClusterError("it does not answer")


def test_what_makes_no_sense_is_refused_where_it_is_said(kafka: KafkaMock, topic: str) -> None:
    flow = Flow()
    rows = flow.input("rows", {"n": pl.Int64})
    with pytest.raises(JobError, match="no column 'm'"):
        rows.write_kafka(kafka.servers, topic, key="m")
    with pytest.raises(InputError, match="by_rows"):
        flow.read_kafka(kafka.servers, topic, epochs=by_size(1))


# -- the source --------------------------------------------------------------------------------------------------------


def test_every_cut_of_a_partition(kafka: KafkaMock, topic: str) -> None:
    kafka.send(topic, [json.dumps({"n": number}).encode() for number in range(7)], partition=1)
    source = KafkaTopic(
        kafka.servers, topic, schema=pl.Schema({"n": pl.Int64}), epochs=by_rows(3), batch_rows=2, follow=False
    )
    assert source.partitions() == ["0", "1", "2", "3"]
    assert until_end(source.open("0", None)) == ([], End(1))
    whole = pairs(until_end(source.open("1", None))[0])
    assert whole == [(number // 3, (number,)) for number in range(7)]
    for cut in range(5):
        first = source.open("1", None)
        before = [next_rows(first) for _ in range(cut)]
        after, end = until_end(source.open("1", stored(first.position())))
        first.close()
        assert pairs([*before, *after]) == whole
        assert end == End(3)


def test_a_topic_that_is_followed(kafka: KafkaMock, topic: str) -> None:
    clock = Clock()
    source = KafkaTopic(kafka.servers, topic, epochs=replace(by_time(1.0), clock=clock))
    reader = source.open("0", None)
    kafka.send(topic, [b"one"])
    assert next_rows(reader) == Rows(0, [{"key": None, "value": b"one"}])
    clock.now_s = 2.5
    assert next_rows(reader) == Rows(2)
    again = source.open("0", stored(reader.position()))
    kafka.send(topic, [b"two"])
    assert next_rows(again) == Rows(2, [{"key": None, "value": b"two"}])
    reader.close()
    again.close()


def test_a_message_that_is_not_of_the_schema_is_named(kafka: KafkaMock, topic: str) -> None:
    kafka.send(topic, [b'{"n": 1}', b"no JSON"], partition=2)
    reader = KafkaTopic(kafka.servers, topic, schema=pl.Schema({"n": pl.Int64})).open("2", None)
    with pytest.raises(InputError, match=r"partition 2, offset 1 is no JSON object of the schema: b'no JSON'"):
        next_rows(reader)
    reader.close()


def test_messages_that_are_gone_are_missed(kafka: KafkaMock, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka.send(topic, [b"1", b"2"])
    source = KafkaTopic(kafka.servers, topic)
    monkeypatch.setattr(connector, "_watermarks", lambda *_: (1, 2))
    with pytest.raises(InputError, match="deleted messages from offset 0 on"):
        source.open("0", {"offset": 0, "rows": 0, "epoch": 0})
    reader = source.open("0", {"offset": 5, "rows": 0, "epoch": 0})  # Where nothing ever was.
    with pytest.raises(InputError, match="deleted messages from offset 5 on"):
        next_rows(reader)
    reader.close()
