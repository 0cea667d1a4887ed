"""What the golden scripts say to a leader.

run workers=N [progress=MODE]
attached W ADDRESS | built W FINGERPRINT STAGE,STAGE | assigned ADDRESS IDENTITY | finished W
failed W job|link|engine WORDS | exited W WORDS (W: coordinator, too) | cancel | after SECONDS
"""

from __future__ import annotations

from collections.abc import Callable

from limnad.cluster.effects import COORDINATOR
from limnad.cluster.leader import (
    Appointed,
    Assign,
    Assigned,
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
from limnad.timely.progress import Accumulation
from tests.helpers.golden import ScriptError

_EVENTS: dict[str, Callable[..., Event]] = {
    "attached": lambda who, address: Attached(int(who), address),
    "built": lambda who, fingerprint, stages: Built(int(who), fingerprint, tuple(stages.split(","))),
    "finished": lambda who: Finished(int(who)),
    "failed": lambda who, fault, *words: Failed(int(who), Failure(Fault(fault), " ".join(words), int(who))),
    "assigned": lambda address, identity: Assigned(Appointed(address, identity)),
    "exited": lambda who, *words: Exited(COORDINATOR if who == "coordinator" else int(who), " ".join(words)),
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
            given = dict(word.split("=") for word in words)
            mode = Accumulation(given.get("progress", "local"))
            self.leader, self.now_s = Run(int(given["workers"]), mode), 0.0
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
            case Assign():
                return "assign the generation to a coordinator"
            case SendStart(worker, members, _, named):
                sums = f", coordinator {named.identity} is at {named.address}" if named else ""
                return f"to worker {worker}: start, the members are {', '.join(members)}{sums}"
            case SendStop(worker):
                return f"to worker {worker}: stop, all have finished"
            case Kill(worker):
                return f"end the process of worker {worker}"
            case Changed(state):
                failure = self.leader.failure
                return f"the run is {state.value}" + (f": {failure.summary}" if failure else "")
