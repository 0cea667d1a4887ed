"""Every method of every service, told what nobody should say: always a status, never a crash, never a hang.

What is said is made from a seed: random bytes, messages of another method, valid ones that are cut off, changed in some
bytes, or larger than they may be; none, one or several of them. ``FUZZ_SEED`` says where to begin, ``FUZZ_ROUNDS`` how
long to go on; what is run by default is a bounded share.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor, message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from limnad.cli.certificates import issue, read_pair
from limnad.cli.watched import coordinators_of, engines_of
from limnad.client import Job
from limnad_proto.callers import CALLERS
from limnad_proto.tls import Role
from limnad_proto.tokens import as_metadata
from limnad_proto.v1 import control_pb2, coordinator_pb2, exchange_pb2, hosts_pb2, jobs_pb2
from tests.helpers.ports import listening
from tests.helpers.secured import SecuredAgents, channel
from tests.helpers.totals import expected, write_job

SEED = int(os.environ.get("FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "12"))

PATIENCE_S = 30.0
"""Longer than anything takes that is answered at all, on a busy machine."""

LASTING, LASTING_S = ("/Watch", "/Subscribe", "/Logs"), 1.0
"""What goes on as long as a job does, without a word if there is none to say; for how long it is listened to."""

ENDING = ("/Cancel", "/Drain", "/Restore", "/Rescale", "/Delete")
"""What would end the job that the others are about."""

FILES = (jobs_pb2, hosts_pb2, control_pb2, exchange_pb2, coordinator_pb2, health_pb2, reflection_pb2)


def methods() -> dict[str, descriptor.MethodDescriptor]:
    """All that there are, by path."""
    services = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}": method for service in services for method in service.methods}


def test_all_methods_of_other_processes_are_in_the_table_of_roles() -> None:
    public = ("/limnad.v1.JobService/", "/grpc.")
    assert {path for path in methods() if not path.startswith(public)} == set(CALLERS)


# -- what is said ------------------------------------------------------------------------------------------------------


class Nonsense:
    """Messages from a seed.

    Args:
        seed: The same one says the same.
        names: Words that mean something there, such as a job's name.
    """

    def __init__(self, seed: int, names: list[str]) -> None:
        self._random = random.Random(seed)
        self._names = names

    def messages(self, method: descriptor.MethodDescriptor) -> list[bytes]:
        """For one call."""
        if not method.client_streaming:
            return [self._message(method.input_type)]
        return [self._message(method.input_type) for _ in range(self._random.randrange(4))]

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """As a stream of engines has it, more or less."""
        rng = self._random
        keys = ("job", "generation", "worker", "coordinator", "secret")
        values = [*self._names, "1", "0", "-1", "x", str(1 << 70), ""]
        return tuple((f"limnad-{key}", rng.choice(values)) for key in keys if rng.random() < 0.8)

    def _message(self, kind: descriptor.Descriptor) -> bytes:
        rng = self._random
        whole = self._filled(kind).SerializeToString()
        match rng.randrange(7):
            case 0:
                return rng.randbytes(rng.randrange(300))
            case 1:
                return whole[: rng.randrange(len(whole) + 1)]
            case 2:
                return bytes(byte ^ (rng.random() < 0.05) * rng.randrange(256) for byte in whole)
            case 3:
                return whole + rng.randbytes(rng.randrange(20))
            case 4:
                other = rng.choice(list(methods().values()))
                return self._filled(other.input_type).SerializeToString()
            case 5:
                size = rng.choice((70_000, 5 << 20))
                return whole + LARGE_FIELD + varint(size) + bytes(size)
            case _:
                return whole

    def _filled(self, kind: descriptor.Descriptor, depth: int = 0) -> Message:
        message = message_factory.GetMessageClass(kind)()
        for field in kind.fields:
            if self._random.random() < 0.6 and depth < 4:
                self._fill(message, field, depth)
        return message

    def _fill(self, message: Any, field: descriptor.FieldDescriptor, depth: int) -> None:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            getattr(message, field.name)[self._value(inner.fields_by_name["key"])] = self._value(
                inner.fields_by_name["value"]
            )
        elif field.is_repeated:
            for _ in range(self._random.randrange(4)):
                if inner is not None:
                    getattr(message, field.name).add().CopyFrom(self._filled(inner, depth + 1))
                else:
                    getattr(message, field.name).append(self._value(field))
        elif inner is not None:
            getattr(message, field.name).CopyFrom(self._filled(inner, depth + 1))
        else:
            setattr(message, field.name, self._value(field))

    def _value(self, field: descriptor.FieldDescriptor) -> Any:
        rng = self._random
        kinds = descriptor.FieldDescriptor
        if field.cpp_type == kinds.CPPTYPE_STRING:
            if field.type == kinds.TYPE_BYTES:
                return rng.randbytes(rng.choice((0, 1, 50, 5000)))
            return rng.choice([*self._names, "", "../../x", "ü\n\0", "x" * 70_000])
        if field.enum_type is not None:
            return rng.choice(list(field.enum_type.values_by_number))
        if field.cpp_type == kinds.CPPTYPE_BOOL:
            return rng.random() < 0.5
        if field.cpp_type == kinds.CPPTYPE_DOUBLE:
            return rng.choice((0.0, -1.0, 1e300, float("nan"), float("inf")))
        signed = field.cpp_type in (kinds.CPPTYPE_INT32, kinds.CPPTYPE_INT64)
        bits = 31 if field.cpp_type in (kinds.CPPTYPE_INT32, kinds.CPPTYPE_UINT32) else 63
        return rng.choice((0, 1, 2, 300, (1 << bits) - 1, -1 if signed else 3))


LARGE_FIELD = b"\xfa\x7f"
"""The key of a field of bytes that no message has."""


def varint(number: int) -> bytes:
    """As protobuf writes it."""
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


# -- to whom -----------------------------------------------------------------------------------------------------------


@dataclass
class Target:
    """A cluster that is spoken to by somebody who has every right to."""

    agents: SecuredAgents
    job: Job
    ended: Job

    def until_running(self) -> None:
        """A coordinator that was given another generation costs the job its own; it begins another one."""
        states = (status.state for status in self.job.watch())
        assert next(state for state in states if state in ("running", "failed", "cancelled", "finished")) == "running"

    def lines(self) -> dict[str, list[grpc.Channel]]:
        """Channels by service: to the leader, to an engine, to a coordinator; once there are such."""
        while True:
            self.until_running()
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, StopIteration, IndexError):
                return self._lines()

    def _lines(self) -> dict[str, list[grpc.Channel]]:
        folder = self.agents.folder
        authority, trusted = read_pair(folder / "ca.crt", folder / "ca.key"), (folder / "ca.crt").read_bytes()
        pair = issue(authority, [f"{role}.limnad.internal" for role in Role])
        leader = self.agents.processes[0].pid
        (leading,) = [channel(self.agents.addresses[0], trusted, pair, "leader.limnad.internal")]
        agents = [process.pid for process in self.agents.processes.values()]
        engine = next(each for agent in agents for pid in engines_of(agent) for each in listening(pid))
        coordinator = listening(coordinators_of(leader)[0])[0]
        clients = [channel(each, trusted) for each in self.agents.clients]
        return {
            "limnad.v1.Hosts": [leading],
            "limnad.v1.Control": [leading],
            "limnad.v1.Exchange": [channel(engine, trusted, pair, "worker.limnad.internal")],
            "limnad.v1.Coordinator": [channel(coordinator, trusted, pair, "coordinator.limnad.internal")],
            "limnad.v1.JobService": clients,
            "grpc.health.v1.Health": clients,
            "grpc.reflection.v1alpha.ServerReflection": clients,
        }


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzzed")
    fed = folder / "fed.py"
    fed.write_text("def job(flow):\n    flow.input('words').to_worker(1).map(len).output('lengths')\n")
    flags = ("--store", f"dir:{folder / 'store'}", "--progress", "global", "--slots", "2")
    with SecuredAgents(2, *flags, folder=folder).start(0, 1) as agents:
        agents.gathered()
        pids = [process.pid for process in agents.processes.values()]
        with agents.client() as client:
            ended = client.submit(write_job(folder), workers=2, arguments={"epochs": 5})
            ended.wait()
            job = client.submit(str(fed), workers=2)
            job.input("words").on_next(["a"])
            yield Target(agents, job, ended)
            assert [process.pid for process in agents.processes.values() if process.poll() is None] == pids
            assert sorted(agent.index for agent in client.cluster(wait_s=120).agents) == [0, 1]
            again = client.submit(write_job(folder), workers=2, arguments={"epochs": 5})
            assert {(name, epoch): sorted(map(list, rows)) for name, epoch, rows in again.outputs()} == expected(5)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(methods()))
def test_whatever_is_said_is_answered_by_a_status(target: Target, path: str) -> None:
    method = methods()[path]
    service = path.split("/")[1]
    rng = random.Random(f"{path} {SEED}")
    lines = target.lines()[service]
    names = [target.ended.name, "words", "lengths", "totals", "job.py"]
    if not path.endswith(ENDING):
        names.append(target.job.name)
    answered = []
    for _ in range(ROUNDS):
        nonsense = Nonsense(rng.randrange(1 << 60), names)
        answered += [said(line, nonsense, path, method, target.agents.token) for line in lines]
    if path.endswith("/Resize"):
        resize: Any = lines[0].unary_unary(path)
        metadata = as_metadata(target.agents.token)
        resize(jobs_pb2.ResizeRequest(agents=2).SerializeToString(), metadata=metadata, timeout=PATIENCE_S)
    for line in lines:
        line.close()
    assert grpc.StatusCode.UNKNOWN not in answered, "something raised what nobody had thought of"
    if not path.endswith(LASTING):
        assert grpc.StatusCode.DEADLINE_EXCEEDED not in answered, "somebody was left waiting"


def said(
    line: grpc.Channel, nonsense: Nonsense, path: str, method: descriptor.MethodDescriptor, token: str
) -> grpc.StatusCode:
    """Makes one call, and reads what comes; what goes on by right (a job is watched) is hung up after a while."""
    metadata = (*nonsense.metadata(), *as_metadata(token))
    make: Callable[..., Any] = line.stream_stream(path)
    patience_s = LASTING_S if path.endswith(LASTING) else PATIENCE_S
    call = make(iter(nonsense.messages(method)), metadata=metadata, timeout=patience_s)
    try:
        for count, _ in enumerate(call):
            if count >= 3:
                call.cancel()
    except grpc.RpcError:
        pass
    code: grpc.StatusCode = call.code()
    assert isinstance(code, grpc.StatusCode)
    return code
