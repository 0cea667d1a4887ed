"""Who of several operators acts: sans-IO.

One holds the Lease and renews it. Others watch it with their own clocks: who sees the same record for its whole
duration takes it over. So clocks need not agree. One that could not renew it in time acts no more, before another may.

That is a courtesy, not a proof: an operator that is stopped in the middle of an action may go on when another one acts
already. What keeps that harmless is that each write bears the resourceVersion that it was planned on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limnad_operator.reconcile.plan import Object
from limnad_operator.reconcile.telling import timestamp

DURATION_S = 15.0
"""How long a holder that says nothing is waited for."""

GIVE_UP_S = 10.0
"""After how long without a renewal a holder acts no more."""

RENEW_S = 3.0
"""How often it is renewed, and looked at."""


@dataclass
class Lease:
    """One operator's view of the Lease.

    Attributes:
        identity: Its name.
        name: The Lease's.
        namespace: Where that is.
        owner: The owner reference of what it goes with, once that is known.
    """

    identity: str
    name: str
    namespace: str
    owner: Object | None = None
    _seen: str = ""
    _seen_s: float = 0.0
    _renewed_s: float | None = None

    def leads(self, now_s: float) -> bool:
        """Whether it may act now."""
        return self._renewed_s is not None and now_s - self._renewed_s < GIVE_UP_S

    def wanted(self, there: Object | None, now_s: float, wall_s: float) -> Object | None:
        """What to write; None: nothing, another one holds it.

        Args:
            there: The Lease as it is; None: there is none.
            now_s: This process's own clock.
            wall_s: Unix time, for people.
        """
        if there is None:
            return self._record({}, 0, wall_s)
        spec = there.get("spec") or {}
        seen = f"{there['metadata'].get('resourceVersion')}"
        if seen != self._seen:
            self._seen, self._seen_s = seen, now_s
        holder = spec.get("holderIdentity") or ""
        if holder == self.identity:
            return self._record(there, 0, wall_s)
        expired = now_s - self._seen_s >= float(spec.get("leaseDurationSeconds") or DURATION_S)
        return self._record(there, 1, wall_s) if not holder or expired else None

    def written(self, now_s: float) -> None:
        """What was wanted stands there, since a moment not before that."""
        self._renewed_s = now_s

    def lost(self) -> None:
        """Another one holds it."""
        self._renewed_s = None

    def released(self, there: Object) -> Object:
        """What to write when it is given back."""
        return {**there, "spec": {**there["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}}

    def _record(self, there: Object, transitions: int, wall_s: float) -> Object:
        before: dict[str, Any] = there.get("spec") or {}
        now = timestamp(wall_s).replace("Z", ".000000Z")
        taken = before.get("holderIdentity") != self.identity
        metadata = {**(there.get("metadata") or {}), "name": self.name, "namespace": self.namespace}
        if self.owner is not None:
            metadata["ownerReferences"] = [self.owner]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(DURATION_S),
                "acquireTime": now if taken else before.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + transitions,
            },
        }
