"""Graphs: algorithms on the edges of each epoch, and two runners for one's own.

Here lives what computes a whole graph anew: each takes a stream of edges (columns ``src`` and ``dst``), treats each
epoch's edges as one graph, and answers with a stream of one row for each node. The numeric work is done by NumPy,
SciPy and Polars on each worker's part; what travels between workers are columns.

Algorithms that follow a graph as it changes have the same names in ``limnad.graph.incremental``, and take a collection
of edges instead of a stream.

What must never live here: anything that is not written with the public API.
"""

from limnad.graph import incremental
from limnad.graph.components import connected_components
from limnad.graph.counting import degrees, triangles
from limnad.graph.gas import Gas, gas
from limnad.graph.neighbourhoods import core_numbers, label_propagation
from limnad.graph.pagerank import Way, pagerank
from limnad.graph.paths import breadth_first, estimated_distances, landmark_distances, shortest_paths
from limnad.graph.pregel import Pregel, Step, pregel
from limnad.graph.strong_components import strongly_connected_components

__all__ = [
    "Gas",
    "Pregel",
    "Step",
    "Way",
    "breadth_first",
    "connected_components",
    "core_numbers",
    "degrees",
    "estimated_distances",
    "gas",
    "incremental",
    "label_propagation",
    "landmark_distances",
    "pagerank",
    "pregel",
    "shortest_paths",
    "strongly_connected_components",
    "triangles",
]
