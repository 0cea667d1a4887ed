"""The whole operator under many seeds: its invariants hold at each moment, and in the end what runs is what is wanted.

`LIMNAD_OPERATOR_SEEDS` says how many seeds; ``script/operators`` runs a thousand, a bounded number is run here.
"""

from __future__ import annotations

import os

import pytest

from tests.helpers.operator_simulation import simulate, users

SEEDS = int(os.environ.get("LIMNAD_OPERATOR_SEEDS", "36"))
PARTS = 8
"""So that all processors have something to do."""

SLOW = {"tail": 0.3, "tail_s": 14.0}
JOBS = (users.job, users.change_job, users.rewrite, users.drop_job)
FOCUSED = {
    "jobs": {"acts": (*JOBS, users.checkpoint)},
    "pods": {"acts": (users.job, users.pod, users.scale, users.upgrade)},
    "slow": {"climate": SLOW},
    "takeovers": {"acts": (*JOBS, users.operator), "climate": {"lag_s": 15.0}},
}
"""Less happens, and that more often."""


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_it_ends_as_it_should(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        simulate(seed)


@pytest.mark.parametrize("focus", FOCUSED)
def test_when_one_kind_of_thing_happens_often(focus: str) -> None:
    for seed in range(SEEDS // 6):
        simulate(seed, **FOCUSED[focus])  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_run() -> None:
    told: list[list[str]] = [[], []]
    for each in told:
        simulate(3, trace=each.append)
    assert told[0] == told[1]
    assert len(told[0]) > 20
