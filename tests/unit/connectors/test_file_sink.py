"""Files that hold epochs."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limnad.connectors import Covered, Delivery, Fenced, FileFormat, FileTarget, LostOutput, Sink
from limnad.errors import InputError, JobError

EMPTY = pl.DataFrame(schema={"a": pl.Int64})


class Context:
    """As much of an engine as a sink sees."""

    stage = "write"

    def __init__(self, worker: int, workers: int, generation: int, job: str) -> None:
        self.worker = worker
        self.workers = workers
        self.generation = generation
        self.job = job


def sink(
    path: Path,
    format: FileFormat = "csv",
    worker: int = 0,
    empty: Any = EMPTY,
    *,
    delivery: Delivery = "eager",
    generation: int = 1,
    workers: int = 2,
    restored: Covered | None = None,
    job: str = "job",
) -> Sink:
    target = FileTarget(str(path), format, records=isinstance(empty, list))
    made = Sink(empty, lambda: target, delivery)
    made._context = Context(worker, workers, generation, job)  # type: ignore[assignment]
    if restored is not None:
        made.restore(restored)
    made.on_start()
    return made


def give(one: Sink, epoch: int, numbers: Sequence[int]) -> None:
    one.on_recv(0, pl.DataFrame({"a": numbers}), (epoch,))
    one.on_complete(range(epoch, epoch + 1))


def visible(path: Path) -> dict[str, str]:
    """All files that a reader finds."""
    return {
        name: file.read_text().replace("\n", " ")
        for file in path.rglob("*")
        if file.is_file() and not (name := file.relative_to(path).as_posix()).startswith(".limnad")
    }


def test_each_worker_writes_its_part_of_each_epoch_that_has_rows(tmp_path: Path) -> None:
    both = [sink(tmp_path / "out", worker=worker) for worker in (0, 1)]
    both[0].on_recv(0, pl.DataFrame({"a": [1]}), (0,))
    both[0].on_recv(0, pl.DataFrame({"a": [2]}), (0,))
    both[1].on_recv(0, pl.DataFrame({"a": [3]}), (2,))
    for one in both:
        one.on_complete(range(3))
    assert visible(tmp_path / "out") == {"epoch=00000000/part-0-1.csv": "a 1 2 ", "epoch=00000002/part-1-1.csv": "a 3 "}


def test_an_epoch_is_not_written_before_it_is_complete(tmp_path: Path) -> None:
    one = sink(tmp_path / "out")
    one.on_recv(0, pl.DataFrame({"a": [1]}), (1,))
    one.on_complete(range(1))
    assert visible(tmp_path) == {}


@pytest.mark.parametrize(("format", "read"), [("ndjson", pl.read_ndjson), ("parquet", pl.read_parquet)])
def test_formats_of_frames(format: FileFormat, read: Any, tmp_path: Path) -> None:
    give(sink(tmp_path / "out", format), 0, [1, 2])
    assert read(tmp_path / f"out/epoch=00000000/part-0-1.{format}").rows() == [(1,), (2,)]


def test_records_are_written_as_ndjson_only(tmp_path: Path) -> None:
    one = sink(tmp_path / "out", "ndjson", empty=[])
    one.on_recv(0, [{"a": 1}, "x", [2, None]], (0,))
    one.on_complete(range(1))
    assert (tmp_path / "out/epoch=00000000/part-0-1.ndjson").read_text() == '{"a": 1}\n"x"\n[2, null]\n'
    for of_frames in ("csv", "parquet"):
        with pytest.raises(JobError, match="ndjson"):
            sink(tmp_path / "other", of_frames, empty=[])
    with pytest.raises(JobError, match="not as avro"):
        sink(tmp_path / "other", "avro")  # type: ignore[arg-type]


def test_runs_are_never_mixed(tmp_path: Path) -> None:
    give(sink(tmp_path, worker=1), 5, [1])
    for of_frames in ("csv", "parquet"):
        with pytest.raises(InputError, match=r"another run, such as epoch=00000005/part-1-1\.csv"):
            sink(tmp_path, of_frames, job="another")
    (tmp_path / "old" / "epoch=00000000").mkdir(parents=True)
    (tmp_path / "old" / "epoch=00000000" / "part-0.csv").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"another run, such as epoch=00000000/part-0\.csv"):
        sink(tmp_path / "old")


def test_what_another_run_staged_and_never_showed_is_removed(tmp_path: Path) -> None:
    other = sink(tmp_path, delivery="committed", job="another")
    give(other, 0, [1])
    (tmp_path / "notes.txt").write_bytes(b"mine")
    sink(tmp_path)
    assert [file.name for file in (tmp_path / ".limnad").iterdir()] == ["job"]
    assert visible(tmp_path) == {"notes.txt": "mine"}
    with pytest.raises(Fenced):
        other.on_commit(1)


def test_committed_files_are_shown_when_a_checkpoint_covers_them(tmp_path: Path) -> None:
    one = sink(tmp_path, delivery="committed")
    give(one, 0, [1])
    one.checkpoint()
    give(one, 1, [2])
    assert visible(tmp_path) == {}
    one.on_commit(1)
    assert visible(tmp_path) == {"epoch=00000000/part-0-1.csv": "a 1 "}
    one.on_commit(2)
    assert len(visible(tmp_path)) == 2
    assert one.checkpoint().staged == ()


def test_a_restore_commits_what_the_checkpoint_lists_and_discards_the_rest(tmp_path: Path) -> None:
    one = sink(tmp_path, delivery="committed")
    give(one, 0, [1])
    durable = one.checkpoint()
    give(one, 1, [2])
    again = sink(tmp_path, delivery="committed", generation=2, restored=durable)
    assert visible(tmp_path) == {"epoch=00000000/part-0-1.csv": "a 1 "}
    give(again, 1, [3])
    again.on_commit(2)
    assert visible(tmp_path) == {"epoch=00000000/part-0-1.csv": "a 1 ", "epoch=00000001/part-0-2.csv": "a 3 "}


def test_a_late_commit_is_a_repetition_or_refused(tmp_path: Path) -> None:
    zombie = sink(tmp_path, delivery="committed")
    give(zombie, 0, [1])
    durable = zombie.checkpoint()
    give(zombie, 1, [2])
    sink(tmp_path, delivery="committed", generation=2, restored=durable)
    for epochs in (1, 2):
        with pytest.raises(Fenced):
            zombie.on_commit(epochs)
    with pytest.raises(Fenced):
        give(zombie, 2, [3])
    assert visible(tmp_path) == {"epoch=00000000/part-0-1.csv": "a 1 "}


@pytest.mark.parametrize("checkpointed", [False, True])
def test_eager_files_are_taken_back_to_the_checkpoint(tmp_path: Path, checkpointed: bool) -> None:
    zombie = sink(tmp_path)
    give(zombie, 0, [1])
    durable = zombie.checkpoint() if checkpointed else None
    give(zombie, 1, [2])
    again = sink(tmp_path, generation=2, restored=durable)
    kept = {"epoch=00000000/part-0-1.csv": "a 1 "} if checkpointed else {}
    assert visible(tmp_path) == kept
    give(again, 1, [2])
    with pytest.raises(Fenced):
        give(zombie, 2, [9])
    assert visible(tmp_path) == kept | {"epoch=00000001/part-0-2.csv": "a 2 "}


def test_a_change_of_the_number_of_workers(tmp_path: Path) -> None:
    """Worker 0 was further than worker 2; whose leavings worker 0 of 2 looks after, too."""
    three = [sink(tmp_path, delivery="committed", worker=worker, workers=3) for worker in range(3)]
    for epoch in range(3):
        give(three[0], epoch, [epoch])
    give(three[2], 0, [20])
    states = Sink.rescale([one.checkpoint() for one in three], 2)
    give(three[2], 1, [21])
    for worker in range(2):
        sink(tmp_path, delivery="committed", worker=worker, generation=2, restored=states[worker])
    shown = {f"epoch=0000000{epoch}/part-0-1.csv": f"a {epoch} " for epoch in range(3)}
    assert visible(tmp_path) == shown | {"epoch=00000000/part-2-1.csv": "a 20 "}


def test_an_older_checkpoint_takes_back_what_only_a_newer_one_covered(tmp_path: Path) -> None:
    one = sink(tmp_path, delivery="committed")
    give(one, 0, [1])
    older = one.checkpoint()
    give(one, 1, [2])
    one.on_commit(2)
    sink(tmp_path, delivery="committed", generation=2, restored=older)
    assert visible(tmp_path) == {"epoch=00000000/part-0-1.csv": "a 1 "}


@pytest.mark.parametrize("generation", [1, 2])
def test_an_engine_that_starts_late_is_refused(tmp_path: Path, generation: int) -> None:
    sink(tmp_path, generation=2)
    with pytest.raises(LostOutput, match="generation 2 has written"):
        sink(tmp_path, generation=generation, worker=2 - generation)


def test_a_consumer_may_take_files_away(tmp_path: Path) -> None:
    one = sink(tmp_path, delivery="committed")
    give(one, 0, [1])
    durable = one.checkpoint()
    one.on_commit(1)
    shutil.rmtree(tmp_path / "epoch=00000000")
    sink(tmp_path, delivery="committed", generation=2, restored=durable)
    assert visible(tmp_path) == {}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"a file")
    with pytest.raises(InputError, match="taken"):
        sink(tmp_path / "taken")
