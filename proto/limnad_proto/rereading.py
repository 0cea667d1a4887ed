"""Files that are read again when they have changed: certificates and tokens are renewed under a process that runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

Signature = tuple[tuple[int, ...] | None, ...]


class Rereading(Generic[T]):
    """What is made of some files.

    Law: `get` looks whether the files have changed, and reads them only then. What cannot be read or used leaves what
    there was before, or the fallback, until the files change again; a log line says so once.

    Args:
        paths: The files.
        make: From their contents, in that order.
        fallback: What there is while they cannot be used; None: what there was before.

    Raises:
        OSError: One cannot be read now.
        ValueError: They cannot be used: what ``make`` raises.
    """

    def __init__(
        self, paths: Sequence[str | Path], make: Callable[[Sequence[bytes]], T], fallback: T | None = None
    ) -> None:
        self._fallback = fallback
        self._paths = [Path(path) for path in paths]
        self._make = make
        self._lock = threading.Lock()  # gRPC asks from threads of its own.
        self._seen = self._signature()
        self._value = self._read()

    def get(self) -> T:
        """What there is now."""
        with self._lock:
            seen = self._signature()
            if seen != self._seen:
                # Noted first: whatever is written while they are read counts as another change.
                self._seen = seen
                try:
                    self._value = self._read()
                except (OSError, ValueError) as error:
                    _LOG.warning("%s cannot be used as it is now: %s", self._names(), error)
                    if self._fallback is not None:
                        self._value = self._fallback
                else:
                    _LOG.info("%s has changed and was read again", self._names())
            return self._value

    def _read(self) -> T:
        return self._make([path.read_bytes() for path in self._paths])

    def _names(self) -> str:
        return ", ".join(map(str, self._paths))

    def _signature(self) -> Signature:
        return tuple(map(_signature_of, self._paths))


def _signature_of(path: Path) -> tuple[int, ...] | None:
    """Of the file that a link leads to: Kubernetes changes all files of a Secret by turning one link."""
    try:
        told = path.stat()
    except OSError:
        return None
    return (told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns)
