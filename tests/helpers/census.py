"""How much there is of everything that an object keeps: what grows in a job that goes on for ever has a name here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import numpy as np
import polars as pl

_WHOLE = (str, bytes, bytearray, int, float, complex, bool, type(None), type)


def census(root: object, name: str = "") -> Counter[str]:
    """How many items lie at each place that can be reached: entries of dicts and lists, rows of frames.

    A place is named by attributes; what lies in a container has one place together, whatever its key or number.

    >>> from types import SimpleNamespace
    >>> census(SimpleNamespace(queues={(0,): [1, 2], (1,): [3]}, name="a"), "worker")
    Counter({'worker.queues[]': 3, 'worker.queues': 2})
    """
    counted: Counter[str] = Counter()
    seen: set[int] = set()
    left: deque[tuple[str, Any]] = deque([(name, root)])
    held: list[Any] = []  # So that no id is used twice.
    while left:
        place, found = left.popleft()
        if id(found) in seen or isinstance(found, _WHOLE):
            continue
        seen.add(id(found))
        held.append(found)
        if isinstance(found, pl.DataFrame | pl.Series | np.ndarray):
            counted[place] += found.size if isinstance(found, np.ndarray) else len(found)
        elif isinstance(found, dict | list | tuple | set | frozenset | deque):
            counted[place] += 0 if isinstance(found, tuple) else len(found)
            values: Iterable[Any] = [*found.keys(), *found.values()] if isinstance(found, dict) else found
            left.extend((f"{place}[]", value) for value in values)
        else:
            left.extend((f"{place}.{attribute}", value) for attribute, value in _attributes(found))
    return +counted


def _attributes(found: Any) -> list[tuple[str, Any]]:
    if isinstance(found, FunctionType):
        return [("closure", cell) for cell in found.__closure__ or ()]
    if isinstance(found, CellType):
        return [("cell", found.cell_contents)] if found != CellType() else []
    if isinstance(found, MethodType):
        return [("self", found.__self__)]
    if isinstance(found, partial):
        return [("function", found.func), ("arguments", found.args), ("arguments", found.keywords)]
    slots = [slot for kind in type(found).__mro__ for slot in _names(getattr(kind, "__slots__", ()))]
    own = [(slot, getattr(found, slot)) for slot in slots if hasattr(found, slot)]
    return [*own, *((name, value) for name, value in getattr(found, "__dict__", {}).items() if name[:2] != "__")]


def _names(slots: str | Iterable[str]) -> list[str]:
    return [slots] if isinstance(slots, str) else list(slots)


def grown(
    before: Counter[str], after: Counter[str], *, share: float = 0.3, slack: int = 30
) -> dict[str, tuple[int, int]]:
    """The places at which there is more than there was, by more than a share of it and some items."""
    return {
        place: (before[place], count)
        for place, count in sorted(after.items())
        if count > (1 + share) * before[place] + slack
    }
