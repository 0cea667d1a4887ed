"""Many seeds, several numbers of workers: the invariants hold, and the outputs are those of one worker.

`LIMNAD_SEEDS` says how many seeds; 2,000 are run by ``script/simulate``, a bounded number here.
"""

import os

import pytest

from limnad.testing import run
from limnad.timely.progress import Accumulation
from tests.helpers.flows import FLOWS, in_order

SEEDS = int(os.environ.get("LIMNAD_SEEDS", "40"))
MODES = list(Accumulation)


@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize("name", FLOWS)
def test_outputs_equal_those_of_one_worker(name: str, workers: int) -> None:
    flow, epochs = FLOWS[name]
    expected = in_order(run(flow, {"numbers": epochs}, workers=1).outputs)
    for seed in range(SEEDS):
        mode = MODES[seed % len(MODES)]
        result = run(flow, {"numbers": epochs}, workers=workers, seed=seed, accumulation=mode)
        assert in_order(result.outputs) == expected, f"seed {seed}, {mode.value}"


def test_the_same_seed_gives_the_same_run() -> None:
    flow, epochs = FLOWS["collatz"]
    first = run(flow, {"numbers": epochs}, workers=3, seed=7)
    second = run(flow, {"numbers": epochs}, workers=3, seed=7)
    assert first.calls == second.calls
    other = run(flow, {"numbers": epochs}, workers=3, seed=8)
    assert first.calls != other.calls
