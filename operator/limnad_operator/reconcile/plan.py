"""What is to be done: a status, events, and actions that the shell carries out in this order."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Object = dict[str, Any]
"""An object as the API server has it."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object. That it is there already is no error: another operator was faster."""

    manifest: Object


@dataclass(frozen=True, slots=True)
class Replace:
    """Write an object as it was seen, with changes; its resourceVersion is the one that was seen."""

    manifest: Object


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object.

    Attributes:
        kind: Its kind.
        name: Its name.
        uid: Which one of that name.
        grace_s: How long a pod may take to end; 0: take it for gone; None: as it says itself.
    """

    kind: str
    name: str
    uid: str
    grace_s: int | None = None


@dataclass(frozen=True, slots=True)
class SetFinalizers:
    """Say who has to agree before the object is gone."""

    finalizers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IssueCertificates:
    """Make certificates, because of ``why``."""

    why: str


@dataclass(frozen=True, slots=True)
class IssueToken:
    """Make a token for clients."""


class Operation(StrEnum):
    """What a leader is asked to do. Each may be asked again without harm."""

    RESIZE = "resize"
    SUBMIT = "submit"
    PIN = "pin"
    UNPIN = "unpin"
    RESCALE = "rescale"
    RESTORE = "restore"
    DRAIN = "drain"
    CANCEL = "cancel"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Call:
    """Ask the leader something.

    Attributes:
        operation: What.
        job: Which job; empty: the cluster.
        owner: Whose job it is.
        values: More of it; see `limnad_operator.shell.leaders`.
    """

    operation: Operation
    job: str = ""
    owner: str = ""
    values: tuple[tuple[str, Any], ...] = ()


Action = Create | Replace | Delete | SetFinalizers | IssueCertificates | IssueToken | Call


@dataclass(frozen=True, slots=True)
class Event:
    """Something to be told once, in the object's events.

    Attributes:
        reason: In a word.
        message: In a sentence.
        warning: Whether somebody should look.
        about: Which of several that might be told of at once.
        turn: What it is told of for the first time, if that is not the plan's.
    """

    reason: str
    message: str
    warning: bool = False
    about: str = ""
    turn: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        status: The whole new status; None: as it is.
        events: To be told before the status is written.
        actions: To be carried out when the status has been written, in order, until one fails.
        again_s: When to look again, if nothing happens before; None: not before something does.
        turn: What the events are told of for the first time: the same plan made again has the same.
    """

    status: Object | None = None
    events: tuple[Event, ...] = ()
    actions: tuple[Action, ...] = field(default_factory=tuple)
    again_s: float | None = None
    turn: str = ""
