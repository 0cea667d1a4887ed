"""Where an agent meets clients: on the port that it has for other agents, or on one of their own.

gRPC demands a certificate of everybody on a port or of nobody. Agents and engines have one, clients have a token: with
TLS there are two ports.
"""

from __future__ import annotations

import grpc

from limnad_proto.channels import CHANNEL_OPTIONS, add_secure_port
from limnad_proto.tls import own_tls, server_credentials
from limnad_worker.admission import LARGE_BYTES, Admission

HANDSHAKE_MS = 10_000
"""How long a connection may take until it speaks HTTP/2: who says nothing holds nothing."""

MAX_CALLS_OF_ALL = 4096
"""At once: beyond it gRPC itself answers RESOURCE_EXHAUSTED."""

PROBE_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", 4096),
    ("grpc.max_concurrent_streams", 16),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    ("grpc.so_reuseport", 0),
]


def make_front(admission: Admission, max_message_bytes: int) -> grpc.aio.Server:
    """A server for clients alone: no message is read further than the longest one may be.

    Args:
        admission: Who is let in.
        max_message_bytes: Of a pushed batch.
    """
    limits = {
        "grpc.max_receive_message_length": max(max_message_bytes, LARGE_BYTES),
        # More than one client may have, so that it is told instead of made to wait.
        "grpc.max_concurrent_streams": 2 * admission.max_calls,
        "grpc.server_handshake_timeout_ms": HANDSHAKE_MS,
    }
    options = [*((name, value) for name, value in CHANNEL_OPTIONS if name not in limits), *limits.items()]
    return grpc.aio.server(interceptors=[admission], options=options, maximum_concurrent_rpcs=MAX_CALLS_OF_ALL)


def listen_for_clients(server: grpc.aio.Server, host: str, port: int) -> int:
    """Has it listen, with TLS if the agent has certificates; returns the port.

    Raises:
        RuntimeError: The port is taken.
    """
    tls = own_tls()
    if tls is None:
        return server.add_insecure_port(f"{host}:{port}")
    return add_secure_port(server, f"{host}:{port}", server_credentials(tls, callers_have_certificates=False))
