"""The operator in a model of its world: it is killed at each of its calls, and doubled under seeded interleavings."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from limnad_operator.reconcile import Call, JobSeen, Operation
from limnad_operator.reconcile.submitting import leader_name
from limnad_operator.shell.views import worth_a_look
from tests.helpers.kubernetes_world import BAD_IMAGE, NO_IMAGE, Gate, Keeper, Killed, Simulated, World

STORE = {"secretRef": {"name": "redis", "key": "url"}}
TURNS = 40
INLINE = {"inline": "def job(flow): ..."}


def cluster(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    return {"image": "limnad:1", "workers": {"replicas": replicas}, "store": STORE, **spec}


@functools.cache
def _running(spec: str) -> World:
    """A cluster of three workers that is ready, with a job that follows and one that has a width of its own."""
    world = World()
    world.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "redis", "namespace": "ns"},
            "data": {"url": "eA=="},
        }
    )
    world.make("LimnadCluster", "c", cluster(**json.loads(spec)))
    Simulated(world).work(12)
    assert world.status("LimnadCluster", "c")["phase"] == "Running", world.status("LimnadCluster", "c")
    world.jobs["follows"] = JobSeen("follows", width=3, epoch=1)
    world.jobs["fixed"] = JobSeen("fixed", width=2, asked_width=2, epoch=1)
    Simulated(world).work(2)
    world.deeds.clear()
    world.told.clear()
    return world


def running(**spec: Any) -> World:
    """One like that, of one's own."""
    return copy.deepcopy(_running(json.dumps(spec)))


def scale(world: World, replicas: int) -> None:
    world.edit("LimnadCluster", "c", lambda spec: spec["workers"].update(replicas=replicas))


def use(world: World, image: str) -> None:
    world.edit("LimnadCluster", "c", lambda spec: spec.update(image=image))


def images(world: World) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in world.pods}


def check_settled(world: World) -> dict[str, Any]:
    status = world.status("LimnadCluster", "c")
    assert "step" not in status, status
    assert not any(job.held for job in world.jobs.values())
    return status


def check_told(world: World) -> None:
    """Each step was told once; a cluster may become ready, and not ready, twice."""
    told = [reason for reason in world.told if not reason.endswith(("Ready", "CheckpointHealthy"))]
    assert told
    assert sorted(set(told)) == sorted(told)


# -- what a scale, an upgrade and a deletion come to -------------------------------------------------------------------


def grow(world: World) -> None:
    scale(world, 5)


def grown(world: World) -> None:
    status = check_settled(world)
    assert (status["phase"], status["replicas"], status["workers"]) == ("Running", 5, "5/5")
    assert (world.jobs["follows"].width, world.jobs["fixed"].width) == (5, 2)
    assert (world.deeds["rescale follows"], world.deeds["delete Pod"], world.expected) in {(1, 0, 5), (1, 0, None)}


def shrink(world: World) -> None:
    scale(world, 1)


def shrunk(world: World) -> None:
    status = check_settled(world)
    assert (status["phase"], status["replicas"], len(world.pods)) == ("Running", 1, 1)
    assert (world.jobs["follows"].width, world.jobs["fixed"].width) == (1, 2)
    assert (world.deeds["rescale follows"], world.deeds["delete Pod"]) == (1, 0)


def upgrade(world: World) -> None:
    use(world, "limnad:2")


def upgraded(world: World) -> None:
    status = check_settled(world)
    assert (status["phase"], status["image"], images(world)) == ("Running", "limnad:2", {"limnad:2"})
    assert {job.state for job in world.jobs.values()} == {"running"}
    assert [world.deeds[f"{deed} {job}"] for job in world.jobs for deed in ("pin upgrade", "unpin")] == [1] * 4
    assert world.deeds["delete Pod"] == 3, "each pod of before, once"


def upgrade_badly(world: World) -> None:
    use(world, BAD_IMAGE)


def rolled_back(world: World) -> None:
    status = check_settled(world)
    assert (status["phase"], status["image"], images(world)) == ("Degraded", "limnad:1", {"limnad:1"})
    assert {job.state for job in world.jobs.values()} == {"running"}
    assert "failed under the new template" in world.condition("LimnadCluster", "c", "Degraded")["message"]
    assert world.deeds["delete Pod"] == 6, "those of before, and those that were tried"


def delete(world: World) -> None:
    world.remove("LimnadCluster", "c")


def deleted(world: World) -> None:
    assert [key for key in world.objects if key[0] not in ("Event", "Secret")] == []
    assert world.jobs == {}
    assert [world.deeds[f"{deed} {job}"] for job in ("follows", "fixed") for deed in ("drain", "forget")] == [1] * 4


Scenario = tuple[Callable[[World], None], Callable[[World], None], dict[str, Any]]
SCENARIOS: dict[str, Scenario] = {
    "grow": (grow, grown, {}),
    "shrink": (shrink, shrunk, {}),
    "upgrade": (upgrade, upgraded, {}),
    "rollback": (upgrade_badly, rolled_back, {}),
    "deletion": (delete, deleted, {"store": {**STORE, "onDeletion": "Delete"}}),
}
scenarios = pytest.mark.parametrize(("begin", "check", "spec"), SCENARIOS.values(), ids=SCENARIOS)


@scenarios
def test_without_faults(begin: Callable[[World], None], check: Callable[[World], None], spec: dict[str, Any]) -> None:
    world = running(**spec)
    begin(world)
    Simulated(world).work(TURNS)
    check(world)
    check_told(world)


@scenarios
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_another_operator_finishes_what_one_that_was_killed_anywhere_has_begun(
    begin: Callable[[World], None], check: Callable[[World], None], spec: dict[str, Any], *, after: bool
) -> None:
    world = running(**spec)
    begin(world)
    whole = Simulated(world)
    whole.work(TURNS)
    for call in range(1, whole.gate.passed + 1):
        world = running(**spec)
        begin(world)
        killed = Simulated(world, Gate(call, after=after))
        with contextlib.suppress(Killed):
            killed.work(TURNS)
        Simulated(world).work(TURNS)
        check(world)


@scenarios
@pytest.mark.parametrize("seed", range(4))
def test_two_operators_at_once_never_act_twice(
    begin: Callable[[World], None], check: Callable[[World], None], spec: dict[str, Any], seed: int
) -> None:
    world = running(**spec)
    begin(world)
    two = [Simulated(world), Simulated(world)]
    keeper = Keeper(seed)
    for each in two:
        each.gate.keeper = keeper

    async def work() -> None:
        for turn in range(TURNS):
            for number, each in enumerate(two):
                if (turn + number + seed) % 3:  # Else it knows what it knew in the turn before.
                    each.refresh()
            await keeper.run(*[each.look() for each in two])
            world.turn()

    asyncio.run(work())
    Simulated(world).work(3)
    check(world)
    check_told(world)


# -- other ends --------------------------------------------------------------------------------------------------------


def test_a_job_that_refuses_keeps_the_pods_and_is_named() -> None:
    world = running()
    world.refuses.add("follows")
    scale(world, 1)
    Simulated(world).work(TURNS)
    status = check_settled(world)
    assert (status["phase"], status["replicas"], len(world.pods), world.expected) == ("Degraded", 3, 3, 3)
    message = world.condition("LimnadCluster", "c", "Degraded")["message"]
    assert "job follows does not go to fewer workers: stage 'totals'" in message
    world.refuses.clear()
    scale(world, 2)
    Simulated(world).work(TURNS)
    assert (check_settled(world)["phase"], len(world.pods), world.jobs["follows"].width) == ("Running", 2, 2)


def test_what_a_job_refused_is_tried_again_when_it_is_gone_or_has_a_width_of_its_own() -> None:
    for let_go in (lambda world: world.ask(Call(Operation.CANCEL, "follows")), with_its_own_width):
        world = running()
        world.refuses.add("follows")
        scale(world, 1)
        operator = Simulated(world)
        operator.work(TURNS)
        assert world.told.count("ScaleRefused") == 1, "a job that is still there is not asked again and again"
        let_go(world)
        operator.work(TURNS)
        status = check_settled(world)
        assert (status["phase"], len(world.pods), status.get("refusal", "")) == ("Running", 1, "")


def with_its_own_width(world: World) -> None:
    world.jobs["follows"] = replace(world.jobs["follows"], asked_width=3)


@pytest.mark.parametrize("on_deletion", ["Retain", "Delete"])
def test_a_job_that_is_being_deleted_does_not_refuse_a_scale_and_its_end_is_waited_for(on_deletion: str) -> None:
    world = running()
    spec = {"clusterRef": {"name": "c"}, "source": INLINE, "onDeletion": on_deletion}
    name = leader_name(world.make("LimnadJob", "stubborn", spec))
    operator = Simulated(world)
    operator.work(TURNS)
    assert world.jobs[name].width == 3
    world.refuses.add(name)
    world.remove("LimnadJob", "stubborn")
    scale(world, 2)
    operator.work(TURNS)
    assert (check_settled(world)["phase"], len(world.pods)) == ("Running", 2)
    assert name not in world.jobs or world.jobs[name].state == "cancelled"
    assert "ScaleRefused" not in world.told


def test_an_image_that_does_not_exist_is_named_and_taken_back() -> None:
    world = running(deadlines={"upgrade": "15s"})
    use(world, NO_IMAGE)
    operator = Simulated(world)
    operator.work(10)
    assert "does not get its image 'limnad:none'" in world.condition("LimnadCluster", "c", "Ready")["message"]
    operator.work(TURNS)
    assert (check_settled(world)["phase"], images(world)) == ("Degraded", {"limnad:1"})
    assert {job.state for job in world.jobs.values()} == {"running"}
    use(world, "limnad:3")
    operator.work(TURNS)
    assert (check_settled(world)["phase"], images(world)) == ("Running", {"limnad:3"})


def test_a_first_image_that_does_not_exist_is_corrected() -> None:
    world = World()
    world.make("LimnadCluster", "c", {"image": NO_IMAGE, "workers": {"replicas": 2}})
    operator = Simulated(world)
    operator.work(5)
    assert world.status("LimnadCluster", "c")["phase"] == "Degraded"
    use(world, "limnad:1")
    operator.work(10)
    assert (world.status("LimnadCluster", "c")["phase"], images(world)) == ("Running", {"limnad:1"})


def test_a_scale_that_is_changed_on_its_way() -> None:
    for calls in range(0, 30, 3):
        world = running()
        scale(world, 5)
        with contextlib.suppress(Killed):
            Simulated(world, Gate(calls + 1)).work(TURNS)
        scale(world, 2)
        Simulated(world).work(TURNS)
        assert (check_settled(world)["replicas"], world.jobs["follows"].width) == (2, 2)


def test_an_upgrade_that_is_wanted_back_on_its_way() -> None:
    for calls in range(0, 60, 4):
        world = running()
        use(world, "limnad:2")
        with contextlib.suppress(Killed):
            Simulated(world, Gate(calls + 1)).work(TURNS)
        use(world, "limnad:1")
        Simulated(world).work(TURNS)
        assert (check_settled(world)["phase"], images(world)) == ("Running", {"limnad:1"}), calls


def test_a_deletion_ends_by_its_deadline_though_no_leader_answers() -> None:
    world = running(store={**STORE, "onDeletion": "Delete"}, deadlines={"deletion": "10s"})
    world.objects["StatefulSet", "c-worker"]["spec"]["replicas"] = 0
    for pod in world.pods:
        world.remove("Pod", pod["metadata"]["name"])
    delete(world)
    world.turn = lambda: setattr(world, "now_s", world.now_s + 1)  # type: ignore[method-assign]
    Simulated(world).work(15)
    assert ("LimnadCluster", "c") not in world.objects
    assert "StateLeft" in world.told


# -- jobs and checkpoints ----------------------------------------------------------------------------------------------


def with_job(**spec: Any) -> tuple[World, str]:
    world = running()
    made = world.make("LimnadJob", "wc", {"clusterRef": {"name": "c"}, "source": INLINE, **spec})
    Simulated(world).work(5)
    return world, leader_name(made)


def test_a_job_is_submitted_once_and_told_of() -> None:
    world, name = with_job()
    status = world.status("LimnadJob", "wc")
    assert (status["phase"], status["job"], status["width"]) == ("Running", name, 3)
    assert world.deeds[f"submit {name}"] == 1
    assert world.jobs[name].owner == "LimnadJob ns/wc"


def test_suspend_and_resume() -> None:
    world, name = with_job()
    world.edit("LimnadJob", "wc", lambda spec: spec.update(state="Suspended"))
    Simulated(world).work(6)
    assert (world.status("LimnadJob", "wc")["phase"], world.jobs[name].state) == ("Suspended", "cancelled")
    assert world.deeds[f"pin suspend {name}"] == 1
    world.edit("LimnadJob", "wc", lambda spec: spec.update(state="Running"))
    Simulated(world).work(6)
    assert (world.status("LimnadJob", "wc")["phase"], world.jobs[name].checkpoint) == ("Running", 1)
    assert world.deeds[f"submit {name}"] == 2
    assert world.jobs[name].pins == {}, "it has gone on from there"


@pytest.mark.parametrize(("mode", "checkpoint"), [("LastState", None), ("Savepoint", 1), ("Stateless", None)])
def test_another_spec(mode: str, checkpoint: int | None) -> None:
    world, name = with_job(upgradeMode=mode)
    world.edit("LimnadJob", "wc", lambda spec: spec.update(arguments={"path": "b"}))
    Simulated(world).work(8)
    assert world.status("LimnadJob", "wc")["phase"] == "Running"
    assert (world.deeds[f"submit {name}"], world.jobs[name].checkpoint) == (2, checkpoint)
    assert world.deeds[f"forget {name}"] == (mode == "Stateless")


def test_a_job_killed_anywhere_is_submitted_and_suspended_once() -> None:
    def whole(world: World) -> Simulated:
        operator = Simulated(world)
        world.make("LimnadJob", "wc", {"clusterRef": {"name": "c"}, "source": INLINE})
        return operator

    world = running()
    operator = whole(world)
    operator.work(5)
    world.edit("LimnadJob", "wc", lambda spec: spec.update(state="Suspended"))
    operator.work(6)
    for call in range(1, operator.gate.passed, 2):
        world = running()
        whole(world)
        killed = Simulated(world, Gate(call, after=bool(call % 4)))
        try:
            killed.work(5)
            world.edit("LimnadJob", "wc", lambda spec: spec.update(state="Suspended"))
            killed.work(6)
        except Killed:
            world.edit("LimnadJob", "wc", lambda spec: spec.update(state="Suspended"))
        Simulated(world).work(10)
        status = world.status("LimnadJob", "wc")
        assert status["phase"] == "Suspended", call
        assert world.deeds[f"submit {status['job']}"] <= 1
        assert world.deeds[f"cancel {status['job']}"] <= 1


def test_a_job_whose_object_is_gone_is_cancelled_and_state_goes_if_the_spec_says_so() -> None:
    world, name = with_job()
    world.remove("LimnadJob", "wc")
    Simulated(world).work(2)
    assert world.jobs[name].state == "cancelled"
    world, name = with_job(onDeletion="Delete")
    world.remove("LimnadJob", "wc")
    Simulated(world).work(5)
    assert name not in world.jobs
    assert ("LimnadJob", "wc") not in world.objects


def test_a_checkpoint_as_an_object() -> None:
    world, name = with_job()
    world.make("LimnadCheckpoint", "cp", {"jobRef": {"name": "wc"}})
    Simulated(world).work(4)
    status = world.status("LimnadCheckpoint", "cp")
    assert (status["state"], status["number"], status["sizeBytes"]) == ("Completed", 1, 10)
    assert len(world.jobs[name].pins) == 1
    world.remove("LimnadCheckpoint", "cp")
    Simulated(world).work(2)
    assert world.jobs[name].pins == {}


def test_a_job_with_a_cluster_of_its_own() -> None:
    world = World()
    made = world.make("LimnadJob", "wc", {"clusterTemplate": {"spec": {"image": "limnad:1"}}, "source": INLINE})
    Simulated(world).work(20)
    assert world.status("LimnadJob", "wc")["phase"] == "Running"
    assert world.objects["LimnadCluster", "wc"]["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    world.remove("LimnadJob", "wc")
    assert [key for key in world.objects if key[0] == "LimnadCluster"] == []


def test_the_cluster_of_a_job_is_news_to_the_watch() -> None:
    world = World()
    world.make("LimnadJob", "wc", {"clusterTemplate": {"spec": {"image": "limnad:1"}}, "source": INLINE})
    operator = Simulated(world)
    for image in ("limnad:1", "limnad:2"):
        own: dict[str, Any] = {"clusterTemplate": {"spec": {"image": image}}}
        world.edit("LimnadJob", "wc", functools.partial(dict.update, **own))
        operator.work(1)  # It makes the cluster, or changes it, and has not heard of it yet.
        there = world.objects["LimnadCluster", "wc"]
        assert there["spec"]["image"] == image
        assert worth_a_look("LimnadCluster", operator.cache.get("LimnadCluster", "ns", "wc"), there)
        operator.work(5)


def test_what_a_job_lacks_is_said() -> None:
    world = running()
    world.make("LimnadJob", "a", {"clusterRef": {"name": "nowhere"}, "source": INLINE})
    world.make("LimnadJob", "b", {"clusterRef": {"name": "c"}, "source": {"configMap": {"name": "m", "key": "k"}}})
    Simulated(world).work(3)
    said = [world.condition("LimnadJob", name, "Degraded")["message"] for name in "ab"]
    assert said == [
        "there is no LimnadCluster 'nowhere' in this namespace, which spec.clusterRef names: make it",
        "there is no ConfigMap 'm', which spec.source.configMap names: make it",
    ]
