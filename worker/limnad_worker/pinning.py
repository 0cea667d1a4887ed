"""Checkpoints that are kept: as long as somebody names them, and while a new version of everything is tried.

A pin that holds is the newest checkpoint for as long as it is there, because no other one is made: what is shown only
when a checkpoint covers it is held back, and any leader, of whatever version, goes on from that one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from limnad.cluster.registry import Pin
from limnad_proto.v1 import jobs_pb2
from limnad_worker.asking import GivenUp

if TYPE_CHECKING:
    from limnad_worker.job import Job


@dataclass(slots=True)
class Pins:
    """The pins of a job.

    Attributes:
        named: By name.
    """

    named: dict[str, Pin] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether no checkpoint may be made."""
        return any(pin.hold for pin in self.named.values())

    @property
    def numbers(self) -> set[int]:
        """The checkpoints that are kept."""
        return {pin.checkpoint for pin in self.named.values()}

    def follow(self, before: Pins, view: jobs_pb2.JobView) -> None:
        """Takes over what was kept of the job whose place this one takes; nobody waits for that one any more."""
        self.named.update({name: pin for name, pin in before.named.items() if not pin.hold})
        self.show(view)

    def show(self, view: jobs_pb2.JobView) -> None:
        """Tells clients."""
        del view.pins[:]
        view.pins.extend(
            jobs_pb2.PinInfo(name=name, checkpoint=pin.checkpoint, hold=pin.hold) for name, pin in self.named.items()
        )


async def pin(job: Job, name: str, *, hold: bool) -> int:
    """Makes a checkpoint and pins it; its number.

    Raises:
        Refused: See `Job.checkpoint`.
        GivenUp: See there; or another pin holds.
    """
    pins = job.pins
    if name not in pins.named:
        refuse_if_held(job)
        pins.named.setdefault(name, Pin(await job.checkpoint(), hold))  # Somebody else may have asked for the same.
    number = pins.named[name].checkpoint
    if pins.named[name].hold:  # From here on none begins; one that has begun meanwhile is the newest in the end.
        await _until_none_is_made(job)
        number = max(number, job.view.checkpoint)
        if name in pins.named:
            pins.named[name] = Pin(number, hold=True)
    pins.show(job.view)
    job.on_change()
    return number


async def _until_none_is_made(job: Job) -> None:
    async with job.changed:
        await job.changed.wait_for(lambda: job.saving is None or job.saving.idle or job.state.ended)


def unpin(job: Job, name: str) -> None:
    """Lets go of a pin."""
    if job.pins.named.pop(name, None) is not None:
        job.pins.show(job.view)
        job.on_change()


def refuse_if_held(job: Job) -> None:
    """Refuses what would make a checkpoint, or go back to one.

    Raises:
        GivenUp: A pin holds; when it does not any more, this may be tried again.
    """
    for name, each in job.pins.named.items():
        if each.hold:
            raise GivenUp(
                f"the job is held at checkpoint {each.checkpoint} by {name!r} and makes no others: wait until that is "
                "over, or unpin it"
            )
