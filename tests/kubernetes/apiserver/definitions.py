"""Schemas of the kinds that every server has: Kubernetes' own, as the package kubernetes-validate carries them.

They say which fields there are, of which types, which lists are maps by which keys, and which are sets: what patches,
server-side apply and the check for unknown fields go by.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any, Final

from tests.kubernetes.apiserver.objects import Object

VERSION: Final = "1.33"
"""The release that the server says it is of: kubectl picks its own by it."""

_PREFIX: Final = "#/$defs/"


@functools.cache
def definitions() -> dict[str, Object]:
    """All, by their full names."""
    folder = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{VERSION}.0-local"
    found: dict[str, Object] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    return found


@functools.cache
def _names() -> dict[tuple[str, str, str], str]:
    return {
        (each["group"], each["version"], each["kind"]): name
        for name, definition in definitions().items()
        for each in definition.get("x-kubernetes-group-version-kind", [])
    }


def definition_name(group: str, version: str, kind: str) -> str:
    """The full name of a kind's definition; empty: there is none."""
    return _names().get((group, version, kind), "")


def definition_of(group: str, version: str, kind: str) -> Object:
    """The schema of a kind; empty where it is not known."""
    name = definition_name(group, version, kind)
    return definitions()[name] if name else {}


def resolved(schema: Any) -> Object:
    """The schema that a reference stands for; a schema that is none is its own."""
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref", "")
    return definitions().get(reference.removeprefix(_PREFIX), {}) if reference else schema


OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def object_meta() -> Object:
    """The schema of metadata, which custom resources have as well."""
    return definitions()[OBJECT_META]
