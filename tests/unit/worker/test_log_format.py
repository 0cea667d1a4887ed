import json
import logging
import sys
from typing import Any

import pytest

from limnad.cli.logging_options import logging_environment
from limnad_worker import log_format
from limnad_worker.log_format import JsonFormatter, TextFormatter, redact


def record(message: str, *values: Any, **fields: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "limnad_worker.job", "levelno": logging.INFO, "levelname": "INFO", **fields})
    made.msg, made.args, made.created = message, values, 1_700_000_000.25
    return made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:s3cret@host/0", "redis://:***@host/0"),
        ("see rediss://ann:s3cret@host:1, please", "see rediss://ann:***@host:1, please"),
        ("redis://ann:p@ss/w:ord@host/0", "redis://ann:***@host/0"),
        ("unix://ann:s3cret@/run/redis.sock", "unix://ann:***@/run/redis.sock"),
        ("redis://host:6379/0 and http://127.0.0.1:80/metrics", "redis://host:6379/0 and http://127.0.0.1:80/metrics"),
        ("redis://ann@host/0", "redis://ann@host/0"),
    ],
)
def test_passwords_are_cut_out(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_line_of_json_has_its_fields_in_order() -> None:
    formatter = JsonFormatter(lambda: {"job": "job-1", "generation": 2, "worker": 0, "epoch": None})
    line = formatter.format(record("read %s", "redis://:s3cret@host", epoch=7))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "limnad_worker.job",
        "message": "read redis://:***@host",
        "job": "job-1",
        "generation": 2,
        "worker": 0,
        "epoch": 7,
    }


def test_a_line_of_text() -> None:
    line = TextFormatter(lambda: {"job": "job-1"}).format(record("running", generation=3))
    assert line == "2023-11-14T22:13:20.250Z info    limnad_worker.job job=job-1 generation=3: running"


@pytest.mark.parametrize("kind", [JsonFormatter, TextFormatter])
def test_a_traceback_is_shown_without_passwords(kind: Any) -> None:
    try:
        raise ValueError("redis://:s3cret@host")
    except ValueError:
        line = kind(dict).format(record("it broke", exc_info=sys.exc_info()))
    assert "Traceback" in line
    assert "ValueError: redis://:***@host" in line


def test_a_value_that_is_no_json_is_told_as_text() -> None:
    assert json.loads(JsonFormatter(dict).format(record("at", epoch=(1, 2), stage=object)))["epoch"] == [1, 2]


def test_nobody_asked_nothing_is_set_up() -> None:
    before = list(logging.getLogger().handlers)
    log_format.set_up({})
    assert logging.getLogger().handlers == before


def test_options_become_the_environment_that_is_read() -> None:
    assert logging_environment(None, None) == {}
    told = logging_environment("json", "debug")
    assert told == {log_format.FORMAT_VARIABLE: "json", log_format.LEVEL_VARIABLE: "debug"}
    assert logging_environment(None, "error")[log_format.FORMAT_VARIABLE] == "text"
