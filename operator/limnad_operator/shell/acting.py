"""One look at an object: what is seen goes into a plan, the plan is carried out.

Events first, then the status, then the actions, each only if what was before it went well. What leaders answer is seen
by the next plan at once: it lives nowhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable
from typing import Any

from limnad_operator.api import ApiError
from limnad_operator.manifests import issue, issue_token
from limnad_operator.model import GROUP, VERSION
from limnad_operator.reconcile import (
    Action,
    Answer,
    Call,
    CheckpointSeen,
    ClusterSeen,
    Create,
    Delete,
    Event,
    Fault,
    IssueCertificates,
    IssueToken,
    JobObjectSeen,
    Plan,
    Replace,
    SetFinalizers,
    reconcile_checkpoint,
    reconcile_cluster,
    reconcile_job,
)
from limnad_operator.reconcile.plan import Object
from limnad_operator.reconcile.telling import timestamp
from limnad_operator.shell.calling import AsyncApi
from limnad_operator.shell.leaders import Leaders, Refused, Unreachable
from limnad_operator.shell.observing import Observer, Seen, shape_of
from limnad_operator.shell.views import KINDS, Cache, Key

ROUNDS = 4
"""How often a look goes on from what its own actions gave, before others have their turn."""


class Conflict(Exception):
    """What was planned on is not there any more: look again."""


class NotLeading(Exception):
    """Another operator acts now."""


class Actor:
    """Looks at objects, and acts.

    Args:
        api: The API server.
        cache: What is known of it.
        leaders: The leaders.
        observer: Who looks.
        identity: This operator's name, for events.
        leads: Whether this operator may act now.
        wall_s: Unix time.
    """

    def __init__(
        self,
        api: AsyncApi,
        cache: Cache,
        leaders: Leaders,
        observer: Observer,
        *,
        identity: str,
        leads: Callable[[], bool] = lambda: True,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._cache = cache
        self._leaders = leaders
        self._observer = observer
        self._identity = identity
        self._leads = leads
        self._wall_s = wall_s

    async def look(self, key: Key) -> float | None:
        """Looks at an object and does what is to be done; after how many seconds to look again.

        Raises:
            Conflict: Somebody else has changed something meanwhile.
            NotLeading: Another operator acts now.
            ApiError: The API server does not do it.
        """
        answers: tuple[Answer, ...] = ()
        plan = Plan()
        for _ in range(ROUNDS):
            seen = await self._observer.see(key, answers, self._wall_s())
            if seen is None:
                return None
            plan = reconcile(seen)
            failed = any(answer.fault is not None for answer in answers)
            answers = await self._carry_out(seen.object, plan, act=not failed)
            if failed or not any(map(_is_news, answers)):
                return plan.again_s
        return 0.0

    async def _carry_out(self, object_: Object, plan: Plan, *, act: bool) -> tuple[Answer, ...]:
        for event in plan.events:
            await self._tell(object_, event, plan.turn)
        if plan.status is not None:
            object_ = await self._write(
                object_, lambda: self._api.replace({**object_, "status": plan.status}, status=True)
            )
        answers: list[Answer] = []
        if not act:
            return ()
        for is_call, some in itertools.groupby(plan.actions, key=lambda action: isinstance(action, Call)):
            actions = list(some)
            if is_call:  # They concern different jobs, and each may take a while.
                answers += await asyncio.gather(*[self._answered(object_, action) for action in actions])
            else:
                answers += [await self._answered(object_, action) for action in actions]
        return tuple(answers)

    async def _answered(self, object_: Object, action: Action) -> Answer:
        try:
            return Answer(action, value=await self._do(object_, action))
        except Refused as error:
            return Answer(action, Fault.REFUSED, str(error))
        except Unreachable as error:
            return Answer(action, Fault.UNREACHABLE, str(error))
        except ApiError as error:
            if error.status == 403:
                return Answer(action, Fault.FORBIDDEN, error.message)
            if error.status in (400, 422):
                return Answer(action, Fault.INVALID, error.message)
            raise

    async def _do(self, object_: Object, action: Action) -> Any:
        self._check()
        metadata = object_["metadata"]
        match action:
            case Create():
                return await self._create(action.manifest)
            case Replace():
                return await self._write(action.manifest, lambda: self._api.replace(action.manifest), own=False)
            case Delete():
                return await self._api.delete(
                    action.kind, metadata["namespace"], action.name, uid=action.uid, grace_s=action.grace_s
                )
            case SetFinalizers():
                changed = {**object_, "metadata": {**metadata, "finalizers": list(action.finalizers)}}
                return await self._write(object_, lambda: self._api.replace(changed))
            case IssueCertificates():
                return await self._issue_certificates(object_)
            case IssueToken():
                return await self._create(issue_token(shape_of(object_)))
            case Call():
                cluster = _cluster_of(object_)
                address, credentials = await self._observer.reach(metadata["namespace"], cluster)
                if not address:
                    raise Unreachable(f"the leader of {cluster} has no address")
                self._check()  # It took its time to find out how.
                return await self._leaders.ask(address, credentials, action)

    async def _create(self, manifest: Object) -> None:
        self._check()
        try:
            self._learn(manifest["kind"], await self._api.create(manifest), own=False)
        except ApiError as error:
            if error.status != 409:
                raise
            # Another operator was faster, or this one knows it not yet; if it is somebody else's, it is told as that.
            await self._check_ours(manifest)

    async def _check_ours(self, manifest: Object) -> None:
        metadata = manifest["metadata"]
        there = await self._api.get(manifest["kind"], metadata["namespace"], metadata["name"])
        if there is None:
            raise Conflict
        wanted = {each["uid"] for each in metadata.get("ownerReferences") or []}
        if wanted and not wanted & {each["uid"] for each in there["metadata"].get("ownerReferences") or []}:
            raise ApiError(
                422,
                f"there is a {manifest['kind']} {metadata['name']!r} already that is not this cluster's: rename one",
            )

    def _learn(self, kind: str, written: Object, *, own: bool) -> None:
        """Knows what was written before the watch tells of it.

        Not of the cluster of a job: that is news to the look at the cluster, and what is known is no news.

        Args:
            kind: Of the object.
            written: As it is now.
            own: Whether it is the one that is looked at.
        """
        if own or kind not in KINDS:
            self._cache.learn(kind, written)

    async def _write(self, object_: Object, write: Callable[[], Any], *, own: bool = True) -> Object:
        self._check()
        try:
            written: Object = await write()
        except ApiError as error:
            if error.status == 409:
                raise Conflict from None
            if error.status == 404:
                raise Conflict from None  # It is gone: the watch will tell.
            raise
        self._learn(object_["kind"], written, own=own)
        return written

    async def _issue_certificates(self, object_: Object) -> None:
        shape = shape_of(object_)
        held = await self._api.get("Secret", shape.namespace, shape.authority_secret)
        made = issue(shape, None if held is None else held.get("data"), self._wall_s())
        # First what pods read: an authority that stands in its Secret as announced has been.
        for manifest in (made.leaf, made.authority):
            there = await self._api.get("Secret", shape.namespace, manifest["metadata"]["name"])
            if there is None:
                await self._create(manifest)
            elif there.get("data") != manifest["data"]:
                await self._write(there, lambda: self._api.replace({**there, "data": manifest["data"]}))  # noqa: B023

    def _check(self) -> None:
        if not self._leads():
            raise NotLeading

    async def _tell(self, object_: Object, event: Event, turn: str) -> None:
        """One event for each transition: its name is made from the turn, so that telling it again changes nothing."""
        self._check()
        metadata = object_["metadata"]
        told = f"{metadata['uid']} {event.turn or turn} {event.reason} {event.about}"
        now = timestamp(self._wall_s())
        manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name'][:200]}.{hashlib.sha256(told.encode()).hexdigest()[:16]}",
                "namespace": metadata["namespace"],
            },
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": object_["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "message": event.message,
            "source": {"component": "limnad-operator"},
            "reportingComponent": "limnad-operator",
            "reportingInstance": self._identity[:120],
            "action": event.reason,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._api.create(manifest)
        except ApiError as error:
            if error.status not in (403, 409):  # That it may not tell is no reason not to act.
                raise


def reconcile(seen: Seen) -> Plan:
    """The plan for whatever was seen."""
    match seen:
        case ClusterSeen():
            return reconcile_cluster(seen)
        case JobObjectSeen():
            return reconcile_job(seen)
        case CheckpointSeen():
            return reconcile_checkpoint(seen)


def _is_news(answer: Answer) -> bool:
    """Whether the next look sees something else at once. That something is being deleted the watch tells."""
    return not isinstance(answer.action, Delete)


def _cluster_of(object_: Object) -> str:
    if object_["kind"] == "LimnadCluster":
        return str(object_["metadata"]["name"])
    return str((object_.get("status") or {}).get("cluster", ""))
