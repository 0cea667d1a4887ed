"""Files and parts of files, dealt out to a fixed number of partitions."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from limnad.errors import InputError
from limnad.timely.source import Position

Paths = str | Path | Sequence[str | Path]

MIN_PARTITION = 1 << 16
"""Bytes (or rows): a partition is not made smaller than this by cutting files; less is not worth its bookkeeping."""


class InputNotFound(InputError, FileNotFoundError):
    """There is no file where the job looks for its input."""


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
        InputNotFound: One of them names nothing.
    """
    found: set[str] = set()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        matches = _expand(str(path), suffixes)
        if not matches:
            raise InputNotFound(_nothing(str(path), suffixes))
        found.update(matches)
    if not found:
        raise InputNotFound("no input files: the list of paths is empty")
    return sorted(found)


def _expand(path: str, suffixes: Sequence[str]) -> list[str]:
    if Path(path).is_dir():
        # Hidden files and folders do not count, as in globs: .git is no input.
        return [
            str(file)
            for file in Path(path).rglob("*")
            if file.suffix in suffixes
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
            and file.is_file()
        ]
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
    total = sum(max(1, size) for _, size in sizes)
    target = max(1, -(-total // partitions), MIN_PARTITION)
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


def layout_of(pieces: Sequence[Sequence[Piece]]) -> str:
    """A digest of how the input is cut; positions carry it, for in another layout they mean other bytes."""
    return sha256(repr(pieces).encode()).hexdigest()[:16]


def check_layout(position: Position | None, layout: str) -> None:
    """Refuses a position that belongs to another set of files.

    Raises:
        InputError: It does.
    """
    if position is not None and position["layout"] != layout:
        raise InputError(
            "the input files are not those that were being read when the position was taken: files were added, removed "
            "or changed in size. Bring them back as they were, or start the job anew"
        )
