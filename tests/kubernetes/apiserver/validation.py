"""Whether an object is what its schema says; in the words of a real server."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.kubernetes.apiserver.definitions import resolved
from tests.kubernetes.apiserver.errors import Cause
from tests.kubernetes.apiserver.objects import Object, parse_time

INT_OR_STRING = "x-kubernetes-int-or-string"


def validate(schema: Any, value: Any, path: str = "") -> Iterator[Cause]:
    """What is wrong with a value, of any depth."""
    schema = resolved(schema)
    if value is None and (schema.get("nullable") or "null" in _types(schema)):
        return
    if schema.get(INT_OR_STRING):
        if not isinstance(value, str) and not _is_integer(value):
            yield _type_error(path, "integer,string", value)
        return
    types = [each for each in _types(schema) if each != "null"]
    if types and not any(_IS[each](value) for each in types):
        yield _type_error(path, types[0], value)
        return
    yield from _enumerated(schema, value, path)
    yield from _combined(schema, value, path)
    match value:
        case dict():
            yield from _object(schema, value, path)
        case list():
            yield from _array(schema, value, path)
        case str():
            yield from _string(schema, value, path)
        case bool() | None:
            pass
        case int() | float():
            yield from _number(schema, value, path)


def type_name(value: Any) -> str:
    """As JSON schemas call it."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


def _types(schema: Object) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.floor(value) == value


_IS: Final[dict[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def shown(value: Any) -> str:
    """A value as error messages show it."""
    return json.dumps(value) if not isinstance(value, dict | list) else f'"{type_name(value)}"'


def _type_error(path: str, wanted: str, value: Any) -> Cause:
    found = type_name(value)
    told = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Cause(path, told, "FieldValueTypeInvalid")


def _wrong(path: str, value: Any, rule: str) -> Cause:
    return Cause(path, f"Invalid value: {shown(value)}: {path} in body {rule}")


def _enumerated(schema: Object, value: Any, path: str) -> Iterator[Cause]:
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        listed = ", ".join(json.dumps(each) for each in allowed)
        yield Cause(path, f"Unsupported value: {shown(value)}: supported values: {listed}", "FieldValueNotSupported")


def _combined(schema: Object, value: Any, path: str) -> Iterator[Cause]:
    for each in schema.get("allOf", []):
        yield from validate(each, value, path)
    if "anyOf" in schema and all(any(validate(each, value, path)) for each in schema["anyOf"]):
        yield _wrong(path, value, "must validate at least one schema (anyOf)")
    if "oneOf" in schema and sum(not any(validate(each, value, path)) for each in schema["oneOf"]) != 1:
        yield _wrong(path, value, "must validate one and only one schema (oneOf)")
    if "not" in schema and not any(validate(schema["not"], value, path)):
        yield _wrong(path, value, "must not validate the schema (not)")


def _object(schema: Object, value: Object, path: str) -> Iterator[Cause]:
    def inner(name: str) -> str:
        return f"{path}.{name}" if path else name

    for name in schema.get("required", []):
        if name not in value:
            yield Cause(inner(name), "Required value", "FieldValueRequired")
    if "minProperties" in schema and len(value) < schema["minProperties"]:
        yield _wrong(path, value, f"should have at least {schema['minProperties']} properties")
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        yield Cause(
            path, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items", "FieldValueTooMany"
        )
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, each in value.items():
        if name in properties:
            yield from validate(properties[name], each, inner(name))
        elif isinstance(others, dict):
            yield from validate(others, each, inner(name))


def _array(schema: Object, value: list[Any], path: str) -> Iterator[Cause]:
    if "minItems" in schema and len(value) < schema["minItems"]:
        yield Cause(
            path, f"Invalid value: {len(value)}: {path} in body should have at least {schema['minItems']} items"
        )
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        told = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        yield Cause(path, told, "FieldValueTooMany")
    for index, each in enumerate(value):
        yield from validate(schema.get("items", {}), each, f"{path}[{index}]")
    keys = schema.get("x-kubernetes-list-map-keys", [])
    as_set = schema.get("x-kubernetes-list-type") == "set" or schema.get("uniqueItems")
    if not keys and not as_set:
        return
    seen = set()
    for index, each in enumerate(value):
        own = json.dumps({key: each.get(key) for key in keys} if keys and isinstance(each, dict) else each)
        if own in seen:
            yield Cause(f"{path}[{index}]", f"Duplicate value: {own}", "FieldValueDuplicate")
        seen.add(own)


def _string(schema: Object, value: str, path: str) -> Iterator[Cause]:
    if "minLength" in schema and len(value) < schema["minLength"]:
        yield _wrong(path, value, f"should be at least {schema['minLength']} chars long")
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield Cause(path, f"Too long: may not be more than {schema['maxLength']} bytes", "FieldValueTooLong")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield _wrong(path, value, f"should match '{schema['pattern']}'")
    if schema.get("format") == "date-time" and not _is_time(value):
        yield _wrong(path, value, f"must be of type date-time: {shown(value)}")


def _is_time(value: str) -> bool:
    try:
        return parse_time(value) is not None
    except ValueError:
        return False


def _number(schema: Object, value: float, path: str) -> Iterator[Cause]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and (value <= least if schema.get("exclusiveMinimum") else value < least):
        more = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield _wrong(path, value, f"should be {more} {least}")
    if most is not None and (value >= most if schema.get("exclusiveMaximum") else value > most):
        less = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield _wrong(path, value, f"should be {less} {most}")
    if "multipleOf" in schema and value % schema["multipleOf"]:
        yield _wrong(path, value, f"should be a multiple of {schema['multipleOf']}")
