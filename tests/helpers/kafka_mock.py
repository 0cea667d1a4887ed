"""The mock cluster of librdkafka: a broker on loopback that speaks Kafka's protocol.

It keeps messages and answers the calls of transactions, but ends no transaction of an older producer and hides nothing
of an aborted one: that much of Kafka is taken on trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, Self

from confluent_kafka import Consumer, Message, Producer, TopicPartition

WAIT_S = 60.0
"""For an answer; a loaded machine may take a while."""


class KafkaMock:
    """One broker."""

    def __init__(self) -> None:
        self._owner: Any = Producer({"bootstrap.servers": "-", "test.mock.num.brokers": 1, "log_level": 0})
        (broker,) = self._owner.list_topics(timeout=WAIT_S).brokers.values()
        self.servers = f"{broker.host}:{broker.port}"

    def create(self, topic: str) -> None:
        """A topic of four partitions, which is there when it returns."""
        assert self._owner.list_topics(topic, timeout=WAIT_S).topics[topic].error is None

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
                while (message := consumer.poll(WAIT_S)) is not None and message.error() is None:
                    found.append(message)
        return found

    def close(self) -> None:
        """Ends the broker."""
        self._owner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
