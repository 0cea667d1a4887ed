"""Rows of CSV, NDJSON and Parquet files, as frames."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Unpack

import numpy as np
import polars as pl

from limnad.connectors.epochs import ALL_AT_ONCE, EpochRule
from limnad.connectors.files import LineFiles
from limnad.connectors.options import LineOptions, OnError, SchemaLike
from limnad.connectors.splits import Paths, Piece, check_layout, deal, find_files, layout_of
from limnad.errors import InputError
from limnad.timely.source import Answer, End, Position, Rows

INFER_ROWS = 1000
"""How many rows of the first file are looked at where no schema is given."""

PARQUET_BATCH_ROWS = 262_144

ERROR_SCHEMA: Final = pl.Schema({"path": pl.String, "line": pl.Int64, "text": pl.String, "reason": pl.String})
"""What the errors output of a source holds."""

_ERROR: Final = "__limnad_error"
_NEWLINE: Final = 10
_UNPARSED: Final = re.compile(r"could not parse `(.*)` as dtype .* at column '(.*)' \(column number", re.DOTALL)


class RowFiles(LineFiles):
    """Files with a row in each line; a row that cannot be parsed fails the job, or goes to an errors output.

    A source that diverts gives frames with one column more, `error_column`: null in good rows, and in bad ones (whose
    other columns are null) a struct of `ERROR_SCHEMA`.
    """

    def __init__(
        self,
        paths: Paths,
        suffixes: Sequence[str],
        on_error: str,
        *,
        cut: bool = True,
        quote: bytes = b"",
        **options: Unpack[LineOptions],
    ) -> None:
        if on_error not in ("fail", "divert"):
            raise InputError(f"on_error is 'fail' or 'divert', not {on_error!r}")
        super().__init__(paths, suffixes, cut=cut, quote=quote, **options)
        self.diverts = on_error == "divert"
        self.error_column = _ERROR
        self.keeps_blank_lines = False
        self.rows_schema = pl.Schema()

    def _declare(self, schema: pl.Schema) -> None:
        self.rows_schema = schema
        extra = {_ERROR: pl.Struct(dict(ERROR_SCHEMA))} if self.diverts else {}
        self.schema = pl.Schema({**schema, **extra})

    def parse(self, parts: list[tuple[str, int, bytes]]) -> pl.DataFrame:
        """See `LineFiles.parse`."""
        try:
            rows = self._fast(b"".join(data if data.endswith(b"\n") else data + b"\n" for _, _, data in parts if data))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return pl.concat([self._carefully(part) for part in parts])
        return self._with_error(rows, None)

    def _with_error(self, rows: pl.DataFrame, errors: pl.Series | None) -> pl.DataFrame:
        if not self.diverts:
            return rows
        column = pl.lit(None, dtype=self.schema[_ERROR]) if errors is None else errors
        return rows.with_columns(column.alias(_ERROR)).select(list(self.schema))

    def _carefully(self, part: tuple[str, int, bytes]) -> pl.DataFrame:
        """Finds the rows that do not fit, by halving, and where they stand.

        The fast parser is the only judge: what becomes of a row must not depend on its neighbours.
        """
        path, start, data = part
        rows = [row for row in rows_of(data, self.quote) if self.keeps_blank_lines or row[1].strip()]
        good: list[pl.DataFrame] = []
        bad: list[tuple[int, bytes, str]] = []
        stack = [(0, len(rows))] if rows else []
        while stack:
            low, high = stack.pop()
            try:
                good.append(self._fast(b"".join(row for _, row in rows[low:high])))
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
                if high - low > 1:
                    middle = (low + high) // 2
                    stack += [(middle, high), (low, middle)]
                    continue
                bad.append((*rows[low], self._reason(rows[low][1], error)))
                if not self.diverts:
                    break
        first = _line_number(path, start) if bad else 0
        errors = [
            {"path": path, "line": first + line, "text": row.decode(errors="replace").rstrip("\r\n"), "reason": reason}
            for line, row, reason in bad
        ]
        if errors and not self.diverts:
            raise InputError(_complaint(errors[0]))
        frames = [self._with_error(frame, None) for frame in (pl.DataFrame(schema=self.rows_schema), *good)]
        if errors:
            nothing = pl.DataFrame({name: [None] * len(bad) for name in self.rows_schema}, schema=self.rows_schema)
            frames.append(self._with_error(nothing, pl.Series(errors, dtype=self.schema[_ERROR])))
        return pl.concat(frames)

    def _reason(self, row: bytes, error: BaseException) -> str:
        """Why a row does not fit, in a few words."""
        del row
        return str(error).partition("\n\n")[0].replace("\n", " ")

    def _fast(self, data: bytes) -> pl.DataFrame:
        """Parses whole lines at once; raises some error of Polars' if one does not fit."""
        raise NotImplementedError


class CsvFiles(RowFiles):
    """Rows of CSV files.

    A quoted field may hold line ends, so a file is read whole by one worker; with ``splittable`` (no field does), or
    without quotes, large files are cut too. Rows with too few or too many fields do not fit; blank lines are skipped
    where a row has several fields.

    Args:
        paths: See `LineFiles`.
        schema: Columns and types; by default inferred from the first rows of the first file, once.
        has_header: Whether each file begins with a line of column names.
        separator: Between fields; one ASCII character.
        quote_char: Around fields that hold separators or line ends; None: nothing is quoted.
        splittable: A promise that no quoted field holds a line end.
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
        quote_char: str | None = '"',
        splittable: bool = False,
        on_error: OnError = "fail",
        **options: Unpack[LineOptions],
    ) -> None:
        self._has_header = has_header
        self._separator = separator
        self._quote_char = quote_char
        quote = b"" if quote_char is None or splittable else quote_char.encode()
        for name, value in (("separator", separator), ("quote_char", quote_char)):
            if value is not None and not (value.isascii() and len(value) == 1):
                raise InputError(f"{name} is one ASCII character, not {value!r}")
        super().__init__(paths, (".csv", ".tsv"), on_error, cut=not quote, quote=quote, **options)
        self._declare(pl.Schema(schema) if schema is not None else self._inferred())
        self.keeps_blank_lines = len(self.rows_schema) == 1

    def _inferred(self) -> pl.Schema:
        try:
            return pl.read_csv(
                self.files[0],
                has_header=self._has_header,
                separator=self._separator,
                quote_char=self._quote_char,
                n_rows=INFER_ROWS,
                infer_schema_length=INFER_ROWS,
            ).schema
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{self.files[0]}: no columns can be inferred ({error}): pass schema={{...}}") from None

    def body_start(self, path: str) -> int | None:
        """See `LineFiles.body_start`."""
        if not self._has_header:
            return 0
        with open(path, "rb") as file:
            line = file.readline()
            if not line.endswith(b"\n") and (self.follow or not line):
                return None if self.follow else 0
            header = next(csv.reader([line.decode(errors="replace")], delimiter=self._separator), [])
            names = [name.removeprefix("\ufeff").strip() for name in header]
            if names != list(self.rows_schema):
                raise InputError(f"{path}: its header says {names}, but the schema has {list(self.rows_schema)}")
            return file.tell()

    def _fast(self, data: bytes) -> pl.DataFrame:
        rows = pl.read_csv(
            data,
            has_header=False,
            schema=self.rows_schema,
            separator=self._separator,
            quote_char=self._quote_char,
            truncate_ragged_lines=False,
        )
        # Polars fills short rows up with nulls, which always shows in the last column.
        if len(self.rows_schema) > 1 and rows[:, -1].null_count() and self._fields(data).min() < len(self.rows_schema):
            raise pl.exceptions.ComputeError("a row has too few fields")
        return rows

    def _fields(self, data: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The number of fields of each row."""
        quote = (self._quote_char or "").encode()
        separators = _outside_quotes(data, self._separator.encode(), quote)
        counts = np.diff(np.searchsorted(separators, _row_ends(data, quote)), prepend=0) + 1
        return counts.astype(np.int64)

    def _reason(self, row: bytes, error: BaseException) -> str:
        fields, wanted = int(self._fields(row)[0]), len(self.rows_schema)
        if fields != wanted:
            return f"{fields} fields, where the schema has {wanted}"
        if (found := _UNPARSED.search(str(error))) is not None:
            return f"column {found[2]!r} should be {self.rows_schema[found[2]]}, but is {found[1]!r}"
        return super()._reason(row, error)


class NdjsonFiles(RowFiles):
    """Rows of files of JSON lines.

    Args:
        paths: See `LineFiles`.
        schema: Columns and types; by default inferred from the first rows of the first file, once.
        on_error: What becomes of a row that does not fit: ``"fail"`` or ``"divert"``.
        options: See `LineFiles`.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        schema: SchemaLike | None = None,
        on_error: OnError = "fail",
        **options: Unpack[LineOptions],
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

    def _reason(self, row: bytes, error: BaseException) -> str:
        try:
            value = json.loads(row)
        except json.JSONDecodeError as not_json:
            return f"not JSON ({not_json.msg})"
        except UnicodeDecodeError:
            return "not UTF-8"
        return super()._reason(row, error) if isinstance(value, dict) else "not a JSON object"


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
        self.layout = layout_of(self._pieces)
        self.files = files

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return [f"{pieces[0].path}@{pieces[0].start}" for pieces in self._pieces]

    def open(self, partition: str, position: Position | None) -> ParquetReader:
        """See `limnad.timely.source.Source`."""
        check_layout(position, self.layout)
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
        self._epoch = 0 if position is None else int(position["epoch"])

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
        return End(len(self._source.files) if self._source.epochs.by_file else 1)

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"layout": self._source.layout, "piece": self._piece, "rows": self._rows, "epoch": self._epoch}

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


def _complaint(error: Mapping[str, Any]) -> str:
    text = repr(error["text"][:120]) + ("..." if len(error["text"]) > 120 else "")
    return (
        f"{error['path']}, line {error['line']}: {error['reason']}: {text}. Mend the file, or read it with "
        "on_error='divert' to get such rows as an output of their own"
    )


def rows_of(data: bytes, quote: bytes) -> list[tuple[int, bytes]]:
    r"""Each row of some whole rows, and how many lines come before it.

    >>> rows_of(b'1,"a\nb"\n2,c', b'"')
    [(0, b'1,"a\nb"\n'), (2, b'2,c')]
    """
    ends = _row_ends(data, quote)
    starts = np.concatenate(([0], ends[:-1]))
    lines = np.searchsorted(np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE), starts)
    return [
        (line, data[start:end])
        for line, start, end in zip(lines.tolist(), starts.tolist(), ends.tolist(), strict=True)
        if end > start
    ]


def _row_ends(data: bytes, quote: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    """One past the end of each row, the last one even if nothing ends it."""
    ends = _outside_quotes(data, b"\n", quote) + 1
    return ends if len(ends) and ends[-1] == len(data) else np.append(ends, len(data))


def _outside_quotes(data: bytes, byte: bytes, quote: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where a byte stands that has an even number of quotes before it."""
    values = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(values == byte[0])
    if quote:
        places = places[np.searchsorted(np.flatnonzero(values == quote[0]), places) % 2 == 0]
    return places


def _line_number(path: str, offset: int) -> int:
    """The number of the line that begins at a byte, from 1."""
    number, left = 1, offset
    with Path(path).open("rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            number += block.count(b"\n")
            left -= len(block)
    return number
