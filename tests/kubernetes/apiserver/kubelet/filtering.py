"""What a verdict means for the packets of one pod: the rules of a packet filter in its namespace.

A packet passes if either end may open the connection that it could be of. No connection is remembered, so one that is
open stands still when nobody may open it any more: network plugins differ in that, and Kubernetes leaves it to them.

A node always reaches its own pods. Connections to Services go through the node, which decides which of them are allowed
(`Policies.permits`); here a pod that may connect to nobody does not reach them either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.kubernetes.apiserver.policies import Opening, Openings, Verdict

SERVICES: Final = "10.96.0.0/12"
"""Where Services have their addresses."""

_FLAGS: Final = "tcp flags & (syn | ack)"


def ruleset(verdict: Verdict, node: str) -> str:
    """For ``nft -f``: it takes the place of what was there.

    Args:
        verdict: What is allowed.
        node: Its address.
    """
    ingress, egress = verdict.ingress, verdict.egress
    services = egress is None or bool(egress)
    lines = ["add table inet limnad", "delete table inet limnad", "add table inet limnad"]
    if ingress is not None:
        lines += _chain("input", "iif", "saddr", ingress, egress, services=services)
        lines.append(_rule("input", f"ip saddr {node} accept"))
    if egress is not None:
        lines += _chain("output", "oif", "daddr", egress, ingress, services=services)
        lines.append(_rule("output", f"ip daddr {node} {_FLAGS} != syn accept"))
    return "\n".join(lines) + "\n"


def _chain(
    hook: str, device: str, peer: str, opens: frozenset[Opening], answers: Openings, *, services: bool
) -> Iterator[str]:
    """What may pass in one direction; anything else is dropped.

    Args:
        hook: Which direction.
        device: What a packet calls the interface.
        peer: And the other end.
        opens: Connections that may be opened in this direction.
        answers: In the other one: what passes here answers them.
        services: Whether Services may be used.
    """
    yield f"add chain inet limnad {hook} {{ type filter hook {hook} priority 0; policy drop; }}"
    yield _rule(hook, f"{device} lo accept")
    for each in sorted(opens):
        yield _rule(hook, f"ip {peer} {each.block} tcp dport {each.first}-{each.last} accept")
    if answers is None:
        yield _rule(hook, f"{_FLAGS} != syn accept")
    for each in sorted(answers or ()):
        yield _rule(hook, f"ip {peer} {each.block} tcp sport {each.first}-{each.last} {_FLAGS} != syn accept")
    if services:
        yield _rule(hook, f"ip {peer} {SERVICES} meta l4proto tcp accept")


def _rule(hook: str, text: str) -> str:
    return f"add rule inet limnad {hook} {text}"
