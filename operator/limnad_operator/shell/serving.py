"""What the operator serves over HTTP: metrics, and whether it lives and works."""

from __future__ import annotations

from aiohttp import web

from limnad_operator.shell.operator import Operator


async def serve(operator: Operator, host: str, port: int) -> web.AppRunner:
    """Serves until the runner is cleaned up.

    Raises:
        OSError: The port cannot be had.
    """

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=operator.measures.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        if operator.reached:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the API server has not answered yet\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", alive), web.get("/readyz", ready)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
