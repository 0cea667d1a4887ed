"""What a drill's reader prints, held against the reference, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limnad.cli.drilled import Tally
from limnad_operator.drill.job import OUTPUT, Reference
from limnad_operator.drill.reading import Compared, Reading
from limnad_operator.drill.running import exit_code


def line(epoch: int, rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"output": OUTPUT, "epoch": epoch, "rows": rows}).encode()


@pytest.fixture
def lines() -> list[bytes]:
    reference = Reference()
    return [line(epoch, reference.advance_to(epoch)) for epoch in range(6)]


def read(lines: list[bytes]) -> Reading:
    reading = Reading()
    for each in lines:
        reading.saw(each)
    return reading


def test_what_is_right_loses_nothing_stretch_by_stretch(lines: list[bytes]) -> None:
    reading = read(lines[:2])
    assert (reading.take(), reading.last) == (Compared(26, 0, 0), 1)
    assert reading.take() == Compared(0, 0, 0)
    for each in lines[2:]:
        reading.saw(each)
    assert reading.take() == Compared(52, 0, 0)


def test_it_may_begin_later(lines: list[bytes]) -> None:
    assert read(lines[3:]).take() == Compared(39, 0, 0)


def test_what_is_no_epoch_is_kept_for_the_error(lines: list[bytes]) -> None:
    reading = Reading()
    assert not reading.saw(b"failed to try resolving symlinks in path: no such file or directory\n")
    assert reading.saw(lines[0])
    assert (reading.take(), reading.last) == (Compared(13, 0, 0), 0)
    assert reading.said.startswith("failed to try"), "as a kubelet answers that has no log of a pod yet"


def test_an_epoch_that_is_left_out_is_lost_also_between_two_stretches(lines: list[bytes]) -> None:
    assert read([*lines[:2], *lines[3:]]).take().lost == 13
    reading = read(lines[:2])
    reading.take()
    reading.saw(lines[3])
    assert reading.take() == Compared(26, 13, 0)


def test_a_wrong_total_is_lost(lines: list[bytes]) -> None:
    wrong = json.loads(lines[1])["rows"]
    wrong[0]["total"] += 1
    assert read([lines[0], line(1, wrong)]).take().lost == 2, "one is missing, one is there that should not be"


def test_what_comes_again_is_counted(lines: list[bytes]) -> None:
    reading = read([*lines[:3], lines[1]])
    assert reading.take().repeated == 1
    reading.saw(lines[0])
    assert reading.take().repeated == 1


@pytest.mark.parametrize(
    ("tallies", "everything", "code"),
    [
        ([Tally(times=1), Tally(times=3)], False, 0),
        ([Tally(times=1), Tally(times=1, lost=1)], True, 1),
        ([Tally(times=1), Tally(times=1, repeated=1)], True, 1),
        ([Tally(times=1), Tally(times=1, failed=1)], True, 1),
        ([Tally(times=1), Tally()], False, 1),
        ([Tally(times=1), Tally()], True, 0),
        ([Tally(), Tally()], True, 1),
    ],
)
def test_what_was_asked_for_by_name_has_to_strike(tallies: list[Tally], everything: bool, code: int) -> None:
    assert exit_code(dict(zip("ab", tallies, strict=True)), everything=everything) == code
