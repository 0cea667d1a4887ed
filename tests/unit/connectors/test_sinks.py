"""Files that hold epochs."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limnad.connectors import FileFormat, FileSink
from limnad.errors import InputError, JobError

EMPTY = pl.DataFrame(schema={"a": pl.Int64})


class Context:
    """As much of an engine as a sink sees."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.workers = 2


def sink(path: Path, format: FileFormat = "csv", worker: int = 0, empty: Any = EMPTY) -> FileSink:
    made = FileSink(empty, str(path), format)
    made._context = Context(worker)  # type: ignore[assignment]
    return made


def files(path: Path) -> list[str]:
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())


def test_each_worker_writes_its_part_of_each_epoch_that_has_rows(tmp_path: Path) -> None:
    both = [sink(tmp_path / "out", worker=worker) for worker in (0, 1)]
    both[0].on_recv(0, pl.DataFrame({"a": [1]}), (0,))
    both[0].on_recv(0, pl.DataFrame({"a": [2]}), (0,))
    both[1].on_recv(0, pl.DataFrame({"a": [3]}), (2,))
    for one in both:
        one.on_complete(range(3))
    assert files(tmp_path / "out") == ["epoch=00000000/part-0.csv", "epoch=00000002/part-1.csv"]
    assert (tmp_path / "out/epoch=00000000/part-0.csv").read_text() == "a\n1\n2\n"


def test_an_epoch_is_not_written_before_it_is_complete(tmp_path: Path) -> None:
    one = sink(tmp_path / "out")
    one.on_recv(0, pl.DataFrame({"a": [1]}), (1,))
    one.on_complete(range(1))
    assert files(tmp_path) == []


@pytest.mark.parametrize(("format", "read"), [("ndjson", pl.read_ndjson), ("parquet", pl.read_parquet)])
def test_formats_of_frames(format: FileFormat, read: Any, tmp_path: Path) -> None:
    one = sink(tmp_path / "out", format)
    one.on_recv(0, pl.DataFrame({"a": [1, 2]}), (0,))
    one.on_complete(range(1))
    assert read(tmp_path / f"out/epoch=00000000/part-0.{format}").rows() == [(1,), (2,)]


def test_records_are_written_as_ndjson_only(tmp_path: Path) -> None:
    one = sink(tmp_path / "out", "ndjson", empty=[])
    one.on_recv(0, [{"a": 1}, "x", [2, None]], (0,))
    one.on_complete(range(1))
    assert (tmp_path / "out/epoch=00000000/part-0.ndjson").read_text() == '{"a": 1}\n"x"\n[2, null]\n'
    for of_frames in ("csv", "parquet"):
        with pytest.raises(JobError, match="ndjson"):
            sink(tmp_path / "other", of_frames, empty=[])


def test_runs_are_never_mixed(tmp_path: Path) -> None:
    one = sink(tmp_path, worker=1)
    one.on_recv(0, pl.DataFrame({"a": [1]}), (5,))
    one.on_complete(range(6))
    for of_frames in ("csv", "parquet"):
        with pytest.raises(InputError, match=r"another run, such as epoch=00000005/part-1\.csv"):
            sink(tmp_path, of_frames)


def test_what_an_earlier_run_left_unfinished_is_removed(tmp_path: Path) -> None:
    (tmp_path / "epoch=00000000").mkdir()
    (tmp_path / "epoch=00000000" / ".part-7.csv.unfinished").write_bytes(b"half")
    (tmp_path / "epoch=00000000" / "notes.txt").write_bytes(b"mine")
    sink(tmp_path)
    assert files(tmp_path) == ["epoch=00000000/notes.txt"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"a file")
    one = sink(tmp_path / "taken")
    one.on_recv(0, pl.DataFrame({"a": [1]}), (0,))
    with pytest.raises(InputError, match="taken"):
        one.on_complete(range(1))
