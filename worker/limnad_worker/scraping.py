"""Serves metrics to Prometheus: over the agent's TLS and behind the cluster's tokens, where it has them."""

from __future__ import annotations

import asyncio
import ssl

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from limnad_proto.tokens import METADATA, Tokens, bearer
from limnad_worker.metrics import AgentMetrics

CLOSE_S = 1.0
"""How long a scrape may go on when the agent stops."""


class MetricsServer:
    """Serves an agent's metrics, and those of its process.

    Args:
        metrics: The agent's.
        tokens: Who may read them; None: everybody who can reach it.
    """

    def __init__(self, metrics: AgentMetrics, tokens: Tokens | None) -> None:
        self._tokens = tokens
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(metrics)
        ProcessCollector(registry=self._registry)
        application = web.Application()
        application.add_routes([web.get("/metrics", self._answer)])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_S, handle_signals=False)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> str:
        """Listens; returns the URL.

        Raises:
            OSError: The port is taken.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if tls else 'http'}://{shown}:{self._runner.addresses[0][1]}/metrics"

    async def stop(self) -> None:
        """Hangs up."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        if self._tokens is not None and not self._tokens.admit(bearer({METADATA: request.headers.get(METADATA, "")})):
            sentence = "this needs one of the cluster's tokens, as: Authorization: Bearer TOKEN\n"
            return web.Response(status=401, text=sentence, headers={"WWW-Authenticate": 'Bearer realm="limnad"'})
        encode, kind = choose_encoder(request.headers.get("Accept", ""))
        # In a thread: it asks the event loop, which is this one.
        told = await asyncio.to_thread(encode, self._registry)
        response = web.Response(body=told, headers={"Content-Type": kind})
        response.enable_compression()
        return response
