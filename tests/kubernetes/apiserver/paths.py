"""What a request's method and path mean."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kubernetes.apiserver.errors import method_not_allowed, unknown_path
from tests.kubernetes.apiserver.resources import Resource, Resources

_OF_NAMESPACES = {"status", "finalize"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names.

    Attributes:
        namespace: Empty: all, or the kind has none.
        name: Empty: the whole collection.
        subresource: Empty: the object itself.
    """

    resource: Resource
    namespace: str
    name: str
    subresource: str


def parse(resources: Resources, path: str) -> Target:
    """Of ``/api/v1/...`` and ``/apis/GROUP/VERSION/...``.

    Raises:
        ApiError: There is no such resource (404).
    """
    root, *parts = path.strip("/").split("/")
    group = parts.pop(0) if root == "apis" and parts else ""
    version = parts.pop(0) if parts else ""
    namespace = ""
    if len(parts) > 2 and parts[0] == "namespaces" and parts[2] not in _OF_NAMESPACES:
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource, *rest = (*parts, "", "", "")
    resource = resources.find(group, version, plural)
    if resource is None or any(rest) or (subresource and subresource not in resource.subresources):
        raise unknown_path()
    if namespace and not resource.namespaced:
        raise unknown_path()
    if name and resource.namespaced and not namespace:
        raise unknown_path()
    return Target(resource, namespace, name, subresource)


def verb_of(method: str, target: Target, *, watch: bool) -> str:
    """The verb, as rights name it.

    Raises:
        ApiError: There is none (405).
    """
    whole = {"GET": "watch" if watch else "list", "POST": "create", "DELETE": "deletecollection"}
    single = {
        "GET": "watch" if watch else "get",
        "PUT": "update",
        "PATCH": "patch",
        "DELETE": "delete",
        "POST": "create",
    }
    verb = (single if target.name else whole).get(method)
    if verb is None or (verb == "create" and target.name and not target.subresource):
        raise method_not_allowed()
    return verb
