"""Sees to it that NetworkPolicies hold: in the pods' packet filters, and for what goes through Services."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.controllers.controller import Controller, Key
from tests.kubernetes.apiserver.controllers.pods import PODS, is_over
from tests.kubernetes.apiserver.kubelet.filtering import ruleset
from tests.kubernetes.apiserver.kubelet.network import GATEWAY, Forwards, Network
from tests.kubernetes.apiserver.objects import dig, name_of
from tests.kubernetes.apiserver.policies import FREE, Verdict, admits, verdict
from tests.kubernetes.apiserver.store import Change

POLICIES: Final = ("networking.k8s.io", "networkpolicies")
NAMESPACES: Final = ("", "namespaces")


class Policies(Controller):
    """Looks at all pods at once.

    Args:
        api: What there is.
        network: Of the pods.
        forwards: What goes through Services.
    """

    def __init__(self, api: Api, network: Network, forwards: Forwards) -> None:
        super().__init__(api)
        self._network = network
        self._forwards = forwards
        self._verdicts: dict[str, Verdict] = {}
        forwards.permits = self.permits

    def concerns(self, change: Change) -> Iterable[Key]:
        """A policy, a namespace that comes, or a pod of which something has changed that policies go by."""
        if change.kind in {POLICIES, NAMESPACES}:
            return [("", "")]
        if change.kind != PODS:
            return []
        old, new = change.before or {}, change.item
        same = all(
            dig(old, *path) == dig(new, *path)
            for path in (("metadata", "labels"), ("status", "podIP"), ("status", "phase"))
        )
        return [] if same and change.type == "MODIFIED" else [("", "")]

    def look(self, namespace: str, name: str) -> None:
        """At all."""
        policies = list(self.api.store.items(POLICIES))
        namespaces = {name_of(each): each for each in self.api.store.items(NAMESPACES)}
        pods = [pod for pod in self.api.store.items(PODS) if dig(pod, "status", "podIP") and not is_over(pod)]
        found = {pod["status"]["podIP"]: verdict(pod, policies, pods, namespaces) for pod in pods}
        for address, each in found.items():
            if each != self._verdicts.get(address, FREE):
                self._network.filter(address, ruleset(each, GATEWAY))
        self._verdicts = found
        self._forwards.end_what_is_not_permitted()

    def permits(self, client: str, target: str, port: int) -> bool:
        """Whether a pod may connect to another one; whoever is no pod may."""
        leaves = admits(self._verdicts.get(client, FREE).egress, target, port)
        known = client in self._verdicts
        return not known or (leaves and admits(self._verdicts.get(target, FREE).ingress, client, port))
