"""The arithmetic under the stable hash: a mixer of 64-bit words, and the constants it is fed with.

Everything is modulo 2**64 and works in place, block by block: a block and its scratch stay in the second-level cache,
so that a column is read from memory once although ten operations touch it.
"""

import enum
import functools
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Words: TypeAlias = npt.NDArray[np.uint64]

BLOCK = 16_384
"""Words per block: 128 KiB, and as much scratch. Smaller blocks pay for numpy's calls, larger ones leave the cache."""

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
HEAD_FACTOR = 0xD6E8FEB86659FD93
BODY_FACTOR = 0xFF51AFD7ED558CCD
_FIRST_FACTOR = 0xBF58476D1CE4E5B9
_SECOND_FACTOR = 0x94D049BB133111EB

# numpy scalars made once: making one costs as much as an operation on a small block.
_SHIFT_27, _SHIFT_29, _SHIFT_30, _SHIFT_31, _SHIFT_32 = (np.uint64(bits) for bits in (27, 29, 30, 31, 32))
_FIRST, _SECOND, _BODY = np.uint64(_FIRST_FACTOR), np.uint64(_SECOND_FACTOR), np.uint64(BODY_FACTOR)


def mix_word(word: int) -> int:
    """Mixes one word: the finaliser of splitmix64, a bijection of 64-bit words in which every bit moves every bit.

    >>> hex(mix_word(1))
    '0x5692161d100b05e5'
    """
    word &= MASK
    word = ((word ^ (word >> 30)) * _FIRST_FACTOR) & MASK
    word = ((word ^ (word >> 27)) * _SECOND_FACTOR) & MASK
    return word ^ (word >> 31)


class Kind(enum.IntEnum):
    """What sort of value is hashed. The numbers are part of the published hash: never change one, only add."""

    NULL = 1
    INTEGER = 2
    FLOAT = 3
    NUMBER = 4
    TEXT = 5
    BYTES = 6
    DATE = 7
    LOCAL_DATETIME = 8
    INSTANT = 9
    DURATION = 10
    TIME = 11
    SEQUENCE = 12
    MAPPING = 13
    SET = 14


SEEDS: dict[Kind, np.uint64] = {kind: np.uint64(mix_word(kind * GOLDEN)) for kind in Kind}
NULL_HASH = np.uint64(mix_word(int(SEEDS[Kind.NULL])))


def blocks(length: int) -> Iterator[slice]:
    """Yields the slices of at most `BLOCK` rows that cover `length` rows."""
    for start in range(0, length, BLOCK):
        yield slice(start, min(start + BLOCK, length))


def mix_block(words: Words, scratch: Words) -> None:
    """Mixes a block in place; `scratch` is as long as the block and its contents are lost."""
    np.right_shift(words, _SHIFT_30, out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    np.multiply(words, _FIRST, out=words)
    np.right_shift(words, _SHIFT_27, out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    np.multiply(words, _SECOND, out=words)
    np.right_shift(words, _SHIFT_31, out=scratch)
    np.bitwise_xor(words, scratch, out=words)


def scramble_block(words: Words, scratch: Words) -> None:
    """Half a mix, in place: enough for a word of a text, whose sum is mixed again."""
    np.right_shift(words, _SHIFT_32, out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    np.multiply(words, _BODY, out=words)
    np.right_shift(words, _SHIFT_29, out=scratch)
    np.bitwise_xor(words, scratch, out=words)


def mix(words: Words) -> Words:
    """Mixes a whole array in place and returns it."""
    scratch = np.empty(min(BLOCK, words.size), np.uint64)
    for rows in blocks(words.size):
        block = words[rows]
        mix_block(block, scratch[: block.size])
    return words


def hash_integers(values: npt.NDArray[Any], kind: Kind) -> Words:
    """Hashes integers of any width, modulo 2**64, as values of `kind`: `mix(seed + value)`.

    >>> hash_integers(np.array([5], np.int8), Kind.INTEGER) == hash_integers(np.array([5], np.uint64), Kind.INTEGER)
    array([ True])
    """
    hashes = np.empty(values.size, np.uint64)
    scratch = np.empty(min(BLOCK, values.size), np.uint64)
    seed = SEEDS[kind]
    signed = values.dtype.kind == "i"
    if values.dtype.itemsize == 8:
        values = values.view(np.uint64)
    for rows in blocks(values.size):
        block = hashes[rows]
        if values.dtype == np.uint64:
            np.add(values[rows], seed, out=block)
        else:  # A narrow column is widened inside the cache; a signed one must extend its sign.
            np.copyto(block.view(np.int64) if signed else block, values[rows])
            np.add(block, seed, out=block)
        mix_block(block, scratch[: block.size])
    return hashes


def position_factors(count: int) -> Words:
    """The odd factors by which the elements of a sequence are told apart: `mix((position + 1) * GOLDEN) | 1`.

    Not powers of one factor, and not multiples: both have short relations between positions, and with them collisions.
    """
    if count <= _FEW:
        return _few_factors()[:count]
    return _factors(count)


_FEW = 64


@functools.cache
def _few_factors() -> Words:
    return _factors(_FEW)


def _factors(count: int) -> Words:
    return mix(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)) | np.uint64(1)


def container_seed(kind: Kind, length: int) -> np.uint64:
    """The start of the sum for a container of so many elements."""
    return np.uint64((int(SEEDS[kind]) + length * GOLDEN) & MASK)


def combine_columns(columns: list[Words]) -> Words:
    """Hashes rows as sequences of their columns' hashes; a sequence of one is its element.

    The order counts: swapped columns give other hashes. The first array may be reused for the result.
    """
    if len(columns) == 1:
        return columns[0]
    factors = position_factors(len(columns))
    start = container_seed(Kind.SEQUENCE, len(columns))
    sums = columns[0]
    scratch = np.empty(min(BLOCK, sums.size), np.uint64)
    for rows in blocks(sums.size):
        block = sums[rows]
        term = scratch[: block.size]
        np.multiply(block, factors[0], out=block)
        for column, factor in zip(columns[1:], factors[1:], strict=True):
            np.multiply(column[rows], factor, out=term)
            np.add(block, term, out=block)
        np.add(block, start, out=block)
        mix_block(block, term)
    return sums
