"""Plans as a table: given what was seen, what is planned; and the sentences that say what to change."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from limnad_operator.manifests import ISOLATED, Shape, children, issue
from limnad_operator.model import ClusterSpec
from limnad_operator.reconcile import (
    AgentSeen,
    Answer,
    Call,
    ClusterSeen,
    Create,
    Delete,
    Fault,
    IssueCertificates,
    IssueToken,
    JobObjectSeen,
    JobSeen,
    LeaderSeen,
    Operation,
    Plan,
    Replace,
    SetFinalizers,
    reconcile_cluster,
    reconcile_job,
)
from limnad_operator.reconcile.diff import changed, differs
from limnad_operator.reconcile.pods import problem
from limnad_operator.reconcile.telling import timestamp

NOW_S = 1_750_000_000.0


def shape(spec: dict[str, Any]) -> Shape:
    parsed = ClusterSpec.model_validate(spec)
    return Shape("c", "ns", "uid", parsed, parsed.workers.replicas)


def pod(index: int, made: dict[str, Any], **status: Any) -> dict[str, Any]:
    template = made["spec"]["template"]
    return {
        "kind": "Pod",
        "metadata": {"name": f"c-worker-{index}", "namespace": "ns", "uid": f"p{index}", **template["metadata"]},
        "spec": template["spec"],
        "status": {"podIP": f"10.0.0.{index}", "conditions": [{"type": "Ready", "status": "True"}], **status},
    }


def ready(status: dict[str, Any] | None = None, **spec: Any) -> ClusterSeen:
    """A cluster of two workers where all is well."""
    spec = {"image": "limnad:1", "workers": {"replicas": 2}, **spec}
    made = children(shape(spec))
    owned = {
        (each["kind"], each["metadata"]["name"]): {**each, "metadata": {**each["metadata"], "uid": "u"}}
        for each in made
    }
    workers = owned["StatefulSet", "c-worker"]
    certificates = issue(shape(spec), None, NOW_S)
    digest = workers["metadata"]["annotations"]["limnad.io/template"]
    metadata = {"name": "c", "namespace": "ns", "uid": "uid", "generation": 1, "resourceVersion": "1"}
    settled = {"replicas": 2, "template": digest, "image": "limnad:1", **(status or {})}
    return ClusterSeen(
        NOW_S,
        {"kind": "LimnadCluster", "metadata": metadata, "spec": spec, "status": settled},
        owned=owned,
        pods=(pod(0, workers), pod(1, workers)),
        secrets={
            "c-ca": certificates.authority["data"],
            "c-tls": certificates.leaf["data"],
            "c-token": {"token": "eA=="},
            "redis": {"url": "eA=="},
        },
        leader=LeaderSeen("10.0.0.0:7701", "", (AgentSeen(0), AgentSeen(1)), 2, {}),
    )


def unready(seen: ClusterSeen, since_s: float, **status: Any) -> ClusterSeen:
    """With a second pod that is not ready since then."""
    second = copy.deepcopy(seen.pods[1])
    second["status"] = {"conditions": [], **status}
    object_ = copy.deepcopy(seen.object)
    object_["status"]["unready"] = {"p1": since_s}
    return replace(seen, pods=(seen.pods[0], second), object=object_)


def condition(plan: Plan, type_: str) -> dict[str, Any]:
    assert plan.status is not None
    found: dict[str, Any] = next(each for each in plan.status["conditions"] if each["type"] == type_)
    return found


def test_where_all_is_well_nothing_is_done() -> None:
    seen = ready()
    plan = reconcile_cluster(seen)
    assert plan.actions == ()
    assert (condition(plan, "Ready")["status"], condition(plan, "Degraded")["status"]) == ("True", "False")
    assert plan.status is not None
    again = reconcile_cluster(replace(seen, object={**seen.object, "status": plan.status}))
    assert (again.status, again.events) == (None, ()), "a write that would change nothing is not made"


def test_a_new_cluster_is_made_with_its_pods_last() -> None:
    seen = ready()
    new = replace(seen, owned={}, pods=(), secrets={}, leader=LeaderSeen(), object={**seen.object, "status": {}})
    kinds = [
        action.manifest["kind"] if isinstance(action, Create) else type(action).__name__
        for action in reconcile_cluster(new).actions
    ]
    assert kinds[:2] == [IssueCertificates.__name__, IssueToken.__name__]
    assert kinds[-1] == "StatefulSet"


def test_what_somebody_has_changed_is_made_right() -> None:
    seen = ready()
    owned = copy.deepcopy(dict(seen.owned))
    owned["PodDisruptionBudget", "c-worker"]["spec"]["maxUnavailable"] = 5
    owned["StatefulSet", "c-worker"]["spec"]["replicas"] = 1
    owned["Deployment", "c-coordinator"] = {"metadata": {"name": "c-coordinator", "uid": "old"}}
    actions = reconcile_cluster(replace(seen, owned=owned)).actions
    written = [action.manifest for action in actions if isinstance(action, Replace)]
    assert [each["kind"] for each in written] == ["PodDisruptionBudget", "StatefulSet"]
    assert [each["spec"].get("maxUnavailable", each["spec"].get("replicas")) for each in written] == [1, 2]
    assert Delete("Deployment", "c-coordinator", "old") in actions


@pytest.mark.parametrize(
    ("there", "is_changed"),
    [
        ({"spec": {"a": 1, "filled in": 2}}, False),
        ({"spec": {"a": 2}}, True),
        ({"spec": {}}, True),
        ({}, True),
    ],
)
def test_what_the_api_server_fills_in_is_no_difference(there: dict[str, Any], *, is_changed: bool) -> None:
    assert changed({"spec": {"a": 1, "empty": {}, "none": []}}, there) == is_changed
    assert differs([1], [1, 2])


# -- recovery ----------------------------------------------------------------------------------------------------------


def test_a_pod_that_is_not_ready_for_too_long_is_deleted_three_times_an_hour() -> None:
    plan = reconcile_cluster(unready(ready(), NOW_S - 299))
    assert plan.actions == ()
    late = unready(ready(), NOW_S - 300)
    plan = reconcile_cluster(late)
    assert plan.actions == (Delete("Pod", "c-worker-1", "p1"),)
    assert plan.status is not None
    assert plan.status["restarts"] == [NOW_S]
    late.object["status"]["restarts"] = [NOW_S - 5000, NOW_S - 50, NOW_S - 40, NOW_S - 30]
    plan = reconcile_cluster(late)
    assert plan.actions == ()
    assert condition(plan, "Degraded")["message"].startswith("3 pods were deleted within an hour")


def test_a_pod_on_a_node_that_is_gone_is_taken_for_gone_after_its_time() -> None:
    seen = ready()
    sooner = {"lost": "5s"}
    for deadlines, late_s, force in (({}, 29, False), ({}, 30, True), (sooner, 4, False), (sooner, 5, True)):
        seen.object["spec"]["deadlines"] = deadlines
        lost = copy.deepcopy(seen.pods[1])
        lost["metadata"]["deletionTimestamp"] = timestamp(NOW_S - late_s)
        plan = reconcile_cluster(replace(seen, pods=(seen.pods[0], lost)))
        assert (Delete("Pod", "c-worker-1", "p1", grace_s=0) in plan.actions) == force


def test_a_pod_that_is_cut_off_is_named() -> None:
    seen = ready()
    cut = copy.deepcopy(seen.pods[1])
    cut["metadata"]["labels"][ISOLATED] = "drill"
    assert condition(reconcile_cluster(replace(seen, pods=(seen.pods[0], cut))), "Ready")["status"] == "True"
    alone = replace(seen.leader, agents=seen.leader.agents[:1])
    said = condition(reconcile_cluster(replace(seen, pods=(seen.pods[0], cut), leader=alone)), "Ready")
    assert (said["status"], said["reason"]) == ("False", "NotAllThere")
    assert said["message"].startswith("pod c-worker-1 is cut off by its label limnad.io/isolated")


NO_IMAGE = {"image": "x:1", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}
LAST = {"terminated": {"exitCode": 2, "message": "error: no such store\n"}}
CRASHED = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": LAST}
UNCONFIGURED = {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "x"}}}
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes: no cpu."}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {"containerStatuses": [NO_IMAGE]},
            (
                "does not get its image 'x:1' (ErrImagePull: no). Correct spec.image, or name a Secret for the "
                "registry in spec.imagePullSecrets"
            ),
        ),
        (
            {"containerStatuses": [CRASHED]},
            "ends again and again: exit code 2, its last words were: error: no such store",
        ),
        (
            {"containerStatuses": [UNCONFIGURED]},
            "cannot start (x). Make what it lacks, or correct its reference in the spec (store, tls or tokens)",
        ),
        (
            {"conditions": [UNSCHEDULED]},
            (
                "cannot be scheduled: 0/3 nodes: no cpu. Ask for less in spec.workers.resources, or give the cluster "
                "more nodes"
            ),
        ),
    ],
    ids=["image", "crashes", "configuration", "scheduling"],
)
def test_what_keeps_a_pod_from_being_ready_is_said_and_it_is_not_deleted(status: dict[str, Any], said: str) -> None:
    said = f"pod c-worker-1 {said}"
    seen = unready(ready(), NOW_S - 10_000, **status)
    assert problem(seen.pods[1]) == said
    plan = reconcile_cluster(seen)
    assert plan.actions == ()
    assert condition(plan, "Ready")["message"] == said
    assert said in condition(plan, "Degraded")["message"]


# -- sentences ---------------------------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_said() -> None:
    seen = ready(store={"secretRef": {"name": "redis", "key": "url"}})
    away = replace(seen, leader=LeaderSeen("10.0.0.0:7701", "the leader waits for its store: redis://r:6379 is away"))
    message = condition(reconcile_cluster(away), "Ready")["message"]
    assert "waits for its store: redis://r:6379 is away (its URL is in Secret redis)" in message


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ({}, "there is no Secret 'redis' in namespace ns, which spec.store.secretRef names: make it, or correct that"),
        (
            {"redis": {"other": ""}},
            "Secret 'redis', which spec.store.secretRef names, has no key 'url': add it, or correct that",
        ),
    ],
)
def test_a_secret_that_is_missing_is_named(secrets: dict[str, dict[str, str]], said: str) -> None:
    seen = ready(store={"secretRef": {"name": "redis", "key": "url"}})
    rest = {name: data for name, data in seen.secrets.items() if name != "redis"}
    plan = reconcile_cluster(replace(seen, secrets={**rest, **secrets}))
    assert condition(plan, "Degraded")["message"] == said


def test_a_right_that_is_missing_is_said() -> None:
    text = 'pods is forbidden: User "x" cannot list resource "pods"'
    plan = reconcile_cluster(replace(ready(), forbidden=(text,)))
    assert condition(plan, "Degraded")["message"] == f"{text}. Give the operator's Role that right"
    answer = Answer(Delete("Pod", "c-worker-1", "p1"), Fault.FORBIDDEN, "cannot delete resource pods")
    plan = reconcile_cluster(replace(ready(), answers=(answer,)))
    assert condition(plan, "Degraded")["reason"] == "Forbidden"


def test_a_cluster_has_a_finalizer_only_if_its_state_is_to_go() -> None:
    assert reconcile_cluster(ready()).actions == ()
    seen = ready(store={"secretRef": {"name": "redis", "key": "url"}, "onDeletion": "Delete"})
    assert reconcile_cluster(seen).actions == (SetFinalizers(("limnad.io/state",)),)
    seen = ready()
    seen.object["metadata"]["finalizers"] = ["limnad.io/state", "other"]
    assert reconcile_cluster(seen).actions == (SetFinalizers(("other",)),)


def test_a_job_whose_object_is_gone_is_cancelled_but_not_if_objects_may_not_be_seen() -> None:
    seen = ready()
    owned = JobSeen("wc-12345678", owner="LimnadJob ns/wc", width=2, pins={"object:gone": 3, "mine": 4})
    seen = replace(seen, leader=replace(seen.leader, jobs={"wc-12345678": owned, "other": JobSeen("other", width=2)}))
    asked = [(call.operation, call.job) for call in reconcile_cluster(seen).actions if isinstance(call, Call)]
    assert asked == [(Operation.CANCEL, "wc-12345678"), (Operation.UNPIN, "wc-12345678")]
    assert reconcile_cluster(replace(seen, forbidden=("limnadjobs is forbidden",))).actions == ()


def test_pods_of_a_job_that_is_being_deleted_wait_for_its_end_but_not_for_ever() -> None:
    step = {"kind": "ShrinkJobs", "source": "2", "target": "1", "since": NOW_S - 1}
    seen = ready({"step": step}, workers={"replicas": 1}, deadlines={"scale": "1m"})
    orphan = JobSeen("wc-12345678", owner="LimnadJob ns/wc", width=2)
    seen = replace(seen, leader=replace(seen.leader, expected=1, jobs={"wc-12345678": orphan}))
    plan = reconcile_cluster(seen)
    asked = [call.operation for call in plan.actions if isinstance(call, Call)]
    assert (asked, step_of(plan)) == ([Operation.CANCEL], "ShrinkJobs")
    assert step_of(reconcile_cluster(replace(seen, now_s=NOW_S + 60))) == "ShrinkPods"
    leaving = {"metadata": {"name": "wc", "uid": "w", "deletionTimestamp": "now"}, "status": {"job": "wc-12345678"}}
    plan = reconcile_cluster(replace(seen, jobs=(leaving,)))
    assert ([each for each in plan.actions if isinstance(each, Call)], step_of(plan)) == ([], "ShrinkJobs")


def step_of(plan: Plan) -> str:
    assert plan.status is not None
    return str(plan.status["step"]["kind"])


# -- jobs --------------------------------------------------------------------------------------------------------------


def job_seen(status: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **job: Any) -> JobObjectSeen:
    """A job that was submitted and runs."""
    cluster = ready(deadlines={"progress": "1m"})
    object_: dict[str, Any] = {
        "kind": "LimnadJob",
        "metadata": {"name": "wc", "namespace": "ns", "uid": "12345678-9", "generation": 1, "resourceVersion": "1"},
        "spec": {"clusterRef": {"name": "c"}, "source": {"inline": "x"}, **(spec or {})},
        "status": {"phase": "Running", "submissions": 1, **(status or {})},
    }
    first = reconcile_job(JobObjectSeen(NOW_S, {**object_, "status": {}}, cluster.object, None, cluster.leader))
    assert first.status is not None
    leader = replace(cluster.leader, jobs={"wc-12345678": JobSeen("wc-12345678", width=2, **job)})
    seen = JobObjectSeen(NOW_S, object_, cluster.object, None, leader)
    if "submitted" not in (status or {}):
        starting = {**object_, "status": {"phase": "Starting", "submissions": 1}}
        (call,) = reconcile_job(replace(seen, object=starting, leader=cluster.leader)).actions
        done = reconcile_job(replace(seen, object=starting, answers=(Answer(call),)))
        assert done.status is not None
        object_["status"]["submitted"] = done.status["submitted"]
    return seen


def test_a_job_that_runs_as_it_should_is_left_alone() -> None:
    plan = reconcile_job(job_seen(epoch=4, checkpoint=7, checkpoint_s=NOW_S - 5))
    assert plan.actions == ()
    assert plan.status is not None
    assert (plan.status["epoch"], plan.status["checkpoint"], plan.status["width"]) == (4, 7, 2)
    assert condition(plan, "CheckpointHealthy")["status"] == "True"


def test_a_width_is_set_while_the_job_runs_and_asked_for_once_if_it_is_refused() -> None:
    seen = job_seen(spec={"width": 4})
    assert seen.object["status"]["submitted"] == job_seen().object["status"]["submitted"], "the width is no other job"
    (call,) = reconcile_job(seen).actions
    assert isinstance(call, Call)
    assert (call.operation, dict(call.values)) == (Operation.RESCALE, {"workers": 4})
    plan = reconcile_job(replace(seen, answers=(Answer(call, Fault.REFUSED, "stage 'x' cannot"),)))
    assert (plan.actions, [event.reason for event in plan.events][:1]) == ((), ["RescaleRefused"])
    assert plan.status is not None
    assert reconcile_job(replace(seen, object={**seen.object, "status": plan.status})).actions == ()


def test_a_job_is_submitted_when_it_has_gone_back_to_the_checkpoint_that_it_is_to_begin_from() -> None:
    """Until then it is asked for again, whatever dies in between; what is refused is said."""
    seen = job_seen(spec={"restore": 7})
    starting = replace(seen, object={**seen.object, "status": {"phase": "Starting", "submissions": 1}})
    (submit,) = reconcile_job(starting).actions
    plan = reconcile_job(replace(starting, answers=(Answer(submit),)))
    (restore,) = plan.actions
    assert isinstance(restore, Call)
    assert (restore.operation, dict(restore.values)) == (Operation.RESTORE, {"checkpoint": 7})
    assert plan.status is not None
    assert not plan.status.get("submitted")
    lost = reconcile_job(replace(starting, answers=(Answer(restore, Fault.UNREACHABLE, "gone"),)))
    assert lost.actions == (submit,)
    done = reconcile_job(replace(starting, answers=(Answer(restore),)))
    assert done.actions == ()
    assert done.status is not None
    assert done.status["submitted"]
    refused = reconcile_job(replace(starting, answers=(Answer(restore, Fault.REFUSED, "no checkpoint 7"),)))
    assert [event.reason for event in refused.events][:2] == ["RestoreRefused", "Submitted"]
    assert condition(refused, "Degraded")["message"] == "the leader refused what the spec asks for: see the events"


def test_a_job_that_stands_still_is_started_again_a_few_times() -> None:
    stuck = {"epoch": 4, "epochSince": NOW_S - 60}
    (call,) = reconcile_job(job_seen(stuck, epoch=4)).actions
    assert isinstance(call, Call)
    assert call.operation is Operation.RESTORE
    assert reconcile_job(job_seen({**stuck, "epochSince": NOW_S - 59}, epoch=4)).actions == ()
    assert reconcile_job(job_seen(stuck, epoch=5)).actions == ()
    plan = reconcile_job(job_seen({**stuck, "kicks": [NOW_S - 3, NOW_S - 2, NOW_S - 1]}, epoch=4))
    assert plan.actions == ()
    assert "3 times within an hour because epoch 4 does not end" in condition(plan, "Degraded")["message"]


def test_a_job_that_failed_says_why_and_its_object_goes_in_time() -> None:
    ended: dict[str, Any] = {"state": "failed", "error": "ValueError: no", "ended_s": NOW_S - 10}
    plan = reconcile_job(job_seen(**ended))
    assert plan.status is not None
    assert (plan.status["phase"], plan.status["error"]) == ("Failed", "ValueError: no")
    assert condition(plan, "Degraded")["message"] == "ValueError: no"
    assert plan.actions == ()
    plan = reconcile_job(job_seen(spec={"ttlSecondsAfterFinished": 10}, **ended))
    assert plan.actions == (Delete("LimnadJob", "wc", "12345678-9"),)


def test_a_job_whose_store_is_away_since_its_leader_was_restarted_is_neither_lost_nor_an_orphan() -> None:
    why = "the job begins when its store is no longer away: nobody answers there"
    seen = job_seen(state="recovering", waiting=why, owner="LimnadJob ns/wc", generation=0)
    plan = reconcile_job(seen)
    assert plan.actions == ()
    assert plan.status is not None
    assert plan.status["phase"] == "Recovering"
    assert [(event.reason, event.message) for event in plan.events][:1] == [
        ("JobRecovering", f"Job wc-12345678 is recovering: {why}")
    ]
    assert condition(plan, "CheckpointHealthy")["reason"] == "StoreAway"
    cluster = replace(ready(), leader=seen.leader, jobs=(seen.object,))
    assert not [each for each in reconcile_cluster(cluster).actions if isinstance(each, Call)]


def test_a_job_without_a_store_says_what_it_cannot() -> None:
    plan = reconcile_job(job_seen(durable=False))
    assert "Give it spec.store" in condition(plan, "CheckpointHealthy")["message"]
