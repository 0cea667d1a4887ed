import contextlib
import datetime as dt
import decimal
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from limnad.batch import CodecError, Encoding, decode, encode

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8")),
    st.binary(),
)
scalars = st.one_of(
    plain,
    st.integers(),
    st.text(),
    st.complex_numbers(),
    st.binary().map(bytearray),
    st.dates(),
    st.datetimes(timezones=st.one_of(st.none(), st.just(dt.UTC), st.timezones()), allow_imaginary=True),
    st.times(timezones=st.one_of(st.none(), st.just(dt.UTC))),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.sampled_from([np.int8(-1), np.float64(0.5), np.str_("x"), np.bool_(False)]),
)
keys = st.one_of(st.text(), st.integers(), st.tuples(st.integers(), st.text()), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.frozensets(st.one_of(st.integers(), st.text(), st.dates()), max_size=4),
        st.sets(keys, max_size=4),
    ),
    max_leaves=12,
)
rows = st.lists(st.lists(plain, min_size=3, max_size=3).map(tuple))


def same(left: Any, right: Any) -> Any:
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, (set, frozenset)):
        return left == right and sorted(map(repr, left)) == sorted(map(repr, right))
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (left, math.copysign(1, left)) == (
            right,
            math.copysign(1, right),
        )
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, decimal.Decimal):
        return left.as_tuple() == right.as_tuple()
    if isinstance(left, (dt.datetime, dt.time)):
        return left.replace(tzinfo=None) == right.replace(tzinfo=None) and (left.fold, left.tzinfo) == (
            right.fold,
            right.tzinfo,
        )
    return left == right


@given(st.one_of(st.lists(values, max_size=8), rows), st.booleans())
def test_records_come_back_with_their_types(records: Any, trusted: Any) -> None:
    encoding, data = encode(records, trusted=trusted)
    assert same(decode(encoding, data, trusted=trusted), records)


@settings(max_examples=300)
@given(st.lists(values, max_size=5), st.data())
def test_damaged_records_are_a_batch_or_an_error(records: Any, data: Any) -> None:
    encoded = bytearray(encode(records)[1])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(encoded) - 1))
        encoded[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CodecError):
        assert isinstance(decode(Encoding.RECORDS, bytes(encoded)), list)


@given(st.lists(values, min_size=1, max_size=5), st.data())
def test_truncated_records_are_refused(records: Any, data: Any) -> None:
    encoded = encode(records)[1]
    size = data.draw(st.integers(0, len(encoded) - 1))
    try:
        decode(Encoding.RECORDS, encoded[:size])
    except CodecError:
        return
    raise AssertionError("a prefix was taken for the whole")


@given(st.sampled_from(list(Encoding)), st.binary(max_size=200))
def test_noise_is_a_batch_or_an_error(encoding: Any, noise: Any) -> None:
    with contextlib.suppress(CodecError):
        decode(encoding, noise)
