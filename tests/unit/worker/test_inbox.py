"""The engine's inbox and its event loop."""

import socket

from limnad_worker.inbox import Inbox


def test_a_ring_ends_one_wait_and_only_one() -> None:
    inbox = Inbox()
    inbox.ring(0.0)
    inbox.ring(0.0)
    assert inbox.wait() is None
    inbox._loop.call_later(0.0, inbox.put, "news")
    assert inbox.wait() == "news"
    inbox.close()


class Stirring:
    """A socket on which there is always something to read; what is read is news each third time."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._turns = 0
        self._ours, self._other = socket.socketpair()
        self._other.send(b"!")
        inbox._loop.add_reader(self._ours, self._read)

    def _read(self) -> None:
        self._turns += 1
        if self._turns % 3 == 0:
            self._inbox.put(self._turns)

    def close(self) -> None:
        self._inbox._loop.remove_reader(self._ours)
        self._ours.close()
        self._other.close()


def test_streams_may_move_for_as_long_as_they_could_not_but_no_longer() -> None:
    """A message takes several turns of the loop: one turn for each long callback would let them pile up."""
    inbox = Inbox()
    stirring = Stirring(inbox)
    inbox.poll()
    assert inbox.take() is None
    inbox.poll(busy_s=0.05)  # It does come back, though there is more to read.
    assert [inbox.take() for _ in range(3)] == [3, 6, 9]
    stirring.close()
    inbox.close()
