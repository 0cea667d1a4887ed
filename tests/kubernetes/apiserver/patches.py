"""JSON patches (RFC 6902), merge patches (RFC 7386) and Kubernetes' strategic ones, as functions on plain JSON."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.apiserver.definitions import resolved
from tests.kubernetes.apiserver.errors import ApiError, bad_request
from tests.kubernetes.apiserver.objects import Object, copied

DIRECTIVE = "$patch"
"""What is to be done with a map or an item: delete it, or replace it whole."""


def merge_patch(value: Any, patch: Any) -> Any:
    """Null takes away, maps are merged, all else is replaced."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for name, each in patch.items():
        if each is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), each)
    return merged


def json_patch(value: Any, operations: list[Object]) -> Any:
    """All operations, one after another.

    Raises:
        ApiError: One of them does not fit (422), or is none (400).
    """
    holder = {"": copied(value)}
    for operation in operations:
        try:
            _operate(holder, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            message = f"the server rejected our request due to an error in our request: {operation}: {error!r}"
            raise ApiError(422, "Invalid", message, {}) from None
    return holder[""]


def _operate(holder: Object, operation: Object) -> None:
    steps = _steps(operation["path"])
    match operation["op"]:
        case "add":
            _add(holder, steps, copied(operation["value"]))
        case "remove":
            _remove(holder, steps)
        case "replace":
            _remove(holder, steps)
            _add(holder, steps, copied(operation["value"]))
        case "move":
            _add(holder, steps, _remove(holder, _steps(operation["from"])))
        case "copy":
            _add(holder, steps, copied(_look(holder, _steps(operation["from"]))))
        case "test":
            if (found := _look(holder, steps)) != operation["value"]:
                raise ValueError(f"testing path {operation['path']} found {found!r}")
        case other:
            raise bad_request(f"unknown operation of a JSON patch: {other!r}")


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]


def _look(holder: Any, steps: list[str]) -> Any:
    for step in steps:
        holder = holder[int(step)] if isinstance(holder, list) else holder[step]
    return holder


def _add(holder: Object, steps: list[str], value: Any) -> None:
    place = _look(holder, steps[:-1])
    if not isinstance(place, list):
        place[steps[-1]] = value
    elif steps[-1] == "-":
        place.append(value)
    elif int(steps[-1]) > len(place):
        raise IndexError(steps[-1])
    else:
        place.insert(int(steps[-1]), value)


def _remove(holder: Object, steps: list[str]) -> Any:
    place = _look(holder, steps[:-1])
    return place.pop(int(steps[-1])) if isinstance(place, list) else place.pop(steps[-1])


def strategic_patch(schema: Any, value: Any, patch: Any) -> Any:
    """Like a merge patch, but lists whose schema says so are merged too: items by their key, plain values as a set."""
    if not isinstance(patch, dict):
        return patch
    schema = resolved(schema)
    if patch.get(DIRECTIVE) == "replace":
        return {name: each for name, each in patch.items() if name != DIRECTIVE}
    merged = dict(value) if isinstance(value, dict) else {}
    for name, each in patch.items():
        if name.startswith("$"):
            _directive(schema, merged, name, each)
        elif each is None:
            merged.pop(name, None)
        else:
            inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties") or {}
            merged[name] = _strategic(inner, merged.get(name), each)
    if "$retainKeys" in patch:
        merged = {name: each for name, each in merged.items() if name in patch["$retainKeys"]}
    return merged


def _directive(schema: Object, merged: Object, name: str, value: Any) -> None:
    kind, _, field = name.partition("/")
    if kind == "$deleteFromPrimitiveList":
        merged[field] = [each for each in merged.get(field, []) if each not in value]
    elif kind == "$setElementOrder" and isinstance(merged.get(field), list):
        key = resolved(schema.get("properties", {}).get(field)).get("x-kubernetes-patch-merge-key")
        order = [each.get(key) if isinstance(each, dict) else each for each in value]
        last = len(order)

        def rank(item: Any) -> int:
            own = item.get(key) if isinstance(item, dict) else item
            return order.index(own) if own in order else last

        merged[field] = sorted(merged[field], key=rank)


def _strategic(schema: Any, value: Any, patch: Any) -> Any:
    schema = resolved(schema)
    if isinstance(patch, dict):
        return strategic_patch(schema, value, patch)
    strategy = schema.get("x-kubernetes-patch-strategy", "")
    if not isinstance(patch, list) or "merge" not in strategy:
        return patch
    key = schema.get("x-kubernetes-patch-merge-key")
    if key is None:
        old = list(value or [])
        return old + [each for each in patch if each not in old]
    return _merged_items(schema, key, list(value or []), patch)


def _merged_items(schema: Object, key: str, items: list[Any], patch: list[Any]) -> list[Any]:
    if any(each.get(DIRECTIVE) == "replace" for each in patch):
        return [each for each in patch if DIRECTIVE not in each]
    for each in patch:
        at = next((index for index, item in enumerate(items) if item.get(key) == each.get(key)), None)
        if each.get(DIRECTIVE) == "delete":
            if at is not None:
                del items[at]
        elif at is None:
            items.append(strategic_patch(schema.get("items"), {}, each))
        else:
            items[at] = strategic_patch(schema.get("items"), items[at], each)
    return items
