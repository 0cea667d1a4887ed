"""URLs, right and wrong."""

import sys
from pathlib import Path

import pytest

from limnad.store import BadUrl, StoreError, open_store
from limnad.store.compression import Compression
from limnad.store.opening import parse

SECRET = "s3cr3t"


def test_a_directory_is_opened_and_described(tmp_path: Path) -> None:
    store = open_store(f"dir:{tmp_path}/a/b?compress=always")
    assert store.describe() == store.where == f"dir:{tmp_path}/a/b"
    assert store.durability.sure
    store.close()
    store.close()


@pytest.mark.parametrize(
    ("url", "shown", "arguments"),
    [
        ("redis://h", "redis://h:6379/0", {"host": "h", "port": 6379, "db": 0}),
        ("redis://h:1/2?compress=never", "redis://h:1/2?compress=never", {"host": "h", "port": 1, "db": 2}),
        (
            f"redis://:{SECRET}@h/",
            "redis://h:6379/0",
            {"host": "h", "port": 6379, "db": 0, "password": SECRET},
        ),
        (
            f"rediss://ann:{SECRET}%40@[::1]/0",
            "rediss://ann@[::1]:6379/0",
            {"host": "::1", "port": 6379, "db": 0, "username": "ann", "password": f"{SECRET}@", "ssl": True},
        ),
        (
            f"unix://:{SECRET}@/run/r.sock?db=3",
            "unix:///run/r.sock?db=3",
            {"unix_socket_path": "/run/r.sock", "db": 3, "password": SECRET},
        ),
    ],
)
def test_urls_are_taken_apart_and_shown_without_password(url: str, shown: str, arguments: dict[str, object]) -> None:
    address = parse(url)
    assert (address.shown, dict(address.arguments), address.path) == (shown, arguments, None)
    assert SECRET not in repr(address)


def test_options_are_read() -> None:
    assert parse("dir:x").compression is Compression.AUTO
    assert parse("dir:x?compress=never").compression is Compression.NEVER
    assert parse("redis://h?prefix=mine&timeout_s=0.5&patience_s=3").options == {
        "prefix": "mine",
        "timeout_s": "0.5",
        "patience_s": "3",
    }


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "begins with dir:"),
        ("/tmp-like/path", "begins with dir:"),
        ("http://h", "begins with dir:"),
        ("dir:", "names no folder"),
        ("dir:?compress=auto", "names no folder"),
        ("dir:x?prefix=a", "no option 'prefix'"),
        ("redis://", "names no host"),
        ("redis:///1", "names no host"),
        ("redis://h/one", "number of a Redis database"),
        ("redis://h/1/2", "number of a Redis database"),
        (f"redis://:a#{SECRET}@h/", "host or port cannot be read"),
        (f"redis://ann:1/{SECRET}@h/", "number of a Redis database"),
        ("redis://h:port", "host or port cannot be read"),
        ("redis://h:99999", "host or port cannot be read"),
        ("redis://[h", "host or port cannot be read"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix:///s?db=x", "number of a Redis database"),
        ("redis://h?timeout=3", "no option 'timeout'"),
        ("redis://h?timeout_s=soon", "number of seconds"),
        ("redis://h?patience_s=-1", "number of seconds"),
        ("redis://h?patience_s=nan", "number of seconds"),
        ("redis://h?compress=lz4", "auto, always or never"),
        ("redis://h?prefix=a{b}", "without braces"),
        ("redis://h?prefix=", "without braces"),
    ],
)
def test_a_wrong_url_says_what_is_wrong_and_what_is_allowed(url: str, says: str) -> None:
    with pytest.raises(BadUrl) as raised:
        open_store(url)
    assert says in str(raised.value)
    assert "Allowed are dir:PATH" in str(raised.value)
    assert SECRET not in str(raised.value)


def test_without_the_redis_package_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("limnad.store.redis_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(StoreError, match=r"pip install 'limnad\[redis\]'"):
        open_store("redis://h")
