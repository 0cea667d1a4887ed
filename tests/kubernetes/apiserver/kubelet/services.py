"""Services as pods see them: names in ``/etc/hosts``, and addresses that pass connections on to a pod that is ready."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.controllers.controller import Controller, Key
from tests.kubernetes.apiserver.controllers.endpoints import ENDPOINTS, SERVICES, target_port
from tests.kubernetes.apiserver.kubelet.network import GATEWAY, Forwards, Network, Where
from tests.kubernetes.apiserver.objects import Object, dig, name_of, namespace_of
from tests.kubernetes.apiserver.store import Change

DOMAIN: Final = "cluster.local"
NO_SERVER: Final = f"nameserver {GATEWAY}\noptions timeout:1 attempts:1\n"
"""Whoever asks for a name that is not in ``hosts`` is refused at once."""


class Services(Controller):
    """Looks at one Service.

    Args:
        api: What there is.
        network: Of the pods.
        forwards: Ways into it.
        folder: Where the names of each namespace are written.
    """

    def __init__(self, api: Api, network: Network, forwards: Forwards, folder: Path) -> None:
        super().__init__(api)
        self._network = network
        self._forwards = forwards
        self._folder = folder
        self._tasks: set[asyncio.Task[None]] = set()
        self._served: dict[Key, tuple[Object, list[asyncio.Server]]] = {}

    def names(self, namespace: str) -> Path:
        """The folder with what the pods of a namespace call each other."""
        folder = self._folder / namespace
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "resolv.conf").write_text(NO_SERVER)
            self._write(namespace)
        return folder

    def concerns(self, change: Change) -> Iterable[Key]:
        """A Service, and that of endpoints."""
        if change.kind in {SERVICES, ENDPOINTS}:
            return [(namespace_of(change.item), name_of(change.item))]
        return []

    def look(self, namespace: str, name: str) -> None:
        """At one Service."""
        for folder in self._folder.iterdir():
            self._write(folder.name)
        service = self.find(SERVICES, namespace, name)
        known = self._served.get((namespace, name))
        if known is not None and (service is None or known[0]["spec"] != service["spec"]):
            for server in known[1]:
                server.close()
            if dig(known[0], "spec", "clusterIP", default="None") != "None":
                self._network.remove_address(known[0]["spec"]["clusterIP"])
            del self._served[namespace, name]
            known = None
        if service is not None and known is None and dig(service, "spec", "clusterIP", default="None") != "None":
            servers: list[asyncio.Server] = []
            self._served[namespace, name] = service, servers
            self._network.add_address(service["spec"]["clusterIP"])
            task = asyncio.ensure_future(self._serve(service, servers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, service: Object, servers: list[asyncio.Server]) -> None:
        key = namespace_of(service), name_of(service)
        for port in service["spec"].get("ports") or []:
            where = self._target(key, port)
            servers.append(await self._forwards.inside(where, service["spec"]["clusterIP"], port["port"]))

    def _target(self, key: Key, port: Object) -> Where:
        turns = itertools.count()

        def where() -> tuple[str, int] | None:
            endpoints = self.find(ENDPOINTS, *key)
            ready = [each for subset in dig(endpoints, "subsets", default=[]) for each in subset.get("addresses") or []]
            if not ready:
                return None
            chosen = ready[next(turns) % len(ready)]
            pod = self.find(("", "pods"), key[0], chosen["targetRef"]["name"])
            return (chosen["ip"], target_port(port, pod)) if pod is not None else None

        return where

    def _write(self, namespace: str) -> None:
        lines = ["127.0.0.1 localhost", f"{GATEWAY} kubernetes.default.svc kubernetes.default.svc.{DOMAIN}"]
        for service in self.api.store.items(SERVICES):
            lines += self._lines(service, namespace)
        path = self._folder / namespace / "hosts"
        scratch = path.with_name("hosts.new")
        scratch.write_text("\n".join(lines) + "\n")
        scratch.replace(path)

    def _lines(self, service: Object, namespace: str) -> Iterator[str]:
        name, home = name_of(service), namespace_of(service)
        full = [f"{name}.{home}", f"{name}.{home}.svc", f"{name}.{home}.svc.{DOMAIN}"]
        names = [name, *full] if home == namespace else full
        address = dig(service, "spec", "clusterIP", default="None")
        if address != "None":
            yield f"{address} {' '.join(names)}"
            return
        endpoints = self.find(ENDPOINTS, home, name)
        for subset in dig(endpoints, "subsets", default=[]):
            for each in subset.get("addresses") or []:
                host = each.get("hostname")
                own = [f"{host}.{each_name}" for each_name in names] if host else []
                yield f"{each['ip']} {' '.join((*names, *own))}"
