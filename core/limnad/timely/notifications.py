"""The notifications that one vertex has asked for and not got yet."""

from bisect import bisect_left, insort
from collections.abc import Sequence

from limnad.timely.antichain import MutableAntichain
from limnad.timely.timestamp import Timestamp


class Requests:
    """Requested guarantee times, each with the capabilities it was asked with.

    Requests for the same guarantee coalesce into one notification that may use any of their capabilities.
    """

    __slots__ = ("_capabilities", "_guarantees")

    def __init__(self) -> None:
        self._guarantees: list[Timestamp] = []
        self._capabilities: dict[Timestamp, set[Timestamp]] = {}

    def __len__(self) -> int:
        return len(self._guarantees)

    def items(self) -> list[tuple[Timestamp, frozenset[Timestamp]]]:
        """Every request, earliest guarantee first."""
        return [(guarantee, frozenset(self._capabilities[guarantee])) for guarantee in self._guarantees]

    def add(self, guarantee: Timestamp, capability: Timestamp) -> bool:
        """Adds a request; False if the same one waits already."""
        known = self._capabilities.get(guarantee)
        if known is None:
            self._capabilities[guarantee] = {capability}
            insort(self._guarantees, guarantee)
            return True
        if capability in known:
            return False
        known.add(capability)
        return True

    def take_ready(self, frontiers: Sequence[MutableAntichain]) -> list[tuple[Timestamp, set[Timestamp]]]:
        """Removes and returns what no input frontier covers any more, earliest guarantee first.

        Walks the requests epoch by epoch: a time that is blocked blocks the later ones of its epoch too.
        """
        ready: list[tuple[Timestamp, set[Timestamp]]] = []
        guarantees = self._guarantees
        place = 0
        while place < len(guarantees):
            guarantee = guarantees[place]
            if not any(frontier.covers(guarantee) for frontier in frontiers):
                del guarantees[place]
                ready.append((guarantee, self._capabilities.pop(guarantee)))
                continue
            if _blocks_all_later(guarantee, frontiers):
                break
            place = bisect_left(guarantees, (guarantee[0] + 1,), place + 1)
        return ready


def _blocks_all_later(guarantee: Timestamp, frontiers: Sequence[MutableAntichain]) -> bool:
    """Whether some frontier element of this epoch or an earlier one has no counters above zero."""
    return any(
        frontier.frontier and frontier.covers((guarantee[0], *(0,) * (len(guarantee) - 1))) for frontier in frontiers
    )
