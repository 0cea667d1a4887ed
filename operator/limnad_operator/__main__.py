"""``python -m limnad_operator``, ``limnad-operator``: runs the operator until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys

from limnad.errors import ClusterError
from limnad_operator.api import ApiError, connect
from limnad_operator.lease import Lease
from limnad_operator.logs import set_up
from limnad_operator.settings import Settings, load, own_name, own_namespace
from limnad_operator.shell.calling import ThreadedApi
from limnad_operator.shell.leaders import GrpcLeaders
from limnad_operator.shell.operator import Operator
from limnad_operator.shell.serving import serve
from limnad_operator.shell.views import WATCHED


def main() -> None:
    """Reads the command line."""
    try:
        settings = load(sys.argv[1:])
        set_up(settings.log_format, settings.log_level)
        sys.exit(asyncio.run(_run(settings)))
    except (ClusterError, ApiError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - nothing else is there yet
        sys.exit(2)


async def _run(settings: Settings) -> int:
    api = connect(str(settings.kubeconfig) if settings.kubeconfig else None, settings.watch)
    identity = settings.identity or own_name()
    lease = Lease(identity, settings.lease, settings.lease_namespace or own_namespace())
    namespaces = settings.namespaces or (own_namespace(),)
    operator = Operator(
        ThreadedApi(api, watches=len(WATCHED) * len(namespaces)),
        GrpcLeaders(),
        namespaces,
        lease,
        deployment=settings.lease_owner,
        resync_s=settings.resync,
        by_service=settings.reach == "service",
    )
    host, _, port = settings.listen.rpartition(":")
    try:
        runner = await serve(operator, host.strip("[]"), int(port))
    except OSError as error:
        raise ClusterError(
            f"port {port} on {host} cannot be had for metrics ({error}): choose another --listen"
        ) from None
    served = runner.addresses[0]
    sys.stdout.write(json.dumps({"address": f"{served[0]}:{served[1]}", "identity": identity}) + "\n")
    sys.stdout.flush()
    running = asyncio.ensure_future(operator.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    logging.getLogger("limnad_operator").info("%s watches %s", identity, ", ".join(namespaces))
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await runner.cleanup()
    return 0


if __name__ == "__main__":
    main()
