"""The image: built by whatever Docker engine answers here, and two containers of it count words.

LIMNAD_IMAGE_BASE names another base; where none can be pulled, root on a Debian makes one with script/base.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from tests.helpers.charts import CHART

ROOT = CHART.parents[1]
LOCKED_DOWN = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], check=check, capture_output=True, text=True)


def base() -> str:
    """The base image, or a reason to skip."""
    if named := os.environ.get("LIMNAD_IMAGE_BASE"):
        return named
    default = (ROOT / "Dockerfile").read_text(encoding="utf-8").partition("ARG BASE=")[2].split()[0]
    if (
        docker("image", "inspect", default, check=False).returncode == 0
        or docker("pull", default, check=False).returncode == 0
    ):
        return default
    if os.geteuid() or not shutil.which("debootstrap"):
        pytest.skip(f"{default} cannot be pulled: set LIMNAD_IMAGE_BASE, or as root on Debian install debootstrap")
    subprocess.run([ROOT / "script" / "base"], check=True)
    return "limnad-base"


@pytest.fixture(scope="module")
def image() -> str:
    if not shutil.which("docker") or docker("version", check=False).returncode:
        pytest.skip("no Docker engine answers: start one, or set DOCKER_HOST")
    arguments = ["--network", "host", "--build-arg", f"BASE={base()}"]
    subprocess.run([ROOT / "script" / "image", *arguments], check=True, env=os.environ | {"DOCKER_BUILDKIT": "0"})
    (tag,) = [
        line.split('"')[1]
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.startswith("version = ")
    ]
    return f"limnad:{tag}"


@contextmanager
def network() -> Iterator[str]:
    """A network that leads nowhere else."""
    name = f"limnad-test-{uuid4().hex[:8]}"
    docker("network", "create", "--internal", name)
    try:
        yield name
    finally:
        docker("network", "rm", name)


@contextmanager
def worker(image: str, net: str, index: int) -> Iterator[None]:
    """An agent of two in a container of its own."""
    name = f"{net}-{index}"
    settings = {
        "INDEX": str(index),
        "PEERS": f"{net}-0:7700,{net}-1:7700",
        "LISTEN": "0.0.0.0:7700",
        "INSECURE": "true",
    }
    env = [part for key, value in settings.items() for part in ("--env", f"LIMNAD_{key}={value}")]
    docker(
        "run", "--detach", "--name", name, "--network", net, *LOCKED_DOWN, *env, image, "worker", "--advertise", name
    )
    try:
        yield
    finally:
        docker("rm", "--force", name)


def test_two_containers_count_words(image: str) -> None:
    files = ["--volume", f"{CHART / 'files'}:/test:ro"]
    with network() as net, worker(image, net, 0), worker(image, net, 1):
        client = ["--env", f"LIMNAD_CLUSTER={net}-0:7700", "--entrypoint", "python", image, "/test/check.py"]
        done = docker("run", "--rm", "--network", net, *LOCKED_DOWN, *files, *client, check=False)
        logs = "".join(docker("logs", f"{net}-{index}", check=False).stderr for index in (0, 1))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert "2 workers" in done.stdout
    assert "32 words of 4 epochs counted right" in done.stdout


def test_the_image_is_small_and_has_what_it_needs_and_no_more(image: str) -> None:
    looked = docker(
        "run", "--rm", *LOCKED_DOWN, "--entrypoint", "sh", image, "-c", "id -u; command -v gcc cc ld pip; true"
    )
    assert looked.stdout.split() == ["10001"]
    for module in ("limnad_worker", "limnad_coordinator", "limnad_operator", "redis", "confluent_kafka", "kubernetes"):
        docker("run", "--rm", *LOCKED_DOWN, "--entrypoint", "python", image, "-c", f"import {module}")
    told = docker(
        "image",
        "inspect",
        "--format",
        '{{json .Config.Healthcheck}} {{index .Config.Labels "org.opencontainers.image.licenses"}}',
        image,
    )
    assert told.stdout.split() == ["null", "Apache-2.0"]
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image).stdout)
    assert size < 900e6
