"""A server to play with: ``python -m tests.kubernetes.apiserver [NODE...]``."""

import signal
import sys

from tests.kubernetes.apiserver.server import ApiServer

if __name__ == "__main__":
    with ApiServer(nodes=sys.argv[1:]) as server:
        sys.stdout.write(f"export KUBECONFIG={server.kubeconfig}\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
