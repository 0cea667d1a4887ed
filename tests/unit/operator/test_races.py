"""What the simulation of the operator has found, each as the one look at which it went wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from limnad_operator.api import Listed
from limnad_operator.manifests import TEMPLATE
from limnad_operator.model import StepKind
from limnad_operator.reconcile import (
    Answer,
    Call,
    CheckpointSeen,
    Create,
    Delete,
    Fault,
    JobSeen,
    LeaderSeen,
    Operation,
    Plan,
    Replace,
    reconcile_checkpoint,
    reconcile_cluster,
    reconcile_job,
)
from limnad_operator.reconcile.diff import template_digest
from limnad_operator.reconcile.telling import timestamp
from limnad_operator.shell.acting import Actor, NotLeading
from limnad_operator.shell.leaders import Credentials
from limnad_operator.shell.views import Cache
from tests.unit.operator.test_reconcile import NOW_S, job_seen, ready, step_of, unready
from tests.unit.operator.test_views import job, version


def asked(plan: Plan, operation: Operation) -> list[Call]:
    return [each for each in plan.actions if isinstance(each, Call) and each.operation is operation]


# -- what is known -----------------------------------------------------------------------------------------------------


def test_a_list_that_is_behind_the_watch_brings_nothing_back() -> None:
    cache = Cache()
    cache.fill("LimnadJob", "n", Listed((job(5),), "5"))
    cache.put("LimnadJob", job(7), deleted=True)
    assert cache.fill("LimnadJob", "n", Listed((job(5),), "6")) == []
    assert version(cache) is None


def test_a_watch_that_is_behind_a_list_brings_nothing_back() -> None:
    cache = Cache()
    cache.fill("LimnadJob", "n", Listed((), "9"))
    cache.put("LimnadJob", job(7))
    assert version(cache) is None


def test_an_answer_that_is_behind_a_list_brings_nothing_back() -> None:
    """The object was made and deleted before the list, and nobody here has ever seen it."""
    cache = Cache()
    cache.fill("LimnadJob", "n", Listed((), "9"))
    cache.learn("LimnadJob", job(7))
    assert version(cache) is None


# -- clusters ----------------------------------------------------------------------------------------------------------


def test_a_pod_that_was_ready_while_nobody_looked_has_time_again() -> None:
    seen = unready(ready(), since_s=NOW_S - 1000)
    assert [each for each in reconcile_cluster(seen).actions if isinstance(each, Delete)]
    since = {"type": "Ready", "status": "False", "lastTransitionTime": timestamp(NOW_S - 3)}
    seen = replace(seen, pods=(seen.pods[0], {**seen.pods[1], "status": {"conditions": [since]}}))
    assert not [each for each in reconcile_cluster(seen).actions if isinstance(each, Delete)]


def test_a_job_that_began_when_not_all_pods_were_there_follows() -> None:
    seen = ready()
    narrow = JobSeen("narrow", width=1)
    seen = replace(seen, leader=replace(seen.leader, jobs={"narrow": narrow}))
    plan = reconcile_cluster(seen)
    assert step_of(plan) == StepKind.GROW_JOBS
    seen = ready({"step": {"kind": "GrowJobs", "source": "2", "target": "2", "since": NOW_S}})
    seen = replace(seen, leader=replace(seen.leader, jobs={"narrow": narrow}))
    (call,) = asked(reconcile_cluster(seen), Operation.RESCALE)
    assert dict(call.values) == {"workers": 2}
    held = replace(
        seen, object=ready().object, leader=replace(seen.leader, jobs={"narrow": replace(narrow, held=True)})
    )
    assert not asked(reconcile_cluster(held), Operation.RESCALE)


def test_a_hold_that_came_too_late_is_let_go() -> None:
    seen = ready()
    held = JobSeen("held", width=2, held=True, pins={"upgrade": 3})
    seen = replace(seen, leader=replace(seen.leader, jobs={"held": held}))
    (call,) = asked(reconcile_cluster(seen), Operation.UNPIN)
    assert dict(call.values) == {"pin": "upgrade"}
    step = {"kind": "UpgradeHold", "source": "old", "target": "new", "since": NOW_S}
    seen = replace(seen, object={**seen.object, "status": {**seen.object["status"], "step": step}})
    assert not asked(reconcile_cluster(seen), Operation.UNPIN)


@pytest.mark.parametrize("there", [True, False])
def test_a_stateful_set_that_somebody_has_deleted_does_not_keep_a_template_from_being_taken_back(there: bool) -> None:
    before = ready()
    healthy = before.object["status"]["template"]
    step = {"kind": "RollbackPods", "source": healthy, "target": "bad", "since": NOW_S}
    seen = ready({"step": step, "image": before.object["spec"]["image"], "template": healthy})
    seen.object["spec"]["image"] = "limnad:bad"
    key = ("StatefulSet", "c-worker")
    made = seen.owned[key]
    rest = {name: each for name, each in seen.owned.items() if name != key}
    if there:  # Made anew in the meantime, from the template that is taken back.
        bad = {**made["spec"]["template"], "metadata": {"annotations": {TEMPLATE: "bad"}}}
        rest[key] = {**made, "spec": {**made["spec"], "template": bad}}
    written = [
        each.manifest
        for each in reconcile_cluster(replace(seen, owned=rest)).actions
        if isinstance(each, Create | Replace) and each.manifest["kind"] == "StatefulSet"
    ]
    assert [template_digest(each) for each in written] == [healthy]


def test_what_is_new_is_not_said_to_be_degraded_no_more() -> None:
    new = {**ready().object, "status": {}}
    plan = reconcile_cluster(replace(ready(), object=new))
    assert "NotDegraded" not in {event.reason for event in plan.events}


# -- jobs --------------------------------------------------------------------------------------------------------------


def starting(text: str = "x") -> tuple[Any, Call]:
    """A job that is about to be submitted, and what is asked for it."""
    seen = job_seen({"phase": "Starting", "submitted": ""}, spec={"source": {"inline": text}})
    seen = replace(seen, leader=replace(seen.leader, jobs={}))
    (call,) = asked(reconcile_job(seen), Operation.SUBMIT)
    return seen, call


def test_what_was_submitted_before_the_spec_was_changed_is_not_taken_for_what_is_wanted() -> None:
    _, call = starting("old")
    seen, _ = starting("new")
    plan = reconcile_job(replace(seen, answers=(Answer(call),)))
    assert plan.status is not None
    assert plan.status["submitted"] == "another"
    runs = replace(seen, leader=replace(seen.leader, jobs={"wc-12345678": JobSeen("wc-12345678", width=2)}))
    refused = replace(runs, answers=(Answer(call, Fault.REFUSED, "that id belongs to another request"),))
    plan = reconcile_job(refused)
    assert plan.status is not None
    assert (plan.status["submitted"], plan.status["phase"]) == ("another", "Running")
    submitted = {**refused.object, "status": plan.status}
    plan = reconcile_job(replace(runs, object=submitted))
    assert plan.status is not None
    assert plan.status["phase"] == "Upgrading"


def test_a_submission_is_the_same_request_whatever_became_of_the_one_before() -> None:
    calls = []
    for state in ("cancelled", "running"):
        seen = job_seen({"phase": "Starting", "submitted": "", "submissions": 2}, state=state)
        calls += asked(reconcile_job(seen), Operation.SUBMIT)
    assert calls[0] == calls[1]


def test_a_job_that_a_late_request_has_brought_back_is_suspended_again() -> None:
    plan = reconcile_job(job_seen({"phase": "Suspended", "submitted": "it"}, spec={"state": "Suspended"}))
    assert plan.status is not None
    assert plan.status["phase"] == "Suspending"


def test_a_job_that_does_not_run_has_nothing_new_to_write_at_each_look() -> None:
    seen = job_seen({"phase": "Suspended", "submitted": "it"}, spec={"state": "Suspended"}, state="cancelled")
    plan = reconcile_job(seen)
    for later_s in (5.0, 10.0):
        seen = replace(seen, object={**seen.object, "status": plan.status or seen.object["status"]})
        plan = reconcile_job(replace(seen, now_s=NOW_S + later_s))
        assert plan.status is None


def test_a_checkpoint_of_a_job_that_is_gone_has_failed() -> None:
    made: dict[str, Any] = {
        "kind": "LimnadCheckpoint",
        "metadata": {"name": "x", "namespace": "ns", "uid": "1", "generation": 1},
        "spec": {"jobRef": {"name": "wc"}},
        "status": {"state": "Running", "job": "wc-12345678", "started": NOW_S},
    }
    another = {"metadata": {"name": "wc", "namespace": "ns", "uid": "99999999-9"}, "spec": {}}
    for there in (None, another):
        plan = reconcile_checkpoint(CheckpointSeen(NOW_S + 1, made, there, ready().object, ready().leader))
        assert plan.status is not None
        assert (plan.status["state"], plan.status["error"]) == ("Failed", "its LimnadJob is gone")


# -- the shell ---------------------------------------------------------------------------------------------------------


def test_who_leads_no_more_when_it_has_found_out_how_a_leader_is_reached_asks_it_nothing() -> None:
    leads, asked_for = [True], []

    class Slow:
        """Finds a leader, which takes so long that somebody else leads then."""

        async def reach(self, namespace: str, cluster: str) -> tuple[str, Credentials]:
            leads[0] = False
            return "10.0.0.1:7701", Credentials()

    class Leaders:
        """Should not be asked."""

        async def look(self, address: str, credentials: Credentials) -> LeaderSeen:
            raise AssertionError

        async def ask(self, address: str, credentials: Credentials, call: Call) -> None:
            asked_for.append(call)

        async def close(self) -> None: ...

    cache: Any = Cache()
    slow: Any = Slow()
    actor = Actor(cache, cache, Leaders(), slow, identity="one", leads=lambda: leads[0])
    with pytest.raises(NotLeading):
        asyncio.run(actor._do(ready().object, Call(Operation.RESIZE, values=(("agents", 2),))))
    assert asked_for == []
