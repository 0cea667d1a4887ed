"""A cluster of agents with certificates and tokens, and what strangers say to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from limnad.cli.certificates import Pair, as_pem, make_certificates
from limnad.client import Client, Tls
from tests.helpers.clusters import Agents, free_addresses


class SecuredAgents(Agents):
    """Agents with a folder of certificates, as ``limnad cluster certs`` makes it."""

    def __init__(self, count: int, *flags: str, folder: Path) -> None:
        addresses = free_addresses(2 * count)
        super().__init__(count, *flags, folder=folder, addresses=addresses[:count])
        self.folder = folder / "tls"
        self.clients = addresses[count:]
        self.token_file = self.folder / "token"
        make_certificates(self.folder)

    def own_flags(self, index: int) -> list[str]:
        """See `Agents`."""
        own = self.folder / ("leader" if index == 0 else "worker")
        flags = ["--client-listen", self.clients[index], "--token-file", str(self.token_file)]
        files = {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
        return flags + [part for name, file in files.items() for part in (f"--tls-{name}", str(own / file))]

    @property
    def authorities(self) -> str:
        """The file of those that are trusted."""
        return str(self.folder / "ca.crt")

    @property
    def token(self) -> str:
        """The first one."""
        return self.token_file.read_text().split()[0]

    def client(self, token: str | None = None) -> Client:
        """A client of the leader."""
        return Client(self.clients[0], token or self.token, Tls(self.authorities))


def channel(address: str, authorities: bytes, pair: Pair | None = None, name: str = "") -> grpc.Channel:
    """A channel with exactly these credentials."""
    certificate, key = (None, None) if pair is None else as_pem(pair)
    named = [("grpc.ssl_target_name_override", name)] if name else []
    options: list[tuple[str, Any]] = [*named, ("grpc.use_local_subchannel_pool", 1), *UNLIMITED]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authorities, key, certificate), options=options)


UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def said(
    channel: grpc.Channel, method: str, *messages: bytes, token: str = "", timeout_s: float = 20.0
) -> tuple[grpc.StatusCode, str]:
    """What becomes of a call with these messages, whatever they are."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    make: Any = channel.stream_stream(method)
    call = make(iter(messages), metadata=metadata, timeout=timeout_s)
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    return call.code(), call.details() or ""
