"""A loop in a loop: how many steps the Collatz sequence of each number takes to reach 1.

The inner loop halves while it can, the outer loop takes 3x + 1. Numbers of all epochs are in the loops at once, each at
its own time ``(epoch, outer trip, inner trip)``.

    limnad run examples/collatz.py -w 2 -a largest=30
"""

import limnad

Walk = tuple[int, int, int]  # where it started, where it is, how many steps it has taken


def job(flow: limnad.Flow, largest: int = 30, epochs: int = 2) -> None:
    numbers = flow.values([list(range(1 + epoch, largest + 1, epochs)) for epoch in range(epochs)], name="numbers")
    started = numbers.map(lambda number: (number, number, 0))
    finished = started.iterate(reach_one, name="3x + 1")
    finished.map(lambda walk: (walk[0], walk[2])).output("steps")


def reach_one(walks: limnad.RecordStream[Walk]) -> tuple[limnad.RecordStream[Walk], limnad.RecordStream[Walk]]:
    odd = walks.partition_by(lambda walk: walk[0]).iterate(halve, name="halve")
    again = odd.filter(lambda walk: walk[1] != 1).map(lambda walk: (walk[0], 3 * walk[1] + 1, walk[2] + 1))
    return again, odd.filter(lambda walk: walk[1] == 1)


def halve(walks: limnad.RecordStream[Walk]) -> tuple[limnad.RecordStream[Walk], limnad.RecordStream[Walk]]:
    again = walks.filter(lambda walk: walk[1] % 2 == 0).map(lambda walk: (walk[0], walk[1] // 2, walk[2] + 1))
    return again, walks.filter(lambda walk: walk[1] % 2 == 1)
