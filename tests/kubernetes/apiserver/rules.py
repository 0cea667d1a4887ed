"""CEL rules of a schema (``x-kubernetes-validations``), on an object and on what it was before."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterator
from typing import Any, Final

import cel
from cel.stdlib import add_stdlib_to_context

from tests.kubernetes.apiserver.definitions import resolved
from tests.kubernetes.apiserver.errors import Cause
from tests.kubernetes.apiserver.objects import Object, dig, parse_time

RULES: Final = "x-kubernetes-validations"
MISSING: Final = object()
"""No value: there was none before."""
_DURATION: Final = re.compile(r"([0-9.]+)(h|ms|us|ns|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@functools.cache
def _program(rule: str) -> Any:
    return cel.compile(rule)


def compile_errors(schema: Any, path: str = "spec.validation.openAPIV3Schema") -> Iterator[Cause]:
    """The rules of a definition that cannot be read."""
    if not isinstance(schema, dict):
        return
    for index, rule in enumerate(schema.get(RULES, [])):
        try:
            _program(rule["rule"])
        except (ValueError, KeyError) as error:
            where = f"{path}.{RULES}[{index}].rule"
            yield Cause(where, f"Invalid value: {rule.get('rule')!r}: compilation failed: {error}")
    for name, inner in (schema.get("properties") or {}).items():
        yield from compile_errors(inner, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        yield from compile_errors(schema.get(name), f"{path}.{name}")


def broken_rules(schema: Any, value: Any, old: Any = MISSING, path: str = "") -> Iterator[Cause]:
    """What is broken, of any depth. Rules that name ``oldSelf`` hold only where there was a value before."""
    schema = resolved(schema)
    for rule in schema.get(RULES, []):
        yield from _judge(schema, rule, value, old, path)
    if isinstance(value, dict):
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, each in value.items():
            inner = properties.get(name, others if isinstance(others, dict) else None)
            if inner is not None:
                before = old.get(name, MISSING) if isinstance(old, dict) else MISSING
                yield from broken_rules(inner, each, before, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and "items" in schema:
        for index, each in enumerate(value):
            before = _correlated(schema, each, old)
            yield from broken_rules(schema["items"], each, before, f"{path}[{index}]")


def _correlated(schema: Object, item: Any, old: Any) -> Any:
    """The same item in a list of before: only maps can tell."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys or not isinstance(old, list):
        return MISSING
    return next((each for each in old if all(each.get(key) == item.get(key) for key in keys)), MISSING)


def _judge(schema: Object, rule: Object, value: Any, old: Any, path: str) -> Iterator[Cause]:
    variables = {"self": _typed(schema, value)}
    if re.search(r"\boldSelf\b", rule["rule"]):
        if old is MISSING:
            return
        variables["oldSelf"] = _typed(schema, old)
    where = f"{path}{rule.get('fieldPath', '')}".lstrip(".")
    shown = f'Invalid value: "{schema.get("type", "object")}"'
    try:
        if _evaluate(rule["rule"], variables) is True:
            return
        told = _message(rule, variables)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        told = f"{error} evaluating rule: {rule.get('message') or rule['rule']}"
    yield Cause(where or "<root>", f"{shown}: {told}", rule.get("reason", "FieldValueInvalid"))


def _evaluate(rule: str, variables: Object) -> Any:
    context = cel.Context(variables)
    add_stdlib_to_context(context)
    return _program(rule).execute(context)


def _message(rule: Object, variables: Object) -> str:
    if "messageExpression" in rule:
        return str(_evaluate(rule["messageExpression"], variables))
    return str(rule.get("message") or f"failed rule: {rule['rule']}")


def _typed(schema: Any, value: Any) -> Any:
    """Times and durations as CEL's own types, as their formats say."""
    schema = resolved(schema)
    if isinstance(value, dict):
        others = schema.get("additionalProperties")
        return {name: _typed(dig(schema, "properties", name, default=others), each) for name, each in value.items()}
    if isinstance(value, list):
        return [_typed(schema.get("items"), each) for each in value]
    match schema.get("format"):
        case "date-time" if isinstance(value, str):
            return parse_time(value)
        case "duration" if isinstance(value, str):
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(value))
            return dt.timedelta(seconds=seconds)
    return value
