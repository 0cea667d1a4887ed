"""One worker of a job as a state machine: what arrives goes in, what must be sent comes out.

The shell's loop (Naiad, section 3.2) is: hand over what has arrived; call `step` until it returns False, handing on the
effects now and then; sleep until something arrives or `retry_s` has passed.

    arrivals -> data / progress / ack / push -> step -> effects -> peers, subscribers

Messages run before notifications, and either before a source is read: what is in flight stays small.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from limnad.batch import size_bytes
from limnad.cluster.alignment import USUAL_LIMITS, AheadLimits
from limnad.cluster.backpressure import BATCH_BYTES, BUDGET_BYTES, Backpressure
from limnad.cluster.effects import (
    COORDINATOR,
    Ack,
    Captured,
    Data,
    Effect,
    Halt,
    LogCut,
    Marker,
    Progress,
    Publish,
    is_next,
)
from limnad.cluster.halting import Halting, Held
from limnad.cluster.inputs import Inputs
from limnad.cluster.state_limits import StateLimits
from limnad.timely.counters import Stopwatch
from limnad.timely.graph import LogicalGraph, Stage
from limnad.timely.keeper import Keeper
from limnad.timely.progress import Accumulation, FlushPolicy, ProgressBuffer
from limnad.timely.reachability import Locations
from limnad.timely.scheduler import Parcel, Scheduler
from limnad.timely.snapshot import Part, Snapshot
from limnad.timely.source import Cut, PartitionKey, Source
from limnad.timely.timestamp import END, Timestamp
from limnad.timely.tracker import Tracker, Update

NO_LIMITS = StateLimits()


class Worker:
    """The machine.

    Args:
        graph: The job's graph, the same at every worker.
        index: Which worker this is.
        workers: How many there are.
        sources: What feeds each input stage, by the stage's name.
        accumulation: How progress updates are gathered.
        budget_bytes: See `backpressure`.
        clock_ns: Only for telling how long something took; nothing depends on it.
        generation: Which run of the job this is.
        job: Which job: the same in all its generations, and no other job's.
        scheduler_type: `Scheduler`, or a kind of it that watches what it runs.
        cuts: See `Inputs`.
        limits: How much state it may hold.
        ahead: See `Inputs`.

    Attributes:
        state_bytes: About how much each stage that has state holds here, as `measure_state` has found.
        first_epoch: The first epoch that the initial counts heard so far leave open; None: none does. What lies before
            is covered by the checkpoint from which the job goes on.
    """

    def __init__(
        self,
        graph: LogicalGraph,
        index: int,
        workers: int,
        sources: Mapping[str, Source],
        accumulation: Accumulation = Accumulation.LOCAL,
        budget_bytes: int = BUDGET_BYTES,
        clock_ns: Callable[[], int] = lambda: 0,
        generation: int = 1,
        job: str = "job",
        scheduler_type: Callable[..., Scheduler] = Scheduler,
        cuts: Mapping[PartitionKey, Sequence[Cut]] | None = None,
        limits: StateLimits = NO_LIMITS,
        ahead: AheadLimits = USUAL_LIMITS,
    ) -> None:
        self.job = job
        self.graph = graph
        self.generation = generation
        self.index = index
        self.workers = workers
        self.locations = Locations(graph)
        self.view = Tracker(self.locations)
        self.buffer = ProgressBuffer()
        self.policy = FlushPolicy(accumulation)
        self._scheduler_type = scheduler_type
        self.scheduler = self._make_scheduler(clock_ns)
        self.inputs = Inputs(graph, self.scheduler, index, workers, sources, self._slowest, cuts, ahead)
        peers = [peer for peer in range(workers) if peer != index]
        self.pressure = Backpressure(peers, budget_bytes)
        self.waiting_for_credit = False
        self.waited = Stopwatch(clock_ns)
        self._effects: list[Effect] = []
        # Its own updates it learns as it sends them, or from the coordinator, never both.
        tellers = [COORDINATOR] if accumulation.at_coordinator else peers
        self._learns_by_sending = not accumulation.at_coordinator
        self._silent = set(tellers)
        self._sent_data = dict.fromkeys(peers, 0)
        self._got_data = dict.fromkeys(peers, 0)
        self._got_progress = dict.fromkeys(tellers, 0)
        self._sent_progress = 0
        self._round: Timestamp | None = None
        self.first_epoch: int | None = None
        self._halting = Halting(frozenset(peers))
        self._clock_ns = clock_ns
        self._halted_ns = self._stopped_ns = 0
        self._captured: dict[int, Snapshot] = {}
        self._limits = limits
        self.state_bytes: dict[str, int] = {}

    def _make_scheduler(self, clock_ns: Callable[[], int]) -> Scheduler:
        return self._scheduler_type(
            self.graph,
            self.locations,
            self.view,
            self.buffer,
            self.index,
            self.workers,
            self._publish,
            clock_ns,
            self.generation,
            self.job,
        )

    # -- events ------------------------------------------------------------------------------------------------------

    def start(self, restored: Sequence[Part] = ()) -> None:
        """Makes the vertices, opens this worker's partitions, and tells all peers the initial counts.

        Args:
            restored: All workers' parts of the checkpoint from which the job goes on. Parts of other workers need only
                hold what this worker gets a share of.

        Raises:
            VertexFailure: A vertex could not be made or restored.
            StateError: A state cannot be restored.
            SourceFailure: A source could not be opened.
        """
        self.scheduler.start()
        self._keeper = Keeper(self.graph, self.scheduler)
        if restored:
            self._keeper.restore(restored)
        self._keeper.started()
        # A sink may have been told of one epoch more than were opened: the end of all inputs.
        epochs = max((max(part.epochs_opened, *part.completed.values(), 0) for part in restored), default=0)
        self.inputs.open({key: state for part in restored for key, state in part.partitions.items()}, epochs)
        initial = self.buffer.take()
        self._note_first_epoch(initial)
        self._send_progress(initial)
        self._check_all_heard()

    def data_arrived(self, sender: int, sequence: int, connector: int, time: Timestamp, batch: Any) -> None:
        """A peer's batch. One that has come before is dropped.

        Raises:
            LinkError: One or more before it are missing.
        """
        if self._is_next(self._got_data, sender, sequence, "data"):
            self.pressure.arrived(sender)
            if self._halting.holds_back(sender):
                self._halting.hold(Held(connector, time, batch))
            else:
                self.scheduler.deliver(connector, time, batch)

    def progress_arrived(self, sender: int, message: Progress) -> None:
        """Progress updates of a peer or the coordinator. Those that have come before are dropped.

        Raises:
            LinkError: One or more before them are missing.
        """
        if self._is_next(self._got_progress, sender, message.sequence, "progress"):
            self._silent.discard(sender)
            if message.sequence == 0:
                self._note_first_epoch(message.updates)
            self._learn(message.updates, message.epochs)
            self._check_all_heard()

    def ack_arrived(self, sender: int, ack: Ack) -> None:
        """A peer tells what it has received and what waits there."""
        self.pressure.acknowledged(sender, ack.received, ack.queued_bytes, full=ack.full)

    def measure_state(self) -> None:
        """Has `state_bytes` say what vertices hold now, and sources wait if that is too much.

        Raises:
            StateFull: It is more than a worker may hold.
        """
        self.state_bytes = self._keeper.state_bytes()
        self.pressure.full = self._limits.is_full(self.state_bytes, self.index)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def begin_checkpoint(self, checkpoint: int) -> None:
        """The leader asks for a checkpoint: the worker halts until all markers are here.

        Raises:
            VertexFailure: User code raised while the outgoing buffers were emptied.
        """
        if checkpoint <= self._halting.newest:
            return
        # The word that the one before was given up may come later than a peer's marker of this one. What was held back
        # for that one came before this one's markers: it belongs to this one.
        self._run_on()
        self._halting.begin(checkpoint)
        self._halted_ns = self._clock_ns()
        self._hand_out(self.scheduler.flush())
        for peer in sorted(self._halting.peers):
            self.pressure.sent(peer, 0)
            self._effects.append(Marker(peer, self._sent_data[peer], checkpoint))
            self._sent_data[peer] += 1
        self._stopped_ns = self._clock_ns()
        self._capture_if_complete()

    def marker_arrived(self, sender: int, sequence: int, checkpoint: int) -> None:
        """A peer's marker: all that it sent before the checkpoint has arrived.

        Raises:
            LinkError: A message before it is missing.
            VertexFailure: User code raised while the outgoing buffers were emptied.
        """
        if self._is_next(self._got_data, sender, sequence, "data"):
            self.pressure.arrived(sender)
            self.begin_checkpoint(checkpoint)
            self._halting.marked(sender, checkpoint)
            self._capture_if_complete()

    def abort_checkpoint(self, checkpoint: int) -> None:
        """The leader has given up a checkpoint."""
        self._captured.pop(checkpoint, None)
        if self._halting.abort(checkpoint):
            self._run_on()

    def checkpoint_committed(self, checkpoint: int) -> None:
        """A checkpoint is durable.

        Raises:
            VertexFailure: A vertex's `on_commit` raised.
        """
        snapshot = self._captured.pop(checkpoint, None)
        if snapshot is not None:
            self._captured = {number: kept for number, kept in self._captured.items() if number > checkpoint}
            self._keeper.committed(snapshot)

    def check_declared(self) -> None:
        """Checks that a checkpoint would hold all that vertices remember, as far as that can be seen.

        Raises:
            StateError: A vertex seems to keep something that it has not declared.
        """
        self._keeper.check_declared()

    def forget_committed(self) -> None:
        """What earlier checkpoints have stored is lost: the next one has to hold everything."""
        self._keeper.forget()

    @property
    def halted(self) -> bool:
        """Whether the worker waits for the markers of a checkpoint."""
        return self._halting.checkpoint is not None

    def _capture_if_complete(self) -> None:
        if not self._halting.complete:
            return
        checkpoint = self._halting.checkpoint
        assert checkpoint is not None
        complete_ns = self._clock_ns()
        snapshot = Snapshot(self.index, self.workers, self.generation)
        self._keeper.capture(snapshot)
        snapshot.partitions = self.inputs.capture()
        self._captured[checkpoint] = snapshot
        captured_ns = self._clock_ns()
        halt = Halt(self._stopped_ns - self._halted_ns, complete_ns - self._stopped_ns, captured_ns - complete_ns)
        self._effects.append(Captured(checkpoint, snapshot, halt))
        self._run_on()

    def _run_on(self) -> None:
        for held in self._halting.run_on():
            self.scheduler.deliver(held.connector, held.time, held.batch)

    # -- running -----------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Does one thing: a callback, a flush or a read; False if there is nothing to do until something arrives.

        Raises:
            VertexFailure: User code raised.
        """
        scheduler = self.scheduler
        if self._halting.checkpoint is not None:
            return self._flush_progress() or self._idle()
        if scheduler.step():
            self._hand_out(scheduler.flush_full())
            if scheduler.next_message_time() != self._round:
                self._round = scheduler.next_message_time()
                self._flush_progress()
            return True
        return self._flush_progress() or self._read() or self._flush_all() or self._idle()

    def _read(self) -> bool:
        held_bytes = self._queued_bytes + self.scheduler.buffered_bytes
        readable = self.inputs.readable
        must_wait = readable and self.pressure.must_wait(held_bytes)
        if must_wait is not self.waiting_for_credit:
            self.waiting_for_credit = must_wait
            self.waited.turn(on=must_wait)
        if must_wait or not readable:
            return False
        self._hand_out(self.scheduler.flush(before_epoch=self.inputs.next_epoch))
        has_read = self.inputs.read()
        self._effects.extend(LogCut(key, cut) for key, cut in self.inputs.take_cuts())
        self._hand_out(self.scheduler.flush_full())
        return has_read

    @property
    def _queued_bytes(self) -> int:
        """What waits here, as back-pressure counts it."""
        return self.scheduler.queued_bytes + BATCH_BYTES * self.scheduler.queued_batches

    def _slowest(self, stage: Stage) -> int | None:
        frontier = self.frontier_at(stage)
        return frontier[0][0] if frontier else None

    def _flush_all(self) -> bool:
        parcels = self.scheduler.flush()
        self._hand_out(parcels)
        return bool(parcels) or self.scheduler.has_messages

    def _idle(self) -> bool:
        self._effects.extend(self.pressure.acks(self._queued_bytes, idle=True))
        return False

    @property
    def retry_s(self) -> float | None:
        """After how many seconds `wake` should be called if nothing else happens; None: never."""
        return self.inputs.retry_s

    def wake(self) -> None:
        """Idle sources may have something now."""
        self.inputs.wake()

    def cut_logged(self, key: PartitionKey) -> None:
        """What a `LogCut` asked for is durable."""
        self.inputs.cut_logged(key)

    @property
    def finished(self) -> bool:
        """Whether nothing can ever happen any more, anywhere in the cluster."""
        return (
            self.scheduler.notifying
            and self.view.vacant
            and not self.buffer
            and self.scheduler.quiet
            and not self.halted
        )

    def take_effects(self) -> Sequence[Effect]:
        """What is to be done since the last call, in order."""
        if not self._effects:
            return ()
        effects, self._effects = self._effects, []
        return effects

    def close(self) -> None:
        """Releases the readers."""
        self.inputs.close()

    def frontier(self, stage_name: str) -> list[Timestamp] | None:
        """The least times that may still arrive at the inputs of a stage, as far as this worker knows.

        Empty: nothing can arrive any more. None: nothing is known before every worker has been heard.
        """
        return self.frontier_at(self.graph.stage(stage_name))

    def frontier_at(self, stage: Stage) -> list[Timestamp] | None:
        """See `frontier`."""
        if not self.scheduler.notifying:
            return None
        inputs = self.graph.inputs[stage.index]
        locations = [edge.index for edge in inputs] or [self.locations.of_stage(stage)]
        return sorted({time for location in locations for time in self.view.implied[location].frontier})

    @property
    def epoch(self) -> int | None:
        """The first epoch that is not complete everywhere, None when all are; the end is the one behind the last."""
        epoch = self.view.first_epoch
        return self.scheduler.epochs_opened if epoch == END else epoch

    # -- effects -----------------------------------------------------------------------------------------------------

    def _hand_out(self, parcels: list[Parcel]) -> None:
        for parcel in parcels:
            peer = parcel.worker
            self.pressure.sent(peer, size_bytes(parcel.batch))
            self._effects.append(Data(peer, self._sent_data[peer], parcel.connector, parcel.time, parcel.batch))
            self._sent_data[peer] += 1
        self._effects.extend(self.pressure.acks(self._queued_bytes, idle=False))

    def _flush_progress(self) -> bool:
        batches = self.policy.batches(self.buffer, self.view)
        for updates in batches:
            self._send_progress(updates)
        return bool(batches)

    def _send_progress(self, updates: list[Update]) -> None:
        epochs = self.scheduler.epochs_opened
        if self._got_progress:
            self._effects.append(Progress(self._sent_progress, updates, epochs))
        self._sent_progress += 1
        if self._learns_by_sending:
            self._learn(updates, epochs)

    def _publish(self, output: str, epoch: int, batch: Any) -> None:
        self._effects.append(Publish(output, epoch, batch))

    # -- the view ----------------------------------------------------------------------------------------------------

    def _learn(self, updates: list[Update], epochs: int) -> None:
        self.scheduler.open_epochs(epochs)
        self.scheduler.frontier_changed(self.view.update(updates))

    def _note_first_epoch(self, initial: Iterable[Update]) -> None:
        epochs = [time[0] for _, time, count in initial if count > 0 and time[0] != END]
        known = [] if self.first_epoch is None else [self.first_epoch]
        self.first_epoch = min([*known, *epochs], default=None)

    def _check_all_heard(self) -> None:
        if not self._silent and not self.scheduler.notifying:
            self.scheduler.notifying = True

    def _is_next(self, counters: dict[int, int], sender: int, sequence: int, stream: str) -> bool:
        return is_next(counters, sender, sequence, stream)
