"""The sources' options as types, so that `Flow.read_text` and its like can name them to an editor and a type checker.

What they mean stands at the classes that take them.
"""

from collections.abc import Mapping
from typing import Any, Literal, Required, TypeAlias, TypedDict

import polars as pl

from limnad.connectors.epochs import EpochRule

OnError: TypeAlias = Literal["fail", "divert"]
"""What becomes of a row that does not fit: the job fails, or the row goes to an errors output."""

SchemaLike: TypeAlias = Mapping[str, Any] | pl.Schema


class LineOptions(TypedDict, total=False):
    """See `limnad.connectors.files.LineFiles`."""

    epochs: EpochRule | None
    splits: int
    batch_bytes: int
    follow: bool


class TextOptions(LineOptions, total=False):
    """See `limnad.connectors.TextFiles`."""

    encoding: str
    include_path: bool
    errors: Literal["fail", "replace"]


class NdjsonOptions(LineOptions, total=False):
    """See `limnad.connectors.NdjsonFiles`."""

    schema: SchemaLike | None


class CsvOptions(LineOptions, total=False):
    """See `limnad.connectors.CsvFiles`."""

    schema: SchemaLike | None
    has_header: bool
    separator: str
    quote_char: str | None
    splittable: bool


class ParquetOptions(TypedDict, total=False):
    """See `limnad.connectors.ParquetFiles`."""

    epochs: EpochRule
    splits: int
    batch_rows: int


class GeneratorOptions(TypedDict, total=False):
    """See `limnad.connectors.Generator`."""

    rows: Required[int]
    batch_rows: int
    epochs: int
    partitions: int
    seed: int
    rows_per_s: float | None


class StreamOptions(TypedDict, total=False):
    """See `limnad.connectors.redis_streams.RedisStreams`."""

    epochs: EpochRule | None
    batch_rows: int
    follow: bool


class TopicOptions(StreamOptions, total=False):
    """See `limnad.connectors.kafka.KafkaTopic`."""

    options: Mapping[str, str | int | float | bool] | None
