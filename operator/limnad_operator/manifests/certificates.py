"""Certificates of a cluster's own, and a token for its clients.

An authority of ten years signs one certificate of ninety days with all roles: a cluster is one trust domain. Both are
made anew when a third of their time is left; processes read the files again when they change. Nodes bring a Secret's
change to their pods each in its own time, a minute or two: so the next authority is announced first, as one that is
believed, and signs only when all have heard of it; the one before it is believed on.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limnad_operator.manifests.naming import Shape

AUTHORITY_DAYS = 3650
LEAF_DAYS = 90
ANNOUNCED_S = 600.0
"""For how long all are told to believe the next authority before it signs."""

NEXT_CERTIFICATE, NEXT_KEY = "next.crt", "next.key"
"""Where the next authority is in the Secret of the authority."""

_BACKDATED = dt.timedelta(minutes=5)
"""Clocks may differ."""

ROLES = ("leader", "worker", "coordinator")

Data = Mapping[str, str]
"""Of a Secret: base64 by key."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Two Secrets.

    Attributes:
        authority: With the authority's key, for the operator alone.
        leaf: What pods mount.
    """

    authority: dict[str, Any]
    leaf: dict[str, Any]


def names(shape: Shape) -> list[str]:
    """What a certificate has to be good for: the roles, and what clients call the leader."""
    service = f"{shape.leader}.{shape.namespace}"
    called = [shape.leader, service, f"{service}.svc", f"{service}.svc.cluster.local", "localhost"]
    return [f"{role}.{shape.spec.tls.domain}" for role in ROLES] + called


def certificates_due(shape: Shape, authority: Data | None, leaf: Data | None, now_s: float) -> str:
    """Why certificates are to be made; empty: they need not."""
    from cryptography import x509

    if authority is None or leaf is None:
        return "there are none"
    try:
        held = x509.load_pem_x509_certificate(base64.b64decode(leaf["tls.crt"]))
        found = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        signer = x509.load_pem_x509_certificates(base64.b64decode(authority["tls.crt"]))[0]
        following = _following(authority)
    except (KeyError, ValueError, x509.ExtensionNotFound):
        return "those that are there cannot be read"
    if set(found.get_values_for_type(x509.DNSName)) != set(names(shape)):
        return "the names have changed"
    if following is not None:
        return "the next authority is known to all" if _may_sign(following[1], signer, now_s) else ""
    if _left(signer, now_s) < 1 / 3 or _left(held, now_s) < 1 / 3:
        return "they are about to expire"
    return ""


def _following(authority: Data) -> tuple[Any, Any] | None:
    """Key and certificate of the authority that has been announced.

    Raises:
        ValueError: They cannot be read.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    if NEXT_KEY not in authority or NEXT_CERTIFICATE not in authority:
        return None
    key = serialization.load_pem_private_key(base64.b64decode(authority[NEXT_KEY]), None)
    return key, x509.load_pem_x509_certificate(base64.b64decode(authority[NEXT_CERTIFICATE]))


def _may_sign(following: Any, signer: Any, now_s: float) -> bool:
    """Whether all believe it, or the one before it can be believed no more."""
    announced_s = (following.not_valid_before_utc + _BACKDATED).timestamp()
    return now_s - announced_s >= ANNOUNCED_S or _left(signer, now_s) <= 0


def _left(certificate: Any, now_s: float) -> float:
    """The part of a certificate's time that is left."""
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return float((end - now_s) / (end - begin))


def issue(shape: Shape, authority: Data | None, now_s: float) -> Certificates:
    """Makes a certificate, and an authority if there is none; else, where it is due, announces the next or has it sign.

    Random: not for a plan.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    key, chain, following = None, [], None
    if authority is not None:
        try:
            key = serialization.load_pem_private_key(base64.b64decode(authority["tls.key"]), None)
            chain = x509.load_pem_x509_certificates(base64.b64decode(authority["tls.crt"]))
            following = _following(authority)
        except (KeyError, ValueError):
            key, chain, following = None, [], None
    if key is None:
        key, root = _make_authority(shape, now_s)
        chain = [root]
    elif following is not None and _may_sign(following[1], chain[0], now_s):
        key, chain, following = following[0], [following[1], chain[0]], None
    elif following is None and _left(chain[0], now_s) < 1 / 3:
        following = _make_authority(shape, now_s)
    own, leaf = _sign(key, chain[0], shape.leader, names(shape), LEAF_DAYS, now_s)
    held = {"tls.crt": b"".join(map(_certificate_pem, chain)), "tls.key": _pem(key)}
    believed = held["tls.crt"]
    if following is not None:
        held |= {NEXT_KEY: _pem(following[0]), NEXT_CERTIFICATE: _certificate_pem(following[1])}
        believed += held[NEXT_CERTIFICATE]
    files = {"tls.crt": _certificate_pem(leaf), "tls.key": _pem(own), "ca.crt": believed}
    return Certificates(
        _secret(shape, shape.authority_secret, held),
        _secret(shape, shape.tls_secret or "", files),
    )


def _make_authority(shape: Shape, now_s: float) -> tuple[Any, Any]:
    return _sign(None, None, f"limnad {shape.namespace}/{shape.name}", [], AUTHORITY_DAYS, now_s)


def _sign(signer: Any, issuer: Any, common_name: str, dns: list[str], days: int, now_s: float) -> tuple[Any, Any]:
    """A key and a certificate; without a signer, an authority's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    now = dt.datetime.fromtimestamp(now_s, dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(
            x509.BasicConstraints(ca=signer is None, path_length=0 if signer is None else None), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(authority=signer is None), critical=True)
    )
    if signer is not None:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, dns))), critical=False)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
    return key, builder.sign(key if signer is None else signer, hashes.SHA256())


def _usage(*, authority: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = certificate.public_bytes(serialization.Encoding.PEM)
    return pem


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


def issue_token(shape: Shape) -> dict[str, Any]:
    """Makes a Secret with a token. Random: not for a plan."""
    return token_manifest(shape, secrets.token_urlsafe(32))


def token_manifest(shape: Shape, token: str) -> dict[str, Any]:
    """A Secret with that token."""
    name, key = shape.token_secret or ("", "")
    return {**_secret(shape, name, {key: token.encode()}), "type": "Opaque"}


def _secret(shape: Shape, name: str, data: dict[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": shape.metadata(name, "worker"),
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
