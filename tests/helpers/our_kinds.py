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
    there = {each.metadata.name for each in extensions.list_custom_resource_definition().items}
    made = []
    for path in sorted(CRDS.iterdir()):
        definition = yaml.safe_load(path.read_text())
        if definition["metadata"]["name"] not in there:
            extensions.create_custom_resource_definition(definition)
            until(
                extensions.list_custom_resource_definition,
                field_selector=f"metadata.name={definition['metadata']['name']}",
                good=lambda items: any(each.type == "Established" for each in items[0].status.conditions or []),
            )
            made.append(definition["spec"])
    try:
        yield
    finally:
        for spec in made:
            _remove(api, extensions, spec)


def remove_kinds(api: Any) -> None:
    """Deletes all that the chart brings, with all their objects."""
    extensions: Any = client.ApiextensionsV1Api(api)
    for path in sorted(CRDS.iterdir()):
        _remove(api, extensions, yaml.safe_load(path.read_text())["spec"])


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
