"""When sources must wait: bytes that are somewhere in the cluster and not delivered yet.

Receiving is never refused, because a bounded queue in a loop deadlocks; only sources wait. Each worker knows what it
has queued itself and what it has sent that has not arrived; its peers tell the rest with their acknowledgements.
"""

from limnad.cluster.effects import Ack

BUDGET_BYTES = 64 << 20
"""Per worker: enough to keep every worker busy over a pause of a tenth of a second, small beside the state."""

BATCH_BYTES = 64 << 10
"""What a batch counts beside its rows: a thousand small ones keep a worker busy for a tenth of a second, too. Else a
source of tiny epochs would run ahead by a million of them before their rows make up a budget."""


class Backpressure:
    """One worker's estimate of the undelivered bytes of the cluster, each batch counting `BATCH_BYTES` beside its rows.

    >>> pressure = Backpressure(peers=[1], budget_bytes=BATCH_BYTES)
    >>> pressure.sent(1, 2 * BATCH_BYTES), pressure.must_wait(own_queued_bytes=60)
    (None, True)
    >>> pressure.acknowledged(peer=1, received=1, queued_bytes=0), pressure.must_wait(own_queued_bytes=60)
    (None, False)

    Attributes:
        full: Whether this worker holds so much state that nobody should read on before all is quiet.
    """

    def __init__(self, peers: list[int], budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget = budget_bytes * (len(peers) + 1)
        self._in_flight: dict[int, list[int]] = {peer: [] for peer in peers}
        self._received: dict[int, int] = dict.fromkeys(peers, 0)
        self._queued: dict[int, int] = dict.fromkeys(peers, 0)
        self._arrived: dict[int, int] = dict.fromkeys(peers, 0)
        self._told: dict[int, int] = dict.fromkeys(peers, 0)
        self._told_queued: dict[int, int] = dict.fromkeys(peers, 0)
        self._in_flight_bytes = 0
        self.full = False
        self._told_full = False
        self._full_peers: set[int] = set()

    def sent(self, peer: int, size_bytes: int) -> None:
        """A batch has gone out."""
        self._in_flight[peer].append(size_bytes)
        self._in_flight_bytes += size_bytes

    def acknowledged(self, peer: int, received: int, queued_bytes: int, *, full: bool = False) -> None:
        """A peer has told how many batches it has, what waits there, and whether it is full."""
        arrived = received - self._received[peer]
        if arrived > 0:
            flying = self._in_flight[peer]
            self._in_flight_bytes -= sum(flying[:arrived])
            del flying[:arrived]
            self._received[peer] = received
        self._queued[peer] = queued_bytes
        (self._full_peers.add if full else self._full_peers.discard)(peer)

    def arrived(self, peer: int) -> None:
        """A batch has come in."""
        self._arrived[peer] += 1

    @property
    def in_flight_bytes(self) -> int:
        """What this worker has sent and nobody has acknowledged."""
        return self._in_flight_bytes

    def undelivered_bytes(self, own_queued_bytes: int) -> int:
        """The estimate."""
        flying = self._in_flight_bytes + BATCH_BYTES * sum(map(len, self._in_flight.values()))
        return own_queued_bytes + flying + sum(self._queued.values())

    def must_wait(self, own_queued_bytes: int) -> bool:
        """Whether sources should not read on."""
        budget = 0 if self.full or self._full_peers else self._budget
        return self.undelivered_bytes(own_queued_bytes) > budget

    def acks(self, own_queued_bytes: int, idle: bool) -> list[Ack]:
        """The acknowledgements that are due: all news when idle, else what has grown by an eighth of the budget."""
        step = 1 if idle else max(1, self._budget // 8)
        due = []
        changed, self._told_full = self.full is not self._told_full, self.full
        for peer, arrived in self._arrived.items():
            new_batches = arrived != self._told[peer]
            moved = abs(own_queued_bytes - self._told_queued[peer])
            if changed or moved >= step or (new_batches and (idle or arrived - self._told[peer] >= 16)):
                self._told[peer] = arrived
                self._told_queued[peer] = own_queued_bytes
                due.append(Ack(peer, arrived, own_queued_bytes, self.full))
        return due
