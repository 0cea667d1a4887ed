"""The gallery shows every example, with a picture, and says truly how long they are."""

from __future__ import annotations

import pytest

from docs.gallery.__main__ import PAGE, PICTURES, sections_of
from docs.gallery.examples import EXAMPLES
from docs.gallery.sizes import APPLICATIONS, ROOT, code_lines, size, table

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_sizes_are_those_of_the_code() -> None:
    assert table() in TEXT, "script/gallery writes the page anew"
    assert all(size(application) > 0 for application in APPLICATIONS)


def test_every_example_is_shown_with_its_picture() -> None:
    files = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert {example.name for example in EXAMPLES} == files
    assert sections_of(TEXT).keys() == files
    assert {path.name for path in PICTURES.iterdir()} == {f"{name}.svg" for name in files}
    for example in EXAMPLES:
        shown = sections_of(TEXT)[example.name]
        assert f"pictures/gallery/{example.name}.svg" in shown
        assert f"$ {example.typed}" in shown, "script/gallery NAME writes one of them anew"


def test_what_is_no_code_is_not_counted() -> None:
    source = '''"""A module."""

# A comment.
X = 1  # and one
"""Of X."""


@property
def f():
    """Two
    lines."""

    return (
        2,
    )


class C:
    y = "a string"
'''
    assert code_lines(source) == 8
    assert code_lines(source, frozenset({"f"})) == 5
    assert code_lines(source, frozenset({"C"})) == 2
    with pytest.raises(KeyError):
        code_lines(source, frozenset({"g"}))
