"""Leaders that follow one another on one store: terms rise, numbers are given once, who was succeeded does nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnad.cluster.registry import Deposed, Fate, JobRecord, forgotten, job_name
from limnad.testing import MemorySpace
from limnad_worker.registry import Registry

ENDED = b"view"


@dataclass
class Interrupted:
    """A ledger whose calls are interrupted by what other leaders do."""

    inner: Any
    others: list[Callable[[], None]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        if name in ("get", "put", "delete", "keys") and self.others:
            self.others.pop(0)()
        return getattr(self.inner, name)


class Leaders:
    """Some leaders, and what each has been told."""

    def __init__(self, count: int) -> None:
        self.space = MemorySpace()
        self.ledgers = [Interrupted(self.space.ledger) for _ in range(count)]
        self.registries = [Registry(_Space(ledger), f"leader {n}") for n, ledger in enumerate(self.ledgers)]
        self.numbers: list[int] = []
        self.acknowledged: dict[str, bytes] = {}
        self.terms: list[int] = []

    def act(self, leader: int, action: str) -> None:
        """One leader does something; what it may not do raises Deposed within."""
        registry = self.registries[leader]
        try:
            if action == "lead":
                seen = {record.job: record.view for record in registry.take_lead()}
                self.terms.append(registry.term)
                if registry.term == max(self.terms):
                    assert self.acknowledged.items() <= seen.items(), "a leader does not find an acknowledged job"
            elif registry.term and action == "submit":
                number = registry.give_number()
                self.numbers.append(number)
                job = JobRecord(term=0, job=f"job {number}", number=number, request=b"")
                registry.save(job)
                registry.check()
                self.acknowledged[job.job] = b""
            elif registry.term and action == "end" and self.acknowledged:
                name = max(self.acknowledged)
                registry.save(JobRecord(term=0, job=name, number=1, request=b"", view=ENDED))
                self.acknowledged[name] = ENDED
        except Deposed:
            assert registry.term < max([*self.terms, 0]) or leader_of(self.space) != f"leader {leader}"


class _Space:
    where = "memory"
    chunks: Any = None

    def __init__(self, ledger: Any) -> None:
        self.ledger = ledger

    def logs(self) -> list[str]:
        return []

    def log(self, name: str) -> Any:
        raise NotImplementedError


def leader_of(space: MemorySpace) -> str:
    import json

    held = space.ledger.get("leader")
    return "" if held is None else json.loads(held.value)["uid"]


actions = st.tuples(st.integers(0, 2), st.sampled_from(["lead", "submit", "end"]))


@given(st.lists(st.tuples(actions, st.lists(actions, max_size=3)), max_size=25))
def test_whatever_order_leaders_act_in(steps: list[Any]) -> None:
    leaders = Leaders(3)
    for (leader, action), between in steps:
        # Other leaders act between the calls that this action is made of.
        leaders.ledgers[leader].others = [
            (lambda other=other, what=what: leaders.act(other, what)) for other, what in between if other != leader
        ]
        leaders.act(leader, action)
        leaders.ledgers[leader].others.clear()
    assert len(leaders.numbers) == len(set(leaders.numbers))
    assert len(leaders.terms) == len(set(leaders.terms))


def test_one_who_was_succeeded_can_do_nothing() -> None:
    space = MemorySpace()
    old, new = Registry(space, "old"), Registry(space, "new")
    old.take_lead()
    record = JobRecord(term=0, job="j", number=old.give_number(), request=b"")
    old.save(record)
    assert [each.job for each in new.take_lead()] == ["j"]
    for attempt in (old.check, old.give_number, lambda: old.save(record), lambda: old.forget("j")):
        with pytest.raises(Deposed):
            attempt()
    new.save(JobRecord(term=0, job="j", number=1, request=b"", view=ENDED))
    new.forget("j")
    assert Registry(space, "third").take_lead() == []


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30), st.integers(0, 5))
def test_only_the_oldest_that_have_ended_are_forgotten(jobs: list[tuple[bool, bool]], kept: int) -> None:
    records = [
        JobRecord(term=1, job=f"{n}", number=n, request=b"", store="s" if durable else "", view=ENDED if ended else b"")
        for n, (ended, durable) in enumerate(jobs)
    ]
    gone = forgotten(records, kept)
    left = [record for record in records if record.fate is Fate.ENDED and record not in gone]
    assert all(record.fate is Fate.ENDED for record in gone)
    assert len(left) <= kept
    assert not gone or len(left) == kept
    assert all(old.number < new.number for old in gone for new in left)


@given(st.text(max_size=80), st.integers(1, 10**6))
def test_a_made_up_name_is_a_name(stem: str, number: int) -> None:
    name = job_name("", stem, number)
    assert job_name(name, "", 1) == name
