"""Which host gets which workers of a job.

Laws, for hosts of one build that are not leaving and have slots:

- each worker has exactly one host, and each host's workers are neighbours, in the order of the hosts' indexes: worker 0
  is on the first host that is used;
- a job is spread as its hosts' slots are: no worker could move to another host where it would share a slot with fewer
  of its own job;
- where that leaves a choice, the host with the fewest engines of other jobs for each slot is taken.

Slots are no limit: a job that is wider than all slots together shares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class HostLoad:
    """A host as placement sees it.

    Attributes:
        uid: Of its agent's process.
        index: Of its agent.
        slots: How many workers of one job it is made for.
        busy: How many engines of other jobs work on it.
        build: Of what it runs.
        leaving: Whether it is about to go.
    """

    uid: str
    index: int
    slots: int
    busy: int = 0
    build: str = ""
    leaving: bool = False


def usable(hosts: Sequence[HostLoad], build: str) -> list[HostLoad]:
    """The hosts that may get workers of a job that this build leads, by index."""
    kept = [host for host in hosts if host.build == build and not host.leaving and host.slots > 0]
    return sorted(kept, key=lambda host: (host.index, host.uid))


def place(workers: int, hosts: Sequence[HostLoad]) -> list[str]:
    """The uid of the host of each worker.

    >>> place(3, [HostLoad("a", 0, slots=1), HostLoad("b", 1, slots=2)])
    ['a', 'b', 'b']
    >>> place(1, [HostLoad("a", 0, slots=1, busy=1), HostLoad("b", 1, slots=1)])
    ['b']

    Args:
        workers: How many.
        hosts: Those that are `usable`; at least one.
    """
    given = {host.uid: 0 for host in hosts}

    def share(host: HostLoad) -> tuple[Fraction, Fraction, int]:
        own = given[host.uid] + 1
        return Fraction(own, host.slots), Fraction(own + host.busy, host.slots), host.index

    for _ in range(workers):
        given[min(hosts, key=share).uid] += 1
    return [host.uid for host in hosts for _ in range(given[host.uid])]
