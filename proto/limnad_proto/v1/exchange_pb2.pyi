from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    ENCODING_FRAME: _ClassVar[Encoding]
    ENCODING_RECORDS: _ClassVar[Encoding]
    ENCODING_PICKLED: _ClassVar[Encoding]
    ENCODING_MARKER: _ClassVar[Encoding]
ENCODING_UNSPECIFIED: Encoding
ENCODING_FRAME: Encoding
ENCODING_RECORDS: Encoding
ENCODING_PICKLED: Encoding
ENCODING_MARKER: Encoding

class DataBatch(_message.Message):
    __slots__ = ("sequence", "connector", "time", "encoding", "payload")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CONNECTOR_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    connector: int
    time: _containers.RepeatedScalarFieldContainer[int]
    encoding: Encoding
    payload: bytes
    def __init__(self, sequence: _Optional[int] = ..., connector: _Optional[int] = ..., time: _Optional[_Iterable[int]] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class ProgressMessage(_message.Message):
    __slots__ = ("batch", "ack")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    batch: ProgressBatch
    ack: DataAck
    def __init__(self, batch: _Optional[_Union[ProgressBatch, _Mapping]] = ..., ack: _Optional[_Union[DataAck, _Mapping]] = ...) -> None: ...

class ProgressBatch(_message.Message):
    __slots__ = ("sequence", "updates", "epochs")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    updates: _containers.RepeatedScalarFieldContainer[int]
    epochs: int
    def __init__(self, sequence: _Optional[int] = ..., updates: _Optional[_Iterable[int]] = ..., epochs: _Optional[int] = ...) -> None: ...

class DataAck(_message.Message):
    __slots__ = ("received", "queued_bytes", "full")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    received: int
    queued_bytes: int
    full: bool
    def __init__(self, received: _Optional[int] = ..., queued_bytes: _Optional[int] = ..., full: _Optional[bool] = ...) -> None: ...

class StreamEnd(_message.Message):
    __slots__ = ("received",)
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    received: int
    def __init__(self, received: _Optional[int] = ...) -> None: ...
