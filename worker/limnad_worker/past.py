"""A job's past: its generations in the store, and the checkpoint from which the next one starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from limnad.cluster import leader
from limnad.cluster.records import CheckpointRecord, PartError
from limnad.store import LostState, StoreError, Unavailable
from limnad_proto.v1 import jobs_pb2
from limnad_worker.outputs import Outputs
from limnad_worker.vault import Vault


class Past:
    """What a job with a store can go on from.

    Args:
        vault: Its store.
        view: What clients see of the job.
        outputs: Its outputs, which the first checkpoint that is read fills.

    Attributes:
        start: The checkpoint that the generation has started from; 0: the inputs' beginning.
        record: What that one says.
        roll_back: The checkpoint that the next generation is to start from; newer ones are forgotten. 0: the newest.
        missed: The one that it was to go back to, if that was deleted before, so that nothing came of it.
    """

    def __init__(self, vault: Vault, view: jobs_pb2.JobView, outputs: Outputs) -> None:
        self.vault = vault
        self.start = 0
        self.record: CheckpointRecord | None = None
        self.roll_back = self.missed = 0
        self._view = view
        self._outputs = outputs
        self._recalled = False
        self._unreadable: set[int] = set()

    def distrust(self) -> None:
        """The checkpoint that the generation has started from turned out to be damaged."""
        self._unreadable.add(self.start)

    async def begin(self, run: leader.Run, check: Callable[[], Awaitable[None]]) -> int:
        """Takes the job over in its store and chooses where to start; returns the generation.

        Args:
            run: To be told what the checkpoint demands.
            check: Raises if the leader leads no more.

        Raises:
            LostState: There are checkpoints, and none can be read.
            StoreError: The store cannot be reached, or belongs to somebody else.
            Deposed: See ``check``.
        """
        await check()
        await self._open()
        begun = await self.vault.begin_generation()
        await check()
        await self._choose(run, await self._rolled_back(begun.checkpoints))
        return begun.generation

    async def _open(self) -> None:
        """Opens the store. What is wrong with one that cannot be opened may be put right: no job ends for it."""
        try:
            await self.vault.open()
        except StoreError as error:
            raise Unavailable(str(error)) from error

    async def recall(self) -> None:
        """Fills the outputs of a job that has ended from its newest checkpoint, unless they are there.

        Raises:
            StoreError: It cannot be read.
        """
        numbers = await self.vault.numbers()
        if numbers and not self._recalled:
            await self._fill(await self.vault.read(max(numbers)))

    async def _rolled_back(self, checkpoints: Sequence[int]) -> Sequence[int]:
        if not self.roll_back:
            return checkpoints
        kept = await self.vault.roll_back(self.roll_back)  # If the store is away, it is still to be done.
        self.missed, self.roll_back = 0 if self.roll_back in kept else self.roll_back, 0
        return kept

    async def _choose(self, run: leader.Run, checkpoints: Sequence[int]) -> None:
        """The newest checkpoint that can be read."""
        problem: Exception | None = None
        for number in reversed([each for each in checkpoints if each not in self._unreadable]):
            try:
                record = await self.vault.read(number)
                if not self._recalled:
                    await self._fill(record)
            except Unavailable:
                raise
            except (StoreError, PartError) as error:
                self._unreadable.add(number)
                self._view.last_fault = f"checkpoint {number} cannot be read, an older one is taken: {error}"
                problem = error
                continue
            self.start = self._view.checkpoint = number
            self.record = record
            run.graph, run.stages = record.fingerprint, tuple(name for name, _ in record.stages)
            return
        if checkpoints:
            raise LostState(f"none of the checkpoints {', '.join(map(str, checkpoints))} can be read: {problem}")
        self.start, self.record, self._recalled = 0, None, True

    async def _fill(self, record: CheckpointRecord) -> None:
        names = sorted({output.blob.chunk for output in record.outputs if output.blob is not None})
        chunks = await self.vault.get(names)
        self._outputs.load(record.outputs, dict(zip(names, chunks, strict=True)))
        self._recalled = True
