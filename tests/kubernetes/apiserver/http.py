"""The server's face: requests of HTTP become calls of `Api`, refusals become Status answers."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import msgspec
import yaml
from aiohttp import web

from tests.kubernetes.apiserver import discovery, eviction, openapi, paths, scaling, tables, wire
from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.errors import ApiError, bad_request, unknown_path
from tests.kubernetes.apiserver.faults import Asked, Dropped, Fault, Faults
from tests.kubernetes.apiserver.objects import Object, name_of
from tests.kubernetes.apiserver.requests import Options, read_options
from tests.kubernetes.apiserver.selectors import Matches, field_selector, label_selector
from tests.kubernetes.apiserver.watching import Wish, watch

Logs = Callable[[Object, str, dict[str, str]], AsyncIterator[bytes]]
"""What a pod's container has printed: pod, container and what the query says."""

_STYLES: Final = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
    "application/apply-patch+cbor": "apply",
}
_ANSWERS_WITH_OBJECT: Final = {"pods", "services", "serviceaccounts", "persistentvolumeclaims", "namespaces"}
_OPEN_PATHS: Final = {"/healthz", "/livez", "/readyz", "/version"}
LONGEST_WATCH_S: Final = (1800.0, 3600.0)
"""A watch without a time-out of its own ends at random between."""


class Handler:
    """Answers requests.

    Args:
        api: What there is.
        faults: What a test wants to go wrong.
        tokens: Who may ask; empty: everybody.
        logs: What pods print.

    Attributes:
        bookmark_s: How often a watch hears only how far it is.
    """

    def __init__(self, api: Api, faults: Faults, tokens: set[str], logs: Logs) -> None:
        self._api = api
        self._faults = faults
        self._tokens = tokens
        self._logs = logs
        self.bookmark_s = 60.0
        self._open: set[asyncio.Task[Any]] = set()
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def close(self) -> None:
        """Ends what is still open: watches, and requests that hang."""
        waiting = list(self._open)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for transport in self._transports:
            transport.abort()  # To close it would wait for the client.
        await asyncio.sleep(0)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        task = asyncio.current_task()
        assert task is not None
        if request.transport is not None:
            self._transports.add(request.transport)
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        try:
            self._authenticate(request)
            return await self._route(request)
        except ApiError as error:
            headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
            return _json(error.status(), error.code, headers)
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    def _authenticate(self, request: web.Request) -> None:
        if not self._tokens or request.path in _OPEN_PATHS:
            return
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or token not in self._tokens:
            raise ApiError(401, "Unauthorized", "Unauthorized")

    async def _route(self, request: web.Request) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if path in {"/healthz", "/livez", "/readyz"}:
            return web.Response(text="ok")
        if path == "/version":
            return _json(discovery.version())
        if path.startswith("/openapi/"):
            return openapi.answer(self._api.resources, request)
        if path.count("/") <= 3 and (answer := self._discover(request, path)) is not None:
            return answer
        if not path.startswith(("/api/", "/apis/")):
            raise unknown_path()
        return await self._ask(request, paths.parse(self._api.resources, path))

    def _discover(self, request: web.Request, path: str) -> web.Response | None:
        resources = self._api.resources
        match path.strip("/").split("/"):
            case ["api" | "apis" as root]:
                if "as=APIGroupDiscoveryList" in request.headers.get("Accept", ""):
                    kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
                    return _json(discovery.aggregated(resources, legacy=root == "api"), kind=kind)
                return _json(discovery.legacy_versions(request.host) if root == "api" else discovery.groups(resources))
            case ["api", "v1"]:
                return _json(discovery.kinds(resources, "", "v1"))
            case ["apis", name] if name in resources.groups():
                return _json(discovery.group(name, resources.groups()[name]))
            case ["apis", name, version] if (told := discovery.kinds(resources, name, version)) is not None:
                return _json(told)
        return None

    async def _ask(self, request: web.Request, target: paths.Target) -> web.StreamResponse:
        query = request.query
        watched = query.get("watch") in {"1", "true"}
        verb = paths.verb_of(request.method, target, watch=watched)
        plural = target.resource.plural + (f"/{target.subresource}" if target.subresource else "")
        agent = request.headers.get("User-Agent", "")
        fault = await self._faults.strike(Asked(verb, plural, target.namespace, target.name, agent))
        match verb:
            case "watch":
                return await self._watch(request, target, fault)
            case "get":
                return await self._get(request, target)
            case "list":
                return self._list(request, target)
            case "delete" | "deletecollection":
                return await self._delete(request, target)
        return await self._write(request, target, verb)

    # ------------------------------------------------------------------------------------------------------- reading

    async def _get(self, request: web.Request, target: paths.Target) -> web.StreamResponse:
        item = self._api.get(target.resource, target.namespace, target.name)
        if target.subresource == "log":
            return await self._log(request, item)
        if target.subresource == "scale":
            return _json(scaling.scale_of(target.resource, item))
        return self._item(request, target, item)

    def _item(self, request: web.Request, target: paths.Target, item: Object, code: int = 200) -> web.Response:
        """One object, in the form that the client takes."""
        accept = request.headers.get("Accept", "")
        if "as=Table" in accept:
            item = self._table(request, target, item)
        elif "as=PartialObjectMetadata" in accept:
            item = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}
        return _json(item, code)

    def _list(self, request: web.Request, target: paths.Target) -> web.Response:
        query, resource = request.query, target.resource
        page = self._api.list(
            resource,
            target.namespace,
            _matches(target, request),
            int(query.get("limit") or 0),
            query.get("continue", ""),
        )
        metadata: Object = {"resourceVersion": str(page.revision)}
        if page.token:
            metadata |= {"continue": page.token, "remainingItemCount": page.left}
        accept = request.headers.get("Accept", "")
        if "as=Table" in accept:
            told = tables.table(resource, page.items, str(page.revision), query.get("includeObject", "Metadata"))
            told["metadata"] = metadata
            return _json(told)
        if "as=PartialObjectMetadataList" in accept:
            partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            items = [{**partial, "metadata": item["metadata"]} for item in page.items]
            kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        else:
            items, kind, version = page.items, f"{resource.kind}List", resource.api_version
        return _json({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, target: paths.Target, fault: Fault | None) -> web.StreamResponse:
        query = request.query
        timeout_s = float(query.get("timeoutSeconds") or random.uniform(*LONGEST_WATCH_S))
        wish = Wish(
            resource=target.resource,
            namespace=target.namespace,
            matches=_matches(target, request),
            revision=int(query.get("resourceVersion") or 0),
            initial=query.get("sendInitialEvents") == "true",
            bookmarks=query.get("allowWatchBookmarks") in {"true", "1"},
            bookmark_s=self.bookmark_s,
            timeout_s=timeout_s,
        )
        as_table = "as=Table" in request.headers.get("Accept", "")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if fault is not None and fault.hang:
            await asyncio.Event().wait()
        try:
            async with aclosing(watch(self._api, wish)) as events:
                async for event in events:
                    if as_table and event["type"] != "BOOKMARK":
                        event["object"] = self._table(request, target, event["object"])
                    await response.write(msgspec.json.encode(event) + b"\n")
                    if fault is not None and fault.drop:
                        raise Dropped
            await response.write_eof()
        except ApiError as error:
            await response.write(msgspec.json.encode({"type": "ERROR", "object": error.status()}) + b"\n")
            await response.write_eof()
        except ConnectionError:
            pass  # Whoever watched has gone.
        return response

    def _table(self, request: web.Request, target: paths.Target, item: Object) -> Object:
        whole = request.query.get("includeObject", "Metadata")
        return tables.table(target.resource, [item], item["metadata"]["resourceVersion"], whole)

    async def _log(self, request: web.Request, pod: Object) -> web.StreamResponse:
        container = request.query.get("container") or pod["spec"]["containers"][0]["name"]
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        chunks = self._logs(pod, container, dict(request.query))
        first = await anext(chunks, b"")  # What is wrong is said before the answer begins.
        await response.prepare(request)
        await response.write(first)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response

    # ------------------------------------------------------------------------------------------------------- writing

    async def _write(self, request: web.Request, target: paths.Target, verb: str) -> web.Response:
        body = await _body(request)
        options = read_options(request.query, None, request.headers.get("User-Agent", ""))
        api, resource, namespace, name, sub = (
            self._api,
            target.resource,
            target.namespace,
            target.name,
            target.subresource,
        )
        code = 200
        if verb == "create" and sub:
            return self._act(target, body)
        if verb == "create":
            item, code = api.create(resource, namespace, body, options), 201
        elif verb == "update":
            item = api.update(resource, namespace, name, body, sub, options)
        else:
            style = _STYLES.get(request.content_type)
            if style is None:
                raise ApiError(
                    415,
                    "UnsupportedMediaType",
                    f"the body of the request was in an unknown format: {request.content_type}",
                )
            known = style != "apply" or api.store.get(resource.key, namespace if resource.namespaced else "", name)
            item = api.patch(resource, namespace, name, body, style, sub, options)
            code = 200 if known else 201
        if sub == "scale":
            return _json(scaling.scale_of(resource, item), code)
        return _warned(self._item(request, target, item, code), options)

    def _act(self, target: paths.Target, body: Any) -> web.Response:
        """What is created under an object, and is none itself."""
        if target.subresource == "eviction":
            eviction.evict(self._api, target.namespace, target.name, body or {})
            return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)
        if target.subresource == "token":  # All may do everything here, so one token is as good as another.
            self._api.get(target.resource, target.namespace, target.name)
            asked = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}}
            expires = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            status = {"token": next(iter(self._tokens), ""), "expirationTimestamp": expires}
            return _json({**asked, "spec": (body or {}).get("spec") or {}, "status": status}, 201)
        raise unknown_path()

    async def _delete(self, request: web.Request, target: paths.Target) -> web.Response:
        options = read_options(request.query, await _body(request), request.headers.get("User-Agent", ""))
        api, resource = self._api, target.resource
        if target.name:
            item = api.delete(resource, target.namespace, target.name, options)
            gone = api.store.get(resource.key, target.namespace, target.name) is None
            if not gone or resource.plural in _ANSWERS_WITH_OBJECT:
                return self._item(request, target, item)
            details = {"name": target.name, "kind": resource.plural, "uid": item["metadata"]["uid"]}
            if resource.group:
                details["group"] = resource.group
            return _json(
                {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
            )
        page = api.list(resource, target.namespace, _matches(target, request))
        for item in page.items:
            api.delete(resource, item["metadata"].get("namespace", ""), name_of(item), options)
        metadata = {"resourceVersion": str(api.store.revision)}
        return _json(
            {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": metadata,
                "items": page.items,
            }
        )


def _matches(target: paths.Target, request: web.Request) -> Matches:
    tests = [
        label_selector(request.query.get("labelSelector", "")),
        field_selector(request.query.get("fieldSelector", "")),
    ]
    if target.name:
        tests.append(lambda item: name_of(item) == target.name)
    return lambda item: all(test(item) for test in tests)


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return None
    if raw.startswith(wire.MAGIC):
        return wire.read(raw)
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        try:
            return yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise bad_request(f"the object provided is unrecognized: {error}") from None


def _json(
    value: Any, code: int = 200, headers: dict[str, str] | None = None, kind: str = "application/json"
) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=code, headers={**(headers or {}), "Content-Type": kind})


def _warned(response: web.Response, options: Options) -> web.Response:
    for warning in options.warnings:
        response.headers.add("Warning", f'299 - "{warning}"')
    return response
