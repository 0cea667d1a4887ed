"""The stable hash of strings: words of 8 bytes, scrambled by position, summed and mixed.

A string of n bytes is read as little-endian words: the head `n | first 4 bytes << 32`, then the bytes from 4 on, 8 at a
time. Up to 12 bytes there is one such word, padded with zeros. Beyond, the last word is the last 8 bytes and overlaps
the one before: so no word needs a mask, and no read leaves the string. The hash is `mix(seed + head * HEAD_FACTOR +
sum(scramble(word[i] + i * GOLDEN)))`, i from 1.

The fast path does not read the strings at all: up to 12 bytes, both words are in Arrow's view of the string (see
`limnad.batch._views`). Longer strings are gathered a word at a time, all strings of a block side by side.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch._mix import (
    BLOCK,
    GOLDEN,
    HEAD_FACTOR,
    MASK,
    NULL_HASH,
    SEEDS,
    Kind,
    Words,
    blocks,
    mix_block,
    scramble_block,
)
from limnad.batch._views import Views, string_chunks

_INLINE_BYTES = 12
_GOLDEN = np.uint64(GOLDEN)
_HEAD = np.uint64(HEAD_FACTOR)


def hash_strings(series: pl.Series, kind: Kind) -> Words:
    """Hashes a String or Binary series; a null row is `NULL_HASH`.

    >>> hash_strings(pl.Series(["ab"]), Kind.TEXT) == hash_strings(pl.Series(["ab", None]), Kind.TEXT)[:1]
    array([ True])
    """
    hashes = np.empty(len(series), np.uint64)
    valid = series.is_not_null().to_numpy() if series.null_count() else None
    start = 0
    for chunk in string_chunks(series):
        stop = start + len(chunk.views)
        # Arrow leaves the view of a null undefined: it must not be followed.
        views = chunk.views if valid is None else np.where(valid[start:stop, None], chunk.views, np.uint32(0))
        _hash_chunk(Views(views, chunk.buffers), SEEDS[kind], hashes[start:stop])
        start = stop
    if valid is not None:
        hashes[~valid] = NULL_HASH
    return hashes


def _hash_chunk(chunk: Views, seed: np.uint64, hashes: Words) -> None:
    words = np.ascontiguousarray(chunk.views).view("<u8")
    scratch, other = np.empty((2, min(BLOCK, hashes.size)), np.uint64)
    for rows in blocks(hashes.size):
        block = hashes[rows]
        body, spare = scratch[: block.size], other[: block.size]
        np.multiply(words[rows, 0], _HEAD, out=block)
        np.add(words[rows, 1], _GOLDEN, out=body)
        scramble_block(body, spare)
        if chunk.buffers:
            _sum_long_strings(chunk.views[rows], chunk.buffers, body)
        np.add(block, body, out=block)
        np.add(block, seed, out=block)
        mix_block(block, spare)


def _sum_long_strings(views: npt.NDArray[np.uint32], buffers: list[npt.NDArray[np.uint8]], sums: Words) -> None:
    """Puts the sums of the scrambled words of strings beyond 12 bytes in their rows; other rows stay."""
    rows = np.flatnonzero(views[:, 0] > _INLINE_BYTES)
    if not rows.size:
        return
    numbers = views[:, 2].take(rows)
    if (numbers == numbers[0]).all():
        groups = [rows]
    else:
        order = np.argsort(numbers, kind="stable")
        groups = np.split(rows[order], np.flatnonzero(np.diff(numbers[order])) + 1)
    for group in groups:
        sizes, starts = views[:, 0].take(group).astype(np.int64), views[:, 3].take(group).astype(np.int64)
        sums[group] = _sums_in_buffer(buffers[views[group[0], 2]], starts, sizes)


def _sums_in_buffer(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Words:
    """The sums for strings of one buffer."""
    if (sizes == sizes[0]).all():
        steps = np.diff(starts)
        if steps.size and steps[0] > 0 and (steps == steps[0]).all():
            return _sums_evenly_spaced(data, int(starts[0]), int(steps[0]), int(sizes[0]), starts.size)
        return _sums_longest_first(data, starts, sizes)
    # The longest first: the strings that still have a word at some position are then a prefix. 16 bits are sorted by
    # counting.
    counts = _word_counts(sizes)
    order = np.argsort((counts.max() - counts).astype(np.uint16 if counts.max() < 1 << 16 else np.int64), kind="stable")
    sums = np.empty(starts.size, np.uint64)
    sums[order] = _sums_longest_first(data, starts[order], sizes[order])
    return sums


def _sums_evenly_spaced(data: npt.NDArray[np.uint8], start: int, step: int, size: int, count: int) -> Words:
    """The sums for strings of one length, written one after the other, as ids often are: read by stride."""
    sums = np.zeros(count, np.uint64)
    scratch, other = np.empty((2, count), np.uint64)
    for position in range(1, ((size + 3) >> 3) + 1):
        offset = start + min(8 * position - 4, size - 8)
        words: Words = np.ndarray(shape=(count,), dtype="<u8", buffer=data, offset=offset, strides=(step,))
        np.add(words, _position_word(position), out=scratch)
        scramble_block(scratch, other)
        np.add(sums, scratch, out=sums)
    return sums


def _sums_longest_first(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> Words:
    words: Words = np.ndarray(shape=(data.size - 7,), dtype="<u8", buffer=data, strides=(1,))  # One at every byte.
    counts = _word_counts(sizes)
    descending = -counts  # For searchsorted.
    lasts = starts + sizes - 8
    sums = np.zeros(starts.size, np.uint64)
    scratch = np.empty(starts.size, np.uint64)
    position, active = 1, starts.size
    # Side by side costs about 15 us a position, one after the other about 25 us a string: whichever is left with less.
    while active and 2 * active > counts[0] - position:
        term = words[np.minimum(starts[:active] + (8 * position - 4), lasts[:active])]
        np.add(term, _position_word(position), out=term)
        scramble_block(term, scratch[:active])
        sums[:active] += term
        position += 1
        active = int(np.searchsorted(descending, -position, side="right"))
    for row in range(active):
        sums[row : row + 1] += _sum_of_one(words, int(starts[row]), int(counts[row]), int(lasts[row]), position)
    return sums


def _word_counts(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return (sizes + 3) >> 3


def _position_word(position: int) -> np.uint64:
    return np.uint64(position * GOLDEN & MASK)


def _sum_of_one(words: Words, start: int, count: int, last: int, position: int) -> np.uint64:
    """The sum for one long string from `position` on, block by block."""
    total = 0
    for begin in range(position, count + 1, BLOCK):
        positions = np.arange(begin, min(begin + BLOCK, count + 1))
        term = words[np.minimum(start + 8 * positions - 4, last)]
        term += positions.astype(np.uint64) * _GOLDEN
        scramble_block(term, np.empty_like(term))
        total += int(term.sum())
    return np.uint64(total & MASK)
