"""A worker process: the shell around the machines of ``limnad.cluster``.

Here live threads, clocks, gRPC servers and channels, signals and metrics: the shell interprets the effects that the
pure core asks for. It decides nothing: whatever decides belongs to ``limnad.cluster``, where it can be simulated.
"""
