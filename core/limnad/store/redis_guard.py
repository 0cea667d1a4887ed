"""Guards in scripts of Redis: see `limnad.store.interface.Guard`."""

from __future__ import annotations

from typing import Final

from limnad.store.interface import Guard

REFUSED: Final = -1
"""What a guarded script answers when it has done nothing because the record has changed."""

GUARD: Final = """
if ARGV[1] ~= '' then
  local guarding = redis.call('HGET', KEYS[1], ARGV[1])
  if not guarding or string.sub(guarding, 1, 16) ~= ARGV[2] then return -1 end
end
"""
"""Begins a script whose first key is the ledger and whose first two arguments are `guard_arguments`."""


def guard_arguments(guard: Guard | None) -> tuple[str, bytes]:
    """Key and version; both empty: none.

    >>> guard_arguments(None)
    ('', b'')
    """
    return ("", b"") if guard is None else (guard.key, guard.version)
