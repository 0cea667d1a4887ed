"""The types of options are those of the sources that take them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from limnad.connectors import CsvFiles, Generator, NdjsonFiles, ParquetFiles, TextFiles, options

HERE_ONLY = {"clock", "on_error"}  # for tests; a parameter of its own in `Flow.read_csv`


@pytest.mark.parametrize(
    ("source", "typed"),
    [
        (TextFiles, options.TextOptions),
        (CsvFiles, options.CsvOptions),
        (NdjsonFiles, options.NdjsonOptions),
        (ParquetFiles, options.ParquetOptions),
        (Generator, options.GeneratorOptions),
    ],
)
def test_they_name_what_the_source_takes(source: Any, typed: Any) -> None:
    parameters = inspect.signature(source.__init__).parameters.values()
    named = {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    others = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    passed_on = set(options.LineOptions.__annotations__) if others else set()
    assert set(typed.__annotations__) == (named | passed_on) - HERE_ONLY
    needed = {
        each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY and each.default is each.empty
    }
    assert typed.__required_keys__ == needed
