"""A model of an API server, its controllers and leaders, in memory: what an operator's plans are tried on.

Every call of an operator waits at a gate, whose keeper says whose turn it is, and may end the operator there.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from limnad_operator.api import ApiError, Listed
from limnad_operator.model import GROUP, VERSION
from limnad_operator.reconcile import AgentSeen, Call, JobSeen, LeaderSeen, Operation
from limnad_operator.reconcile.diff import template_digest
from limnad_operator.reconcile.plan import Object
from limnad_operator.shell.acting import Actor, Conflict
from limnad_operator.shell.leaders import Credentials, Refused, Unreachable
from limnad_operator.shell.observing import Observer
from limnad_operator.shell.views import SELECTORS, WATCHED, Cache, Key

NAMESPACE = "ns"
START_S = 1_750_000_000.0
BAD_IMAGE = "limnad:bad"
"""Jobs fail under it."""
QUIET_TURNS = 18
"""More than any deadline of these tests."""
NO_IMAGE = "limnad:none"
"""Cannot be pulled."""


class Killed(BaseException):
    """The operator has been killed."""


@dataclass
class World:
    """All that operators see and change.

    Attributes:
        now_s: Unix time.
        objects: By kind and name.
        jobs: What the leader's store has: jobs by name, whichever pod leads.
        expected: How many agents the leader expects; None: as its settings say.
        refuses: Jobs that do not let themselves be rescaled.
        deeds: How often something was really done, by what and to whom.
        told: Reasons of events, in order.
    """

    now_s: float = START_S
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    jobs: dict[str, JobSeen] = field(default_factory=dict)
    expected: int | None = None
    refuses: set[str] = field(default_factory=set)
    deeds: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    version: int = 100
    _leader: str = ""
    _requests: dict[str, str] = field(default_factory=dict)

    # -- objects -------------------------------------------------------------------------------------------------------

    def make(self, kind: str, name: str, spec: Object, **metadata: Any) -> Object:
        """Somebody makes an object of ours."""
        return self.create(
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": kind,
                "metadata": {"name": name, "namespace": NAMESPACE, **metadata},
                "spec": spec,
            }
        )

    def edit(self, kind: str, name: str, change: Callable[[Object], None]) -> None:
        """Somebody edits one."""
        object_ = copy.deepcopy(self.objects[kind, name])
        change(object_["spec"])
        self.replace(object_)

    def remove(self, kind: str, name: str) -> None:
        """Somebody deletes one: it is gone, or waits for its finalizers."""
        object_ = self.objects[kind, name]
        if object_["metadata"].get("finalizers"):
            object_["metadata"].setdefault("deletionTimestamp", _time(self.now_s))
            self._touch(object_)
        else:
            del self.objects[kind, name]
            self.version += 1
            uid = object_["metadata"]["uid"]
            for key, each in list(self.objects.items()):
                if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or []):
                    self.remove(*key)

    def _touch(self, object_: Object) -> Object:
        self.version += 1
        object_["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(object_)

    def create(self, manifest: Object) -> Object:
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key in self.objects:
            raise ApiError(409, f"{key} is there already")
        object_ = copy.deepcopy(manifest)
        object_["metadata"].setdefault("uid", f"{self.version:08d}-{key[1]}")
        object_["metadata"]["generation"] = 1
        if key[0] == "Event":
            self.told.append(object_["reason"])
        self.objects[key] = object_
        self.deeds[f"create {key[0]}"] += 1
        return self._touch(object_)

    def replace(self, manifest: Object, *, status: bool = False) -> Object:
        key = (manifest["kind"], manifest["metadata"]["name"])
        there = self.objects.get(key)
        if there is None:
            raise ApiError(404, f"{key} is gone")
        if there["metadata"]["resourceVersion"] != manifest["metadata"].get("resourceVersion"):
            raise ApiError(409, f"{key} has changed")
        new = copy.deepcopy(manifest)
        if status:
            there["status"] = new["status"]
        else:
            new["status"] = there.get("status", {})
            changed = new.get("spec") != there.get("spec")
            new["metadata"]["generation"] = there["metadata"]["generation"] + changed
            self.objects[key] = there = new
            if there["metadata"].get("deletionTimestamp") and not there["metadata"].get("finalizers"):
                self.remove(*key)
        return self._touch(there)

    def delete(self, kind: str, name: str, uid: str) -> None:
        there = self.objects.get((kind, name))
        if there is not None and there["metadata"]["uid"] == uid:
            self.deeds[f"delete {kind}"] += 1
            self.remove(kind, name)

    def status(self, kind: str, name: str) -> Object:
        found: Object = self.objects[kind, name].get("status") or {}
        return found

    def condition(self, kind: str, name: str, type_: str) -> Object:
        found: Object = next(each for each in self.status(kind, name)["conditions"] if each["type"] == type_)
        return found

    # -- pods and leaders ----------------------------------------------------------------------------------------------

    @property
    def pods(self) -> list[Object]:
        return [each for (kind, _), each in sorted(self.objects.items()) if kind == "Pod"]

    def turn(self) -> None:
        """Time passes, and controllers and leaders do what is theirs."""
        self.now_s += 1.0
        for (kind, _), each in list(self.objects.items()):
            if kind == "StatefulSet":
                self._keep_pods(each)
        for pod in self.pods:
            if "status" not in pod:
                pod["status"] = _pod_status(pod)
                self._touch(pod)
        self._lead()

    def _keep_pods(self, workers: Object) -> None:
        name, wanted = workers["metadata"]["name"], workers["spec"]["replicas"]
        for pod in self.pods:
            if int(pod["metadata"]["name"].rpartition("-")[2]) >= wanted:
                self.remove("Pod", pod["metadata"]["name"])
        for index in range(wanted):
            if ("Pod", f"{name}-{index}") not in self.objects:
                template = copy.deepcopy(workers["spec"]["template"])
                owner = {"uid": workers["metadata"]["uid"], "kind": "StatefulSet", "name": name}
                metadata = {"name": f"{name}-{index}", "namespace": NAMESPACE, "ownerReferences": [owner]}
                self.create(
                    {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "metadata": {**template["metadata"], **metadata},
                        "spec": template["spec"],
                    }
                )

    @property
    def _first(self) -> Object | None:
        return next((pod for pod in self.pods if pod["metadata"]["name"].endswith("-0") and _ready(pod)), None)

    def _lead(self) -> None:
        """Jobs live in the store: a new leader goes on with them, if there is one."""
        first = self._first
        if first is None:
            self._leader = ""
            return
        if self._leader != first["metadata"]["uid"]:
            self._leader, self.expected = first["metadata"]["uid"], None
            for name, job in self.jobs.items():
                if not job.ended:
                    bad = _image(first) == BAD_IMAGE
                    self.jobs[name] = replace(job, state="failed" if bad else "running", error="bad" if bad else "")

    def leader(self) -> LeaderSeen:
        first = self._first
        if first is None or self._leader != first["metadata"]["uid"]:
            return LeaderSeen("10.0.0.1:7701", "connection refused")
        agents = tuple(
            AgentSeen(int(pod["metadata"]["name"].rpartition("-")[2]), _image(pod))
            for pod in self.pods
            if _ready(pod) and _image(pod) == _image(first)
        )
        expected = self.expected
        if expected is None:
            config = next(each for (kind, _), each in self.objects.items() if kind == "ConfigMap")
            expected = int(config["data"]["config.toml"].split("=")[1])
        return LeaderSeen("10.0.0.1:7701", "", agents, expected, dict(self.jobs))

    def ask(self, call: Call) -> Any:
        """What a leader does when it is asked."""
        if self.leader().problem:
            raise Unreachable("connection refused")
        values = dict(call.values)
        if call.operation is Operation.RESIZE:
            self.deeds["resize"] += self.expected != values["agents"]
            self.expected = values["agents"]
            return None
        if call.operation is Operation.SUBMIT:
            return self._submit(call, values)
        job = self.jobs.get(call.job)
        if job is None:
            raise Refused(f"there is no job {call.job!r}")
        changes: dict[Operation, Callable[[JobSeen, dict[str, Any]], Any]] = {
            Operation.PIN: self._pin,
            Operation.UNPIN: self._unpin,
            Operation.RESCALE: self._rescale,
            Operation.RESTORE: self._restore,
            Operation.DRAIN: lambda job, _: self._set(
                job, "drain", state="finished", draining=True, ended_s=self.now_s
            ),
            Operation.CANCEL: lambda job, _: self._set(job, "cancel", state="cancelled", ended_s=self.now_s),
            Operation.DELETE: self._forget,
        }
        return changes[call.operation](job, values)

    def _set(self, job: JobSeen, deed: str, **changes: Any) -> None:
        if any(getattr(job, name) != value for name, value in changes.items() if name != "ended_s"):
            self.deeds[f"{deed} {job.name}"] += 1
            self.jobs[job.name] = replace(job, **changes)

    def _submit(self, call: Call, values: dict[str, Any]) -> None:
        if values["request_id"] in self._requests:
            return
        if call.job in self.jobs and not (values["replace"] and self.jobs[call.job].ended):
            raise Refused(f"there is a job {call.job!r} already")
        self._requests[values["request_id"]] = call.job
        self.deeds[f"submit {call.job}"] += 1
        width = values["width"] or len(self.leader().agents)
        held = self.jobs.get(call.job)
        self.jobs[call.job] = JobSeen(
            call.job, owner=call.owner, width=width, asked_width=values["width"], epoch=0,
            checkpoint=held.checkpoint if held is not None and values["resume"] else None,
            pins=dict(held.pins) if held is not None else {},
        )  # fmt: skip

    def _pin(self, job: JobSeen, values: dict[str, Any]) -> dict[str, Any]:
        if values["pin"] not in job.pins:
            if job.ended or not job.durable:
                raise Refused(f"the job has ended: it is {job.state}" if job.ended else "the job has no store")
            number = (job.checkpoint or 0) + 1
            self._set(job, f"pin {values['pin'].partition(':')[0]}", checkpoint=number,
                      pins={**job.pins, values["pin"]: number}, held=values.get("hold", False))  # fmt: skip
        return {"number": self.jobs[job.name].pins[values["pin"]], "bytes": 10, "made_s": self.now_s}

    def _unpin(self, job: JobSeen, values: dict[str, Any]) -> None:
        rest = {name: number for name, number in job.pins.items() if name != values["pin"]}
        self._set(job, "unpin", pins=rest, held=False)

    def _rescale(self, job: JobSeen, values: dict[str, Any]) -> None:
        if job.name in self.refuses:
            raise Refused("stage 'totals' has state that cannot be split")
        if job.width != values["workers"]:
            self._set(job, "rescale", width=values["workers"], generation=job.generation + 1)

    def _restore(self, job: JobSeen, _: dict[str, Any]) -> None:
        if job.held:
            raise Refused("held")
        self._set(job, "restore", state="running", error="", generation=job.generation + 1)

    def _forget(self, job: JobSeen, _: dict[str, Any]) -> None:
        if not job.ended:
            raise Refused("cancel or drain it first")
        self.deeds[f"forget {job.name}"] += 1
        del self.jobs[job.name]


def _time(now_s: float) -> str:
    from limnad_operator.reconcile.telling import timestamp

    return timestamp(now_s)


def _image(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def _ready(pod: Object) -> bool:
    return any(each["status"] == "True" for each in pod.get("status", {}).get("conditions", []))


def _pod_status(pod: Object) -> Object:
    if _image(pod) == NO_IMAGE:
        waiting = {"reason": "ErrImagePull", "message": "not found"}
        return {"containerStatuses": [{"image": NO_IMAGE, "state": {"waiting": waiting}}], "conditions": []}
    index = int(pod["metadata"]["name"].rpartition("-")[2])
    return {"podIP": f"10.0.0.{index + 1}", "conditions": [{"type": "Ready", "status": "True"}]}


class Gate:
    """Where operators wait for their turns.

    Attributes:
        passed: How many calls there were that change something.
        kill_at: At which of them the operator is killed; None: at none. (At others it would be killed before the next.)
        after: Whether the call is still made.
    """

    def __init__(self, kill_at: int | None = None, *, after: bool = False) -> None:
        self.passed = 0
        self.kill_at = kill_at
        self.after = after
        self.keeper: Keeper | None = None

    async def read(self, do: Callable[[], Any]) -> Any:
        """Makes a call that changes nothing when it is its turn."""
        if self.keeper is not None:
            await self.keeper.turn()
        return copy.deepcopy(do())

    async def call(self, do: Callable[[], Any]) -> Any:
        """Makes a call when it is its turn."""
        if self.keeper is not None:
            await self.keeper.turn()
        self.passed += 1
        if self.passed == self.kill_at and not self.after:
            raise Killed
        try:
            return copy.deepcopy(do())
        finally:
            if self.passed == self.kill_at:
                raise Killed


class Keeper:
    """Lets one waiting call go on at a time, chosen by a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._waiting: list[asyncio.Future[None]] = []

    async def turn(self) -> None:
        """Waits for its turn."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def run(self, *works: Any) -> None:
        """Runs coroutines to their ends."""
        tasks = [asyncio.ensure_future(work) for work in works]
        while not all(task.done() for task in tasks):
            for _ in range(6):
                await asyncio.sleep(0)
            if self._waiting:
                self._waiting.pop(self._random.randrange(len(self._waiting))).set_result(None)
        for task in tasks:
            task.result()


class WorldApi:
    """The API server, through a gate."""

    def __init__(self, world: World, gate: Gate) -> None:
        self._world = world
        self._gate = gate

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        found: Object | None = await self._gate.read(lambda: self._world.objects.get((kind, name)))
        return found

    async def create(self, manifest: Object) -> Object:
        made: Object = await self._gate.call(lambda: self._world.create(manifest))
        return made

    async def replace(self, manifest: Object, *, status: bool = False) -> Object:
        made: Object = await self._gate.call(lambda: self._world.replace(manifest, status=status))
        return made

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, grace_s: int | None = None) -> None:
        await self._gate.call(lambda: self._world.delete(kind, name, uid))


class WorldLeaders:
    """Its leaders, through a gate."""

    def __init__(self, world: World, gate: Gate) -> None:
        self._world = world
        self._gate = gate

    async def look(self, address: str, credentials: Credentials) -> LeaderSeen:
        found: LeaderSeen = await self._gate.read(self._world.leader)
        return found

    async def ask(self, address: str, credentials: Credentials, call: Call) -> Any:
        return await self._gate.call(lambda: self._world.ask(call))

    async def close(self) -> None: ...


class Simulated:
    """An operator in a world: the real one but for its watches and its lease.

    Args:
        world: Where.
        gate: Which its calls go through.
    """

    def __init__(self, world: World, gate: Gate | None = None) -> None:
        self.world = world
        self.gate = gate or Gate()
        self.cache = Cache()
        api, leaders = WorldApi(world, self.gate), WorldLeaders(world, self.gate)
        observer = Observer(api, self.cache, leaders)
        self._actor = Actor(api, self.cache, leaders, observer, identity="simulated", wall_s=lambda: world.now_s)

    def refresh(self) -> None:
        """Learns how everything is now."""
        for kind in WATCHED:
            found = [each for (held, _), each in self.world.objects.items() if held == kind]
            if kind in SELECTORS:
                assert all("app.kubernetes.io/name" in each["metadata"].get("labels", {}) for each in found), kind
            self.cache.fill(kind, NAMESPACE, Listed(tuple(map(self._copy, found)), str(self.world.version)))

    def _copy(self, object_: Object) -> Object:
        known = self.cache.get(object_["kind"], NAMESPACE, object_["metadata"]["name"])
        same = known is not None and known["metadata"]["resourceVersion"] == object_["metadata"]["resourceVersion"]
        return known if known is not None and same else copy.deepcopy(object_)

    async def look(self) -> None:
        """Looks at everything once."""
        for kind in ("LimnadCluster", "LimnadJob", "LimnadCheckpoint"):
            for object_ in list(self.cache.all(kind, NAMESPACE)):
                try:
                    await self._actor.look(Key(kind, NAMESPACE, object_["metadata"]["name"]))
                except (Conflict, ApiError):
                    continue  # The queue would try again.

    def work(self, turns: int = 1) -> None:
        """Looks, and lets the world go on, so many times at most: until nothing has changed for some turns."""

        async def run() -> None:
            quiet = 0
            for _ in range(turns):
                before = (self.world.version, self.world.deeds.total())
                self.refresh()
                await self.look()
                self.world.turn()
                quiet = quiet + 1 if (self.world.version, self.world.deeds.total()) == before else 0
                if quiet == QUIET_TURNS:
                    return

        asyncio.run(run())


__all__ = ["Gate", "Keeper", "Killed", "Simulated", "World", "template_digest"]
