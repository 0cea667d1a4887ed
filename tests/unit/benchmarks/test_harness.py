import pytest

from benchmarks.harness import Aim, Better, Row, best_of, in_turn


def row(*, upside_down: bool = False, aim: Aim | None = None) -> Row:
    ours, theirs = [1.0, 2.0, 4.0], [2.0, 2.0, 2.0]
    return Row("work", "rival", "s", ours, theirs, Better.LESS, upside_down=upside_down, aim=aim)


def test_a_ratio_is_of_two_neighbours_and_the_median_counts() -> None:
    assert row().ratios == [0.5, 1.0, 2.0]
    assert row().ratio == 1.0
    assert row(upside_down=True).ratios == [2.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("aim", "verdict"), [(None, ""), (Aim(at_least=1), "yes"), (Aim(at_least=1.1), "**no**"), (Aim(at_most=1), "yes")]
)
def test_the_verdict_is_the_medians(aim: Aim | None, verdict: str) -> None:
    assert row(aim=aim).verdict == verdict


def test_sides_run_in_turn() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return 1.0

    in_turn(2, {"a": lambda: side("a"), "b": lambda: side("b")})
    assert order == ["a", "b", "a", "b"]


def test_the_best_baseline_has_the_best_median() -> None:
    measured = {"a": [3.0, 3.0, 3.0], "b": [1.0, 4.0, 4.0]}
    assert best_of(measured, Better.LESS) == "a"
    assert best_of(measured, Better.MORE) == "b"
