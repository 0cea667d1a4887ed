"""``--log-format`` and ``--log-level``: agents and engines take them from their environment."""

from __future__ import annotations

from enum import Enum


class LogFormat(Enum):
    """How lines look."""

    TEXT = "text"
    JSON = "json"


class LogLevel(Enum):
    """From which level on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def logging_environment(log_format: LogFormat | None, log_level: LogLevel | None) -> dict[str, str]:
    """The variables by which an agent and its engines log so; none: they do not log.

    >>> logging_environment(None, None), logging_environment(None, LogLevel.DEBUG)
    ({}, {'LIMNAD_LOG_FORMAT': 'text', 'LIMNAD_LOG_LEVEL': 'debug'})
    """
    if log_format is None and log_level is None:
        return {}
    told_format, told_level = log_format or LogFormat.TEXT, log_level or LogLevel.INFO
    return {"LIMNAD_LOG_FORMAT": told_format.value, "LIMNAD_LOG_LEVEL": told_level.value}
