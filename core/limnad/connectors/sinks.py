"""Where rows leave the dataflow: an epoch at a time, complete or not at all, the empty epochs included."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import polars as pl

from limnad.batch import concat
from limnad.errors import InputError, JobError
from limnad.timely.state import TimedBatches
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex

FileFormat = Literal["csv", "ndjson", "parquet"]


class EpochSink(Vertex):
    """Gathers rows by epoch; hands over each epoch once, in order, when it is complete.

    Args:
        empty: What stands for an epoch without rows.
    """

    def __init__(self, empty: Any) -> None:
        self._empty = empty
        self._gathered = TimedBatches("gathered")

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        self._gathered.add(time, 0, batch)

    def on_complete(self, epochs: range) -> None:
        """See `Vertex.on_complete`."""
        for epoch in epochs:
            (batches,) = self._gathered.pop((epoch,))
            self.deliver(epoch, concat(batches) if batches else self._empty)

    def deliver(self, epoch: int, batch: Any) -> None:
        """Takes a complete epoch."""
        raise NotImplementedError


class FileSink(EpochSink):
    """Writes ``path/epoch=00000003/part-<worker>.<format>`` for each epoch that has rows on this worker.

    A file appears whole or not at all: it is written under a hidden name, synced, and renamed.

    Args:
        empty: What stands for an epoch without rows.
        path: A folder; it must not hold another run's files.
        format: ``"csv"``, ``"ndjson"`` or ``"parquet"``; lists of records can be written as ``"ndjson"`` only.

    Raises:
        InputError: The folder holds the files of another run, or cannot be written.
        JobError: Records are to be written in a format of frames.
    """

    def __init__(self, empty: Any, path: str, format: FileFormat) -> None:
        super().__init__(empty)
        if isinstance(empty, list) and format != "ndjson":
            raise JobError(f"records cannot be written as {format}: write them as ndjson, or make frames of them")
        self._path = Path(path)
        self._format = format
        # All workers make their vertices before any of them runs, so whatever is there now is not of this run.
        if found := next(self._path.glob("epoch=*/part-*"), None):
            raise InputError(
                f"{self._path} holds the files of another run, such as {found.relative_to(self._path)}: remove it, or "
                "write to another folder"
            )
        for unfinished in self._path.glob("epoch=*/.part-*.unfinished"):
            unfinished.unlink(missing_ok=True)

    def deliver(self, epoch: int, batch: Any) -> None:
        """See `EpochSink.deliver`.

        Raises:
            InputError: The folder holds this file already, or cannot be written.
        """
        if not len(batch):
            return
        folder = self._path / f"epoch={epoch:08d}"
        final = folder / f"part-{self.worker}.{self._format}"
        hidden = folder / f".{final.name}.unfinished"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if final.exists():
                raise InputError(
                    f"{final} is there already: {self._path} holds the files of another run. Remove it, or write to "
                    "another folder"
                )
            with hidden.open("wb") as file:
                _WRITERS[self._format](batch, file)
                file.flush()
                os.fsync(file.fileno())
            hidden.rename(final)
            _sync_folder(folder)
        except OSError as error:
            raise InputError(f"{final} cannot be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Makes the renaming last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_csv(batch: Any, file: Any) -> None:
    batch.write_csv(file)


def _write_ndjson(batch: Any, file: Any) -> None:
    if isinstance(batch, pl.DataFrame):
        batch.write_ndjson(file)
    else:
        file.writelines(json.dumps(record, default=str).encode() + b"\n" for record in batch)


def _write_parquet(batch: Any, file: Any) -> None:
    batch.write_parquet(file)


_WRITERS: dict[str, Callable[[Any, Any], None]] = {
    "csv": _write_csv,
    "ndjson": _write_ndjson,
    "parquet": _write_parquet,
}
