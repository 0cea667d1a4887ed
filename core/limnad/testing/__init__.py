"""Testing jobs, and testing Limnad itself: the whole cluster in one process, decided by one seed.

`run` takes a job and lists of epochs and returns its outputs by epoch, on any number of simulated workers. It is the
same cluster core as in the real thing, under a seeded scheduler; at each step it checks the invariants of the progress
protocol. What must never live here: a second engine.
"""

from limnad.testing.invariants import Invariants
from limnad.testing.memory_store import MemorySpace
from limnad.testing.recovery import Recovery
from limnad.testing.runner import Result, build, run, simulate, spread_out
from limnad.testing.simulation import Simulation, SimulationError
from limnad.testing.trace import Call, Trace

__all__ = [
    "Call",
    "Invariants",
    "MemorySpace",
    "Recovery",
    "Result",
    "Simulation",
    "SimulationError",
    "Trace",
    "build",
    "run",
    "simulate",
    "spread_out",
]
