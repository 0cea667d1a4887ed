"""Rows of CSV, NDJSON and Parquet files."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limnad.connectors import CsvFiles, NdjsonFiles, ParquetFiles, by_file, by_size, splits
from limnad.errors import InputError
from limnad.timely.source import Idle
from tests.helpers.sources import epochs_of, pairs, read_all, rows_of, stored, until_pause

SCHEMA = pl.Schema({"a": pl.Int64, "b": pl.String})
SUFFIXES = {CsvFiles: "csv", NdjsonFiles: "ndjson"}
RowFiles = type[CsvFiles] | type[NdjsonFiles]


def made(kind: RowFiles, folder: Path, data: bytes, **options: Any) -> CsvFiles | NdjsonFiles:
    path = folder / f"rows.{SUFFIXES[kind]}"
    path.write_bytes(data)
    return kind(path, **{"schema": SCHEMA, **options})


def diverted(kind: RowFiles, folder: Path, data: bytes, **options: Any) -> tuple[list[Any], list[tuple[int, str]]]:
    """Good rows, and line number and text of bad ones."""
    rows = rows_of(made(kind, folder, data, on_error="divert", **options))
    good = [row[:-1] for row in rows if row[-1] is None]
    return good, [(row[-1]["line"], row[-1]["text"]) for row in rows if row[-1] is not None]


@pytest.mark.parametrize(
    ("kind", "data", "line", "reason"),
    [
        (CsvFiles, b"a,b\n1,x\nq,y\n", 3, "column 'a' should be Int64, but is 'q'"),
        (CsvFiles, b"a,b\n1,x\n2\n3,z\n", 3, "1 fields, where the schema has 2"),
        (CsvFiles, b"a,b\n1,x\n2,y,7\n3,z\n", 3, "3 fields, where the schema has 2"),
        (CsvFiles, b'a,b\n1,"x\ny"\n1.5,z\n', 4, "column 'a' should be Int64, but is '1.5'"),
        (CsvFiles, b"a,b\n1,x\n2,\xff\n", 3, "utf"),
        (NdjsonFiles, b'{"a":1}\n\n{"a":"q"}\n', 3, "cannot parse 'q'"),
        (NdjsonFiles, b'{"a":1.5}\n', 1, "cannot parse '1.5'"),
        (NdjsonFiles, b'{"a":true}\n', 1, "cannot parse 'true'"),
        (NdjsonFiles, b'{"a":1}\nrubbish\n', 2, "not JSON"),
        (NdjsonFiles, b'{"a":1}\n[2]\n', 2, "not a JSON object"),
    ],
)
def test_a_bad_row_is_named(kind: RowFiles, data: bytes, line: int, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        rows_of(made(kind, tmp_path, data))
    assert f"rows.{SUFFIXES[kind]}, line {line}: " in str(caught.value)
    assert reason in str(caught.value)
    assert [number for number, _ in diverted(kind, tmp_path, data)[1]] == [line]


def test_long_rows_are_shortened_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        rows_of(made(CsvFiles, tmp_path, b"a,b\nq," + b"x" * 10_000 + b"\n"))
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "good",
    [
        b" 1,x",
        b"+1,x",
        b'1,"x\ny"',
        "1,x\u2028y\x0c\x85".encode(),
        b'"1","say ""x"""',
        b"1,",
        b",",
        b'1,"x,y,z"',
        b"\n\r\n1,x",
    ],
)
def test_a_bad_neighbour_changes_nothing_for_a_good_csv_row(good: bytes, tmp_path: Path) -> None:
    alone = rows_of(made(CsvFiles, tmp_path, b"a,b\n" + good + b"\n"))
    rows, bad = diverted(CsvFiles, tmp_path, b"a,b\n" + good + b"\nq,q\n" + good + b"\n")
    assert rows == alone * 2
    assert [text for _, text in bad] == ["q,q"]


@pytest.mark.parametrize(
    "good", [b'{"a":1,"b":{"x":1}}', b'{"a":1,"b":5}', b"{}", b'{"c":1}', '{"b":"\u2028"}'.encode()]
)
def test_a_bad_neighbour_changes_nothing_for_a_good_json_row(good: bytes, tmp_path: Path) -> None:
    alone = rows_of(made(NdjsonFiles, tmp_path, good + b"\n"))
    rows, bad = diverted(NdjsonFiles, tmp_path, good + b"\nrubbish\n" + good + b"\n")
    assert rows == alone * 2
    assert bad == [(2, "rubbish")]


def test_types_that_cannot_be_cast_from_text_survive_a_bad_neighbour(tmp_path: Path) -> None:
    schema = {"a": pl.Boolean, "b": pl.Date, "c": pl.Float64}
    data = b"a,b,c\ntrue,2024-01-02,1e3\nq,2024-01-02,1\n"
    rows, bad = diverted(CsvFiles, tmp_path, data, schema=schema)
    assert len(rows) == 1
    assert bad == [(3, "q,2024-01-02,1")]


def test_blank_lines_are_no_rows_but_an_empty_only_field_is_one(tmp_path: Path) -> None:
    assert rows_of(made(CsvFiles, tmp_path, b"a,b\n1,x\n\n2,y\n\r\n")) == [(1, "x"), (2, "y")]
    one = {"schema": {"a": pl.Int64}}
    assert rows_of(made(CsvFiles, tmp_path, b"a\n1\n\n2\n", **one)) == [(1,), (None,), (2,)]
    assert diverted(CsvFiles, tmp_path, b"a\n1\n\nq\n", **one) == ([(1,), (None,)], [(4, "q")])


def test_quoted_line_ends_survive_every_batch_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MIN_PARTITION", 1)
    wanted = [(number, f'x\n{"y" * number}\n"z",') for number in range(30)]
    data = b"a,b\n" + b"".join(f'{a},"{b.replace(chr(34), chr(34) * 2)}"\n'.encode() for a, b in wanted)
    for batch_bytes in (1, 7, 50, 1 << 20):
        source = made(CsvFiles, tmp_path, data, batch_bytes=batch_bytes)
        assert len(source.partitions()) == 1
        assert rows_of(source) == wanted


def test_a_quote_that_is_never_closed_does_not_swallow_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limnad.connectors.files.MAX_FIELD", 1000)
    data = b'a,b\n1,"x\n' + b"2,y\n" * 50_000
    with pytest.raises(InputError, match="not closed"):
        rows_of(made(CsvFiles, tmp_path, data, batch_bytes=100))


@pytest.mark.parametrize("options", [{"splittable": True}, {"quote_char": None}])
def test_csv_without_quoted_line_ends_is_cut(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "MIN_PARTITION", 1)
    data = b"a,b\n" + b"".join(b"%d,x%d\n" % (number, number) for number in range(200))
    source = made(CsvFiles, tmp_path, data, splits=5, **options)
    assert len(source.partitions()) == 5
    assert rows_of(source) == [(number, f"x{number}") for number in range(200)]


def test_a_short_row_with_a_quoted_separator_is_found_in_cut_files(tmp_path: Path) -> None:
    texts = {"a": pl.String, "b": pl.String}
    assert diverted(CsvFiles, tmp_path, b'a,b\n2,y\n"1,1"\n', splittable=True, schema=texts) == (
        [("2", "y")],
        [(3, '"1,1"')],
    )


def test_a_header_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\['a', 'z'\]"):
        rows_of(made(CsvFiles, tmp_path, b"a,z\n1,x\n"))
    assert rows_of(made(CsvFiles, tmp_path, b"\xef\xbb\xbfa,b\n1,x\n")) == [(1, "x")]
    assert rows_of(made(CsvFiles, tmp_path, b"1,x\n", has_header=False)) == [(1, "x")]


def test_schemas_are_inferred_once(tmp_path: Path) -> None:
    assert made(CsvFiles, tmp_path, b"a,b\n1,x\n", schema=None).schema == SCHEMA
    assert made(NdjsonFiles, tmp_path, b'{"a":1,"b":"x"}\n', schema=None).schema == SCHEMA
    for kind in (CsvFiles, NdjsonFiles):
        with pytest.raises(InputError, match="schema="):
            made(kind, tmp_path, b"", schema=None)


def test_a_byte_order_mark_is_no_json(tmp_path: Path) -> None:
    assert rows_of(made(NdjsonFiles, tmp_path, b'\xef\xbb\xbf{"a":1,"b":"x"}\n')) == [(1, "x")]


def test_a_followed_csv_waits_for_its_header(tmp_path: Path) -> None:
    source = made(CsvFiles, tmp_path, b"a,", follow=True, epochs=by_size(1 << 20))
    reader = source.open(source.partitions()[0], None)
    assert reader.read() == Idle(0.1)
    with Path(source.files[0]).open("ab") as file:
        file.write(b'b\n1,"x\ny"\n2,"un\n')
    assert pairs(until_pause(reader)[0]) == [(0, (1, "x\ny"))]


def parquet(path: Path, rows: int, **columns: Any) -> Path:
    made = {"a": range(rows)} | columns
    pl.DataFrame(made).write_parquet(path, row_group_size=10)
    return path


def test_parquet_rows_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MIN_PARTITION", 1)
    for name, rows in (("1", 0), ("2", 35), ("3", 0)):
        parquet(tmp_path / f"{name}.parquet", rows)
    # A column of no rows has no type of its own.
    for name in ("1", "3"):
        pl.DataFrame(schema={"a": pl.Int64}).write_parquet(tmp_path / f"{name}.parquet")
    source = ParquetFiles(tmp_path, splits=4, batch_rows=4, epochs=by_file())
    assert read_all(source) == [(1, (number,)) for number in range(35)]
    assert epochs_of(source) == 3


def test_a_parquet_file_of_another_schema_is_named(tmp_path: Path) -> None:
    parquet(tmp_path / "1.parquet", 1)
    parquet(tmp_path / "2.parquet", 1, a=["x"])
    with pytest.raises(InputError, match=r"2\.parquet: column 'a' is String, but in .*1\.parquet it is Int64"):
        ParquetFiles(tmp_path)
    (tmp_path / "2.parquet").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"2\.parquet is no Parquet file"):
        ParquetFiles(tmp_path)


def test_a_parquet_position_of_other_files_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "1.parquet", 3)
    source = ParquetFiles(path, batch_rows=1)
    reader = source.open(source.partitions()[0], None)
    reader.read()
    parquet(path, 4)
    with pytest.raises(InputError, match="not those"):
        ParquetFiles(path).open(source.partitions()[0], stored(reader.position()))
