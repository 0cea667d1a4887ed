"""Whether what is there is what is wanted, and what to write if it is not."""

from __future__ import annotations

import copy
from typing import Any

from limnad_operator.manifests import TEMPLATE
from limnad_operator.reconcile.plan import Object


def differs(wanted: Any, there: Any) -> bool:
    """Whether something wanted is not there. What the API server has filled in is no difference.

    >>> differs({"a": [{"b": 1}]}, {"a": [{"b": 1, "default": 2}], "c": 3}), differs({"a": [1]}, {"a": [1, 2]})
    (False, True)
    """
    if isinstance(wanted, dict) and isinstance(there, dict):
        return any(differs(value, there.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(there, list):
        return len(wanted) != len(there) or any(map(differs, wanted, there))
    if wanted is None or wanted in ({}, []):
        return there not in (None, {}, [])
    return bool(wanted != there)


def changed(wanted: Object, there: Object) -> bool:
    """Whether an object has to be written. Of pods' templates the digests are compared: amounts are written anew."""
    wanted, there = copy.copy(wanted), copy.copy(there)
    for each in (wanted, there):
        if "template" in each.get("spec", {}):
            each["spec"] = {**each["spec"], "template": template_digest(each)}
    return differs(wanted, there)


def template_digest(there: Object) -> str:
    """Of the template of what makes pods."""
    annotations = there["spec"]["template"]["metadata"].get("annotations") or {}
    return str(annotations.get(TEMPLATE, ""))


def replaced(wanted: Object, there: Object) -> Object:
    """What is there, with all that is wanted in its place; labels and annotations of others stay."""
    new = copy.deepcopy(there)
    metadata = new["metadata"]
    for key in ("labels", "annotations"):
        if key in wanted["metadata"]:
            metadata[key] = {**metadata.get(key, {}), **wanted["metadata"][key]}
    metadata["ownerReferences"] = wanted["metadata"]["ownerReferences"]
    if new["kind"] == "Service":  # Its addresses are not ours.
        new["spec"] = {**there["spec"], **wanted["spec"]}
        return new
    for key, value in wanted.items():
        if key not in ("apiVersion", "kind", "metadata", "status"):
            new[key] = copy.deepcopy(value)
    return new
