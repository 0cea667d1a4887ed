"""The model of timely dataflow: times, graphs, progress, vertices. Sans-IO.

Here lives what the Naiad paper (SOSP 2013) calls timely dataflow, one idea a file:

- `timestamp`: times and their partial order (section 2.1),
- `summary`: what a path through loops does to a time (section 2.3),
- `graph`: stages, connectors, loop contexts, and the rules a graph must obey (section 2.1),
- `reachability`: could-result-in as a table of minimal path summaries (section 2.3): the definition,
- `order`: a processing order of pointstamps that grows along every edge,
- `antichain`: a multiset of times with its minimal elements,
- `tracker`: counts in, frontier changes out (section 2.3): the definition made fast,
- `progress`: when progress updates may be held back (section 3.3),
- `vertex`: what a user writes (section 2.2),
- `scheduler`: which callback runs next on one worker (section 3.2).

What must never live here: threads, clocks, sockets, randomness, Kubernetes, gRPC, processes.
"""

from limnad.timely.graph import (
    Connector,
    GraphBuilder,
    GraphError,
    LogicalGraph,
    LoopContext,
    Stage,
    StageKind,
)
from limnad.timely.reachability import Reachability
from limnad.timely.summary import PathSummary
from limnad.timely.timestamp import END, TOP, Timestamp, join, less_equal, meet
from limnad.timely.tracker import Tracker
from limnad.timely.vertex import TimeError, Vertex

__all__ = [
    "END",
    "TOP",
    "Connector",
    "GraphBuilder",
    "GraphError",
    "LogicalGraph",
    "LoopContext",
    "PathSummary",
    "Reachability",
    "Stage",
    "StageKind",
    "TimeError",
    "Timestamp",
    "Tracker",
    "Vertex",
    "join",
    "less_equal",
    "meet",
]
