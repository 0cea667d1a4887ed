"""Who has asked for a checkpoint and waits for it: each gets one that has begun since, or is told why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from limnad.errors import ClusterError
from limnad_worker.feeding import Refused


class GivenUp(ClusterError):
    """A checkpoint that somebody waited for was given up, says why; another one may succeed."""


class Asked:
    """Those who wait for a checkpoint of one job.

    Laws: a checkpoint that was under way when somebody asked is no answer, because it does not cover what was done in
    between. Whoever waits is answered by the next one, whether that is made or given up, or by the job's end.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[int]]] = []

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def ask(self, under_way: int) -> asyncio.Future[int]:
        """Somebody asks, while that one is being made; 0: none is. Its number comes when it is durable.

        Raises:
            GivenUp: What is awaited raises it.
            Refused: What is awaited raises it: the job has ended.
        """
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((under_way, answer))
        return answer

    def made(self, number: int) -> None:
        """A checkpoint is durable."""
        self._settle(number, lambda answer: answer.set_result(number))

    def given_up(self, number: int | None, why: str) -> None:
        """A checkpoint was given up; None: before it had a number."""
        self._settle(number, lambda answer: answer.set_exception(GivenUp(f"the checkpoint was given up: {why}")))

    def end(self, why: str) -> None:
        """No more are made."""
        self._settle(None, lambda answer: answer.set_exception(Refused(why)))

    def _settle(self, number: int | None, settle: Callable[[asyncio.Future[int]], None]) -> None:
        waiting, self._waiting = self._waiting, []
        for under_way, answer in waiting:
            if number is not None and under_way >= number:
                self._waiting.append((under_way, answer))
            elif not answer.done():  # Else it was cancelled: its client has hung up.
                settle(answer)
