"""Files stay under 500 lines and functions under 70."""

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.conftest import Repository

FILE_LINES: Final = 500
FUNCTION_LINES: Final = 70

# "path" or "path::function" -> why it may be longer.
EXCEPTIONS: Final[dict[str, str]] = {}


def functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    """Name and length of each function, decorators not counted, methods and inner ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}::{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1
        yield from functions(node, prefix)


@pytest.fixture(scope="module")
def too_long(repository: Repository) -> dict[str, int]:
    found = {}
    for path in repository.python():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines >= FILE_LINES:
            found[repository.name(path)] = lines
        lengths = functions(repository.tree(path), repository.name(path))
        found |= {name: length for name, length in lengths if length >= FUNCTION_LINES}
    return found


def test_files_and_functions_are_short(too_long: dict[str, int]) -> None:
    assert {name: lines for name, lines in too_long.items() if name not in EXCEPTIONS} == {}


def test_exceptions_are_still_needed_and_say_why(too_long: dict[str, int]) -> None:
    assert [name for name in EXCEPTIONS if name not in too_long] == []
    assert [name for name, reason in EXCEPTIONS.items() if not reason] == []
