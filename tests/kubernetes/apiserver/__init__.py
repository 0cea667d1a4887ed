"""An API server of the tests' own: what a test of the operator or of the chart needs of Kubernetes, without a cluster.

    with ApiServer() as server:                      # HTTPS on loopback, in a thread; ready when entered
        server.kubeconfig                            # for kubectl, Helm and every client
        server.fault(Fault(verb="update", resource="leases", code=500, times=3))
        server.fault(Fault(verb="watch", resource="pods", hang=True))
        server.forget()                              # watches and pages from before are answered 410

    python -m tests.kubernetes.apiserver             # one to play with: prints how to reach it, ends with Ctrl-C

In `tests/kubernetes` use the fixtures instead (`kubeconfig`, `api`, `core`, `namespace`, and `own_server` for what
cannot be asked of a real server): with KUBECONFIG set they are of the server that it names.

What is where: `store` keeps objects and the log of changes; `api` does requests, with `checks`, `strategies`,
`applying` (server-side apply), `patches`, `scaling`, `eviction`, `crds` and `rules` (CEL); `http` is its face, with
`paths`, `discovery`, `openapi`, `tables`, `watching`, `wire` and `faults`; `controllers` do the rest.

Not here: authorization, admission webhooks, quotas, conversion between versions, OpenAPI version 2. A client that sends
protobuf is understood for the kinds in `wire.proto`. Rules in CEL have the standard library, not Kubernetes' own
(`quantity`, `url`, optional fields).
"""

from tests.kubernetes.apiserver.faults import Fault
from tests.kubernetes.apiserver.server import ApiServer

__all__ = ["ApiServer", "Fault"]
