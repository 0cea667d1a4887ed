"""What an object has to be before it is kept: of the right kind, well-named, as its schema and its rules say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tests.kubernetes.apiserver import pruning, rules, strategies, validation
from tests.kubernetes.apiserver.definitions import object_meta
from tests.kubernetes.apiserver.errors import ApiError, Cause, bad_request, invalid
from tests.kubernetes.apiserver.objects import Object, labels_of, name_of
from tests.kubernetes.apiserver.requests import Options
from tests.kubernetes.apiserver.resources import Resource

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)
_LABEL_NAME: Final = re.compile(r"([^/]+/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_FREELY_NAMED: Final = "rbac.authorization.k8s.io"


def read(resource: Resource, item: Any, namespace: str) -> Object:
    """A body as an object of its kind.

    Raises:
        ApiError: It is another kind's, or another namespace's.
    """
    if not isinstance(item, dict):
        raise bad_request("the body of the request is no object")
    version, found_kind = item.setdefault("apiVersion", resource.api_version), item.setdefault("kind", resource.kind)
    if version != resource.api_version:
        expected = f"the expected API version ({resource.api_version})"
        raise bad_request(f"the API version in the data ({version}) does not match {expected}")
    if found_kind != resource.kind:
        raise bad_request(f"the kind in the data ({found_kind}) does not match the expected kind ({resource.kind})")
    metadata = item.setdefault("metadata", {}) or {}
    item["metadata"] = metadata
    if resource.namespaced:
        if metadata.setdefault("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata.pop("namespace", None)
    return item


def clean(resource: Resource, item: Object, options: Options) -> None:
    """Takes unknown fields away, or refuses them; puts in the defaults of a custom schema.

    Raises:
        ApiError: There are unknown fields, and the client wants to know (400).
    """
    if not resource.custom:
        _drop_nulls(item)
    dropped = pruning.prune(resource.schema, item) if resource.schema else []
    if dropped and options.validation == "Strict":
        unknown = ", ".join(f'unknown field "{path}"' for path in dropped)
        what = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise bad_request(f"{what}: strict decoding error: {unknown}")
    if options.validation != "Ignore":
        options.warnings.extend(f'unknown field "{path}"' for path in dropped)
    if resource.custom:
        pruning.apply_defaults(resource.schema, item)


def _drop_nulls(value: Any) -> None:
    if isinstance(value, dict):
        for name in [name for name, each in value.items() if each is None]:
            del value[name]
        for each in value.values():
            _drop_nulls(each)
    elif isinstance(value, list):
        for each in value:
            _drop_nulls(each)


def check(resource: Resource, item: Object, old: Object | None) -> None:
    """Refuses what is wrong.

    Raises:
        ApiError: All that is wrong (422).
    """
    causes = [*_metadata(resource, item), *validation.validate(resource.schema, item)]
    if not causes and resource.custom:
        causes += rules.broken_rules(resource.schema, item, rules.MISSING if old is None else old)
    if not causes and old is not None and not resource.custom:
        causes += strategies.refuse_change(resource.key, item, old)
    if causes:
        raise invalid(resource.kind, resource.group, name_of(item), causes)


def require_shape(resource: Resource, item: Object) -> None:
    """Refuses what defaults could not be put into.

    Raises:
        ApiError: As `check`.
    """
    if causes := list(validation.validate(resource.schema, item)):
        raise invalid(resource.kind, resource.group, name_of(item), causes)


def _metadata(resource: Resource, item: Object) -> Iterator[Cause]:
    name = name_of(item)
    if not name:
        yield Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
    elif resource.group != _FREELY_NAMED and (len(name) > 253 or not _SUBDOMAIN.fullmatch(name)):
        rule = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
        yield Cause("metadata.name", f'Invalid value: "{name}": {rule}')
    yield from validation.validate(object_meta(), item["metadata"], "metadata")
    for key, value in labels_of(item).items():
        if not _LABEL_NAME.fullmatch(key):
            yield Cause("metadata.labels", f'Invalid value: "{key}": name part must consist of alphanumeric characters')
        if len(value) > 63:
            yield Cause("metadata.labels", f'Invalid value: "{value}": must be no more than 63 bytes')
        elif not _LABEL_VALUE.fullmatch(value):
            yield Cause("metadata.labels", f'Invalid value: "{value}": {_LABEL_RULE}')


def same_but_for_time(one: Object, other: Object) -> bool:
    """Whether a write would change nothing."""
    return _bare(one) == _bare(other)


def _bare(item: Object) -> Object:
    fields = [{**each, "time": ""} for each in item["metadata"].get("managedFields") or []]
    return {**item, "metadata": {**item["metadata"], "managedFields": fields, "resourceVersion": ""}}


def unchanged_meta(new: Object, old: Object) -> ApiError | None:
    """What is wrong with metadata that came with an update."""
    if old["metadata"].get("deletionTimestamp"):
        added = set(new["metadata"].get("finalizers") or []) - set(old["metadata"].get("finalizers") or [])
        if added:
            told = "Forbidden: no new finalizers can be added if the object is being deleted"
            cause = Cause("metadata.finalizers", f"{told}, found new {sorted(added)}", "FieldValueForbidden")
            return invalid(new["kind"], new["apiVersion"].rpartition("/")[0], name_of(new), [cause])
    return None
