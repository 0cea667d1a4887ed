"""Runs a flow in one process, deterministically: the shortest way to test a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limnad.cluster.coordinator import Coordinator
from limnad.cluster.worker import Worker
from limnad.connectors.lists import ListSource
from limnad.stream.flow import BuiltFlow, Flow
from limnad.testing.simulation import Simulation
from limnad.testing.trace import Call, Trace
from limnad.timely.progress import Accumulation
from limnad.timely.source import Source

Epochs = Sequence[Any]
"""One batch (a list of records or a frame) for each epoch; None for an epoch without rows."""


@dataclass(frozen=True)
class Result:
    """What a simulated run gave.

    Attributes:
        outputs: By output name and epoch, all rows of the epoch; every epoch is there, the empty ones too.
        calls: Every callback of every vertex, in the order in which they ran.
        simulation: The simulation, at its end.
    """

    outputs: dict[str, dict[int, Any]]
    calls: list[Call]
    simulation: Simulation


def run(
    job: Callable[..., None],
    inputs: Mapping[str, Epochs] | None = None,
    *,
    workers: int = 1,
    seed: int = 0,
    accumulation: Accumulation = Accumulation.LOCAL,
    partitions: int = 3,
    check: bool = True,
    make_worker: type[Worker] = Worker,
    **arguments: Any,
) -> Result:
    """Runs a job in this process on simulated workers.

    Args:
        job: As `limnad run` takes it: a function that describes the dataflow.
        inputs: For each hand-fed input its epochs. Their rows are spread over some partitions.
        workers: How many simulated workers.
        seed: Decides every interleaving; the same seed gives the same run.
        accumulation: How progress updates are gathered.
        partitions: Over how many partitions each input is spread; independent of the number of workers.
        check: Whether to check the invariants of the progress protocol at each step.
        make_worker: The worker machine, for tests of the machine itself.
        arguments: Passed on to the job.

    Raises:
        SimulationError: An invariant broke, or the job came to rest unfinished.
        VertexFailure: The job's own code raised.
        KeyError: An input without rows, or rows without an input.

    >>> def job(flow: Flow) -> None:
    ...     flow.input("words").map(str.upper).output("loud")
    >>> run(job, {"words": [["a"], [], ["b"]]}, workers=2).outputs["loud"]
    {0: ['A'], 1: [], 2: ['B']}
    """
    simulation, trace = simulate(
        job,
        inputs,
        workers=workers,
        seed=seed,
        accumulation=accumulation,
        partitions=partitions,
        check=check,
        make_worker=make_worker,
        **arguments,
    )
    simulation.run()
    return Result(simulation.published, trace.calls, simulation)


def simulate(
    job: Callable[..., None],
    inputs: Mapping[str, Epochs] | None = None,
    *,
    workers: int = 1,
    seed: int = 0,
    accumulation: Accumulation = Accumulation.LOCAL,
    partitions: int = 3,
    check: bool = True,
    make_worker: type[Worker] = Worker,
    make_simulation: type[Simulation] = Simulation,
    make_coordinator: Callable[[str], Coordinator] = Coordinator,
    **arguments: Any,
) -> tuple[Simulation, Trace]:
    """Like `run`, but does not run: for tests that look at the cluster between two ticks."""
    built = build(job, **arguments)
    given = _sources(built, inputs or {}, partitions)
    simulation = make_simulation(
        built.graph,
        lambda: given,
        workers,
        seed,
        accumulation,
        make_worker=make_worker,
        check=check,
        make_coordinator=make_coordinator,
    )
    trace = Trace()
    for worker in simulation.workers:
        trace.watch(worker)
    for probe in built.probes:
        probe.attach(simulation.workers[0].frontier)
    return simulation, trace


def build(job: Callable[..., None], **arguments: Any) -> BuiltFlow:
    """Lets a job describe its dataflow, and checks it."""
    flow = Flow()
    job(flow, **arguments)
    return flow.build()


def _sources(built: BuiltFlow, inputs: Mapping[str, Epochs], partitions: int) -> dict[str, Source]:
    hand_fed = set(built.hand_fed)
    if unknown := sorted(set(inputs) - hand_fed):
        raise KeyError(f"the job has no hand-fed input {unknown[0]!r}; it has {sorted(hand_fed)}")
    if missing := sorted(hand_fed - set(inputs)):
        raise KeyError(f"give rows for the input {missing[0]!r}: inputs={{{missing[0]!r}: [[...], ...]}}")
    spread = {name: ListSource(spread_out(epochs, partitions)) for name, epochs in inputs.items()}
    return {**built.sources, **spread}


def spread_out(epochs: Epochs, partitions: int) -> list[list[Any]]:
    """Deals the rows of each epoch out to partitions; each partition keeps every epoch."""
    dealt: list[list[Any]] = [[] for _ in range(partitions)]
    for batch in epochs:
        for number, rows in enumerate(dealt):
            rows.append(None if batch is None else batch[number::partitions])
    return dealt
