"""Strings of a Polars series as numpy words, without a copy: the Arrow C stream interface, read with ctypes.

Polars keeps strings as Arrow views of 16 bytes: the length in 4, then either the whole string (up to 12 bytes, padded
with zeros) or its first 4 bytes, a buffer's number and an offset. Two words of a view are thus all of a short string.
The C structures are Arrow's frozen ABI, so this holds over versions of Polars, and pyarrow (0.1 s to import) is not
needed.
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl


@dataclass(frozen=True, slots=True)
class Views:
    """One chunk of a string or binary series.

    Attributes:
        views: Rows of four 32-bit fields: length, prefix, buffer, offset.
        buffers: The bytes that long strings point to.
    """

    views: npt.NDArray[np.uint32]
    buffers: list[npt.NDArray[np.uint8]]


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", _Release),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", _Release),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)),
    ("release", _Release),
    ("private_data", ctypes.c_void_p),
]

_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype = ctypes.c_void_p
_get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]

_VIEW_FORMATS = (b"vu", b"vz")


@dataclass(frozen=True, slots=True)
class _Memory:
    """Foreign memory under numpy's array interface: unlike a ctypes array it needs no new type for each length."""

    __array_interface__: dict[str, object]


def _bytes_at(address: int | None, size: int) -> npt.NDArray[np.uint8]:
    if not address or not size:
        return np.empty(0, np.uint8)
    return np.asarray(_Memory({"data": (address, True), "shape": (size,), "typestr": "|u1", "version": 3}))


def string_chunks(series: pl.Series) -> Iterator[Views]:
    """Yields the chunks of a String or Binary series. A chunk is valid only until the next one is asked for.

    >>> [chunk.views[:, 0].tolist() for chunk in string_chunks(pl.Series(["a", "bcd"]))]
    [[1, 3]]
    """
    capsule = series.__arrow_c_stream__(None)
    stream_at = _get_pointer(capsule, b"arrow_array_stream")
    stream = _Stream.from_address(stream_at)
    _check_format(stream, stream_at)
    while True:
        array = _Array()
        array_at = ctypes.addressof(array)
        if stream.get_next(stream_at, array_at):
            raise RuntimeError(
                f"polars could not export a column of {series.dtype}: {stream.get_last_error(stream_at)!r}"
            )
        if not array.release:
            return
        try:
            yield _views_of(array)
        finally:
            array.release(array_at)


def _check_format(stream: _Stream, stream_at: int) -> None:
    schema = _Schema()
    schema_at = ctypes.addressof(schema)
    if stream.get_schema(stream_at, schema_at):
        raise RuntimeError(f"polars could not export a schema: {stream.get_last_error(stream_at)!r}")
    layout = schema.format
    schema.release(schema_at)
    if layout not in _VIEW_FORMATS:
        raise RuntimeError(f"expected an Arrow view layout from polars, got {layout!r}: this polars is not supported")


def _views_of(array: _Array) -> Views:
    # Arrow's order: validity, views, any number of data buffers, and last the int64 sizes of those.
    pointers = array.buffers
    data_count = array.n_buffers - 3
    rows = _bytes_at(pointers[1], 16 * (array.offset + array.length)).view("<u4").reshape(-1, 4)[array.offset :]
    sizes = _bytes_at(pointers[array.n_buffers - 1], 8 * data_count).view(np.int64).tolist()
    return Views(rows, [_bytes_at(pointers[2 + i], size) for i, size in enumerate(sizes)])
