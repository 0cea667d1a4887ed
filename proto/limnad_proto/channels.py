"""How the channels between processes are set up: a part of the contract, because both ends have to agree on pings."""

import os
from weakref import WeakKeyDictionary

import grpc.aio

from limnad_proto.callers import Callers
from limnad_proto.messages import WholeMessages
from limnad_proto.pings import ping_options
from limnad_proto.tls import Role, channel_credentials, own_tls, server_credentials

_PROXY = os.environ.get("LIMNAD_LINK_PROXY", "")
"""URL of a proxy for the links of this process: a drill's, which cuts them."""

CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Each engine is told an exact address: a name service, a proxy that is meant for something else, or another
    # engine's connection must not interfere.
    *([("grpc.http_proxy", _PROXY)] if _PROXY else [("grpc.enable_http_proxy", 0)]),
    ("grpc.use_local_subchannel_pool", 1),
    # Two processes on one port would each get some of the calls.
    ("grpc.so_reuseport", 0),
    *ping_options(),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
]

_KEPT: WeakKeyDictionary[grpc.aio.Server, list[grpc.ServerCredentials]] = WeakKeyDictionary()


def open_channel(address: str, role: Role) -> grpc.aio.Channel:
    """A channel to another process of the cluster: the one place where its credentials come from.

    Args:
        address: Where it listens.
        role: What it has to be, and to prove by its certificate if the cluster uses TLS.
    """
    tls = own_tls()
    if tls is None or not tls.covers(role):
        return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
    options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", tls.name(role))]
    return grpc.aio.secure_channel(address, channel_credentials(tls), options=options)


def make_server(role: Role, *guards: grpc.aio.ServerInterceptor) -> grpc.aio.Server:
    """A server for other processes of the cluster.

    Args:
        role: What this process is to them.
        guards: What else looks at each call.
    """
    tls = own_tls()
    callers = [Callers(tls)] if tls is not None and tls.covers(role) else []
    return grpc.aio.server(interceptors=[*callers, *guards, WholeMessages()], options=CHANNEL_OPTIONS)


def listen(server: grpc.aio.Server, role: Role, host: str, port: int = 0) -> int:
    """Has a server listen, and returns the port: the one place where its credentials come from.

    Raises:
        RuntimeError: The port is taken.
    """
    tls = own_tls()
    if tls is None or not tls.covers(role):
        return server.add_insecure_port(f"{host}:{port}")
    return add_secure_port(server, f"{host}:{port}", server_credentials(tls, callers_have_certificates=True))


def add_secure_port(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    """Has a server listen with credentials, which live as long as it does: gRPC itself asks them, and keeps no count.

    Raises:
        RuntimeError: The port is taken.
    """
    _KEPT.setdefault(server, []).append(credentials)
    return server.add_secure_port(address, credentials)
