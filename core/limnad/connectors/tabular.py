"""Rows of CSV, NDJSON and Parquet files, as frames."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from limnad.connectors.epochs import ALL_AT_ONCE, EpochRule
from limnad.connectors.files import LineFiles
from limnad.connectors.splits import Paths, Piece, deal, find_files
from limnad.errors import InputError
from limnad.timely.source import Answer, End, Position, Rows

SchemaLike = Mapping[str, Any] | pl.Schema

INFER_ROWS = 1000
"""How many rows of the first file are looked at where no schema is given."""

PARQUET_BATCH_ROWS = 262_144

ERROR_SCHEMA: Final = pl.Schema({"path": pl.String, "line": pl.Int64, "text": pl.String, "reason": pl.String})
"""What the errors output of a source holds."""

_ERROR: Final = "__limnad_error"


class RowFiles(LineFiles):
    """Files with a row in each line; a row that cannot be parsed fails the job, or goes to an errors output.

    A source that diverts gives frames with one column more, `error_column`: null in good rows, and in bad ones (whose
    other columns are null) a struct of `ERROR_SCHEMA`.
    """

    def __init__(self, paths: Paths, suffixes: Sequence[str], on_error: str, **options: Any) -> None:
        if on_error not in ("fail", "divert"):
            raise InputError(f"on_error is 'fail' or 'divert', not {on_error!r}")
        super().__init__(paths, suffixes, **options)
        self.diverts = on_error == "divert"
        self.error_column = _ERROR
        self.rows_schema = pl.Schema()

    def _declare(self, schema: pl.Schema) -> None:
        self.rows_schema = schema
        extra = {_ERROR: pl.Struct(dict(ERROR_SCHEMA))} if self.diverts else {}
        self.schema = pl.Schema({**schema, **extra})

    def parse(self, parts: list[tuple[str, int, bytes]]) -> pl.DataFrame:
        """See `LineFiles.parse`."""
        try:
            rows = self._fast(b"".join(part[2] if part[2].endswith(b"\n") else part[2] + b"\n" for part in parts))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return pl.concat([self._carefully(part) for part in parts])
        return self._with_error(rows, None)

    def _with_error(self, rows: pl.DataFrame, errors: pl.Series | None) -> pl.DataFrame:
        if not self.diverts:
            return rows
        column = pl.lit(None, dtype=self.schema[_ERROR]) if errors is None else errors
        return rows.with_columns(column.alias(_ERROR)).select(list(self.schema))

    def _carefully(self, part: tuple[str, int, bytes]) -> pl.DataFrame:
        """Line by line: finds what is wrong, and where."""
        path, start, data = part
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        first = _line_number(path, start)
        for number, line in enumerate(data.decode(errors="replace").splitlines(), first):
            if not line.strip():
                continue
            values, reason = self._row(line)
            if reason:
                if not self.diverts:
                    raise InputError(
                        f"{path}, line {number}: {reason}: {line[:120]!r}. Mend the file, or read it with "
                        "on_error='divert' to get such rows as an output of their own"
                    )
                bad.append({"path": path, "line": number, "text": line, "reason": reason})
            else:
                good.append(values)
        rows = self._with_error(pl.DataFrame(good, schema=self.rows_schema), None)
        if not bad:
            return rows
        nothing = pl.DataFrame({name: [None] * len(bad) for name in self.rows_schema}, schema=self.rows_schema)
        return pl.concat([rows, self._with_error(nothing, pl.Series(bad, dtype=self.schema[_ERROR]))])

    def _fast(self, data: bytes) -> pl.DataFrame:
        """Parses whole lines at once; raises some error of Polars' if one does not fit."""
        raise NotImplementedError

    def _row(self, line: str) -> tuple[dict[str, Any], str]:
        """Parses one line: its values by column, or why it does not fit."""
        raise NotImplementedError

    def _cast(self, texts: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Casts one row's values to the schema's types."""
        values: dict[str, Any] = {}
        for name, dtype in self.rows_schema.items():
            value = texts.get(name)
            try:
                values[name] = None if value is None else pl.Series([value]).cast(dtype)[0]
            except (pl.exceptions.PolarsError, TypeError):
                return {}, f"column {name!r} should be {dtype}, but is {value!r}"
        return values, ""


class CsvFiles(RowFiles):
    """Rows of CSV files.

    Files are cut at line ends, so a quoted field must not contain one.

    Args:
        paths: See `LineFiles`.
        schema: Columns and types; by default inferred from the first rows of the first file, once.
        has_header: Whether each file begins with a line of column names.
        separator: Between fields.
        on_error: What becomes of a row that does not fit: ``"fail"`` or ``"divert"``.
        options: See `LineFiles`.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        schema: SchemaLike | None = None,
        has_header: bool = True,
        separator: str = ",",
        on_error: str = "fail",
        **options: Any,
    ) -> None:
        self._has_header = has_header
        self._separator = separator
        super().__init__(paths, (".csv", ".tsv"), on_error, **options)
        self._declare(pl.Schema(schema) if schema is not None else self._inferred())

    def _inferred(self) -> pl.Schema:
        try:
            return pl.read_csv(
                self.files[0],
                has_header=self._has_header,
                separator=self._separator,
                n_rows=INFER_ROWS,
                infer_schema_length=INFER_ROWS,
            ).schema
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{self.files[0]}: no columns can be inferred ({error}): pass schema={{...}}") from None

    def body_start(self, path: str) -> int:
        """See `LineFiles.body_start`."""
        if not self._has_header:
            return 0
        with open(path, "rb") as file:
            header = next(csv.reader([file.readline().decode(errors="replace")], delimiter=self._separator), [])
            names = [name.removeprefix("\ufeff").strip() for name in header]
            if names != list(self.rows_schema):
                raise InputError(f"{path}: its header says {names}, but the schema has {list(self.rows_schema)}")
            return file.tell()

    def _fast(self, data: bytes) -> pl.DataFrame:
        return pl.read_csv(
            data, has_header=False, schema=self.rows_schema, separator=self._separator, truncate_ragged_lines=False
        )

    def _row(self, line: str) -> tuple[dict[str, Any], str]:
        fields = next(csv.reader([line], delimiter=self._separator))
        if len(fields) != len(self.rows_schema):
            return {}, f"{len(fields)} fields, where the schema has {len(self.rows_schema)}"
        return self._cast({name: field or None for name, field in zip(self.rows_schema, fields, strict=True)})


class NdjsonFiles(RowFiles):
    """Rows of files of JSON lines.

    Args:
        paths: See `LineFiles`.
        schema: Columns and types; by default inferred from the first rows of the first file, once.
        on_error: What becomes of a row that does not fit: ``"fail"`` or ``"divert"``.
        options: See `LineFiles`.
    """

    def __init__(
        self, paths: Paths, *, schema: SchemaLike | None = None, on_error: str = "fail", **options: Any
    ) -> None:
        super().__init__(paths, (".ndjson", ".jsonl", ".json"), on_error, **options)
        self._declare(pl.Schema(schema) if schema is not None else self._inferred())

    def _inferred(self) -> pl.Schema:
        with open(self.files[0], "rb") as file:
            head = b"".join(line for line, _ in zip(file, range(INFER_ROWS), strict=False))
        try:
            return pl.read_ndjson(io.BytesIO(head), infer_schema_length=INFER_ROWS).schema
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{self.files[0]}: no columns can be inferred ({error}): pass schema={{...}}") from None

    def _fast(self, data: bytes) -> pl.DataFrame:
        return pl.read_ndjson(io.BytesIO(data), schema=self.rows_schema)

    def _row(self, line: str) -> tuple[dict[str, Any], str]:
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            return {}, f"not JSON ({error.msg})"
        if not isinstance(value, dict):
            return {}, "not a JSON object"
        return self._cast(value)


class ParquetFiles:
    """Rows of Parquet files; all files have the schema of the first.

    Args:
        paths: A path, a glob (``**`` too), a folder, or several of these; expanded once, sorted.
        epochs: By file, or (the default) everything in epoch 0.
        splits: Into at most how many partitions the rows are dealt.
        batch_rows: How many rows make one batch.

    Raises:
        InputError: A path names nothing, is no Parquet file, or has another schema.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        epochs: EpochRule = ALL_AT_ONCE,
        splits: int = 16,
        batch_rows: int = PARQUET_BATCH_ROWS,
    ) -> None:
        files = find_files(paths, (".parquet", ".pq"))
        if epochs.seconds or epochs.size_bytes:
            raise InputError("Parquet files know epochs by_file() only")
        self.schema = _parquet_schema(files[0])
        self.epochs = epochs
        self.batch_rows = batch_rows
        for path in files[1:]:
            _check_schema(path, _parquet_schema(path), files[0], self.schema)
        sizes = [(path, int(pl.scan_parquet(path).select(pl.len()).collect().item())) for path in files]
        self._pieces = deal(sizes, splits, cut=True)

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return [f"{pieces[0].path}@{pieces[0].start}" for pieces in self._pieces]

    def open(self, partition: str, position: Position | None) -> ParquetReader:
        """See `limnad.timely.source.Source`."""
        return ParquetReader(self, self._pieces[list(self.partitions()).index(partition)], position)

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return "parquet"


class ParquetReader:
    """Reads the row ranges of one partition."""

    def __init__(self, source: ParquetFiles, pieces: list[Piece], position: Position | None) -> None:
        self._source = source
        self._pieces = pieces
        self._piece = 0 if position is None else int(position["piece"])
        self._rows = 0 if position is None else int(position["rows"])
        self._epoch = 0

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`."""
        while self._piece < len(self._pieces):
            piece = self._pieces[self._piece]
            start = piece.start + self._rows
            count = min(self._source.batch_rows, (piece.end or 0) - start)
            if count <= 0:
                self._piece, self._rows = self._piece + 1, 0
                continue
            self._rows += count
            self._epoch = self._source.epochs.epoch(piece.file_number, 0, self._epoch, 0.0)
            return Rows(self._epoch, pl.scan_parquet(piece.path).slice(start, count).collect())
        return End(self._epoch + 1)

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"piece": self._piece, "rows": self._rows}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""


def _parquet_schema(path: str) -> pl.Schema:
    try:
        return pl.Schema(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} is no Parquet file: {error}") from None


def _check_schema(path: str, schema: pl.Schema, first: str, expected: pl.Schema) -> None:
    for name in {**expected, **schema}:
        if schema.get(name) != expected.get(name):
            raise InputError(
                f"{path}: column {name!r} is {schema.get(name, 'missing')}, but in {first} it is "
                f"{expected.get(name, 'missing')}"
            )


def _line_number(path: str, offset: int) -> int:
    """The number of the line that begins at a byte, from 1."""
    number, left = 1, offset
    with Path(path).open("rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            number += block.count(b"\n")
            left -= len(block)
    return number
