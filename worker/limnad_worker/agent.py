"""The agent: one process for each machine, or for each slot of one. It never runs user code.

It has a host for engines and serves health; the agent of index 0 is the leader besides, all others are members. It is
ready as soon as it serves, whether there is a leader yet or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from limnad.timely.progress import Accumulation
from limnad_proto.channels import listen, make_server
from limnad_proto.tls import Role, own_tls, web_context
from limnad_proto.tokens import Tokens
from limnad_proto.v1 import hosts_pb2, jobs_pb2
from limnad_worker.admission import MAX_CALLS, MAX_MESSAGE_BYTES, Admission
from limnad_worker.archives import Archives
from limnad_worker.books import Books
from limnad_worker.front import PROBE_OPTIONS, listen_for_clients, make_front
from limnad_worker.host import Host
from limnad_worker.hosts import GATHER_S, Hosts
from limnad_worker.jobs import JobService
from limnad_worker.leading import Leader
from limnad_worker.member import Member, resolver

if TYPE_CHECKING:
    from limnad_worker.page import Page
    from limnad_worker.scraping import MetricsServer

ANYWHERE = {"0.0.0.0", "::", "[::]", ""}  # noqa: S104 - compared with, not listened on
"""Interfaces that nobody can be told as an address."""


class CannotServe(Exception):
    """An address that the agent is to listen on cannot be had; says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an agent is to be; `limnad_worker.settings` says what each means to a user.

    Attributes:
        index: 0 leads.
        peers: Addresses of all agents, by index; or
        peers_dns: a name that stands for them.
        host: The interface to listen on.
        port: 0: any.
        clients: Interface and port where clients are served; None: where other agents are.
        probes: Interface and port where health alone is served, in plain text; None: nowhere.
        token_file: With the tokens of clients; None: they need none.
        insecure: Whether it may be open to others without TLS or tokens: somebody has said so.
        max_message_bytes: Of a client.
        max_calls: Of a client, at once.
        advertise: The host part of the address that others are told; empty: that of ``host``.
        slots: How many workers of one job this host is made for.
        memory_bytes: For each engine.
        agents: How many agents are expected.
        gather_s: How long the leader waits for them before it starts jobs without them.
        warm: How many warm engines to begin with.
        spares: How many to keep.
        store: The cluster's; empty: the leader's memory.
        cache: A folder for archives; None: one of its own for as long as it lives.
        accept_paths: Whether clients of this machine may name a job file instead of an archive.
        metrics_port: Where the leader serves metrics for Prometheus; 0: any; None: nowhere.
        metrics_open: Whether that is in plain text and without a token, whatever the rest is.
        progress: How jobs that do not say it gather their progress updates.
        coordinator: See `Hosts`.
        shared_paths: See `Hosts`.
        ui: Interface and port where the leader serves its page; port 0: any; None: nowhere.
    """

    index: int = 0
    peers: tuple[str, ...] = ()
    peers_dns: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    clients: tuple[str, int] | None = None
    probes: tuple[str, int] | None = None
    token_file: Path | None = None
    insecure: bool = False
    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_calls: int = MAX_CALLS
    advertise: str = ""
    slots: int = 1
    memory_bytes: int | None = None
    agents: int = 1
    gather_s: float = GATHER_S
    warm: int = 1
    spares: int = 0
    store: str = ""
    cache: Path | None = None
    accept_paths: bool = False
    metrics_port: int | None = None
    metrics_open: bool = False
    progress: Accumulation = Accumulation.LOCAL
    coordinator: str = ""
    shared_paths: bool = False
    ui: tuple[str, int] | None = None


class Agent:
    """One agent.

    Attributes:
        address: What others are told, once it has started.
        urls: What else it serves: ``clients``, if that is another address, ``probes``, ``metrics``, ``ui`` (its page).

    Raises:
        CannotServe: Files for TLS or of tokens cannot be used.
    """

    def __init__(self, options: Options) -> None:
        try:
            self._tls = own_tls()
            self._tokens = None if options.token_file is None else Tokens(options.token_file)
        except ValueError as error:
            raise CannotServe(str(error)) from None
        self._options = options
        self._advertised = options.advertise or _own_address(options.host)
        self._cache = options.cache or Path(tempfile.gettempdir()) / f"limnad-{os.getpid()}-{secrets.token_hex(4)}"
        self._host = Host(options.slots, self._advertised, self._cache, options.memory_bytes, lambda _: None)
        # Agents that have no certificates show a client's token to each other.
        admission = Admission(self._tokens, options.max_message_bytes, options.max_calls, members=self._tls is None)
        role = self._role = Role.LEADER if options.index == 0 else Role.WORKER
        self._server = self._front = make_server(role, *([admission] if self._tls is None else []))
        if options.clients is not None:
            self._front = make_front(admission, options.max_message_bytes)
        self._health: Any = health.aio.HealthServicer()
        self._probes: grpc.aio.Server | None = None
        self._metrics: MetricsServer | None = None
        self._leader: Leader | None = None
        self._member: Member | None = None
        self._membership: asyncio.Task[None] | None = None
        self.address = ""
        self.urls: dict[str, str] = {}
        self._page: Page | None = None

    async def start(self) -> None:
        """Listens, and begins its part.

        Raises:
            CannotServe: See there.
        """
        options = self._options
        info = hosts_pb2.HostInfo(
            uid=secrets.token_hex(8), index=options.index, slots=options.slots, build=version("limnad")
        )
        if options.index == 0:
            self._leader = self._make_leader(info)
            self._leader.register(self._server)
            JobService(self._leader).register(self._front)
        else:
            resolve = resolver(options.peers, options.peers_dns, options.port)
            self._member = Member(info, self._host, resolve, self._tokens if self._tls is None else None)
            self._front.add_generic_rpc_handlers((self._member,))
        self._add_health()
        self.address = info.address = f"{self._advertised}:{self._listen()}"
        await self._open_others()
        if self._leader is not None:
            # An agent that cannot be what it is to be must not take the lead.
            if options.ui is not None:
                self._page = await self._open_page(self._leader, *options.ui)
                self.urls["ui"] = self._page.url
            if options.metrics_port is not None:
                self.urls["metrics"] = await self._serve_metrics(self._leader, options.metrics_port)
        await self._server.start()
        if self._front is not self._server:
            await self._front.start()
        if self._leader is not None:
            await self._leader.start(self.address)
        if self._member is not None:
            self._membership = asyncio.get_running_loop().create_task(self._member.run())

    def _make_leader(self, info: hosts_pb2.HostInfo) -> Leader:
        options = self._options
        hosts = Hosts(
            host=self._advertised,
            build=info.build,
            uid=info.uid,
            expected=options.agents,
            warm=options.warm,
            spares=options.spares,
            gather_s=options.gather_s,
            progress=options.progress,
            coordinator=options.coordinator,
            shared_paths=options.shared_paths,
        )
        books = Books(options.store, info.uid) if options.store else None
        archives = Archives(self._cache, books)
        return Leader(info, self._host, hosts, archives, books, accept_paths=options.accept_paths)

    async def _serve_metrics(self, leader: Leader, port: int) -> str:
        from limnad_worker.metrics import AgentMetrics
        from limnad_worker.scraping import MetricsServer  # its HTTP server takes a while to import

        metrics = AgentMetrics(lambda: leader.jobs)
        leader.hosts.keep(metrics.watch())
        options = self._options
        self._metrics = MetricsServer(metrics, None if options.metrics_open else self._tokens)
        tls = None if options.metrics_open or self._tls is None else web_context(self._tls)
        try:
            return await self._metrics.start(options.host.strip("[]"), port, tls)
        except OSError as error:
            raise CannotServe(f"port {port} on {options.host} cannot be had for metrics: {error}") from None

    def _listen(self) -> int:
        options = self._options
        with _had(options.host, options.port):
            return listen(self._server, self._role, options.host, options.port)

    async def _open_others(self) -> None:
        """Listens for clients and for probes, where these have ports of their own."""
        options = self._options
        if options.clients is not None:
            with _had(*options.clients):
                port = listen_for_clients(self._front, *options.clients)
            self.urls["clients"] = f"{options.advertise or _own_address(options.clients[0])}:{port}"
        if options.probes is not None:
            self._probes = grpc.aio.server(options=PROBE_OPTIONS)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probes)
            host, port = options.probes
            with _had(host, port):
                self.urls["probes"] = f"{host}:{self._probes.add_insecure_port(f'{host}:{port}')}"
            await self._probes.start()

    async def _open_page(self, leader: Leader, host: str, port: int) -> Page:
        from limnad_worker.showing import open_page  # its HTTP server takes a while to import

        try:
            return await open_page(
                leader,
                host,
                port,
                authorised=None if self._tokens is None else self._tokens.admit,
                tls=None if self._tls is None else web_context(self._tls),
                exposed=self._options.insecure,
            )
        except OSError as error:
            why = str(error.strerror).rpartition(": ")[2]
            raise CannotServe(
                f"port {port} on {host} cannot be had for the page ({why}): choose another, or 0 for any"
            ) from None
        except ValueError as error:
            raise CannotServe(str(error)) from None

    @property
    def deposed(self) -> asyncio.Event:
        """Set when another leader has taken over."""
        return self._leader.deposed if self._leader is not None else asyncio.Event()

    def _add_health(self) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._front)
        jobs = jobs_pb2.DESCRIPTOR.services_by_name["JobService"].full_name
        names = [health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection([*names, jobs] if self._leader is not None else names, self._front)

    async def leave(self, patience_s: float) -> None:
        """Saves what engines have done, here or elsewhere, as far as that can be done in time."""
        if self._member is not None:
            await self._member.leave(patience_s)
        elif self._leader is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._leader.leave()

    async def stop(self) -> None:
        """Ends all engines, then the server."""
        if self._page is not None:
            await self._page.stop()
        if self._metrics is not None:
            await self._metrics.stop()
        if self._leader is not None:
            await self._leader.stop()
        if self._membership is not None:
            self._membership.cancel()
        await self._host.stop()
        servers = {self._server, self._front, *([self._probes] if self._probes is not None else [])}
        await asyncio.gather(*[server.stop(0.2) for server in servers])
        if self._options.cache is None:
            shutil.rmtree(self._cache, ignore_errors=True)


@contextlib.contextmanager
def _had(host: str, port: int) -> Iterator[None]:
    """Says which address cannot be had."""
    try:
        yield
    except RuntimeError:
        raise CannotServe(f"port {port} on {host} is taken: choose another, or 0 for any") from None


def _own_address(host: str) -> str:
    """What to tell others who are to reach an interface."""
    return socket.gethostbyname(socket.gethostname()) if host in ANYWHERE else host
