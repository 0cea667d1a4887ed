"""`framing` against the generated `DataBatch`: the same bytes, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnad.cluster.effects import Progress
from limnad_proto.v1 import exchange_pb2 as wire
from limnad_worker import framing, links

numbers = st.integers(0, 2**40)
times = st.lists(numbers, min_size=1, max_size=4).map(tuple)


@given(numbers, st.integers(0, 2**20), times, st.integers(1, 3), st.binary(max_size=300))
def test_what_pack_writes_the_generated_class_reads(
    sequence: int, connector: int, time: tuple[int, ...], encoding: int, payload: bytes
) -> None:
    packed = framing.pack(sequence, connector, time, encoding, payload)
    message = wire.DataBatch.FromString(packed)
    assert (message.sequence, message.connector, tuple(message.time)) == (sequence, connector, time)
    assert (message.encoding, message.payload) == (encoding, payload)
    # The generated class leaves out an empty payload, which pack always writes.
    if payload:
        assert message.SerializeToString() == packed
    frame = framing.unpack(packed)
    assert (frame.sequence, frame.connector, frame.time, frame.encoding) == (sequence, connector, time, encoding)
    assert bytes(frame.payload) == payload


@given(st.binary(max_size=40))
def test_other_bytes_are_refused(data: bytes) -> None:
    try:
        framing.unpack(data)
    except framing.FrameError:
        return


def test_a_message_that_is_cut_off_is_refused() -> None:
    packed = framing.pack(3, 4, (5, 6), 1, b"payload")
    for length in range(len(packed)):
        with pytest.raises(framing.FrameError):
            framing.unpack(packed[:length])


@given(st.lists(st.tuples(st.integers(0, 500), times, st.integers(-50, 50))), numbers, numbers)
def test_progress_comes_back_as_it_was(
    updates: list[tuple[int, tuple[int, ...], int]], sequence: int, epochs: int
) -> None:
    progress = Progress(sequence, updates, epochs)
    message = wire.ProgressMessage.FromString(links.pack_progress(progress))
    assert links.unpack_progress(message.batch) == progress
