"""``/openapi``: the schemas of all kinds, as far as kubectl and Helm look at them."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from aiohttp import web

from tests.kubernetes.apiserver.definitions import definition_name, definitions
from tests.kubernetes.apiserver.errors import ApiError, unknown_path
from tests.kubernetes.apiserver.objects import Object, copied
from tests.kubernetes.apiserver.resources import Resource, Resources

_OURS: Final = "#/$defs/"
_THEIRS: Final = "#/components/schemas/"
_VALIDATION: Final = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}


def answer(resources: Resources, request: web.Request) -> web.Response:
    """Any request below ``/openapi/``.

    Raises:
        ApiError: It is not there: version 2 is spoken in protobuf by those who ask for it, and not here.
    """
    path = request.path.rstrip("/")
    if path == "/openapi/v2":
        raise ApiError(406, "NotAcceptable", "this server describes itself in OpenAPI version 3 only")
    if path == "/openapi/v3":
        roots = [_root(group, version) for group, versions in resources.groups().items() for version in versions]
        told = {root: {"serverRelativeURL": f"/openapi/v3/{root}?hash={_hash(resources, root)}"} for root in roots}
        return _json({"paths": told})
    root = path.removeprefix("/openapi/v3/")
    document = _document(resources, root)
    if not document["paths"]:
        raise unknown_path()
    return _json(document)


def _root(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _hash(resources: Resources, root: str) -> str:
    return hashlib.sha256(msgspec.json.encode(_document(resources, root), order="sorted")).hexdigest()[:16]


def _document(resources: Resources, root: str) -> Object:
    schemas: Object = {}
    described: Object = {}
    for each in resources:
        if _root(each.group, each.version) == root:
            name = _add(schemas, each)
            described |= _paths(each, root, name)
    info = {"title": "Kubernetes", "version": "v1"}
    return {"openapi": "3.0.0", "info": info, "paths": described, "components": {"schemas": schemas}}


def _paths(resource: Resource, root: str, name: str) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    where = "/namespaces/{namespace}" if resource.namespaced else ""

    def operation(action: str) -> Object:
        body = {"content": {"application/json": {"schema": {"$ref": _THEIRS + name}}}}
        return {
            "parameters": [_VALIDATION],
            "requestBody": body,
            "responses": {"200": {"description": "OK", **body}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
        }

    plural = f"/{root}{where}/{resource.plural}"
    single = {method: operation(action) for method, action in (("get", "get"), ("put", "put"), ("patch", "patch"))}
    return {plural: {"post": operation("post")}, plural + "/{name}": single}


def _add(schemas: Object, resource: Resource) -> str:
    """Puts a kind's schema, and all that it refers to, among those of a document; its name there."""
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    name = definition_name(resource.group, resource.version, resource.kind)
    if not name:
        name = ".".join((*reversed(resource.group.split(".")), resource.version, resource.kind))
        schemas[name] = {**copied(resource.schema), "type": "object", "x-kubernetes-group-version-kind": [kind]}
        return name
    _add_definition(schemas, name)
    return name


def _add_definition(schemas: Object, name: str) -> None:
    if name in schemas or name not in definitions():
        return
    schemas[name] = {}
    schemas[name] = _translated(copied(definitions()[name]), schemas)


def _translated(value: Any, schemas: Object) -> Any:
    """Without the nulls that the definitions at hand allow everywhere, and with references of this document."""
    if isinstance(value, list):
        return [_translated(each, schemas) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str) and value["$ref"].startswith(_OURS):
        name = value["$ref"].removeprefix(_OURS)
        _add_definition(schemas, name)
        return {"allOf": [{"$ref": _THEIRS + name}], "default": {}}
    told = {key: _translated(each, schemas) for key, each in value.items()}
    if isinstance(told.get("type"), list):
        told["type"] = next(each for each in told["type"] if each != "null")
    return told


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
