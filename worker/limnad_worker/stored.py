"""What is asked of a job's store beside the job: it may have ended, under an earlier leader too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from limnad.cluster import leader
from limnad_proto.v1 import jobs_pb2
from limnad_worker import steering
from limnad_worker.entries import OUTPUTS_GONE, OUTPUTS_LET_GO, Entry
from limnad_worker.feeding import Refused
from limnad_worker.roster import Roster
from limnad_worker.vault import KEEP, Vault


@asynccontextmanager
async def _opened(entry: Entry) -> AsyncIterator[Vault]:
    vault = _vault(entry)
    try:
        yield vault
    finally:
        await vault.close()


def _vault(entry: Entry) -> Vault:
    return Vault(entry.store, entry.space, entry.job.request.keep or KEEP)


async def restore(entry: Entry, checkpoint: int, workers: int) -> int:
    """See `steering.restore`.

    Raises:
        Refused: It keeps no checkpoints, or has no such one.
        GivenUp: A pin holds.
        StoreError: Its store cannot be reached.
    """
    if not entry.store:
        raise Refused("the job has no store to keep a checkpoint in: give it one when it is submitted")
    return await steering.restore(entry.job, checkpoint, workers, _vault(entry))


async def checkpoints(entry: Entry) -> list[jobs_pb2.CheckpointInfo]:
    """What there is to restore, the newest first.

    Raises:
        StoreError: Its store cannot be reached.
    """
    if not entry.store:
        return []
    async with _opened(entry) as vault:
        return await vault.infos()


async def recall_outputs(entry: Entry, roster: Roster) -> None:
    """Has a job that ended under another leader give what its last checkpoint has kept of its outputs.

    Raises:
        Refused: It keeps no checkpoints: what it had put out is gone with that leader, and may not have been read.
        StoreError: That cannot be read.
    """
    job = entry.job
    if not job.state.ended or job.outputs.readable:
        return
    if entry.store:
        async with _opened(entry) as vault:
            await steering.recall_outputs(job, vault)
        steering.let_go_of_outputs(job, roster.jobs)
    elif job.outputs.gone:
        raise Refused(OUTPUTS_LET_GO)
    elif entry.recalled and job.state is leader.State.FINISHED and job.view.outputs:
        raise Refused(OUTPUTS_GONE)


async def past_sequence(entry: Entry, name: str, producer: str) -> int | None:
    """A producer's newest number in the log of a job that ended under another leader; None: it did not do so.

    Raises:
        StoreError: It cannot be read.
    """
    job = entry.job
    if not (entry.recalled and entry.store and job.state.ended and name in job.view.inputs):
        return None
    async with _opened(entry) as vault:
        return await vault.last_sequence(name, producer)
