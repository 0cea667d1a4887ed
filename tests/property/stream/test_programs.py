"""Random programs of stream operators: each epoch's answer is that of all its rows at once, through kills too."""

from __future__ import annotations

from hypothesis import given

from limnad.testing import run
from tests.helpers.histories import SEEDS, WORKERS, examples, patient
from tests.helpers.restarting import restarted
from tests.helpers.stream_programs import Program, programs


@patient
@examples(in_ci=250, times=10)
@given(program=programs(), workers=WORKERS, seed=SEEDS)
def test_programs(program: Program, workers: int, seed: int) -> None:
    done = run(program.functions["job"], program.fed, workers=workers, seed=seed, check=False)
    program.check(done.outputs, f"{workers} workers, seed {seed}")


@patient
@examples(in_ci=100, times=10)
@given(program=programs(), seed=SEEDS)
def test_programs_that_are_killed(program: Program, seed: int) -> None:
    released, _ = restarted(program.functions["job"], program.fed, seed)
    found: dict[str, dict[int, object]] = {}
    for (name, epoch), batch in released.items():
        found.setdefault(name, {})[epoch] = batch
    program.check(found, f"restarted, seed {seed}")
