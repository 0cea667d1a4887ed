"""kubectl against the API server: apply in both ways, conflicts, scale, tables, patches of every kind."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl, and Debian has none to install")

WIDGET = """
apiVersion: tests.limnad.io/v1
kind: Widget
metadata: {name: w}
spec: {image: a, reference: x, parts: [{name: one, size: 1}]}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: s, labels: {app: s}}
spec: {selector: {app: s}, ports: [{name: a, port: 1}, {name: b, port: 2}]}
"""


class Kubectl:
    def __init__(self, kubeconfig: Path, namespace: str, cache: Path) -> None:
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(cache)}
        self._namespace = namespace

    def __call__(self, *arguments: str, text: str = "", wrong: bool = False) -> str:
        command = ["kubectl", "-n", self._namespace, *arguments]
        done = subprocess.run(
            command, input=text, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert bool(done.returncode) is wrong, done.stdout + done.stderr
        return done.stderr if wrong else done.stdout.strip()


@pytest.fixture
def kubectl(kubeconfig: Path, namespace: str, tmp_path: Path) -> Kubectl:
    return Kubectl(kubeconfig, namespace, tmp_path)


@pytest.mark.usefixtures("widgets")
def test_objects_are_applied_scaled_and_shown(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", text=WIDGET) == "widget.tests.limnad.io/w created"
    assert kubectl("apply", "-f", "-", text=WIDGET) == "widget.tests.limnad.io/w unchanged"
    kubectl("scale", "widget/w", "--replicas", "4")
    heading, row = kubectl("get", "wd").splitlines()
    assert heading.split() == ["NAME", "READY", "REPLICAS"]
    assert row.split() == ["w", "4"]
    assert 'unknown field "spec.odd"' in kubectl(
        "apply", "-f", "-", text=WIDGET.replace("spec: {", "spec: {odd: 1, "), wrong=True
    )


@pytest.mark.usefixtures("widgets")
def test_managers_own_what_they_apply(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    kubectl(*apply, "--field-manager", "one", text=WIDGET)
    changed = WIDGET.replace("image: a", "image: b").replace("[{name: one, size: 1}]", "[{name: two}]")
    told = kubectl(*apply, "--field-manager", "two", text=changed, wrong=True)
    assert 'conflict with "one": .spec.image' in told
    kubectl(*apply, "--field-manager", "two", "--force-conflicts", text=changed)
    assert kubectl("get", "widget/w", "-o", "jsonpath={.spec.parts[*].name}") == "one two"
    # Who applies no more what nobody else owns takes it away.
    kubectl(
        *apply,
        "--field-manager",
        "one",
        text=WIDGET.replace(", parts: [{name: one, size: 1}]", "").replace("image: a", "image: b"),
    )
    assert kubectl("get", "widget/w", "-o", "jsonpath={.spec.parts[*].name}") == "two"


def test_patches_of_every_kind(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", text=SERVICE)
    ports = ("get", "svc/s", "-o", "jsonpath={.spec.ports[*].port}")
    kubectl("patch", "svc/s", "-p", '{"spec":{"ports":[{"name":"c","port":3}]}}')
    assert sorted(kubectl(*ports).split()) == ["1", "2", "3"]
    kubectl("patch", "svc/s", "-p", '{"spec":{"ports":[{"port":1,"$patch":"delete"}]}}')
    assert sorted(kubectl(*ports).split()) == ["2", "3"]
    kubectl("patch", "svc/s", "--type", "json", "-p", '[{"op":"remove","path":"/metadata/labels/app"}]')
    assert kubectl("get", "svc", "-l", "app=s") == ""
    kubectl("patch", "svc/s", "--type", "merge", "-p", '{"spec":{"ports":[{"name":"d","port":4}]}}')
    assert kubectl(*ports) == "4"


def test_what_kubectl_waits_for_goes(kubectl: Kubectl, core: Any, namespace: str) -> None:
    kubectl("apply", "-f", "-", text=SERVICE)
    assert kubectl("delete", "svc/s", "--wait") == 'service "s" deleted'
    assert core.list_namespaced_service(namespace).items == []
    assert 'services "s" not found' in kubectl("get", "svc/s", wrong=True)


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 2
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: shell, command: [sleep, infinity]}]
"""


@pytest.mark.usefixtures("pods")
def test_a_node_is_drained(kubectl: Kubectl, core: Any, namespace: str) -> None:
    kubectl("apply", "-f", "-", text=DEPLOYMENT)
    kubectl("rollout", "status", "deploy/d", "--timeout", "30s")
    node = core.list_namespaced_pod(namespace).items[0].spec.node_name
    try:
        assert f"node/{node} drained" in kubectl("drain", node, "--force", "--timeout", "30s")
        kubectl("rollout", "status", "deploy/d", "--timeout", "30s")
        assert node not in {pod.spec.node_name for pod in core.list_namespaced_pod(namespace).items}
    finally:
        kubectl("uncordon", node)
