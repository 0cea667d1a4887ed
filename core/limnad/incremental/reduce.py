"""Grouped reductions, exact at partially ordered times.

A key's answer is a function of the rows that it has. What is sent are the differences of the answer: at each time at
which it may have changed, ``answer(rows until then)`` less all differences sent before.

**At which times?** Differences at the incomparable times ``(0, 1)`` and ``(1, 0)`` are first seen together at their
join ``(1, 1)``, where no input changed: a correction may be owed there. So what is worked on is closed under join: with
each new time also its joins with every time at which the key has changed before, and with each other. That is the law
of differential dataflow's reduce, and all of it is done for all keys and all complete times at once:

1. pairs of a key and a complete time are taken from what is pending, and closed under join; joins that are not
   complete yet become pending;
2. the keys' differences are found in the traces of input and of output;
3. each pair is crossed with its key's input that is before it, which gives its rows; the reduction is run once;
4. the same with the output, which gives what was said before; the difference of both is the correction at that pair;
5. from it the corrections at earlier pairs of this same call are taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from limnad.incremental.columns import FEW, Columns, Hashes, Indexes, groups, hash_columns, ranges, same_rows
from limnad.incremental.deltas import Deltas, Layout, concat_deltas
from limnad.incremental.pending import Pending, Requests, by_message, ready
from limnad.incremental.times import Times, before, distinct, product_antichain
from limnad.incremental.trace import Found, Trace
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex


class Reduction(Protocol):
    """What is done with the rows of each group."""

    def __call__(self, groups: Indexes, rows: Deltas) -> Answers:
        """Answers for many groups at once.

        Args:
            groups: For each row its group, ascending.
            rows: The groups' rows, each once, with how often it is there; that is never 0.

        Returns:
            Any number of rows for each group.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The rows of many groups' answers.

    Attributes:
        groups: For each row its group.
        columns: The rows, without the key.
        multiplicities: How often each is there.
    """

    groups: Indexes
    columns: Columns
    multiplicities: Indexes


class Reduce(Vertex):
    """Keeps the answers of groups up to date.

    Args:
        layout: Of the input.
        key: Which of its columns are the key.
        output: Layout of the output: the key's columns, then those of the answer.
        reduction: What is done with each group.
    """

    def __init__(self, layout: Layout, key: Sequence[int], output: Layout, reduction: Reduction) -> None:
        self._layout = layout
        self._output_layout = output
        self._reduction = reduction
        out_key = tuple(range(len(key)))
        self._input = Trace("input", layout, key)
        self._output = Trace("output", output, out_key)
        self._keys = Layout(dict(list(output.schema.items())[: len(key)]), layout.depth)
        self._pending = Pending("pending", self._keys, out_key)
        self._requests = Requests(self)

    # -- events ------------------------------------------------------------------------------------------------------

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        deltas = self._layout.read(batch).consolidated()
        if not len(deltas):
            return
        keys = self._input.key_of(deltas)
        hashes = hash_columns(keys, len(deltas))
        self._input.insert(deltas, hashes, self._since)
        places = _first_of_each((*keys, *deltas.times), len(deltas))
        pairs = Deltas(keys, deltas.times, np.ones(len(deltas), np.int64)).take(places)
        self._pending.add(pairs, hashes[places])
        self._requests.received(distinct(pairs.times)[0])

    def on_frontier(self, times: list[Timestamp]) -> None:
        """See `Vertex.on_frontier`."""
        pending, hashes = self._pending.all()
        waiting, which = distinct(pending.times)
        held = ready(waiting, times, self.frontier(0))
        if held:
            taken = np.array([time in held for time in waiting])[which]
            self._pending.keep(np.flatnonzero(~taken))
            chosen = np.flatnonzero(taken)
            self._work(_Pairs(pending.take(chosen), hashes[chosen]), times)
        self._requests.told(times, self._pending.least())

    def _since(self) -> Times | None:
        """From when on the traces are still read: what may come, and what has come and waits."""
        frontier = [*self.frontier(0), *self._pending.least()]
        return product_antichain(frontier) if frontier else None

    # -- the work ----------------------------------------------------------------------------------------------------

    def _work(self, pairs: _Pairs, told: Sequence[Timestamp]) -> None:
        keys = pairs.keys
        given = self._input.find(keys.hashes, keys.columns)
        said = self._output.find(keys.hashes, keys.columns)
        if self._layout.depth > 1:
            pairs.close(self._waiting_of(keys), given, said)
        held = ready(distinct(pairs.times)[0], told, self.frontier(0))
        pairs, later = pairs.split(held)
        if len(later):
            self._pending.add(later.deltas(), keys.hashes[later.key])
        changes = self._changes(pairs, given, said)
        if not len(changes):
            return
        hashes = hash_columns(self._output.key_of(changes), len(changes))
        self._output.insert(changes, hashes, self._since)
        self._send(changes, held)

    def _waiting_of(self, keys: _Keys) -> Found:
        """The times of some keys that wait."""
        waiting, hashes = self._pending.all()
        if not len(waiting):
            return Found(np.empty(0, np.int64), waiting)
        known = Trace("waiting", self._keys, range(len(waiting.columns)))
        known.insert(waiting, hashes, lambda: None)
        return known.find(keys.hashes, keys.columns)

    def _changes(self, pairs: _Pairs, given: Found, said: Found) -> Deltas:
        """The differences of the answers at these pairs."""
        pair, rows = _until(pairs, given)
        answers = self._reduction(pair, rows)
        keys = pairs.keys.take(pairs.key[answers.groups])
        spoken, words = _until(pairs, said)
        entries = concat_deltas(
            [
                Deltas((*keys, *answers.columns), answers.groups[np.newaxis], answers.multiplicities),
                Deltas(words.columns, spoken[np.newaxis], -words.diffs),
            ]
        )
        return pairs.differences(entries.consolidated())

    def _send(self, changes: Deltas, held: dict[Timestamp, Timestamp]) -> None:
        for part, time in by_message(changes, held):
            self.send_by(0, self._output_layout.write(part), time)


class _Keys:
    """Some different keys."""

    def __init__(self, columns: Columns, hashes: Hashes) -> None:
        self.columns = columns
        self.hashes = hashes

    def take(self, which: Indexes) -> Columns:
        return Deltas(self.columns, self.hashes[np.newaxis], self.hashes).take(which).columns  # type: ignore[arg-type]


class _Pairs:
    """Pairs of a key and a time, each once, in the order of keys, then of times.

    Attributes:
        keys: The different keys.
        key: For each pair which of them.
        times: For each pair its time.
    """

    def __init__(self, pairs: Deltas, hashes: Hashes) -> None:
        order, starts = groups(hashes, pairs.columns)
        number = np.zeros(len(order), np.int64)
        number[starts] = 1
        key = np.empty(len(order), np.int64)
        key[order] = np.cumsum(number) - 1
        first = order[starts]
        self.keys = _Keys(pairs.take(first).columns, hashes[first])
        self.key, self.times = _ordered(key, pairs.times)

    def __len__(self) -> int:
        return len(self.key)

    def _with(self, key: Indexes, times: Times) -> _Pairs:
        made = object.__new__(_Pairs)
        made.keys, made.key, made.times = self.keys, key, times
        return made

    def deltas(self) -> Deltas:
        """The pairs as differences of keys."""
        return Deltas(self.keys.take(self.key), self.times, np.ones(len(self), np.int64))

    def close(self, *histories: Found) -> None:
        """Adds the joins of pairs with each other and with all times of their keys' histories, and of these joins."""
        key = np.concatenate([self.key, *(found.queries for found in histories)])
        times = np.concatenate([self.times, *(found.deltas.times for found in histories)], axis=1)
        key, times = _ordered(key, times)
        fresh_key, fresh_times = self.key, self.times
        while len(fresh_key):
            left, right = _cross(fresh_key, key, len(self.keys.hashes))
            joined = np.maximum(fresh_times[:, left], times[:, right])
            moved = np.flatnonzero((joined != fresh_times[:, left]).any(axis=0))
            fresh_key, fresh_times = _missing(fresh_key[left[moved]], joined[:, moved], self.key, self.times)
            self.key, self.times = _merged(self.key, self.times, fresh_key, fresh_times)
            key, times = _merged(key, times, fresh_key, fresh_times)

    def split(self, held: dict[Timestamp, Timestamp]) -> tuple[_Pairs, _Pairs]:
        """Those whose times can be worked on, and the others."""
        found, which = distinct(self.times)
        if len(held) == len(found):
            return self, self._with(self.key[:0], self.times[:, :0])
        now = np.array([time in held for time in found])[which]
        return self._with(self.key[now], self.times[:, now]), self._with(self.key[~now], self.times[:, ~now])

    def differences(self, entries: Deltas) -> Deltas:
        """Turns what the answers of each pair lack into what is to be sent at each.

        Args:
            entries: Rows whose only coordinate is the number of their pair.

        What an earlier pair of the same key sends, a later one need not.
        """
        pair = entries.times[0]
        follows = np.flatnonzero(self.key[1:] == self.key[:-1])
        if not len(follows):
            return entries.at(self.times[:, pair])
        if before(self.times[:, follows], self.times[:, follows + 1]).all():
            following = np.full(len(self), -1)
            following[follows] = follows + 1
            repeated = np.flatnonzero(following[pair] >= 0)
            taken_off = entries.take(repeated)
            off = Deltas(taken_off.columns, following[taken_off.times], -taken_off.diffs)
            whole = concat_deltas([entries, off]).consolidated()
            return whole.at(self.times[:, whole.times[0]])
        return self._differences_by_time(entries)

    def _differences_by_time(self, entries: Deltas) -> Deltas:
        """The same where a key's times are not all ordered: time after time."""
        found, which = distinct(self.times)  # Ascending, so no time is before an earlier one.
        sent: list[Deltas] = []
        for number in range(len(found)):
            here = np.flatnonzero(which[entries.times[0]] == number)
            parts = [entries.take(here)]
            pair_of = np.full(len(self.keys.hashes), -1)
            pairs_here = np.flatnonzero(which == number)
            pair_of[self.key[pairs_here]] = pairs_here
            for earlier in sent:
                into = pair_of[self.key[earlier.times[0]]]
                rows = np.flatnonzero(into >= 0)
                rows = rows[before(self.times[:, earlier.times[0][rows]], self.times[:, into[rows]])]
                off = earlier.take(rows)
                parts.append(Deltas(off.columns, into[rows][np.newaxis], -off.diffs))
            sent.append(concat_deltas(parts).consolidated())
        whole = concat_deltas(sent)
        return whole.at(self.times[:, whole.times[0]])


def _until(pairs: _Pairs, found: Found) -> tuple[Indexes, Deltas]:
    """What each pair's key has had until its time: each row once with its multiplicity, by pair."""
    if len(pairs) == 1:
        pair, rows = found.queries, np.arange(len(found.queries))
    else:
        order = np.argsort(found.queries, kind="stable")
        pair, at = _cross(pairs.key, found.queries[order], len(pairs.keys.hashes))
        rows = order[at]
    if len(pairs) > len(pairs.keys.hashes) or len(pairs.times) > 1 or found.deltas.times.shape[1]:
        seen = before(found.deltas.times[:, rows], pairs.times[:, pair])
        if not seen.all():
            pair, rows = pair[seen], rows[seen]
    whole = found.deltas.take(rows).at(pair[np.newaxis]).consolidated()
    number = whole.times[0]
    if (number[1:] < number[:-1]).any():
        order = np.argsort(number, kind="stable")
        whole, number = whole.take(order), number[order]
    return number, whole


def _cross(left: Indexes, right: Indexes, keys: int) -> tuple[Indexes, Indexes]:
    """All pairs of places with the same key; both are ascending."""
    counts = np.bincount(right, minlength=keys)
    starts = np.cumsum(counts) - counts
    mine = counts[left]
    return np.repeat(np.arange(len(left)), mine), ranges(starts[left], mine)


def _ordered(key: Indexes, times: Times) -> tuple[Indexes, Times]:
    """Pairs of key and time, each once, ascending."""
    if len(key) <= 1:
        return key, times
    if len(key) <= FEW:
        return _arrays(sorted(_pairs(key, times)), len(times))
    order = np.lexsort((*times[::-1], key))
    key, times = key[order], times[:, order]
    fresh = np.ones(len(key), bool)
    fresh[1:] = (key[1:] != key[:-1]) | (times[:, 1:] != times[:, :-1]).any(axis=0)
    return (key, times) if fresh.all() else (key[fresh], times[:, fresh])


def _pairs(key: Indexes, times: Times) -> set[tuple[int, ...]]:
    return set(zip(key.tolist(), *times.tolist(), strict=True))


def _arrays(pairs: list[tuple[int, ...]], depth: int) -> tuple[Indexes, Times]:
    whole = np.array(pairs, np.int64).reshape(len(pairs), depth + 1).T
    return whole[0], whole[1:]


def _merged(key: Indexes, times: Times, more: Indexes, at: Times) -> tuple[Indexes, Times]:
    if not len(more):
        return key, times
    return _ordered(np.concatenate([key, more]), np.concatenate([times, at], axis=1))


def _missing(key: Indexes, times: Times, known: Indexes, at: Times) -> tuple[Indexes, Times]:
    """Those pairs, each once, that are not among the known ones."""
    if len(key) + len(known) <= FEW:
        return _arrays(sorted(_pairs(key, times) - _pairs(known, at)), len(times))
    key, times = _ordered(key, times)
    if not len(key):
        return key, times
    all_key, all_times = np.concatenate([known, key]), np.concatenate([at, times], axis=1)
    is_new = np.concatenate([np.zeros(len(known), np.int64), np.ones(len(key), np.int64)])
    order = np.lexsort((is_new, *all_times[::-1], all_key))
    ordered_key, ordered_times, new = all_key[order], all_times[:, order], is_new[order].astype(bool)
    alone = np.ones(len(order), bool)
    alone[1:] = (ordered_key[1:] != ordered_key[:-1]) | (ordered_times[:, 1:] != ordered_times[:, :-1]).any(axis=0)
    fresh = new & alone
    return ordered_key[fresh], ordered_times[:, fresh]


def _first_of_each(columns: Columns, length: int) -> Indexes:
    """One place of each of the different rows."""
    order, starts = same_rows(columns, length)
    return order[starts]
