"""The laws of `limnad.cluster.placement`."""

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from limnad.cluster.placement import HostLoad, place, usable

hosts = st.lists(
    st.builds(
        HostLoad,
        uid=st.uuids().map(str),
        index=st.integers(0, 20),
        slots=st.integers(0, 6),
        busy=st.integers(0, 12),
        build=st.sampled_from(["old", "new"]),
        leaving=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda host: host.uid,
)
good = hosts.map(lambda all_hosts: usable(all_hosts, "new")).filter(bool)
widths = st.integers(1, 60)


@given(hosts)
def test_only_hosts_of_the_build_that_stay_are_usable(all_hosts: list[HostLoad]) -> None:
    kept = usable(all_hosts, "new")
    assert all(host.build == "new" and not host.leaving and host.slots for host in kept)
    assert [host.index for host in kept] == sorted(host.index for host in kept)
    assert set(kept) <= set(all_hosts)


@given(widths, good)
def test_each_worker_has_a_host_and_neighbours_share_it(workers: int, there: list[HostLoad]) -> None:
    placed = place(workers, there)
    assert len(placed) == workers
    order = [host.uid for host in there]
    places = [order.index(uid) for uid in placed]
    assert places == sorted(places)


@given(widths, good)
def test_no_worker_would_share_a_slot_with_fewer_elsewhere(workers: int, there: list[HostLoad]) -> None:
    count = Counter(place(workers, there))
    for host in there:
        if count[host.uid]:
            assert all(
                Fraction(count[host.uid], host.slots) <= Fraction(count[other.uid] + 1, other.slots) for other in there
            )


@given(good)
def test_as_many_workers_as_slots_fill_every_slot_once(there: list[HostLoad]) -> None:
    count = Counter(place(sum(host.slots for host in there), there))
    assert count == {host.uid: host.slots for host in there}


@given(good)
def test_one_worker_goes_where_the_fewest_others_are(there: list[HostLoad]) -> None:
    (uid,) = place(1, there)
    chosen = next(host for host in there if host.uid == uid)
    rivals = [host for host in there if host.slots == chosen.slots]
    assert chosen.busy == min(host.busy for host in rivals)
