"""What a schema does to an object before it is looked at: fields that it does not know go, defaults come."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.apiserver.definitions import object_meta, resolved
from tests.kubernetes.apiserver.objects import Object, copied

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"


def prune(schema: Object, item: Object) -> list[str]:
    """Takes away what the schema of a whole object does not know; the paths of what went."""
    return list(_prune_properties(_as_root(schema), item, ""))


def _as_root(schema: Object) -> Object:
    known = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": object_meta()}
    return {**schema, "properties": {**schema.get("properties", {}), **known}}


def _prune(schema: Any, value: Any, path: str) -> list[str]:
    schema = resolved(schema)
    if isinstance(value, dict):
        return _prune_properties(_as_root(schema) if schema.get(EMBEDDED) else schema, value, path)
    if isinstance(value, list) and "items" in schema:
        return [gone for index, each in enumerate(value) for gone in _prune(schema["items"], each, f"{path}[{index}]")]
    return []


def _prune_properties(schema: Object, value: Object, path: str) -> list[str]:
    properties, others = schema.get("properties"), schema.get("additionalProperties")
    free = schema.get(PRESERVE) or (properties is None and others is None and not _is_closed(schema))
    gone = []
    for name in list(value):
        inner = f"{path}.{name}" if path else name
        if properties is not None and name in properties:
            gone += _prune(properties[name], value[name], inner)
        elif isinstance(others, dict):
            gone += _prune(others, value[name], inner)
        elif others is not True and not free:
            del value[name]
            gone.append(inner)
    return gone


def _is_closed(schema: Object) -> bool:
    """An object of a definition without properties holds nothing; one of Kubernetes' own may be anything (FieldsV1)."""
    return schema.get("type") == "object"


def apply_defaults(schema: Any, value: Any) -> None:
    """Puts defaults where a field is missing, or is null and may not be."""
    schema = resolved(schema)
    if isinstance(value, dict):
        for name, inner in (schema.get("properties") or {}).items():
            is_null = name in value and value[name] is None and not inner.get("nullable")
            if "default" in inner and (name not in value or is_null):
                value[name] = copied(inner["default"])
            elif is_null:
                del value[name]
            if name in value:
                apply_defaults(inner, value[name])
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            for name in value.keys() - (schema.get("properties") or {}).keys():
                apply_defaults(others, value[name])
    elif isinstance(value, list) and "items" in schema:
        for each in value:
            apply_defaults(schema["items"], each)
