"""Sources: what they read, that a position goes on exactly where a reader stood, and what they say of bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from limnad import Flow, InputError
from limnad.connectors import CsvFiles, Generator, NdjsonFiles, ParquetFiles, TextFiles, by_file, by_size, by_time
from limnad.testing import run
from limnad.timely.source import End, Idle, Rows


def read_all(source: Any, stop_after: int | None = None) -> list[tuple[int, Any]]:
    """Every row with its epoch; with ``stop_after`` readers are replaced from their position after so many answers."""
    found: list[tuple[int, Any]] = []
    for partition in source.partitions():
        reader, answers = source.open(partition, None), 0
        while not isinstance(answer := reader.read(), End):
            assert isinstance(answer, Rows)
            found += [(answer.epoch, row) for row in answer.batch.rows()]
            answers += 1
            if answers == stop_after:
                reader = source.open(partition, reader.position())
    return found


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\n\nlast without end")
    (tmp_path / "b.txt").write_bytes("ünï\n".encode() * 3)
    (tmp_path / "c.txt").write_bytes(b"".join(b"line %d\n" % n for n in range(30_000)))
    (tmp_path / "d.txt").write_bytes(b"")
    return tmp_path


def lines(folder: Path) -> list[str]:
    return [
        line
        for file in sorted(folder.iterdir())
        for line in file.read_bytes().decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
        if file.stat().st_size
    ]


@pytest.mark.parametrize("options", [{}, {"splits": 1}, {"batch_bytes": 1000}, {"splits": 7, "batch_bytes": 5000}])
@pytest.mark.parametrize("stop_after", [None, 1, 3])
def test_text_gives_every_line_once(texts: Path, options: dict[str, Any], stop_after: int | None) -> None:
    found = read_all(TextFiles(texts, **options), stop_after)
    assert sorted(row[0] for _, row in found) == sorted(lines(texts))


def test_text_epochs_by_size_are_a_function_of_the_position(texts: Path) -> None:
    source = TextFiles(texts / "c.txt", epochs=by_size(50_000), splits=1, batch_bytes=7_000)
    whole = read_all(source)
    resumed = read_all(source, stop_after=2)
    assert whole == resumed
    assert [epoch for epoch, _ in whole] == sorted(epoch for epoch, _ in whole)
    assert whole[-1][0] >= 5


def test_text_epochs_by_file(texts: Path) -> None:
    found = read_all(TextFiles(texts, epochs=by_file(), splits=1, include_path=True))
    assert {(epoch, Path(path).name) for epoch, (path, _) in found} == {(0, "a.txt"), (1, "b.txt"), (2, "c.txt")}


def test_a_followed_file_gives_whole_lines_as_they_come(tmp_path: Path) -> None:
    now = [0.0]
    file = tmp_path / "log.txt"
    file.write_text("one\nhal")
    rule = by_time(1.0)
    object.__setattr__(rule, "clock", lambda: now[0])
    reader = TextFiles(file, follow=True, epochs=rule).open(f"{file}@0", None)
    assert isinstance(first := reader.read(), Rows)
    assert (first.epoch, first.batch.rows()) == (0, [("one",)])
    assert isinstance(reader.read(), Idle)
    with file.open("a") as more:
        more.write("f\ntwo\n")
    now[0] = 2.5
    assert isinstance(second := reader.read(), Rows)
    assert (second.epoch, second.batch.rows()) == (2, [("half",), ("two",)])
    file.write_text("")
    with pytest.raises(InputError, match="cut or replaced"):
        reader.read()


def test_bytes_that_are_not_utf8_are_named_or_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"good\nb\xffd\n")
    with pytest.raises(InputError, match=r"x\.txt, byte 6 is not UTF-8"):
        read_all(TextFiles(tmp_path / "x.txt"))
    found = read_all(TextFiles(tmp_path / "x.txt", errors="replace"))
    assert [row for _, row in found] == [("good",), ("b�d",)]


@pytest.mark.parametrize("paths", ["nowhere.txt", "nowhere/*.txt", []])
def test_no_files_is_an_error(paths: Any) -> None:
    with pytest.raises(InputError, match=r"no file|no input files"):
        TextFiles(paths)


CSV = "name,n\nann,1\nbob,2\n"


def test_csv_and_ndjson_infer_or_take_a_schema(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "a.ndjson").write_text('{"name": "ann", "n": 1}\n{"name": "bob", "n": null}\n')
    assert read_all(CsvFiles(tmp_path / "a.csv")) == [(0, ("ann", 1)), (0, ("bob", 2))]
    assert read_all(NdjsonFiles(tmp_path)) == [(0, ("ann", 1)), (0, ("bob", None))]
    declared = CsvFiles(tmp_path / "a.csv", schema={"name": pl.String, "n": pl.Float64})
    assert read_all(declared) == [(0, ("ann", 1.0)), (0, ("bob", 2.0))]
    with pytest.raises(InputError, match="its header says"):
        read_all(CsvFiles(tmp_path / "a.csv", schema={"who": pl.String, "n": pl.Int64}))


@pytest.mark.parametrize(
    ("name", "text", "line", "reason"),
    [
        ("x.csv", CSV + "eve,many\n", 4, "column 'n' should be Int64, but is 'many'"),
        ("x.csv", CSV + "eve,3,4\n", 4, "3 fields, where the schema has 2"),
        ("x.ndjson", '{"name": "ann", "n": 1}\nnot json\n', 2, "not JSON"),
        ("x.ndjson", '{"name": "ann", "n": 1}\n[1]\n', 2, "not a JSON object"),
    ],
)
def test_a_bad_row_fails_with_its_line_or_is_diverted(
    tmp_path: Path, name: str, text: str, line: int, reason: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    schema = {"name": pl.String, "n": pl.Int64}
    reads: Any = {"x.csv": CsvFiles, "x.ndjson": NdjsonFiles}[name]
    with pytest.raises(InputError, match=f"{name}, line {line}: {reason.split('(', maxsplit=1)[0]}"):
        read_all(reads(file, schema=schema))

    def job(flow: Flow) -> None:
        read: Any = flow.read_csv if name == "x.csv" else flow.read_ndjson
        rows, errors = read(str(file), schema=schema, on_error="divert")
        rows.output("rows")
        errors.output("errors")

    outputs = run(job, workers=2).outputs
    assert outputs["rows"][0].height == (2 if name == "x.csv" else 1)
    (error,) = outputs["errors"][0].to_dicts()
    assert (error["path"], error["line"]) == (str(file), line)
    assert reason in error["reason"]


def test_parquet_reads_ranges_and_checks_schemas(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": range(1000)})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_parquet(tmp_path / "b.parquet")
    found = read_all(ParquetFiles(tmp_path, batch_rows=64), stop_after=2)
    assert sorted(row[0] for _, row in found) == sorted([*range(1000)] * 2)
    pl.DataFrame({"n": ["x"]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(InputError, match=r"c\.parquet: column 'n' is String"):
        ParquetFiles(tmp_path)


def numbers(rng: np.random.Generator, start: int, count: int) -> pl.DataFrame:
    return pl.DataFrame({"n": np.arange(start, start + count), "x": rng.random(count)})


def test_generated_rows_are_the_same_in_every_run_and_after_a_resume() -> None:
    source = Generator(numbers, rows=1000, batch_rows=30, epochs=4, partitions=3, seed=5)
    whole = read_all(source)
    assert whole == read_all(source, stop_after=2)
    assert [row[0] for _, row in whole] == list(range(1000))
    assert {epoch for epoch, _ in whole} == {0, 1, 2, 3}


def test_a_rate_makes_a_generator_wait() -> None:
    now = [0.0]
    source = Generator(numbers, rows=100, batch_rows=10, partitions=1, rows_per_s=10, clock=lambda: now[0])
    reader = source.open("0", None)
    assert isinstance(reader.read(), Rows)
    assert reader.read() == Idle(1.0)
    now[0] = 1.0
    assert isinstance(reader.read(), Rows)


@pytest.mark.parametrize("format", ["csv", "ndjson", "parquet"])
def test_written_files_hold_each_epochs_rows(tmp_path: Path, format: Any) -> None:
    def job(flow: Flow) -> None:
        flow.input("rows", {"n": pl.Int64}).partition_by("n").select("n").write(str(tmp_path / "out"), format)

    epochs = [pl.DataFrame({"n": [1, 2, 3]}), pl.DataFrame({"n": []}, schema={"n": pl.Int64}), pl.DataFrame({"n": [4]})]
    run(job, {"rows": epochs}, workers=3)
    scan: Any = {"csv": pl.read_csv, "ndjson": pl.read_ndjson, "parquet": pl.read_parquet}[format]
    found = {
        folder.name: sorted(n for file in folder.iterdir() for n in scan(file)["n"].to_list())
        for folder in (tmp_path / "out").glob("epoch=*")
    }
    assert found == {"epoch=00000000": [1, 2, 3], "epoch=00000002": [4]}
    with pytest.raises(Exception, match="stage 'write") as failure:
        run(job, {"rows": epochs}, workers=3)
    assert "files of another run" in str(failure.value.__cause__)
