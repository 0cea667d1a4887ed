"""The operator as a process of this machine, against an API server."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Self


class OperatorProcess:
    """An operator of a namespace; runs until it is left.

    Args:
        kubeconfig: How to reach the API server, and as whom.
        namespace: Where it works.
        name: Of the replica.
    """

    def __init__(self, kubeconfig: Path, namespace: str, name: str) -> None:
        flags = ["--kubeconfig", str(kubeconfig), "--namespaces", namespace, "--lease-namespace", namespace]
        flags += ["--identity", name, "--listen", "127.0.0.1:0", "--watch", "5"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it is left
        self._process = subprocess.Popen(
            [sys.executable, "-m", "limnad_operator", *flags], stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self._process.stdout is not None
        self.address = json.loads(self._process.stdout.readline())["address"]

    def metric(self, name: str) -> float:
        """One of its metrics."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    def log(self) -> str:
        """What it has logged."""
        self._log.seek(0)
        return self._log.read().decode()

    def end(self, number: int) -> None:
        """Sends a signal, and waits for its end."""
        self._process.send_signal(number)
        self._process.wait(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()
        self._log.close()
