"""What is wanted for a cluster, as a table of specs."""

from __future__ import annotations

import base64
from typing import Any

import kubernetes_validate
import pytest
from cryptography import x509

from limnad_operator.manifests import Shape, certificates_due, children, issue, issue_token, token_manifest
from limnad_operator.manifests.certificates import ANNOUNCED_S
from limnad_operator.manifests.naming import ISOLATED, TEMPLATE
from limnad_operator.manifests.pods import worker_template
from limnad_operator.model import ClusterSpec

NOW_S = 1_750_000_000.0
DAY_S = 86_400.0

SPECS: dict[str, dict[str, Any]] = {
    "least": {},
    "all": {
        "imagePullSecrets": [{"name": "registry"}],
        "workers": {
            "slots": 2,
            "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
            "engineMemory": "512Mi",
            "template": {
                "labels": {"team": "x", "app.kubernetes.io/name": "not this"},
                "annotations": {"a": "b"},
                "nodeSelector": {"disk": "fast"},
                "tolerations": [{"key": "spot", "operator": "Exists"}],
                "priorityClassName": "high",
                "terminationGracePeriodSeconds": 90,
                "env": [{"name": "POLARS_MAX_THREADS", "value": "2"}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "initContainers": [{"name": "wait", "image": "busybox"}],
            },
        },
        "coordinator": {"enabled": True, "mode": "Global", "resources": {"requests": {"cpu": "100m"}}},
        "store": {"secretRef": {"name": "redis", "key": "url"}},
        "network": {"clients": [{"namespaceSelector": {}}]},
    },
    "given secrets": {
        "tls": {"mode": "Secret", "secretRef": {"name": "mine"}, "domain": "x.example.org"},
        "tokens": {"mode": "Secret", "secretRef": {"name": "tokens", "key": "all"}},
    },
    "open": {
        "tls": {"mode": "Disabled"},
        "tokens": {"mode": "Disabled"},
        "metrics": {"enabled": False},
        "page": {"enabled": False},
        "network": {"policy": False},
    },
}


def shape(spec: dict[str, Any], replicas: int = 3) -> Shape:
    return Shape("c", "ns", "uid", ClusterSpec.model_validate({"image": "limnad:1", **spec}), replicas)


def by_kind(spec: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["kind"], each["metadata"]["name"]): each for each in children(shape(spec))}


def worker(spec: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = by_kind(spec)["StatefulSet", "c-worker"]["spec"]["template"]["spec"]
    return pod


def env(spec: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in worker(spec)["containers"][0]["env"]}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_manifests_are_valid_strictly(spec: dict[str, Any]) -> None:
    for manifest in [*children(shape(spec)), token_manifest(shape(SPECS["least"]), "t")]:
        kubernetes_validate.validate(manifest, "1.36", strict=True)
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == ("uid", True)
        assert manifest["metadata"]["namespace"] == "ns"


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_pods_are_fit_for_restricted_pod_security(spec: dict[str, Any]) -> None:
    pods = [each["spec"]["template"]["spec"] for each in children(shape(spec)) if "template" in each.get("spec", {})]
    assert pods
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        context = pod["containers"][0]["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        mounts = [mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]]
        assert sorted(mounts) == sorted(volume["name"] for volume in pod["volumes"])


def test_pods_start_together_and_are_found_before_they_are_ready() -> None:
    made = by_kind({})
    pods = made["StatefulSet", "c-worker"]["spec"]
    assert (pods["podManagementPolicy"], pods["updateStrategy"]) == ("Parallel", {"type": "OnDelete"})
    assert pods["serviceName"] == "c-workers"
    for service in ("c-workers", "c-leader"):
        found = made["Service", service]["spec"]
        assert found["publishNotReadyAddresses"]
        chosen = {**pods["template"]["metadata"]["labels"], "apps.kubernetes.io/pod-index": "0"}
        assert found["selector"].items() <= chosen.items()


def test_a_template_says_all_but_how_many_there_are() -> None:
    templates = [worker_template(shape({}, replicas)) for replicas in (1, 5)]
    assert templates[0] == templates[1]
    assert by_kind({})["ConfigMap", "c-settings"]["data"] == {"config.toml": "agents = 3\n"}
    digests = {worker_template(shape(spec))["metadata"]["annotations"][TEMPLATE] for spec in SPECS.values()}
    assert len(digests) == len(SPECS)


def test_what_a_worker_is_told() -> None:
    told = env(SPECS["all"])
    assert told["LIMNAD_STORE"] == {"secretKeyRef": {"name": "redis", "key": "url"}}
    assert told["LIMNAD_PEERS_DNS"] == "c-leader.ns.svc:7700"
    assert told["LIMNAD_MEMORY"] == "512MiB"
    assert told["LIMNAD_GRACE"] == "80"
    assert (told["LIMNAD_PROGRESS"], told["LIMNAD_COORDINATOR"]) == ("global", "c-coordinator.ns.svc:7710")
    assert told["LIMNAD_TLS_CERT"] == "/etc/limnad/tls/tls.crt"
    assert "LIMNAD_INSECURE" not in told
    assert env(SPECS["open"])["LIMNAD_INSECURE"] == "true"
    assert env(SPECS["given secrets"])["LIMNAD_TOKEN_FILE"] == "/etc/limnad/tokens/all"
    assert "LIMNAD_STORE" not in env({})


def test_the_operators_labels_win_over_those_of_the_spec() -> None:
    labels = by_kind(SPECS["all"])["StatefulSet", "c-worker"]["spec"]["template"]["metadata"]["labels"]
    assert (labels["team"], labels["app.kubernetes.io/name"]) == ("x", "limnad")


def test_what_is_not_wanted_is_not_made() -> None:
    assert not [name for kind, name in by_kind(SPECS["open"]) if kind == "NetworkPolicy"]
    assert ("Deployment", "c-coordinator") not in by_kind({})
    assert ("Deployment", "c-coordinator") in by_kind(SPECS["all"])


def test_a_pod_with_the_label_is_allowed_nothing_and_any_other_is_not_cut_off() -> None:
    made = by_kind({})
    allows, isolates = (made["NetworkPolicy", name]["spec"] for name in ("c-worker", "c-isolated"))
    assert allows["podSelector"]["matchLabels"] == isolates["podSelector"]["matchLabels"]
    assert allows["podSelector"]["matchExpressions"] == [{"key": ISOLATED, "operator": "DoesNotExist"}]
    assert isolates["podSelector"]["matchExpressions"] == [{"key": ISOLATED, "operator": "Exists"}]
    assert isolates["policyTypes"] == ["Ingress", "Egress"]
    assert not isolates.keys() & {"ingress", "egress"}, "nothing is allowed"


# -- certificates ------------------------------------------------------------------------------------------------------


def leaf(data: dict[str, str]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))


def test_certificates_are_signed_by_their_authority_and_name_roles_and_service() -> None:
    made = issue(shape({}), None, NOW_S)
    for secret in (made.authority, made.leaf):
        kubernetes_validate.validate(secret, "1.36", strict=True)
    held = leaf(made.leaf["data"])
    (root,) = x509.load_pem_x509_certificates(base64.b64decode(made.leaf["data"]["ca.crt"]))
    held.verify_directly_issued_by(root)
    found = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    said = set(found.get_values_for_type(x509.DNSName))
    assert {
        "leader.limnad.internal",
        "worker.limnad.internal",
        "coordinator.limnad.internal",
        "c-leader.ns.svc",
    } <= said


def test_when_certificates_are_due() -> None:
    made = issue(shape({}), None, NOW_S)
    authority, held = made.authority["data"], made.leaf["data"]
    assert certificates_due(shape({}), None, None, NOW_S)
    assert certificates_due(shape({}), authority, held, NOW_S) == ""
    assert certificates_due(shape({}), authority, held, NOW_S + 59 * DAY_S) == ""
    assert certificates_due(shape({}), authority, held, NOW_S + 61 * DAY_S)
    assert certificates_due(shape({}), authority, {"tls.crt": "bm8="}, NOW_S)
    renamed = shape({"tls": {"mode": "SelfSigned", "domain": "other.internal"}})
    assert certificates_due(renamed, authority, held, NOW_S)


def test_of_two_authorities_both_are_believed_while_one_follows_the_other() -> None:
    first = issue(shape({}), None, NOW_S)
    later = issue(shape({}), first.authority["data"], NOW_S + 60 * DAY_S)
    assert later.authority["data"] == first.authority["data"], "the authority stays when the certificate is renewed"
    due_s = NOW_S + 2500 * DAY_S
    announced = issue(shape({}), first.authority["data"], due_s)
    old, new = x509.load_pem_x509_certificates(base64.b64decode(announced.leaf["data"]["ca.crt"]))
    leaf(announced.leaf["data"]).verify_directly_issued_by(old)  # Who has not heard of the next one believes it.
    last = issue(shape({}), announced.authority["data"], due_s + ANNOUNCED_S)
    roots = x509.load_pem_x509_certificates(base64.b64decode(last.leaf["data"]["ca.crt"]))
    assert roots == [new, old]
    leaf(last.leaf["data"]).verify_directly_issued_by(new)


def test_the_next_authority_signs_when_it_has_been_announced() -> None:
    first = issue(shape({}), None, NOW_S)
    due_s = NOW_S + 2500 * DAY_S
    assert certificates_due(shape({}), first.authority["data"], first.leaf["data"], due_s)
    announced = issue(shape({}), first.authority["data"], due_s)
    held = announced.authority["data"], announced.leaf["data"]
    assert certificates_due(shape({}), *held, due_s + ANNOUNCED_S - 1) == ""
    assert certificates_due(shape({}), *held, due_s + ANNOUNCED_S)
    assert issue(shape({}), held[0], due_s + ANNOUNCED_S - 1).authority["data"] == held[0], "there is one next one"
    last = issue(shape({}), held[0], due_s + ANNOUNCED_S)
    assert certificates_due(shape({}), last.authority["data"], last.leaf["data"], due_s + ANNOUNCED_S) == ""


def test_an_authority_that_is_over_is_not_waited_for() -> None:
    first = issue(shape({}), None, NOW_S)
    over_s = NOW_S + 3651 * DAY_S
    announced = issue(shape({}), first.authority["data"], over_s)
    assert certificates_due(shape({}), announced.authority["data"], announced.leaf["data"], over_s)
    last = issue(shape({}), announced.authority["data"], over_s)
    assert certificates_due(shape({}), last.authority["data"], last.leaf["data"], over_s) == ""


def test_tokens_differ() -> None:
    one, other = issue_token(shape({})), issue_token(shape({}))
    kubernetes_validate.validate(one, "1.36", strict=True)
    assert one["metadata"]["name"] == "c-token"
    assert one["data"]["token"] != other["data"]["token"]
