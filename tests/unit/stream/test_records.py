"""Record operators, against plain Python on each epoch's records, on any number of workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from limnad import Flow
from limnad.testing import run
from tests.helpers.restarting import restarted

EPOCHS = [["b", "a", "cc", "a", "ddd"], [], ["cc", "a"]]
PAIRS = [[("a", 3), ("b", 1), ("a", 2)], [], [("a", 5), ("c", 4)]]


def outputs(operator: Callable[[Any], Any], epochs: list[Any], workers: int) -> list[list[Any]]:
    def job(flow: Flow) -> None:
        operator(flow.input("x")).output("y")

    found = run(job, {"x": epochs}, workers=workers, seed=workers).outputs["y"]
    return [sorted(found[epoch]) for epoch in range(len(epochs))]


CASES: dict[str, tuple[Callable[[Any], Any], Callable[[list[str]], list[Any]]]] = {
    "map": (lambda s: s.map(str.upper), lambda e: [w.upper() for w in e]),
    "flat_map": (lambda s: s.flat_map(list), lambda e: [c for w in e for c in w]),
    "filter": (lambda s: s.filter(lambda w: len(w) > 1), lambda e: [w for w in e if len(w) > 1]),
    "distinct": (lambda s: s.distinct(), lambda e: list(set(e))),
    "count": (lambda s: s.count(), lambda e: [len(e)] if e else []),
    "min": (lambda s: s.min(), lambda e: [min(e)] if e else []),
    "max by length": (lambda s: s.max(key=len), lambda e: [max(sorted(e), key=len)] if e else []),
    "reduce": (lambda s: s.map(len).reduce(lambda a, b: a + b), lambda e: [sum(map(len, e))] if e else []),
    "aggregate": (
        lambda s: s.aggregate(lambda: 0, lambda total, w: total + len(w), lambda a, b: a + b),
        lambda e: [sum(map(len, e))] if e else [],
    ),
    "count_by_key": (lambda s: s.key_by(len).count_by_key(), lambda e: list(Counter(map(len, e)).items())),
    "group_by": (
        lambda s: s.group_by(len),
        lambda e: [(n, sorted(w for w in e if len(w) == n)) for n in set(map(len, e))],
    ),
    "keys": (lambda s: s.key_by(len).keys(), lambda e: [len(w) for w in e]),
    "values": (lambda s: s.key_by(len).map_values(str.upper).values(), lambda e: [w.upper() for w in e]),
}


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("name", CASES)
def test_each_epoch_is_answered_for_itself(name: str, workers: int) -> None:
    operator, expected = CASES[name]
    assert outputs(operator, EPOCHS, workers) == [sorted(expected(epoch)) for epoch in EPOCHS]


@pytest.mark.parametrize("workers", [1, 3])
def test_by_key(workers: int) -> None:
    assert outputs(lambda s: s.as_keyed().reduce_by_key(max), PAIRS, workers)[0] == [("a", 3), ("b", 1)]
    assert outputs(lambda s: s.as_keyed().min_by_key(), PAIRS, workers)[0] == [("a", 2), ("b", 1)]
    summed = outputs(lambda s: s.as_keyed().aggregate_by_key(lambda: 0, int.__add__, int.__add__), PAIRS, workers)
    assert summed == [[("a", 5), ("b", 1)], [], [("a", 5), ("c", 4)]]


JOINED = {
    "inner": [("a", (2, "x")), ("a", (3, "x"))],
    "left": [("a", (2, "x")), ("a", (3, "x")), ("b", (1, None))],
    "semi": [("a", 2), ("a", 3)],
    "anti": [("b", 1)],
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("how", JOINED)
def test_join(how: Any, workers: int) -> None:
    def job(flow: Flow) -> None:
        flow.input("x").as_keyed().join(flow.input("y").as_keyed(), how=how).output("z")

    found = run(job, {"x": PAIRS, "y": [[("a", "x"), ("q", "x")], [], []]}, workers=workers).outputs["z"]
    assert sorted(found[0], key=repr) == JOINED[how]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_scan_carries_state_in_the_order_of_epochs(workers: int) -> None:
    found = outputs(
        lambda s: s.as_keyed().scan(list, lambda seen, value: ([*seen, value], (*seen, value))), PAIRS, workers
    )
    assert found == [[("a", (2,)), ("a", (2, 3)), ("b", (1,))], [], [("a", (2, 3, 5)), ("c", (4,))]]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_keys_values_are_scanned_in_order_whatever_other_keys_have(workers: int) -> None:
    """Keys and values that do not compare left all others of their worker in the order of arrival."""
    pairs = [("a", 3), ("b", None), ("b", 1), (None, 2), (7, 2), ("a", 1), ("a", 2)]

    def job(flow: Flow) -> None:
        flow.input("x").as_keyed().scan(lambda: (), lambda seen, value: ((*seen, value), (*seen, value))).output("y")

    found = run(job, {"x": [pairs]}, workers=workers, seed=workers).outputs["y"][0]
    assert [seen for key, seen in found if key == "a"] == [(1,), (1, 2), (1, 2, 3)]


NANS = [float("nan"), 1.0, -float("nan"), float("nan"), 1.0]


def anew(stream: Any) -> Any:
    """Each NaN a float of its own, as when it has crossed workers."""
    return stream.map(lambda x: float(str(x))).key_by(lambda x: x)


OF_NANS: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "distinct": (lambda s: s.distinct(), ["1.0", "nan"]),
    "of tuples": (lambda s: s.map(lambda x: (x, "a")).distinct(), ["(1.0, 'a')", "(nan, 'a')"]),
    "count_by_key": (lambda s: s.key_by(lambda x: x).count_by_key(), ["(1.0, 2)", "(nan, 3)"]),
    "group": (lambda s: s.key_by(lambda x: x).map_values(str).group().keys(), ["1.0", "nan"]),
    "join": (
        lambda s: anew(s.distinct()).join(anew(s)).keys(),
        ["1.0", "1.0", "nan", "nan", "nan"],
    ),
    "semi join": (
        lambda s: s.distinct().key_by(lambda x: x).join(s.key_by(lambda x: x), "semi").keys(),
        ["1.0", "nan"],
    ),
    "anti join": (lambda s: anew(s).join(anew(s), "anti").keys(), []),
    "scan": (
        lambda s: s.key_by(lambda x: x).scan(lambda: 0, lambda n, _: (n + 1, n)),
        ["(1.0, 0)", "(1.0, 1)", "(nan, 0)", "(nan, 1)", "(nan, 2)"],
    ),
    "min": (lambda s: s.min(), ["1.0"]),
    "max": (lambda s: s.map(lambda x: (x, "a")).max(key=lambda pair: pair[0]), ["(1.0, 'a')"]),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", OF_NANS)
def test_all_nans_are_one_key_and_no_extreme(name: str, seed: int) -> None:
    def job(flow: Flow) -> None:
        OF_NANS[name][0](anew(flow.input("x")).keys()).output("y")

    found = run(job, {"x": [NANS]}, workers=1 + seed % 3, seed=seed).outputs["y"][0]
    assert sorted(map(repr, found)) == OF_NANS[name][1]


def test_a_nan_as_a_key_has_its_state_after_a_restart() -> None:
    epochs = [[(float("nan"), n)] for n in range(12)]

    def job(flow: Flow) -> None:
        flow.input("x").as_keyed().scan(lambda: 0, lambda n, _: (n + 1, n)).output("y")

    for seed in range(4):
        released, _ = restarted(job, {"x": epochs}, seed, max_ticks=150)
        assert [released["y", epoch][0][1] for epoch in range(12)] == [*range(12)]


def test_subscribe_fires_once_for_every_epoch() -> None:
    seen: list[tuple[int, Any]] = []

    def job(flow: Flow) -> None:
        flow.input("x").partition_by(len).map(str.upper).subscribe(
            lambda epoch, rows: seen.append((epoch, sorted(rows)))
        )

    run(job, {"x": EPOCHS}, workers=3, seed=9)
    assert seen == [(0, ["A", "A", "B", "CC", "DDD"]), (1, []), (2, ["A", "CC"])]
