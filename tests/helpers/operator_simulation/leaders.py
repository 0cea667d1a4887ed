"""Leaders: jobs lie in a cluster's store, and whichever process runs in pod 0 leads them.

Answers and refusals are those of `limnad_worker`: requests by their ids, one owner, pins that hold, rescales that turn
out impossible. What a leader does takes time, and ends with that process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from limnad_operator.reconcile import AgentSeen, Call, JobSeen, LeaderSeen, Operation, pods
from limnad_operator.reconcile.plan import Object
from limnad_operator.shell.leaders import Refused, Unreachable
from tests.helpers.operator_simulation.controllers import Controllers, image
from tests.helpers.operator_simulation.server import Server
from tests.helpers.operator_simulation.weather import Weather

BAD_IMAGE = "limnad:bad"
"""Jobs fail under it."""

ENDED = ("finished", "failed", "cancelled")


@dataclass
class Job:
    """A job in a store.

    Attributes:
        values: What was submitted.
    """

    name: str
    owner: str
    values: dict[str, Any]
    state: str = "starting"
    width: int = 0
    generation: int = 1
    epoch: int = 0
    checkpoint: int = 0
    pins: dict[str, tuple[int, bool]] = field(default_factory=dict)
    draining: bool = False
    ended_s: float | None = None
    error: str = ""
    steering: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more by itself."""
        return self.state in ENDED

    @property
    def held(self) -> str:
        """By which pin no checkpoint may be made; empty: by none."""
        return next((name for name, (_, hold) in self.pins.items() if hold), "")

    def seen(self, *, durable: bool) -> JobSeen:
        """As it is told of."""
        return JobSeen(
            self.name, self.state, self.owner, durable=durable, width=self.width, asked_width=self.values["width"],
            epoch=self.epoch, generation=self.generation, checkpoint=self.checkpoint or None, error=self.error,
            ended_s=self.ended_s, draining=self.draining, held=bool(self.held),
            pins={name: number for name, (number, _) in self.pins.items()},
        )  # fmt: skip


@dataclass
class Store:
    """What survives leaders.

    Attributes:
        jobs: By name.
        refuses: Names of jobs that cannot be spread over another number of workers.
        spaces: Newest checkpoints by jobs' names: they stay until the job is forgotten.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)
    spaces: dict[str, int] = field(default_factory=dict)


@dataclass
class Leader:
    """One process that leads, or is about to.

    Attributes:
        process: Which: its pod's UID, and how often that was started again.
        leads: Whether it has taken the lead.
        requests: Jobs by the requests that have led to them, as far as this leader knows.
    """

    process: tuple[str, int]
    address: str
    expected: int
    since_s: float
    leads: bool = False
    requests: dict[str, str] = field(default_factory=dict)


class Leaders:
    """Of all clusters.

    Attributes:
        stores: By cluster.
        durable: Whether clusters have stores; without, jobs end with their leader.
        on_deed: Is told of what was really done: in which cluster, what, to which job.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, server: Server, controllers: Controllers, weather: Weather
    ) -> None:
        self.stores: dict[str, Store] = {}
        self.durable = True
        self.on_deed: Callable[[str, str, Job], None] = lambda *_: None
        self._loop = loop
        self._server = server
        self._controllers = controllers
        self._weather = weather
        self._leaders: dict[str, Leader] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        server.watchers.append(self._happened)

    def store(self, cluster: str) -> Store:
        """A cluster's."""
        return self.stores.setdefault(cluster, Store())

    def _keep(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- who leads -----------------------------------------------------------------------------------------------------

    def _happened(self, before: Object | None, after: Object | None) -> None:
        pod = after or before
        assert pod is not None
        if pod["kind"] == "Pod":
            self._elect(pod["metadata"]["labels"]["app.kubernetes.io/instance"])

    def _alive(self, pod: Object) -> bool:
        conditions = pod.get("status", {}).get("conditions") or []
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return ready and pods.uid(pod) not in self._controllers.lost

    def _pods(self, cluster: str) -> list[Object]:
        return [
            pod
            for pod in self._server.all("Pod")
            if pod["metadata"]["labels"]["app.kubernetes.io/instance"] == cluster and self._alive(pod)
        ]

    def _elect(self, cluster: str) -> None:
        first = next((pod for pod in self._pods(cluster) if pods.ordinal(pod) == 0), None)
        held = self._leaders.get(cluster)
        process = None if first is None else (pods.uid(first), pods.restart_count([first]))
        if held is not None and held.process == process:
            return
        self._leaders.pop(cluster, None)
        if first is None or process is None:
            return
        settings = self._server.there("ConfigMap", f"{cluster}-settings")
        expected = int(settings["data"]["config.toml"].split("=")[1]) if settings is not None else 1
        leader = self._leaders[cluster] = Leader(process, pods.address(first), expected, self._loop.time())
        self._keep(self._take_lead(cluster, leader))

    async def _take_lead(self, cluster: str, leader: Leader) -> None:
        await asyncio.sleep(self._weather.takes_s())
        if self._leaders.get(cluster) is not leader:
            return
        leader.leads = True
        store = self.store(cluster)
        if not self.durable:
            store.jobs.clear()
        for job in store.jobs.values():
            job.steering = asyncio.Lock()
            leader.requests[job.values["request_id"]] = job.name
            if not job.ended:
                job.state, job.generation = "recovering", job.generation + 1
                self._keep(self._begin(cluster, leader, job))

    async def _begin(self, cluster: str, leader: Leader, job: Job) -> None:
        """Has a job's engines start: all of the width, when there are as many, and if the image can."""
        generation = job.generation
        while not job.width:
            agents, patient = self._agents(cluster, leader), self._loop.time() < leader.since_s + 10
            if len(agents) >= leader.expected or (agents and not patient):
                job.width = len(agents)
            else:
                await asyncio.sleep(0.2)
            if self._leaders.get(cluster) is not leader or job.ended:
                return
        await asyncio.sleep(self._weather.takes_s())
        if self._leaders.get(cluster) is not leader or job.ended or job.generation != generation:
            return
        first = next(pod for pod in self._pods(cluster) if pods.ordinal(pod) == 0)
        bad = image(first) == BAD_IMAGE
        job.state, job.error = ("failed", "it does not start") if bad else ("running", "")
        job.ended_s = self._server.wall_s if bad else None

    def _agents(self, cluster: str, leader: Leader) -> list[Object]:
        """Pods whose agents have registered and that may work."""
        own = self._pods(cluster)
        build = next((image(pod) for pod in own if pods.ordinal(pod) == 0), "")
        return [pod for pod in own if image(pod) == build and pods.ordinal(pod) < leader.expected]

    # -- what they tell ------------------------------------------------------------------------------------------------

    def _at(self, address: str) -> tuple[str, Leader]:
        host = address.partition(":")[0]
        for cluster, leader in self._leaders.items():
            if leader.address == host:
                return cluster, leader
        raise Unreachable("connection refused")

    def look(self, address: str) -> LeaderSeen:
        """What a leader tells of itself.

        Raises:
            Unreachable: There is none, or it does not lead yet.
        """
        cluster, leader = self._at(address)
        if not leader.leads:
            raise Unreachable("the leader has just been started")
        own = self._pods(cluster)
        build = next((image(pod) for pod in own if pods.ordinal(pod) == 0), "")
        agents = tuple(AgentSeen(pods.ordinal(pod), build, pods.leaving(pod)) for pod in own if image(pod) == build)
        jobs = {name: job.seen(durable=self.durable) for name, job in sorted(self.store(cluster).jobs.items())}
        return LeaderSeen(address, "", agents, leader.expected, jobs)

    # -- what they do --------------------------------------------------------------------------------------------------

    def ask(self, address: str, call: Call, answer: asyncio.Future[Any]) -> None:
        """Begins to do something, whoever waits for it; the answer comes when it is done."""

        async def work() -> None:
            try:
                value = await self._do(address, call)
            except (Refused, Unreachable) as error:
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(value)

        self._keep(work())

    async def _do(self, address: str, call: Call) -> Any:
        cluster, leader = self._at(address)
        if not leader.leads:
            raise Unreachable("the leader has just been started")
        store, values = self.store(cluster), dict(call.values)
        if call.operation is Operation.RESIZE:
            leader.expected = values["agents"]
            return None
        if call.operation is Operation.SUBMIT:
            return self._submit(cluster, leader, call, values)
        job = store.jobs.get(call.job)
        if job is None:
            raise Refused(f"there is no job {call.job!r}")
        whole = _Whole(self, cluster, leader, store, job)
        if call.operation is Operation.PIN:
            return await whole.pin(values["pin"], hold=values.get("hold", False))
        if call.operation is Operation.UNPIN:
            job.pins.pop(values["pin"], None)
            return None
        if job.owner and call.owner != job.owner:
            raise Refused(f"the job {job.name} belongs to {job.owner}: change that, and the job follows")
        if call.operation is Operation.RESCALE:
            return await whole.rescale(values["workers"])
        if call.operation is Operation.RESTORE:
            return await whole.restore()
        return await whole.end(call.operation)

    def submit(self, cluster: str, name: str, width: int) -> None:
        """Somebody submits a job of his own, past the operator, if there is a leader."""
        leader = self._leaders.get(cluster)
        if leader is not None and leader.leads and name not in self.store(cluster).jobs:
            values = {"width": width, "request_id": name, "replace": False, "resume": True}
            self._submit(cluster, leader, Call(Operation.SUBMIT, name), values)

    def _submit(self, cluster: str, leader: Leader, call: Call, values: dict[str, Any]) -> None:
        store = self.store(cluster)
        known = leader.requests.get(values["request_id"])
        if known is not None and known in store.jobs:
            if store.jobs[known].values != values:
                raise Refused(f"the request id {values['request_id']!r} belongs to another request, of job {known}")
            return
        held = store.jobs.get(call.job)
        if held is not None and not (values["replace"] and held.ended):
            raise Refused(f"there is a job {call.job!r} already: choose another name, or none")
        newest = store.spaces.get(call.job, 0)
        if newest and not values["resume"]:
            raise Refused(f"the store holds checkpoints of the job {call.job!r} already")
        job = Job(call.job, call.owner, values, width=values["width"], checkpoint=newest)
        if held is not None:
            job.pins = {name: pin for name, pin in held.pins.items() if not pin[1]}
        store.jobs[call.job] = job
        self.on_deed(cluster, "submit", job)
        leader.requests[values["request_id"]] = call.job
        self._keep(self._begin(cluster, leader, job))


@dataclass
class _Whole:
    """Something that is done whole, as long as its leader lives."""

    leaders: Leaders
    cluster: str
    leader: Leader
    store: Store
    job: Job

    def _deed(self, what: str) -> None:
        self.leaders.on_deed(self.cluster, what, self.job)

    async def _spend(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.leaders._leaders.get(self.cluster) is not self.leader:
            raise Unreachable("the leader has hung up")

    async def _running(self) -> None:
        while self.job.state != "running":
            if self.job.ended:
                raise Refused(f"the job has ended: it is {self.job.state}")
            await self._spend(0.1)

    async def _checkpoint(self) -> int:
        job, weather = self.job, self.leaders._weather
        if not job.ended and not self.leaders.durable:
            raise Refused("the job has no store to keep a checkpoint in: give it one when it is submitted")
        await self._running()
        await self._spend(weather.takes_s())
        if job.ended:
            raise Refused(f"the job has ended: it is {job.state}")
        if not weather.calm and weather.chance(0.05):
            raise Unreachable("the checkpoint was given up: it took too long")
        job.checkpoint += 1
        job.epoch += 1
        self.store.spaces[job.name] = job.checkpoint
        return job.checkpoint

    def _refuse_if_held(self) -> None:
        if held := self.job.held:
            raise Unreachable(f"the job is held at checkpoint {self.job.pins[held][0]} by {held!r} and makes no others")

    async def pin(self, name: str, *, hold: bool) -> dict[str, Any]:
        """See `limnad_worker.pinning`."""
        if name not in self.job.pins:
            self._refuse_if_held()
            number = await self._checkpoint()
            self.job.pins.setdefault(name, (number, hold))
        if hold:
            self.job.pins[name] = (self.job.checkpoint, True)
        self._deed(f"pin {name.partition(':')[0]}")
        return {"number": self.job.pins[name][0], "bytes": 10, "made_s": self.leaders._server.wall_s}

    async def rescale(self, workers: int) -> None:
        """See `limnad_worker.steering`."""
        job = self.job
        async with job.steering:
            if workers == job.width:
                await self._running()
                return
            self._refuse_if_held()
            await self._checkpoint()
            before, job.width, job.state, job.generation = job.width, workers, "recovering", job.generation + 1
            if refused := job.name in self.store.refuses:
                await self._spend(self.leaders._weather.takes_s())
                job.width, job.generation = before, job.generation + 1
            else:
                self._deed("rescale")
            await self.leaders._begin(self.cluster, self.leader, job)
            await self._running()
            if refused:
                raise Refused("stage 'totals' has state that cannot be split")

    async def restore(self) -> None:
        """See `limnad_worker.steering`."""
        job = self.job
        if not self.leaders.durable:
            raise Refused("the job has no store to keep a checkpoint in: give it one when it is submitted")
        async with job.steering:
            self._refuse_if_held()
            if not job.checkpoint:
                raise Refused("the job has no checkpoint 0; it has: none")
            job.state, job.error, job.ended_s, job.generation = "recovering", "", None, job.generation + 1
            await self.leaders._begin(self.cluster, self.leader, job)
            await self._running()

    async def end(self, operation: Operation) -> None:
        """Drains, cancels or deletes."""
        job = self.job
        if operation is Operation.DRAIN:
            if not job.ended:
                job.draining = True
                self._deed("drain")
                await self._spend(self.leaders._weather.takes_s())
                if not job.ended:
                    job.state, job.ended_s = "finished", self.leaders._server.wall_s
        elif operation is Operation.CANCEL:
            if not job.ended:
                job.state, job.ended_s = "cancelled", self.leaders._server.wall_s
                self._deed("cancel")
        elif operation is Operation.DELETE:
            if not job.ended:
                raise Refused(f"the job {job.name} is {job.state}: cancel or drain it first")
            if self.store.jobs.get(job.name) is job:
                del self.store.jobs[job.name]
                self.store.spaces.pop(job.name, None)
                self._deed("forget")
        else:
            raise AssertionError(operation)
