"""Types beyond MessagePack's own: each says how its values become plain ones, and back, with nothing lost.

The numbers are in checkpoints: never change one, only add.
"""

import datetime as dt
import decimal
import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from limnad.batch._errors import CodecError

__all__ = ["EXTENDED", "Extended", "extended_of"]


@dataclass(frozen=True, slots=True)
class Extended:
    """A type's number in the encoding, and its two directions; `pack` may return any encodable value."""

    number: int
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


def extended_of(kind: type[Any]) -> Extended | None:
    """The codec of exactly this type; a subclass is another type, which would come back changed.

    >>> extended_of(dt.date) is not None, extended_of(object) is None
    (True, True)
    """
    if issubclass(kind, np.generic) and kind is not np.void and kind is not np.object_:
        return _NUMPY_SCALAR
    return _BY_TYPE.get(kind)


def _pack_int(value: int) -> int | bytes:
    if -(1 << 63) <= value < 1 << 64:
        return value
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


def _unpack_int(value: int | bytes) -> int:
    return value if isinstance(value, int) else int.from_bytes(value, "little", signed=True)


def _pack_text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _unpack_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


def _unpack_bytearray(value: Any) -> bytearray:
    return bytearray(_bytes(value))


def _bytes(value: Any) -> bytes:
    # bytearray(n) makes n zeros: an integer here would be a small message that takes any memory.
    if not isinstance(value, bytes):
        raise CodecError(f"malformed records: a {type(value).__name__} where bytes belong")
    return value


def _pack_complex(value: complex) -> tuple[float, float]:
    return value.real, value.imag


def _unpack_complex(value: tuple[float, float]) -> complex:
    return complex(*value)


def _pack_duration(value: dt.timedelta) -> tuple[int, int, int]:
    return value.days, value.seconds, value.microseconds


def _unpack_duration(value: tuple[int, int, int]) -> dt.timedelta:
    return dt.timedelta(*value)


def _pack_datetime(value: dt.datetime) -> str | tuple[Any, ...]:
    if (value.tzinfo is None or value.tzinfo is dt.UTC) and not value.fold:
        return value.isoformat()  # Five times as fast, for the datetimes that most records hold.
    return value.toordinal(), *_pack_time(value.timetz())


def _unpack_datetime(value: str | tuple[Any, ...]) -> dt.datetime:
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value)
    day, *time = value
    return dt.datetime.combine(dt.date.fromordinal(day), _unpack_time(tuple(time)))


def _pack_time(value: dt.time) -> tuple[Any, ...]:
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return clock if value.tzinfo is None else (*clock, *_pack_zone(value.tzinfo))


def _unpack_time(value: tuple[Any, ...]) -> dt.time:
    hour, minute, second, microsecond, fold, *zone = value
    return dt.time(hour, minute, second, microsecond, _unpack_zone(*zone) if zone else None, fold=fold)


def _pack_zone(zone: dt.tzinfo) -> tuple[Any, ...]:
    if type(zone) is dt.timezone:
        # A fixed offset and the name that it may have been given.
        return (*_pack_duration(zone.utcoffset(None)), *zone.__getinitargs__()[1:])  # type: ignore[attr-defined]
    if type(zone) is zoneinfo.ZoneInfo and zone.key is not None:
        return (zone.key,)
    raise TypeError(
        f"a time zone of type {type(zone).__qualname__} cannot be encoded; use zoneinfo.ZoneInfo or datetime.timezone"
    )


def _unpack_zone(*zone: Any) -> dt.tzinfo:
    if len(zone) == 1:
        return zoneinfo.ZoneInfo(zone[0])
    offset = dt.timedelta(*zone[:3])
    if not offset and len(zone) == 3:
        return dt.UTC
    return dt.timezone(offset, *zone[3:])


# Numbers, dates and fixed strings, with their byte order; never objects, records or expressions.
_DTYPE = re.compile(
    r"[<>|=](?:[?]|b1|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32)|[SU]\d{1,9}|[mM]8(?:\[\d{0,9}[a-zA-Z]{1,2}\])?)"
)


def _dtype_of(text: str) -> np.dtype[Any]:
    if not _DTYPE.fullmatch(text):
        raise CodecError(f"malformed records: {text!r} is no NumPy type that records may hold")
    return np.dtype(text)


def _pack_array(value: np.ndarray[Any, Any]) -> tuple[str, tuple[int, ...], bytes]:
    if not _DTYPE.fullmatch(value.dtype.str) or value.dtype.fields:
        raise TypeError(f"a NumPy array of {value.dtype} cannot be encoded; use numbers, dates or strings, or a frame")
    return value.dtype.str, value.shape, value.tobytes()


def _unpack_array(value: tuple[str, tuple[int, ...], bytes]) -> np.ndarray[Any, Any]:
    dtype, shape, data = value
    # A bytearray, so that the array can be written to as the one that was sent could.
    return np.frombuffer(bytearray(_bytes(data)), np.uint8).view(_dtype_of(dtype)).reshape(shape)


def _pack_scalar(value: np.generic) -> tuple[str, bytes]:
    return value.dtype.str, value.tobytes()


def _unpack_scalar(value: tuple[str, bytes]) -> np.generic:
    dtype, data = value
    scalar: Any = np.ndarray((), _dtype_of(dtype), _bytes(data))[()]
    return cast(np.generic, scalar)


_NUMPY_SCALAR = Extended(11, _pack_scalar, _unpack_scalar)
_BY_TYPE: dict[type[Any], Extended] = {
    int: Extended(1, _pack_int, _unpack_int),
    str: Extended(2, _pack_text, _unpack_text),
    complex: Extended(3, _pack_complex, _unpack_complex),
    bytearray: Extended(4, bytes, _unpack_bytearray),
    dt.date: Extended(5, dt.date.toordinal, dt.date.fromordinal),
    dt.datetime: Extended(6, _pack_datetime, _unpack_datetime),
    dt.time: Extended(7, _pack_time, _unpack_time),
    dt.timedelta: Extended(8, _pack_duration, _unpack_duration),
    decimal.Decimal: Extended(9, str, decimal.Decimal),
    np.ndarray: Extended(10, _pack_array, _unpack_array),
}
EXTENDED: dict[int, Extended] = {each.number: each for each in [*_BY_TYPE.values(), _NUMPY_SCALAR]}
