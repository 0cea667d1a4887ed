"""What Helm makes of the chart, for several sets of values."""

from __future__ import annotations

from typing import Any

import helm_python as helm
import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.helpers.charts import CHART, NAMESPACE, RELEASE, notes, one, pod_specs, refusal, rendered

DIGEST = "sha256:" + "ab" * 32
KUBERNETES = "1.36"
"""The version whose schemas the objects are held against."""

SETS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "operator alone": {"cluster": {"enabled": False}, "redis": {"enabled": False}},
    "cluster alone": {"operator": {"enabled": False}},
    "several namespaces": {"operator": {"namespaces": [NAMESPACE, "other"]}},
    "a Redis of one's own": {
        "redis": {"enabled": False},
        "store": {"existingSecret": "mine", "existingSecretKey": "where"},
    },
    "a Redis by its URL": {"redis": {"enabled": False}, "store": {"url": "rediss://:p@redis:6380/1"}},
    "nothing secret": {"cluster": {"tls": {"mode": "Disabled"}, "tokens": {"mode": "Disabled"}}},
    "secrets given": {
        "cluster": {
            "tls": {"mode": "Secret", "secretRef": {"name": "certs"}},
            "tokens": {"mode": "Secret", "secretRef": {"name": "clients", "key": "list"}},
        }
    },
    "everything": {
        "image": {"digest": DIGEST, "pullPolicy": "Always", "pullSecrets": ["registry"]},
        "operator": {
            "image": {"repository": "other", "tag": "2", "pullPolicy": "Never"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"},
            ],
            "priorityClassName": "high",
            "podLabels": {"team": "data"},
            "podAnnotations": {"note": "here"},
            "serviceAccount": {"name": "own", "annotations": {"role": "arn"}},
        },
        "cluster": {
            "name": "words",
            "workers": {
                "replicas": 5,
                "slots": 2,
                "engineMemory": "2Gi",
                "template": {"nodeSelector": {"disk": "ssd"}, "env": [{"name": "A", "value": "b"}]},
            },
            "coordinator": {"enabled": True, "mode": "Global", "resources": {"requests": {"cpu": "1"}}},
            "network": {"clients": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
            "deadlines": {"progress": "10m"},
        },
        "store": {"onDeletion": "Delete"},
        "redis": {
            "password": "a:b/c@d#'\"",
            "maxMemory": "4gb",
            "config": "hz 20\nlua-time-limit 1000\n",
            "persistence": {"size": "1Gi", "storageClass": "fast"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "high",
        },
        "monitoring": {"dashboards": {"labels": {"find": "me"}, "annotations": {"grafana_folder": "Limnad"}}},
    },
}


def test_lint_finds_nothing_but_the_missing_icon() -> None:
    found = helm.lint(CHART)
    assert found["errors"] == []
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("name", SETS)
def test_every_object_is_one_that_kubernetes_takes(name: str) -> None:
    own = {
        crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for crd in (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (CHART / "crds").glob("*.yaml"))
    }
    for manifest in rendered(SETS[name]):
        if manifest["kind"] in own:
            jsonschema.validate(manifest, own[manifest["kind"]])
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", sorted((CHART / "crds").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_definition_is_one_that_kubernetes_takes(path: Any) -> None:
    kubernetes_validate.validate(yaml.safe_load(path.read_text(encoding="utf-8")), KUBERNETES, strict=True)


@pytest.mark.parametrize("name", SETS)
def test_pods_are_fit_for_the_restricted_standard(name: str) -> None:
    found = list(pod_specs(rendered(SETS[name])))
    assert found
    for label, spec in found:
        assert spec["securityContext"]["runAsNonRoot"] is True, label
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), label
        assert [volume for volume in spec.get("volumes", []) if "hostPath" in volume] == [], label
        for container in spec["containers"] + spec.get("initContainers", []):
            locked = container["securityContext"]
            assert locked["allowPrivilegeEscalation"] is False, label
            assert locked["capabilities"] == {"drop": ["ALL"]}, label
            assert locked["readOnlyRootFilesystem"] is True, label
            assert locked["seccompProfile"] == {"type": "RuntimeDefault"}, label
            assert container["resources"]["requests"], label


def test_only_the_operator_has_a_token() -> None:
    holders = {label for label, spec in pod_specs(rendered()) if spec.get("automountServiceAccountToken") is not False}
    assert holders == {f"Deployment/{RELEASE}-operator", f"Job/{RELEASE}-uninstall"}


def test_rights_are_roles_without_wildcards() -> None:
    manifests = rendered(SETS["several namespaces"])
    assert [each for each in manifests if each["kind"].startswith("Cluster")] == []
    roles = [each for each in manifests if each["kind"] == "Role"]
    assert {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in roles} == {
        (NAMESPACE, f"{RELEASE}-operator-lease"),
        (NAMESPACE, f"{RELEASE}-operator"),
        ("other", f"{RELEASE}-operator"),
    }
    for role in roles:
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
    bindings = {
        (each["metadata"]["namespace"], each["roleRef"]["name"]) for each in manifests if each["kind"] == "RoleBinding"
    }
    assert bindings == {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in roles}


def test_the_cluster_is_what_the_values_say() -> None:
    cluster = one(rendered(SETS["everything"]), "LimnadCluster")
    assert cluster["metadata"]["name"] == "words"
    spec = cluster["spec"]
    assert spec["image"] == f"limnad@{DIGEST}"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["store"] == {"secretRef": {"name": f"{RELEASE}-store", "key": "url"}, "onDeletion": "Delete"}
    assert spec["workers"]["replicas"] == 5
    assert spec["workers"]["engineMemory"] == "2Gi"
    assert spec["coordinator"] == {"enabled": True, "mode": "Global", "resources": {"requests": {"cpu": "1"}}}
    assert spec["deadlines"]["progress"] == "10m"


def test_without_a_number_of_workers_an_autoscaler_has_it() -> None:
    cluster = one(rendered({"cluster": {"workers": {"replicas": None}}}), "LimnadCluster")
    assert "replicas" not in cluster["spec"]["workers"]


def test_images_of_workers_and_operator_are_apart() -> None:
    manifests = rendered({"image": {"tag": "9"}})
    (operator,) = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert one(manifests, "LimnadCluster")["spec"]["image"] == "limnad:9"
    assert operator["image"] != "limnad:9"


def test_redis_keeps_what_it_was_given() -> None:
    secret = one(rendered(SETS["everything"]), "Secret")["stringData"]
    lines = secret["redis.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "maxmemory 4gb", "hz 20"} <= set(
        lines
    )
    assert secret["url"] == f"redis://:a%3Ab%2Fc%40d%23%27%22@{RELEASE}-redis.{NAMESPACE}.svc:6379/0"
    redis = one(rendered(SETS["everything"]), "StatefulSet")["spec"]
    assert redis["replicas"] == 1
    assert redis["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
    assert one(rendered(), "StatefulSet")["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"


def test_without_redis_there_is_nothing_of_it() -> None:
    manifests = rendered(SETS["a Redis of one's own"])
    assert [each for each in manifests if each["kind"] in ("StatefulSet", "Secret")] == []
    store = one(manifests, "LimnadCluster")["spec"]["store"]
    assert store["secretRef"] == {"name": "mine", "key": "where"}


def test_a_new_version_of_the_chart_alone_replaces_no_pod() -> None:
    for kind in ("Deployment", "StatefulSet"):
        labels = one(rendered(), kind)["spec"]["template"]["metadata"]["labels"]
        assert "helm.sh/chart" not in labels
        assert "app.kubernetes.io/version" not in labels


def test_notes_say_what_to_do_next() -> None:
    said = notes()
    assert "kubectl -n prod wait --for=condition=Ready limnadcluster/demo" in said
    assert "helm test demo -n prod" in said
    assert "port-forward service/demo-leader 7701 8265" in said
    assert "get secret demo-token" in said
    assert "CustomResourceDefinitions" in said
    assert "get secret demo-token" not in notes(SETS["nothing secret"])
    assert "WARNING: there is no store" in notes({"redis": {"enabled": False}})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"redsi": {"enabled": False}}, "additional properties 'redsi' not allowed"),
        ({"cluster": {"worker": {}}}, "additional properties 'worker' not allowed"),
        ({"cluster": {"workers": {"replicas": 0}}}, "minimum: got 0, want 1"),
        ({"cluster": {"checkpoint": {"interval": "fast"}}}, "at '/cluster/checkpoint/interval'"),
        ({"image": {"digest": "abc"}}, "at '/image/digest'"),
        ({"store": {"url": "redis://x"}}, "redis.enabled and store.url are set, but there can be only one store"),
        ({"cluster": {"name": "a" * 41}}, "has more than 40 letters"),
        ({"cluster": {"tls": {"mode": "Secret"}}}, "cluster.tls.secretRef goes with cluster.tls.mode=Secret"),
        ({"operator": {"namespaces": ["other"]}}, 'operator.namespaces does not contain "prod"'),
    ],
)
def test_wrong_values_are_refused_with_a_sentence(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)
