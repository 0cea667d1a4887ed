"""The coordinator process: the shell around the machine that sums progress updates of all workers.

Not there yet: this package holds its place and its charter, and nothing in it runs. It will hold the gRPC server, the
settings and the ``python -m limnad_coordinator`` entry point, and nothing that decides: that belongs to
``limnad.cluster``.
"""
