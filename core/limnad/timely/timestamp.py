"""Logical timestamps: an epoch and one counter for each loop around a location.

A timestamp is the plain tuple ``(epoch, c1, ..., ck)``: plain, because millions are made, hashed and compared.
Its order (Naiad, section 2.1) is *partial*: the epochs must be ordered **and** the loop counters must be ordered
lexicographically. Python's own ``<=`` on the same tuples is a total order that extends it: good for picking what to
run first, wrong for deciding what may still happen. Use `less_equal`.

>>> less_equal((1, 5), (2, 5)), less_equal((1, 5), (2, 4)), (1, 5) <= (2, 4)
(True, False, True)
"""

from typing import Final, TypeAlias

Timestamp: TypeAlias = tuple[int, ...]
"""``(epoch, c1, ..., ck)``; times are comparable only at equal depth ``k``."""

TOP: Final[Timestamp] = ()
"""The capability to send at no time at all: later than every time, so it holds up nobody (a purge notification)."""


END: Final = 1 << 62
"""The epoch behind all epochs: it begins when all inputs have ended. A vertex that says `Vertex.at_end` may be notified
of ``(END,)``; what it sends then, outputs show as one more epoch, with the number behind the last."""


def less_equal(left: Timestamp, right: Timestamp) -> bool:
    """Whether a message at ``left`` may still cause one at ``right`` at the same location.

    Laws: reflexive, antisymmetric, transitive; ``less_equal(a, b)`` implies ``a <= b`` as tuples.

    >>> less_equal((0, 1, 9), (0, 2, 0)), less_equal((0, 2, 0), (1, 1, 9))
    (True, False)
    """
    return left[0] <= right[0] and left[1:] <= right[1:]


def join(left: Timestamp, right: Timestamp) -> Timestamp:
    """The least time that is `less_equal` above both.

    >>> join((0, 3), (2, 1))
    (2, 3)
    """
    return (max(left[0], right[0]), *max(left[1:], right[1:]))


def meet(left: Timestamp, right: Timestamp) -> Timestamp:
    """The greatest time that is `less_equal` below both.

    >>> meet((0, 3), (2, 1))
    (0, 1)
    """
    return (min(left[0], right[0]), *min(left[1:], right[1:]))
