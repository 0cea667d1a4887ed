"""What is printed of rows and rates."""

from __future__ import annotations

from io import StringIO

import polars as pl
import pytest

from limnad.cli import terminal
from limnad.cli.outputs import print_epoch
from limnad.cli.view import Rates


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def printed(batch: object, monkeypatch: pytest.MonkeyPatch) -> str:
    file = StringIO()
    monkeypatch.setattr("sys.stdout", file)
    print_epoch(terminal.console(), "out [b]", 0, batch, 20)
    return file.getvalue()


@pytest.mark.parametrize("text", ["[bold]x", "[/b]", ":smile:", "x" * 500])
def test_rows_are_printed_as_they_are(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for batch in ([text], [(text, 1)], pl.DataFrame({text: [text]})):
        assert text in printed(batch, monkeypatch).splitlines()[-1]
    assert "out [b], epoch 0: 1 row" in printed([text], monkeypatch)


def test_a_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    assert terminal.console().width == 60


@pytest.mark.parametrize(("seconds", "rows"), [(5.0, 100), (0.5, 2_000)])
def test_rates_begin_anew_after_a_restart(seconds: float, rows: int) -> None:
    rates = Rates()
    assert [rates.add(3.0, 0), rates.add(4.0, 1_000)] == [0.0, 1_000.0]
    assert rates.add(seconds, rows) == 0.0
    assert rates.add(seconds + 1, rows + 50) == 50.0
