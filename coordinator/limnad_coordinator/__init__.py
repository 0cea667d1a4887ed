"""The coordinator process: the shell around the machine that sums progress updates of all workers.

Here live the gRPC server, the settings and the ``python -m limnad_coordinator`` entry point. What must never live here:
decisions (they belong to `limnad.cluster.coordinator`), and user code.
"""
