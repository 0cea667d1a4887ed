"""Which fields a value has, as server-side apply counts them: paths through maps, keyed lists and sets.

A step is ``("f", name)`` of a map, ``("k", key as JSON)`` of a list whose items are known by keys, or ``("v", value as
JSON)`` of a set. A list or map that its schema calls atomic is one field, whatever is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.kubernetes.apiserver.definitions import object_meta, resolved
from tests.kubernetes.apiserver.objects import Object

Step = tuple[str, str]
Path = tuple[Step, ...]
Fields = frozenset[Path]

_KEY_DEFAULTS: Final = {"protocol": "TCP"}
"""Keys that may be left out: what the schema's default says, which the definitions at hand do not carry."""

_UNOWNED: Final = {
    (("f", "apiVersion"),),
    (("f", "kind"),),
    (("f", "metadata"),),
    *(
        (("f", "metadata"), ("f", name))
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ),
}
"""Nobody's fields: they say which object it is, or are the server's."""


def inner_schema(schema: Object, name: str, *, root: bool = False) -> Object:
    """Of a field of a map; metadata's is the same for all kinds."""
    if root and name == "metadata":
        return object_meta()
    return resolved((schema.get("properties") or {}).get(name) or schema.get("additionalProperties") or {})


def list_type(schema: Object) -> str:
    """Of a list: map, set or atomic."""
    return str(schema.get("x-kubernetes-list-type", "atomic"))


def is_atomic_map(schema: Object) -> bool:
    """Whether a map is one field."""
    return schema.get("x-kubernetes-map-type") == "atomic"


def item_step(schema: Object, item: Any) -> Step:
    """How an item of a list is known."""
    if list_type(schema) == "set":
        return "v", json.dumps(item)
    keys = schema["x-kubernetes-list-map-keys"]
    own = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in keys}
    return "k", json.dumps({key: value for key, value in own.items() if value is not None}, sort_keys=True)


def fields_of(schema: Object, item: Object) -> Fields:
    """All fields of an object that somebody may own."""
    return frozenset(path for path in _fields(resolved(schema), item, (), root=True) if path and path not in _UNOWNED)


def _fields(schema: Object, value: Any, path: Path, *, root: bool = False) -> Iterator[Path]:
    if isinstance(value, dict) and value and not is_atomic_map(schema):
        for name, each in value.items():
            yield from _fields(inner_schema(schema, name, root=root), each, (*path, ("f", name)))
    elif isinstance(value, list) and value and list_type(schema) in {"map", "set"}:
        items = resolved(schema.get("items"))
        for each in value:
            own = (*path, item_step(schema, each))
            yield own
            if list_type(schema) == "map":
                yield from _fields(items, each, own)
    else:
        yield path


def changed(schema: Object, old: Object, new: Object) -> tuple[Fields, Fields]:
    """Fields that were added or are other than before, and fields that are gone."""
    before, after = dict(_values(resolved(schema), old)), dict(_values(resolved(schema), new))
    written = frozenset(path for path, value in after.items() if path not in before or before[path] != value)
    return written - _UNOWNED, frozenset(before.keys() - after.keys()) - _UNOWNED


def _values(schema: Object, item: Object) -> Iterator[tuple[Path, Any]]:
    for path in _fields(schema, item, (), root=True):
        yield path, value_at(schema, item, path)


def value_at(schema: Object, value: Any, path: Path) -> Any:
    """What a field holds; an item that is known by keys: True, its fields have paths of their own."""
    root = True
    for kind, name in path:
        if kind == "f":
            if not isinstance(value, dict) or name not in value:
                return None
            schema, value = inner_schema(schema, name, root=root), value[name]
        else:
            found = [each for each in value or [] if item_step(schema, each) == (kind, name)]
            if not found:
                return None
            schema, value = resolved(schema.get("items")), found[0]
        root = False
    return True if path and path[-1][0] == "k" else value


def pack(fields: Fields) -> Object:
    """As ``fieldsV1``."""
    tree: Object = {}
    for path in sorted(fields):
        at = tree
        for kind, name in path:
            at = at.setdefault(f"{kind}:{name}", {})
        if path[-1][0] == "k":
            at["."] = {}
    return tree


def unpack(tree: Object) -> Fields:
    """From ``fieldsV1``."""
    return frozenset(_unpack(tree, ()))


def _unpack(tree: Object, path: Path) -> Iterator[Path]:
    if path and (not tree or "." in tree):
        yield path
    for step, inner in tree.items():
        if step != ".":
            kind, _, name = step.partition(":")
            if kind == "k":
                name = json.dumps(json.loads(name), sort_keys=True)
            yield from _unpack(inner, (*path, (kind, name)))


def shown(path: Path) -> str:
    """As conflicts name it: ``.spec.template.spec.containers[name="a"].image``."""
    told = ""
    for kind, name in path:
        if kind == "f":
            told += f".{name}"
        elif kind == "k":
            keys = ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(name).items())
            told += f"[{keys}]"
        else:
            told += f"[={name}]"
    return told
