"""Lines of text files, as frames."""

from __future__ import annotations

import codecs
import math
import os
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Literal, Unpack

import numpy as np
import polars as pl

from limnad.connectors.epochs import ALL_AT_ONCE, EpochRule, by_time
from limnad.connectors.options import LineOptions
from limnad.connectors.splits import Paths, Piece, check_layout, deal, find_files, layout_of
from limnad.errors import InputError
from limnad.timely.source import Answer, Cut, End, Idle, Position, Rows

BATCH_BYTES = 4 << 20
"""How much of the input makes one batch: large enough that a batch's fixed cost of some 100 us is one in a hundred."""

FOLLOW_RETRY_S = 0.1
"""How often a file that is followed is looked at again."""

MAX_FIELD = 4 << 20
"""Bytes: a longer quoted field is taken for a quote that somebody forgot to close."""

_BLOCK: Final = 1 << 16

# The reader of Polars 2 is some four times as fast as splitting, but called unstable; older ones do not have it.
_READ_LINES: Final[Any] = getattr(pl, "read_lines", None)

TEXT_SUFFIXES = (".txt", ".log", ".md", ".py", ".text")


class LineFiles:
    """Files of lines, cut into partitions and batches at line ends; subclasses say what a line is.

    Args:
        paths: A path, a glob (``**`` too), a folder, or several of these; expanded once, sorted.
        suffixes: Of the files that count in a folder.
        epochs: See `limnad.connectors.by_size`, `by_file` and `by_time`; by default everything is epoch 0.
        splits: Into at most how many partitions the files are dealt.
        batch_bytes: How much of the input makes one batch.
        follow: Never end: wait for lines that are appended.
        cut: Whether a file may be cut into several partitions.
        quote: A newline between two of these bytes ends no row.

    Raises:
        InputError: A path names nothing.
    """

    schema: pl.Schema

    def __init__(
        self,
        paths: Paths,
        suffixes: Sequence[str],
        *,
        epochs: EpochRule | None = None,
        splits: int = 16,
        batch_bytes: int = BATCH_BYTES,
        follow: bool = False,
        cut: bool = True,
        quote: bytes = b"",
    ) -> None:
        for name, value in (("splits", splits), ("batch_bytes", batch_bytes)):
            if value < 1:
                raise InputError(f"{name} is at least 1, not {value}")
        if epochs is not None and epochs.rows:
            raise InputError("files are cut by bytes, not by rows: use by_size(), by_file() or by_time()")
        if follow and epochs is not None and epochs.by_file:
            raise InputError("a file that is followed never ends, nor would its epoch: use by_time(), not by_file()")
        self.files = find_files(paths, suffixes)
        self.epochs = epochs or (by_time(1.0) if follow else ALL_AT_ONCE)
        self.batch_bytes = batch_bytes
        self.follow = follow
        self.quote = quote
        sizes = [(path, _size(path)) for path in self.files]
        if follow:
            self._pieces = [[Piece(path, number, 0, None)] for number, path in enumerate(self.files)]
        else:
            self._pieces = deal(sizes, splits, cut)
        self.layout = layout_of(self._pieces)
        self.zero_s = math.inf
        self._what = paths if isinstance(paths, str) else f"{len(self.files)} files"

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return [f"{pieces[0].path}@{pieces[0].start}" for pieces in self._pieces]

    def open(self, partition: str, position: Position | None) -> LineReader:
        """See `limnad.timely.source.Source`."""
        pieces = self._pieces[list(self.partitions()).index(partition)]
        check_layout(position, self.layout)
        return LineReader(self, pieces, position)

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return f"{self._what}"

    @property
    def timed(self) -> bool:
        """See `limnad.timely.source.TimedSource`."""
        return self.epochs.seconds > 0

    @property
    def steady(self) -> bool:
        """See `limnad.timely.source.SteadySource`; with an epoch for each file, partitions have epochs of their own."""
        return not self.follow and self.epochs.size_bytes > 0

    def stands_at(self, epoch: int) -> None:
        """Some partition is at that epoch: the clock counts from there on, for all of them."""
        self.zero_s = min(self.zero_s, self.epochs.clock() - epoch * self.epochs.seconds)

    def parse(self, parts: list[tuple[str, int, bytes]]) -> pl.DataFrame:
        """Turns whole lines into a frame; each part is a file, the byte at which it starts, and its bytes."""
        raise NotImplementedError

    def body_start(self, path: str) -> int | None:
        """The byte at which a file's lines begin: behind a header, if it has one; None: that cannot be seen yet."""
        del path
        return 0


class LineReader:
    """Reads the pieces of one partition. A line belongs to the piece in which it begins."""

    def __init__(self, source: LineFiles, pieces: list[Piece], position: Position | None) -> None:
        self._source = source
        self._pieces = pieces
        self._piece = 0 if position is None else int(position["piece"])
        self._offset: int | None = None if position is None else position["offset"]
        self._bytes = 0 if position is None else int(position["bytes"])
        self._epoch = 0 if position is None else int(position["epoch"])
        self._inode: int | None = None
        self._cuts: deque[Cut] = deque()
        self._begun = self._epoch
        source.stands_at(self._epoch)

    def repeat(self, cuts: Sequence[Cut]) -> None:
        """See `limnad.timely.source.TimedReader`."""
        self._cuts.extend(cuts)

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`.

        Raises:
            InputError: A file is not what it should be.
        """
        parts: list[tuple[str, int, bytes]] = []
        gathered, epoch = 0, None
        while self._piece < len(self._pieces) and gathered < self._source.batch_bytes:
            piece = self._pieces[self._piece]
            next_epoch = self._next_epoch(piece)
            if parts and next_epoch != epoch:
                break
            epoch = next_epoch
            part = self._part(piece, self._room(gathered))
            if part is None:
                if self._source.follow:
                    break
                self._piece, self._offset = self._piece + 1, None
                continue
            parts.append(part)
            gathered += len(part[2])
        if not parts:
            return self._nothing(epoch)
        self._epoch = epoch or 0
        return Rows(self._epoch, self._source.parse(parts))

    def _next_epoch(self, piece: Piece) -> int:
        """Of the row that is read next."""
        source = self._source
        while self._cuts and (cut := self._cuts[0]).epoch is not None and self._bytes >= cut.position["bytes"]:
            self._begun = cut.epoch
            self._cuts.popleft()
            source.stands_at(cut.epoch)
        epoch = max(self._epoch, self._begun)
        if self._cuts:
            return epoch
        return source.epochs.epoch(piece.file_number, self._bytes, epoch, source.zero_s)

    def _nothing(self, epoch: int | None) -> Answer:
        source = self._source
        if not source.follow:
            # By file, the empty files at the end are epochs too.
            return End(max(1, self._epoch + 1, len(source.files) if source.epochs.by_file else 0))
        if epoch is not None and epoch > self._epoch:
            self._epoch = epoch
            return Rows(epoch)
        return Idle(FOLLOW_RETRY_S)

    def _room(self, gathered: int) -> int:
        room = self._source.batch_bytes - gathered
        if self._cuts and self._cuts[0].epoch is not None:
            room = min(room, self._cuts[0].position["bytes"] - self._bytes)
        size = self._source.epochs.size_bytes
        return min(room, size - self._bytes % size) if size else room

    def _part(self, piece: Piece, room: int) -> tuple[str, int, bytes] | None:
        """The next whole rows of a piece, about ``room`` bytes of them; None at its end."""
        if piece.end is not None and (self._offset or piece.start) >= piece.end:
            return None
        try:
            handle = os.open(piece.path, os.O_RDONLY)
        except OSError as error:
            raise InputError(f"{piece.path} cannot be read: {error.strerror}") from None
        try:
            return self._read(handle, piece, room)
        finally:
            os.close(handle)

    def _read(self, handle: int, piece: Piece, room: int) -> tuple[str, int, bytes] | None:
        if self._source.follow:
            self._check_same_file(handle, piece)
        if self._offset is None:
            self._offset = self._first_row(handle, piece)
        start = self._offset
        if start is None:
            return None
        wanted = room if piece.end is None else max(0, min(room, piece.end - start))
        data = os.pread(handle, wanted, start)
        if piece.end is not None and len(data) < wanted:
            raise InputError(
                f"{piece.path} is shorter than the {piece.end:,} bytes that it had when the flow was built: files must "
                "not change while they are read"
            )
        data = self._to_row_end(handle, start, data) if data else data
        if not data:
            return None
        self._offset = start + len(data)
        self._bytes += len(data)
        if start == 0 and data.startswith(codecs.BOM_UTF8):
            return piece.path, len(codecs.BOM_UTF8), data[len(codecs.BOM_UTF8) :]
        return piece.path, start, data

    def _first_row(self, handle: int, piece: Piece) -> int | None:
        """Where the piece's first row begins; None: that cannot be seen yet."""
        if piece.start == 0:
            return self._source.body_start(piece.path)
        # The line that lies across the border belongs to the piece before.
        at = piece.start - 1
        while block := os.pread(handle, _BLOCK, at):
            if end := block.find(b"\n") + 1:
                return at + end
            at += len(block)
        return at

    def _to_row_end(self, handle: int, start: int, data: bytes) -> bytes:
        """``data``, which begins with a row, and what is missing of its last one."""
        quote = self._source.quote
        quoted = bool(quote) and data.count(quote) % 2 == 1
        if data.endswith(b"\n") and not quoted:
            return data
        blocks, at = [data], start + len(data)
        while block := os.pread(handle, _BLOCK, at):
            line = 0
            while end := block.find(b"\n", line) + 1:
                quoted ^= bool(quote) and block.count(quote, line, end) % 2 == 1
                line = end
                if not quoted:
                    return b"".join((*blocks, block[:end]))
            quoted ^= bool(quote) and block.count(quote, line) % 2 == 1
            blocks.append(block)
            at += len(block)
            if quoted and at - start - len(data) > max(MAX_FIELD, self._source.batch_bytes):
                raise InputError(
                    f"{self._pieces[self._piece].path}: a quoted field open at byte {start + len(data):,} is not "
                    f"closed within {at - start - len(data):,} bytes: mend the file, or read it with quote_char=None"
                )
        whole = b"".join(blocks)
        if not self._source.follow:
            return whole
        # Somebody is still writing the last row: it waits.
        end = whole.rfind(b"\n") + 1
        while quote and end and whole.count(quote, 0, end) % 2:
            end = whole.rfind(b"\n", 0, end - 1) + 1
        return whole[:end]

    def _check_same_file(self, handle: int, piece: Piece) -> None:
        status = os.fstat(handle)
        known, self._inode = self._inode, status.st_ino
        resumed = known is None and self._offset
        if (
            status.st_size < (self._offset or 0)
            or (known is not None and known != status.st_ino)
            or (resumed and os.pread(handle, 1, resumed - 1) != b"\n")
        ):
            raise InputError(
                f"{piece.path} was cut or replaced while it was followed: it is not the file any more of which "
                f"{self._offset or 0:,} bytes were read. Follow files that only grow, and start the job anew"
            )

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        place = {"piece": self._piece, "offset": self._offset, "bytes": self._bytes, "epoch": self._epoch}
        return {"layout": self._source.layout, **place}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""


class TextFiles(LineFiles):
    r"""Lines of text files: a column ``line``, without line ends.

    Args:
        paths: A path, a glob (``**`` too), a folder, or several of these; expanded once, sorted.
        encoding: One in which only the byte 10 is a line end: not UTF-16 or UTF-32.
        include_path: Adds a column ``path``.
        errors: For bytes that do not fit the encoding: ``"fail"`` names file and byte, ``"replace"`` reads ``\ufffd``.
        options: See `LineFiles`.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        encoding: str = "utf-8",
        include_path: bool = False,
        errors: Literal["fail", "replace"] = "fail",
        **options: Unpack[LineOptions],
    ) -> None:
        if errors not in ("fail", "replace"):
            raise InputError(f"errors is 'fail' or 'replace', not {errors!r}")
        super().__init__(paths, TEXT_SUFFIXES, **options)
        self._encoding = _checked_encoding(encoding)
        self._include_path = include_path
        self._errors = errors
        columns = {"path": pl.String} if include_path else {}
        self.schema = pl.Schema({**columns, "line": pl.String})

    def parse(self, parts: list[tuple[str, int, bytes]]) -> pl.DataFrame:
        """See `LineFiles.parse`."""
        texts = [data if data.endswith(b"\n") else data + b"\n" for _, _, data in parts if data]
        lines = self._lines(parts, texts)
        if not self._include_path:
            return lines.to_frame()
        counts = np.array([text.count(b"\n") for text in texts], dtype=np.int64)
        paths = pl.Series("path", [path for path, _, data in parts if data], dtype=pl.String)
        return pl.DataFrame([paths.gather(np.repeat(np.arange(len(counts)), counts)), lines])

    def _lines(self, parts: list[tuple[str, int, bytes]], texts: list[bytes]) -> pl.Series:
        if self._encoding == "utf-8":
            try:
                return lines_of(b"".join(texts))
            except pl.exceptions.ComputeError:
                pass  # some file is not UTF-8
        return lines_of("".join(self._decoded(part) for part in parts if part[2]).encode())

    def _decoded(self, part: tuple[str, int, bytes]) -> str:
        path, start, data = part
        whole = data if data.endswith(b"\n") else data + b"\n"
        try:
            return whole.decode(self._encoding, errors="strict" if self._errors == "fail" else "replace")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, byte {start + error.start:,} is not {self._encoding.upper()}: read with errors='replace', "
                "say its encoding, or convert the file"
            ) from None


def lines_of(text: bytes) -> pl.Series:
    r"""UTF-8 text as a series of lines, without ``\n`` and ``\r\n``; nothing else ends a line.

    >>> lines_of(b"a\r\n\nb").to_list()
    ['a', '', 'b']

    Raises:
        polars.exceptions.ComputeError: It is not UTF-8.
    """
    if _READ_LINES is not None:
        series: pl.Series = _READ_LINES(text).to_series()
        return series
    if not text:
        return pl.Series("line", [], dtype=pl.String)
    whole = text.removesuffix(b"\n").removesuffix(b"\r").replace(b"\r\n", b"\n")
    return pl.Series("line", [whole], dtype=pl.Binary).cast(pl.String).str.split("\n").explode()


def _checked_encoding(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        plain = "\n".encode(name) == b"\n"
    except LookupError:
        raise InputError(f"there is no encoding {encoding!r}") from None
    if not plain:
        raise InputError(f"files in {encoding!r} cannot be cut at line ends: convert them to UTF-8")
    return "utf-8" if name in ("ascii", "utf-8-sig") else name


def _size(path: str) -> int:
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - thousands of files
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: permission denied")
    return size
