"""What a package exports exists and is documented."""

import inspect
from collections.abc import Iterator
from importlib import import_module

from tests.tidy.conftest import Repository


def exports(repository: Repository) -> Iterator[tuple[str, str]]:
    """Package and name of all that stands in an ``__all__``."""
    for package in repository.packages():
        root = next(root for root in repository.source_roots if package.is_relative_to(root))
        name = ".".join(package.relative_to(root).parts)
        for export in getattr(import_module(name), "__all__", ()):
            yield name, export


def is_documented(value: object, name: str) -> bool:
    """Whether the thing has a docstring of its own, not one inherited or made up by dataclass."""
    if not (inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value)):
        return True  # a constant or an alias cannot carry one
    doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return bool(doc) and not str(doc).startswith(f"{name}(")


def test_exports_exist(repository: Repository) -> None:
    missing = [(package, name) for package, name in exports(repository) if not hasattr(import_module(package), name)]
    assert missing == []


def test_exports_are_documented(repository: Repository) -> None:
    silent = [
        (package, name)
        for package, name in exports(repository)
        if not is_documented(getattr(import_module(package), name, None), name)
    ]
    assert silent == []


def test_exports_are_listed_once(repository: Repository) -> None:
    listed = list(exports(repository))
    assert sorted(set(listed)) == sorted(listed)
