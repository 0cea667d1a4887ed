from limnad_proto.v1 import exchange_pb2 as _exchange_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FromEngine(_message.Message):
    __slots__ = ("hello", "built", "status", "output", "finished", "failed", "pushed", "stored", "not_stored", "released")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    BUILT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    PUSHED_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    NOT_STORED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    built: Built
    status: Status
    output: Output
    finished: Finished
    failed: Failed
    pushed: Pushed
    stored: Stored
    not_stored: NotStored
    released: Released
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., built: _Optional[_Union[Built, _Mapping]] = ..., status: _Optional[_Union[Status, _Mapping]] = ..., output: _Optional[_Union[Output, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., pushed: _Optional[_Union[Pushed, _Mapping]] = ..., stored: _Optional[_Union[Stored, _Mapping]] = ..., not_stored: _Optional[_Union[NotStored, _Mapping]] = ..., released: _Optional[_Union[Released, _Mapping]] = ...) -> None: ...

class ToEngine(_message.Message):
    __slots__ = ("prepare", "start", "push", "stop", "begin_checkpoint", "abort_checkpoint", "checkpoint_committed", "drain")
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    BEGIN_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    ABORT_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_COMMITTED_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    prepare: Prepare
    start: Start
    push: Push
    stop: Stop
    begin_checkpoint: BeginCheckpoint
    abort_checkpoint: AbortCheckpoint
    checkpoint_committed: CheckpointCommitted
    drain: Drain
    def __init__(self, prepare: _Optional[_Union[Prepare, _Mapping]] = ..., start: _Optional[_Union[Start, _Mapping]] = ..., push: _Optional[_Union[Push, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., begin_checkpoint: _Optional[_Union[BeginCheckpoint, _Mapping]] = ..., abort_checkpoint: _Optional[_Union[AbortCheckpoint, _Mapping]] = ..., checkpoint_committed: _Optional[_Union[CheckpointCommitted, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ...) -> None: ...

class FetchArchiveRequest(_message.Message):
    __slots__ = ("token", "archive")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    token: str
    archive: str
    def __init__(self, token: _Optional[str] = ..., archive: _Optional[str] = ...) -> None: ...

class ArchivePiece(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("token", "pid", "address")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    token: str
    pid: int
    address: str
    def __init__(self, token: _Optional[str] = ..., pid: _Optional[int] = ..., address: _Optional[str] = ...) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("job", "generation", "path", "function", "arguments", "workers", "store", "space", "restore", "worker", "archive", "traceparent", "identity", "secret")
    JOB_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    job: str
    generation: int
    path: str
    function: str
    arguments: _containers.RepeatedCompositeFieldContainer[Argument]
    workers: int
    store: str
    space: str
    restore: int
    worker: int
    archive: str
    traceparent: str
    identity: str
    secret: str
    def __init__(self, job: _Optional[str] = ..., generation: _Optional[int] = ..., path: _Optional[str] = ..., function: _Optional[str] = ..., arguments: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ..., workers: _Optional[int] = ..., store: _Optional[str] = ..., space: _Optional[str] = ..., restore: _Optional[int] = ..., worker: _Optional[int] = ..., archive: _Optional[str] = ..., traceparent: _Optional[str] = ..., identity: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...

class Argument(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Built(_message.Message):
    __slots__ = ("fingerprint", "stages", "inputs", "outputs", "probes", "graph", "connectors", "edges", "loops")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    CONNECTORS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    LOOPS_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    stages: _containers.RepeatedCompositeFieldContainer[StageInfo]
    inputs: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedCompositeFieldContainer[OutputInfo]
    probes: _containers.RepeatedScalarFieldContainer[str]
    graph: str
    connectors: _containers.RepeatedCompositeFieldContainer[ConnectorInfo]
    edges: _containers.RepeatedCompositeFieldContainer[Edge]
    loops: _containers.RepeatedCompositeFieldContainer[LoopInfo]
    def __init__(self, fingerprint: _Optional[str] = ..., stages: _Optional[_Iterable[_Union[StageInfo, _Mapping]]] = ..., inputs: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[_Union[OutputInfo, _Mapping]]] = ..., probes: _Optional[_Iterable[str]] = ..., graph: _Optional[str] = ..., connectors: _Optional[_Iterable[_Union[ConnectorInfo, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ..., loops: _Optional[_Iterable[_Union[LoopInfo, _Mapping]]] = ...) -> None: ...

class ConnectorInfo(_message.Message):
    __slots__ = ("name", "source", "target")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    target: str
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class StageInfo(_message.Message):
    __slots__ = ("name", "label", "kind", "loop", "home")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    name: str
    label: str
    kind: str
    loop: str
    home: int
    def __init__(self, name: _Optional[str] = ..., label: _Optional[str] = ..., kind: _Optional[str] = ..., loop: _Optional[str] = ..., home: _Optional[int] = ...) -> None: ...

class LoopInfo(_message.Message):
    __slots__ = ("name", "parent")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    parent: int
    def __init__(self, name: _Optional[str] = ..., parent: _Optional[int] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("source", "target", "partition", "feedback")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    source: int
    target: int
    partition: str
    feedback: bool
    def __init__(self, source: _Optional[int] = ..., target: _Optional[int] = ..., partition: _Optional[str] = ..., feedback: _Optional[bool] = ...) -> None: ...

class OutputInfo(_message.Message):
    __slots__ = ("name", "printed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRINTED_FIELD_NUMBER: _ClassVar[int]
    name: str
    printed: bool
    def __init__(self, name: _Optional[str] = ..., printed: _Optional[bool] = ...) -> None: ...

class Start(_message.Message):
    __slots__ = ("members", "accumulation", "coordinator")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    ACCUMULATION_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedScalarFieldContainer[str]
    accumulation: str
    coordinator: Appointed
    def __init__(self, members: _Optional[_Iterable[str]] = ..., accumulation: _Optional[str] = ..., coordinator: _Optional[_Union[Appointed, _Mapping]] = ...) -> None: ...

class Appointed(_message.Message):
    __slots__ = ("address", "identity")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    address: str
    identity: str
    def __init__(self, address: _Optional[str] = ..., identity: _Optional[str] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("epoch", "queued_bytes", "in_flight_bytes", "waiting_for_credit", "stages", "progress_updates", "progress_bytes", "data_bytes", "probes", "frontiers_known", "waiting", "connectors", "epochs_opened", "measures")
    class ProbesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_CREDIT_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_UPDATES_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    FRONTIERS_KNOWN_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    CONNECTORS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_OPENED_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    queued_bytes: int
    in_flight_bytes: int
    waiting_for_credit: bool
    stages: _containers.RepeatedCompositeFieldContainer[StageCounters]
    progress_updates: int
    progress_bytes: int
    data_bytes: int
    probes: _containers.ScalarMap[str, int]
    frontiers_known: bool
    waiting: str
    connectors: _containers.RepeatedCompositeFieldContainer[ConnectorCounters]
    epochs_opened: int
    measures: Measures
    def __init__(self, epoch: _Optional[int] = ..., queued_bytes: _Optional[int] = ..., in_flight_bytes: _Optional[int] = ..., waiting_for_credit: _Optional[bool] = ..., stages: _Optional[_Iterable[_Union[StageCounters, _Mapping]]] = ..., progress_updates: _Optional[int] = ..., progress_bytes: _Optional[int] = ..., data_bytes: _Optional[int] = ..., probes: _Optional[_Mapping[str, int]] = ..., frontiers_known: _Optional[bool] = ..., waiting: _Optional[str] = ..., connectors: _Optional[_Iterable[_Union[ConnectorCounters, _Mapping]]] = ..., epochs_opened: _Optional[int] = ..., measures: _Optional[_Union[Measures, _Mapping]] = ...) -> None: ...

class ConnectorCounters(_message.Message):
    __slots__ = ("rows", "batches", "bytes", "queued_bytes", "sent_bytes")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    rows: int
    batches: int
    bytes: int
    queued_bytes: int
    sent_bytes: int
    def __init__(self, rows: _Optional[int] = ..., batches: _Optional[int] = ..., bytes: _Optional[int] = ..., queued_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ...) -> None: ...

class Measures(_message.Message):
    __slots__ = ("buffered_bytes", "waited_us", "trips", "notification_delay", "gc_pause", "loop_delay", "store_request", "cpu_us", "resident_bytes")
    class TripsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    BUFFERED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAITED_US_FIELD_NUMBER: _ClassVar[int]
    TRIPS_FIELD_NUMBER: _ClassVar[int]
    NOTIFICATION_DELAY_FIELD_NUMBER: _ClassVar[int]
    GC_PAUSE_FIELD_NUMBER: _ClassVar[int]
    LOOP_DELAY_FIELD_NUMBER: _ClassVar[int]
    STORE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    CPU_US_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    buffered_bytes: int
    waited_us: int
    trips: _containers.ScalarMap[str, int]
    notification_delay: Histogram
    gc_pause: Histogram
    loop_delay: Histogram
    store_request: Histogram
    cpu_us: int
    resident_bytes: int
    def __init__(self, buffered_bytes: _Optional[int] = ..., waited_us: _Optional[int] = ..., trips: _Optional[_Mapping[str, int]] = ..., notification_delay: _Optional[_Union[Histogram, _Mapping]] = ..., gc_pause: _Optional[_Union[Histogram, _Mapping]] = ..., loop_delay: _Optional[_Union[Histogram, _Mapping]] = ..., store_request: _Optional[_Union[Histogram, _Mapping]] = ..., cpu_us: _Optional[int] = ..., resident_bytes: _Optional[int] = ...) -> None: ...

class Histogram(_message.Message):
    __slots__ = ("counts", "sum_ns")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUM_NS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedScalarFieldContainer[int]
    sum_ns: int
    def __init__(self, counts: _Optional[_Iterable[int]] = ..., sum_ns: _Optional[int] = ...) -> None: ...

class StageCounters(_message.Message):
    __slots__ = ("rows_in", "rows_out", "batches_in", "notifications", "busy_us", "queued_bytes", "frontier", "state_bytes")
    ROWS_IN_FIELD_NUMBER: _ClassVar[int]
    ROWS_OUT_FIELD_NUMBER: _ClassVar[int]
    BATCHES_IN_FIELD_NUMBER: _ClassVar[int]
    NOTIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    BUSY_US_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FRONTIER_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    rows_in: int
    rows_out: int
    batches_in: int
    notifications: int
    busy_us: int
    queued_bytes: int
    frontier: _containers.RepeatedCompositeFieldContainer[Time]
    state_bytes: int
    def __init__(self, rows_in: _Optional[int] = ..., rows_out: _Optional[int] = ..., batches_in: _Optional[int] = ..., notifications: _Optional[int] = ..., busy_us: _Optional[int] = ..., queued_bytes: _Optional[int] = ..., frontier: _Optional[_Iterable[_Union[Time, _Mapping]]] = ..., state_bytes: _Optional[int] = ...) -> None: ...

class Time(_message.Message):
    __slots__ = ("coordinates",)
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    coordinates: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, coordinates: _Optional[_Iterable[int]] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("name", "epoch", "encoding", "payload", "rows")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    name: str
    epoch: int
    encoding: _exchange_pb2.Encoding
    payload: bytes
    rows: int
    def __init__(self, name: _Optional[str] = ..., epoch: _Optional[int] = ..., encoding: _Optional[_Union[_exchange_pb2.Encoding, str]] = ..., payload: _Optional[bytes] = ..., rows: _Optional[int] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Failed(_message.Message):
    __slots__ = ("summary", "traceback", "stage", "time", "fault")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    summary: str
    traceback: str
    stage: str
    time: _containers.RepeatedScalarFieldContainer[int]
    fault: str
    def __init__(self, summary: _Optional[str] = ..., traceback: _Optional[str] = ..., stage: _Optional[str] = ..., time: _Optional[_Iterable[int]] = ..., fault: _Optional[str] = ...) -> None: ...

class Push(_message.Message):
    __slots__ = ("input", "rows", "advance_to", "close", "reopen", "request", "check", "offset", "drained")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ADVANCE_TO_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    REOPEN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    input: str
    rows: Rows
    advance_to: int
    close: bool
    reopen: int
    request: int
    check: bool
    offset: int
    drained: bool
    def __init__(self, input: _Optional[str] = ..., rows: _Optional[_Union[Rows, _Mapping]] = ..., advance_to: _Optional[int] = ..., close: _Optional[bool] = ..., reopen: _Optional[int] = ..., request: _Optional[int] = ..., check: _Optional[bool] = ..., offset: _Optional[int] = ..., drained: _Optional[bool] = ...) -> None: ...

class Rows(_message.Message):
    __slots__ = ("encoding", "payload")
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    encoding: _exchange_pb2.Encoding
    payload: bytes
    def __init__(self, encoding: _Optional[_Union[_exchange_pb2.Encoding, str]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Pushed(_message.Message):
    __slots__ = ("request", "error", "input", "offset")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    request: int
    error: str
    input: str
    offset: int
    def __init__(self, request: _Optional[int] = ..., error: _Optional[str] = ..., input: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Drain(_message.Message):
    __slots__ = ("inputs",)
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, inputs: _Optional[_Iterable[str]] = ...) -> None: ...

class BeginCheckpoint(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    def __init__(self, checkpoint: _Optional[int] = ...) -> None: ...

class AbortCheckpoint(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    def __init__(self, checkpoint: _Optional[int] = ...) -> None: ...

class CheckpointCommitted(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    def __init__(self, checkpoint: _Optional[int] = ...) -> None: ...

class Stored(_message.Message):
    __slots__ = ("checkpoint", "part", "phases", "published")
    class PublishedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    part: bytes
    phases: CheckpointPhases
    published: _containers.ScalarMap[str, int]
    def __init__(self, checkpoint: _Optional[int] = ..., part: _Optional[bytes] = ..., phases: _Optional[_Union[CheckpointPhases, _Mapping]] = ..., published: _Optional[_Mapping[str, int]] = ...) -> None: ...

class CheckpointPhases(_message.Message):
    __slots__ = ("stop_us", "markers_us", "references_us", "encode_us", "upload_us", "stored_bytes", "commit_us", "total_us")
    STOP_US_FIELD_NUMBER: _ClassVar[int]
    MARKERS_US_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_US_FIELD_NUMBER: _ClassVar[int]
    ENCODE_US_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_US_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMMIT_US_FIELD_NUMBER: _ClassVar[int]
    TOTAL_US_FIELD_NUMBER: _ClassVar[int]
    stop_us: int
    markers_us: int
    references_us: int
    encode_us: int
    upload_us: int
    stored_bytes: int
    commit_us: int
    total_us: int
    def __init__(self, stop_us: _Optional[int] = ..., markers_us: _Optional[int] = ..., references_us: _Optional[int] = ..., encode_us: _Optional[int] = ..., upload_us: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., commit_us: _Optional[int] = ..., total_us: _Optional[int] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    def __init__(self, checkpoint: _Optional[int] = ...) -> None: ...

class NotStored(_message.Message):
    __slots__ = ("checkpoint", "reason")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    reason: str
    def __init__(self, checkpoint: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...
