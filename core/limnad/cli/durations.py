"""Lengths of time as people write them."""

from __future__ import annotations

import re

import typer

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Reads ``500ms``, ``5s``, ``1.5m``, ``2h``; a bare number is in seconds.

    >>> seconds("500ms"), seconds("2m"), seconds("3")
    (0.5, 120.0, 3.0)

    Raises:
        typer.BadParameter: It is something else, or not above zero.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text.strip())
    if found is None or float(found[1]) == 0:
        raise typer.BadParameter(f"a length of time is written 500ms, 5s or 2m, not {text!r}")
    return float(found[1]) * _UNITS[found[2] or "s"]
