"""Settings of all tests."""

import os

import pytest
from hypothesis import HealthCheck, settings

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
settings.register_profile("dev", max_examples=1_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the answers of tests/interaction/scripts anew")
