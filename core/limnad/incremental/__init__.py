"""Collections that change, and programs whose answers follow: incremental computation on frames.

A `Collection` is a multiset of rows at each time; its operators keep their answers up to date at a cost proportional to
what changes, in loops too (`Collection.iterate`): differential dataflow, after Naiad's library of that name. Here live
times as arrays (`times`), columns (`columns`), differences (`deltas`), their index by key (`trace`), the operators, and
the collection that users write with.

What must never live here: anything that is not written with the public `limnad.Vertex`; a Python loop over rows, but
for the user's own functions; an operator whose answer depends on the order in which batches arrive.
"""

from limnad.incremental.arranged import Arranged
from limnad.incremental.collection import Collection, from_stream
from limnad.incremental.grouped import Grouped
from limnad.incremental.loops import Variable, iterate
from limnad.incremental.reduce import Answers, Reduction

__all__ = ["Answers", "Arranged", "Collection", "Grouped", "Reduction", "Variable", "from_stream", "iterate"]
