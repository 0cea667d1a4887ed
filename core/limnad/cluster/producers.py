"""Who pushes to a hand-fed input without a name of their own, and when they may be forgotten.

A log remembers each producer's newest number, so that what is pushed twice is taken once. One with a name may come back
after a year and ask; it is never forgotten. One without is an object in a program, each such object is another one, and
they must not pile up for ever. So there are two limits, each by the clock of whoever keeps it, and far apart:

    after DOUBT_S      the client no longer repeats a push of which it does not know whether it was taken; when there
                       is none, it goes on under another name
    after FORGOTTEN_S  without a word the leader forgets a producer without a name, if all checkpoints that are kept
                       have passed its newest push

So whatever may still be repeated is remembered. A number that is not known any more would be refused as a gap.
"""

from __future__ import annotations

from collections.abc import Iterable

from limnad.limits import ANONYMOUS, FORGOTTEN_S


class Silence:
    """Since when each producer without a name has been silent."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}

    def heard(self, producer: str, now_s: float) -> None:
        """It has pushed or asked."""
        if producer.startswith(ANONYMOUS):
            self._since_s[producer] = now_s

    def found(self, producers: Iterable[str], now_s: float) -> None:
        """A log knows these: who was not heard yet may have pushed a moment ago, under another leader."""
        for producer in producers:
            if producer not in self._since_s:
                self.heard(producer, now_s)

    def long(self, now_s: float) -> set[str]:
        """Those that have been silent for long enough.

        >>> silence = Silence()
        >>> silence.heard("anonymous 1", 0.0), silence.heard("anonymous 2", 1.0), silence.heard("ann", 0.0)
        (None, None, None)
        >>> silence.long(FORGOTTEN_S)
        {'anonymous 1'}
        """
        return {producer for producer, since_s in self._since_s.items() if now_s - since_s >= FORGOTTEN_S}

    def forget(self, producers: Iterable[str]) -> None:
        """They are not remembered any more."""
        for producer in producers:
            self._since_s.pop(producer, None)
