"""An API server of the tests' own: what a test of the operator or of the chart needs of Kubernetes, without a cluster.

    with ApiServer() as server:                      # HTTPS on loopback, in a thread; ready when entered
        server.kubeconfig                            # for kubectl, Helm and every client
        server.fault(Fault(verb="update", resource="leases", code=500, times=3))
        server.fault(Fault(verb="watch", resource="pods", hang=True))
        server.forget()                              # watches and pages from before are answered 410

    with ApiServer(nodes=["n0", "n1"], images={"redis.*": Image(entrypoint=("redis-server",))}) as server:
        server.forward("ns", "redis-0", 6379)        # a port of loopback, as `kubectl port-forward` makes one
        server.vanish("n0", frozen=True)             # nobody hears of it; come_back() ends that
        server.pid("ns", "redis-0")                  # for signals

    python -m tests.kubernetes.apiserver [NODE...]   # one to play with: prints how to reach it, ends with Ctrl-C

A pod is a process tree in namespaces of its own (so as root only): it has its own address, may listen on 0.0.0.0 like
any other, sees its volumes at their paths over the machine's files, finds Services by their names, and gets real
signals. NetworkPolicies are in force, also on what goes through a Service. The image `limnad` is this checkout with the
Python that runs the tests; the tag `missing` is never there; others are named with `images`. Nothing of the pods'
network is reachable from outside except through `forward`.

In `tests/kubernetes` use the fixtures instead (`kubeconfig`, `api`, `core`, `namespace`; `own_server` for what cannot
be asked of a real server, `pods` for one that runs pods): with LIMNAD_KUBECONFIG set they are of the server that it
names.

What is where: `store` keeps objects and the log of changes; `api` does requests, with `checks`, `strategies`,
`applying` (server-side apply), `patches`, `scaling`, `eviction`, `crds` and `rules` (CEL); `policies` says what
NetworkPolicies allow; `http` is its face, with
`paths`, `discovery`, `openapi`, `tables`, `watching`, `wire` and `faults`; `controllers` do what a
cluster does by itself, `kubelet` runs its pods.

Not here: authorization, admission webhooks, quotas, conversion between versions, OpenAPI version 2. A client that sends
protobuf is understood for the kinds in `wire.proto`. Rules in CEL have the standard library, not Kubernetes' own
(`quantity`, `url`, optional fields).
"""

from tests.kubernetes.apiserver.faults import Fault
from tests.kubernetes.apiserver.kubelet.images import Image
from tests.kubernetes.apiserver.server import ApiServer

__all__ = ["ApiServer", "Fault", "Image"]
