from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limnad.batch import concat, rows, size_bytes

records = st.lists(
    st.recursive(st.one_of(st.none(), st.text(), st.integers()), lambda inner: st.lists(inner) | st.tuples(inner))
)


@given(st.lists(records, min_size=1, max_size=5))
def test_joining_lists_adds_their_rows(batches: Any) -> None:
    assert rows(concat(batches)) == sum(map(rows, batches))
    assert concat(batches) == [record for batch in batches for record in batch]


@given(records)
def test_any_records_have_a_size(batch: Any) -> None:
    assert size_bytes(batch) >= 8 * len(batch)
