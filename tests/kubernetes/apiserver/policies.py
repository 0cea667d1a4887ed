"""NetworkPolicies: who may open a connection to whom, as functions of plain objects.

A pod that no policy selects in a direction talks to all in it; one that some select, to those whom one of them allows.
Only TCP counts. Not here: ports by name towards blocks of addresses, and exceptions from blocks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.kubernetes.apiserver.objects import Object, dig, namespace_of
from tests.kubernetes.apiserver.selectors import by_selector

ALL: Final = "0.0.0.0/0"
LAST_PORT: Final = 65535


@dataclass(frozen=True, slots=True, order=True)
class Opening:
    """Whom a rule names, and the ports of whoever is connected to.

    Attributes:
        block: Addresses, as a CIDR.
        first: The first port.
        last: The last one.
    """

    block: str
    first: int = 0
    last: int = LAST_PORT

    def admits(self, address: str, port: int) -> bool:
        """Whether it is meant."""
        inside = ipaddress.ip_address(address) in ipaddress.ip_network(self.block)
        return inside and self.first <= port <= self.last


Openings = frozenset[Opening] | None
"""None: no policy selects the pod in this direction."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policies say of one pod.

    Attributes:
        ingress: Who may connect to it.
        egress: Whom it may connect to.
    """

    ingress: Openings = None
    egress: Openings = None


FREE: Final = Verdict()


def admits(openings: Openings, address: str, port: int) -> bool:
    """Whether a connection is allowed in that direction."""
    return openings is None or any(each.admits(address, port) for each in openings)


def verdict(
    pod: Object, policies: Sequence[Object], pods: Sequence[Object], namespaces: Mapping[str, Object]
) -> Verdict:
    """What is allowed to a pod.

    Args:
        pod: Which.
        policies: All.
        pods: All that have an address.
        namespaces: All, by name.
    """
    chosen = [
        policy
        for policy in policies
        if namespace_of(policy) == namespace_of(pod) and by_selector(policy["spec"]["podSelector"])(pod)
    ]
    sides: dict[str, Openings] = {}
    for side, peers in (("Ingress", "from"), ("Egress", "to")):
        selecting = [policy for policy in chosen if side in policy["spec"]["policyTypes"]]
        sides[side.lower()] = (
            frozenset(
                opening
                for policy in selecting
                for rule in policy["spec"].get(side.lower()) or []
                for peer, there in _peers(policy, rule.get(peers), pods, namespaces)
                for opening in _openings(peer, rule.get("ports"), pod if side == "Ingress" else there)
            )
            if selecting
            else None
        )
    return Verdict(**sides)


def _peers(
    policy: Object, peers: list[Object] | None, pods: Sequence[Object], namespaces: Mapping[str, Object]
) -> Iterator[tuple[str, Object | None]]:
    """Blocks of addresses, each with the pod that it is, if it is one."""
    if not peers:
        yield ALL, None
    for peer in peers or []:
        if "ipBlock" in peer:
            yield peer["ipBlock"]["cidr"], None
            continue
        in_namespace = by_selector(peer["namespaceSelector"]) if "namespaceSelector" in peer else None
        is_meant = by_selector(peer.get("podSelector", {}))
        for pod in pods:
            home = namespace_of(pod)
            if in_namespace is None:
                near = home == namespace_of(policy)
            else:
                near = home in namespaces and in_namespace(namespaces[home])
            if near and is_meant(pod):
                yield f"{pod['status']['podIP']}/32", pod


def _openings(block: str, ports: list[Object] | None, pod: Object | None) -> Iterator[Opening]:
    if not ports:
        yield Opening(block)
    for port in ports or []:
        number = port.get("port")
        if port["protocol"] != "TCP":
            continue
        if number is None:
            yield Opening(block)
        elif isinstance(number, int):
            yield Opening(block, number, port.get("endPort", number))
        else:
            yield from (Opening(block, each, each) for each in _named(number, pod))


def _named(name: str, pod: Object | None) -> Iterator[int]:
    """The port that a pod calls so."""
    for container in dig(pod, "spec", "containers", default=[]):
        for port in container.get("ports") or []:
            if port.get("name") == name:
                yield port["containerPort"]
