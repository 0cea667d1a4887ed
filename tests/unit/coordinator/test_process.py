"""The coordinator's process: where it may listen, and what it says when it may not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from limnad.cli.certificates import make_certificates


def first_word(*flags: str) -> dict[str, str]:
    """The line of JSON that it begins with."""
    command = [sys.executable, "-m", "limnad_coordinator", "--until-stdin-ends", *flags]
    told = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=False)
    said: dict[str, str] = json.loads(told.stdout.splitlines()[0])
    assert (told.returncode == 0) is ("address" in said)
    return said


def test_it_is_open_to_others_only_with_tls_or_when_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificates(tmp_path)
    own = tmp_path / "coordinator"
    tls = ["--tls-cert", str(own / "tls.crt"), "--tls-key", str(own / "tls.key"), "--tls-ca", str(own / "ca.crt")]
    assert "address" in first_word()
    assert all(flag in first_word("--host", "0.0.0.0")["error"] for flag in ("--tls-cert", "--insecure"))
    assert "belong together" in first_word(*tls[:2])["error"]
    assert "cannot be read" in first_word(*tls[:4], "--tls-ca", "nowhere.crt")["error"]
    assert "address" in first_word("--host", "0.0.0.0", *tls)
    assert "address" in first_word("--host", "0.0.0.0", "--insecure")
    monkeypatch.setenv("LIMNAD_INSECURE", "true")
    assert "address" in first_word("--host", "0.0.0.0")
