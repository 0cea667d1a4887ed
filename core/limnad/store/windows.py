"""Work in windows: as much at once as makes a round trip cheap, as little as keeps memory bounded."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

WINDOW_BYTES: Final = 8 << 20
WINDOW_ITEMS: Final = 512

T = TypeVar("T")


def windows(items: Iterable[T], nbytes: Callable[[T], int] = lambda _: 0) -> Iterator[list[T]]:
    """Cuts behind each item with which a window has `WINDOW_BYTES` or `WINDOW_ITEMS`; no window is empty.

    >>> [len(window) for window in windows(range(1000))]
    [512, 488]
    """
    window: list[T] = []
    gathered = 0
    for item in items:
        window.append(item)
        gathered += nbytes(item)
        if gathered >= WINDOW_BYTES or len(window) >= WINDOW_ITEMS:
            yield window
            window, gathered = [], 0
    if window:
        yield window
