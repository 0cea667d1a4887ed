"""The mock cluster of librdkafka: a broker on loopback that speaks Kafka's protocol.

It keeps messages and answers the calls of transactions, but ends no transaction of an older producer and hides nothing
of an aborted one: that much of Kafka is taken on trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, Self

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

WAIT_S = 60.0
"""For an answer; a loaded machine may take a while."""


class KafkaMock:
    """One broker; a topic comes into being, with four partitions, when it is first asked for."""

    def __init__(self) -> None:
        self._owner: Any = Producer({"bootstrap.servers": "-", "test.mock.num.brokers": 1, "log_level": 0})
        (broker,) = self._owner.list_topics(timeout=WAIT_S).brokers.values()
        self.servers = f"{broker.host}:{broker.port}"

    def create(self, topic: str, partitions: int = 4) -> None:
        """A topic that is there when it returns."""
        admin: Any = AdminClient({"bootstrap.servers": self.servers})
        (created,) = admin.create_topics([NewTopic(topic, partitions)]).values()
        created.result(WAIT_S)

    def send(self, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
        """Messages, which are there when it returns."""
        for value in values:
            self._owner.produce(topic, value, partition=partition)
        assert self._owner.flush(WAIT_S) == 0

    def messages(self, topic: str) -> list[Message]:
        """All that a topic holds, by partition and offset."""
        settings: Any = {"bootstrap.servers": self.servers, "group.id": "test", "enable.partition.eof": True}
        found: list[Message] = []
        with closing(Consumer(settings)) as consumer:
            for partition in sorted(consumer.list_topics(topic, timeout=WAIT_S).topics[topic].partitions):
                consumer.assign([TopicPartition(topic, partition, 0)])
                ended = False
                while not ended:
                    heard = consumer.consume(1_000, timeout=WAIT_S)
                    assert heard
                    found += [message for message in heard if message.error() is None]
                    ended = heard[-1].error() is not None
        return found

    def close(self) -> None:
        """Ends the broker."""
        self._owner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
