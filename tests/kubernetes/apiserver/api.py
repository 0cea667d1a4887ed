"""What can be asked of the server, without HTTP: objects in, objects out, refusals raised.

Synchronous code in one thread: each request is done as a whole, so nothing is ever half written.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.kubernetes.apiserver import applying, checks, patches, scaling, strategies
from tests.kubernetes.apiserver.errors import (
    ApiError,
    Cause,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from tests.kubernetes.apiserver.objects import Object, copied, dig, name_of, namespace_of, now, stamp
from tests.kubernetes.apiserver.requests import Options
from tests.kubernetes.apiserver.resources import Resource, Resources, built_in
from tests.kubernetes.apiserver.selectors import Matches
from tests.kubernetes.apiserver.store import Kind, Store

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"

_NO_OPTIONS: Final = Options()


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list.

    Attributes:
        items: Its objects.
        revision: Of the whole list: where a watch goes on from.
        token: What the next part is asked for with; empty: this was the last one.
        left: How many there are after it.
    """

    items: list[Object]
    revision: int
    token: str = ""
    left: int = 0


class Api:
    """The server's objects.

    Attributes:
        store: Where they are.
        resources: Their kinds.
        settled: Called after each write with kind and object, to do what belongs to the write itself.
        refusals: For some kinds what else is looked at before a write; raises what is wrong.
    """

    def __init__(self) -> None:
        self.store = Store()
        self.resources = Resources(built_in())
        self.settled: list[Callable[[Resource, Object], None]] = []
        self.refusals: dict[Kind, Callable[[Object], None]] = {}

    # ------------------------------------------------------------------------------------------------------- reading

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object.

        Raises:
            ApiError: There is none.
        """
        return self._shown(resource, self._find(resource, namespace, name))

    def list(self, resource: Resource, namespace: str, matches: Matches, limit: int = 0, token: str = "") -> Page:
        """Those that match, in pages of at most `limit` (0: all).

        Raises:
            ApiError: The page before has been forgotten (410).
        """
        after, revision = _read_token(token) if token else ((), self.store.revision)
        if token and self.store.is_forgotten(revision):
            raise ApiError(
                410, "Expired", "The provided continue parameter is too old to display a consistent list result."
            )
        found = [item for item in self.store.items(resource.key, namespace) if matches(item)]
        if after:
            found = [item for item in found if (namespace_of(item), name_of(item)) > after]
        page = found[:limit] if limit else found
        left = len(found) - len(page)
        token = _write_token(page[-1], revision) if left else ""
        return Page([self._shown(resource, item) for item in page], revision, token, left)

    def _find(self, resource: Resource, namespace: str, name: str) -> Object:
        found = self.store.get(resource.key, namespace if resource.namespaced else "", name)
        if found is None:
            raise not_found(resource.plural, resource.group, name)
        return found

    def _shown(self, resource: Resource, item: Object) -> Object:
        """Under the version that is asked for: all versions hold the same fields."""
        return {**copied(item), "apiVersion": resource.api_version}

    # ------------------------------------------------------------------------------------------------------- writing

    def create(self, resource: Resource, namespace: str, item: Any, options: Options = _NO_OPTIONS) -> Object:
        """A new object.

        Raises:
            ApiError: It is refused.
        """
        item = checks.read(resource, copied(item), namespace)
        metadata = item["metadata"]
        if metadata.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + "".join(random.choices(string.ascii_lowercase, k=5))
        self._check_namespace(resource, namespace)
        if self.store.get(resource.key, namespace, name_of(item)) is not None:
            raise already_exists(resource.plural, resource.group, name_of(item))
        manager = applying.Manager(options.manager, "Update", "", resource.api_version)
        return self._new(resource, item, options, manager)

    def _new(self, resource: Resource, item: Object, options: Options, manager: applying.Manager | None) -> Object:
        """Makes one; without a manager the object names its owners itself (an apply)."""
        if resource.closed:
            why = "create not allowed while custom resource definition is terminating"
            raise forbidden(resource.plural, resource.group, name_of(item), why)
        metadata = item["metadata"]
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(name, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        if resource.key not in strategies.WITHOUT_GENERATION:
            metadata["generation"] = 1
        if "status" in resource.subresources:
            item.pop("status", None)
        checks.clean(resource, item, options)
        checks.require_shape(resource, item)
        strategies.default(resource.key, item)
        checks.check(resource, item, None)
        if manager is not None:
            metadata.pop("managedFields", None)
            applying.updated(resource.schema, None, item, manager)
        return self._keep(resource, item, options)

    def _check_namespace(self, resource: Resource, namespace: str) -> None:
        if not resource.namespaced:
            return
        found = self.store.get(("", "namespaces"), "", namespace)
        if found is None:
            raise not_found("namespaces", "", namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
            raise forbidden(resource.plural, resource.group, "", why, [cause])

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        item: Any,
        subresource: str = "",
        options: Options = _NO_OPTIONS,
    ) -> Object:
        """Puts an object, or its status, in the place of what is there.

        Raises:
            ApiError: It is refused, or is of another version than what is there (409).
        """
        old = self._find(resource, namespace, name)
        if subresource == "scale":
            item = scaling.scaled(resource, old, item)
            subresource = ""
        item = checks.read(resource, copied(item), namespace)
        if name_of(item) != name:
            raise bad_request(f"the name of the object ({name_of(item)}) does not match the name on the URL ({name})")
        if resource.custom and not item["metadata"].get("resourceVersion"):
            cause = Cause("metadata.resourceVersion", "Invalid value: 0: must be specified for an update")
            raise invalid(resource.kind, resource.group, name, [cause])
        manager = applying.Manager(options.manager, "Update", subresource, resource.api_version)
        return self._replace(resource, old, item, subresource, options, manager)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        style: str,
        subresource: str = "",
        options: Options = _NO_OPTIONS,
    ) -> Object:
        """Changes an object.

        Args:
            resource: Its kind.
            namespace: Where it is.
            name: What it is called.
            patch: What is to change.
            style: json, merge, strategic or apply.
            subresource: status, scale or empty.
            options: What else is said.

        Raises:
            ApiError: It is refused.
        """
        if style == "apply":
            return self._apply(resource, namespace, name, patch, subresource, options)
        old = self._find(resource, namespace, name)
        seen = scaling.scale_of(resource, old) if subresource == "scale" else self._shown(resource, old)
        if style == "json":
            item = patches.json_patch(seen, patch)
        elif style == "strategic" and not resource.custom:
            item = patches.strategic_patch(resource.schema, seen, patch)
        elif style == "strategic":
            known = ", ".join(
                f"application/{each}" for each in ("json-patch+json", "merge-patch+json", "apply-patch+yaml")
            )
            message = f"the body of the request was in an unknown format - accepted media types include: {known}"
            raise ApiError(415, "UnsupportedMediaType", message)
        else:
            item = patches.merge_patch(seen, patch)
        return self.update(resource, namespace, name, item, subresource, options)

    def _apply(
        self, resource: Resource, namespace: str, name: str, patch: Object, subresource: str, options: Options
    ) -> Object:
        patch = checks.read(resource, copied(patch), namespace)
        if patch["metadata"].setdefault("name", name) != name:
            raise bad_request(f"the name of the object ({name_of(patch)}) does not match the name on the URL ({name})")
        if patch["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        if options.manager == "unknown":
            raise bad_request(
                'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
            )
        old = self.store.get(resource.key, namespace if resource.namespaced else "", name)
        if old is None and subresource:
            raise not_found(resource.plural, resource.group, name)
        checks.clean(resource, patch, options)
        if subresource == "status":
            patch = {
                field: each for field, each in patch.items() if field in {"apiVersion", "kind", "metadata", "status"}
            }
        elif "status" in resource.subresources:
            patch.pop("status", None)
        manager = applying.Manager(options.manager, "Apply", subresource, resource.api_version)
        item = applying.applied(resource.schema, old, patch, manager, force=options.force)
        if old is None:
            self._check_namespace(resource, namespace)
            return self._new(resource, item, options, None)
        return self._replace(resource, old, item, subresource, options, None)

    def _replace(
        self,
        resource: Resource,
        old: Object,
        item: Object,
        subresource: str,
        options: Options,
        manager: applying.Manager | None,
    ) -> Object:
        self._check_version(resource, item, old)
        owners = item["metadata"].get("managedFields", ())
        if subresource == "status":
            item = _with_status_of(resource, item, old)
        elif "status" in resource.subresources:
            item = {**item, **({"status": copied(old["status"])} if "status" in old else {})}
            if "status" not in old:
                item.pop("status", None)
        metadata = item["metadata"]
        for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            metadata.pop(name, None)
            if name in old["metadata"]:
                metadata[name] = old["metadata"][name]
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        checks.clean(resource, item, options)
        checks.require_shape(resource, item)
        strategies.default(resource.key, item)
        if problem := checks.unchanged_meta(item, old):
            raise problem
        checks.check(resource, item, old)
        if "generation" in old["metadata"] and _spec(item) != _spec(old):
            metadata["generation"] += 1
        if manager is not None:
            applying.updated(resource.schema, old, item, manager)
        else:
            metadata["managedFields"] = owners
        if checks.same_but_for_time(item, old) and not _is_over(item):
            return self._shown(resource, old)
        return self._keep(resource, item, options)

    def _check_version(self, resource: Resource, item: Object, old: Object) -> None:
        name = name_of(old)
        wanted = item["metadata"].get("resourceVersion")
        if wanted and wanted != old["metadata"]["resourceVersion"]:
            raise conflict(resource.plural, resource.group, name)
        uid, own = item["metadata"].get("uid"), old["metadata"]["uid"]
        if uid and uid != own:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {own}"
            raise conflict(resource.plural, resource.group, name, why)

    def _keep(self, resource: Resource, item: Object, options: Options) -> Object:
        """Writes it, or takes it away where it is deleted and nothing holds it any more."""
        if resource.key in self.refusals:
            self.refusals[resource.key](item)
        if options.dry_run:
            item["metadata"].setdefault("resourceVersion", "")
            return item
        over = _is_over(item)
        kept = self.store.remove(resource.key, item) if over else self.store.put(resource.key, item)
        answer = self._shown(resource, kept)
        for settle in list(self.settled):
            settle(resource, kept)
        return answer

    # ------------------------------------------------------------------------------------------------------ deleting

    def delete(self, resource: Resource, namespace: str, name: str, options: Options = _NO_OPTIONS) -> Object:
        """Deletes an object, or asks for it: finalizers and grace periods come first. The object as it was last.

        Raises:
            ApiError: There is none, or it is another one than was meant (409).
        """
        old = self._find(resource, namespace, name)
        uid, version = old["metadata"]["uid"], old["metadata"]["resourceVersion"]
        for what, wanted, own in (("UID", options.uid, uid), ("ResourceVersion", options.resource_version, version)):
            if wanted is not None and wanted != own:
                why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {own}"
                raise conflict(resource.plural, resource.group, name, why)
        item = copied(old)
        metadata = item["metadata"]
        finalizers = set(metadata.get("finalizers") or [])
        default = "Orphan" if resource.key == ("batch", "jobs") else "Background"
        if not metadata.get("deletionTimestamp"):
            finalizers |= {"Foreground": {FOREGROUND}, "Orphan": {ORPHAN}}.get(options.propagation or default, set())
        if finalizers:
            metadata["finalizers"] = [
                *(metadata.get("finalizers") or []),
                *sorted(finalizers - set(metadata.get("finalizers") or [])),
            ]
        grace_s = _grace(resource, item, options)
        when = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=grace_s)
        known_grace_s = metadata.get("deletionGracePeriodSeconds")
        if known_grace_s is None or grace_s < known_grace_s:
            metadata |= {"deletionTimestamp": stamp(when), "deletionGracePeriodSeconds": grace_s}
        if known_grace_s is None and "generation" in metadata:
            metadata["generation"] += 1
        if item == old:
            return self._shown(resource, old)
        return self._keep(resource, item, options)


def _spec(item: Object) -> Object:
    """All that counts as a wish."""
    return {name: value for name, value in item.items() if name not in {"metadata", "status", "apiVersion"}}


def _with_status_of(resource: Resource, item: Object, old: Object) -> Object:
    merged = copied(old)
    if not resource.custom:  # Kubernetes' own kinds take labels and annotations through status as well.
        merged["metadata"] |= {
            name: item["metadata"][name] for name in ("labels", "annotations") if name in item["metadata"]
        }
    merged.pop("status", None)
    if "status" in item:
        merged["status"] = item["status"]
    return merged


def _is_over(item: Object) -> bool:
    metadata = item["metadata"]
    held = (
        metadata.get("finalizers") or dig(item, "spec", "finalizers")
        if item["kind"] == "Namespace"
        else metadata.get("finalizers")
    )
    return bool(metadata.get("deletionTimestamp")) and not held and not metadata.get("deletionGracePeriodSeconds")


def _grace(resource: Resource, item: Object, options: Options) -> int:
    """Only pods that run somewhere get time."""
    if resource.key != ("", "pods") or not dig(item, "spec", "nodeName"):
        return 0
    if dig(item, "status", "phase") in {"Succeeded", "Failed"}:
        return 0
    if options.grace_s is not None:
        return options.grace_s
    return int(dig(item, "spec", "terminationGracePeriodSeconds", default=30))


def _write_token(last: Object, revision: int) -> str:
    text = json.dumps([namespace_of(last), name_of(last), revision])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(token: str) -> tuple[tuple[str, str], int]:
    try:
        namespace, name, revision = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise bad_request("continue key is not valid") from None
    return (namespace, name), revision
