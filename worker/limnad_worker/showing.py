"""The leader's jobs on its page: what `limnad_worker.page` is to show, and to whom."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from limnad_proto.v1 import jobs_pb2
from limnad_worker.entries import AskAgain
from limnad_worker.leading import Leader
from limnad_worker.page import NotYet, Page


async def open_page(
    leader: Leader,
    host: str,
    port: int,
    *,
    authorised: Callable[[str], bool] | None = None,
    tls: ssl.SSLContext | None = None,
    exposed: bool = False,
) -> Page:
    """Serves a leader's page.

    Args:
        leader: It need not lead yet: until it does, the page says so.
        host: The interface.
        port: 0: any.
        authorised: Whether a bearer token is one of the cluster's; None: the cluster has none.
        tls: Serve over TLS.
        exposed: See `Page`.

    Raises:
        ValueError: The interface is not loopback, and there is no token.
        OSError: The port is taken.
    """
    page = Page(_Shown(leader), authorised, exposed=exposed)
    await page.start(host, port, tls)
    return page


class _Shown:
    """See `limnad_worker.page.Jobs`."""

    def __init__(self, leader: Leader) -> None:
        self._leader = leader

    def all(self) -> list[jobs_pb2.JobView]:
        try:
            return [job.snapshot() for job in self._leader.listed()]
        except AskAgain as error:
            raise NotYet(str(error)) from None

    def one(self, name: str) -> jobs_pb2.JobView:
        try:
            return self._leader.job(name).snapshot()
        except AskAgain as error:
            raise NotYet(str(error)) from None
