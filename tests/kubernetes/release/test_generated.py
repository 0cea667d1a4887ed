"""The generated files of the chart are current, and every value is described."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helm.generate.__main__ import write
from helm.generate.readme import values
from tests.helpers.charts import CHART

ROOT = CHART.parents[1]
LOCKS = ("runtime", "build")


def test_what_is_generated_is_current(tmp_path: Path) -> None:
    write(tmp_path)
    fresh = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    stale = [path for path in fresh if (tmp_path / path).read_bytes() != (CHART / path).read_bytes()]
    assert stale == [], "run script/chart"
    kept = {path.relative_to(CHART) for path in (CHART / "files" / "dashboards").iterdir()}
    assert kept == {path for path in fresh if path.parts[0] == "files"}, "remove dashboards that are no more"


def test_every_value_has_a_comment() -> None:
    described = {path for path, _, _ in values()}
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert [path for path in leaves(defaults) if not {path, *parents(path)} & described] == []


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(missing(schema, defaults)) == {("global",), ("cluster", "workers", "template", "...")}


def leaves(value: Any, *path: str) -> Iterator[str]:
    """Paths of all values that hold no others."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, *path, name)
    else:
        yield ".".join(path)


def parents(path: str) -> Iterator[str]:
    names = path.split(".")
    for length in range(1, len(names)):
        yield ".".join(names[:length])


def missing(schema: Any, value: Any, *path: str) -> list[tuple[str, ...]]:
    """Properties of a schema that values.yaml does not show; of an empty object all at once."""
    found = []
    for name, part in schema.get("properties", {}).items():
        if name not in value:
            found.append((*path, name))
        elif isinstance(value[name], dict):
            hidden = missing(part, value[name], *path, name)
            found += hidden if value[name] else [(*path, name, "...")] * bool(hidden)
    return found


def wanted(lock: str) -> list[str]:
    environment = os.environ | {"LIMNAD_PYTHON": sys.executable}
    command = [str(ROOT / "script" / "lock"), "--requirements", lock]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


def pins(lock: str) -> dict[str, list[str]]:
    """Each package of a lock file with the versions that it has, by markers, and with hashes."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if entry and not entry.startswith("#")]
    assert all("--hash=sha256:" in entry for entry in entries)
    found: dict[str, list[str]] = {}
    for entry in entries:
        requirement = Requirement(entry.split(" --hash")[0].strip())
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        found.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_is_of_the_declared_requirements(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    digest = hashlib.sha256("".join(f"{line}\n" for line in wanted(lock)).encode()).hexdigest()
    assert f"# requirements: sha256:{digest}" in text, "pyproject.toml has changed: run script/lock --keep"


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_satisfies_the_declared_requirements(lock: str) -> None:
    pinned = pins(lock)
    for line in wanted(lock):
        requirement = Requirement(line)
        versions = pinned[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), line


def test_the_lock_has_what_its_packages_need() -> None:
    pinned = pins("runtime")
    for name in pinned:
        try:
            needs = requires(name) or []
        except ModuleNotFoundError:
            continue  # Of another system, or of an extra that is not installed here.
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                assert canonicalize_name(need.name) in pinned, f"{name} needs {need}: run script/lock"
