"""What has to be so at each moment.

No pod is deleted by an operator that was never anything but right; no job is cancelled that is wanted
as it runs, and none is forgotten that was to be kept; nothing is told more often than it has happened.
No operator acts while another one holds the lease; what is wanted is changed by users alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from limnad_operator.reconcile import pods
from limnad_operator.reconcile.diff import template_digest
from limnad_operator.reconcile.plan import Object
from limnad_operator.reconcile.submitting import leader_name
from tests.helpers.operator_simulation.leaders import Job, Leaders
from tests.helpers.operator_simulation.server import Server
from tests.helpers.operator_simulation.weather import Weather

LOST_S = 5.0
"""How long after it should have ended a pod is taken for gone: users' deadline."""

LONG_S = 10.0
"""A pod that was not ready for so long may be deleted: users' deadline, less what watches may be behind."""


class Violation(AssertionError):
    """Something that must be so is not."""


def step(object_: Object | None) -> str:
    """Which step is being taken; empty: none."""
    return str(((object_ or {}).get("status", {}).get("step") or {}).get("kind", ""))


def said(object_: Object | None, name: str) -> Any:
    """A field of the status."""
    return (object_ or {}).get("status", {}).get(name)


def truth(object_: Object | None, condition: str) -> str:
    """Of a condition."""
    found = [each["status"] for each in said(object_, "conditions") or [] if each["type"] == condition]
    return found[0] if found else ""


Change = Callable[[Object, Object], bool]
TRANSITIONS: dict[str, Change] = {
    "ScaleStarted": lambda old, new: not step(old) and step(new) in ("GrowPods", "ShrinkJobs"),
    "Scaled": lambda old, new: step(old) in ("GrowJobs", "ShrinkPods") and not step(new),
    "ScaleRefused": lambda old, new: (
        bool(said(new, "failedScale")) and said(old, "failedScale") != said(new, "failedScale")
    ),
    "UpgradeStarted": lambda old, new: not step(old) and step(new) == "UpgradeHold",
    "Upgraded": lambda old, new: step(old) == "UpgradeRelease" and not step(new),
    "UpgradeFailed": lambda old, new: step(old) != step(new) and step(new).startswith("Rollback"),
    "RolledBack": lambda old, new: step(old) == "RollbackRelease" and not step(new),
    "DeletionStarted": lambda old, new: step(old) != "DeleteDrain" == step(new),
    "Submitted": lambda old, new: bool(said(new, "submitted")) and not said(old, "submitted"),
    "Suspended": lambda old, new: said(old, "phase") != "Suspended" == said(new, "phase"),
    "JobUpgrade": lambda old, new: (
        said(new, "phase") in ("Upgrading", "Starting") and said(old, "phase") != said(new, "phase")
    ),
    "CheckpointMade": lambda old, new: said(old, "state") != "Completed" == said(new, "state"),
    "CheckpointFailed": lambda old, new: said(old, "state") != "Failed" == said(new, "state"),
    **{
        f"Job{phase}": lambda old, new, phase=phase: said(old, "phase") != phase == said(new, "phase")  # type: ignore[misc]
        for phase in ("Running", "Recovering", "Finished", "Failed", "Cancelled")
    },
    **{
        name: lambda old, new, name=name: truth(old, name.removeprefix("Not")) != truth(new, name.removeprefix("Not"))  # type: ignore[misc]
        for kind in ("Ready", "Degraded", "CheckpointHealthy")
        for name in (kind, f"Not{kind}")
    },
}
"""What is told, and which change of a status it tells of."""


class Checks:
    """Follows everything.

    Attributes:
        changes: How often something was written, leases apart.
        newest: What that was.
        told: How often which event was told, by its object's UID and its reason.
        gone: Objects that were deleted, by UID, as they were last.
        forgotten: Names of jobs that were forgotten, with their state.
    """

    def __init__(
        self,
        server: Server,
        leaders: Leaders,
        weather: Weather,
        say: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.changes = 0
        self.newest = ""
        self._server = server
        self._leaders = leaders
        self._weather = weather
        self._say = say
        self._failed = failed
        self.told: Counter[tuple[str, str]] = Counter()
        self._happened: Counter[tuple[str, str]] = Counter()
        self._edits: Counter[str] = Counter()
        self._wrong: set[str] = set()
        self.forgotten: set[str] = set()
        self._submitted: Counter[str] = Counter()
        self._unready: dict[str, float] = {}
        self.gone: dict[str, Object] = {}
        self._editing = False
        server.watchers.append(self._changed)

    def _fail(self, why: str) -> None:
        self._say(f"!! {why}")
        self._failed(Violation(why))

    def edited(self, object_: Object) -> None:
        """Somebody changes what is wanted: what has been told may not come to pass."""
        self._edits[object_["metadata"]["uid"]] += 1
        self._editing = True

    def acting(self, identity: str) -> None:
        """A process asks for a change, now."""
        lease = self._server.there("Lease", "limnad-operator")
        holder = lease["spec"]["holderIdentity"] if lease is not None else ""
        if holder != identity:
            self._fail(f"operator {identity} acts, and {holder or 'nobody'} holds the lease")

    def _changed(self, before: Object | None, after: Object | None) -> None:
        now = after or before
        assert now is not None
        kind, metadata = now["kind"], now["metadata"]
        if kind == "Lease":
            return
        self.changes += 1
        self.newest = f"{kind} {metadata['name']}"
        if kind == "Event" and after is not None:
            uid, reason = after["involvedObject"]["uid"], after["reason"]
            self.told[uid, reason] += 1
            self._say(f"   {after['involvedObject']['name']}: {reason}: {after['message']}")
        elif kind.startswith("Limnad"):
            self._ours(before, after)
        elif kind in ("Pod", "StatefulSet"):
            self._judge_pods()

    def _ours(self, before: Object | None, after: Object | None) -> None:
        if after is None:
            assert before is not None
            self.gone[before["metadata"]["uid"]] = before
            self._say(f"   {before['kind']} {before['metadata']['name']} is gone")
            return
        if before is None:
            return
        uid, editing, self._editing = after["metadata"]["uid"], self._editing, False
        owned = after["metadata"].get("ownerReferences")  # A job's own cluster is written by the operator.
        if before["spec"] != after["spec"] and not (editing or owned):
            self._fail(f"what is wanted of {after['metadata']['name']} was changed, and by no user")
        for reason, change in TRANSITIONS.items():
            if change(before, after):
                self._happened[uid, reason] += 1
        for name in ("phase", "state"):
            if said(before, name) != said(after, name):
                self._say(f"   {after['kind']} {after['metadata']['name']} is {said(after, name)}")
        if step(before) != step(after):
            self._say(f"   {after['metadata']['name']} takes step {step(after) or '-'}")

    def _judge_pods(self) -> None:
        """Remembers all pods that have ever been another template's, or not ready for long."""
        workers = {each["metadata"]["name"]: each for each in self._server.all("StatefulSet")}
        for pod in self._server.all("Pod"):
            uid, owner = pods.uid(pod), workers.get(pods.name(pod).rpartition("-")[0])
            if owner is None or pods.digest(pod) != template_digest(owner):
                self._wrong.add(uid)
            if not pods.ready(pod):
                self._unready.setdefault(uid, self._server.loop.time())
            elif self._server.loop.time() - self._unready.pop(uid, self._server.loop.time()) >= LONG_S:
                self._wrong.add(uid)

    def deleting(self, object_: Object) -> None:
        """An operator deletes something, now."""
        name = object_["metadata"]["name"]
        self._say(f"   operator deletes {object_['kind']} {name}")
        if object_["kind"] != "Pod":
            return
        self._judge_pods()
        if pods.lost(object_, LOST_S, self._server.wall_s):
            return
        uid, now_s = pods.uid(object_), self._server.loop.time()
        if uid not in self._wrong and now_s - self._unready.get(uid, now_s) < LONG_S:
            self._fail(f"pod {name} is deleted, and nothing was wrong with it")

    def done(self, cluster: str, deed: str, job: Job) -> None:
        """A leader has done something."""
        self._say(f"   leader of {cluster}: {deed} {job.name} ({job.values['request_id']})")
        object_ = self.object_of(job)
        if deed == "submit" and object_ is not None:
            self._submitted[job.name] += 1
            wanted = 1 + self._edits[object_["metadata"]["uid"]]
            if self._submitted[job.name] > wanted and self._leaders.durable:
                self._fail(f"job {job.name} is submitted {self._submitted[job.name]} times, and wanted {wanted} times")
        if deed == "forget":
            self.forgotten.add(job.name)
            self._may_forget(cluster, job, object_)
        elif deed == "cancel" and object_ is not None and not self._may_cancel(cluster, object_):
            self._fail(f"job {job.name} is cancelled, and its object wants it to run")

    def object_of(self, job: Job) -> Object | None:
        """By which a job was made, if it is there."""
        return next((each for each in self._server.all("LimnadJob") if leader_name(each) == job.name), None)

    def _may_cancel(self, cluster: str, object_: Object) -> bool:
        """Whether its object, or its cluster, has ever wanted it to end, since it was made."""
        at = self._server.there("LimnadCluster", cluster)
        leaving = pods.leaving(object_) or at is None or pods.leaving(at)
        return leaving or self._edits[object_["metadata"]["uid"]] > 0

    def _may_forget(self, cluster: str, job: Job, object_: Object | None) -> None:
        at = self._server.there("LimnadCluster", cluster)
        if at is not None and pods.leaving(at) and (at["spec"].get("store") or {}).get("onDeletion") == "Delete":
            return None
        if not job.owner:
            return self._fail(f"job {job.name}, which is no object's, is forgotten")
        made_by = object_ or next(each for each in self.gone.values() if leader_name(each) == job.name)
        spec = made_by["spec"]
        if spec.get("onDeletion") != "Delete" and not self._edits[made_by["metadata"]["uid"]]:
            if object_ is not None and spec.get("upgradeMode") == "Stateless":
                return None
            self._fail(f"job {job.name} is forgotten, and its state was to be kept")
        return None

    def told_too_often(self) -> Iterator[str]:
        """Events that were told of more than has happened."""
        for (uid, reason), times in self.told.items():
            happened = self._happened[uid, reason]
            # First it is told, then it is written: in between somebody may change or delete the object, or all be lost.
            doubtful = self._edits[uid] + (uid in self.gone) + self._weather.losses
            if reason in TRANSITIONS and times > happened + doubtful:
                yield f"{reason} was told {times} times of {uid}, and has happened {happened} times"
