"""The stable hash of numbers that are not plain integers: equal numbers hash equally, whatever their type.

Python's dict takes 1, True, 1.0 and Decimal(1) for one key, and so do we: a number that is an integer within 64 bits is
hashed as that integer, any other number that a double holds exactly is hashed as the double, and only what is left has
a form of its own.
"""

import decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from limnad.batch._mix import SEEDS, Kind, Words, hash_integers, mix

_NAN_BITS = np.uint64(0x7FF8_0000_0000_0000)
_INT_LOW, _INT_HIGH, _WORD_HIGH = -(2.0**63), 2.0**63, 2.0**64
_MAX_EXPONENT = 4096


def hash_floats(values: npt.NDArray[Any]) -> Words:
    """Hashes doubles (narrower floats are widened): integers as such, -0.0 as 0, all NaNs as one.

    >>> int(hash_floats(np.array([-0.0]))[0]) == int(hash_floats(np.array([0.0]))[0])
    True
    """
    values = np.ascontiguousarray(values, np.float64)
    with np.errstate(invalid="ignore"):  # A signalling NaN is a NaN like the others.
        whole = np.trunc(values) == values
    small = whole & (values >= _INT_LOW) & (values < _INT_HIGH)
    if small.all():
        return hash_integers(values.astype(np.int64), Kind.INTEGER)
    words = np.where(np.isnan(values), _NAN_BITS, values.view(np.uint64)) + SEEDS[Kind.FLOAT]
    # Integers beyond int64 that a uint64 column can hold.
    large = whole & (values >= _INT_HIGH) & (values < _WORD_HIGH)
    if small.any():
        words[small] = values[small].astype(np.int64).view(np.uint64) + SEEDS[Kind.INTEGER]
    if large.any():
        words[large] = values[large].astype(np.uint64) + SEEDS[Kind.INTEGER]
    return mix(words)


def reduce_integer(value: int) -> int | float | bytes:
    """The simplest form of an integer: itself within 64 bits, else an equal float, else its bytes.

    >>> reduce_integer(2**64), reduce_integer(7)
    (1.8446744073709552e+19, 7)
    """
    if -(1 << 63) <= value < 1 << 64:
        return value
    try:
        if float(value) == value:
            return float(value)
    except OverflowError:
        pass
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


def reduce_decimal(value: decimal.Decimal) -> int | float | bytes:
    """The simplest form of a decimal: an equal integer, else an equal float, else its digits.

    >>> [reduce_decimal(decimal.Decimal(text)) for text in ("1.00", "0.5", "0.10")]
    [1, 0.5, b'+1e-1']
    """
    if value.is_nan():
        return float("nan")
    if value.is_infinite():
        return float(value)
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "a finite decimal has a numeric exponent"
    # Far exponents are left as digits: the equal integer would have thousands of them.
    if abs(exponent) <= _MAX_EXPONENT:
        numerator, denominator = value.as_integer_ratio()
        if denominator == 1:
            return reduce_integer(numerator)
        if float(value) == value:
            return float(value)
    text = "".join(map(str, digits)).lstrip("0")
    stripped = text.rstrip("0")
    if not stripped:
        return 0
    return f"{'-' if sign else '+'}{stripped}e{exponent + len(text) - len(stripped)}".encode()
