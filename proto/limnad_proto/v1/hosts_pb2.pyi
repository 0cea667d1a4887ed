from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FromHost(_message.Message):
    __slots__ = ("info", "exited", "log", "leaving")
    INFO_FIELD_NUMBER: _ClassVar[int]
    EXITED_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    info: HostInfo
    exited: EngineExited
    log: EngineLog
    leaving: Leaving
    def __init__(self, info: _Optional[_Union[HostInfo, _Mapping]] = ..., exited: _Optional[_Union[EngineExited, _Mapping]] = ..., log: _Optional[_Union[EngineLog, _Mapping]] = ..., leaving: _Optional[_Union[Leaving, _Mapping]] = ...) -> None: ...

class ToHost(_message.Message):
    __slots__ = ("welcome", "spawn", "kill", "release")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    SPAWN_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    spawn: SpawnEngine
    kill: KillEngine
    release: Release
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., spawn: _Optional[_Union[SpawnEngine, _Mapping]] = ..., kill: _Optional[_Union[KillEngine, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ...) -> None: ...

class HostInfo(_message.Message):
    __slots__ = ("uid", "index", "address", "slots", "build")
    UID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    uid: str
    index: int
    address: str
    slots: int
    build: str
    def __init__(self, uid: _Optional[str] = ..., index: _Optional[int] = ..., address: _Optional[str] = ..., slots: _Optional[int] = ..., build: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("uid", "term")
    UID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    uid: str
    term: int
    def __init__(self, uid: _Optional[str] = ..., term: _Optional[int] = ...) -> None: ...

class SpawnEngine(_message.Message):
    __slots__ = ("engine", "token", "threads")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    engine: int
    token: str
    threads: int
    def __init__(self, engine: _Optional[int] = ..., token: _Optional[str] = ..., threads: _Optional[int] = ...) -> None: ...

class KillEngine(_message.Message):
    __slots__ = ("engine",)
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    engine: int
    def __init__(self, engine: _Optional[int] = ...) -> None: ...

class EngineExited(_message.Message):
    __slots__ = ("engine", "how")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    engine: int
    how: str
    def __init__(self, engine: _Optional[int] = ..., how: _Optional[str] = ...) -> None: ...

class EngineLog(_message.Message):
    __slots__ = ("engine", "text")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    engine: int
    text: bytes
    def __init__(self, engine: _Optional[int] = ..., text: _Optional[bytes] = ...) -> None: ...

class Leaving(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Release(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
