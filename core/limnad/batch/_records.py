"""Records as bytes: MessagePack, by column, with every Python type kept.

MessagePack knows None, bool, int of 64 bits, float, str and bytes, and msgspec gives them back exactly. So the only
question is what holds them, and it is answered once for a whole batch, not once for each value:

- rows that are all tuples (or all lists, or all dicts) of such plain values go as they are, at msgspec's speed;
- a batch whose values are containers of other values is taken apart into columns, and each column is encoded by the
  same rules;
- a column of several types is split by type; of dates, decimals, arrays, ... it is mapped to plain values.

A column is one of the tagged structs below, so msgspec itself refuses bytes of another form. How much is built is
bounded by how much was sent: no count in the encoding is believed without the values that it counts.
"""

from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any, TypeAlias

import msgspec

from limnad.batch._errors import CodecError
from limnad.batch._extended import EXTENDED, extended_of

__all__ = ["decode_records", "encode_plain_records", "encode_records"]

MAX_DEPTH = 64


class _Plain(msgspec.Struct, tag=0, array_like=True, frozen=True, gc=False):
    values: list[Any]


class _Tuples(msgspec.Struct, tag=1, array_like=True, frozen=True, gc=False):
    """Tuples of plain values."""

    values: list[tuple[Any, ...]]


class _Lists(msgspec.Struct, tag=2, array_like=True, frozen=True, gc=False):
    """Lists of plain values."""

    values: list[list[Any]]


class _Dicts(msgspec.Struct, tag=3, array_like=True, frozen=True, gc=False):
    """Dicts from plain values to plain values."""

    values: list[dict[Any, Any]]


class _Fields(msgspec.Struct, tag=4, array_like=True, frozen=True, gc=False):
    """Tuples of one length of any values, by position."""

    columns: "list[_Column]"


class _Ragged(msgspec.Struct, tag=5, array_like=True, frozen=True, gc=False):
    """Containers of any lengths: their elements one after the other."""

    container: int
    lengths: list[int]
    elements: "_Column"


class _Mappings(msgspec.Struct, tag=6, array_like=True, frozen=True, gc=False):
    """Dicts of any values."""

    lengths: list[int]
    keys: "_Column"
    values: "_Column"


class _Extended(msgspec.Struct, tag=7, array_like=True, frozen=True, gc=False):
    """Values of one type beyond MessagePack's."""

    number: int
    packed: "_Column"


class _Mixed(msgspec.Struct, tag=8, array_like=True, frozen=True, gc=False):
    """Values of several types: one column for each, and which column is next."""

    order: bytes
    columns: "list[_Column]"


_Column: TypeAlias = _Plain | _Tuples | _Lists | _Dicts | _Fields | _Ragged | _Mappings | _Extended | _Mixed

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINERS: list[Callable[[Iterable[Any]], Any]] = [tuple, list, set, frozenset]
_CONTAINER_NUMBERS = {container: number for number, container in enumerate(_CONTAINERS)}

_NESTING = frozenset({tuple, list, dict})

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Column] = msgspec.msgpack.Decoder(_Column)


def encode_plain_records(records: list[Any]) -> bytes | None:
    """Encodes records that are plain values or tuples, lists or dicts of them; None if they are not.

    >>> encode_plain_records([("a", 1)]) is None, encode_plain_records([{1, 2}]) is None
    (False, True)
    """
    column = _plain_column(records, set(map(type, records)), _PLAIN)
    if column is None:
        return None
    try:
        return _encoder.encode(column)
    except (OverflowError, UnicodeEncodeError):
        return None


def encode_records(records: list[Any]) -> bytes:
    """Encodes records of any types that have an encoding.

    Raises:
        TypeError: for a value of another type, naming it.
        ValueError: for values nested too deep, or that hold themselves.
    """
    encoded = encode_plain_records(records)
    if encoded is not None:
        return encoded
    try:
        return _encoder.encode(_column(records, _PLAIN, 0))
    except (OverflowError, UnicodeEncodeError):
        # Some integer is beyond 64 bits or some string has half a surrogate pair: such columns are then looked at by
        # value.
        return _encoder.encode(_column(records, _PLAIN - {int, str}, 0))


def _plain_column(values: list[Any], kinds: set[type[Any]], plain: frozenset[type[Any]]) -> _Column | None:
    """The column of values that msgspec encodes as they are, if they are such."""
    if kinds <= plain:
        return _Plain(values)
    if len(kinds) > 1:
        return None
    kind = next(iter(kinds))
    if kind in _NESTING and not _all_plain(values[0], plain):
        return None  # Seen at once, before all values are looked at.
    if kind is tuple and _all_plain(chain.from_iterable(values), plain):
        return _Tuples(values)
    if kind is list and _all_plain(chain.from_iterable(values), plain):
        return _Lists(values)
    if kind is dict and _all_plain(chain.from_iterable(values), plain):
        return _Dicts(values) if _all_plain(chain.from_iterable(map(dict.values, values)), plain) else None
    return None


def _all_plain(values: Iterable[Any], plain: frozenset[type[Any]]) -> bool:
    return set(map(type, values)) <= plain


def _column(values: list[Any], plain: frozenset[type[Any]], depth: int) -> _Column:
    if depth > MAX_DEPTH:
        raise ValueError(f"records are nested deeper than {MAX_DEPTH} containers, or one holds itself")
    kinds = set(map(type, values))
    column = _plain_column(values, kinds, plain)
    if column is not None:
        return column
    if len(kinds) > 1:
        return _mixed(values, kinds, plain, depth)
    kind = kinds.pop()
    if kind is dict:
        keys, items = list(chain.from_iterable(values)), list(chain.from_iterable(map(dict.values, values)))
        return _Mappings(list(map(len, values)), _column(keys, plain, depth + 1), _column(items, plain, depth + 1))
    if kind is tuple and len(values[0]) and len(set(map(len, values))) == 1:
        return _Fields([_column(list(column), plain, depth + 1) for column in zip(*values, strict=True)])
    if kind in _CONTAINER_NUMBERS:
        elements = _column(list(chain.from_iterable(values)), plain, depth + 1)
        return _Ragged(_CONTAINER_NUMBERS[kind], list(map(len, values)), elements)
    extended = extended_of(kind)
    if extended is None:
        raise TypeError(_advice(kind))
    # What it packs to is plain in any case: an integer is then of 64 bits, or bytes.
    return _Extended(extended.number, _column(list(map(extended.pack, values)), _PLAIN, depth))


def _mixed(values: list[Any], kinds: set[type[Any]], plain: frozenset[type[Any]], depth: int) -> _Column:
    """Splits by type, but the plain types stay together."""
    groups = sorted(
        {_PlainGroup if kind in plain else kind for kind in kinds},
        key=lambda kind: (kind.__module__, kind.__qualname__),
    )
    if len(groups) > 256:
        raise TypeError(f"records of {len(groups)} types in one batch: at most 256 can be encoded")
    numbers = {kind: groups.index(_PlainGroup if kind in plain else kind) for kind in kinds}
    order = bytes(map(numbers.__getitem__, map(type, values)))
    parts: list[list[Any]] = [[] for _ in groups]
    for value, number in zip(values, order, strict=True):
        parts[number].append(value)
    return _Mixed(order, [_column(part, plain, depth) for part in parts])


class _PlainGroup:
    """Stands for all plain types when values are split by type."""


def _advice(kind: type[Any]) -> str:
    return (
        f"a record holds a value of type {kind.__module__}.{kind.__qualname__}, which only a reader that trusts the "
        "sender could decode: send tuples or dicts of strings, numbers, dates and containers of these (the engines of "
        "one job trust each other: there, classes that can be imported are sent as they are)"
    )


def decode_records(data: bytes) -> list[Any]:
    """Decodes what `encode_records` made; no code of the sender is run and no class of its choice is made.

    Raises:
        CodecError: if the bytes are no records.
    """
    try:
        return _values(_decoder.decode(data))
    except CodecError:
        raise
    except Exception as error:  # Whatever goes wrong in rebuilding values is the bytes' fault.
        raise CodecError(f"these bytes are no records: {type(error).__name__}: {error}") from error


def _values(column: _Column) -> list[Any]:
    match column:
        case _Plain() | _Tuples() | _Lists() | _Dicts():
            return column.values
        case _Fields():
            return list(zip(*map(_values, column.columns), strict=True))
        case _Ragged():
            container = _CONTAINERS[column.container]
            return [container(group) for group in _groups(_values(column.elements), column.lengths)]
        case _Mappings():
            keys, items = _groups(_values(column.keys), column.lengths), _groups(_values(column.values), column.lengths)
            return [dict(zip(*pair, strict=True)) for pair in zip(keys, items, strict=True)]
        case _Extended():
            return list(map(EXTENDED[column.number].unpack, _values(column.packed)))
        case _Mixed():
            return _merge(column.order, list(map(_values, column.columns)))


def _groups(elements: list[Any], lengths: list[int]) -> Iterable[list[Any]]:
    if sum(lengths) != len(elements):
        raise CodecError("malformed records: the lengths of containers do not add up to their elements")
    rest = iter(elements)
    return (list(islice(rest, length)) for length in lengths)


def _merge(order: bytes, parts: list[list[Any]]) -> list[Any]:
    if [order.count(number) for number in range(len(parts))] != list(map(len, parts)):
        raise CodecError("malformed records: the types of values do not add up to their columns")
    rest = list(map(iter, parts))
    return [next(rest[number]) for number in order]
