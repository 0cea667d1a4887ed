"""A real API server without nodes, of the programs in the folder that KUBEBUILDER_ASSETS names, as envtest runs them.

They are etcd and kube-apiserver; `setup-envtest use -p env` fetches them and names the folder. With a
kube-controller-manager beside them there are controllers too: without one, nobody collects garbage.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme
import urllib3
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

CONTROLLERS = "kube-controller-manager"
"""The program that may be missing."""

TRIES = 120
"""A quarter of a second apart, until it must be ready."""


@contextmanager
def real_api_server(assets: Path) -> Iterator[Path]:
    """Starts them, and ends them.

    Args:
        assets: The folder of the programs.

    Yields:
        The kubeconfig of somebody who may do everything.

    Raises:
        OSError: There are no such programs.
        urllib3.exceptions.HTTPError: The server has not become ready.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="limnad-envtest-")))
        store, peers, port, other = _free_ports(4)
        token = secrets.token_urlsafe()
        authority = _files(folder, token)
        etcd = {
            "data-dir": folder / "etcd",
            "listen-client-urls": f"http://127.0.0.1:{store}",
            "advertise-client-urls": f"http://127.0.0.1:{store}",
            "listen-peer-urls": f"http://127.0.0.1:{peers}",
            "unsafe-no-fsync": "true",
        }
        server = {
            "etcd-servers": f"http://127.0.0.1:{store}",
            "bind-address": "127.0.0.1",
            "secure-port": port,
            "cert-dir": folder,
            "tls-cert-file": folder / "tls.crt",
            "tls-private-key-file": folder / "tls.key",
            "token-auth-file": folder / "tokens.csv",
            "service-account-issuer": "https://127.0.0.1",
            "service-account-key-file": folder / "accounts.key",
            "service-account-signing-key-file": folder / "accounts.key",
            "service-cluster-ip-range": "10.0.0.0/24",
            # Accounts of pods are made by controllers.
            "disable-admission-plugins": "" if has_controllers(assets) else "ServiceAccount",
            "authorization-mode": "RBAC",
        }
        for program, flags in (("etcd", etcd), ("kube-apiserver", server)):
            stack.enter_context(_running(assets / program, flags, folder / f"{program}.log"))
        url = f"https://127.0.0.1:{port}"
        _await_ready(url, token, authority)
        kubeconfig = _kubeconfig(folder, url, token, authority)
        if has_controllers(assets):
            controllers = {
                "kubeconfig": kubeconfig,
                "authentication-kubeconfig": kubeconfig,
                "authorization-kubeconfig": kubeconfig,
                "bind-address": "127.0.0.1",
                "secure-port": other,
                "cert-dir": folder,
                "leader-elect": "false",
                "root-ca-file": authority,
                "service-account-private-key-file": folder / "accounts.key",
            }
            stack.enter_context(_running(assets / CONTROLLERS, controllers, folder / f"{CONTROLLERS}.log"))
        yield kubeconfig


def has_controllers(assets: Path) -> bool:
    """Whether what is started from there collects garbage, and makes pods of sets."""
    return (assets / CONTROLLERS).exists()


@contextmanager
def _running(program: Path, flags: dict[str, object], log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(program), *(f"--{name}={value}" for name, value in flags.items())], stdout=out, stderr=out
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _files(folder: Path, token: str) -> Path:
    """Writes what the server reads; where the authority's certificate is."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    leaf.private_key_pem.write_to_path(folder / "tls.key")
    leaf.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "accounts.key").write_bytes(text)
    (folder / "tokens.csv").write_text(f"{token},tests,tests,system:masters\n")
    return folder / "ca.crt"


def _await_ready(url: str, token: str, authority: Path) -> None:
    again = urllib3.Retry(TRIES, backoff_factor=0.25, backoff_max=0.25, status_forcelist=[401, 403, 404, 429, 500, 503])
    with urllib3.PoolManager(ca_certs=str(authority), retries=again, timeout=5.0) as pool:
        pool.request("GET", f"{url}/readyz", headers={"Authorization": f"Bearer {token}"})


def _kubeconfig(folder: Path, url: str, token: str, authority: Path) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        "current-context": "tests",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
