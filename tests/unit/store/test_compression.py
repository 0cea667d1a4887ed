"""When chunks are compressed, and that they come back."""

import random
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from limnad.store import ChunkCorrupt, ChunkRef
from limnad.store.compression import FAST_BYTES_PER_S, Compression, Compressor, unpack

ZEROS = b"\0" * 100_000
NOISE = random.Random(1).randbytes(100_000)


class Clock:
    """Each look at it costs a time that the test says."""

    def __init__(self, tick_s: float) -> None:
        self.tick_s, self.now_s = tick_s, 0.0

    def __call__(self) -> float:
        self.now_s += self.tick_s
        return self.now_s


def is_packed(compressor: Compressor, data: bytes) -> bool:
    [packed] = compressor.pack([data])
    assert unpack(ChunkRef.of(data), bytes(packed), "here") == data
    return len(packed) < len(data)


@given(st.lists(st.binary(max_size=2000) | st.binary(max_size=10).map(lambda part: part * 300), min_size=1))
def test_what_was_packed_is_unpacked(datas: list[bytes]) -> None:
    for kind in Compression:
        packed = Compressor(kind).pack(datas)
        assert [unpack(ChunkRef.of(data), bytes(one), "") for data, one in zip(datas, packed, strict=True)] == datas


def test_never_and_always_mean_it() -> None:
    assert is_packed(Compressor(Compression.ALWAYS), ZEROS)
    assert not is_packed(Compressor(Compression.NEVER), ZEROS)


def test_what_does_not_get_smaller_is_stored_as_it_is() -> None:
    [packed] = Compressor(Compression.ALWAYS).pack([NOISE])
    assert packed is NOISE


@pytest.mark.parametrize(
    ("store_bytes_per_s", "sample_s", "data", "compressed"),
    [
        (1e8, 1e-6, ZEROS, True),  # a slow store
        (1e8, 1e-1, ZEROS, False),  # a slow processor
        (1e8, 1e-6, NOISE, False),  # nothing to gain
        (2 * FAST_BYTES_PER_S, 1e-9, ZEROS, False),
    ],
)
def test_auto_compresses_when_that_is_quicker(
    store_bytes_per_s: float, sample_s: float, data: bytes, compressed: bool
) -> None:
    compressor = Compressor(Compression.AUTO, Clock(sample_s))
    assert not is_packed(compressor, data), "nothing is known of the store yet"
    compressor.stored(int(store_bytes_per_s), 1.0)
    assert is_packed(compressor, data) is compressed


def test_auto_follows_a_store_that_changes() -> None:
    compressor = Compressor(Compression.AUTO, Clock(1e-6))
    compressor.stored(int(2 * FAST_BYTES_PER_S), 1.0)
    assert not is_packed(compressor, ZEROS)
    for _ in range(20):
        compressor.stored(10**7, 1.0)
    assert is_packed(compressor, ZEROS)


@given(st.binary(max_size=300), st.data())
def test_no_changed_byte_is_overlooked(data: bytes, draw: st.DataObject) -> None:
    content = data * 5
    ref = ChunkRef.of(content)
    [stored] = Compressor(draw.draw(st.sampled_from([Compression.ALWAYS, Compression.NEVER]))).pack([content])
    changed = bytearray(stored)
    if changed and draw.draw(st.booleans()):
        changed[draw.draw(st.integers(0, len(changed) - 1))] ^= draw.draw(st.integers(1, 255))
    elif changed and draw.draw(st.booleans()):
        del changed[draw.draw(st.integers(0, len(changed) - 1)) :]
    else:
        changed += b"x"
    with suppress(ChunkCorrupt):
        assert unpack(ref, bytes(changed), "here") == content  # a change of a frame's own checks may be harmless


def test_a_frame_that_would_fill_the_memory_is_not_unpacked() -> None:
    bomb = zstandard.ZstdCompressor().compress(b"\0" * (64 << 20))
    with pytest.raises(ChunkCorrupt, match="neither"):
        unpack(ChunkRef("0" * 64, 10**6), bomb, "here")
