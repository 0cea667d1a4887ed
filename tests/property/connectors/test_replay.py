"""Wherever a reader of files stops, another goes on; and every row is read once, whatever the cuts."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limnad.connectors import CsvFiles, EpochRule, NdjsonFiles, TextFiles, by_file, by_size, files, splits
from limnad.connectors.files import lines_of
from tests.helpers.sources import check_every_cut, read_all, rows_of

RULES = st.one_of(st.none(), st.just(by_file()), st.integers(1, 40).map(by_size))
TEXTS = st.text(st.sampled_from('ab\n\r"é\u2028\0'), max_size=40)


def dumb_lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def with_files(texts: list[str], suffix: str, use: Callable[[list[Path]], None]) -> None:
    with TemporaryDirectory() as folder, patch.object(splits, "MIN_PARTITION", 1):
        paths = [Path(folder) / f"{number:03d}{suffix}" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_bytes(text.encode())
        use(paths)


@given(TEXTS)
@example("a\r")
@example("\r\n\r")
def test_both_ways_to_split_lines_are_the_dumb_one(text: str) -> None:
    assert lines_of(text.encode()).to_list() == dumb_lines(text)
    with patch.object(files, "_READ_LINES", None):
        assert lines_of(text.encode()).to_list() == dumb_lines(text)


@given(st.lists(TEXTS, min_size=1, max_size=5), RULES, st.integers(1, 6), st.integers(1, 30))
def test_text(texts: list[str], epochs: EpochRule | None, number: int, batch_bytes: int) -> None:
    def use(paths: list[Path]) -> None:
        source = TextFiles(paths, epochs=epochs, splits=number, batch_bytes=batch_bytes)
        assert len(source.partitions()) <= number
        assert [line for (line,) in rows_of(source)] == [line for text in texts for line in dumb_lines(text)]
        other = TextFiles(paths, epochs=epochs, splits=number, batch_bytes=1000)
        assert read_all(source) == read_all(other), "an epoch does not depend on the size of batches"
        check_every_cut(source)

    with_files(texts, ".txt", use)


FIELDS = st.text(st.sampled_from('ab,\n"\x0c'), min_size=1, max_size=8)
ROWS = st.lists(st.tuples(st.one_of(st.integers(0, 99).map(str), st.just("bad")), FIELDS), max_size=12)


@settings(max_examples=25)  # each parse costs Polars 200 us, and every cut is tried
@given(st.lists(ROWS, min_size=1, max_size=3), RULES, st.integers(1, 60))
def test_csv(tables: list[list[tuple[str, str]]], epochs: EpochRule | None, batch_bytes: int) -> None:
    def use(paths: list[Path]) -> None:
        schema = {"n": pl.Int64, "s": pl.String}
        source = CsvFiles(paths, schema=schema, epochs=epochs, batch_bytes=batch_bytes, on_error="divert")
        found = rows_of(source)
        every = [row for table in tables for row in table]
        assert [(n, s) for n, s, error in found if error is None] == [(int(n), s) for n, s in every if n != "bad"]
        assert sum(error is not None for *_, error in found) == sum(n == "bad" for n, _ in every)
        check_every_cut(source)

    quoted = ["n,s\n" + "".join(f'{n},"{s.replace(chr(34), chr(34) * 2)}"\n' for n, s in table) for table in tables]
    with_files(quoted, ".csv", use)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(['{"n":1}', '{"n":"x"}', "rubbish", "", '{"n":22}'])), st.integers(1, 40))
def test_ndjson(lines: list[str], batch_bytes: int) -> None:
    def use(paths: list[Path]) -> None:
        source = NdjsonFiles(paths, schema={"n": pl.Int64}, batch_bytes=batch_bytes, on_error="divert", splits=3)
        good = sorted(n for n, error in rows_of(source) if error is None)
        bad = sorted((error["line"], error["text"]) for _, error in rows_of(source) if error is not None)
        assert good == sorted({'{"n":1}': 1, '{"n":22}': 22}[line] for line in lines if line in ('{"n":1}', '{"n":22}'))
        assert bad == [(at, line) for at, line in enumerate(lines, 1) if line in ('{"n":"x"}', "rubbish")]
        check_every_cut(source)

    with_files(["\n".join(lines)], ".ndjson", use)
