"""What the golden scripts say to a leader.

run workers=N
attached W ADDRESS | built W FINGERPRINT STAGE,STAGE | finished W
failed W job|link|engine WORDS | exited W WORDS | cancel | after SECONDS
"""

from __future__ import annotations

from collections.abc import Callable

from limnad.cluster.leader import (
    Attached,
    Built,
    Cancel,
    Changed,
    Conclude,
    Effect,
    Event,
    Exited,
    Failed,
    Failure,
    Fault,
    Finished,
    Kill,
    Run,
    SendPrepare,
    SendStart,
    SendStop,
    Tick,
)
from tests.helpers.golden import ScriptError

_EVENTS: dict[str, Callable[..., Event]] = {
    "attached": lambda who, address: Attached(int(who), address),
    "built": lambda who, fingerprint, stages: Built(int(who), fingerprint, tuple(stages.split(","))),
    "finished": lambda who: Finished(int(who)),
    "failed": lambda who, fault, *words: Failed(int(who), Failure(Fault(fault), " ".join(words), int(who))),
    "exited": lambda who, *words: Exited(int(who), " ".join(words)),
    "cancel": Cancel,
}


class LeaderTalk:
    """A leader and its clock. Call it with a command."""

    def __init__(self) -> None:
        self.leader = Run(0)
        self.now_s = 0.0

    def __call__(self, command: str) -> list[str]:
        verb, *words = command.split()
        event: Event
        if verb == "run":
            self.leader, self.now_s = Run(int(words[0].removeprefix("workers="))), 0.0
            return []
        if verb == "after":
            self.now_s += float(words[0])
            event = Tick()
        elif verb in _EVENTS:
            event = _EVENTS[verb](*words)
        else:
            raise ScriptError(f"there is no command {verb!r}")
        told = [self._effect(effect) for effect in self.leader.handle(event, self.now_s)]
        return told or ["does nothing"]

    def _effect(self, effect: Effect) -> str:
        match effect:
            case Conclude():
                return "make a last checkpoint"
            case SendPrepare(worker):
                return f"to worker {worker}: build the job's graph"
            case SendStart(worker, members, _):
                return f"to worker {worker}: start, the members are {', '.join(members)}"
            case SendStop(worker):
                return f"to worker {worker}: stop, all have finished"
            case Kill(worker):
                return f"end the process of worker {worker}"
            case Changed(state):
                failure = self.leader.failure
                return f"the run is {state.value}" + (f": {failure.summary}" if failure else "")
