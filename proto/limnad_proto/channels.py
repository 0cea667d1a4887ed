"""How the channels between processes are set up: a part of the contract, because both ends have to agree on pings."""

import os

import grpc.aio

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
    # gRPC's own threads answer these pings, so a process that is busy, even holding the GIL, is not taken for dead; one
    # that is stopped or cut off is, after twice this time.
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.ping_timeout_ms", 3000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
]


def open_channel(address: str) -> grpc.aio.Channel:
    """A channel to another process of the cluster: the one place where its credentials come from."""
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)


def make_server() -> grpc.aio.Server:
    """A server for other processes of the cluster and for clients."""
    return grpc.aio.server(options=CHANNEL_OPTIONS)


def listen(server: grpc.aio.Server, host: str, port: int = 0) -> int:
    """Has a server listen, and returns the port: the one place where its credentials come from.

    Raises:
        RuntimeError: The port is taken.
    """
    return server.add_insecure_port(f"{host}:{port}")
