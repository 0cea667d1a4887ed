"""What people do to objects and to jobs, and what happens to pods, at any moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from limnad_operator.model import GROUP, VERSION
from limnad_operator.reconcile import pods
from limnad_operator.reconcile.plan import Object
from tests.helpers.operator_simulation.controllers import NO_IMAGE
from tests.helpers.operator_simulation.leaders import BAD_IMAGE
from tests.helpers.operator_simulation.server import NAMESPACE

if TYPE_CHECKING:
    from tests.helpers.operator_simulation.simulation import Simulation

DEADLINES = {"unready": "40s", "lost": "5s", "scale": "30s", "upgrade": "30s", "deletion": "30s"}
SECRET = "redis"
JOBS, CHECKPOINTS = ("a", "b"), ("x", "y")


def cluster_spec(sim: Simulation) -> dict[str, Any]:
    """Of some cluster."""
    spec: dict[str, Any] = {
        "image": "limnad:1",
        "workers": {"replicas": sim.weather.pick([1, 2, 3])},
        "deadlines": DEADLINES,
    }
    if not sim.secured:
        spec |= {"tls": {"mode": "Disabled"}, "tokens": {"mode": "Disabled"}}
    if sim.leaders.durable:
        spec["store"] = {"secretRef": {"name": SECRET, "key": "url"}}
        if sim.weather.chance(0.3):
            spec["store"]["onDeletion"] = "Delete"
    return spec


def job_spec(sim: Simulation) -> dict[str, Any]:
    """Of some job."""
    pick = sim.weather.pick
    spec: dict[str, Any] = {
        "clusterRef": {"name": "c"},
        "source": {"inline": "def job(flow): ..."},
        "width": pick([0, 0, 2]),
        "upgradeMode": pick(["LastState", "Savepoint", "Stateless"]),
        "onDeletion": pick(["Retain", "Retain", "Delete"]),
    }
    if sim.weather.chance(0.1):
        spec["ttlSecondsAfterFinished"] = 10
    return spec


def make(sim: Simulation, kind: str, name: str, spec: dict[str, Any]) -> None:
    """Makes an object of ours."""
    manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }
    sim.server.create(manifest)


def _edit(sim: Simulation, kind: str, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    sim.checks.edited(sim.server.objects[kind, name])
    sim.server.edit(kind, name, lambda object_: change(object_["spec"]))


def _some(sim: Simulation, kind: str) -> Object | None:
    there = [each for each in sim.server.all(kind) if not pods.leaving(each)]
    return sim.weather.pick(there) if there else None


def scale(sim: Simulation) -> str:
    """Another number of workers is wanted."""
    if sim.server.there("LimnadCluster", "c") is None:
        return ""
    replicas = sim.weather.pick([1, 2, 3, 4])
    _edit(sim, "LimnadCluster", "c", lambda spec: spec["workers"].update(replicas=replicas))
    return f"scales to {replicas}"


def upgrade(sim: Simulation) -> str:
    """Another image is wanted."""
    if sim.server.there("LimnadCluster", "c") is None:
        return ""
    image = sim.weather.pick(["limnad:1", "limnad:2", "limnad:3", "limnad:2", BAD_IMAGE, NO_IMAGE])
    _edit(sim, "LimnadCluster", "c", lambda spec: spec.update(image=image))
    return f"wants image {image}"


def cluster(sim: Simulation) -> str:
    """The cluster is made, or deleted."""
    if sim.server.there("LimnadCluster", "c") is not None:
        if sim.weather.chance(0.7):
            return ""
        sim.server.delete("LimnadCluster", "c")
        return "deletes the cluster"
    make(sim, "LimnadCluster", "c", cluster_spec(sim))
    return "makes the cluster"


def job(sim: Simulation) -> str:
    """A job is made."""
    name = sim.weather.pick(JOBS)
    if sim.server.there("LimnadJob", name) is not None:
        return ""
    make(sim, "LimnadJob", name, job_spec(sim))
    return f"makes job {name}"


def own_cluster(sim: Simulation) -> str:
    """A job with a cluster of its own is made."""
    if sim.server.there("LimnadJob", "own") is not None or sim.server.there("LimnadCluster", "own") is not None:
        return ""
    spec = job_spec(sim)
    del spec["clusterRef"]
    template = {**cluster_spec(sim), "workers": {"replicas": 1}}
    make(sim, "LimnadJob", "own", {**spec, "clusterTemplate": {"spec": template}})
    return "makes a job with a cluster of its own"


def drop_job(sim: Simulation) -> str:
    """A job is deleted."""
    found = _some(sim, "LimnadJob")
    if found is None:
        return ""
    sim.server.delete("LimnadJob", found["metadata"]["name"])
    return f"deletes job {found['metadata']['name']}"


def change_job(sim: Simulation) -> str:
    """Something else is wanted of a job."""
    found = _some(sim, "LimnadJob")
    if found is None:
        return ""
    name, pick = found["metadata"]["name"], sim.weather.pick
    change: dict[str, Any] = pick(
        [
            {"width": pick([0, 1, 2, 3])},
            {"state": "Suspended"},
            {"state": "Running"},
            {"state": "Suspended"},
            {"state": "Running"},
            {"upgradeMode": pick(["LastState", "Savepoint", "Stateless"])},
            {"onDeletion": pick(["Retain", "Delete"])},
        ]
    )
    _edit(sim, "LimnadJob", name, lambda spec: spec.update(change))
    return f"changes job {name}: {change}"


def rewrite(sim: Simulation) -> str:
    """A job gets other arguments."""
    found = _some(sim, "LimnadJob")
    if found is None:
        return ""
    arguments = {"a": str(sim.weather.random.randrange(100))}
    _edit(sim, "LimnadJob", found["metadata"]["name"], lambda spec: spec.update(arguments=arguments))
    return f"changes job {found['metadata']['name']}: {arguments}"


def checkpoint(sim: Simulation) -> str:
    """A checkpoint is asked for, or deleted."""
    name = sim.weather.pick(CHECKPOINTS)
    if sim.server.there("LimnadCheckpoint", name) is not None:
        sim.server.delete("LimnadCheckpoint", name)
        return f"deletes checkpoint {name}"
    spec: dict[str, Any] = {
        "jobRef": {"name": sim.weather.pick(JOBS)},
        "retention": sim.weather.pick(["Delete", "Retain"]),
    }
    make(sim, "LimnadCheckpoint", name, spec)
    return f"makes checkpoint {name} of {spec['jobRef']['name']}"


def submit(sim: Simulation) -> str:
    """Somebody submits a job past the operator."""
    name, width = sim.weather.pick([("follows", 0), ("fixed", 1)])
    sim.leaders.submit("c", name, width)
    return f"submits {name} if it can"


def job_itself(sim: Simulation) -> str:
    """A job is finished, or will turn out to refuse another number of workers."""
    store = sim.leaders.store("c")
    running = [each for each in store.jobs.values() if each.state == "running"]
    if not running:
        return ""
    one = sim.weather.pick(running)
    if sim.weather.chance(0.2):
        one.state, one.ended_s = "finished", sim.server.wall_s
        return f"job {one.name} is finished"
    store.refuses.add(one.name)
    return f"job {one.name} refuses to be rescaled from now on"


def child(sim: Simulation) -> str:
    """Somebody meddles with what the operator owns."""
    kind = sim.weather.pick(["StatefulSet", "ConfigMap", "Service", "NetworkPolicy", "StatefulSet"])
    found = _some(sim, kind)
    if found is None:
        return ""
    name = found["metadata"]["name"]
    if kind == "StatefulSet" and sim.weather.chance(0.7):
        replicas = sim.weather.pick([1, 2, 3])
        sim.server.edit(kind, name, lambda object_: object_["spec"].update(replicas=replicas))
        return f"scales StatefulSet {name} to {replicas} by hand"
    sim.server.delete(kind, name)
    return f"deletes {kind} {name}"


def pod(sim: Simulation) -> str:
    """A pod is deleted, crashes, is cut off with its node, or is not ready any more."""
    found = _some(sim, "Pod")
    if found is None:
        return ""
    name = pods.name(found)
    fate = sim.weather.pick(["deleted", "crashed", "crashed", "lost", "broken"])
    match fate:
        case "deleted":
            sim.server.delete("Pod", name)
        case "crashed":
            sim.controllers.crash(found)
        case "lost":
            sim.controllers.lose_node(found)
        case _:
            sim.controllers.break_pod(found)
    return f"pod {name} is {fate}"


def server(sim: Simulation) -> str:
    """The API server forgets, or is away."""
    if sim.weather.chance(0.5):
        sim.server.forget()
        return "the history is compacted"
    sim.server.down = True
    down_s = sim.weather.between(0.5, 25)
    sim.loop.call_later(down_s, lambda: setattr(sim.server, "down", False))
    return f"the API server is down for {down_s:.1f} s"


def operator(sim: Simulation) -> str:
    """One of the operators crashes, or is stopped."""
    lease = sim.server.there("Lease", "limnad-operator")
    holder = lease["spec"]["holderIdentity"] if lease is not None else ""
    leading = [each for each in sim.processes if each.identity == holder]
    process = sim.weather.pick(leading if leading and sim.weather.chance(0.7) else sim.processes)
    if process.task is None or process.task.done():
        return ""
    if sim.weather.chance(0.5):
        process.crash()
        return f"operator {process.identity} crashes"
    process.stop()
    return f"operator {process.identity} is stopped"


Act = Callable[["Simulation"], str]
ACTS: tuple[tuple[int, Act], ...] = (
    (6, scale),
    (3, upgrade),
    (2, cluster),
    (5, job),
    (1, own_cluster),
    (3, drop_job),
    (5, change_job),
    (2, rewrite),
    (3, checkpoint),
    (2, submit),
    (2, job_itself),
    (2, child),
    (4, pod),
    (1, server),
    (4, operator),
)
"""What may happen, and how often."""


def act(sim: Simulation) -> str:
    """One of all that may happen; what it was."""
    acts = sim.acts or [each for weight, each in ACTS for _ in range(weight)]
    for _ in range(10):
        if said := sim.weather.pick(acts)(sim):
            return said
    return ""
