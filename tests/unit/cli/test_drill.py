"""When a drill goes on, and what it makes of its runs; without any run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from limnad.cli import drill
from limnad.cli.drill import TRIES, DrillOptions, run_drill
from limnad.cli.drilled import Tally

OPTIONS = DrillOptions(
    run=["job.py"],
    workers=2,
    progress="local",
    checkpoint_s=1.0,
    store=None,
    faults=["kill-worker", "reset"],
    minutes=0.0,
    seed=0,
    as_json=True,
)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, Tally], str]], list[str]]:
    """Puts something in the place of runs; gives the list of their faults."""

    def put(struck: Callable[[str, Tally], str]) -> list[str]:
        made: list[str] = []

        def run(_: Any, fault: str, *rest: Any) -> str:
            made.append(fault)
            tally: Tally = rest[-1]
            tally.runs += 1
            return struck(fault, tally)

        monkeypatch.setattr(drill, "_reference", lambda _: ({}, 1.0))
        monkeypatch.setattr(drill, "_struck", run)
        return made

    return put


def test_each_fault_gets_one_run_if_it_strikes(runs: Any) -> None:
    def strike(_: str, tally: Tally) -> str:
        tally.times += 1
        return ""

    made = runs(strike)
    assert run_drill(OPTIONS) == 0
    assert made == ["kill-worker", "reset"]


def test_a_fault_that_did_not_strike_gets_more_runs(runs: Any) -> None:
    def strike(fault: str, tally: Tally) -> str:
        tally.times += fault == "reset" or tally.runs > 1
        return ""

    made = runs(strike)
    assert run_drill(OPTIONS) == 0
    assert made == ["kill-worker", "reset", "kill-worker"]


def test_a_fault_that_never_strikes_shows_nothing_and_fails(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = runs(lambda *_: "")
    assert run_drill(OPTIONS) == 1
    assert len(made) == TRIES * 2
    assert "nothing was shown of kill-worker, reset" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["failed", "lost", "repeated"])
def test_what_went_wrong_fails_the_drill(runs: Any, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    def strike(_: str, tally: Tally) -> str:
        tally.times += 1
        setattr(tally, what, 1)
        return "it broke" if what == "failed" else ""

    runs(strike)
    assert run_drill(OPTIONS) == 1
    assert ("the job failed: it broke" in capsys.readouterr().err) is (what == "failed")
