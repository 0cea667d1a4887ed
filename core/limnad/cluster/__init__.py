"""The machines of a cluster, sans-IO: events in, effects out.

- `worker`: one worker of a job: the scheduler, the view, the links to its peers, its partitions of the sources,
- `backpressure`: when sources must wait,
- `leader`: one run of a job, from its first engine to its last.

A shell (`limnad_worker`) or the simulation (`limnad.testing`) turns effects into bytes and bytes into events. What must
never live here: threads, clocks, sockets, randomness, processes, wire types.
"""
