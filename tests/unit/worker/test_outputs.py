"""What an agent keeps of a job's outputs, and for whom."""

from __future__ import annotations

import pytest

from limnad_proto.v1 import control_pb2 as wire
from limnad_worker.outputs import EPOCH_BYTES, KEPT_EPOCHS, Delivery, Outputs, Reader, make_room
from tests.helpers.census import census

PAYLOAD = bytes(500)
SIZE = len(PAYLOAD) + EPOCH_BYTES


def publish(outputs: Outputs, *epochs: int, name: str = "out") -> None:
    for epoch in epochs:
        outputs.add(wire.Output(name=name, epoch=epoch, payload=PAYLOAD))


def epochs(reader: Reader) -> list[int]:
    return [output.epoch for output in reader.read()]


def late(outputs: Outputs) -> list[int]:
    """What somebody gets who comes now."""
    with outputs.reader() as reader:
        return epochs(reader)


def checkpoint(outputs: Outputs, covers: int, chunk: str = "chunk") -> list[int]:
    """The epochs that it had to store."""
    unsaved = outputs.unsaved({"out": covers})
    outputs.save(unsaved, chunk)
    outputs.commit({"out": covers})
    return [output.epoch for output in unsaved]


def test_what_comes_again_after_a_restart_is_dropped() -> None:
    outputs = Outputs()
    publish(outputs, 0, 1, 2)
    outputs.restart()
    publish(outputs, 1, 2, 3)
    assert late(outputs) == [0, 1, 2, 3]


def test_committed_epochs_can_be_read_when_a_checkpoint_covers_them_and_the_others_come_again() -> None:
    outputs = Outputs(Delivery.COMMITTED)
    publish(outputs, 0, 1, 2)
    with outputs.reader() as reader:
        assert epochs(reader) == []
        checkpoint(outputs, 2)
        assert epochs(reader) == [0, 1]
        assert [output.epoch for output in outputs.unsaved({"out": 3})] == [2]
        outputs.save(outputs.unsaved({"out": 3}), "of a checkpoint that comes to nothing")
        outputs.restart()
        assert [record.epoch for record in outputs.records] == [0, 1]
        publish(outputs, 2, 3)
        assert checkpoint(outputs, 4) == [2, 3]
        assert epochs(reader) == [2, 3]


@pytest.mark.parametrize("delivery", Delivery)
def test_what_all_readers_have_read_goes_when_there_is_much(delivery: Delivery) -> None:
    outputs = Outputs(delivery, kept_bytes=10 * SIZE)
    with outputs.reader() as fast, outputs.reader() as slow:
        for epoch in range(100):
            publish(outputs, epoch)
            checkpoint(outputs, epoch + 1)
            assert epochs(fast) == [epoch]
        assert epochs(slow) == list(range(100))
    publish(outputs, 100)
    checkpoint(outputs, 101)
    assert late(outputs) == list(range(91, 101))
    assert len(outputs._epochs) == 10


def test_a_reader_that_has_stopped_takes_no_more_than_its_share_and_is_told_what_it_missed() -> None:
    outputs = Outputs(kept_bytes=10 * SIZE, waiting_bytes=40 * SIZE)
    with outputs.reader() as stopped:
        publish(outputs, 0, name="answer")
        publish(outputs, *range(30))
        assert len(outputs._epochs) == 31
        publish(outputs, *range(30, 2_000))
        assert outputs.nbytes <= 40 * SIZE
        assert census(outputs, "outputs")["outputs._epochs"] <= 40
        read = [(output.name, output.epoch) for output in stopped.read()]
        assert read[0] == ("answer", 0)  # From nothing to 1,960 or so is a gap, which the client names.
        assert 1_960 <= read[1][1] < 1_970
        assert read[-1] == ("out", 1_999)
        assert not stopped.behind


def test_a_reader_that_has_stopped_for_good_finds_the_newest_that_was_let_go() -> None:
    outputs = Outputs(kept_bytes=10 * SIZE, waiting_bytes=40 * SIZE)
    with outputs.reader() as stopped:
        publish(outputs, *range(3))
        for _ in range(2):
            publish(outputs, *range(100), name="other")
        outputs._let_go(0, outputs.readable)
        assert sorted((output.name, output.epoch) for output in stopped.read()) == [("other", 99), ("out", 2)]


def test_what_cannot_be_read_yet_does_not_go() -> None:
    outputs = Outputs(Delivery.COMMITTED, kept_bytes=10 * SIZE)
    publish(outputs, *range(100))
    checkpoint(outputs, 100)
    assert late(outputs) == list(range(100))


def test_the_newest_epoch_of_each_output_stays() -> None:
    outputs = Outputs(kept_bytes=10 * SIZE)
    publish(outputs, 0, name="answer")
    publish(outputs, *range(50))
    for _ in range(2):
        with outputs.reader() as reader:
            read = [(output.name, output.epoch) for output in reader.read()]
            assert read[0] == ("answer", 0)
            assert read[-1] == ("out", 49)
            assert not reader.behind
    publish(outputs, 1, name="answer")
    with outputs.reader() as reader:
        assert [output.epoch for output in reader.read() if output.name == "answer"] == [1]


def test_a_checkpoint_stores_an_epoch_once_and_keeps_the_newest() -> None:
    outputs = Outputs()
    publish(outputs, *range(3))
    assert checkpoint(outputs, 2) == [0, 1]
    assert checkpoint(outputs, 2) == []
    publish(outputs, *range(3, KEPT_EPOCHS + 10))
    assert checkpoint(outputs, KEPT_EPOCHS + 10) == list(range(10, KEPT_EPOCHS + 10))
    assert checkpoint(outputs, KEPT_EPOCHS + 10) == []
    assert {record.epoch for record in outputs.records} == set(range(10, KEPT_EPOCHS + 10))
    assert late(outputs) == list(range(KEPT_EPOCHS + 10))


def test_another_agent_gives_what_a_checkpoint_has_kept() -> None:
    outputs = Outputs(Delivery.COMMITTED)
    publish(outputs, *range(5))
    checkpoint(outputs, 4)
    other = Outputs(Delivery.COMMITTED)
    other.load(outputs.records, {"chunk": 4 * PAYLOAD})
    publish(other, 4)
    assert late(other) == [0, 1, 2, 3]
    assert checkpoint(other, 5) == [4]
    assert late(other) == [0, 1, 2, 3, 4]


def test_what_a_restored_job_has_and_its_checkpoint_does_not_is_not_sure() -> None:
    """It ended with epochs that no checkpoint covers, and goes back to one: they come again, maybe as others."""
    outputs = Outputs(Delivery.COMMITTED)
    publish(outputs, 0, 1, 2, 3)
    checkpoint(outputs, 2)
    outputs.load(outputs.records, {"chunk": 2 * PAYLOAD})
    assert late(outputs) == [0, 1]
    outputs.restart()
    publish(outputs, 2, 3)
    checkpoint(outputs, 4)
    assert late(outputs) == [0, 1, 2, 3]


def test_what_is_gone_from_the_store_is_stored_again() -> None:
    outputs = Outputs()
    publish(outputs, 0, 1, 2)
    assert checkpoint(outputs, 2) == [0, 1]
    outputs.lose({"another"})
    assert checkpoint(outputs, 3) == [2]
    outputs.lose({"chunk"})
    assert checkpoint(outputs, 3) == [0, 1, 2]


def test_what_an_ended_job_had_is_forgotten_and_comes_back_from_its_store() -> None:
    outputs = Outputs(Delivery.COMMITTED)
    publish(outputs, *range(5))
    checkpoint(outputs, 5)
    records = outputs.records
    outputs.forget()
    assert (outputs.gone, outputs.nbytes, late(outputs)) == (True, 0, [])
    assert not census(outputs, "outputs")
    outputs.load(records, {"chunk": 5 * PAYLOAD})
    assert (outputs.gone, late(outputs)) == (False, [0, 1, 2, 3, 4])


def test_of_jobs_that_have_ended_the_outputs_of_the_newest_are_kept() -> None:
    jobs = [Outputs() for _ in range(5)]
    for outputs, count in zip(jobs, [70, 20, 20, 0, 5], strict=True):
        publish(outputs, *range(count))
    make_room(jobs, room=100 * SIZE)
    assert [len(late(outputs)) for outputs in jobs] == [70, 20, 0, 0, 5]
    assert [outputs.gone for outputs in jobs] == [False, False, True, False, False]
    with jobs[1].reader():
        make_room(jobs, room=50 * SIZE)
    assert [outputs.gone for outputs in jobs] == [False, False, True, False, True]
