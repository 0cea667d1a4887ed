"""Whether and how chunks are compressed.

A stored chunk has no header: bytes as long as the name says *are* the content, shorter ones are a Zstandard frame of
it. So what is not compressed is not copied either.

Zstandard at its fastest level makes some 500 MB a second. A Redis on the same machine takes several times that, one
behind a busy network or with a slow disk a fraction: compressing is right in one place and wrong in the other. So
`auto` compares, at each window of chunks, the time that compressing costs with the time that sending less saves, as it
has measured both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

import zstandard
from blake3 import blake3

from limnad.store.errors import ChunkCorrupt
from limnad.store.interface import Bytes, ChunkRef

LEVEL: Final = 1
MIN_BYTES: Final = 256
"""A shorter chunk is not compressed."""
SAMPLE_BYTES: Final = 16 << 10
"""Of the first, the middlemost and the last chunk of a window."""
FAST_BYTES_PER_S: Final = 1.5e9
"""No compressor pays beside a store that takes so much: not even samples are taken."""
WORTH: Final = 0.95
"""What is larger than this share of the original when compressed is stored as it is."""
_OLD: Final = 0.75
"""Weight of what was measured before."""


class Compression(Enum):
    """When to compress."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Compressor:
    """Decides for each window of chunks.

    Args:
        compression: When to compress.
        clock: Seconds.
    """

    def __init__(self, compression: Compression, clock: Callable[[], float] = time.perf_counter) -> None:
        self._compression = compression
        self._clock = clock
        self._store_bytes_per_s: float | None = None

    def stored(self, nbytes: int, seconds: float) -> None:
        """Tells that the store took so many bytes, as they were after compression, in that time."""
        if nbytes and seconds > 0:
            rate, known = nbytes / seconds, self._store_bytes_per_s
            self._store_bytes_per_s = rate if known is None else _OLD * known + (1 - _OLD) * rate

    def pack(self, datas: Sequence[Bytes]) -> list[Bytes]:
        """What to store for each; law: `unpack` gives it back."""
        if not self._worth_it(datas):
            return list(datas)
        compressor = zstandard.ZstdCompressor(level=LEVEL)
        return [_packed(compressor, data) for data in datas]

    def _worth_it(self, datas: Sequence[Bytes]) -> bool:
        if self._compression is not Compression.AUTO:
            return self._compression is Compression.ALWAYS
        if self._store_bytes_per_s is None or self._store_bytes_per_s > FAST_BYTES_PER_S:
            return False  # the first window measures the store
        samples = [_middle(data) for data in (datas[0], datas[len(datas) // 2], datas[-1])]
        compressor = zstandard.ZstdCompressor(level=LEVEL)
        began_s = self._clock()
        packed = sum(len(compressor.compress(sample)) for sample in samples)
        took_s = self._clock() - began_s
        size = sum(sample.nbytes for sample in samples)
        return took_s < (size - packed) / self._store_bytes_per_s


def _middle(data: Bytes) -> memoryview:
    view = memoryview(data).cast("B")
    start = max(0, (view.nbytes - SAMPLE_BYTES) // 2)
    return view[start : start + SAMPLE_BYTES]


def _packed(compressor: zstandard.ZstdCompressor, data: Bytes) -> Bytes:
    size = memoryview(data).nbytes
    if size < MIN_BYTES:
        return data
    packed = compressor.compress(data)
    return packed if len(packed) < WORTH * size else data


def unpack(ref: ChunkRef, stored: bytes, where: str) -> bytes:
    """The content of a chunk, checked.

    Raises:
        ChunkCorrupt: These bytes are not what was put.
    """
    data = stored
    if len(stored) != ref.size:
        try:
            said = zstandard.frame_content_size(stored)
            if said != ref.size:  # asked before memory is taken
                raise ChunkCorrupt(ref, where, f"{len(stored):,} bytes that are neither it nor a frame of its size")
            data = zstandard.ZstdDecompressor().decompress(stored)
        except zstandard.ZstdError as error:
            raise ChunkCorrupt(ref, where, f"{len(stored):,} bytes: {error}") from None
    if blake3(data).hexdigest() != ref.digest:
        raise ChunkCorrupt(ref, where, "its digest is another")
    return data
