"""The join of two frames, whose NaNs are one key as everywhere."""

from collections.abc import Sequence
from typing import Final, Literal

import polars as pl

How = Literal["inner", "left", "semi", "anti"]
_SAME: Final = "__limnad_same"


def join_frames(left: pl.DataFrame, right: pl.DataFrame, keys: Sequence[str], how: How) -> pl.DataFrame:
    """Like `polars.DataFrame.join`; NaN meets NaN, and null nothing.

    Polars joins by another way where it takes both keys for sorted, which it does of single rows: there NaN meets none,
    unless it has a second key.

    >>> nan = pl.DataFrame({"x": [float("nan")]})
    >>> len(join_frames(nan, nan, ["x"], "inner"))
    1
    """
    if len(keys) > 1 or not (_has_nan(left[keys[0]]) and _has_nan(right[keys[0]])):
        return left.join(right, on=keys, how=how)
    same = pl.lit(0).alias(_SAME)
    return left.with_columns(same).join(right.with_columns(same), on=[*keys, _SAME], how=how).drop(_SAME)


def _has_nan(key: pl.Series) -> bool:
    return key.dtype.is_float() and bool(key.is_nan().any())
