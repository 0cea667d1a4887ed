"""Series and frames from NumPy arrays, in a microsecond each.

Polars' own constructors look at whatever they may be given, which takes 20 to 40 us a column: ten times what is done
with a small change itself. Behind them are constructors for arrays of one type. These are not part of Polars' public
face: where they are missing or have changed, the public ones do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

_TYPES: Final = {
    **{np.dtype(f"int{bits}"): f"new_i{bits}" for bits in (8, 16, 32, 64)},
    **{np.dtype(f"uint{bits}"): f"new_u{bits}" for bits in (8, 16, 32, 64)},
    np.dtype("float32"): "new_f32",
    np.dtype("float64"): "new_f64",
}


def _internals() -> tuple[dict[np.dtype[Any], Callable[..., Any]], Any]:
    for name in ("polars._plr", "polars.polars"):
        try:
            module = import_module(name)
        except ImportError:
            continue
        makers = {dtype: getattr(module.PySeries, maker, None) for dtype, maker in _TYPES.items()}
        if all(makers.values()) and hasattr(pl.Series, "_from_pyseries") and hasattr(pl.DataFrame, "_from_pydf"):
            found = {dtype: maker for dtype, maker in makers.items() if maker is not None}
            return (found, module.PyDataFrame) if _work(found, module.PyDataFrame) else ({}, None)
    return {}, None


def _work(makers: dict[np.dtype[Any], Callable[..., Any]], make_frame: Any) -> bool:
    """Whether they do what we expect of them."""
    try:
        for dtype, maker in makers.items():
            values = np.arange(3).astype(dtype)
            made = pl.DataFrame._from_pydf(make_frame([pl.Series._from_pyseries(maker("x", values, False))._s]))
            if not made.equals(pl.DataFrame({"x": values})):
                return False
    except (TypeError, AttributeError, ValueError):
        return False
    return True


_MAKERS, _FRAME = _internals()


def series(name: str, values: npt.NDArray[Any]) -> pl.Series:
    """A series of an array's values, with their type.

    >>> series("x", np.array([1, 2])).to_list()
    [1, 2]
    """
    maker = _MAKERS.get(values.dtype)
    if maker is None:
        return pl.Series(name, values)
    return pl.Series._from_pyseries(maker(name, np.ascontiguousarray(values), False))


def frame(columns: Sequence[pl.Series]) -> pl.DataFrame:
    """A frame of series of one length with different names.

    >>> frame([series("x", np.array([1, 2]))]).rows()
    [(1,), (2,)]
    """
    if _FRAME is None:
        return pl.DataFrame(columns)
    return pl.DataFrame._from_pydf(_FRAME([column._s for column in columns]))
