"""Epochs as files: each appears whole or not at all, by a renaming.

    <path>/epoch=00000003/part-<worker>-<generation>.csv             visible
    <path>/.limnad/<job>/<worker>-<generation>/00000003              staged

A writer makes its own folder for staging once. Who takes over renames that folder away, and with it every path that a
zombie knows: it can neither stage nor show anything any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from limnad.connectors.exactly_once import Covered, Fenced, LostOutput, Staged, Writer
from limnad.errors import InputError, JobError

FileFormat = Literal["csv", "ndjson", "parquet"]

HOME: Final = ".limnad"
"""The hidden folder in which files are staged."""

_VISIBLE: Final = re.compile(r"epoch=(\d+)/part-(\d+)-(\d+)\.\w+")
_STAGING: Final = re.compile(r"(?:gone-)?(\d+)-(\d+)")


class FileTarget:
    """Files below a folder; see the module.

    Args:
        path: The folder; it must not hold the files of another job.
        format: ``"csv"``, ``"ndjson"`` or ``"parquet"``; lists of records can be written as ``"ndjson"`` only.
        records: Whether batches are lists of records.

    Raises:
        JobError: Records are to be written in a format of frames.
    """

    def __init__(self, path: str, format: FileFormat, *, records: bool = False) -> None:
        if records and format != "ndjson":
            raise JobError(f"records cannot be written as {format}: write them as ndjson, or make frames of them")
        if format not in _WRITERS:
            raise JobError(f"files are written as {', '.join(_WRITERS)}, not as {format}")
        self._path = Path(path)
        self._format = format

    def open(self, writer: Writer) -> None:
        """See `Target.open`."""
        self._writer = writer
        self._home = self._path / HOME / writer.job

    def place(self) -> None:
        """See `Target.place`."""

    def stage(self, epoch: int, batch: Any) -> str:
        """See `Target.stage`.

        Raises:
            InputError: The folder cannot be written.
        """
        writer = self._writer
        folder = self._staging(writer.worker, writer.generation)
        with self._explained():
            try:
                with (folder / _number(epoch)).open("wb") as file:
                    _WRITERS[self._format](batch, file)
                    file.flush()
                    os.fsync(file.fileno())
                _sync_folder(folder)
            except FileNotFoundError:
                raise self._fenced() from None
        return f"epoch={_number(epoch)}/part-{writer.worker}-{writer.generation}.{self._format}"

    def commit(self, staged: Sequence[Staged]) -> None:
        """See `Target.commit`.

        Raises:
            InputError: The folder cannot be written.
        """
        with self._explained():
            folders = set()
            for each in staged:
                final = self._path / each.content
                if self._show(self._staging(each.worker, each.generation) / _number(each.epoch), final):
                    folders.add(final.parent)
                elif each.generation == self._writer.generation:
                    raise self._fenced()
            for folder in sorted(folders):
                _sync_folder(folder)
            if folders:
                _sync_folder(self._path)

    def discard(self, covered: Covered | None, *, shown: bool) -> None:
        """See `Target.discard`.

        Raises:
            InputError: The folder holds the files of another job, or cannot be written.
        """
        del shown
        with self._explained():
            if covered is None and not self._home.is_dir():
                self._begin()
            self._home.mkdir(parents=True, exist_ok=True)
            self._take_over()
            for file in self._path.glob("epoch=*/part-*"):
                if found := _VISIBLE.fullmatch(file.relative_to(self._path).as_posix()):
                    epoch, worker, generation = map(int, found.groups())
                    uncovered = covered is None or not covered.covers(generation, worker, epoch)
                    if uncovered and self._settles(worker, generation):
                        file.unlink()

    def _take_over(self) -> None:
        """Makes its own folder, then looks who else has one: of two generations at least one sees the other."""
        writer = self._writer
        try:
            self._staging(writer.worker, writer.generation).mkdir()
        except FileExistsError:
            raise self._behind(writer.generation) from None
        _sync_folder(self._home)
        for folder in self._home.iterdir():
            if found := _STAGING.fullmatch(folder.name):
                worker, generation = map(int, found.groups())
                if generation > writer.generation:
                    raise self._behind(generation)
                if self._settles(worker, generation):
                    self._fence(folder)

    def _settles(self, worker: int, generation: int) -> bool:
        return self._writer.looks_after(worker) and generation < self._writer.generation

    def _behind(self, generation: int) -> LostOutput:
        return LostOutput(
            f"generation {generation} has written to {self._path}, and this one is number {self._writer.generation}: "
            "either it is a process that comes late, or the store has forgotten what it had promised. Bring the "
            "store's data back, or start the job anew in another folder"
        )

    def _begin(self) -> None:
        """A job's first generation: no file of another job may be there."""
        if found := next(self._path.glob("epoch=*/part-*"), None):
            raise InputError(
                f"{self._path} holds the files of another run, such as {found.relative_to(self._path)}: remove it, or "
                "write to another folder"
            )
        # What others have staged and never shown, they never will.
        for home in (self._path / HOME).glob("*"):
            if home.name != self._writer.job:
                self._fence(home)

    def _show(self, source: Path, final: Path) -> bool:
        """Renames; False: the source is not there."""
        for _ in range(2):
            try:
                source.rename(final)
            except FileNotFoundError:
                if not source.exists():
                    return False
                final.parent.mkdir(parents=True, exist_ok=True)
            else:
                return True
        return False

    @staticmethod
    def _fence(folder: Path) -> None:
        gone = folder.with_name(f"gone-{folder.name.removeprefix('gone-')}")
        with contextlib.suppress(FileNotFoundError):
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _staging(self, worker: int, generation: int) -> Path:
        return self._home / f"{worker}-{generation}"

    def _fenced(self) -> Fenced:
        return Fenced(f"{self._path} belongs to a newer generation than {self._writer.generation}, or was removed")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{error.filename or self._path} cannot be written: {error.strerror}") from error


def _number(epoch: int) -> str:
    return f"{epoch:08d}"


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
