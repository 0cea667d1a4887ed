"""Protobuf bodies: see ``wire.proto``. Answers are JSON, which every client takes."""

from __future__ import annotations

import functools
import importlib.resources
import tempfile
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2
from grpc_tools import protoc  # type: ignore[import-untyped]

from tests.kubernetes.apiserver.errors import ApiError
from tests.kubernetes.apiserver.objects import Object

MAGIC: Final = b"k8s\0"


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    """The messages, compiled when they are first needed."""
    here = Path(__file__).parent
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "descriptors"
        flags = [f"--proto_path={here}", f"--proto_path={well_known}", f"--descriptor_set_out={out}", "wire.proto"]
        assert protoc.main(["protoc", *flags]) == 0, "wire.proto does not compile"
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for file in files.file:
        pool.Add(file)
    return pool


def _decode(name: str, raw: bytes) -> Any:
    message = message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"kubernetes.{name}"))()
    message.ParseFromString(raw)
    return message


def read(raw: bytes) -> Object:
    """A body as the JSON that it stands for.

    Raises:
        ApiError: It is of a kind that is not in ``wire.proto`` (415).
    """
    envelope = _decode("Unknown", raw.removeprefix(MAGIC))
    kind = envelope.typeMeta.kind
    if kind not in _pool().FindFileByName("wire.proto").message_types_by_name:
        raise ApiError(
            415, "UnsupportedMediaType", f"this server reads a {kind} only as JSON or YAML: add it to wire.proto"
        )
    item: Object = json_format.MessageToDict(_decode(kind, envelope.raw), preserving_proto_field_name=True)
    return {"apiVersion": envelope.typeMeta.apiVersion, "kind": kind, **item}
