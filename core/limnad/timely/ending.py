"""The end of all inputs: an epoch of its own, where a stage asks for it (`Vertex.at_end`).

Between vertices it is the time ``(END,)``, which is behind all epochs and so holds up none. Outputs number their
epochs, and the end's number is the one behind the last: that is known when all inputs have ended everywhere, and not
before. So what comes to a sink at ``(END,)`` waits until then.
"""

from limnad.timely.graph import LogicalGraph, StageKind
from limnad.timely.reachability import Locations
from limnad.timely.timestamp import Timestamp
from limnad.timely.tracker import Tracker


class Ending:
    """Watches for the end, as one worker knows it.

    Args:
        graph: The job's.
        locations: Those of the view.
        view: The worker's.

    Attributes:
        come: Whether all inputs have ended, and the graph wants to know.
        held: The connectors and times whose messages wait for it.
    """

    def __init__(self, graph: LogicalGraph, locations: Locations, view: Tracker) -> None:
        self.come = False
        self.held: list[tuple[int, Timestamp]] = []
        self._view = view
        inputs = [stage for stage in graph.stages if stage.kind is StageKind.INPUT]
        self._inputs = [locations.of_stage(stage) for stage in inputs] if graph.has_end else []

    def comes(self) -> bool:
        """Whether the end has come since the last call. To be asked when all workers' initial counts are known."""
        if self.come or not self._inputs or any(self._view.implied[location].frontier for location in self._inputs):
            return False
        self.come = True
        return True
