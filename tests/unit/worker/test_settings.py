"""What an agent makes of its settings, by flag, variable and file."""

from __future__ import annotations

from pathlib import Path

import pytest

from limnad.errors import ClusterError
from limnad_worker.processes import STATE_LIMIT
from limnad_worker.settings import load


def test_the_page_is_nowhere_unless_somebody_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load([]).options().ui is None
    file = tmp_path / "limnad.toml"
    file.write_text('ui_address = "127.0.0.1:1"\n')
    assert load(["--config", str(file)]).options().ui == ("127.0.0.1", 1)
    monkeypatch.setenv("LIMNAD_UI_ADDRESS", "127.0.0.1:2")
    assert load(["--config", str(file)]).options().ui == ("127.0.0.1", 2)
    assert load(["--config", str(file), "--ui-address", "[::1]:3"]).options().ui == ("::1", 3)


@pytest.mark.parametrize("wrong", ["8080", "127.0.0.1", "127.0.0.1:x", ":8080", "127.0.0.1:65536", ""])
@pytest.mark.parametrize("name", ["ui-address", "listen"])
def test_an_address_is_host_and_port(name: str, wrong: str) -> None:
    with pytest.raises(ClusterError, match=f"--{name}.*this is not HOST:PORT"):
        load([f"--{name}={wrong}"])


@pytest.mark.parametrize(
    ("flags", "limit"),
    [([], None), (["--memory", "1GiB"], 3 << 28), (["--memory", "1GiB", "--state-limit", "2kB"], 2000)],
)
def test_how_much_state_engines_may_hold(flags: list[str], limit: int | None) -> None:
    assert load(flags).environment().get(STATE_LIMIT) == (None if limit is None else str(limit))
