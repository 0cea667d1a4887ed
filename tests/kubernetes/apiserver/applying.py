"""Server-side apply: who owns which field, and what follows when somebody else says something about it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.kubernetes.apiserver.definitions import resolved
from tests.kubernetes.apiserver.errors import ApiError
from tests.kubernetes.apiserver.fieldsets import (
    Fields,
    Path,
    changed,
    fields_of,
    inner_schema,
    is_atomic_map,
    item_step,
    list_type,
    pack,
    shown,
    unpack,
)
from tests.kubernetes.apiserver.objects import Object, copied, now


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes.

    Attributes:
        name: Of the field manager.
        operation: Apply or Update.
        subresource: Through which it writes.
        api_version: Of the object that it sends.
    """

    name: str
    operation: str
    subresource: str
    api_version: str


Owners = dict[Manager, Fields]


def owners_of(item: Object) -> Owners:
    """Who owns what, as the object says."""
    return {
        Manager(
            name=entry.get("manager", ""),
            operation=entry.get("operation", "Update"),
            subresource=entry.get("subresource", ""),
            api_version=entry.get("apiVersion", ""),
        ): unpack(entry.get("fieldsV1") or {})
        for entry in item["metadata"].get("managedFields") or []
    }


def write_owners(item: Object, owners: Owners, before: Object | None) -> None:
    """Puts it into the object; the time of an entry changes with its fields only."""
    old = {(each.get("manager"), each.get("operation"), each.get("subresource", "")): each for each in _entries(before)}
    entries = []
    for manager, fields in owners.items():
        if not fields and manager.operation == "Update":
            continue
        entry: Object = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "time": now(),
            "fieldsType": "FieldsV1",
            "fieldsV1": pack(fields),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        known = old.get((manager.name, manager.operation, manager.subresource))
        if known is not None and known.get("fieldsV1") == entry["fieldsV1"]:
            entry["time"] = known.get("time", entry["time"])
        entries.append(entry)
    item["metadata"]["managedFields"] = entries


def _entries(item: Object | None) -> list[Object]:
    return (item or {}).get("metadata", {}).get("managedFields") or []


def updated(schema: Object, old: Object | None, new: Object, manager: Manager) -> None:
    """After a write that is no apply: what it has changed belongs to the writer, and to nobody else."""
    written, gone = changed(schema, old or {"metadata": {}}, new)
    owners = owners_of(old) if old is not None else {}
    if not new["metadata"].get("managedFields") and old is not None and "managedFields" in new["metadata"]:
        owners = {}  # Somebody has emptied the list on purpose: that takes all ownership back.
    kept = {each: fields - written - gone for each, fields in owners.items()}
    if written:
        kept[manager] = kept.get(manager, frozenset()) | written
    write_owners(new, kept, old)


def applied(schema: Object, live: Object | None, patch: Object, manager: Manager, *, force: bool) -> Object:
    """What is there after an apply.

    Raises:
        ApiError: A field that another manager owns would change, and it is not forced (409).
    """
    schema = resolved(schema)
    own = fields_of(schema, patch)
    owners = owners_of(live) if live is not None else {}
    before = owners.get(manager, frozenset())
    base = copied(live) if live is not None else {"metadata": {}}
    merged: Object = merge(schema, base, patch, root=True)
    others = {each: fields for each, fields in owners.items() if each != manager}
    _remove(schema, merged, before - own, others.values())
    written, gone = changed(schema, base, merged)
    overlaps = {each: fields & (written & own) for each, fields in others.items()}
    if not force and any(overlaps.values()):
        raise _conflicts(overlaps)
    kept = {each: fields - overlaps[each] - gone for each, fields in others.items()}
    kept[manager] = own
    write_owners(merged, kept, live)
    return merged


def _conflicts(overlaps: dict[Manager, Fields]) -> ApiError:
    causes = []
    lines = []
    for manager, fields in overlaps.items():
        if not fields:
            continue
        using = "" if manager.operation == "Apply" else f" using {manager.api_version}"
        who = f'conflict with "{manager.name}"{using}'
        if manager.subresource:
            who = f'conflict with "{manager.name}" with subresource "{manager.subresource}"{using}'
        causes += [{"reason": "FieldManagerConflict", "message": who, "field": shown(path)} for path in sorted(fields)]
        lines += [f"{who}: {shown(path)}" for path in sorted(fields)]
    message = f"Apply failed with {len(lines)} conflict{'s' if len(lines) > 1 else ''}: {'; '.join(lines)}"
    return ApiError(409, "Conflict", message, {"causes": causes})


def merge(schema: Object, value: Any, patch: Any, *, root: bool = False) -> Any:
    """The applied value over the live one: maps and keyed lists are merged, all else is replaced."""
    schema = resolved(schema)
    if isinstance(patch, dict) and isinstance(value, dict) and not is_atomic_map(schema):
        merged = dict(value)
        for name, each in patch.items():
            if each is None:
                merged.pop(name, None)
            else:
                merged[name] = merge(inner_schema(schema, name, root=root), merged.get(name), each)
        return merged
    if isinstance(patch, list) and isinstance(value, list) and list_type(schema) in {"map", "set"}:
        return _merged_list(schema, value, patch)
    return copied(patch)


def _merged_list(schema: Object, value: list[Any], patch: list[Any]) -> list[Any]:
    live = {item_step(schema, each): each for each in value}
    items = resolved(schema.get("items"))
    merged = {}
    for each in patch:
        step = item_step(schema, each)
        merged[step] = merge(items, live[step], each) if step in live and list_type(schema) == "map" else copied(each)
    return _ordered(live, merged)


def _ordered(live: dict[Any, Any], merged: dict[Any, Any]) -> list[Any]:
    """What is applied in its order; what others own where it stands, between those that it stood between."""
    found: list[Any] = []
    rest = list(merged)
    shared = [step for step in merged if step in live]
    for step, item in live.items():
        if step not in merged:
            found.append(item)
        elif shared and step == shared[0]:
            shared.pop(0)
            end = rest.index(step) + 1
            found += [merged[each] for each in rest[:end]]
            del rest[:end]
    return found + [merged[each] for each in rest]


def _remove(schema: Object, item: Object, fields: Iterable[Path], others: Iterable[Fields]) -> None:
    """Takes away what the manager applied before and applies no more, unless somebody else owns it too."""
    held = {path[:length] for each in others for path in each for length in range(1, len(path) + 1)}
    for path in sorted(fields, key=len):  # An item goes before its fields do: they are what it is found by.
        if path not in held and not _is_key(path):
            _remove_at(schema, item, path, root=True)


def _is_key(path: Path) -> bool:
    return len(path) > 1 and path[-2][0] == "k" and path[-1][1] in json.loads(path[-2][1])


def _remove_at(schema: Object, value: Any, path: Path, *, root: bool = False) -> None:
    (kind, name), rest = path[0], path[1:]
    if kind == "f":
        if not isinstance(value, dict) or name not in value:
            return
        if rest:
            inner = value[name]
            _remove_at(inner_schema(schema, name, root=root), inner, rest)
            if inner in ({}, []):
                del value[name]
        else:
            del value[name]
        return
    for index, each in enumerate(value if isinstance(value, list) else []):
        if item_step(schema, each) == (kind, name):
            if rest:
                _remove_at(resolved(schema.get("items")), each, rest)
            else:
                del value[index]
            return
