"""TLS between the processes of a cluster: who may be whom.

Each process has a certificate with its role among the DNS names, such as ``worker.limnad.internal``. Whoever opens a
channel asks for the role's name, whatever the address is; whoever is called looks the role up in the caller's
certificate. A process finds its files in its environment, and its children find theirs there, too.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import grpc

from limnad_proto.rereading import Rereading
from limnad_proto.variables import DATA_PLANE, TLS_CA, TLS_CERT, TLS_DOMAIN, TLS_KEY

DEFAULT_DOMAIN = "limnad.internal"


class Role(StrEnum):
    """What a process may be in a cluster."""

    LEADER = "leader"
    WORKER = "worker"
    COORDINATOR = "coordinator"


@dataclass(frozen=True, slots=True)
class Keys:
    """A certificate, its key, and the authorities that others are checked against; all PEM."""

    certificate: bytes
    key: bytes
    authorities: bytes


class Tls:
    """The files of this process, read again when they change.

    Args:
        certificate: With the intermediate ones.
        key: Its key.
        authorities: That others' certificates are checked against.
        domain: What stands behind the role in certificates.
        plain_data: Whether data and progress go in plain text all the same.

    Raises:
        ValueError: The files cannot be read, or do not belong together; says which.
    """

    def __init__(
        self, certificate: str, key: str, authorities: str, domain: str = DEFAULT_DOMAIN, *, plain_data: bool = False
    ) -> None:
        self.domain = domain
        self.plain_data = plain_data
        self.files = (certificate, key, authorities)
        try:
            self._keys = Rereading(self.files, self._checked)
        except OSError as error:
            raise ValueError(f"the file {error.filename} for TLS cannot be read: {error.strerror}") from None

    @property
    def keys(self) -> Keys:
        """What the files hold now."""
        return self._keys.get()

    def covers(self, role: Role) -> bool:
        """Whether what goes to a process of that role is encrypted."""
        return role is Role.LEADER or not self.plain_data

    def name(self, role: Role) -> str:
        """How a role is called in certificates."""
        return f"{role}.{self.domain}"

    def _checked(self, contents: Sequence[bytes]) -> Keys:
        certificate, key, authorities = self.files
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
        except ssl.SSLError as error:
            raise ValueError(f"{certificate} and {key} are no certificate and its key: {error.reason}") from None
        try:
            context.load_verify_locations(cadata=contents[2].decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError):
            raise ValueError(f"{authorities} holds no certificates of authorities") from None
        return Keys(*contents)


def own_tls(environment: Mapping[str, str] = os.environ) -> Tls | None:
    """TLS as this process is told to use it; None: it is not.

    Raises:
        ValueError: See `Tls`; or some of the files are missing.
    """
    files = [environment.get(name, "") for name in (TLS_CERT, TLS_KEY, TLS_CA)]
    if not any(files[:2]):  # An authority alone is what a client has.
        return None
    if not all(files):
        raise ValueError("a certificate, its key and the authorities (--tls-cert, --tls-key, --tls-ca) belong together")
    plain = environment.get(DATA_PLANE) == "plain"
    return _opened(*files, environment.get(TLS_DOMAIN) or DEFAULT_DOMAIN, plain)


@lru_cache(maxsize=8)
def _opened(certificate: str, key: str, authorities: str, domain: str, plain_data: bool) -> Tls:
    return Tls(certificate, key, authorities, domain, plain_data=plain_data)


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """For a new channel: what the files hold now."""
    keys = tls.keys
    return grpc.ssl_channel_credentials(keys.authorities, keys.key, keys.certificate)


def server_credentials(tls: Tls, *, callers_have_certificates: bool) -> grpc.ServerCredentials:
    """For a port: each handshake uses what the files hold then."""
    news: Any = _news(tls)  # The stubs forget that there may be none.
    return grpc.dynamic_ssl_server_credentials(
        _configuration(tls.keys), news, require_client_authentication=callers_have_certificates
    )


def _news(tls: Tls) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
    used = tls.keys

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal used
        keys = tls.keys
        if keys == used:
            return None
        used = keys
        return _configuration(keys)

    return fetch


def _configuration(keys: Keys) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(keys.key, keys.certificate)], keys.authorities)


def web_context(tls: Tls) -> ssl.SSLContext:
    """For a web server: each handshake uses what the files hold then."""
    made: dict[Keys, ssl.SSLContext] = {}

    def fresh() -> ssl.SSLContext:
        keys = tls.keys
        if keys not in made:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*tls.files[:2])
            made.clear()
            made[keys] = context
        return made[keys]

    def choose(connection: ssl.SSLObject, *_: Any) -> None:
        connection.context = fresh()

    entry = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    entry.load_cert_chain(*tls.files[:2])
    entry.sni_callback = choose  # type: ignore[assignment] # called for each handshake, with a name or without
    return entry
