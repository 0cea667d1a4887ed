"""A real receiver of OpenTelemetry's own protocol: what it is sent, a test can wait for and read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

_LIMIT_S = 60.0


@dataclass(frozen=True)
class Span:
    """One span as it arrived; ids as hexadecimal digits, times in nanoseconds."""

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: list[str]
    service: str
    failed: bool


class OtlpReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Listens on loopback."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._changed = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to send here, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def Export(self, request: wire.ExportTraceServiceRequest, context: Any) -> wire.ExportTraceServiceResponse:  # noqa: N802
        """See OTLP."""
        with self._changed:
            for resource in request.resource_spans:
                service = _attributes(resource.resource.attributes).get("service.name", "")
                self.spans += [_span(span, service) for scope in resource.scope_spans for span in scope.spans]
            self._changed.notify_all()
        return wire.ExportTraceServiceResponse()

    def wait_for(self, what: Callable[[Span], bool], count: int = 1) -> list[Span]:
        """Waits until so many spans like that have come; these."""
        with self._changed:
            came = self._changed.wait_for(lambda: sum(map(what, self.spans)) >= count, _LIMIT_S)
            assert came, f"only these came: {sorted({span.name for span in self.spans})}"
            return [span for span in self.spans if what(span)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()


def _span(span: Any, service: str) -> Span:
    return Span(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        links=[link.trace_id.hex() for link in span.links],
        service=service,
        failed=span.status.code == 2,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
