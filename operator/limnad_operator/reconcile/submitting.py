"""What is submitted for a `LimnadJob`: its digest says whether something else is wanted than what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limnad_operator.manifests.naming import digest
from limnad_operator.model import ClusterSpec, JobSpec, seconds
from limnad_operator.reconcile.plan import Call, Object, Operation

OF_THE_CALL = ("resume", "replace", "request_id")
"""Values of a call that say how to submit, not what."""

NAME_LETTERS = 54
"""Of the object's name in the job's: a job's name has 63."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What is to run.

    Attributes:
        problem: Why it cannot be submitted; empty: it can.
        values: Of the call; see `limnad_operator.shell.leaders`.
    """

    problem: str
    values: tuple[tuple[str, Any], ...] = ()

    @property
    def digest(self) -> str:
        """Of all that makes it another job. Its width is not in it: that is changed while it runs."""
        return digest([list(each) for each in self.values if each[0] != "width"])


def leader_name(object_: Object) -> str:
    """A job's name at its leader: an object that was deleted and made again is another job."""
    metadata = object_["metadata"]
    return f"{metadata['name'][:NAME_LETTERS].rstrip('.-')}-{metadata['uid'][:8]}"


def owner(object_: Object) -> str:
    """What a job's leader is told of who owns it, and tells whoever wants to change it."""
    metadata = object_["metadata"]
    return f"LimnadJob {metadata['namespace']}/{metadata['name']}"


def submission(spec: JobSpec, cluster: ClusterSpec, config_map: Mapping[str, str] | None) -> Submission:
    """What a spec asks for."""
    source = spec.source
    if source.image is not None:
        code: dict[str, Any] = {"path": source.image.path}
    elif source.config_map is not None:
        ref = source.config_map
        if config_map is None:
            return Submission(f"there is no ConfigMap {ref.name!r}, which spec.source.configMap names: make it")
        if ref.key not in config_map:
            return Submission(
                f"ConfigMap {ref.name!r} has no key {ref.key!r}, which spec.source.configMap names: add it"
            )
        code = {"text": config_map[ref.key]}
    else:
        code = {"text": source.inline or ""}
    own = spec.checkpoint
    values = {
        **code,
        "function": spec.function,
        "arguments": tuple(sorted(spec.arguments.items())),
        "delivery": spec.delivery.lower(),
        "every_s": seconds(own.interval or cluster.checkpoint.interval),
        "timeout_s": seconds(own.timeout or cluster.checkpoint.timeout),
        "keep": own.keep or cluster.checkpoint.keep,
        "width": spec.width,
    }
    return Submission("", tuple(values.items()))


def digest_of(call: Call) -> str:
    """Of what was submitted by that call, which may not be what is wanted any more."""
    return Submission("", tuple(each for each in call.values if each[0] not in OF_THE_CALL)).digest


def call(object_: Object, wanted: Submission, submissions: int, *, resume: bool, replace: bool) -> Call:
    """Asks the leader to run it. The same number of submissions is the same request."""
    values = {
        **dict(wanted.values),
        "resume": resume,
        "replace": replace,
        "request_id": f"{object_['metadata']['uid']}-{submissions}",
    }
    return Call(Operation.SUBMIT, leader_name(object_), owner(object_), tuple(values.items()))
