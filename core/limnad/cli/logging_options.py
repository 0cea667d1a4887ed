"""``--log-format`` and ``--log-level``: agents and engines take them from their environment."""

from __future__ import annotations


def logging_environment(log_format: str | None, log_level: str | None) -> dict[str, str]:
    """The variables by which an agent and its engines log so; none: they do not log.

    >>> logging_environment(None, None), logging_environment(None, "debug")
    ({}, {'LIMNAD_LOG_FORMAT': 'text', 'LIMNAD_LOG_LEVEL': 'debug'})
    """
    if log_format is None and log_level is None:
        return {}
    return {"LIMNAD_LOG_FORMAT": log_format or "text", "LIMNAD_LOG_LEVEL": log_level or "info"}
