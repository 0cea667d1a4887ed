"""When a connection is given up."""

import pytest

from limnad_proto.pings import LINK_TIMEOUT, ping_options


@pytest.mark.parametrize(("told", "timeout_ms"), [(None, 10_000), ("2.5", 2_500), ("0.0001", 1)])
def test_after_how_long_is_told_by_a_variable(
    told: str | None, timeout_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LINK_TIMEOUT)
    if told is not None:
        monkeypatch.setenv(LINK_TIMEOUT, told)
    assert dict(ping_options())["grpc.keepalive_timeout_ms"] == timeout_ms


@pytest.mark.parametrize("told", ["", "soon", "0", "-1", "inf", "nan"])
def test_what_is_no_time_is_refused(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LINK_TIMEOUT, told)
    with pytest.raises(ValueError, match=f"seconds above 0, such as 10, not '{told}'"):
        ping_options()
