"""A development authority, and certificates for the processes of a cluster.

    FOLDER/ca.crt           the authorities that are trusted now      FOLDER/token      a bearer token for clients
    FOLDER/ca.key           the newest one's key                      FOLDER/leader/    tls.crt, tls.key, ca.crt
                                                                      FOLDER/worker/, FOLDER/coordinator/ likewise

Made again in the same folder, certificates are renewed and tokens stay; with a new authority the old one is trusted on,
so that processes may change one after the other.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from limnad.cli.private_files import write_privately
from limnad.errors import ClusterError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

DAYS = 365
"""How long certificates of an authority for development are good."""

EARLIER = timedelta(minutes=5)
"""Good since before they were made: clocks differ."""

ROLES = {"leader": ("leader", "worker", "coordinator"), "worker": ("worker",), "coordinator": ("coordinator",)}
"""By folder: the roles in its certificate. The leader's agent has engines and starts coordinators, too."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""By which clients of the same machine reach a leader."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def make_certificates(
    folder: Path,
    names: Sequence[str] = (),
    *,
    domain: str = "limnad.internal",
    days: float = DAYS,
    new_authority: bool = False,
) -> None:
    """Makes, or renews, what the module describes.

    Args:
        folder: Where; nobody else may read it.
        names: Names and addresses, beside those of this machine, by which clients reach the leader.
        domain: What stands behind the role.
        days: How long the certificates are good.
        new_authority: Begin with a new authority, and trust the old ones on.

    Raises:
        ClusterError: The library for it is not there, or the folder cannot be used.
    """
    _check_library()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        trusted = (folder / "ca.crt").read_bytes() if (folder / "ca.crt").exists() else b""
        if trusted and not new_authority:
            authority = read_pair(folder / "ca.crt", folder / "ca.key")
        else:
            authority = make_authority()
            trusted = as_pem(authority)[0] + trusted
            # Trusted everywhere before anything is signed by it.
            for target in (folder, *(folder / role for role in ROLES)):
                target.mkdir(exist_ok=True, mode=0o700)
                write_privately(target / "ca.crt", trusted)
            write_privately(folder / "ca.key", as_pem(authority)[1])
        for role, roles in ROLES.items():
            pair = issue(authority, [*(f"{each}.{domain}" for each in roles), *LOCAL_NAMES, *names], days=days)
            write_pair(folder / role, pair)
        if not (folder / "token").exists():
            write_privately(folder / "token", f"{secrets.token_urlsafe(32)}\n".encode())
    except OSError as error:
        raise ClusterError(f"certificates cannot be written to {folder}: {error.strerror}") from None


def make_authority(name: str = "Limnad development authority", *, days: float = 10 * DAYS) -> Pair:
    """An authority that has signed itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own: two of one name, with different keys, make those who look for the right one try the wrong one.
    builder = _begun(f"{name} {secrets.token_hex(4)}", key, days)
    builder = builder.issuer_name(builder._subject_name)  # type: ignore[arg-type] # set just now
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = {name: name in ("key_cert_sign", "crl_sign") for name in _USAGES}
    return _signed(builder.add_extension(x509.KeyUsage(**usage), critical=True), key, key)


def issue(authority: Pair, names: Sequence[str], *, days: float = DAYS) -> Pair:
    """A certificate for both ends of a connection.

    Args:
        authority: Who signs it.
        names: DNS names and addresses.
        days: How long it is good; one that is not above 0 has expired.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

    key = ec.generate_private_key(ec.SECP256R1())
    builder = _begun(names[0], key, days).issuer_name(authority.certificate.subject)
    builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH]), False)
    usage = {name: name == "digital_signature" for name in _USAGES}
    return _signed(builder.add_extension(x509.KeyUsage(**usage), critical=True), key, authority.key)


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _begun(name: str, key: EllipticCurvePrivateKey, days: float) -> x509.CertificateBuilder:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    now = datetime.now(UTC)
    until = now + timedelta(days=days)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(min(now, until) - EARLIER).not_valid_after(until)


def _signed(builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey, signer: EllipticCurvePrivateKey) -> Pair:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    theirs = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(own, critical=False).add_extension(theirs, critical=False)
    return Pair(builder.sign(signer, hashes.SHA256()), key)


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def as_pem(pair: Pair) -> tuple[bytes, bytes]:
    """Certificate and key as files have them."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pair.certificate.public_bytes(Encoding.PEM), key


def read_pair(certificate: Path, key: Path) -> Pair:
    """What `write_pair` has written; of a file with several certificates the first.

    Raises:
        ClusterError: It is none.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(key.read_bytes(), None)
        if isinstance(found, EllipticCurvePrivateKey):
            return Pair(x509.load_pem_x509_certificate(certificate.read_bytes()), found)
    except ValueError:
        pass
    raise ClusterError(f"{certificate} and {key} are none that limnad cluster certs has made: use another folder")


def write_pair(folder: Path, pair: Pair) -> None:
    """Writes ``tls.crt`` and ``tls.key``, the key first: between the two nobody takes them for a pair."""
    certificate, key = as_pem(pair)
    write_privately(folder / "tls.key", key)
    write_privately(folder / "tls.crt", certificate)


def _check_library() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        raise ClusterError("certificates need the library cryptography: pip install 'limnad[tls]'") from None
