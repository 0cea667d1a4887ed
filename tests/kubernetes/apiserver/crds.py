"""CustomResourceDefinitions: what they must be, and the kinds that they bring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.kubernetes.apiserver import rules, validation
from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.errors import Cause, invalid
from tests.kubernetes.apiserver.objects import Object, copied, dig, name_of, set_condition
from tests.kubernetes.apiserver.pruning import PRESERVE
from tests.kubernetes.apiserver.resources import Resource

KEY: Final = ("apiextensions.k8s.io", "customresourcedefinitions")
CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
AGE: Final = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def watch_definitions(api: Api) -> None:
    """From now on definitions bring their kinds."""
    api.refusals[KEY] = refuse
    api.settled.append(lambda resource, item: _settle(api, item) if resource.key == KEY else None)


def refuse(item: Object) -> None:
    """Refuses a definition that cannot be.

    Raises:
        ApiError: All that is wrong (422).
    """
    if causes := list(_wrong(item)):
        raise invalid("CustomResourceDefinition", KEY[0], name_of(item), causes)


def _wrong(item: Object) -> Iterator[Cause]:
    spec = item["spec"]
    expected = f"{spec['names']['plural']}.{spec['group']}"
    if name_of(item) != expected:
        yield Cause("metadata.name", f'Invalid value: "{name_of(item)}": must be spec.names.plural+"."+spec.group')
    if sum(bool(each.get("storage")) for each in spec["versions"]) != 1:
        yield Cause("spec.versions", "Invalid value: must have exactly one version marked as storage version")
    for index, version in enumerate(spec["versions"]):
        path = f"spec.versions[{index}].schema.openAPIV3Schema"
        schema = dig(version, "schema", "openAPIV3Schema")
        if schema is None:
            yield Cause(path, "Required value: schemas are required", "FieldValueRequired")
            continue
        yield from _not_structural(schema, path)
        yield from rules.compile_errors(schema, path)
        yield from _wrong_defaults(schema, path)


def _not_structural(schema: Any, path: str) -> Iterator[Cause]:
    """Every field has a type: what a schema has to be before anything can be pruned or defaulted by it."""
    free = schema.get("x-kubernetes-int-or-string") or schema.get(PRESERVE)
    if "type" not in schema and not free:
        yield Cause(
            f"{path}.type", "Required value: must not be empty for specified object fields", "FieldValueRequired"
        )
    if schema.get("properties") and schema.get("additionalProperties"):
        yield Cause(
            f"{path}.additionalProperties", "Forbidden: additionalProperties and properties are mutual exclusive"
        )
    if schema.get("type") == "array" and "items" not in schema:
        yield Cause(f"{path}.items", "Required value: must be specified", "FieldValueRequired")
    for name, inner in (schema.get("properties") or {}).items():
        if path.endswith("openAPIV3Schema") and name == "metadata":
            continue
        yield from _not_structural(inner, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from _not_structural(schema[name], f"{path}.{name}")


def _wrong_defaults(schema: Any, path: str) -> Iterator[Cause]:
    """A default is what the schema and its rules allow, before the defaults in it are filled in."""
    default = schema.get("default", rules.MISSING)
    if default is not rules.MISSING:
        yield from validation.validate(schema, default, f"{path}.default")
        yield from rules.broken_rules(schema, default, path=f"{path}.default")
    for name, inner in (schema.get("properties") or {}).items():
        yield from _wrong_defaults(inner, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from _wrong_defaults(schema[name], f"{path}.{name}")


def kinds_of(item: Object) -> Iterator[Resource]:
    """What a definition brings."""
    spec, names = item["spec"], item["spec"]["names"]
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        subresources = version.get("subresources") or {}
        yield Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names.get("singular") or names["kind"].lower(),
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=frozenset(subresources),
            schema=version["schema"]["openAPIV3Schema"],
            custom=True,
            scale=subresources.get("scale") or {},
            columns=tuple(version.get("additionalPrinterColumns") or (AGE,)),
            closed=bool(item["metadata"].get("deletionTimestamp")),
        )


def _settle(api: Api, item: Object) -> None:
    """Brings the kinds of a definition, or takes them away; its status says so."""
    key = item["spec"]["group"], item["spec"]["names"]["plural"]
    if api.store.get(KEY, "", name_of(item)) is None:
        api.resources.drop(key)
        return
    api.resources.drop(key)
    api.resources.put(*kinds_of(item))
    names = {"listKind": f"{item['spec']['names']['kind']}List", **item["spec"]["names"]}
    names.setdefault("singular", names["kind"].lower())
    storage = next(each["name"] for each in item["spec"]["versions"] if each["storage"])
    status = copied(item.get("status") or {})
    stored = [each for each in status.get("storedVersions") or [] if each != storage]
    status |= {"acceptedNames": names, "storedVersions": [*stored, storage]}
    set_condition(status, "NamesAccepted", true=True, reason="NoConflicts", message="no conflicts found")
    set_condition(
        status, "Established", true=True, reason="InitialNamesAccepted", message="the initial names have been accepted"
    )
    if item["metadata"].get("deletionTimestamp"):
        told = "CustomResource deletion is in progress"
        set_condition(status, "Terminating", true=True, reason="InstanceDeletionInProgress", message=told)
    finalizers = item["metadata"].get("finalizers") or []
    hold = CLEANUP not in finalizers and not item["metadata"].get("deletionTimestamp")
    if status == item.get("status") and not hold:
        return
    settled = copied(item)
    settled["status"] = status
    if hold:
        settled["metadata"]["finalizers"] = [*finalizers, CLEANUP]
    api.store.put(KEY, settled)
