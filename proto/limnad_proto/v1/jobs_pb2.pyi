from limnad_proto.v1 import control_pb2 as _control_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_STARTING: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_FINISHED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]
    JOB_STATE_RECOVERING: _ClassVar[JobState]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_STARTING: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_FINISHED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
JOB_STATE_RECOVERING: JobState

class SubmitRequest(_message.Message):
    __slots__ = ("path", "function", "arguments", "workers", "progress", "store", "name", "checkpoint_interval_s", "checkpoint_epochs", "checkpoint_timeout_s", "keep", "resume", "max_restarts", "restart_window_s", "delivery", "archive", "request_id", "ephemeral", "owner", "replace")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    MAX_RESTARTS_FIELD_NUMBER: _ClassVar[int]
    RESTART_WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    path: str
    function: str
    arguments: _containers.RepeatedCompositeFieldContainer[_control_pb2.Argument]
    workers: int
    progress: str
    store: str
    name: str
    checkpoint_interval_s: float
    checkpoint_epochs: int
    checkpoint_timeout_s: float
    keep: int
    resume: bool
    max_restarts: int
    restart_window_s: float
    delivery: str
    archive: str
    request_id: str
    ephemeral: bool
    owner: str
    replace: bool
    def __init__(self, path: _Optional[str] = ..., function: _Optional[str] = ..., arguments: _Optional[_Iterable[_Union[_control_pb2.Argument, _Mapping]]] = ..., workers: _Optional[int] = ..., progress: _Optional[str] = ..., store: _Optional[str] = ..., name: _Optional[str] = ..., checkpoint_interval_s: _Optional[float] = ..., checkpoint_epochs: _Optional[int] = ..., checkpoint_timeout_s: _Optional[float] = ..., keep: _Optional[int] = ..., resume: _Optional[bool] = ..., max_restarts: _Optional[int] = ..., restart_window_s: _Optional[float] = ..., delivery: _Optional[str] = ..., archive: _Optional[str] = ..., request_id: _Optional[str] = ..., ephemeral: _Optional[bool] = ..., owner: _Optional[str] = ..., replace: _Optional[bool] = ...) -> None: ...

class UploadPiece(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("archive",)
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    archive: str
    def __init__(self, archive: _Optional[str] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[JobView]
    def __init__(self, jobs: _Optional[_Iterable[_Union[JobView, _Mapping]]] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints",)
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[CheckpointInfo]
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[CheckpointInfo, _Mapping]]] = ...) -> None: ...

class CheckpointInfo(_message.Message):
    __slots__ = ("checkpoint", "made_s", "epoch", "workers", "generation", "bytes")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    MADE_S_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    made_s: float
    epoch: int
    workers: int
    generation: int
    bytes: int
    def __init__(self, checkpoint: _Optional[int] = ..., made_s: _Optional[float] = ..., epoch: _Optional[int] = ..., workers: _Optional[int] = ..., generation: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class RestoreRequest(_message.Message):
    __slots__ = ("job", "checkpoint", "workers")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    job: str
    checkpoint: int
    workers: int
    def __init__(self, job: _Optional[str] = ..., checkpoint: _Optional[int] = ..., workers: _Optional[int] = ...) -> None: ...

class RestoreResponse(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    def __init__(self, generation: _Optional[int] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("job", "durable")
    JOB_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    job: str
    durable: bool
    def __init__(self, job: _Optional[str] = ..., durable: _Optional[bool] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class JobView(_message.Message):
    __slots__ = ("job", "state", "failure", "failed_worker", "stages", "inputs", "outputs", "workers", "running_us", "starting_us", "probes", "generation", "restarts", "last_fault", "checkpoint", "checkpoints_committed", "checkpoints_dropped", "last_drop", "checkpoint_phases", "submitted_s", "ended_s", "path", "function", "width", "draining", "waiting", "durable", "edges", "loops", "checkpoint_history", "restart_history", "owner", "pins", "asked_width")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    FAILED_WORKER_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_US_FIELD_NUMBER: _ClassVar[int]
    STARTING_US_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    LAST_FAULT_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_COMMITTED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_DROPPED_FIELD_NUMBER: _ClassVar[int]
    LAST_DROP_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_PHASES_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_S_FIELD_NUMBER: _ClassVar[int]
    ENDED_S_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    LOOPS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_HISTORY_FIELD_NUMBER: _ClassVar[int]
    RESTART_HISTORY_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PINS_FIELD_NUMBER: _ClassVar[int]
    ASKED_WIDTH_FIELD_NUMBER: _ClassVar[int]
    job: str
    state: JobState
    failure: _control_pb2.Failed
    failed_worker: int
    stages: _containers.RepeatedCompositeFieldContainer[_control_pb2.StageInfo]
    inputs: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedCompositeFieldContainer[_control_pb2.OutputInfo]
    workers: _containers.RepeatedCompositeFieldContainer[_control_pb2.Status]
    running_us: int
    starting_us: int
    probes: _containers.RepeatedScalarFieldContainer[str]
    generation: int
    restarts: int
    last_fault: str
    checkpoint: int
    checkpoints_committed: int
    checkpoints_dropped: int
    last_drop: str
    checkpoint_phases: _containers.RepeatedCompositeFieldContainer[_control_pb2.CheckpointPhases]
    submitted_s: float
    ended_s: float
    path: str
    function: str
    width: int
    draining: bool
    waiting: str
    durable: bool
    edges: _containers.RepeatedCompositeFieldContainer[_control_pb2.Edge]
    loops: _containers.RepeatedCompositeFieldContainer[_control_pb2.LoopInfo]
    checkpoint_history: _containers.RepeatedCompositeFieldContainer[CheckpointOutcome]
    restart_history: _containers.RepeatedCompositeFieldContainer[RestartInfo]
    owner: str
    pins: _containers.RepeatedCompositeFieldContainer[PinInfo]
    asked_width: int
    def __init__(self, job: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., failure: _Optional[_Union[_control_pb2.Failed, _Mapping]] = ..., failed_worker: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[_control_pb2.StageInfo, _Mapping]]] = ..., inputs: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[_Union[_control_pb2.OutputInfo, _Mapping]]] = ..., workers: _Optional[_Iterable[_Union[_control_pb2.Status, _Mapping]]] = ..., running_us: _Optional[int] = ..., starting_us: _Optional[int] = ..., probes: _Optional[_Iterable[str]] = ..., generation: _Optional[int] = ..., restarts: _Optional[int] = ..., last_fault: _Optional[str] = ..., checkpoint: _Optional[int] = ..., checkpoints_committed: _Optional[int] = ..., checkpoints_dropped: _Optional[int] = ..., last_drop: _Optional[str] = ..., checkpoint_phases: _Optional[_Iterable[_Union[_control_pb2.CheckpointPhases, _Mapping]]] = ..., submitted_s: _Optional[float] = ..., ended_s: _Optional[float] = ..., path: _Optional[str] = ..., function: _Optional[str] = ..., width: _Optional[int] = ..., draining: _Optional[bool] = ..., waiting: _Optional[str] = ..., durable: _Optional[bool] = ..., edges: _Optional[_Iterable[_Union[_control_pb2.Edge, _Mapping]]] = ..., loops: _Optional[_Iterable[_Union[_control_pb2.LoopInfo, _Mapping]]] = ..., checkpoint_history: _Optional[_Iterable[_Union[CheckpointOutcome, _Mapping]]] = ..., restart_history: _Optional[_Iterable[_Union[RestartInfo, _Mapping]]] = ..., owner: _Optional[str] = ..., pins: _Optional[_Iterable[_Union[PinInfo, _Mapping]]] = ..., asked_width: _Optional[int] = ...) -> None: ...

class PinInfo(_message.Message):
    __slots__ = ("name", "checkpoint", "hold")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    name: str
    checkpoint: int
    hold: bool
    def __init__(self, name: _Optional[str] = ..., checkpoint: _Optional[int] = ..., hold: _Optional[bool] = ...) -> None: ...

class CheckpointOutcome(_message.Message):
    __slots__ = ("checkpoint", "at_s", "generation", "halted_us", "stored_us", "stored_bytes", "dropped")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    AT_S_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    HALTED_US_FIELD_NUMBER: _ClassVar[int]
    STORED_US_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    at_s: float
    generation: int
    halted_us: int
    stored_us: int
    stored_bytes: int
    dropped: str
    def __init__(self, checkpoint: _Optional[int] = ..., at_s: _Optional[float] = ..., generation: _Optional[int] = ..., halted_us: _Optional[int] = ..., stored_us: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., dropped: _Optional[str] = ...) -> None: ...

class RestartInfo(_message.Message):
    __slots__ = ("at_s", "reason", "generation")
    AT_S_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    at_s: float
    reason: str
    generation: int
    def __init__(self, at_s: _Optional[float] = ..., reason: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("job", "outputs", "from_epochs")
    class FromEpochsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    JOB_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    FROM_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    job: str
    outputs: _containers.RepeatedScalarFieldContainer[str]
    from_epochs: _containers.ScalarMap[str, int]
    def __init__(self, job: _Optional[str] = ..., outputs: _Optional[_Iterable[str]] = ..., from_epochs: _Optional[_Mapping[str, int]] = ...) -> None: ...

class PushRequest(_message.Message):
    __slots__ = ("job", "push", "producer", "sequence")
    JOB_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    job: str
    push: _control_pb2.Push
    producer: str
    sequence: int
    def __init__(self, job: _Optional[str] = ..., push: _Optional[_Union[_control_pb2.Push, _Mapping]] = ..., producer: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class PushResponse(_message.Message):
    __slots__ = ("request", "offset")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    request: int
    offset: int
    def __init__(self, request: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class LastSequenceRequest(_message.Message):
    __slots__ = ("job", "input", "producer")
    JOB_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    job: str
    input: str
    producer: str
    def __init__(self, job: _Optional[str] = ..., input: _Optional[str] = ..., producer: _Optional[str] = ...) -> None: ...

class LastSequenceResponse(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckpointRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class CheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    def __init__(self, checkpoint: _Optional[int] = ...) -> None: ...

class RescaleRequest(_message.Message):
    __slots__ = ("job", "workers")
    JOB_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    job: str
    workers: int
    def __init__(self, job: _Optional[str] = ..., workers: _Optional[int] = ...) -> None: ...

class RescaleResponse(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    def __init__(self, generation: _Optional[int] = ...) -> None: ...

class PinRequest(_message.Message):
    __slots__ = ("job", "name", "hold")
    JOB_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    job: str
    name: str
    hold: bool
    def __init__(self, job: _Optional[str] = ..., name: _Optional[str] = ..., hold: _Optional[bool] = ...) -> None: ...

class PinResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    def __init__(self, checkpoint: _Optional[int] = ...) -> None: ...

class UnpinRequest(_message.Message):
    __slots__ = ("job", "name")
    JOB_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    job: str
    name: str
    def __init__(self, job: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class UnpinResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResizeRequest(_message.Message):
    __slots__ = ("agents",)
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    agents: int
    def __init__(self, agents: _Optional[int] = ...) -> None: ...

class ResizeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LogsRequest(_message.Message):
    __slots__ = ("job", "follow")
    JOB_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    job: str
    follow: bool
    def __init__(self, job: _Optional[str] = ..., follow: _Optional[bool] = ...) -> None: ...

class LogPiece(_message.Message):
    __slots__ = ("worker", "generation", "text")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    worker: int
    generation: int
    text: bytes
    def __init__(self, worker: _Optional[int] = ..., generation: _Optional[int] = ..., text: _Optional[bytes] = ...) -> None: ...

class GetClusterRequest(_message.Message):
    __slots__ = ("gathered",)
    GATHERED_FIELD_NUMBER: _ClassVar[int]
    gathered: bool
    def __init__(self, gathered: _Optional[bool] = ...) -> None: ...

class ClusterView(_message.Message):
    __slots__ = ("agents", "expected")
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[AgentView]
    expected: int
    def __init__(self, agents: _Optional[_Iterable[_Union[AgentView, _Mapping]]] = ..., expected: _Optional[int] = ...) -> None: ...

class AgentView(_message.Message):
    __slots__ = ("index", "address", "slots", "busy", "build", "leaving")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    index: int
    address: str
    slots: int
    busy: int
    build: str
    leaving: bool
    def __init__(self, index: _Optional[int] = ..., address: _Optional[str] = ..., slots: _Optional[int] = ..., busy: _Optional[int] = ..., build: _Optional[str] = ..., leaving: _Optional[bool] = ...) -> None: ...
