"""Files and parts of files, dealt out to a fixed number of partitions."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limnad.errors import InputError

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file.

    Attributes:
        path: The file.
        file_number: In the sorted list of all files.
        start: First byte (or row group).
        end: One past the last; None: to wherever the file ends.
    """

    path: str
    file_number: int
    start: int
    end: int | None


def find_files(paths: Paths, suffixes: Sequence[str]) -> list[str]:
    """All files that paths, globs and folders name, each once, sorted.

    Raises:
        InputError: One of them names nothing.
    """
    found: set[str] = set()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        matches = _expand(str(path), suffixes)
        if not matches:
            raise InputError(_nothing(str(path), suffixes))
        found.update(matches)
    if not found:
        raise InputError("no input files: the list of paths is empty")
    return sorted(found)


def _expand(path: str, suffixes: Sequence[str]) -> list[str]:
    if Path(path).is_dir():
        return [str(file) for file in Path(path).rglob("*") if file.is_file() and file.suffix in suffixes]
    if Path(path).is_file():
        return [path]
    return [match for match in glob.glob(path, recursive=True) if Path(match).is_file()]


def _nothing(path: str, suffixes: Sequence[str]) -> str:
    if Path(path).is_dir():
        return f"the folder {path!r} holds no file that ends in {' or '.join(suffixes)}"
    if glob.has_magic(path):
        return f"no file matches {path!r} (looked from {Path.cwd()})"
    return f"there is no file {path!r} (looked from {Path.cwd()})"


def deal(sizes: Sequence[tuple[str, int]], partitions: int, cut: bool) -> list[list[Piece]]:
    """Deals files out to at most so many partitions of about equal size, in order.

    Args:
        sizes: Each file and its size.
        partitions: At most so many.
        cut: Whether files may be cut into parts.
    """
    total = sum(size for _, size in sizes)
    target = max(1, -(-total // partitions), 1 << 16)
    dealt: list[list[Piece]] = [[]]
    room = target
    for number, (path, size) in enumerate(sizes):
        start = 0
        while True:
            if room <= 0:
                dealt.append([])
                room = target
            end = min(size, start + room) if cut else size
            dealt[-1].append(Piece(path, number, start, end))
            room -= max(1, end - start)
            if end >= size:
                break
            start = end
    return dealt
