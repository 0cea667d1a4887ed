"""Reading sources without an engine."""

import json
from typing import Any

from limnad.timely.source import Answer, End, Idle, Position, Reader, Rows, Source


class Clock:
    """A clock that stands still until it is told the time."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def until_pause(reader: Reader) -> tuple[list[Rows], Answer]:
    """All rows up to the end or to the first `Idle`, and that answer. Epochs must not go back."""
    given: list[Rows] = []
    while True:
        answer = reader.read()
        if not isinstance(answer, Rows):
            return given, answer
        assert not given or answer.epoch >= given[-1].epoch
        given.append(answer)


def pairs(answers: list[Rows]) -> list[tuple[int, Any]]:
    """Each row with its epoch."""
    return [
        (answer.epoch, row)
        for answer in answers
        if answer.batch is not None
        for row in (answer.batch if isinstance(answer.batch, list) else answer.batch.rows())
    ]


def read_all(source: Source) -> list[tuple[int, Any]]:
    """Each row of a source that ends, with its epoch."""
    found = []
    for partition in source.partitions():
        answers, last = until_pause(source.open(partition, None))
        assert isinstance(last, End)
        found += pairs(answers)
    return found


def rows_of(source: Source) -> list[Any]:
    """Each row of a source that ends."""
    return [row for _, row in read_all(source)]


def epochs_of(source: Source) -> int:
    """How many epochs a source says there are."""
    ends = [until_pause(source.open(partition, None))[1] for partition in source.partitions()]
    return max(end.epochs for end in ends if isinstance(end, End))


def stored(position: Position) -> Position:
    """The position as a store would give it back."""
    restored: Position = json.loads(json.dumps(position))
    return restored


def check_every_cut(source: Source) -> None:
    """Wherever a reader stops, the next goes on: the same rows, in the same epochs, and the same end."""
    for partition in source.partitions():
        whole, end = until_pause(source.open(partition, None))
        for cut in range(len(whole) + 1):
            first = source.open(partition, None)
            before = [first.read() for _ in range(cut)]
            after, last = until_pause(source.open(partition, stored(first.position())))
            assert pairs([*before, *after]) == pairs(whole)  # type: ignore[list-item]
            assert isinstance(last, Idle) or last == end
