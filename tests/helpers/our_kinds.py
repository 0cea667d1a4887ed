"""The chart's CRDs on an API server, for as long as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

CRDS = Path(__file__).parents[2] / "helm" / "limnad" / "crds"


@contextmanager
def our_kinds(api: Any) -> Iterator[None]:
    """Makes them, and deletes those that were not there before."""
    extensions: Any = client.ApiextensionsV1Api(api)
    there = {each.metadata.name for each in extensions.list_custom_resource_definition().items}
    made = []
    for path in sorted(CRDS.iterdir()):
        definition = yaml.safe_load(path.read_text())
        if definition["metadata"]["name"] not in there:
            extensions.create_custom_resource_definition(definition)
            made.append(definition["metadata"]["name"])
    try:
        yield
    finally:
        for name in made:
            extensions.delete_custom_resource_definition(name)
