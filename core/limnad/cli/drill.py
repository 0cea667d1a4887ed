"""``limnad drill``: runs a job under faults, and compares its outputs with those of a run without."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from limnad.cli.drilled import Tally, lost, show
from limnad.cli.relay import VARIABLE, Held, Relay, Way
from limnad.cli.terminal import console
from limnad.cli.watched import Epochs, WatchedRun
from limnad.errors import JobError, JobFailed

LIMIT_S = 3600.0
"""A single run that lasts longer is given up."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault can get at.

    Attributes:
        run: The processes.
        relay: The connections between them.
        random: Chooses.
    """

    run: WatchedRun
    relay: Relay
    random: Random

    def engine(self) -> list[int]:
        """One engine's process, or none if none works now."""
        engines = self.run.engines()
        return self.random.sample(engines, min(1, len(engines)))

    def server(self) -> str | None:
        """The address of the agent or of an engine that somebody is connected to."""
        targets = self.relay.targets()
        return self.random.choice(targets) if targets else None


Mend = Callable[[], object]
"""Takes a fault back, as far as that can be."""

Fault = Callable[[Scene], Mend | None]
"""Does something; None: there was nobody to do it to."""


def _nothing() -> None:
    pass


def _kill_worker(scene: Scene) -> Mend | None:
    """SIGKILL of one engine."""
    return _nothing if scene.run.kill(*scene.engine()) else None


def _kill_all_workers(scene: Scene) -> Mend | None:
    """SIGKILL of all engines."""
    return _nothing if scene.run.kill(*scene.run.engines()) else None


def _kill_agent(scene: Scene) -> Mend | None:
    """SIGKILL of the agent, with which its engines end."""
    return _nothing if scene.run.kill(scene.run.agent()) else None


def _kill_coordinator(scene: Scene) -> Mend | None:
    """SIGKILL of the coordinator."""
    return _nothing if scene.run.kill(scene.run.coordinator()) else None


def _kill_twice(scene: Scene) -> Mend | None:
    """SIGKILL of an engine, and of one of those that take over, while they restore."""
    before = scene.run.engines()
    if not scene.run.kill(*scene.engine()):
        return None
    until_s = time.monotonic() + TAKE_OVER_S
    while time.monotonic() < until_s:
        if new := set(scene.run.engines()) - set(before):
            scene.run.kill(*new)
            break
    return _nothing


def _freeze_worker(scene: Scene) -> Mend | None:
    """SIGSTOP of an engine; SIGCONT when others have taken over."""
    hit = scene.engine()
    return (lambda: scene.run.signal(signal.SIGCONT, *hit)) if scene.run.signal(signal.SIGSTOP, *hit) else None


def _reset(scene: Scene) -> Mend | None:
    """A TCP reset of all connections to the agent or to an engine."""
    server = scene.server()
    return _nothing if server and scene.relay.reset(server) else None


def _partition(scene: Scene) -> Mend | None:
    """Nothing passes to or from the agent or an engine, new connections neither, until it heals."""
    server = scene.server()
    return _held(scene, lambda target, _: target == server) if server else None


def _one_way(scene: Scene) -> Mend | None:
    """An engine or the agent hears nothing any more, and is heard, until it heals."""
    server = scene.server()
    return _held(scene, lambda target, way: (way is Way.IN) is (target == server)) if server else None


def _held(scene: Scene, held: Held) -> Mend:
    scene.relay.hold(held)
    return lambda: scene.relay.hold(None)


def _slow_links(scene: Scene) -> Mend | None:
    """Each connection carries 20 KB/s, until it heals."""
    scene.relay.slow(20_000)
    return lambda: scene.relay.slow(None)


FAULTS: dict[str, Fault] = {
    fault.__name__.removeprefix("_").replace("_", "-"): fault
    for fault in (
        _kill_worker,
        _kill_all_workers,
        _kill_agent,
        _kill_coordinator,
        _kill_twice,
        _freeze_worker,
        _reset,
        _partition,
        _one_way,
        _slow_links,
    )
}
"""What can be done to a run, by name."""

DEFAULT_FAULTS = "kill-worker,kill-all-workers,kill-agent,reset"

KILL_COORDINATOR = "kill-coordinator"
"""There is one only in the global modes."""

TAKE_OVER_S = 20.0
"""So long `_kill_twice` waits for its second victim."""

HEALED_S = (0.5, 12.0)
"""A fault that does not pass by itself lasts so long, from and to, or until the next epoch is printed."""


TRIES = 3
"""As many runs are made for each fault until all have struck: one may end before, or have nobody there to strike."""


@dataclass(frozen=True)
class DrillOptions:
    """What was asked for; see `limnad.cli.app.drill`."""

    run: Sequence[str]
    workers: int
    progress: str
    checkpoint_s: float
    store: str | None
    faults: Sequence[str]
    minutes: float
    seed: int
    as_json: bool


def run_drill(options: DrillOptions) -> int:
    """Strikes run after run until the time is up; returns the exit code: 0 if every fault struck and nothing was lost.

    Raises:
        JobError: A fault has no such name, or nobody to strike.
        JobFailed: The job fails without any fault.
    """
    faults = _faults(options)
    if unknown := sorted(set(faults) - FAULTS.keys()):
        raise JobError(f"there is no fault {unknown[0]!r}; there are: {', '.join(FAULTS)}")
    say = console(stderr=True).print
    expected, printing_s = _reference(options)
    rows = sum(map(len, expected.values()))
    say(f"without faults: {rows:,} rows in {len(expected):,} epochs")
    random = Random(options.seed)
    tallies = {fault: Tally() for fault in faults}
    until_s = time.monotonic() + options.minutes * 60
    turn = 0
    while time.monotonic() < until_s or turn < len(faults) or (_idle(tallies) and turn < TRIES * len(faults)):
        fault = faults[turn % len(faults)]
        turn += 1
        tally = tallies[fault]
        if error := _struck(options, fault, expected, random, printing_s, tally):
            say(f"run {turn}, {fault}: the job failed: {error}")
        say(f"run {turn}, {fault}: times struck so far {tally.times}, rows lost {tally.lost}")
    show(tallies, options.as_json)
    if idle := _idle(tallies):
        say(f"nothing was shown of {', '.join(idle)}: the job ended before it struck. Give it more rows or epochs.")
    return int(any(not tally.times or tally.failed or tally.lost or tally.repeated for tally in tallies.values()))


def _faults(options: DrillOptions) -> Sequence[str]:
    """What was asked for; a coordinator can be killed where there is one."""
    alone = "global" not in options.progress
    if alone and KILL_COORDINATOR in options.faults:
        raise JobError("the job has no coordinator to kill: give it one with --progress local+global")
    everything = [name for name in FAULTS if not (alone and name == KILL_COORDINATOR)]
    return everything if options.faults == ["all"] else options.faults


def _idle(tallies: Mapping[str, Tally]) -> list[str]:
    """The faults that never struck."""
    return [fault for fault, tally in tallies.items() if not tally.times and not tally.failed]


def _reference(options: DrillOptions) -> tuple[Epochs, float]:
    """What a run without faults prints, and how long it does so from its first epoch on."""
    run = WatchedRun([*options.run, "-w", str(options.workers)], LIMIT_S)
    run.until(1)
    began_s = time.monotonic()
    if run.finish():
        raise JobFailed(f"the job fails without any fault: {_why(run)}")
    return run.epochs, time.monotonic() - began_s


def _why(run: WatchedRun) -> str:
    """What a run that failed said of it."""
    return str(run.summary.get("error") or run.errors.strip().removeprefix("error: "))


def _struck(
    options: DrillOptions, fault: str, expected: Epochs, random: Random, printing_s: float, tally: Tally
) -> str:
    """One run under one kind of fault; returns why it failed, if it did."""
    with tempfile.TemporaryDirectory(prefix="limnad-drill-") as folder:
        store = options.store or f"dir:{folder}"
        name = f"drill-{random.getrandbits(64):016x}"
        keeping = [
            "--store",
            store,
            "--name",
            name,
            "--checkpoint",
            str(options.checkpoint_s),
            "--max-restarts",
            "1000000",
        ]
        with Relay() as relay:
            run = WatchedRun([*options.run, "-w", str(options.workers), *keeping], LIMIT_S, {VARIABLE: relay.proxy})
            watcher = _Watcher(run)
            scene = Scene(run, relay, random)
            watcher.wait_for_next()
            while watcher.is_alive():
                watcher.join(random.uniform(0.0, max(0.5, printing_s / 2)))
                if watcher.is_alive():
                    _strike(FAULTS[fault], scene, watcher, tally)
        tally.runs += 1
        tally.rows += sum(map(len, expected.values()))
        tally.lost += lost(expected, run.epochs)
        tally.repeated += len(run.repeated)
        if not watcher.failed:
            return ""
        tally.failed += 1
        return _why(run)


def _strike(fault: Fault, scene: Scene, watcher: _Watcher, tally: Tally) -> None:
    struck_s = time.monotonic()
    mend = fault(scene)
    if mend is None:
        return
    tally.times += 1
    came = watcher.wait_for_next(scene.random.uniform(*HEALED_S))
    mend()
    if came or watcher.wait_for_next():
        tally.recovery_s.append(time.monotonic() - struck_s)


class _Watcher(threading.Thread):
    """Reads a run's epochs as they come."""

    def __init__(self, run: WatchedRun) -> None:
        super().__init__(daemon=True)
        self._run = run
        self._news = threading.Condition()
        self._ended = False
        self.failed = False
        self.printed = 0
        self.start()

    def run(self) -> None:
        for _ in self._run.lines():
            with self._news:
                self.printed += 1
                self._news.notify_all()
        self.failed = self._run.finish() != 0
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for_next(self, limit_s: float | None = None) -> bool:
        """Waits for the next epoch; False if the run ended without one, or it took too long."""
        with self._news:
            before = self.printed
            self._news.wait_for(lambda: self.printed > before or self._ended, limit_s)
            return self.printed > before
