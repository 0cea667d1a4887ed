"""What no file of this repository may hold."""

import ast
import re
from typing import Final

from tests.tidy.conftest import Repository

# Folders of one person's machine; a test takes tmp_path instead. Written so that this file does not hold them.
MACHINE_PATH: Final = re.compile(r"(?<![\w.}~-])/(?:work|root|home|tmp)/")

# path -> why it may name such a folder.
MACHINE_PATH_EXCEPTIONS: Final[dict[str, str]] = {}


def sleeps(tree: ast.Module) -> list[int]:
    """Lines that import or reach time.sleep, under whatever name."""
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "time"
    }
    lines = []
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="time", names=names) if any(alias.name == "sleep" for alias in names):
                lines.append(node.lineno)
            case ast.Attribute(value=ast.Name(id=name), attr="sleep") if name in modules:
                lines.append(node.lineno)
            case _:
                pass
    return lines


def test_tests_wait_for_events_and_never_sleep(repository: Repository) -> None:
    found = [
        f"{repository.name(path)}:{line}"
        for path in repository.python("tests")
        for line in sleeps(repository.tree(path))
    ]
    assert found == []


def test_no_file_names_a_machines_folders(repository: Repository) -> None:
    found = []
    for path in repository.files:
        name = repository.name(path)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # binary
        found += [
            f"{name}:{number}"
            for number, line in enumerate(text.splitlines(), 1)
            if MACHINE_PATH.search(line) and name not in MACHINE_PATH_EXCEPTIONS
        ]
    assert found == []
