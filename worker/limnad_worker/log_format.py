"""Structured logs: Python's ``logging``, with the job, generation, worker and epoch that a line is about.

A vertex logs as any Python code does; the fields come by themselves. Passwords in URLs are cut out of every line.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

FORMAT_VARIABLE = "LIMNAD_LOG_FORMAT"
LEVEL_VARIABLE = "LIMNAD_LOG_LEVEL"

_FIELDS = ("job", "generation", "worker", "epoch", "stage", "checkpoint")
_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):\S*@", re.IGNORECASE)


def redact(text: str) -> str:
    """Cuts passwords out of URLs.

    >>> redact("redis://ann:s3cret@host/0 is away, so is rediss://:p/@ss@host:1")
    'redis://ann:***@host/0 is away, so is rediss://:***@host:1'
    """
    return _PASSWORD.sub(r"\1:***@", text)


class _Formatter(logging.Formatter):
    """What both formats share.

    Args:
        around: The fields of this process; a record's own win.
    """

    def __init__(self, around: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._around = around

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the line is about, in a fixed order."""
        known = {**self._around(), **{name: value for name, value in vars(record).items() if name in _FIELDS}}
        return {name: known[name] for name in _FIELDS if known.get(name) is not None}

    @staticmethod
    def at(record: logging.LogRecord) -> str:
        """When, in UTC."""
        when = datetime.fromtimestamp(record.created, UTC)
        return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def trace(self, record: logging.LogRecord) -> str:
        """The traceback, if there is one."""
        return self.formatException(record.exc_info) if record.exc_info else ""


class JsonFormatter(_Formatter):
    """One JSON object for each line."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        told = {
            "time": self.at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **self.fields(record),
        }
        if trace := self.trace(record):
            told["traceback"] = redact(trace)
        return json.dumps(told, ensure_ascii=False, default=str)


class TextFormatter(_Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        fields = "".join(f" {name}={value}" for name, value in self.fields(record).items())
        line = f"{self.at(record)} {record.levelname.lower():7} {record.name}{fields}: {record.getMessage()}"
        trace = self.trace(record)
        return redact(f"{line}\n{trace}" if trace else line)


_around: Callable[[], Mapping[str, Any]] = dict


def _fields_of_process() -> Mapping[str, Any]:
    return _around()


def about(fields: Callable[[], Mapping[str, Any]]) -> None:
    """What lines of this process are about, asked for each of them."""
    global _around  # noqa: PLW0603 - one process, one handler
    _around = fields


def set_up(environment: Mapping[str, str] = os.environ) -> None:
    """Writes this process's logs to standard error, if ``LIMNAD_LOG_FORMAT`` (``text``, ``json``) asks for it.

    If it does not, Limnad logs nothing and a job's own code may set up ``logging`` as it likes.
    """
    logging.getLogger("limnad_worker").addHandler(logging.NullHandler())
    if FORMAT_VARIABLE not in environment:
        return
    kind = JsonFormatter if environment[FORMAT_VARIABLE] == "json" else TextFormatter
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(kind(_fields_of_process))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel((environment.get(LEVEL_VARIABLE) or "info").upper())
