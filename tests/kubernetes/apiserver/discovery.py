"""What the server says of itself: its version, its groups, its kinds."""

from __future__ import annotations

from typing import Final

from tests.kubernetes.apiserver.definitions import VERSION
from tests.kubernetes.apiserver.objects import Object
from tests.kubernetes.apiserver.resources import VERBS, Resource, Resources

_VERBS: Final = {"status": ["get", "patch", "update"], "scale": ["get", "patch", "update"], "log": ["get"]}
_ODD_KINDS: Final = {"scale": ("autoscaling", "v1", "Scale"), "eviction": ("policy", "v1", "Eviction")}


def version() -> Object:
    """``/version``."""
    major, minor = VERSION.split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{VERSION}.0",
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "2025-05-01T00:00:00Z",
        "goVersion": "go1.24",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def legacy_versions(address: str) -> Object:
    """``/api``."""
    where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where}


def group(name: str, versions: list[str]) -> Object:
    """``/apis/GROUP``."""
    told = [{"groupVersion": f"{name}/{each}", "version": each} for each in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": told, "preferredVersion": told[0]}


def groups(resources: Resources) -> Object:
    """``/apis``."""
    told = [group(name, versions) for name, versions in resources.groups().items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": told}


def kinds(resources: Resources, group_name: str, version_name: str) -> Object | None:
    """``/apis/GROUP/VERSION``; None: there is none."""
    found = [each for each in resources if (each.group, each.version) == (group_name, version_name)]
    if not found:
        return None
    told = [line for each in found for line in _lines(each)]
    group_version = f"{group_name}/{version_name}" if group_name else version_name
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": told}


def _lines(resource: Resource) -> list[Object]:
    first: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(VERBS),
    }
    if resource.short_names:
        first["shortNames"] = list(resource.short_names)
    if resource.categories:
        first["categories"] = list(resource.categories)
    lines = [first]
    for name in sorted(resource.subresources):
        line: Object = {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": _VERBS.get(name, ["create"]),
        }
        if name in _ODD_KINDS:
            line["group"], line["version"], line["kind"] = _ODD_KINDS[name]
        lines.append(line)
    return lines


def aggregated(resources: Resources, *, legacy: bool) -> Object:
    """``/api`` and ``/apis`` with all kinds in one answer (``g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList``)."""
    items = []
    for name, versions in resources.groups().items():
        if legacy is bool(name):
            continue
        told = []
        for each in versions:
            found = [_aggregated_kind(kind) for kind in resources if (kind.group, kind.version) == (name, each)]
            told.append({"version": each, "resources": found, "freshness": "Current"})
        items.append({"metadata": {"name": name, "creationTimestamp": None}, "versions": told})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_kind(resource: Resource) -> Object:
    def kind(name: str = "") -> Object:
        if name in _ODD_KINDS:
            group_name, version_name, kind_name = _ODD_KINDS[name]
            return {"group": group_name, "version": version_name, "kind": kind_name}
        return {"group": resource.group, "version": resource.version, "kind": resource.kind}

    told: Object = {
        "resource": resource.plural,
        "responseKind": kind(),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(VERBS),
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
    }
    if resource.subresources:
        told["subresources"] = [
            {"subresource": name, "responseKind": kind(name), "verbs": _VERBS.get(name, ["create"])}
            for name in sorted(resource.subresources)
        ]
    return told
