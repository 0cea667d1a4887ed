"""Each test that takes `store` runs with a directory and with a real Redis."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limnad.store import Space, Store, open_store
from tests.helpers.redis_server import RedisServer

JOB = "Ärger, {a}/../b"
"""A name with everything that could break out of a folder or a key."""


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["dir", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "dir":
        return f"dir:{tmp_path / 'store'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    server.do("FLUSHALL")
    return server.url


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], Store]]:
    """Opens the same store again, as another process would."""
    stores: list[Store] = []

    def again() -> Store:
        stores.append(open_store(url))
        return stores[-1]

    yield again
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    return opened()


@pytest.fixture
def space(store: Store) -> Space:
    return store.job(JOB)
