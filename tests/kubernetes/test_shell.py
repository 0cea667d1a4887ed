"""The operator's process against an API server that is told to misbehave; no pod of a cluster ever runs here."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from limnad_operator.model import GROUP, VERSION
from tests.helpers.kube import until, until_custom
from tests.helpers.operator_process import OperatorProcess
from tests.helpers.our_kinds import our_kinds
from tests.kubernetes.apiserver import ApiServer, Fault

SPEC = {"image": "limnad:missing", "workers": {"replicas": 1}}


@pytest.fixture(scope="module")
def custom(api: Any) -> Iterator[Any]:
    with our_kinds(api):
        yield client.CustomObjectsApi(api)


def make(custom: Any, namespace: str, name: str) -> None:
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "LimnadCluster", "metadata": {"name": name}, "spec": SPEC}
    custom.create_namespaced_custom_object(GROUP, VERSION, namespace, "limnadclusters", body)


def until_made(core: Any, namespace: str, name: str) -> None:
    """Waits for the last but one of what a cluster consists of."""
    until(
        core.list_namespaced_service,
        namespace,
        good=lambda items: f"{name}-leader" in {each.metadata.name for each in items},
    )


@contextmanager
def faulty(server: ApiServer, fault: Fault) -> Iterator[None]:
    server.fault(fault)
    try:
        yield
    finally:
        server.clear_faults()


def test_one_of_two_acts_and_the_other_follows(kubeconfig: Path, custom: Any, core: Any, namespace: str) -> None:
    with OperatorProcess(kubeconfig, namespace, "one") as one:
        make(custom, namespace, "first")
        until_made(core, namespace, "first")
        assert one.metric("limnad_operator_leading") == 1
        with OperatorProcess(kubeconfig, namespace, "other") as other:
            one.end(signal.SIGTERM)  # It gives the Lease back.
            make(custom, namespace, "second")
            until_made(core, namespace, "second")
            assert other.metric("limnad_operator_leading") == 1
            with OperatorProcess(kubeconfig, namespace, "third"):
                other.end(signal.SIGKILL)  # It does not.
                make(custom, namespace, "third")
                until_made(core, namespace, "third")


def test_watches_that_hang_or_are_too_old_are_begun_anew(
    own_server: ApiServer, custom: Any, core: Any, namespace: str
) -> None:
    with OperatorProcess(own_server.kubeconfig, namespace, "one"):
        make(custom, namespace, "a")
        until_made(core, namespace, "a")
        own_server.forget()
        make(custom, namespace, "b")
        until_made(core, namespace, "b")
        with faulty(own_server, Fault(verb="watch", resource="limnadclusters", hang=True, times=1)):
            make(custom, namespace, "c")
            until_made(core, namespace, "c")
            make(custom, namespace, "d")
            until_made(core, namespace, "d")


def test_errors_of_the_server_are_got_over(own_server: ApiServer, custom: Any, core: Any, namespace: str) -> None:
    fault = Fault(verb="create|update", resource="services|configmaps|leases", code=500, times=4)
    with faulty(own_server, fault), OperatorProcess(own_server.kubeconfig, namespace, "one"):
        make(custom, namespace, "a")
        until_made(core, namespace, "a")


def test_a_right_that_is_missing_is_said_in_the_status(
    own_server: ApiServer, custom: Any, core: Any, namespace: str
) -> None:
    with faulty(own_server, Fault(verb="create", resource="statefulsets", code=403)):
        make(custom, namespace, "a")
        with OperatorProcess(own_server.kubeconfig, namespace, "one"):
            until(core.list_namespaced_event, namespace, good=lambda items: "Degraded" in {e.reason for e in items})
            where = (GROUP, VERSION, namespace, "limnadclusters", "a")
            found = until_custom(custom, *where, good=lambda seen: degraded(seen)["status"] == "True")
    said = degraded(found)
    assert said["reason"] == "Forbidden"
    assert "Give the operator's Role that right" in said["message"]


def degraded(found: dict[str, Any]) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = found.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Degraded"), {"status": "Unknown"})


def test_settings_that_are_wrong_are_named() -> None:
    command = [sys.executable, "-m", "limnad_operator", "--listen", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "error: --listen: Value error, this is not HOST:PORT" in done.stderr
