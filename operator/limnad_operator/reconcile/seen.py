"""What a plan is made from. Each is a snapshot; nothing in it is asked for later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from limnad_operator.reconcile.plan import Action, Object


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """An agent that has registered with its leader."""

    index: int
    build: str = ""
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class JobSeen:
    """A job as its leader tells of it; see `limnad.client.JobStatus`.

    Attributes:
        checkpoint_s: When the newest checkpoint was made: Unix time; None: none, or unknown.
        pins: The checkpoints that are kept, by name.
        asked_width: With how many workers it was submitted; 0: as many as there are.
    """

    name: str
    state: str = "running"
    owner: str = ""
    durable: bool = True
    width: int = 1
    asked_width: int = 0
    epoch: int | None = None
    generation: int = 1
    restarts: int = 0
    last_fault: str = ""
    checkpoint: int | None = None
    checkpoint_s: float | None = None
    last_drop: str = ""
    waiting: str = ""
    error: str = ""
    ended_s: float | None = None
    draining: bool = False
    held: bool = False
    pins: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more by itself."""
        return self.state in ("finished", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class LeaderSeen:
    """A leader.

    Attributes:
        address: Where it serves clients; empty: there is no pod.
        problem: Why nothing is known of it; empty: the rest is true.
        agents: Those that have registered.
        expected: How many it expects.
        jobs: All jobs that it knows, by name.
    """

    address: str = ""
    problem: str = ""
    agents: tuple[AgentSeen, ...] = ()
    expected: int = 0
    jobs: Mapping[str, JobSeen] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether it has told of itself."""
        return bool(self.address) and not self.problem

    @property
    def live(self) -> list[JobSeen]:
        """Jobs that have not ended, by name."""
        return [job for _, job in sorted(self.jobs.items()) if not job.ended]


class Fault(StrEnum):
    """Why an action failed."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    CONFLICT = "conflict"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an action of the plan before this one.

    Attributes:
        action: Which.
        fault: Why it failed; None: it did not.
        text: What was said.
        value: What it gave.
    """

    action: Action
    fault: Fault | None = None
    text: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """All that concerns one `LimnadCluster`.

    Attributes:
        now_s: Unix time.
        object: The cluster.
        owned: What it owns, by kind and name, but its pods.
        pods: Its workers' pods.
        secrets: Data of Secrets, by name, that are there.
        leader: Its leader.
        jobs: The `LimnadJob` objects that run in it.
        checkpoints: All `LimnadCheckpoint` objects of its namespace.
        answers: What became of the last plan's actions.
        forbidden: What the operator may not see, in sentences.
    """

    now_s: float
    object: Object
    owned: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    pods: tuple[Object, ...] = ()
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    leader: LeaderSeen = LeaderSeen()
    jobs: tuple[Object, ...] = ()
    checkpoints: tuple[Object, ...] = ()
    answers: tuple[Answer, ...] = ()
    forbidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobObjectSeen:
    """All that concerns one `LimnadJob`.

    Attributes:
        now_s: Unix time.
        object: The job.
        cluster: Its cluster; None: there is none of that name.
        config_map: Data of the ConfigMap with its code; None: there is none.
        leader: Its cluster's leader.
        answers: What became of the last plan's actions.
    """

    now_s: float
    object: Object
    cluster: Object | None = None
    config_map: Mapping[str, str] | None = None
    leader: LeaderSeen = LeaderSeen()
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckpointSeen:
    """All that concerns one `LimnadCheckpoint`.

    Attributes:
        now_s: Unix time.
        object: The checkpoint.
        job: Its `LimnadJob`; None: there is none of that name.
        cluster: Where that runs.
        leader: Its leader.
        answers: What became of the last plan's actions.
    """

    now_s: float
    object: Object
    job: Object | None = None
    cluster: Object | None = None
    leader: LeaderSeen = LeaderSeen()
    answers: tuple[Answer, ...] = ()
