"""Pushes of one client that are under way at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from limnad_proto.v1 import jobs_pb2
from limnad_worker.feeding import Refused
from limnad_worker.pushing import in_turn


class Taken:
    """Takes everything up, and answers when it is told to."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[int | None]] = []

    async def __call__(self, request: jobs_pb2.PushRequest) -> asyncio.Future[int | None]:
        if request.job != "job":
            raise Refused("no such job")
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


async def requests(count: int, producer: str = "ann", last: str = "job") -> AsyncIterator[jobs_pb2.PushRequest]:
    for number in range(count):
        job = last if number == count - 1 else "job"
        yield jobs_pb2.PushRequest(job=job, producer=producer, sequence=number + 1)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@in_loop
async def test_answers_come_in_the_order_of_the_pushes() -> None:
    taken = Taken()
    answered = asyncio.ensure_future(listed(in_turn(requests(3), taken)))
    await settled()
    for at in (2, 0, 1):
        taken.answers[at].set_result(at)
    assert await answered == [(1, 0), (2, 1), (3, 2)]


@in_loop
async def test_no_more_are_taken_up_than_the_window_has_room_for() -> None:
    taken = Taken()
    answers = in_turn(requests(5), taken, pushes=2)
    first = asyncio.ensure_future(anext(answers))
    await settled()
    assert len(taken.answers) == 2
    taken.answers[0].set_result(0)
    await first
    await settled()
    assert len(taken.answers) == 3
    await answers.aclose()
    assert taken.answers[2].cancelled()


@in_loop
async def test_a_refusal_comes_behind_the_answers_before_it() -> None:
    taken = Taken()
    answers = in_turn(requests(3, last="other"), taken)
    first = asyncio.ensure_future(anext(answers))
    await settled()
    for at, answer in enumerate(taken.answers):
        answer.set_result(at)
    assert (await first)[1] == 0
    assert (await anext(answers))[1] == 1
    with pytest.raises(Refused, match="no such job"):
        await anext(answers)


@in_loop
async def test_nothing_is_taken_up_behind_a_refusal_that_was_told() -> None:
    taken = Taken()
    answers = in_turn(requests(9), taken, pushes=2)
    first = asyncio.ensure_future(anext(answers))
    await settled()
    taken.answers[0].set_exception(Refused("other rows"))
    with pytest.raises(Refused):
        await first
    await settled()
    assert len(taken.answers) == 2


@in_loop
async def test_pushes_without_a_number_go_one_by_one() -> None:
    taken = Taken()
    answers = in_turn(requests(2, producer=""), taken)
    first = asyncio.ensure_future(anext(answers))
    await settled()
    assert len(taken.answers) == 1
    taken.answers[0].set_exception(Refused("other rows"))
    with pytest.raises(Refused):
        await first
    assert len(taken.answers) == 1


async def listed(answers: AsyncIterator[tuple[jobs_pb2.PushRequest, int | None]]) -> list[tuple[int, int | None]]:
    return [(request.sequence, offset) async for request, offset in answers]
