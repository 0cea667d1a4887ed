"""How the inputs of a job end where they stand, and how that is taken back.

What a producer closes stays closed: it has said that there is no more, and nobody else would ever say so again. A drain
is said by somebody who wants the job to end. When that job has ended, and is taken back to a checkpoint from before its
inputs ended, it is to go on; so they are open again, and those who feed them may go on, too. Epochs that were complete
stay as they were, because they have been shown: what is pushed from then on comes behind them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from limnad.cluster import feeding
from limnad.cluster.cuts import standings
from limnad.cluster.feeding import DRAINER
from limnad.cluster.records import PartError
from limnad.store import StoreError
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker.feeding import Doubtful, Refused
from limnad_worker.vault import Vault

if TYPE_CHECKING:
    from limnad_worker.job import Job


def tell_drain(job: Job) -> None:
    """Has the inputs of a running job that is drained end."""
    stages = [stage.name for stage in job.view.stages if stage.kind == "input"]
    job.current.send_all(drain=wire.Drain(inputs=[name for name in stages if name not in job.view.inputs]))
    for name in job.view.inputs:
        job.source.keep(_close(job, name))


async def _close(job: Job, name: str) -> None:
    """Closes a hand-fed input behind all that was pushed before, unless an earlier generation has."""
    push = wire.Push(input=name, close=True)
    with contextlib.suppress(Refused, Doubtful):  # It is closed already, or the job has ended meanwhile.
        newest = await job.last_sequence(name, DRAINER) if job.survives_losses else 0
        if newest % 2 == 0:
            await job.feeder.push(jobs_pb2.PushRequest(push=push, producer=DRAINER, sequence=newest + 1))


async def undo_drain(job: Job, vault: Vault, checkpoint: int) -> None:
    """Has hand-fed inputs of a job that was drained be open again, from a checkpoint on at which they were.

    Args:
        job: One that has ended.
        vault: Its store.
        checkpoint: To which it is about to be taken back.

    Raises:
        StoreError: That cannot be done.
    """
    try:
        stood = feeding.positions(standings(await vault.read(checkpoint)), job.view.inputs)
        newest = await vault.read(max(await vault.numbers()))
    except PartError as error:
        raise StoreError(str(error)) from None
    shown = max([job.outputs.epochs, *(part.epochs_opened for part in newest.parts)])
    for name in job.view.inputs:
        if stood.get(name, 0) is None:
            continue
        number = await vault.last_sequence(name, DRAINER)
        if number % 2:
            reopened = wire.Push(input=name, reopen=shown).SerializeToString()
            await vault.append(name, [feeding.Push(0, DRAINER, number + 1, reopened)], job.generation)
