"""The component folders are source roots, never packages; every package says what it is for."""

import ast
import operator
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.tidy.conftest import Repository

STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"]).resolve()


@pytest.fixture(scope="module")
def project(repository: Repository) -> dict[str, Any]:
    return tomllib.loads((repository.root / "pyproject.toml").read_text(encoding="utf-8"))


def test_source_roots_are_not_packages(repository: Repository) -> None:
    roots = [*repository.source_roots, repository.root / "tests"]
    assert [repository.name(root) for root in roots if not root.is_dir()] == []
    assert [repository.name(root) for root in roots if (root / "__init__.py").exists()] == []


def test_each_source_root_holds_one_package_that_the_wheel_takes(
    repository: Repository, project: dict[str, Any]
) -> None:
    packages = [package.parent for root in repository.source_roots for package in sorted(root.glob("*/__init__.py"))]
    assert [repository.name(package.parent) for package in packages] == [
        repository.name(root) for root in repository.source_roots
    ]
    assert [repository.name(package) for package in packages] == project["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    assert [repository.name(package) for package in packages if not (package / "py.typed").is_file()] == []


def test_operator_is_the_standard_library_here() -> None:
    assert Path(operator.__file__).resolve().is_relative_to(STANDARD_LIBRARY)


def test_operator_is_the_standard_library_in_a_new_process(repository: Repository) -> None:
    # -c puts the repository's root first in sys.path, which is where operator/ could shadow.
    command = [sys.executable, "-c", "import operator; print(operator.__file__)"]
    printed = subprocess.run(command, cwd=repository.root, check=True, capture_output=True, text=True).stdout
    assert Path(printed.strip()).resolve().is_relative_to(STANDARD_LIBRARY)


def test_public_packages_have_a_charter(repository: Repository) -> None:
    packages = repository.packages()
    assert packages
    silent = [package for package in packages if not ast.get_docstring(repository.tree(package / "__init__.py"))]
    assert [repository.name(package) for package in silent] == []


def test_the_installed_version_is_the_declared_one(project: dict[str, Any]) -> None:
    assert version("limnad") == project["project"]["version"], "run script/bootstrap to install anew"


def test_no_python_file_repeats_the_version(repository: Repository, project: dict[str, Any]) -> None:
    declared = project["project"]["version"]
    copies = [
        f"{repository.name(path)}:{node.lineno}"
        for path in repository.python()
        for node in ast.walk(repository.tree(path))
        if isinstance(node, ast.Constant) and node.value == declared
    ]
    assert copies == [], "ask importlib.metadata.version('limnad') instead"


def test_the_chart_carries_the_declared_version(repository: Repository, project: dict[str, Any]) -> None:
    # Helm cannot ask anybody, so a chart has to repeat the version, and this keeps the copy true.
    charts = [path for path in repository.files if path.name == "Chart.yaml"]
    stated = {
        (repository.name(chart), line.split(":", 1)[1].strip().strip("\"'"))
        for chart in charts
        for line in chart.read_text(encoding="utf-8").splitlines()
        if line.startswith(("version:", "appVersion:"))
    }
    assert stated == {(repository.name(chart), project["project"]["version"]) for chart in charts}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("limnad_worker.agent", {"polars", "numpy", "pydantic"}),
        ("limnad_coordinator.server", {"polars", "numpy", "pydantic"}),
        ("limnad.cli.run", {"polars", "numpy", "pydantic"}),
        ("limnad_worker.engine", {"rich", "typer"}),
    ],
)
def test_what_starts_often_loads_only_what_it_needs(module: str, heavy: set[str]) -> None:
    """Each of them is a quarter of a second of every run."""
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert module in loaded
    assert heavy.isdisjoint(loaded)
