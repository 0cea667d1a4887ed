"""An engine process: one thread that owns all vertices of one worker of one job, and its loop.

    inbox -> machine.step() ... -> effects -> peers and agent -> sleep on the inbox

The thread never polls: it sleeps in the inbox, into which gRPC's streams put what arrives.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limnad.batch import CodecError, decode, encode
from limnad.cluster.effects import COORDINATOR, Ack, Captured, Data, Halt, LogCut, Marker, Progress, Publish
from limnad.cluster.inputs import is_timed
from limnad.cluster.leader import Fault
from limnad.cluster.records import PartError
from limnad.cluster.worker import Worker
from limnad.store import StoreError, Unavailable
from limnad.stream.flow import BuiltFlow
from limnad.stream.jobfile import build_job
from limnad.timely.context import Context
from limnad.timely.progress import Accumulation
from limnad.timely.scheduler import Scheduler, VertexFailure
from limnad.timely.snapshot import Part
from limnad.timely.source import Cut, PartitionKey
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import exchange_pb2
from limnad_worker import framing, links, log_format
from limnad_worker.control import AgentLost, Control
from limnad_worker.cutting import CutLogged, CutLogs, CutLost
from limnad_worker.description import describe_flow
from limnad_worker.failures import Unrestorable, describe
from limnad_worker.inbox import Inbox
from limnad_worker.links import Arrived, Broken, CoordinatorLink, Identity, Peer
from limnad_worker.measures import Measures
from limnad_worker.processes import collect_at_rest, limit_memory, name_process, quieten_gc, state_limits
from limnad_worker.taking import Taking
from limnad_worker.writer import Writer, Written, check_durable

if TYPE_CHECKING:
    from limnad_worker.epoch_spans import EpochSpans

STATUS_INTERVAL_S = 0.25
"""How often a busy engine tells how far it is: as often as a live view is drawn."""

EPOCH_INTERVAL_S = 0.005
"""How often at most an engine that sleeps between its callbacks tells that an epoch is complete: what it tells then is
some tens of numbers for each stage."""

BURST_S = 0.0005
"""For how long a busy engine runs callbacks before it lets its streams move: a look at them costs 10 microseconds."""


PACKAGES = "packages"
"""The folder of an archive that holds what `limnad pack` has put there: it is on the module path, behind the job."""


class Stopped(Exception):
    """The engine is to end."""


class Engine:
    """One engine.

    Args:
        inbox: Where all its news come in.
        server: What its peers connect to.
        control: Its line to the leader.
        token: The secret by which that knows this process.
        cache: Where the machine keeps archives.
    """

    def __init__(self, inbox: Inbox, server: links.Server, control: Control, token: str, cache: Path) -> None:
        self._token = token
        self._cache = cache
        self._worker = 0
        self._inbox = inbox
        self._server = server
        self._control = control
        self._early: deque[Arrived] = deque()
        self._peers: dict[int, Peer] = {}
        self._hearers: Sequence[Peer | CoordinatorLink] = ()
        self._told_s = 0.0
        self._untold = False
        self._measures: Measures | None = None
        self._epoch_told: int | None = -1
        self._writer: Writer | None = None
        self._published: dict[str, int] = {}
        self._cuts: dict[int, dict[str, int]] = {}
        self._taking = Taking()
        self._cut_logs: CutLogs | None = None
        self._halts: dict[int, Halt] = {}
        self._spans: EpochSpans | None = None

    def run(self) -> None:
        """Works until the agent says stop, or is gone. A failure is told to the agent, and then waited out."""
        try:
            self._work()
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the agent is to know
            self._control.send(failed=describe(error, self._worker))
            self._wait_for_stop()
        finally:
            self._server.close()
            for link in dict.fromkeys((*self._peers.values(), *self._hearers)):
                link.close()
            self._flush_spans()
            self._control.close()
            if self._writer is not None:
                self._writer.close()
            if self._cut_logs is not None:
                self._cut_logs.close()
            self._inbox.close()

    def _work(self) -> None:
        prepare = self._expect("prepare")
        self._worker = prepare.worker
        name_process(f"limnad-w{self._worker}")
        log_format.about(partial(_log_fields, prepare, None))
        arguments = {argument.name: argument.value for argument in prepare.arguments}
        built = build_job(self._find(prepare), prepare.function, arguments)
        identity = Identity(prepare.job, prepare.generation, self._worker, prepare.secret)
        self._server.admit(identity)
        self._control.send(built=describe_flow(built))
        scheduler: Callable[..., Scheduler] = Scheduler
        if prepare.traceparent:
            scheduler = self._traced(prepare)
        start = self._expect("start")
        self._measures = Measures(built.graph, [probe.name for probe in built.probes])
        if prepare.store:
            self._writer = Writer(prepare.store, prepare.space, self._inbox)
            self._measures.store_requests.append(self._writer.requests)
        check_durable(built.committed, self._writer)
        self._peers = links.connect(start.members, identity, self._inbox)
        self._hearers = links.connect_hearers(self._peers, start, identity, self._inbox)
        machine = Worker(
            built.graph,
            self._worker,
            prepare.workers,
            built.sources,
            Accumulation(start.accumulation),
            clock_ns=time.perf_counter_ns,
            generation=prepare.generation,
            job=prepare.identity,
            scheduler_type=scheduler,
            cuts=self._logged_cuts(prepare, built),
            limits=state_limits(),
        )
        log_format.about(partial(_log_fields, prepare, machine))
        for probe in built.probes:
            probe.attach(machine.frontier)
        machine.start(self._restored(prepare) if prepare.restore else ())
        if prepare.store:
            machine.check_declared()
        try:
            self._loop(machine)
        except VertexFailure:
            self._send_status(machine)  # How far it came helps to find out why.
            raise

    def _find(self, prepare: wire.Prepare) -> str:
        """The job file's path."""
        if not prepare.archive:
            return prepare.path
        folder = self._control.fetch_archive(self._token, prepare.archive, self._cache)
        sys.path[:0] = [str(folder), str(folder / PACKAGES)]
        return str(folder / prepare.path)

    def _restored(self, prepare: wire.Prepare) -> Sequence[Part]:
        assert self._writer is not None
        began_ns = time.perf_counter_ns()
        try:
            return self._writer.read(prepare.restore, self._worker, prepare.workers)
        except Unavailable:
            raise  # The checkpoint is as good as it was: the next generation begins with it once more.
        except (StoreError, PartError, CodecError) as error:
            raise Unrestorable(f"checkpoint {prepare.restore} cannot be restored: {error}") from error
        finally:
            if self._spans is not None:
                took_ns = time.perf_counter_ns() - began_ns
                self._spans.part("start", prepare.restore, "read checkpoint", began_ns, took_ns)

    def _traced(self, prepare: wire.Prepare) -> Callable[..., Scheduler]:
        from limnad_worker.epoch_spans import TracedScheduler, epoch_spans

        spans = self._spans = epoch_spans(prepare)
        return partial(TracedScheduler, spans) if spans is not None else Scheduler

    def _flush_spans(self) -> None:
        if self._spans is not None:
            self._spans.flush()

    def _logged_cuts(self, prepare: wire.Prepare, built: BuiltFlow) -> dict[PartitionKey, list[Cut]] | None:
        """The cuts of timed inputs so far; None: they are not logged."""
        stages = [stage for stage, source in built.sources.items() if is_timed(source)]
        if not prepare.store or not stages:
            return None
        self._cut_logs = CutLogs(prepare.store, prepare.space, stages, self._worker, prepare.generation, self._inbox)
        if self._measures is not None:
            self._measures.store_requests.append(self._cut_logs.requests)
        return self._cut_logs.open()

    def _loop(self, machine: Worker) -> None:
        quieten_gc()
        for early in self._early:
            self._arrived(machine, early)
        self._carry_out(machine)
        told_finished = False
        assert self._measures is not None
        delay = self._measures.loop_delay
        while True:
            began_ns = time.perf_counter_ns()
            self._drain(machine)
            busy = self._burst(machine)
            more = self._take(machine) or busy
            busy_ns = time.perf_counter_ns() - began_ns
            delay.add(busy_ns)
            if self._spans is not None:
                self._spans.look(machine, at_rest=not more)
            if more:
                self._inbox.poll(busy_ns / 1e9)
                continue
            if machine.finished and not told_finished:
                told_finished = True
                self._send_status(machine)
                self._flush_spans()
                self._control.send(finished=wire.Finished())
            self._sleep(machine)

    def _burst(self, machine: Worker) -> bool:
        """Runs some callbacks; False when there was nothing left to run."""
        until_s = time.monotonic() + BURST_S
        while machine.step():
            self._untold = True
            self._carry_out(machine)
            if time.monotonic() >= until_s:
                return True
        self._carry_out(machine)
        return False

    def _sleep(self, machine: Worker) -> None:
        event = self._inbox.wait(_sooner(machine.retry_s, self._tell_epoch(machine)))
        if event is None:
            collect_at_rest()
            machine.wake()
        else:
            self._handle(machine, event)

    def _tell_epoch(self, machine: Worker) -> float | None:
        """Tells the agent when an epoch has become complete; after how many seconds to look again, None for never."""
        early_s = self._told_s + EPOCH_INTERVAL_S - time.monotonic()
        if early_s > 0:
            return early_s
        if machine.epoch != self._epoch_told:
            self._send_status(machine)
        elif self._untold:
            self._tell_rest(machine)
        return None

    def _tell_rest(self, machine: Worker) -> None:
        """Tells the agent what the engine did last, though no epoch became complete by it; not more often than ever."""
        wait_s = self._told_s + STATUS_INTERVAL_S - time.monotonic()
        if wait_s > 0:
            self._inbox.ring(wait_s)
        else:
            self._send_status(machine)

    def _drain(self, machine: Worker) -> None:
        while (event := self._inbox.take()) is not None:
            self._handle(machine, event)

    # -- events --------------------------------------------------------------------------------------------------------

    def _handle(self, machine: Worker, event: Any) -> None:
        self._untold = True
        if isinstance(event, Arrived):
            self._arrived(machine, event)
        elif isinstance(event, Written):
            self._written(machine, event)
        elif isinstance(event, CutLogged):
            machine.cut_logged(event.key)
        else:
            self._told(machine, event)

    def _arrived(self, machine: Worker, event: Arrived) -> None:
        message = event.message
        if isinstance(message, exchange_pb2.ProgressMessage):
            if message.HasField("batch"):
                progress = links.unpack_progress(message.batch)
                if event.sender == COORDINATOR and self._measures is not None:
                    self._measures.progress_updates += len(progress.updates)  # What peers have sent they have counted.
                machine.progress_arrived(event.sender, progress)
            else:
                machine.ack_arrived(event.sender, links.unpack_ack(event.sender, message.ack))
        elif message.encoding == framing.MARKER:
            machine.marker_arrived(event.sender, message.sequence, message.time[0])
        else:
            batch = decode(message.encoding, bytes(message.payload), trusted=True)
            machine.data_arrived(event.sender, message.sequence, message.connector, message.time, batch)

    def _told(self, machine: Worker | None, event: Any) -> None:
        if isinstance(event, AgentLost):
            raise Stopped
        if isinstance(event, CutLost):
            self._control.send(failed=wire.Failed(summary=event.reason, fault=Fault.ENGINE.value))
        elif isinstance(event, Broken):
            self._control.send(failed=wire.Failed(summary=event.reason, fault=Fault.LINK.value))
        elif isinstance(event, wire.ToEngine):
            if event.HasField("stop"):
                raise Stopped
            if machine is not None:
                self._ordered(machine, event)

    def _ordered(self, machine: Worker, order: wire.ToEngine) -> None:
        match order.WhichOneof("message"):
            case "push":
                self._taking.push(order.push)
            case "drain":
                machine.inputs.drain(order.drain.inputs)
            case "begin_checkpoint":
                machine.begin_checkpoint(order.begin_checkpoint.checkpoint)
            case "abort_checkpoint":
                machine.abort_checkpoint(order.abort_checkpoint.checkpoint)
            case "checkpoint_committed":
                self._committed(machine, order.checkpoint_committed.checkpoint)

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def _captured(self, captured: Captured) -> None:
        assert self._writer is not None
        self._halts[captured.checkpoint] = captured.halt
        if self._spans is not None:
            halt = captured.halt
            halted_ns = halt.stop_ns + halt.markers_ns + halt.references_ns
            self._spans.part("checkpoint", captured.checkpoint, "halt", time.perf_counter_ns() - halted_ns, halted_ns)
        self._cuts[captured.checkpoint] = dict(self._published)
        self._writer.write(captured)

    def _written(self, machine: Worker, written: Written) -> None:
        number = written.checkpoint
        halt, published = self._halts.pop(number), self._cuts.pop(number)
        if self._spans is not None:
            took_ns = (written.encode_us + written.upload_us) * 1000
            self._spans.part("checkpoint", number, "write", time.perf_counter_ns() - took_ns, took_ns)
        if written.part is None:
            if written.lost:
                machine.forget_committed()
            self._control.send(not_stored=wire.NotStored(checkpoint=number, reason=written.error))
            return
        self._control.send(
            stored=wire.Stored(
                checkpoint=number,
                part=written.part,
                phases=wire.CheckpointPhases(
                    stop_us=halt.stop_ns // 1000,
                    markers_us=halt.markers_ns // 1000,
                    references_us=halt.references_ns // 1000,
                    encode_us=written.encode_us,
                    upload_us=written.upload_us,
                    stored_bytes=written.stored_bytes,
                ),
                published=published,
            )
        )

    def _committed(self, machine: Worker, checkpoint: int) -> None:
        assert self._writer is not None
        self._writer.committed(checkpoint)
        machine.checkpoint_committed(checkpoint)
        self._control.send(released=wire.Released(checkpoint=checkpoint))

    def _take(self, machine: Worker) -> bool:
        """Takes what was pushed, as far as there is room; whether there was anything."""
        answers = self._taking.answers(machine.inputs)
        for answer in answers:
            self._control.send(pushed=answer)
        if answers:
            machine.wake()
        return bool(answers)

    def _expect(self, field: str) -> Any:
        """Waits for one kind of message from the agent; keeps what eager peers send meanwhile."""
        while True:
            event = self._inbox.wait()
            if isinstance(event, Arrived):
                self._early.append(event)
            elif isinstance(event, wire.ToEngine) and event.WhichOneof("message") == field:
                return getattr(event, field)
            else:
                self._told(None, event)

    def _wait_for_stop(self) -> None:
        with contextlib.suppress(Stopped):
            self._expect("stop")

    # -- effects -------------------------------------------------------------------------------------------------------

    def _carry_out(self, machine: Worker) -> None:
        assert self._measures is not None
        for effect in machine.take_effects():
            match effect:
                case Progress():
                    self._measures.progress_updates += len(effect.updates) * len(self._hearers)
                    message = links.pack_progress(effect)
                    for link in self._hearers:
                        link.send_progress(message)
                case Data():
                    encoding, payload = encode(effect.batch, trusted=True)
                    packed = links.pack_data(effect, encoding, payload)
                    self._measures.sent_bytes[effect.connector] += len(packed)
                    self._peers[effect.peer].send_data(packed)
                case Ack():
                    self._peers[effect.peer].send_ack(links.pack_ack(effect))
                case Marker():
                    marker = framing.pack(effect.sequence, 0, (effect.checkpoint,), framing.MARKER, b"")
                    self._peers[effect.peer].send_data(marker)
                case _:
                    self._keep_or_publish(effect)
        now_s = time.monotonic()
        if now_s >= self._told_s + STATUS_INTERVAL_S:
            self._send_status(machine)

    def _keep_or_publish(self, effect: Publish | Captured | LogCut) -> None:
        match effect:
            case Publish():
                self._publish(effect)
            case Captured():
                self._captured(effect)
            case LogCut():
                assert self._cut_logs is not None
                self._cut_logs.append(effect)

    def _publish(self, effect: Publish) -> None:
        self._published[effect.output] = effect.epoch + 1
        encoding, payload = encode(effect.batch)
        self._control.send(
            output=wire.Output(
                name=effect.output,
                epoch=effect.epoch,
                encoding=exchange_pb2.Encoding.Name(int(encoding)),
                payload=payload,
                rows=len(effect.batch),
            )
        )

    def _send_status(self, machine: Worker) -> None:
        self._told_s = time.monotonic()
        self._untold = False
        epoch = self._epoch_told = machine.epoch
        assert self._measures is not None
        status = self._measures.status(machine, list(self._peers.values()), self._hearers, epoch)
        status.waiting = "" if self._cut_logs is None else self._cut_logs.waiting
        self._control.send(status=status)


def _log_fields(prepare: wire.Prepare, machine: Worker | None) -> dict[str, Any]:
    """What a line of this engine's log is about; looked up only when one is written."""
    told = {"job": prepare.job, "generation": prepare.generation, "worker": prepare.worker}
    if machine is None:
        return told
    for stage, vertex in zip(machine.graph.stages, machine.scheduler.vertices, strict=True):
        context = vertex._context if vertex is not None else None
        if isinstance(context, Context) and context.capabilities is not None:
            held = context.capabilities
            return {**told, "stage": stage.name, "epoch": held[0][0] if held else None}
    return told


def _sooner(first_s: float | None, second_s: float | None) -> float | None:
    """The shorter of two times to wait, None being for ever."""
    return min((time_s for time_s in (first_s, second_s) if time_s is not None), default=None)


def run_engine(leader: str, token: str, host: str, pid: int, *, memory_bytes: int | None, cache: Path) -> None:
    """The life of an engine process."""
    name_process("limnad-spare")
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # What it prints is to be read while it works, and if it dies.
    inbox = Inbox()
    server = links.Server(inbox, host)
    control = Control(leader, inbox)
    if memory_bytes is not None:
        limit_memory(memory_bytes)
    control.send(hello=wire.Hello(token=token, pid=pid, address=server.address))
    Engine(inbox, server, control, token, cache).run()
