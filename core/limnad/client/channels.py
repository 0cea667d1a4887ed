"""How a client reaches a cluster."""

from __future__ import annotations

import grpc

from limnad.errors import ClusterError

_OPTIONS = [
    # A leader that is stopped or cut off is noticed after twice this time, not when somebody gives up waiting.
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.ping_timeout_ms", 3000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    # A leader that was restarted is looked for again soon.
    ("grpc.max_reconnect_backoff_ms", 1000),
]


def open_channel(address: str, token: str | None, tls: str | None) -> grpc.Channel:
    """A channel to a leader: the one place where a client's credentials come from.

    Args:
        address: ``"HOST:PORT"``.
        token: A bearer token; None: none is sent.
        tls: The certificate authority's file; None: plain text.

    Raises:
        ClusterError: There is a token, or TLS is wanted: clusters have neither yet.
    """
    if token is not None or tls is not None:
        raise ClusterError("clusters have neither tokens nor TLS yet: leave token and tls out")
    return grpc.insecure_channel(address, options=_OPTIONS)
