"""The model, and the CRDs that are made from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
from pydantic import ValidationError

from limnad_operator.model import ClusterSpec, ClusterStatus, JobSpec, JobStatus, seconds
from limnad_operator.model.crd import crds

STRUCTURAL = {
    "type", "format", "description", "enum", "default", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "required", "properties", "items", "additionalProperties", "maxProperties",
}  # fmt: skip


def parts(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and all schemas in it, by path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from parts(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key], f"{path}[]")


def schema_of(plural: str) -> dict[str, Any]:
    found: dict[str, Any] = crds()[plural]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


@pytest.mark.parametrize("plural", list(crds()))
def test_a_crd_is_valid_and_structural(plural: str) -> None:
    kubernetes_validate.validate(crds()[plural], "1.36", strict=True)
    for path, part in parts(schema_of(plural)):
        odd = {key for key in part if key not in STRUCTURAL and not key.startswith("x-kubernetes-")}
        assert not odd, (path, odd)
        assert "type" in part or "x-kubernetes-int-or-string" in part, path


@pytest.mark.parametrize("plural", list(crds()))
def test_each_field_is_described(plural: str) -> None:
    spec = schema_of(plural)["properties"]["spec"]
    assert [path for path, part in parts(spec) if "description" not in part and not path.endswith("[]")] == []


def test_a_cluster_scales_by_what_its_schema_has() -> None:
    version = crds()["limnadclusters"]["spec"]["versions"][0]
    for path in version["subresources"]["scale"].values():
        inner = schema_of("limnadclusters")
        for name in path.strip(".").split("."):
            inner = inner["properties"][name]
    workers = schema_of("limnadclusters")["properties"]["spec"]["properties"]["workers"]
    assert workers["default"] == {}, "without it kubectl scale finds no replicas"
    assert workers["properties"]["replicas"]["default"] == 3


def test_what_is_optional_has_no_default() -> None:
    spec = schema_of("limnadclusters")["properties"]["spec"]
    assert "default" not in spec["properties"]["store"]
    assert spec["required"] == ["image"]


def test_durations() -> None:
    assert [seconds(text) for text in ("10s", "1h30m", "1.5m", "250ms", "2d")] == [10, 5400, 90, 0.25, 172800]
    with pytest.raises(ValidationError):
        ClusterSpec.model_validate({"image": "x", "checkpoint": {"interval": "soon"}})


def test_fields_of_a_newer_version_are_no_error() -> None:
    spec = JobSpec.model_validate({"source": {"inline": "x", "git": "y"}, "clusterRef": {"name": "c"}, "priority": 1})
    assert spec.cluster_ref is not None
    assert spec.restore == "Latest"


def test_a_status_survives_the_api_server() -> None:
    for status in (ClusterStatus(unready={"u": 1.5}, restarts=[2.0]), JobStatus(epoch=3, kicks=[1.0])):
        assert type(status).model_validate(status.plain()) == status
