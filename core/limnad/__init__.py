"""Limnad: timely dataflow for Python.

The library. It knows no process, no socket and no Kubernetes: what runs a dataflow (threads, gRPC, pods) are the shells
in ``limnad_worker``, ``limnad_coordinator`` and ``limnad_operator``, which stand on it and are never imported by it.
"""
