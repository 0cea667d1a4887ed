"""What a drill does, and when it takes something for overcome: of worlds that are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from limnad_operator.drill.faults import (
    FAULTS,
    MARK,
    Cordon,
    Evict,
    Isolate,
    Kill,
    Recovery,
    Scale,
    Skipped,
    Strike,
    Switch,
    Upgrade,
    World,
    whole,
)


def pod(component: str, number: int, uid: str = "", *, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": component, "app.kubernetes.io/instance": "limnad"}
    name = f"limnad-{component}-{number}"
    return {
        "metadata": {"name": name, "uid": uid or name, "labels": labels, **metadata},
        "spec": {"nodeName": f"n{number}"},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def world(workers: int = 2, **changes: Any) -> World:
    cluster = {
        "metadata": {"name": "limnad"},
        "spec": {"workers": {"replicas": workers}},
        "status": {"phase": "Running", "readyReplicas": workers},
    }
    job = {
        "metadata": {"name": "drill"},
        "status": {"phase": "Running", "width": workers, "checkpoint": 7, "generation": 3},
    }
    found = [pod("worker", number) for number in range(workers)]
    found += [pod("operator", 0), pod("redis", 0), pod("coordinator", 0)]
    return replace(World(cluster, job, found, ("n0", "n1"), epoch=10), **changes)


def on_nodes(**nodes: str) -> World:
    """Pods on the nodes that are said, the others on n9."""
    names = {"limnad-worker-0": "n0", "limnad-worker-1": "n1", "drill": "n9"} | {
        name.replace("_", "-"): node for name, node in nodes.items()
    }
    seen = world(stops_nodes=True)
    reader = {**pod("client", 0), "metadata": {"name": "drill", "uid": "drill", "labels": {}}}
    placed = [
        {**each, "spec": {"nodeName": names.get(each["metadata"]["name"], "n9")}} for each in [*seen.pods, reader]
    ]
    return replace(seen, pods=placed)


def strikes(fault: str, seen: World) -> list[Strike]:
    found = FAULTS[fault](seen)
    assert not isinstance(found, Skipped), found
    return found


def without(seen: World, name: str) -> list[Any]:
    return [each for each in seen.pods if each["metadata"]["name"] != name]


@pytest.mark.parametrize(
    ("fault", "hit"),
    [
        ("worker", "limnad-worker-1"),
        ("leader", "limnad-worker-0"),
        ("coordinator", "limnad-coordinator-0"),
        ("operator", "limnad-operator-0"),
        ("redis", "limnad-redis-0"),
    ],
)
def test_it_is_well_when_another_pod_is_ready_in_its_place(fault: str, hit: str) -> None:
    seen = world()
    (strike,) = strikes(fault, seen)
    assert strike.actions == (Kill(hit, hit),)
    component = hit.split("-")[1]
    number = int(hit[-1])
    later = {**seen.job, "status": {**seen.job["status"], "checkpoint": 8}}
    assert not strike.well(replace(seen, job=later)), "the old one is still there"
    assert not strike.well(replace(seen, job=later, pods=without(seen, hit)))
    for ready in (False, True):
        new = [*without(seen, hit), pod(component, number, "new", ready=ready)]
        assert strike.well(replace(seen, job=later, pods=new)) is ready


@pytest.mark.parametrize("fault", ["operator", "redis"])
def test_operator_and_redis_have_to_show_a_newer_checkpoint(fault: str) -> None:
    seen = world()
    (strike,) = strikes(fault, seen)
    new = [*without(seen, f"limnad-{fault}-0"), pod(fault, 0, "new")]
    assert not strike.well(replace(seen, pods=new))


def test_another_cluster_in_the_namespace_is_left_alone() -> None:
    alien = pod("worker", 5)
    alien["metadata"]["labels"]["app.kubernetes.io/instance"] = "other"
    seen = world()
    (strike,) = strikes("worker", replace(seen, pods=[*seen.pods, alien]))
    assert strike.actions == (Kill("limnad-worker-1", "limnad-worker-1"),)


def test_scaling_ends_where_it_began() -> None:
    assert [each.actions for each in strikes("scale", world(2))] == [(Scale(5),), (Scale(1),), (Scale(2),)]
    assert [each.actions for each in strikes("scale", world(3))] == [(Scale(n),) for n in (2, 5, 1, 3)]
    assert [each.actions for each in strikes("scale", world(1))] == [(Scale(n),) for n in (2, 5, 1)]


def test_scaled_is_when_pods_and_job_are_as_many() -> None:
    strike = strikes("scale", world(2))[0]
    assert not strike.well(world(2))
    assert strike.well(world(5))
    narrow = {"status": {"phase": "Running", "width": 2}}
    assert not strike.well(replace(world(5), job=narrow))


def test_a_drain_evicts_what_is_on_the_node_and_gives_it_back() -> None:
    (strike,) = strikes("drain", world())
    assert strike.actions == (Cordon("n1", on=True), Evict("limnad-worker-1"))
    assert strike.mend == (Cordon("n1", on=False),)


def test_a_lost_node_is_overcome_when_its_workers_run_elsewhere() -> None:
    seen = on_nodes()
    (strike,) = strikes("lost-node", seen)
    assert strike.actions == (Switch("n0", on=False),)
    assert strike.mend == (Switch("n0", on=True),)
    assert not strike.well(seen), "nobody has noticed yet"
    moved = [*without(seen, "limnad-worker-0"), pod("worker", 0, "new")]
    assert strike.well(replace(seen, pods=moved))


def test_a_worker_that_is_cut_off_is_overcome_when_the_job_goes_on_without_it() -> None:
    seen = world()
    (strike,) = strikes("partition", seen)
    assert strike.actions == (Isolate("limnad-worker-1", on=True),)
    assert strike.mend == (Isolate("limnad-worker-1", on=False),)
    assert not strike.well(seen), "nothing has come of it"
    pending = {**seen.cluster, "status": {"phase": "Pending"}}
    assert strike.well(replace(seen, cluster=pending, job={"status": {"phase": "Running", "generation": 4}}))
    assert "open" in strike.doubt


def test_a_cluster_is_whole_when_all_its_workers_are_ready() -> None:
    seen = world()
    assert whole(seen)
    assert not whole(replace(seen, pods=without(seen, "limnad-worker-1")))
    assert not whole(replace(seen, cluster={**seen.cluster, "status": {"phase": "Pending"}}))


def test_an_upgrade_that_was_taken_back_is_none() -> None:
    seen = world()
    (strike,) = strikes("upgrade", replace(seen, image="limnad:2"))
    assert strike.actions == (Upgrade("limnad:2", "1"),)
    for mark in ("0", "1"):
        new = [pod("worker", number, f"new-{number}", annotations={MARK: mark}) for number in range(2)]
        assert strike.well(replace(seen, pods=new)) is (mark == "1")


@pytest.mark.parametrize(
    ("fault", "seen", "why"),
    [
        ("worker", world(1), "scale the cluster to two"),
        ("drain", world(nodes=("n0",)), "nowhere to move to"),
        ("redis", world(pods=[]), "not the chart's Redis"),
        ("operator", world(pods=[]), "not run in this namespace"),
        ("coordinator", world(pods=[]), "coordinator.enabled"),
        ("lost-node", world(), "--stop-node"),
        ("lost-node", world(stops_nodes=True, nodes=("n0",)), "nowhere to move to"),
        ("lost-node", on_nodes(limnad_redis_0="n0"), "Redis is on n0"),
        ("lost-node", on_nodes(drill="n0"), "the pod that reads the job is on n0"),
        ("partition", world(1), "scale the cluster to two"),
        ("partition", world(cluster={"spec": {"network": {"policy": False}}, "metadata": {"name": "limnad"}}), "spec."),
    ],
)
def test_what_cannot_be_done_says_why(fault: str, seen: World, why: str) -> None:
    found = FAULTS[fault](seen)
    assert isinstance(found, Skipped)
    assert why in found.why


def test_recovered_is_an_epoch_after_all_is_well() -> None:
    good = False
    recovery = Recovery(lambda _: good)
    assert not recovery.saw(world(epoch=10))
    assert not recovery.saw(world(epoch=11)), "epochs that were under way say nothing"
    good = True
    assert not recovery.saw(world(epoch=11))
    good = False
    assert not recovery.saw(world(epoch=12))
    good = True
    assert not recovery.saw(world(epoch=12)), "it begins anew"
    assert recovery.saw(world(epoch=13))
