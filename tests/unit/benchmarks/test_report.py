import pytest

from benchmarks.__main__ import PAGE, SUITES
from benchmarks.harness import Aim, Better, Row
from benchmarks.report import number, put_into, section, table

ROW = Row("work", "rival", "us", [1.0, 3.0], [2.0, 2.0], Better.LESS, aim=Aim(at_most=1), note="A note.")


def test_a_table_is_aligned_and_tells_each_note_once() -> None:
    lines = table([ROW, ROW]).splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        "work",
        "rival",
        "**1.00** (0.500 - 1.50)",
        "<= 1",
        "yes",
        "2.00 us",
        "2.00 us",
    ]
    assert lines[4:] == ["", "A note."]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.00"), (0.01234, "0.0123"), (99.5, "99.5"), (100.0, "100"), (12345.6, "12,346")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_section_replaces_the_one_before() -> None:
    page = put_into("x <!-- benchmark a -->old<!-- end --> <!-- benchmark b -->kept<!-- end -->", "a", "new")
    assert page == "x <!-- benchmark a -->\nnew\n<!-- end --> <!-- benchmark b -->kept<!-- end -->"


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the markers <!-- benchmark a -->"):
        put_into("", "a", "new")


def test_the_page_has_a_place_for_each_suite() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for suite in SUITES:
        put_into(page, suite, section([ROW], 2, quick=True))
