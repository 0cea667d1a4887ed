"""Who works in a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from limnad_proto.v1 import jobs_pb2


@dataclass(frozen=True)
class AgentStatus:
    """An agent of a cluster.

    Attributes:
        index: That of index 0 leads.
        address: Where it serves.
        slots: How many workers of one job it is made for.
        busy: How many engines work for jobs there.
        build: What it runs.
        leaving: Whether it is about to stop.
    """

    index: int
    address: str
    slots: int
    busy: int
    build: str
    leaving: bool


@dataclass(frozen=True)
class ClusterStatus:
    """A cluster.

    Attributes:
        agents: Those that have registered, by index.
        expected: How many there are to be.
    """

    agents: list[AgentStatus]
    expected: int = 0

    @classmethod
    def of(cls, view: jobs_pb2.ClusterView) -> Self:
        """From the wire."""
        return cls(
            [
                AgentStatus(agent.index, agent.address, agent.slots, agent.busy, agent.build, agent.leaving)
                for agent in view.agents
            ],
            view.expected,
        )
