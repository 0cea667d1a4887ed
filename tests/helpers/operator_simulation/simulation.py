"""Two processes of the operator and their world, from one seed: some time in which anything happens, then quiet."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from limnad_operator.lease import Lease
from limnad_operator.shell.operator import Operator
from tests.helpers.operator_simulation import users
from tests.helpers.operator_simulation.checks import Checks, Violation
from tests.helpers.operator_simulation.controllers import Controllers
from tests.helpers.operator_simulation.leaders import Leaders
from tests.helpers.operator_simulation.links import LeaderLink, Link, ServerLink
from tests.helpers.operator_simulation.loop import NothingLeft, VirtualLoop
from tests.helpers.operator_simulation.server import NAMESPACE, START_S, Server
from tests.helpers.operator_simulation.settled import Settled
from tests.helpers.operator_simulation.weather import Weather

SILENT_S = 80.0
"""After how long without a write all is settled: more than the longest pause of the queue."""

PATIENCE_S = 900.0
"""How long it may take until then, when nothing fails any more."""

RESYNC_S = 1e6
"""Never: what is wrong must not wait for everything to be listed anew."""


@dataclass
class Process:
    """One of the operators; it is started again when it has ended."""

    sim: Simulation
    identity: str
    task: asyncio.Task[None] | None = None
    link: Link | None = None
    operator: Operator | None = None

    def start(self) -> None:
        """Begins anew, with the name that it had."""
        sim = self.sim
        self.link = Link(self.identity, sim.loop, sim.weather, sim.checks)
        self.operator = sim.make_operator(self.identity, self.link)
        self.task = sim.loop.create_task(self.operator.run())
        self.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.sim.failed(Violation(f"operator {self.identity} has ended: {task.exception()!r}"))
        if not self.sim.over:
            self.sim.loop.call_later(self.sim.weather.takes_s(), self.start)

    def crash(self) -> None:
        """Ends at once; what it has sent is on its way."""
        assert self.link is not None
        self.link.alive = False
        self.sim.weather.losses += 1
        self.stop()

    def stop(self) -> None:
        """Ends in peace: gives the lease back."""
        if self.task is not None:
            self.task.cancel()


@dataclass
class Simulation:
    """See the module.

    Attributes:
        seed: What decides everything.
        chaos_s: How long anything may happen; -1: as the seed says.
        trace: Where what happens is told, a line each.
        acts: What may happen; None: anything.
        climate: What of the weather is not as the seed says.
    """

    seed: int
    chaos_s: float = -1.0
    trace: Callable[[str], None] | None = None
    acts: Sequence[users.Act] | None = None
    climate: Mapping[str, float] = field(default_factory=dict)
    loop: VirtualLoop = field(default_factory=VirtualLoop)
    processes: list[Process] = field(default_factory=list)
    over: bool = False
    _failure: Exception | None = None

    def __post_init__(self) -> None:
        """Makes the world."""
        random = Random(self.seed)
        self.weather = replace(Weather.of(random), **self.climate)  # type: ignore[arg-type]
        self.server = Server(self.loop)
        self.controllers = Controllers(self.loop, self.server, self.weather)
        self.leaders = Leaders(self.loop, self.server, self.controllers, self.weather)
        self.leaders.durable = random.random() < 0.9
        self.secured = random.random() < 0.1
        self.checks = Checks(self.server, self.leaders, self.weather, self.say, self.failed)
        self.leaders.on_deed = self.checks.done
        if self.chaos_s < 0:
            self.chaos_s = random.uniform(20, 120)
        self.pause_s = random.choice([1.0, 4.0, 12.0])

    def say(self, text: str) -> None:
        """Tells what happens."""
        if self.trace is not None:
            self.trace(f"{self.loop.time():8.2f} {text}")

    def failed(self, error: Exception) -> None:
        """Something is wrong: the first is what counts."""
        self._failure = self._failure or error

    def make_operator(self, identity: str, link: Link) -> Operator:
        """A process's."""
        return Operator(
            ServerLink(link, self.server),
            LeaderLink(link, self.leaders),
            [NAMESPACE],
            Lease(identity, "limnad-operator", NAMESPACE),
            resync_s=RESYNC_S,
            clock_s=self.loop.time,
            wall_s=lambda: START_S + self.loop.time(),
        )

    # -- what happens --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """All of it.

        Raises:
            Violation: What must be so is not.
        """
        self.loop.set_exception_handler(self._unexpected)
        faults = _Faults(self)
        logger = logging.getLogger("limnad_operator")
        logger.addHandler(faults)
        before, logger.propagate = logger.propagate, False
        try:
            self.loop.run_until_complete(self._run())
        except NothingLeft:
            raise Violation("everybody waits for somebody") from None
        finally:
            logger.removeHandler(faults)
            logger.propagate = before
            self.loop.close()
        if self._failure is not None:
            raise self._failure

    def _unexpected(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        self.failed(error if isinstance(error, Exception) else Violation(str(context)))

    async def _run(self) -> None:
        secret = {"kind": "Secret", "metadata": {"name": users.SECRET, "namespace": NAMESPACE}}
        self.server.create({"apiVersion": "v1", **secret, "data": {"url": base64.b64encode(b"redis://").decode()}})
        users.make(self, "LimnadCluster", "c", users.cluster_spec(self))
        for identity in ("one", "two"):
            self.processes.append(Process(self, identity))
            self.processes[-1].start()
        await self._chaos()
        if self._failure is None:
            await self._quiet()
        if self._failure is None:
            operators = [each.operator for each in self.processes if each.operator is not None]
            for problem in Settled(self.server, self.leaders, self.checks, operators).problems():
                self.failed(Violation(problem))
        self.over = True
        for process in self.processes:
            process.crash()
        await self._end_all()

    async def _end_all(self) -> None:
        rest = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        for task in rest:
            task.cancel()
        with contextlib.suppress(BaseExceptionGroup):
            await asyncio.gather(*rest, return_exceptions=True)

    async def _chaos(self) -> None:
        if self.weather.chance(0.7):  # Else anything may happen before there is anything.
            await asyncio.sleep(30.0)
        ends_s = self.loop.time() + self.chaos_s
        while self.loop.time() < ends_s and self._failure is None:
            await asyncio.sleep(self.weather.between(0, 2) ** 2 / 2 * self.pause_s)
            self.say(f"== {users.act(self)}")

    async def _quiet(self) -> None:
        self.say("== quiet")
        self.weather.clear_up()
        self.server.down = False
        self.controllers.heal()
        for process in self.processes:
            if process.link is not None:
                process.link.reset()
        ends_s = self.loop.time() + PATIENCE_S
        changes = -1
        while changes != self.checks.changes:
            if self.loop.time() > ends_s:
                return self.failed(Violation(f"it does not settle within {PATIENCE_S:g} s: {self.checks.newest}"))
            if self._failure is not None:
                return None
            changes = self.checks.changes
            await asyncio.sleep(SILENT_S)
        return None


class _Faults(logging.Handler):
    """An operator that says that it has a fault has one."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__(logging.INFO)
        self._sim = sim

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self._sim.say(f"   log: {record.getMessage()}")
        if record.levelno >= logging.ERROR:
            error = record.exc_info[1] if record.exc_info else None
            self._sim.failed(error if isinstance(error, Exception) else Violation(record.getMessage()))


def simulate(seed: int, **options: Any) -> Simulation:
    """Runs one seed; for options see `Simulation`.

    Raises:
        Violation: What must be so is not.
    """
    simulation = Simulation(seed, **options)
    try:
        simulation.run()
    except Violation as error:
        raise Violation(f"seed {seed}: {error}") from None
    return simulation
