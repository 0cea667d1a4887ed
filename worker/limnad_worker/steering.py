"""What may be done with a job while it runs, and when it has ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from limnad_worker import history
from limnad_worker.asking import GivenUp
from limnad_worker.draining import tell_drain, undo_drain
from limnad_worker.feeding import Refused
from limnad_worker.job import Job
from limnad_worker.outputs import make_room
from limnad_worker.past import Past
from limnad_worker.pinning import refuse_if_held
from limnad_worker.trial import Trial
from limnad_worker.vault import Vault


async def rescale(job: Job, workers: int) -> int:
    """Has it go on with another number of workers from a new checkpoint; returns the generation.

    Its state may turn out not to be spreadable over them: then it goes on from there with as many as before. What is
    kept of the job has the new number only when it has proved good, so that another leader begins with the old one.

    Raises:
        Refused: See `Job.checkpoint`; or it went back.
        GivenUp: See `Job.checkpoint`; or a pin holds.
    """
    async with job.steering:
        if workers == job.workers:
            return await _settled(job)
        refuse_if_held(job)
        await job.checkpoint()
        if not job.state.ended:
            history.restarted(job.view, f"It was rescaled from {job.workers} to {workers} workers.")
            job.trial = Trial(job.workers, workers)
            job.workers = workers
            await job.restart()
        generation = await _settled(job)
        job.on_change()
        return generation


async def _settled(job: Job) -> int:
    """Waits until it runs, and if another number of workers is tried, until that is over."""
    trial = job.trial
    if trial is not None:
        async with job.changed:
            await job.changed.wait_for(lambda: job.state.ended or trial.settled)
        job.trial = None if job.trial is trial else job.trial
    generation = await _until_running(job)
    if trial is not None and trial.refusal:
        raise Refused(trial.refusal)
    return generation


async def save(job: Job) -> None:
    """Makes a checkpoint before a planned stop, if that can be done."""
    if not job.pins.held and not job.waits_for_store:  # Else it goes on from the one that there is.
        with contextlib.suppress(Refused, GivenUp):
            await job.checkpoint()


async def move(job: Job) -> None:
    """Has it go on from a new checkpoint, on the hosts that there are now, if that can be done: that is no failure."""
    async with job.steering:
        with contextlib.suppress(Refused, GivenUp):
            await _move(job)


async def _move(job: Job) -> None:
    refuse_if_held(job)
    await job.checkpoint()
    if not job.state.ended:
        history.restarted(job.view, "An agent that it worked on was to stop: it went on elsewhere.")
        await job.restart()


async def drain(job: Job) -> None:
    """Has its inputs end where they stand, so that it finishes."""
    job.draining = job.view.draining = True
    job.on_change()
    if job.is_running:
        tell_drain(job)


async def restore(job: Job, number: int, workers: int, vault: Vault) -> int:
    """Has it go back to a checkpoint, and forgets those made since; returns the generation.

    Args:
        job: One with a store; it may have ended.
        number: The checkpoint; 0: the newest.
        workers: How many engines; 0: as many as before.
        vault: The store, opened anew, which is the job's own from now on if that has ended; else it is closed.

    Raises:
        Refused: There is no such checkpoint.
        GivenUp: A pin holds.
        StoreError: The store is away, or what is to be read there cannot be.
    """
    own = False
    async with job.steering:
        try:
            refuse_if_held(job)
            numbers = await vault.numbers()
            number = number or max(numbers, default=0)
            if number not in numbers:
                raise _no_checkpoint(number, numbers)
            if job.state.ended:
                await undo_drain(job, vault, number)
            if own := job.state.ended:
                job.revive(vault)
        finally:
            if not own:
                await vault.close()
        if not job.state.ended:  # It may have ended meanwhile: then it is too late, and the caller may try again.
            assert job.past is not None
            history.restarted(job.view, f"It was taken back to checkpoint {number}.")
            job.past.roll_back = number
            job.workers = workers or job.workers
            job.on_change()
            await job.restart()
        generation = await _until_running(job)
        if job.past is not None and job.past.missed == number:
            raise _no_checkpoint(number, [job.past.start])
        return generation


def _no_checkpoint(number: int, numbers: Sequence[int]) -> Refused:
    have = ", ".join(map(str, numbers)) or "none"
    return Refused(f"the job has no checkpoint {number}; it has: {have}")


async def recall_outputs(job: Job, vault: Vault) -> None:
    """Has a job that ended under another leader give what its last checkpoint has kept.

    Raises:
        StoreError: It cannot be read.
    """
    await Past(vault, job.view, job.outputs).recall()


def let_go_of_outputs(newest: Job, jobs: Iterable[Job]) -> None:
    """There may be a hundred jobs that have ended: only so much of their outputs is kept."""
    ended = [newest, *(job for job in jobs if job.state.ended and job is not newest)]
    make_room([job.outputs for job in ended])


async def _until_running(job: Job) -> int:
    async with job.changed:
        await job.changed.wait_for(lambda: job.state.ended or job.is_running)
    if job.state.ended:
        raise Refused(f"the job has ended: it is {job.state.value}")
    return job.generation
