"""Sources and sinks: where rows come from and go to. These do IO; the machines above only call them.

A source is a fixed set of partitions, each read by one worker at a time; a reader reports its position as JSON, from
which another reader goes on. A sink takes whole epochs (`limnad.connectors.exactly_once`). What must never live here:
graphs, workers, schedules.
"""

from limnad.connectors.epochs import EpochRule, by_file, by_rows, by_size, by_time
from limnad.connectors.exactly_once import (
    Covered,
    Delivery,
    EpochSink,
    Fenced,
    LostOutput,
    Sink,
    Staged,
    Target,
    Writer,
)
from limnad.connectors.file_sink import FileFormat, FileTarget
from limnad.connectors.files import TextFiles
from limnad.connectors.generator import Generator
from limnad.connectors.hand import HandFed, HandReader
from limnad.connectors.lists import ListSource
from limnad.connectors.tabular import CsvFiles, NdjsonFiles, ParquetFiles

__all__ = [
    "Covered",
    "CsvFiles",
    "Delivery",
    "EpochRule",
    "EpochSink",
    "Fenced",
    "FileFormat",
    "FileTarget",
    "Generator",
    "HandFed",
    "HandReader",
    "ListSource",
    "LostOutput",
    "NdjsonFiles",
    "ParquetFiles",
    "Sink",
    "Staged",
    "Target",
    "TextFiles",
    "Writer",
    "by_file",
    "by_rows",
    "by_size",
    "by_time",
]
