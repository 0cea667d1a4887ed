"""Pods as processes: started, made ready, struck, replaced, drained, lost."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.helpers.kube import is_ready, until
from tests.kubernetes.apiserver import ApiServer

SERVER = """
import http.server, signal, sys, os
signal.signal(signal.SIGTERM, lambda *_: (print("told to end", flush=True), sys.exit(0)))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = open("/etc/settings/greeting").read() + " from " + os.environ["NAME"]
        self.send_response(200); self.end_headers(); self.wfile.write(text.encode())
    def log_message(self, *_): pass
print("started", flush=True)
http.server.HTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


def web(**spec: Any) -> dict[str, Any]:
    """A StatefulSet whose pods all listen on the same port, of all their addresses."""
    container = {
        "name": "main",
        "image": "shell",
        "command": ["python3", "-u", "-c", SERVER],
        "ports": [{"name": "http", "containerPort": 8000}],
        "env": [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
    }
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 20,
            "tolerations": [
                {
                    "key": "node.kubernetes.io/unreachable",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 1,
                }
            ],
            "containers": [container],
            "volumes": [{"name": "settings", "configMap": {"name": "web"}}],
        },
    }
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "serviceName": "webs",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
            **spec,
        },
    }


ASK_ALL = """
import sys, urllib.request
for url in sys.argv[1:]:
    try: print(urllib.request.urlopen(url, timeout=2).read().decode())
    except OSError: print("no")
"""


@pytest.fixture
def apps(api: Any) -> Any:
    return client.AppsV1Api(api)


@pytest.fixture
def running(request: pytest.FixtureRequest, core: Any, apps: Any, namespace: str) -> list[Any]:
    """Two pods of a StatefulSet, behind two Services."""
    request.getfixturevalue("pods")
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "web"}, "data": {"greeting": "hello"}})
    selector = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
    core.create_namespaced_service(namespace, {"metadata": {"name": "web"}, "spec": selector})
    core.create_namespaced_service(namespace, {"metadata": {"name": "webs"}, "spec": {**selector, "clusterIP": "None"}})
    apps.create_namespaced_stateful_set(namespace, web())
    return until(core.list_namespaced_pod, namespace, good=lambda items: sum(map(is_ready, items)) == 2)


def ask(core: Any, namespace: str, *urls: str, name: str = "ask") -> str:
    """What a pod of its own gets from a URL."""
    begin_to_ask(core, namespace, *urls, name=name)
    return answer(core, namespace, name)


def begin_to_ask(core: Any, namespace: str, *urls: str, name: str, code: str = ASK, **labels: str) -> None:
    container = {"name": "main", "image": "shell", "command": ["python3", "-c", code, *urls]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    core.create_namespaced_pod(namespace, {"metadata": {"name": name, "labels": labels}, "spec": spec})


def answer(core: Any, namespace: str, name: str) -> str:
    until(
        core.list_namespaced_pod,
        namespace,
        field_selector=f"metadata.name={name}",
        good=lambda items: items[0].status.phase in {"Succeeded", "Failed"},
    )
    return str(core.read_namespaced_pod_log(name, namespace)).strip()


def test_pods_have_addresses_names_and_files(running: list[Any], core: Any, namespace: str) -> None:
    assert len({pod.status.pod_ip for pod in running}) == 2
    assert len({pod.spec.node_name for pod in running}) == 2
    assert ask(core, namespace, "http://web-1.webs:8000/") == "hello from web-1"
    assert ask(core, namespace, f"http://web.{namespace}.svc/", name="through") in {
        "hello from web-0",
        "hello from web-1",
    }


def test_a_deleted_pod_is_told_and_replaced(running: list[Any], core: Any, namespace: str, pods: ApiServer) -> None:
    pid, uid = pods.pid(namespace, "web-0"), running[0].metadata.uid
    core.delete_namespaced_pod("web-0", namespace)
    new = until(
        core.list_namespaced_pod,
        namespace,
        good=lambda items: sum(map(is_ready, items)) == 2 and items[0].metadata.uid != uid,
    )
    assert new[0].metadata.name == "web-0"
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.usefixtures("running")
def test_a_forced_delete_kills(core: Any, namespace: str, pods: ApiServer) -> None:
    pid = pods.pid(namespace, "web-0")
    os.kill(pid, signal.SIGSTOP)  # It hears no SIGTERM.
    core.delete_namespaced_pod("web-0", namespace, grace_period_seconds=0)
    until(core.list_namespaced_pod, namespace, good=lambda items: sum(map(is_ready, items)) == 2)
    assert not Path(f"/proc/{pid}").exists() or pods.pid(namespace, "web-0") != pid


def test_a_container_that_dies_is_started_again(running: list[Any], core: Any, namespace: str, pods: ApiServer) -> None:
    os.kill(pods.pid(namespace, "web-0"), signal.SIGKILL)
    again = until(
        core.list_namespaced_pod,
        namespace,
        field_selector="metadata.name=web-0",
        good=lambda items: is_ready(items[0]) and items[0].status.container_statuses[0].restart_count == 1,
    )
    last = again[0].status.container_statuses[0].last_state.terminated
    assert (last.exit_code, again[0].metadata.uid) == (137, running[0].metadata.uid)
    assert "started" in core.read_namespaced_pod_log("web-0", namespace, previous=True)


@pytest.mark.usefixtures("running")
def test_files_of_a_pod_follow_their_source(core: Any, namespace: str) -> None:
    core.patch_namespaced_config_map("web", namespace, {"data": {"greeting": "good day"}})
    assert ask(core, namespace, "http://web-0.webs:8000/") == "good day from web-0"


def test_a_pod_on_a_lost_node_is_not_replaced(running: list[Any], core: Any, namespace: str, pods: ApiServer) -> None:
    pid, node, uid = pods.pid(namespace, "web-0"), running[0].spec.node_name, running[0].metadata.uid
    pods.vanish(node)
    try:
        until(
            core.list_namespaced_pod,
            namespace,
            field_selector="metadata.name=web-0",
            good=lambda items: items[0].metadata.deletion_timestamp is not None and not is_ready(items[0]),
        )
        assert Path(f"/proc/{pid}").exists(), "nobody has told it"
        core.delete_namespaced_pod("web-0", namespace, grace_period_seconds=0)
        new = until(
            core.list_namespaced_pod,
            namespace,
            field_selector="metadata.name=web-0",
            good=lambda items: bool(items) and is_ready(items[0]) and items[0].metadata.uid != uid,
        )
        assert new[0].spec.node_name != node
        assert Path(f"/proc/{pid}").exists(), "it lives on: a zombie"
    finally:
        pods.come_back(node)
    until(core.list_namespaced_pod, namespace, good=lambda items: sum(map(is_ready, items)) == 2)


@pytest.mark.usefixtures("running")
def test_policies_keep_others_out_of_pods_and_pods_from_others(core: Any, api: Any, namespace: str) -> None:
    networking: Any = client.NetworkingV1Api(api)
    friends = [{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}], "ports": [{"port": "http"}]}]
    specs = {
        "friends": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": friends},
        "alone": {"podSelector": {"matchLabels": {"role": "hermit"}}, "policyTypes": ["Ingress", "Egress"]},
    }
    for name, spec in specs.items():
        networking.create_namespaced_network_policy(namespace, {"metadata": {"name": name}, "spec": spec})
    urls = "http://web-0.webs:8000/", f"http://web.{namespace}.svc/"
    names = ("friend", "stranger", "hermit")
    for name in names:
        begin_to_ask(core, namespace, *urls, name=name, code=ASK_ALL, role=name)
    told = {name: answer(core, namespace, name).split("\n") for name in names}
    assert [line.removesuffix("-0").removesuffix("-1") for line in told.pop("friend")] == ["hello from web"] * 2
    assert told == {"stranger": ["no", "no"], "hermit": ["no", "no"]}
    assert all(map(is_ready, core.list_namespaced_pod(namespace, label_selector="app=web").items)), "nodes may ask"
    networking.delete_namespaced_network_policy("friends", namespace)
    begin_to_ask(core, namespace, *urls, name="later", code=ASK_ALL, role="stranger")
    assert answer(core, namespace, "later").count("hello") == 2


@pytest.mark.usefixtures("running")
def test_evictions_keep_to_the_budget(core: Any, api: Any, namespace: str) -> None:
    policy: Any = client.PolicyV1Api(api)
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    policy.create_namespaced_pod_disruption_budget(namespace, {"metadata": {"name": "web"}, "spec": spec})
    until(
        policy.list_namespaced_pod_disruption_budget,
        namespace,
        good=lambda items: items[0].status is not None and items[0].status.disruptions_allowed == 1,
    )
    core.create_namespaced_pod_eviction("web-0", namespace, {"metadata": {"name": "web-0"}})
    with pytest.raises(client.ApiException) as error:
        core.create_namespaced_pod_eviction("web-1", namespace, {"metadata": {"name": "web-1"}})
    assert error.value.status == 429
    assert "DisruptionBudget" in str(error.value.body)


@pytest.mark.usefixtures("pods")
@pytest.mark.parametrize(
    ("container", "reason", "told"),
    [
        ({"image": "limnad:missing"}, "ImagePullBackOff", 'Back-off pulling image "limnad:missing"'),
        ({"command": ["false"]}, "CrashLoopBackOff", "back-off"),
        (
            {"env": [{"name": "URL", "valueFrom": {"secretKeyRef": {"name": "none", "key": "url"}}}]},
            "CreateContainerConfigError",
            'secret "none" not found',
        ),
    ],
)
def test_what_keeps_a_pod_from_running_is_told(
    core: Any, namespace: str, container: dict[str, Any], reason: str, told: str
) -> None:
    spec = {"containers": [{"name": "main", "image": "shell", "command": ["true"], **container}]}
    core.create_namespaced_pod(namespace, {"metadata": {"name": "bad"}, "spec": spec})

    def waits(items: list[Any]) -> bool:
        statuses = items[0].status.container_statuses or []
        return any(each.state.waiting and each.state.waiting.reason == reason for each in statuses)

    found = until(core.list_namespaced_pod, namespace, good=waits)
    assert told in found[0].status.container_statuses[0].state.waiting.message


def test_an_update_goes_through_the_set(running: list[Any], core: Any, apps: Any, namespace: str) -> None:
    old = {pod.metadata.uid for pod in running}
    change = {"spec": {"template": {"metadata": {"annotations": {"change": "1"}}}}}
    apps.patch_namespaced_stateful_set("web", namespace, change)
    new = until(
        core.list_namespaced_pod,
        namespace,
        good=lambda items: sum(map(is_ready, items)) == 2 and not old & {each.metadata.uid for each in items},
    )
    assert all(pod.metadata.annotations == {"change": "1"} for pod in new)


@pytest.mark.usefixtures("pods")
def test_a_pod_reaches_the_api_server(core: Any, namespace: str) -> None:
    code = (
        "import json; from kubernetes import client, config; config.load_incluster_config();"
        "print(json.dumps([each.metadata.name for each in client.CoreV1Api().list_node().items]))"
    )
    container = {"name": "main", "image": "limnad:1", "command": ["python", "-c", code]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    core.create_namespaced_pod(namespace, {"metadata": {"name": "asks"}, "spec": spec})
    until(core.list_namespaced_pod, namespace, good=lambda items: items[0].status.phase in {"Succeeded", "Failed"})
    assert json.loads(core.read_namespaced_pod_log("asks", namespace)) == ["n0", "n1", "n2"]
