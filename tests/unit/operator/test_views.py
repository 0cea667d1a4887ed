"""What the operator knows of objects, whichever news comes first."""

from __future__ import annotations

from typing import Any

import pytest

from limnad_operator.api import Listed
from limnad_operator.shell.views import Cache


def job(version: int, uid: str = "u", name: str = "j") -> dict[str, Any]:
    metadata = {"namespace": "n", "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"kind": "LimnadJob", "metadata": metadata}


@pytest.fixture
def cache() -> Cache:
    """One that knows a job."""
    cache = Cache()
    cache.fill("LimnadJob", "n", Listed((job(5),), "5"))
    return cache


def version(cache: Cache, name: str = "j") -> str | None:
    found = cache.get("LimnadJob", "n", name)
    return str(found["metadata"]["resourceVersion"]) if found is not None else None


def test_an_answer_that_comes_after_the_deletion_does_not_bring_an_object_back(cache: Cache) -> None:
    cache.put("LimnadJob", job(7), deleted=True)
    cache.learn("LimnadJob", job(6))
    assert version(cache) is None


def test_an_answer_that_comes_after_a_list_without_the_object_does_not_bring_it_back(cache: Cache) -> None:
    cache.fill("LimnadJob", "n", Listed((), "7"))
    cache.learn("LimnadJob", job(6))
    assert version(cache) is None


def test_an_answer_about_an_object_of_the_same_name_before_it_changes_nothing(cache: Cache) -> None:
    cache.put("LimnadJob", job(7), deleted=True)
    cache.put("LimnadJob", job(8, "another"))
    cache.learn("LimnadJob", job(6))
    assert version(cache) == "8"
    cache.put("LimnadJob", job(7), deleted=True)
    assert version(cache) == "8"


def test_what_was_written_is_known_though_a_list_is_older(cache: Cache) -> None:
    cache.learn("LimnadJob", job(8))
    cache.learn("LimnadJob", job(9, "new", "new"))
    cache.fill("LimnadJob", "n", Listed((job(5),), "7"))
    assert (version(cache), version(cache, "new")) == ("8", "9")


def test_what_the_watch_has_lost_from_sight_for_a_while_is_known_again(cache: Cache) -> None:
    """The API server tells of an object whose labels are not those any more as if it were deleted."""
    cache.put("LimnadJob", job(6), deleted=True)
    cache.put("LimnadJob", job(7))
    assert version(cache) == "7"
    cache.learn("LimnadJob", job(8))
    assert version(cache) == "8"


def test_versions_that_are_no_numbers_are_taken_as_they_come(cache: Cache) -> None:
    odd = job(0)
    odd["metadata"]["resourceVersion"] = "x9"
    cache.put("LimnadJob", odd)
    assert version(cache) == "x9"
    cache.put("LimnadJob", job(4))
    assert version(cache) == "4"
