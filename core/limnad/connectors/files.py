"""Lines of text files, as frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import polars as pl

from limnad.connectors.epochs import ALL_AT_ONCE, EpochRule, by_time
from limnad.connectors.splits import Paths, Piece, deal, find_files
from limnad.errors import InputError
from limnad.timely.source import Answer, End, Idle, Position, Rows

BATCH_BYTES = 4 << 20
"""How much of the input makes one batch: large enough that a batch's fixed cost of some 100 us is one in a hundred."""

FOLLOW_RETRY_S = 0.1
"""How often a file that is followed is looked at again."""

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
    ) -> None:
        self.files = find_files(paths, suffixes)
        self.epochs = epochs or (by_time(1.0) if follow else ALL_AT_ONCE)
        self.batch_bytes = batch_bytes
        self.follow = follow
        sizes = [(path, _size(path)) for path in self.files]
        if follow:
            self._pieces = [[Piece(path, number, 0, None)] for number, path in enumerate(self.files)]
        else:
            self._pieces = deal(sizes, splits, cut)
        self._what = paths if isinstance(paths, str) else f"{len(self.files)} files"

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return [f"{pieces[0].path}@{pieces[0].start}" for pieces in self._pieces]

    def open(self, partition: str, position: Position | None) -> LineReader:
        """See `limnad.timely.source.Source`."""
        pieces = self._pieces[list(self.partitions()).index(partition)]
        return LineReader(self, pieces, position)

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return f"{self._what}"

    def parse(self, parts: list[tuple[str, int, bytes]]) -> pl.DataFrame:
        """Turns whole lines into a frame; each part is a file, the byte at which it starts, and its bytes."""
        raise NotImplementedError

    def body_start(self, path: str) -> int:
        """The byte at which a file's lines begin: behind a header, if it has one."""
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
        clock = source.epochs.clock
        self._opened_s = clock() - self._epoch * source.epochs.seconds

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`.

        Raises:
            InputError: A file is not what it should be.
        """
        parts: list[tuple[str, int, bytes]] = []
        gathered, epoch = 0, None
        while self._piece < len(self._pieces) and gathered < self._source.batch_bytes:
            piece = self._pieces[self._piece]
            next_epoch = self._source.epochs.epoch(piece.file_number, self._bytes, self._epoch, self._opened_s)
            if epoch is not None and next_epoch != epoch:
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
            self._bytes += len(part[2])
        if not parts:
            return self._nothing(epoch)
        self._epoch = epoch or 0
        return Rows(self._epoch, self._source.parse(parts))

    def _nothing(self, epoch: int | None) -> Answer:
        if not self._source.follow:
            return End(max(1, self._epoch + 1))
        if epoch is not None and epoch > self._epoch:
            self._epoch = epoch
            return Rows(epoch)
        return Idle(FOLLOW_RETRY_S)

    def _room(self, gathered: int) -> int:
        room = self._source.batch_bytes - gathered
        size = self._source.epochs.size_bytes
        return min(room, size - self._bytes % size) if size else room

    def _part(self, piece: Piece, room: int) -> tuple[str, int, bytes] | None:
        """The next whole lines of a piece, about ``room`` bytes of them; None at its end."""
        with open(piece.path, "rb") as file:
            if self._offset is None:
                self._offset = self._first_line(file, piece)
            start = self._offset
            end = piece.end
            if end is not None and start >= end:
                return None
            file.seek(start)
            data = file.read(room if end is None else min(room, end - start))
            if end is not None or data:
                data = self._to_line_end(data, file)
        if self._source.follow:
            self._check_not_shrunk(piece, start)
        if not data:
            return None
        self._offset = start + len(data)
        return piece.path, start, data

    def _first_line(self, file: BinaryIO, piece: Piece) -> int:
        if piece.start == 0:
            return self._source.body_start(piece.path)
        # The line that lies across the border belongs to the piece before.
        file.seek(piece.start - 1)
        file.readline()
        return file.tell()

    def _to_line_end(self, data: bytes, file: BinaryIO) -> bytes:
        if data.endswith(b"\n"):
            return data
        rest = file.readline()
        if not self._source.follow or rest.endswith(b"\n"):
            return data + rest
        # Somebody is still writing the last line: it waits.
        return data[: data.rfind(b"\n") + 1]

    def _check_not_shrunk(self, piece: Piece, offset: int) -> None:
        if Path(piece.path).stat().st_size < offset:
            raise InputError(
                f"{piece.path} was cut or replaced while it was followed: it is shorter than the {offset:,} bytes that "
                "were read. Follow files that only grow, and start the job anew"
            )

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"piece": self._piece, "offset": self._offset, "bytes": self._bytes, "epoch": self._epoch}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""


class TextFiles(LineFiles):
    r"""Lines of text files: a column ``line``, without line ends.

    Args:
        paths: A path, a glob (``**`` too), a folder, or several of these; expanded once, sorted.
        include_path: Adds a column ``path``.
        errors: For bytes that are not UTF-8: ``"fail"`` names file and byte, ``"replace"`` reads ``\ufffd``.
        options: See `LineFiles`.
    """

    def __init__(self, paths: Paths, *, include_path: bool = False, errors: str = "fail", **options: object) -> None:
        if errors not in ("fail", "replace"):
            raise InputError(f"errors is 'fail' or 'replace', not {errors!r}")
        super().__init__(paths, TEXT_SUFFIXES, **options)  # type: ignore[arg-type]
        self._include_path = include_path
        self._errors = errors
        columns = {"path": pl.String} if include_path else {}
        self.schema = pl.Schema({**columns, "line": pl.String})

    def parse(self, parts: list[tuple[str, int, bytes]]) -> pl.DataFrame:
        """See `LineFiles.parse`."""
        if not self._include_path:
            return self._lines(parts)
        frames = [self._lines([part]).select(pl.lit(part[0]).alias("path"), "line") for part in parts]
        return pl.concat(frames, rechunk=False)

    def _lines(self, parts: list[tuple[str, int, bytes]]) -> pl.DataFrame:
        texts = [data if data.endswith(b"\n") else data + b"\n" for _, _, data in parts]
        whole = b"".join(texts)
        try:
            text = whole.decode()
        except UnicodeDecodeError:
            text = "".join(self._decoded(part) for part in parts)
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        return pl.Series("line", [text[:-1]], dtype=pl.String).str.split("\n").explode().to_frame()

    def _decoded(self, part: tuple[str, int, bytes]) -> str:
        path, start, data = part
        whole = data if data.endswith(b"\n") else data + b"\n"
        try:
            return whole.decode(errors="strict" if self._errors == "fail" else "replace")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, byte {start + error.start:,} is not UTF-8: read with errors='replace', or convert the file"
            ) from None


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
