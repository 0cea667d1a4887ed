"""The CRDs, from the model: what `script/crds` writes into the chart.

A structural schema allows less than pydantic writes: no references, no titles, no alternatives. So references are put
in their places, what may be left out is a field that is not required, and a part whose fields have defaults gets an
empty default itself, because the API server fills in defaults only where there is something to fill. Where a part has
rules, its default says all, because the API server holds a default against them before it fills it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from limnad_operator.model.base import GROUP, VERSION
from limnad_operator.model.checkpoint import CheckpointSpec, CheckpointStatus
from limnad_operator.model.cluster import ClusterSpec, ClusterStatus
from limnad_operator.model.job import SPEC_RULES, JobSpec, JobStatus

HEADER = "# Generated from limnad_operator.model by script/crds: change it there.\n"

MAX_CLUSTER_NAME = 40
"""Letters of a cluster's name: a StatefulSet puts a digest behind it into a label, which has 63."""

_KEPT = {
    "type", "format", "description", "enum", "default", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties", "required",
}  # fmt: skip


def crds() -> dict[str, dict[str, Any]]:
    """All of them, by the plural of the kind."""
    return {
        "limnadclusters": _crd("LimnadCluster", ["lc"], _cluster_schema(), _CLUSTER_COLUMNS, scale=_SCALE),
        "limnadjobs": _crd("LimnadJob", ["lj"], _job_schema(), _JOB_COLUMNS),
        "limnadcheckpoints": _crd("LimnadCheckpoint", ["lcp"], _checkpoint_schema(), _CHECKPOINT_COLUMNS),
    }


def write(folder: Path) -> None:
    """Writes them as YAML."""
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    for name, crd in crds().items():
        whole = json.loads(json.dumps(crd))  # What is the same in two places is written twice, not by reference.
        text = yaml.safe_dump(whole, sort_keys=False, width=120, allow_unicode=True)
        (folder / f"{name}.yaml").write_text(HEADER + text, encoding="utf-8")


_SCALE = {
    "specReplicasPath": ".spec.workers.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def _column(name: str, path: str, type_: str = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, "jsonPath": path, **more}


_AGE = _column("Age", ".metadata.creationTimestamp", "date")
_CLUSTER_COLUMNS = [
    _column("Phase", ".status.phase"),
    _column("Workers", ".status.workers", description="Ready and wanted."),
    _column("Jobs", ".status.jobs", "integer"),
    _column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
    _column("Degraded", ".status.conditions[?(@.type=='Degraded')].status", priority=1),
    _column("Image", ".status.image", priority=1),
    _AGE,
]
_JOB_COLUMNS = [
    _column("Phase", ".status.phase"),
    _column("Width", ".status.width", "integer"),
    _column("Epoch", ".status.epoch", "integer"),
    _column("Checkpoint", ".status.checkpointTime", "date", description="Age of the newest one."),
    _column("Restarts", ".status.restarts", "integer"),
    _column("Cluster", ".status.cluster", priority=1),
    _column("Error", ".status.error", priority=1),
    _AGE,
]
_CHECKPOINT_COLUMNS = [
    _column("State", ".status.state"),
    _column("Job", ".spec.jobRef.name"),
    _column("Number", ".status.number", "integer"),
    _column("Bytes", ".status.sizeBytes", "integer"),
    _AGE,
]


def _crd(
    kind: str,
    short: list[str],
    schema: dict[str, Any],
    columns: list[dict[str, Any]],
    scale: dict[str, str] | None = None,
) -> dict[str, Any]:
    singular = kind.lower()
    subresources: dict[str, Any] = {"status": {}}
    if scale is not None:
        subresources["scale"] = scale
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": f"{singular}s",
                "singular": singular,
                "shortNames": short,
                "categories": ["limnad"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": subresources,
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _object(description: str, spec: dict[str, Any], status: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        **more,
    }


def _cluster_schema() -> dict[str, Any]:
    rules = [
        {
            "rule": f"self.metadata.name.size() <= {MAX_CLUSTER_NAME}",
            "message": f"a cluster's name has at most {MAX_CLUSTER_NAME} letters: pods' names are made from it",
        }
    ]
    return _object(
        "Workers, and what they share.",
        structural(ClusterSpec),
        structural(ClusterStatus),
        **{"x-kubernetes-validations": rules},
    )


def _job_schema() -> dict[str, Any]:
    spec = structural(JobSpec)
    spec["x-kubernetes-validations"] = SPEC_RULES
    return _object("A job, in a cluster that is there or with one of its own.", spec, structural(JobStatus))


def _checkpoint_schema() -> dict[str, Any]:
    spec = structural(CheckpointSpec)
    spec["x-kubernetes-validations"] = [
        {"rule": "self == oldSelf", "message": "a checkpoint is made once: make another object"}
    ]
    return _object(
        "One checkpoint, made on demand, which is kept as long as its object.", spec, structural(CheckpointStatus)
    )


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """A model as a structural schema."""
    schema = model.model_json_schema(by_alias=True)
    found = _structural(schema, schema.get("$defs", {}))
    assert isinstance(found, dict)
    return found


def _structural(schema: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    schema = _resolved(schema, parts)
    kept = {key: value for key, value in schema.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    if schema.get("default", ...) is None:
        del kept["default"]
    if "const" in schema:
        kept["enum"] = [schema["const"]]
    if "properties" in schema:
        required = schema.get("required", [])
        kept["properties"] = {
            name: _with_default(_structural(value, parts), given="anyOf" in value or name in required)
            for name, value in schema["properties"].items()
        }
    if "items" in schema:
        kept["items"] = _structural(schema["items"], parts)
    if isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = _structural(schema["additionalProperties"], parts)
    return kept


def _resolved(schema: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """Without references and without the alternative of being null; what stands beside a reference wins."""
    if "anyOf" in schema:
        (one,) = [each for each in schema["anyOf"] if each.get("type") != "null"]
        schema = {**one, **{key: value for key, value in schema.items() if key != "anyOf"}}
    if "$ref" in schema:
        part = parts[schema["$ref"].rpartition("/")[2]]
        return _resolved({**part, **{key: value for key, value in schema.items() if key != "$ref"}}, parts)
    return schema


def _with_default(schema: dict[str, Any], *, given: bool) -> dict[str, Any]:
    """Has a part with defaults of its own be there, unless it has to be given or may be missing."""
    inner = schema.get("properties", {})
    if not given and "required" not in schema and any("default" in each for each in inner.values()):
        ruled = "x-kubernetes-validations" in schema
        filled = {name: each["default"] for name, each in inner.items() if ruled and "default" in each}
        return {**schema, "default": schema.get("default", filled)}
    return schema


if __name__ == "__main__":
    write(Path(sys.argv[1]))
