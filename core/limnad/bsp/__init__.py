"""Bulk-synchronous programs: one on each worker, on its part of the rows, in supersteps.

Here lives what the numeric libraries (`limnad.graph`, `limnad.ml`) are written with. A program is a generator: what it
yields is one message for each worker, what it is given back is one message from each worker. So an algorithm reads
from top to bottom, and its arrays stay where they are between two supersteps.

- `programs`: what a program is given, and what it may keep for a restart,
- `runner`: the stage that runs programs, one for each time that has rows,
- `collectives`: messages that many programs need: gather, reduce.

What must never live here: algorithms; anything that a user could not write with the same public `limnad.Vertex`.
"""

from limnad.bsp.collectives import Reduction, all_gather, all_reduce
from limnad.bsp.programs import Part, Program, Supersteps
from limnad.bsp.runner import run_supersteps

__all__ = ["Part", "Program", "Reduction", "Supersteps", "all_gather", "all_reduce", "run_supersteps"]
