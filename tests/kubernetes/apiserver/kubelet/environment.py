"""The environment of a container: values, fields of its pod, keys of Secrets and ConfigMaps."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from tests.kubernetes.apiserver.objects import Object, dig
from tests.kubernetes.apiserver.store import Store


class Missing(Exception):
    """Something that a pod refers to is not there (yet)."""


_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def field_value(pod: Object, path: str) -> str:
    """A field of a pod, as the downward API names it."""
    if found := _KEYED.fullmatch(path):
        return str(dig(pod, "metadata", found[1], found[2], default=""))
    value = dig(pod, *path.split("."), default="")
    if isinstance(value, dict):
        return "\n".join(f'{key}="{each}"' for key, each in value.items())
    return str(value)


def environment(store: Store, pod: Object, container: Object, base: Mapping[str, str]) -> dict[str, str]:
    """All variables.

    Raises:
        Missing: A Secret or ConfigMap, or a key of one, is not there.
    """
    made = dict(base)
    for source in container.get("envFrom") or []:
        for plural, kind in (("configmaps", "configMapRef"), ("secrets", "secretRef")):
            if kind in source:
                found = _data(store, pod, plural, source[kind]) or {}
                made |= {source.get("prefix", "") + key: value for key, value in found.items()}
    for variable in container.get("env") or []:
        if "valueFrom" not in variable:
            made[variable["name"]] = expand(variable.get("value") or "", made)
        elif (value := _value(store, pod, container, variable["valueFrom"])) is not None:
            made[variable["name"]] = value
    return made


def _value(store: Store, pod: Object, container: Object, origin: Object) -> str | None:
    """What a variable is taken from; None: it need not be there, and is not."""
    if "fieldRef" in origin:
        return field_value(pod, origin["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in origin:
        return _resource(container, origin["resourceFieldRef"])
    plural, reference = "secrets", origin.get("secretKeyRef")
    if reference is None:
        plural, reference = "configmaps", origin["configMapKeyRef"]
    value = (_data(store, pod, plural, reference) or {}).get(reference["key"])
    if value is None and not reference.get("optional"):
        where = f"{plural[:-1]} {pod['metadata']['namespace']}/{reference['name']}"
        raise Missing(f"couldn't find key {reference['key']} in {where}")
    return value


def _data(store: Store, pod: Object, plural: str, reference: Object) -> dict[str, str] | None:
    item = store.get(("", plural), pod["metadata"]["namespace"], reference["name"])
    if item is None:
        if reference.get("optional"):
            return None
        raise Missing(f'{plural[:-1]} "{reference["name"]}" not found')
    return {key: value.decode() for key, value in content(item).items()}


def content(item: Object) -> dict[str, bytes]:
    """What a Secret or a ConfigMap holds."""
    encoded: dict[str, Any] = (item.get("data") if item["kind"] == "Secret" else item.get("binaryData")) or {}
    files = {name: base64.b64decode(text) for name, text in encoded.items()}
    if item["kind"] == "ConfigMap":
        files |= {name: text.encode() for name, text in (item.get("data") or {}).items()}
    return files


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` stands for a variable; ``$$(NAME)`` for itself."""

    def value(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        return variables.get(found[1], found[0])

    return re.sub(r"\$?\$\(([^)]+)\)", value, text)


_UNITS = {
    "": 1.0,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}


def quantity(value: Any) -> float:
    """``500m``, ``1.5Gi``."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(value))
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


def _resource(container: Object, reference: Object) -> str:
    kind, _, name = reference["resource"].partition(".")
    found = quantity(dig(container, "resources", kind, name, default="0"))
    return str(round(found / (quantity(reference.get("divisor") or "1") or 1.0)))
