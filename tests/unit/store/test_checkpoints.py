"""Which checkpoints there are, and every race of writing, reading and deleting them, driven by hand."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import combinations_with_replacement
from typing import Any

import pytest

from limnad.store import ABSENT, Checkpoints, ChunkRef, Conflict, LostState, Manifest, Space, Store, StoreError, retain
from limnad.store.checkpoints import MANIFEST
from limnad.store.retention import Sweep
from tests.helpers.faults import Struck
from tests.unit.store.conftest import JOB


@pytest.fixture
def checkpoints(space: Space) -> Checkpoints:
    taken = Checkpoints(space, 1)
    taken.take_over()
    return taken


def write(checkpoints: Checkpoints, *datas: bytes) -> Manifest:
    """A whole checkpoint."""
    number = checkpoints.begin()
    return checkpoints.commit(number, checkpoints.space.chunks.put_many(datas, mark=number), b"body")


def readable(checkpoints: Checkpoints) -> dict[int, list[bytes]]:
    """All checkpoints with what they hold, read the way a restore does."""
    found = {}
    for number in checkpoints.numbers():
        with checkpoints.lease(number) as manifest:
            found[number] = list(checkpoints.space.chunks.get_many(manifest.chunks))
    return found


def stored(checkpoints: Checkpoints) -> set[ChunkRef]:
    return set(checkpoints.space.chunks.has(checkpoints.space.chunks.refs()))


def names(*datas: bytes) -> set[ChunkRef]:
    return set(map(ChunkRef.of, datas))


def test_a_checkpoint_is_there_when_it_was_committed(checkpoints: Checkpoints) -> None:
    number = checkpoints.begin()
    assert checkpoints.numbers() == ()
    with pytest.raises(Conflict, match="no checkpoint 1 any more"), checkpoints.lease(number):
        pass
    [ref] = checkpoints.space.chunks.put_many([b"a"], mark=number)
    checkpoints.commit(number, [ref], b"\nbody\n")
    with checkpoints.lease(number) as manifest:
        assert manifest == Manifest(1, (ref,), b"\nbody\n")
    assert checkpoints.begin() == 2


def test_a_commit_may_be_repeated_but_not_with_something_else(checkpoints: Checkpoints) -> None:
    manifest = write(checkpoints, b"a")
    assert checkpoints.commit(manifest.number, manifest.chunks, manifest.body) == manifest
    with pytest.raises(Conflict):
        checkpoints.commit(manifest.number, manifest.chunks, b"other")
    assert checkpoints.manifest(1) == manifest


def test_a_commit_that_was_interrupted_behind_its_manifest_is_finished_by_repeating_it(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = checkpoints.begin()
    monkeypatch.setattr(checkpoints, "change", lambda *_, **__: pytest.fail("interrupted"))
    with pytest.raises(BaseException, match="interrupted"):
        checkpoints.commit(number, [], b"body")
    monkeypatch.undo()
    assert checkpoints.numbers() == ()
    assert retain(checkpoints, keep=1).manifests == 0
    checkpoints.commit(number, [], b"body")
    assert checkpoints.numbers() == (1,)


def test_numbers_are_never_given_twice(checkpoints: Checkpoints) -> None:
    first = checkpoints.begin()
    checkpoints.abandon(first)
    checkpoints.abandon(first)
    assert [checkpoints.begin(), checkpoints.begin()] == [2, 3]
    with pytest.raises(Conflict, match="abandoned"):
        checkpoints.commit(first, [], b"")
    assert checkpoints.space.ledger.keys(MANIFEST) == []


def test_a_new_generation_shuts_out_the_old_one(checkpoints: Checkpoints) -> None:
    old, new = checkpoints, Checkpoints(checkpoints.space, 2)
    write(old, b"a")
    number = old.begin()
    with pytest.raises(Conflict, match="take over first"):
        new.begin()
    new.take_over()
    calls: list[Callable[[], object]] = [
        old.begin,
        old.take_over,
        lambda: old.commit(number, [], b""),
        lambda: old.abandon(number),
        lambda: retain(old, keep=1),
        lambda: old.lease(1).__enter__(),
    ]
    for call in calls:
        with pytest.raises(Conflict, match="another leader has taken over"):
            call()
    assert new.state().written == ()
    assert new.take_over() == new.state()
    assert readable(new) == {1: [b"a"]}
    assert new.begin() == number + 1


def test_one_who_only_reads_needs_no_generation(checkpoints: Checkpoints) -> None:
    write(checkpoints, b"a")
    assert readable(Checkpoints(checkpoints.space)) == {1: [b"a"]}


def test_the_newest_and_the_pinned_are_kept_with_what_they_share(checkpoints: Checkpoints) -> None:
    for number in range(1, 6):
        write(checkpoints, b"shared", b"%d" % number)
    swept = retain(checkpoints, keep=2, pinned=[1, 99])
    assert (swept.kept, swept.manifests, swept.chunks) == ((1, 4, 5), 2, 2)
    assert readable(checkpoints) == {number: [b"shared", b"%d" % number] for number in (1, 4, 5)}
    assert stored(checkpoints) == names(b"shared", b"1", b"4", b"5")
    assert checkpoints.space.ledger.keys(MANIFEST) == ["checkpoint/1", "checkpoint/4", "checkpoint/5"]
    assert retain(checkpoints, keep=2, pinned=[1]).chunks == 0
    assert retain(checkpoints, keep=1).kept == (5,)
    assert stored(checkpoints) == names(b"shared", b"5")


def test_keeping_nothing_is_refused(checkpoints: Checkpoints) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        retain(checkpoints, keep=0)


def test_what_an_abandoned_checkpoint_left_is_deleted(checkpoints: Checkpoints) -> None:
    write(checkpoints, b"a")
    number = checkpoints.begin()
    checkpoints.space.chunks.put_many([b"a", b"b"], mark=number)
    assert retain(checkpoints, keep=1).chunks == 0
    checkpoints.abandon(number)
    assert retain(checkpoints, keep=1).chunks == 1
    assert stored(checkpoints) == names(b"a")


def test_a_manifest_that_came_too_late_is_deleted_and_never_counts(checkpoints: Checkpoints) -> None:
    """The old leader had passed its checks when the new one took over."""
    number = checkpoints.begin()
    chunks = checkpoints.space.chunks.put_many([b"late"], mark=number)
    new = Checkpoints(checkpoints.space, 2)
    new.take_over()
    checkpoints.space.ledger.put(f"{MANIFEST}{number}", Manifest(number, tuple(chunks), b"").encode(), ABSENT)
    write(new, b"a")
    swept = retain(new, keep=5)
    assert (swept.kept, swept.manifests, swept.chunks) == ((2,), 1, 1)


# ---- races: a sweep has steps, and everything else happens between two of them

STEPS = 4


def interleave(checkpoints: Checkpoints, acts: Mapping[int, Callable[[], Any]]) -> None:
    """A sweep that keeps one checkpoint; acts happen before one of its steps, or behind the last."""

    def gap(number: int) -> None:
        acts.get(number, lambda: None)()

    gap(0)
    sweep = Sweep(checkpoints, 1)
    gap(1)
    sweep.delete_manifests()
    gap(2)
    alive = sweep.alive()
    gap(3)
    sweep.delete_chunks(alive)
    gap(4)


each_step = pytest.mark.parametrize("step", range(STEPS + 1))


@each_step
def test_race_a_whole_checkpoint_is_written_during_a_sweep(checkpoints: Checkpoints, step: int) -> None:
    """It uses again what only the deleted checkpoint had."""
    write(checkpoints, b"old", b"dead")
    write(checkpoints, b"kept")
    interleave(checkpoints, {step: lambda: write(checkpoints, b"old", b"new")})
    assert readable(checkpoints)[3] == [b"old", b"new"]
    retain(checkpoints, keep=1)
    assert readable(checkpoints) == {3: [b"old", b"new"]}
    assert stored(checkpoints) == names(b"old", b"new")


@pytest.mark.parametrize("gaps", [*combinations_with_replacement(range(STEPS + 1), 3)])
def test_race_a_sweep_goes_over_a_checkpoint_that_is_being_written(
    checkpoints: Checkpoints, gaps: tuple[int, int, int]
) -> None:
    """Beginning, putting and committing fall into any of the gaps, in this order."""
    write(checkpoints, b"old")
    write(checkpoints, b"kept")
    number = 3
    acts: list[Callable[[], Any]] = [
        checkpoints.begin,
        lambda: checkpoints.space.chunks.put_many([b"old", b"new"], mark=number),
        lambda: checkpoints.commit(number, names(b"old", b"new"), b""),
    ]

    def all_of(gap: int) -> Callable[[], Any]:
        return lambda: [act() for act, at in zip(acts, gaps, strict=True) if at == gap]

    interleave(checkpoints, {gap: all_of(gap) for gap in gaps})
    assert sorted(readable(checkpoints)[number]) == [b"new", b"old"]


@each_step
def test_race_touching_is_honest_during_a_sweep(checkpoints: Checkpoints, step: int) -> None:
    """What a touch says is there stays until the commit; what it says is gone is put."""
    write(checkpoints, b"old")
    write(checkpoints, b"kept")

    def reuse() -> None:
        number, ref = checkpoints.begin(), ChunkRef.of(b"old")
        if ref not in checkpoints.space.chunks.touch([ref], mark=number):
            assert step == STEPS
            checkpoints.space.chunks.put(b"old", mark=number)
        checkpoints.commit(number, [ref], b"")

    interleave(checkpoints, {step: reuse})
    assert readable(checkpoints)[3] == [b"old"]


@pytest.mark.fault(15, "deletion of old checkpoints races a restore")
@each_step
def test_race_a_restore_reads_all_or_is_told_at_once(checkpoints: Checkpoints, step: int, struck: Struck) -> None:
    manifest = write(checkpoints, b"old")
    write(checkpoints, b"kept")
    read: list[bytes] = []
    with ExitStack() as restore:

        def lease() -> None:
            try:
                leased = restore.enter_context(checkpoints.lease(manifest.number))
            except Conflict:
                return
            read.extend(checkpoints.space.chunks.get_many(leased.chunks))

        interleave(checkpoints, {step: lease})
        if step == 0:
            retain(checkpoints, keep=1)
            assert list(checkpoints.space.chunks.get_many(manifest.chunks)) == [b"old"]
    assert read == ([b"old"] if step == 0 else [])
    struck.count(1, {"old": read})
    assert retain(checkpoints, keep=1).kept == (2,)
    assert stored(checkpoints) == names(b"kept")


@each_step
def test_race_two_sweeps(checkpoints: Checkpoints, opened: Callable[[], Store], step: int) -> None:
    """The second begins later, so it may drop what the first has just spared, and a checkpoint came between."""
    for number in range(3):
        write(checkpoints, b"shared", b"%d" % number)
    other = Checkpoints(opened().job(JOB), 1)

    def second() -> None:
        write(other, b"shared", b"later")
        retain(other, keep=1)

    interleave(checkpoints, {step: second})
    assert readable(checkpoints) == {4: [b"shared", b"later"]}
    retain(checkpoints, keep=1)
    assert stored(checkpoints) == names(b"shared", b"later")


@each_step
def test_race_a_dead_leader_commits_nothing_of_which_parts_are_deleted(checkpoints: Checkpoints, step: int) -> None:
    write(checkpoints, b"kept")
    number = checkpoints.begin()
    refs = checkpoints.space.chunks.put_many([b"zombie"], mark=number)
    new = Checkpoints(checkpoints.space, 2)
    new.take_over()

    def commit() -> None:
        with pytest.raises(Conflict):
            checkpoints.commit(number, refs, b"")

    interleave(new, {step: commit})
    assert readable(new) == {1: [b"kept"]}
    assert stored(new) == names(b"kept")


def test_a_deletion_that_arrives_late_spares_what_was_wanted_since(checkpoints: Checkpoints) -> None:
    write(checkpoints, b"old")
    write(checkpoints, b"kept")
    sweep = Sweep(checkpoints, 1)
    alive = sweep.alive()
    sweep.delete_chunks(alive)
    write(checkpoints, b"old")
    sweep.delete_chunks(alive)
    assert readable(checkpoints)[3] == [b"old"]


def test_a_lease_of_a_dead_generation_holds_nothing_back(checkpoints: Checkpoints) -> None:
    write(checkpoints, b"old")
    write(checkpoints, b"kept")
    new = Checkpoints(checkpoints.space, 2)
    with checkpoints.lease(1):
        assert retain(checkpoints, keep=1).kept == (1, 2)
        new.take_over()
        assert retain(new, keep=1).kept == (2,)
    assert new.state().leases == {}


def test_a_manifest_that_vanished_by_itself_stops_the_sweep(checkpoints: Checkpoints) -> None:
    write(checkpoints, b"a")
    write(checkpoints, b"b")
    ledger = checkpoints.space.ledger
    record = ledger.get(f"{MANIFEST}2")
    assert record is not None
    ledger.delete(f"{MANIFEST}2", record.version)
    with pytest.raises(LostState, match="manifest is gone"):
        retain(checkpoints, keep=2)
    assert stored(checkpoints) == names(b"a", b"b")


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"format":1,"number":1,"chunks":["x"]}\n', b"\xff"])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(StoreError, match="no manifest"):
        Manifest.decode(data)


def test_a_manifest_of_a_newer_limnad_is_refused() -> None:
    with pytest.raises(StoreError, match="newer"):
        Manifest.decode(b'{"format":2}\n')


def test_one_that_is_deleted_while_all_are_listed_is_left_out(checkpoints: Checkpoints) -> None:
    for data in (b"a", b"b", b"c", b"d"):
        write(checkpoints, data)
    listed = checkpoints.manifests()
    assert next(listed).number == 1
    retain(checkpoints, keep=1)
    assert [manifest.number for manifest in listed] == [4]


def test_one_that_is_lost_while_all_are_listed_is_told(checkpoints: Checkpoints, space: Space) -> None:
    for data in (b"a", b"b"):
        write(checkpoints, data)
    held = space.ledger.get(f"{MANIFEST}1")
    assert held is not None
    space.ledger.delete(f"{MANIFEST}1", held.version)
    with pytest.raises(LostState, match="lists checkpoint 1"):
        list(checkpoints.manifests())
