"""What NetworkPolicies allow, and the packet filters that follow: no pod runs here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.apiserver.kubelet.filtering import ruleset
from tests.kubernetes.apiserver.policies import FREE, Opening, Verdict, admits, verdict


def pod(name: str, address: str, namespace: str = "a", **labels: str) -> dict[str, Any]:
    ports = [{"name": "http", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "main", "ports": ports}]},
        "status": {"podIP": address},
    }


PODS = [pod("web", "10.0.0.1", app="web"), pod("db", "10.0.0.2", app="db"), pod("far", "10.0.0.3", "b", app="db")]
NAMESPACES = {name: {"metadata": {"name": name, "labels": {"kind": name}}} for name in "ab"}


def of_web(**spec: Any) -> Verdict:
    spec |= {"policyTypes": [each.capitalize() for each in spec], "podSelector": {"matchLabels": {"app": "web"}}}
    return verdict(PODS[0], [{"metadata": {"name": "p", "namespace": "a"}, "spec": spec}], PODS, NAMESPACES)


def tcp(**port: Any) -> dict[str, Any]:
    return {"protocol": "TCP", **port}


DB = {"podSelector": {"matchLabels": {"app": "db"}}}


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ({}, {Opening("0.0.0.0/0")}),
        ({"from": [DB]}, {Opening("10.0.0.2/32")}),
        ({"from": [{"namespaceSelector": {}, **DB}]}, {Opening("10.0.0.2/32"), Opening("10.0.0.3/32")}),
        ({"from": [{"namespaceSelector": {"matchLabels": {"kind": "b"}}}]}, {Opening("10.0.0.3/32")}),
        ({"from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}, {Opening("10.1.0.0/16")}),
        ({"ports": [tcp(port=80, endPort=90)]}, {Opening("0.0.0.0/0", 80, 90)}),
        ({"ports": [tcp(port="http")]}, {Opening("0.0.0.0/0", 8080, 8080)}),
        ({"ports": [{"protocol": "UDP", "port": 53}]}, set()),
    ],
)
def test_rules_name_peers_and_ports(rule: dict[str, Any], allowed: set[Opening]) -> None:
    found = of_web(ingress=[rule])
    assert found == Verdict(ingress=frozenset(allowed))
    assert admits(found.egress, "10.0.0.9", 1), "that direction is free"


def test_ports_by_name_are_those_of_whoever_is_connected_to() -> None:
    found = of_web(egress=[{"to": [DB], "ports": [tcp(port="http")]}])
    assert found == Verdict(egress=frozenset({Opening("10.0.0.2/32", 8080, 8080)}))


def test_policies_add_up_and_those_of_other_namespaces_say_nothing() -> None:
    def policy(namespace: str, port: int) -> dict[str, Any]:
        ingress = [{"ports": [tcp(port=port)]}]
        spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress}
        return {"metadata": {"name": str(port), "namespace": namespace}, "spec": spec}

    found = verdict(PODS[0], [policy("a", 1), policy("a", 2), policy("b", 3)], PODS, NAMESPACES)
    assert [admits(found.ingress, "10.0.0.9", port) for port in (1, 2, 3)] == [True, True, False]
    assert verdict(PODS[0], [policy("b", 3)], PODS, NAMESPACES) == FREE


def test_a_pod_without_openings_hears_its_node_alone_and_answers_it() -> None:
    rules = ruleset(Verdict(frozenset(), frozenset()), "10.0.0.254").splitlines()
    accepted = [rule.removeprefix("add rule inet limnad ") for rule in rules if rule.endswith("accept")]
    assert accepted == [
        "input iif lo accept",
        "input ip saddr 10.0.0.254 accept",
        "output oif lo accept",
        "output ip daddr 10.0.0.254 tcp flags & (syn | ack) != syn accept",
    ]
