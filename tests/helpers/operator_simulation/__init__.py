"""The whole operator under one seed: two of its processes, an API server, controllers, leaders, users and faults.

What runs is the operator itself: its lease, its watches, its queue, its cache, its looks. What it talks to is modelled,
on an event loop whose time passes only when nobody has anything to do. Every call takes effect at one moment and is
answered at another, or never; watches tell in order, late, and break.

| part | what it models |
| --- | --- |
| loop | time |
| weather | how long everything takes, and what fails: all random numbers come from here |
| server | the API server: versions, conflicts, finalizers, watches with 410 |
| controllers | StatefulSets, pods and their nodes, garbage collection |
| leaders | jobs in a store, and the process that leads them |
| links | what lies between a process of the operator and all that |
| users | what people do to objects |
| simulation | all of it together |
| checks, settled | what has to be so at each moment, and in the end |
"""

from tests.helpers.operator_simulation.checks import Violation
from tests.helpers.operator_simulation.simulation import Simulation, simulate

__all__ = ["Simulation", "Violation", "simulate"]
