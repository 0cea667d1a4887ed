"""``--state-limit``: sizes as they are written, and how engines learn of one."""

from __future__ import annotations

import typer


def size_bytes(text: str) -> int:
    """Reads a size.

    >>> size_bytes("2GiB"), size_bytes("500 MB"), size_bytes("1024")
    (2147483648, 500000000, 1024)

    Raises:
        typer.BadParameter: It is none, or not above zero.
    """
    from pydantic import ByteSize, TypeAdapter, ValidationError  # It takes longer to import than all the rest of us.

    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        size = ByteSize(0)
    if size <= 0:
        raise typer.BadParameter(f"a size is written 500MB or 2GiB, not {text!r}")
    return int(size)


def state_environment(limit_bytes: int | None) -> dict[str, str]:
    """The variable by which an agent's engines learn of a limit of their state.

    >>> state_environment(None), state_environment(1000)
    ({}, {'LIMNAD_ENGINE_STATE_LIMIT': '1000'})
    """
    return {} if limit_bytes is None else {"LIMNAD_ENGINE_STATE_LIMIT": str(limit_bytes)}
