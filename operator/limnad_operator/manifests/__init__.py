"""What is wanted of the API server for one `LimnadCluster`: pure functions from its spec to plain objects.

Nothing here knows what there is already; that is `limnad_operator.reconcile`'s. All pods are fit for the restricted Pod
Security standard.
"""

from limnad_operator.manifests.certificates import Certificates, certificates_due, issue, issue_token, token_manifest
from limnad_operator.manifests.children import children
from limnad_operator.manifests.naming import (
    AGENT_PORT,
    CLIENT_PORT,
    COORDINATOR_PORT,
    HEALTH_PORT,
    ISOLATED,
    TEMPLATE,
    Shape,
    labels,
    selector,
)
from limnad_operator.manifests.pods import client_pod

__all__ = [
    "AGENT_PORT",
    "CLIENT_PORT",
    "COORDINATOR_PORT",
    "HEALTH_PORT",
    "ISOLATED",
    "TEMPLATE",
    "Certificates",
    "Shape",
    "certificates_due",
    "children",
    "client_pod",
    "issue",
    "issue_token",
    "labels",
    "selector",
    "token_manifest",
]
