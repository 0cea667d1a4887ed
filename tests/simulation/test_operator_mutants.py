"""Every unsafe way to operate that we know of is switched in, and the simulation of the operator has to catch it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from limnad_operator.api import ApiError
from limnad_operator.lease import Lease
from limnad_operator.reconcile import cluster, job, scaling, submitting
from limnad_operator.reconcile.plan import Call, Event, Object, Operation, Plan, SetFinalizers
from limnad_operator.reconcile.situation import Situation
from limnad_operator.reconcile.telling import Draft
from limnad_operator.shell import acting
from limnad_operator.shell.operator import Operator
from limnad_operator.shell.views import SELECTORS, Cache
from tests.helpers.operator_simulation import simulate, users
from tests.helpers.operator_simulation.links import ServerLink

SEEDS = 60

Patch = pytest.MonkeyPatch


# -- what is known -------------------------------------------------------------------------------------------------


def ghosts(patch: Patch) -> None:
    """The answer to a write is believed, though the watch has told already that the object is gone."""
    patch.setattr(Cache, "learn", lambda self, kind, object_: self._put(kind, object_))


def no_list_after_a_break(patch: Patch) -> None:
    """When a watch has broken, another one begins from now on."""

    async def follow(self: Operator, kind: str, namespace: str) -> None:
        await self._list(kind, namespace)
        while True:
            try:
                version = (await self._api.list(kind, namespace, SELECTORS.get(kind, ""))).version
                await self._watch(kind, namespace, version, SELECTORS.get(kind, ""))
            except ApiError:
                continue

    patch.setattr(Operator, "_follow", follow)


def unfinished_lists(patch: Patch) -> None:
    """It acts before everything is listed."""
    patch.setattr(Cache, "complete", lambda self, namespace: True)
    trusts_its_watches(patch)


def trusts_its_watches(patch: Patch) -> None:
    """Whoever takes over acts on what its watches have told so far."""

    async def catch_up(self: Operator) -> None:
        while True:
            await self._took_over.wait()
            self._took_over.clear()
            self._caught_up = True
            self._look_at_all()

    patch.setattr(Operator, "_catch_up", catch_up)


# -- when it looks -------------------------------------------------------------------------------------------------


def forgets_what_it_put_off(patch: Patch) -> None:
    """What was due while it did not know whether it leads is never looked at."""
    patch.setattr(Operator, "_missed", property(lambda self: False, lambda self, value: None), raising=False)


def leads_for_ever(patch: Patch) -> None:
    """It does not stop when it cannot renew its lease."""
    patch.setattr(Lease, "leads", lambda self, now_s: self._renewed_s is not None)


# -- what it does --------------------------------------------------------------------------------------------------


def writes_over(patch: Patch) -> None:
    """Writes do not say what they were planned on."""
    write = ServerLink.replace

    async def replace_(self: ServerLink, manifest: Object, *, status: bool = False) -> Object:
        metadata = {key: value for key, value in manifest["metadata"].items() if key != "resourceVersion"}
        return await write(self, {**manifest, "metadata": metadata}, status=status)

    patch.setattr(ServerLink, "replace", replace_)


def another_request_each_time(patch: Patch) -> None:
    """A submission that is asked for again is another one."""
    numbers = itertools.count()

    def call(*arguments: Any, **options: Any) -> Call:
        made = submitting.call(*arguments, **options)
        return replace(made, values=(*made.values[:-1], ("request_id", str(next(numbers)))))

    patch.setattr(job, "call", call)


def believes_what_is_wanted_runs(patch: Patch) -> None:
    """What was submitted is taken for what is wanted when the answer comes."""
    patch.setattr(submitting.Submission, "digest", property(lambda self: "same"))
    patch.setattr(job, "digest_of", lambda call: "same")


def lets_go_at_once(patch: Patch) -> None:
    """The finalizer is removed before the state is."""

    def reconcile_job(seen: Any) -> Plan:
        plan = job.reconcile_job(seen)
        if not seen.object["metadata"].get("deletionTimestamp") or not seen.object["metadata"].get("finalizers"):
            return plan
        return Plan(actions=(SetFinalizers(()),), again_s=1.0)

    patch.setattr(acting, "reconcile_job", reconcile_job)


def cancels_at_random(patch: Patch) -> None:
    """Jobs of objects that are not known are cancelled, by their names alone."""
    patch.setattr(
        Situation,
        "orphans",
        property(lambda self: [each for each in self.leader.live if each.owner and len(self.seen.jobs) < 2]),
    )


def leaves_jobs_behind(patch: Patch) -> None:
    """Jobs that began when not all pods were there stay as narrow."""
    patch.setattr(scaling, "_follow", lambda it, now: False)


def restless(patch: Patch) -> None:
    """A status says when it was looked at."""
    told = cluster._told

    def stamped(it: Any) -> Any:
        draft = told(it)
        draft.set(build=str(it.seen.now_s))
        return draft

    patch.setattr(cluster, "_told", stamped)


def tells_again(patch: Patch) -> None:
    """An event has another name each time."""
    numbers = itertools.count()

    def tell(self: Draft[Any], reason: str, message: str, **options: Any) -> None:
        self._events.append(Event(reason, message, options.get("warning", False), str(next(numbers))))
        self._events.append(Event(reason, message, options.get("warning", False), str(next(numbers))))

    patch.setattr(Draft, "tell", tell)


def forgets_to_unpin(patch: Patch) -> None:
    """Nobody lets go of pins whose objects are gone."""

    def cluster_plan(seen: Any) -> Plan:
        plan = cluster.reconcile_cluster(seen)
        rest = [each for each in plan.actions if not (isinstance(each, Call) and each.operation is Operation.UNPIN)]
        return replace(plan, actions=tuple(rest))

    patch.setattr(acting, "reconcile_cluster", cluster_plan)


JOBS = (users.job, users.drop_job, users.change_job)
SLOW = {"tail": 0.3, "tail_s": 14.0}
"""Calls that are answered only just in time."""

STALE = {"lag_s": 60.0, "tail": 0.0, "lost": 0.0, "broken": 0.0, "latency_s": 0.05, "expired": 0.0}
"""Watches that are far behind, and nothing else."""

MUTANTS: dict[Callable[[Patch], None], dict[str, Any]] = {
    ghosts: {},
    no_list_after_a_break: {},
    unfinished_lists: {"acts": (*JOBS, users.operator), "climate": {"lag_s": 15.0}},
    trusts_its_watches: {"acts": (users.job, users.change_job, users.operator), "climate": STALE},
    forgets_what_it_put_off: {"climate": SLOW},
    leads_for_ever: {"climate": SLOW},
    writes_over: {"acts": (*JOBS, users.scale), "climate": {"latency_s": 2.0}},
    another_request_each_time: {"acts": (users.job, users.drop_job, users.operator), "climate": {"lost": 0.05}},
    believes_what_is_wanted_runs: {"acts": (users.job, users.rewrite), "climate": {"latency_s": 2.0}},
    lets_go_at_once: {"acts": JOBS},
    cancels_at_random: {},
    leaves_jobs_behind: {"acts": (users.job, users.pod, users.scale, users.upgrade)},
    restless: {"acts": (users.scale,), "climate": {"latency_s": 0.05}},
    tells_again: {},
    forgets_to_unpin: {},
}
"""Each with what lets it show soon: what happens, and in which weather."""


@pytest.fixture
def patch() -> Iterator[Patch]:
    with pytest.MonkeyPatch.context() as patching:
        yield patching


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_caught(mutant: Callable[[Patch], None], patch: Patch) -> None:
    mutant(patch)
    for seed in range(SEEDS):
        try:
            simulate(seed, **MUTANTS[mutant])
        except Exception:  # noqa: BLE001 - whatever a mutant does to itself shows it
            return
    pytest.fail(f"not caught in {SEEDS} seeds: {mutant.__doc__}")
