"""A drill from its beginning to its table."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from limnad.cli.drilled import Tally, show
from limnad.errors import ClusterError
from limnad_operator.api import Api, open_client
from limnad_operator.drill.faults import FAULTS, Action, Recovery, Scale, Skipped, Strike, World, runs, whole
from limnad_operator.drill.job import job_manifest, reader_manifest
from limnad_operator.drill.striking import Striker, Switches
from limnad_operator.drill.watching import Watching
from limnad_operator.shell.observing import shape_of

WATCH_S = 60

AFTER = 10
"""So many more epochs are read when a fault is overcome, before what came is compared."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; see `limnad_operator.drill.__main__`."""

    namespace: str
    cluster: str
    faults: Sequence[str]
    minutes: float
    rounds: int
    limit_s: float
    image: str
    switches: Switches
    kubeconfig: str | None
    as_json: bool


def run(options: Options) -> int:
    """Strikes fault after fault; returns the exit code: 0 if what could strike did, and nothing was lost.

    Raises:
        ClusterError: There is no such fault or cluster; or the cluster is not well before anything is done to it.
        ApiError: The API server does not do it.
    """
    names = list(FAULTS) if list(options.faults) == ["all"] else options.faults
    if unknown := sorted(set(names) - FAULTS.keys()):
        raise ClusterError(f"there is no fault {unknown[0]!r}; there are: {', '.join(FAULTS)}")
    talker = open_client(options.kubeconfig)
    api = Api(talker, WATCH_S)
    with contextlib.closing(api):
        options = replace(options, cluster=options.cluster or _only_cluster(api, options.namespace))
        striker = Striker(api, talker, options.namespace, options.cluster, options.switches)
        with _running_job(api, options) as watching:
            drill = _Drill(options, watching, striker, {name: Tally() for name in names})
            before = watching.world().replicas
            try:
                drill.strike_all()
            finally:
                if watching.world().replicas != before:
                    striker.do(Scale(before))
    show(drill.tallies, options.as_json)
    return exit_code(drill.tallies, everything=list(options.faults) == ["all"])


def exit_code(tallies: Mapping[str, Tally], *, everything: bool) -> int:
    """0: nothing was lost, and each fault that was asked for by its name has struck; of everything, what could."""
    bad = any(tally.failed or tally.lost or tally.repeated for tally in tallies.values())
    idle = [not tally.times for tally in tallies.values()]
    return int(bad or all(idle) or (any(idle) and not everything))


def _only_cluster(api: Api, namespace: str) -> str:
    found = [each["metadata"]["name"] for each in api.list("LimnadCluster", namespace).items]
    if len(found) != 1:
        there = f"{len(found)} clusters ({', '.join(found)})" if found else "no cluster"
        raise ClusterError(f"namespace {namespace} has {there}: say which with --namespace and --cluster")
    return str(found[0])


@contextlib.contextmanager
def _running_job(api: Api, options: Options) -> Iterator[Watching]:
    """The job and its reader, until the first epoch is read; both are deleted at the end."""
    cluster = api.get("LimnadCluster", options.namespace, options.cluster)
    if cluster is None:
        raise ClusterError(f"namespace {options.namespace} has no cluster {options.cluster}: kubectl get limnad -A")
    name = f"drill-{secrets.token_hex(3)}"
    made = [api.create(job_manifest(options.namespace, name, options.cluster))]
    try:
        with Watching(api, options.namespace, options.cluster, name) as watching:
            if not watching.wait(runs, options.limit_s):
                raise ClusterError(f"the job does not run: kubectl describe -n {options.namespace} limnadjob/{name}")
            job = watching.world().job["status"]["job"]
            made.append(api.create(reader_manifest(shape_of(cluster), name, job)))
            if not watching.wait(lambda world: _started(world.pods, name), options.limit_s):
                raise ClusterError(f"the reader does not start: kubectl describe -n {options.namespace} pod/{name}")
            watching.read(name)
            if not watching.wait(lambda world: world.epoch >= 0 and world.checkpoint > 0, options.limit_s):
                raise ClusterError(
                    f"no epoch or no checkpoint: kubectl describe -n {options.namespace} limnadjob/{name}"
                )
            yield watching
    finally:
        for each in reversed(made):
            metadata = each["metadata"]
            api.delete(each["kind"], options.namespace, metadata["name"], uid=metadata["uid"])


def _has_read(epoch: int, world: World) -> bool:
    return world.epoch >= epoch


def _started(pods: Sequence[dict[str, dict[str, object]]], name: str) -> bool:
    return any(pod["metadata"]["name"] == name and pod["status"].get("phase") != "Pending" for pod in pods)


@dataclass
class _Drill:
    """Fault after fault.

    Attributes:
        tallies: What became of each.
    """

    options: Options
    watching: Watching
    striker: Striker
    tallies: dict[str, Tally]

    def strike_all(self) -> None:
        """Round after round, as many as were asked for, and until the time is up."""
        until_s = time.monotonic() + self.options.minutes * 60
        turn = 0
        while turn < self.options.rounds or time.monotonic() < until_s:
            turn += 1
            for name, tally in self.tallies.items():
                if not self._strike_once(name, tally):
                    return
            if not any(tally.times for tally in self.tallies.values()):
                return

    def _strike_once(self, name: str, tally: Tally) -> bool:
        """False: it was not overcome, so that nothing more can be shown."""
        world = replace(
            self.watching.world(),
            nodes=self.striker.nodes(),
            image=self.options.image,
            stops_nodes=bool(self.options.switches.off),
        )
        strikes = FAULTS[name](world)
        if isinstance(strikes, Skipped):
            _say(f"{name}: skipped: {strikes.why}")
            return True
        tally.runs += 1
        for strike in strikes:
            took_s = self._overcome(strike)
            tally.times += 1
            enough = self.watching.world().epoch + AFTER
            if took_s is not None and not self.watching.wait(partial(_has_read, enough), self.options.limit_s):
                took_s = None
            compared = self.watching.take()
            tally.rows += compared.rows
            tally.lost += compared.lost
            tally.repeated += compared.repeated
            if took_s is None:
                tally.failed += 1
                doubt = f". If nothing has happened at all, {strike.doubt}" if strike.doubt else ""
                what = ", ".join(map(str, strike.actions))
                _say(f"{name}: not overcome within {self.options.limit_s:g} s: {what}{doubt}")
                return False
            tally.recovery_s.append(took_s)
            _say(f"{name}: overcome after {took_s:.1f} s, {compared.rows:,} rows compared, {compared.lost} lost")
        return True

    def _overcome(self, strike: Strike) -> float | None:
        """Seconds until it was; None: it was not, or taking it back was not."""
        began_s = time.monotonic()
        took_s = None
        try:
            if all(self._done(action) for action in strike.actions):
                saw = Recovery(strike.well).saw
                took_s = time.monotonic() - began_s if self.watching.wait(saw, self.options.limit_s) else None
        finally:
            for action in strike.mend:
                self._done(action)
        if strike.mend and not self.watching.wait(whole, self.options.limit_s):
            return None
        return took_s

    def _done(self, action: Action) -> bool:
        """Does it as soon as it is allowed: it is tried again at each change."""
        return self.watching.wait(lambda _: self.striker.do(action), self.options.limit_s)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
