"""A drill takes back what it has done, whatever comes of it; and how a node is switched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from limnad.cli.drilled import Tally
from limnad.errors import ClusterError
from limnad_operator.drill import running
from limnad_operator.drill.faults import FAULTS, Action, Isolate, Strike, Switch, World
from limnad_operator.drill.reading import Compared
from limnad_operator.drill.striking import Striker, Switches
from limnad_operator.drill.watching import Watching

CUT = (Isolate("w", on=True),)
MENDED = (Isolate("w", on=False),)


@dataclass
class Doing:
    """A striker that remembers, and what is seen then."""

    done: list[Action] = field(default_factory=list)
    epoch: int = 0
    interrupted: bool = False
    comes_back: bool = True

    def nodes(self) -> tuple[str, ...]:
        return ()

    def do(self, action: Action) -> bool:
        self.done.append(action)
        return True

    def world(self) -> World:
        well = self.done == [*CUT, *MENDED] and self.comes_back
        cluster = {
            "metadata": {"name": "c"},
            "spec": {"workers": {"replicas": 0}},
            "status": {"phase": "Running" if well else "Pending"},
        }
        return World(cluster, {"status": {"phase": "Running"}}, epoch=self.epoch)

    def wait(self, good: Callable[[World], bool], limit_s: float) -> bool:
        for _ in range(20):
            if good(self.world()):
                return True
            if self.interrupted:
                raise KeyboardInterrupt
            self.epoch += 1
        return False

    def take(self) -> Compared:
        return Compared(10, 0, 0)


def drill(doing: Doing, monkeypatch: pytest.MonkeyPatch, *, well: bool = True) -> tuple[Any, Tally]:
    strike = Strike(CUT, lambda _: well, MENDED)
    monkeypatch.setattr(running, "FAULTS", {**FAULTS, "partition": lambda _: [strike]})
    options = running.Options("ns", "c", ["partition"], 0.0, 1, 5.0, "", Switches(), None, as_json=False)
    tally = Tally()
    made = running._Drill(options, cast(Watching, doing), cast(Striker, doing), {"partition": tally})
    return made, tally


def test_what_was_done_is_taken_back_when_it_is_overcome(monkeypatch: pytest.MonkeyPatch) -> None:
    doing = Doing()
    made, tally = drill(doing, monkeypatch)
    made.strike_all()
    assert doing.done == [*CUT, *MENDED]
    assert (tally.times, tally.failed, tally.rows) == (1, 0, 10)


def test_what_was_done_is_taken_back_when_it_is_not_overcome(monkeypatch: pytest.MonkeyPatch) -> None:
    doing = Doing()
    made, tally = drill(doing, monkeypatch, well=False)
    made.strike_all()
    assert doing.done == [*CUT, *MENDED]
    assert (tally.times, tally.failed) == (1, 1)


def test_what_was_done_is_taken_back_when_the_drill_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    doing = Doing(interrupted=True)
    made, _ = drill(doing, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        made.strike_all()
    assert doing.done == [*CUT, *MENDED]


def test_a_cluster_that_is_not_whole_again_has_not_overcome_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made, tally = drill(Doing(comes_back=False), monkeypatch)
    made.strike_all()
    assert (tally.times, tally.failed) == (1, 1)


def test_a_node_is_switched_by_the_command_for_it(capfd: pytest.CaptureFixture[str]) -> None:
    off = f"{sys.executable} -c 'import sys; sys.exit(sys.argv[1] != \"node one\")' {{node}}"
    switches = Switches(off, f"{sys.executable} -c 'import sys; sys.exit(\"no \" + sys.argv[1])' {{node}}")
    switches.flip(Switch("node one", on=False))
    with pytest.raises(ClusterError, match="exit code 1: no n1"):
        switches.flip(Switch("n1", on=True))
    with pytest.raises(ClusterError, match="does not switch node n1"):
        Switches("/nowhere/switch {node}", "x").flip(Switch("n1", on=False))
    assert capfd.readouterr() == ("", "")
