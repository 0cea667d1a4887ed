"""Turns what a job raised into what its user wants to read: their own frames first, ours not at all."""

from __future__ import annotations

import traceback
from functools import cache
from importlib.util import find_spec

from limnad.errors import InputError, JobError, JobFailed, LimnadError


def undescribed(error: BaseException) -> JobFailed:
    """What a job raised while it described its dataflow."""
    known = isinstance(error, (JobError, InputError, OSError))
    origin = "" if known else "\nThis came from the job's own code while it described its dataflow."
    return JobFailed(brief(error) + origin, user_traceback(error))


def brief(error: BaseException) -> str:
    """An error in one paragraph; ours have one already."""
    text = str(error).strip()
    if isinstance(error, LimnadError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def user_traceback(error: BaseException) -> str:
    """The traceback with only the user's frames and those of libraries they called; empty where none is left."""
    shown = traceback.TracebackException.from_exception(error)
    kept = _without_ours(shown)
    return "".join(shown.format()).rstrip() if kept else ""


def _without_ours(shown: traceback.TracebackException) -> bool:
    """Drops our frames from the whole chain of causes; whether any frame of the user's is left."""
    shown.stack = traceback.StackSummary.from_list([frame for frame in shown.stack if not _is_ours(frame.filename)])
    kept = bool(shown.stack) or hasattr(shown, "filename")  # Syntax errors have one, and may have no frame.
    context = None if shown.__suppress_context__ else shown.__context__
    for cause in (shown.__cause__, context):
        if cause is not None:
            kept |= _without_ours(cause)
    return kept


def _is_ours(filename: str) -> bool:
    return filename.startswith((*_hidden_folders(), "<frozen importlib"))


@cache
def _hidden_folders() -> tuple[str, ...]:
    """Ours, and Polars': its frames tell a user no more than its message does."""
    specs = [find_spec(package) for package in ("limnad", "limnad_worker", "polars")]
    return tuple(folder for spec in specs if spec for folder in spec.submodule_search_locations or ())
