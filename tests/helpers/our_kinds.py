"""The chart's CRDs on an API server, for as long as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from tests.helpers.kube import until

CRDS = Path(__file__).parents[2] / "helm" / "limnad" / "crds"


@contextmanager
def our_kinds(api: Any) -> Iterator[None]:
    """Makes them, and deletes those that were not there before, with all their objects."""
    extensions: Any = client.ApiextensionsV1Api(api)
    with new_kinds_removed(api):
        there = _there(extensions)
        for definition in _definitions():
            if definition["metadata"]["name"] not in there:
                extensions.create_custom_resource_definition(definition)
                until(
                    extensions.list_custom_resource_definition,
                    field_selector=f"metadata.name={definition['metadata']['name']}",
                    good=lambda items: any(each.type == "Established" for each in items[0].status.conditions or []),
                )
        yield


@contextmanager
def new_kinds_removed(api: Any) -> Iterator[None]:
    """In the end deletes those that were not there before, with all their objects: Helm leaves them."""
    extensions: Any = client.ApiextensionsV1Api(api)
    before = _there(extensions)
    try:
        yield
    finally:
        new = _there(extensions) - before
        for definition in _definitions():
            if definition["metadata"]["name"] in new:
                _remove(api, extensions, definition["spec"])


def _definitions() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted(CRDS.iterdir())]


def _there(extensions: Any) -> set[str]:
    return {each.metadata.name for each in extensions.list_custom_resource_definition().items}


def _remove(api: Any, extensions: Any, spec: dict[str, Any]) -> None:
    """Deletes a kind, and waits until it can be made again."""
    custom: Any = client.CustomObjectsApi(api)
    group, version, plural = spec["group"], spec["versions"][0]["name"], spec["names"]["plural"]
    for item in custom.list_cluster_custom_object(group, version, plural)["items"]:
        if item["metadata"].get("finalizers"):  # Whoever would take them away has gone already.
            where = (group, version, item["metadata"]["namespace"], plural, item["metadata"]["name"])
            custom.patch_namespaced_custom_object(*where, {"metadata": {"finalizers": None}})
    name = f"{plural}.{group}"
    extensions.delete_custom_resource_definition(name)
    until(
        extensions.list_custom_resource_definition,
        field_selector=f"metadata.name={name}",
        good=lambda items: not items,
    )
