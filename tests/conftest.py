"""Settings of all tests."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from limnad_proto.pings import LINK_TIMEOUT
from tests.helpers.faults import Struck, write

# ci: the same examples on every machine, without a deadline (a busy machine is no bug; pytest-timeout ends a hang).
# It is the default, so that a run says something about the change and not about luck. dev: searches anew each time.
settings.register_profile(
    "ci",
    derandomize=True,
    max_examples=100,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# churn: as many as LIMNAD_SEEDS says, of the tests on histories: script/churn.
settings.register_profile(
    "churn", max_examples=int(os.environ.get("LIMNAD_SEEDS", "1000")), deadline=None, print_blob=True
)
settings.register_profile("dev", max_examples=1_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Who is stopped or cut off is found out sooner than by default, for tests to be shorter.
os.environ.setdefault(LINK_TIMEOUT, "4")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the answers of tests/interaction/scripts anew")
    parser.addoption("--kills", type=int, default=6, help="how often a test that kills at random does so")
    parser.addoption("--fault-table", metavar="PAGE", help="write what the tests of faults have counted into this page")


_TABLE = pytest.StashKey[list[Struck]]()
_PASSED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = []
    config.addinivalue_line("markers", "fault(number, text): a row of the fault table; the test counts into `struck`")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def struck(request: pytest.FixtureRequest) -> Iterator[Struck]:
    """The row of a test's own kind of fault; tests of one kind share it."""
    number, text = request.node.get_closest_marker("fault").args
    folder = Path(request.node.nodeid).parts[1]
    way = {"simulation": "simulation", "integration": "processes"}.get(folder, "store")
    table = request.config.stash[_TABLE]
    row = next((row for row in table if (row.number, row.fault, row.way) == (number, text, way)), None)
    if row is None:
        table.append(row := Struck(number, text, way))
    yield row
    row.failed += not request.node.stash.get(_PASSED, False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if page := session.config.getoption("--fault-table"):
        table = session.config.stash[_TABLE]
        write(table, Path(page))
