"""How a client reaches a cluster: the one place where its credentials come from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from limnad.errors import ClusterError
from limnad_proto.loopback import is_loopback
from limnad_proto.pings import ping_options
from limnad_proto.rereading import Rereading
from limnad_proto.tokens import Tokens, as_metadata, can_be_sent
from limnad_proto.v1 import jobs_pb2_grpc


def channel_options() -> list[tuple[str, int | str]]:
    """What each channel to a leader is made with.

    Raises:
        ClusterError: A variable of the environment makes no sense.
    """
    try:
        pings = ping_options()
    except ValueError as error:
        raise ClusterError(str(error)) from None
    return [
        *pings,
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_http_proxy", 0),
        # A leader that was restarted is looked for again soon.
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


@dataclass(frozen=True, slots=True)
class Tls:
    """How a client speaks TLS.

    Attributes:
        authorities: The file (PEM) of the authorities that the leader's certificate is checked against, read again when
            it changes; None: those of this machine.
        name: The name that the certificate has to have; None: the host of the address.
    """

    authorities: str | None = None
    name: str | None = None


class Line:
    """A client's way to a leader.

    Args:
        address: ``"HOST:PORT"``.
        token: A bearer token; None: that of the file, if there is one.
        token_file: Its first token is sent; it is read again when it changes.
        tls: None: plain text.
        insecure: Send a token in plain text to another machine.

    Raises:
        ClusterError: A file cannot be used, or a token would go in plain text to another machine.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        token_file: str | None = None,
        tls: Tls | None = None,
        *,
        insecure: bool = False,
    ) -> None:
        has_token = token is not None or token_file is not None
        if has_token and tls is None and not insecure and not is_loopback(address.rpartition(":")[0]):
            raise ClusterError(
                f"the token would go to {address} in plain text: say whose authority TLS is checked by (--tls-ca, "
                "LIMNAD_TLS_CA, tls=), or --insecure (insecure=True) if the network between is yours alone"
            )
        self._address = address
        self._name = tls.name if tls is not None else None
        self._secure = tls is not None
        try:
            self._token = _token(token, token_file)
            self._authorities = _authorities(tls)
        except ValueError as error:
            raise ClusterError(str(error)) from None
        self._channels: list[grpc.Channel] = []
        self._closed = False
        self._has_token = has_token
        self._lock = threading.Lock()  # An `AsyncClient` calls from many threads.
        self._used = self._authorities()
        self._stub = self._open(self._used)

    @property
    def jobs(self) -> jobs_pb2_grpc.JobServiceStub:
        """The leader's service: over a new channel if authorities have changed. Calls that go on stay on the old."""
        authorities = self._authorities()
        with self._lock:
            if authorities != self._used:
                self._used, self._stub = authorities, self._open(authorities)
            return self._stub

    def close(self) -> None:
        """Hangs up."""
        self._closed = True
        for channel in self._channels:
            channel.close()

    def _open(self, authorities: bytes | None) -> jobs_pb2_grpc.JobServiceStub:
        if not self._secure:
            channel = grpc.insecure_channel(self._address, options=channel_options())
        else:
            named = [("grpc.ssl_target_name_override", self._name)] if self._name else []
            credentials = grpc.ssl_channel_credentials(authorities)
            channel = grpc.secure_channel(self._address, credentials, options=[*channel_options(), *named])
        self._channels.append(channel)
        if (
            not self._has_token
        ):  # An intercepted call looks its method up anew, which crashes once the channel is closed.
            return jobs_pb2_grpc.JobServiceStub(channel)
        return jobs_pb2_grpc.JobServiceStub(grpc.intercept_channel(channel, _Bearer(self._token, lambda: self._closed)))


def _token(token: str | None, file: str | None) -> Callable[[], str]:
    if token is not None and not can_be_sent(token):
        raise ValueError("the token is none: one is ASCII, without spaces and line ends")
    if token is not None or file is None:
        return lambda: token or ""
    tokens = Tokens(file)
    return lambda: tokens.first


def _authorities(tls: Tls | None) -> Callable[[], bytes | None]:
    if tls is None or tls.authorities is None:
        return lambda: None
    file = Path(tls.authorities)
    try:
        return Rereading([file], lambda contents: contents[0]).get
    except OSError as error:
        raise ValueError(f"the file of authorities {tls.authorities!r} cannot be read: {error.strerror}") from None


class _Details(grpc.ClientCallDetails):
    """A call's details with a token."""

    def __init__(self, details: Any, token: str) -> None:
        self.method = details.method
        self.timeout = details.timeout
        self.metadata = (*(details.metadata or ()), *as_metadata(token))
        self.credentials = details.credentials
        self.wait_for_ready = details.wait_for_ready
        self.compression = details.compression


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends the token with each call."""

    def __init__(self, token: Callable[[], str], closed: Callable[[], bool]) -> None:
        self._token = token
        self._closed = closed

    def _pass_on(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        if self._closed():
            raise ValueError("Cannot invoke RPC on closed channel!")
        return continuation(_Details(details, self._token()), request)

    intercept_unary_unary: Any = _pass_on
    intercept_unary_stream: Any = _pass_on
    intercept_stream_unary: Any = _pass_on
    intercept_stream_stream: Any = _pass_on
