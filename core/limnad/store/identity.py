"""Noticing that a store is not the one it was, or has forgotten.

A Redis that was restarted may have lost its last second; one that was wiped, or a folder that was deleted, comes back
empty. To the store itself that looks all right. So a ledger carries an identity and a counter that only rises, and
whoever has seen them remembers what it saw: a leader in its memory, a member in what the leader told it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from typing import Final

from limnad.store.errors import Conflict, LostState, StoreError
from limnad.store.interface import ABSENT, Space

KEY: Final = "identity"
"""The record's key."""


@dataclass(frozen=True, slots=True)
class Witness:
    """What somebody has seen of a ledger.

    Attributes:
        store_id: Made once, at random, for each ledger.
        high_water: A counter that never falls.
    """

    store_id: str
    high_water: int


class Identity:
    """The identity and the counter of a ledger.

    Args:
        space: Whose ledger.
    """

    def __init__(self, space: Space) -> None:
        self._space = space

    def read(self) -> Witness | None:
        """What the ledger says; None if it has never been asked to rise."""
        record = self._space.ledger.get(KEY)
        return None if record is None else _decode(record.value, self._space.where)

    def check(self, seen: Witness) -> Witness:
        """What the ledger says now.

        Raises:
            LostState: It is another ledger, or it is behind what was seen.
        """
        return self._compare(self.read(), seen)

    def rise(self, seen: Witness | None = None, *, durable: bool = False) -> Witness:
        """Raises the counter by one; makes the identity if nobody has, and the caller has never seen one.

        Laws: no two calls return the same number; it is above what was seen.

        Raises:
            LostState: See `check`; then nothing was changed.
        """
        ledger = self._space.ledger
        while True:
            record = ledger.get(KEY)
            known = None if record is None else _decode(record.value, self._space.where)
            if seen is not None:
                known = self._compare(known, seen)
            known = known or Witness(secrets.token_hex(16), 0)
            risen = Witness(known.store_id, known.high_water + 1)
            try:
                ledger.put(KEY, _encode(risen), record.version if record else ABSENT, durable=durable)
            except Conflict:
                continue  # somebody else raised it
            return risen

    def _compare(self, now: Witness | None, seen: Witness) -> Witness:
        where = self._space.where
        if now is None:
            raise LostState(f"{where} is empty, but had reached {seen.high_water} when it was last seen: {_ADVICE}")
        if now.store_id != seen.store_id:
            raise LostState(f"{where} is another store than was seen before (now {now.store_id}): {_ADVICE}")
        if now.high_water < seen.high_water:
            raise LostState(
                f"{where} says {now.high_water}, but had reached {seen.high_water} when it was last seen: it forgot "
                f"its last writes: {_ADVICE}"
            )
        return now


_ADVICE: Final = (
    "going on would repeat or lose output. Bring its data back from where it is kept, or start the job anew under "
    "another name"
)


def _encode(witness: Witness) -> bytes:
    return json.dumps(asdict(witness)).encode()


def _decode(data: bytes, where: str) -> Witness:
    try:
        fields = json.loads(data)
        return Witness(str(fields["store_id"]), int(fields["high_water"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{where}: the record {KEY!r} is none of ours ({error}): something else writes there"
        ) from None
