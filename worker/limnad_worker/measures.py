"""What an engine tells of itself: the counters that its machine keeps anyway, read four times a second."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Mapping, Sequence

from limnad.cluster.worker import Worker
from limnad.histogram import Histogram
from limnad.timely.counters import ConnectorCounters, carriers
from limnad.timely.graph import LogicalGraph
from limnad_proto.v1 import control_pb2 as wire
from limnad_worker.links import CoordinatorLink, Peer

STATE_INTERVAL_S = 0.25
"""How often at most state is measured: it takes a look at everything that vertices hold."""

FRONTIER_TIMES = 3
"""How many times of a stage's frontier are told: enough to see where it stands."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class GcPauses:
    """For how long this process's cyclic collector has held everything up."""

    def __init__(self) -> None:
        self.pauses = Histogram()
        self._began_ns = 0

    def watch(self) -> None:
        """From now on."""
        gc.callbacks.append(self._told)

    def _told(self, phase: str, _: Mapping[str, int]) -> None:
        if phase == "start":
            self._began_ns = time.perf_counter_ns()
        elif self._began_ns:
            self.pauses.add(time.perf_counter_ns() - self._began_ns)


class Measures:
    """One engine's own, beside those of its machine.

    Attributes:
        loop_delay: For how long its streams could not move because it worked.
        progress_updates: How many it has sent.
        sent_bytes: What it has sent to peers, by connector.
        store_requests: Those of its ways to the store, as many as it has.
    """

    def __init__(self, graph: LogicalGraph, probes: Sequence[str]) -> None:
        self.loop_delay = Histogram()
        self.progress_updates = 0
        self.sent_bytes = [0 for _ in graph.connectors]
        self.store_requests: list[Histogram] = []
        self._carriers = [edge.index for edge in carriers(graph)]
        self._probes = probes
        self._gc = GcPauses()
        self._gc.watch()
        self._measured_s = 0.0

    def status(
        self, machine: Worker, peers: Sequence[Peer], hearers: Sequence[Peer | CoordinatorLink], epoch: int | None
    ) -> wire.Status:
        """How far the engine is; ``epoch`` is the first one that is not complete.

        Raises:
            StateFull: It holds more state than it may.
        """
        if time.monotonic() >= self._measured_s + STATE_INTERVAL_S:
            machine.measure_state()
            self._measured_s = time.monotonic()
        scheduler = machine.scheduler
        status = wire.Status(
            epoch=epoch,
            queued_bytes=scheduler.queued_bytes,
            in_flight_bytes=machine.pressure.in_flight_bytes,
            waiting_for_credit=machine.waiting_for_credit,
            progress_updates=self.progress_updates,
            progress_bytes=sum(link.progress_bytes for link in hearers),
            data_bytes=sum(peer.data_bytes for peer in peers),
            stages=_stages(machine),
            connectors=[self._connector(index, scheduler.connector_counters[index]) for index in self._carriers],
            epochs_opened=scheduler.epochs_opened,
            frontiers_known=scheduler.notifying,
            measures=self._measures(machine, epoch),
        )
        for probe in self._probes:
            frontier = machine.frontier(probe)
            if frontier:
                status.probes[probe] = frontier[0][0]
        return status

    def _connector(self, index: int, counters: ConnectorCounters) -> wire.ConnectorCounters:
        return wire.ConnectorCounters(
            rows=counters.rows,
            batches=counters.batches,
            bytes=counters.bytes,
            queued_bytes=counters.queued_bytes,
            sent_bytes=self.sent_bytes[index],
        )

    def _measures(self, machine: Worker, epoch: int | None) -> wire.Measures:
        scheduler = machine.scheduler
        for trips in scheduler.loops.values():
            trips.forget(before_epoch=epoch)
        return wire.Measures(
            buffered_bytes=scheduler.buffered_bytes,
            waited_us=machine.waited.total_ns // 1000,
            trips={name: trips.count for name, trips in scheduler.loops.items()},
            notification_delay=_wire(scheduler.notification_delays),
            gc_pause=_wire(self._gc.pauses),
            loop_delay=_wire(self.loop_delay),
            store_request=_wire(*self.store_requests),
            cpu_us=time.process_time_ns() // 1000,
            resident_bytes=_resident_bytes(),
        )


def _stages(machine: Worker) -> list[wire.StageCounters]:
    scheduler = machine.scheduler
    told = []
    for stage, counters, inputs in zip(machine.graph.stages, scheduler.counters, machine.graph.inputs, strict=True):
        received = [scheduler.connector_counters[edge.index] for edge in inputs]
        frontier = None if stage.is_system else machine.frontier_at(stage)
        told.append(
            wire.StageCounters(
                rows_in=sum(each.rows for each in received),
                rows_out=counters.rows_out,
                batches_in=sum(each.batches for each in received),
                notifications=counters.notifications,
                busy_us=counters.busy_ns // 1000,
                queued_bytes=sum(each.queued_bytes for each in received),
                state_bytes=machine.state_bytes.get(stage.name, 0),
                frontier=[wire.Time(coordinates=least) for least in (frontier or ())[:FRONTIER_TIMES]],
            )
        )
    return told


def _resident_bytes() -> int:
    """0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as pages:
            return int(pages.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _wire(*histograms: Histogram) -> wire.Histogram:
    counts = [sum(each) for each in zip(*(histogram.counts for histogram in histograms), strict=True)]
    return wire.Histogram(counts=counts, sum_ns=sum(histogram.sum_ns for histogram in histograms))
