"""Label and field selectors: of query strings, and as objects carry them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from tests.kubernetes.apiserver.errors import bad_request
from tests.kubernetes.apiserver.objects import Object, dig, labels_of

Matches = Callable[[Object], bool]

_SET = re.compile(r"^(?P<key>\S+)\s+(?P<how>in|notin)\s*\((?P<values>[^)]*)\)$")


def label_selector(text: str) -> Matches:
    """``app=x,tier!=y,zone in (a,b),ready,!old``.

    Raises:
        ApiError: It cannot be read.
    """
    tests = [_requirement(part.strip()) for part in _split(text)]
    return lambda item: all(test(labels_of(item)) for test in tests)


def _split(text: str) -> Iterable[str]:
    return (part for part in re.findall(r"(?:[^,(]|\([^)]*\))+", text) if part.strip())


def _requirement(part: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(part):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["how"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    for sign in ("!=", "==", "="):
        if sign in part:
            key, _, value = (each.strip() for each in part.partition(sign))
            if sign == "!=":
                return lambda labels: labels.get(key) != value
            return lambda labels: labels.get(key) == value
    if part.startswith("!"):
        return lambda labels: part[1:].strip() not in labels
    if " " in part:
        raise bad_request(f"unable to parse requirement: found '{part}', expected: in, notin, =, ==, !=, gt, lt")
    return lambda labels: part in labels


def field_selector(text: str) -> Matches:
    """``metadata.name=x,status.phase!=Running``."""
    tests = [_field(part.strip()) for part in text.split(",") if part.strip()]
    return lambda item: all(test(item) for test in tests)


def _field(part: str) -> Matches:
    for sign in ("!=", "==", "="):
        if sign in part:
            path, _, value = (each.strip() for each in part.partition(sign))
            steps = path.split(".")
            wanted = sign != "!="
            return lambda item: (str(dig(item, *steps, default="")) == value) is wanted
    raise bad_request(f'invalid field selector "{part}": expected =, == or !=')


def by_selector(selector: Object | None) -> Matches:
    """A selector as an object carries it: ``matchLabels`` and ``matchExpressions``; None selects nothing."""
    if selector is None:
        return lambda _: False
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    expressions: list[Object] = selector.get("matchExpressions") or []

    def matches(item: Object) -> bool:
        labels = labels_of(item)
        return all(labels.get(key) == value for key, value in wanted.items()) and all(
            _expression(expression, labels) for expression in expressions
        )

    return matches


def _expression(expression: Object, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None
