"""What a drill does to a cluster, and what recovered means: functions of what is seen, without input or output.

A fault is a row of strikes, each with what has to be so afterwards; or a sentence that says why it cannot be here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from limnad_operator.reconcile import pods
from limnad_operator.reconcile.plan import Object

SCALES = (2, 5, 1)
"""How many workers there are in turn, before there are as many as at first."""

MARK = "limnad.io/drill"
"""Annotation of the workers' pods whose change is an upgrade, if there is no other image."""


@dataclass(frozen=True, slots=True)
class World:
    """What is seen at one moment.

    Attributes:
        cluster: The LimnadCluster.
        job: The LimnadJob.
        pods: All pods of Limnad in the namespace.
        nodes: Where pods can be placed; empty: that is not told.
        epoch: The last one that was read of the job.
        image: For an upgrade; empty: the same one.
        stops_nodes: Whether it was said how a node is switched off and on.
    """

    cluster: Object
    job: Object
    pods: Sequence[Object] = ()
    nodes: Sequence[str] = ()
    epoch: int = -1
    image: str = ""
    stops_nodes: bool = False

    def of(self, component: str) -> list[Object]:
        """The pods of one part of the cluster, or of the operator or store, which are not the cluster's own."""
        wanted = {"app.kubernetes.io/component": component}
        if component in {"worker", "coordinator"}:
            wanted["app.kubernetes.io/instance"] = self.cluster["metadata"]["name"]
        return [pod for pod in self.pods if wanted.items() <= pod["metadata"]["labels"].items()]

    @property
    def workers(self) -> list[Object]:
        """Its workers' pods, the leader first."""
        return sorted(self.of("worker"), key=pods.ordinal)

    def on(self, node: str) -> list[Object]:
        """The pods on a node."""
        return [pod for pod in self.pods if pod["spec"].get("nodeName") == node]

    @property
    def replicas(self) -> int:
        """How many workers are wanted."""
        return int(self.cluster["spec"]["workers"]["replicas"])

    @property
    def generation(self) -> int:
        """Which run of the job this is."""
        return int(self.job.get("status", {}).get("generation") or 0)

    @property
    def checkpoint(self) -> int:
        """The newest one that the operator has told of."""
        return int(self.job.get("status", {}).get("checkpoint") or 0)


# -- what is done ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kill:
    """A pod is deleted without any grace."""

    pod: str
    uid: str


@dataclass(frozen=True, slots=True)
class Evict:
    """A pod is asked to go, as far as its disruption budget allows."""

    pod: str


@dataclass(frozen=True, slots=True)
class Cordon:
    """A node takes no more pods, or takes them again."""

    node: str
    on: bool


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale subresource is set."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The workers get another template.

    Attributes:
        image: Theirs from now on; empty: the same one.
        mark: Of their pods' annotation.
    """

    image: str
    mark: str


@dataclass(frozen=True, slots=True)
class Isolate:
    """A pod is cut off from all others, or reaches them again: by its label, which a NetworkPolicy goes by."""

    pod: str
    on: bool


@dataclass(frozen=True, slots=True)
class Switch:
    """A node is switched off or on, by the command that was given for it."""

    node: str
    on: bool


Action = Kill | Evict | Cordon | Scale | Upgrade | Isolate | Switch


@dataclass(frozen=True, slots=True)
class Strike:
    """One thing that is done.

    Attributes:
        actions: In this order.
        well: Whether the cluster is as it should be afterwards. Recovered: this, and an epoch read after it.
        mend: What takes it back, whatever has come of it; the cluster has to be whole again afterwards.
        doubt: What may be the reason if it is not overcome, and no fault of the cluster's; a sentence.
    """

    actions: tuple[Action, ...]
    well: Callable[[World], bool]
    mend: tuple[Action, ...] = ()
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """It cannot be done here; says why."""

    why: str


@dataclass
class Recovery:
    """Whether a strike has been overcome: all is well, and an epoch was read after that."""

    well: Callable[[World], bool]
    _since: int | None = field(default=None)

    def saw(self, world: World) -> bool:
        """What is seen now."""
        if not self.well(world):
            self._since = None
            return False
        if self._since is None:
            self._since = world.epoch
        return world.epoch > self._since


# -- what is well ------------------------------------------------------------------------------------------------------


def runs(world: World) -> bool:
    """Whether cluster and job say so, and no step of anything is under way."""
    cluster, job = world.cluster.get("status", {}), world.job.get("status", {})
    return cluster.get("phase") == "Running" and not cluster.get("step") and job.get("phase") == "Running"


def whole(world: World) -> bool:
    """Whether all workers are there besides."""
    return runs(world) and sum(map(pods.ready, world.workers)) == world.replicas


def _replaced(component: str, gone: Sequence[Object], count: int) -> Callable[[World], bool]:
    """Others are there for these pods."""
    uids = set(map(pods.uid, gone))

    def well(world: World) -> bool:
        there = world.of(component)
        return runs(world) and sum(map(pods.ready, there)) >= count and not uids & set(map(pods.uid, there))

    return well


def _and_a_checkpoint(well: Callable[[World], bool], before: int) -> Callable[[World], bool]:
    """A newer checkpoint as well: the store takes them, and the operator tells of them."""
    return lambda world: well(world) and world.checkpoint > before


# -- faults ------------------------------------------------------------------------------------------------------------


def _kill(component: str, hit: Sequence[Object], count: int) -> Strike:
    return Strike(tuple(Kill(pods.name(pod), pods.uid(pod)) for pod in hit), _replaced(component, hit, count))


def _worker(world: World) -> list[Strike] | Skipped:
    """The last worker's pod is killed."""
    if len(world.workers) < 2:
        return Skipped("there is no worker beside the leader: scale the cluster to two")
    return [_kill("worker", world.workers[-1:], len(world.workers))]


def _leader(world: World) -> list[Strike] | Skipped:
    """Worker 0's pod is killed."""
    if not world.workers:
        return Skipped("there is no worker")
    return [_kill("worker", world.workers[:1], len(world.workers))]


def _coordinator(world: World) -> list[Strike] | Skipped:
    """The coordinator's pod is killed."""
    found = world.of("coordinator")
    return [_kill("coordinator", found, 1)] if found else Skipped("the cluster has none: coordinator.enabled")


def _operator(world: World) -> list[Strike] | Skipped:
    """All pods of the operator are killed."""
    found = world.of("operator")
    if not found:
        return Skipped("it does not run in this namespace")
    strike = _kill("operator", found, len(found))
    return [Strike(strike.actions, _and_a_checkpoint(strike.well, world.checkpoint))]


def _redis(world: World) -> list[Strike] | Skipped:
    """Redis' pod is killed."""
    found = world.of("redis")
    if not found:
        return Skipped("the store is not the chart's Redis")
    strike = _kill("redis", found, len(found))
    return [Strike(strike.actions, _and_a_checkpoint(strike.well, world.checkpoint))]


def _drain(world: World) -> list[Strike] | Skipped:
    """The last worker's node is cordoned, and the cluster's workers there are evicted."""
    if len(world.nodes) < 2:
        return Skipped("there is one node, or nodes may not be seen and changed: there is nowhere to move to")
    if not world.workers:
        return Skipped("there is no worker")
    node = str(world.workers[-1]["spec"]["nodeName"])
    hit = [pod for pod in world.workers if pod["spec"].get("nodeName") == node]
    actions: tuple[Action, ...] = (Cordon(node, on=True), *(Evict(pods.name(pod)) for pod in hit))
    return [Strike(actions, _replaced("worker", hit, len(world.workers)), (Cordon(node, on=False),))]


def _lost_node(world: World) -> list[Strike] | Skipped:
    """The node under worker 0 vanishes, and comes back when its workers run elsewhere."""
    if not world.stops_nodes:
        return Skipped("no call of the API makes a node vanish: say what does with --stop-node and --start-node")
    if len(world.nodes) < 2 or not world.workers:
        return Skipped("there is one node, or nodes may not be seen: there is nowhere to move to")
    node = str(world.workers[0]["spec"]["nodeName"])
    there = world.on(node)
    if any(pod in there for pod in world.of("redis")):
        return Skipped(f"Redis is on {node} as well, and nobody replaces its pod until an administrator gives it up")
    if any(pods.name(pod) == world.job["metadata"]["name"] for pod in there):
        return Skipped(f"the pod that reads the job is on {node} as well: drill again, and it will be on another")
    hit = [pod for pod in world.workers if pod in there]
    well = _replaced("worker", hit, len(world.workers))
    return [Strike((Switch(node, on=False),), well, (Switch(node, on=True),))]


def _scale(world: World) -> list[Strike] | Skipped:
    """The cluster gets 2, 5, 1 and then as many workers as before."""
    strikes, at = [], world.replicas
    for replicas in (*SCALES, world.replicas):
        if replicas != at:
            strikes.append(Strike((Scale(replicas),), _scaled(replicas)))
        at = replicas
    return strikes


def _scaled(replicas: int) -> Callable[[World], bool]:
    def well(world: World) -> bool:
        width = replicas * int(world.cluster["spec"]["workers"].get("slots") or 1)
        there = world.workers
        return (
            runs(world)
            and (len(there), sum(map(pods.ready, there))) == (replicas, replicas)
            and world.cluster["status"].get("readyReplicas") == replicas
            and world.job["status"].get("width") == width
        )

    return well


def _upgrade(world: World) -> list[Strike] | Skipped:
    """All workers are replaced by those of another template."""
    template = world.cluster["spec"]["workers"].get("template") or {}
    before = int((template.get("annotations") or {}).get(MARK, 0))
    mark = str(before + 1)
    replaced = _replaced("worker", world.workers, len(world.workers))

    def well(now: World) -> bool:
        """Not so if the operator has gone back: pods are others then, too."""
        marks = {(pod["metadata"].get("annotations") or {}).get(MARK) for pod in now.workers}
        return replaced(now) and marks == {mark}

    return [Strike((Upgrade(world.image, mark),), well)]


def _partition(world: World) -> list[Strike] | Skipped:
    """The last worker's pod is cut off until the job has gone on without it."""
    if len(world.workers) < 2:
        return Skipped("there is no worker beside the leader: scale the cluster to two")
    if not (world.cluster["spec"].get("network") or {}).get("policy", True):
        return Skipped("the cluster has no NetworkPolicies: spec.network.policy")
    pod, before = pods.name(world.workers[-1]), world.generation

    def well(now: World) -> bool:
        """The cluster is not: a worker is missing."""
        return now.job.get("status", {}).get("phase") == "Running" and now.generation > before

    doubt = "a NetworkPolicy of yours lets the pod talk, or the network plugin leaves connections alone that are open"
    return [Strike((Isolate(pod, on=True),), well, (Isolate(pod, on=False),), doubt)]


Fault = Callable[[World], list[Strike] | Skipped]

FAULTS: Mapping[str, Fault] = {
    fault.__name__.removeprefix("_").replace("_", "-"): fault
    for fault in (
        _worker,
        _leader,
        _coordinator,
        _operator,
        _redis,
        _drain,
        _lost_node,
        _scale,
        _upgrade,
        _partition,
    )
}
"""What can be done, by name."""
