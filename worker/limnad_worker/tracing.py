"""OpenTelemetry traces: off, and not even imported, unless the environment says where to send them.

Every span of one epoch, checkpoint or start of a job belongs to one trace, whichever process made it. Nothing is sent
along with data for that: the ids of the trace and of its first span are a digest of the job's submission, the
generation and the number, so that all processes come to the same. Whether a trace is sampled follows from its id, by
the sampler that ``OTEL_TRACES_SAMPLER`` names, so all come to the same there, too.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

_LOG = logging.getLogger(__name__)

FLUSH_S = 2.0
"""How long a process that ends waits for its last spans to be taken; a collector that is there takes milliseconds."""

_SWITCHES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Attributes = Mapping[str, "str | int | float | bool"]


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces.

    >>> wanted({}), wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317"})
    (False, True)
    >>> wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317", "OTEL_TRACES_EXPORTER": "none"})
    False
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip() not in ("", "otlp"):
        return False
    return any(environment.get(name) for name in _SWITCHES)


def from_environment() -> Tracer | None:
    """This process's tracer; None: traces are not wanted, or cannot be sent."""
    if not wanted(os.environ):
        return None
    protocols = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((os.environ[name] for name in protocols if os.environ.get(name)), "grpc")
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter: Any
        if protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

            exporter = GrpcExporter()
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

            exporter = HttpExporter()
    except ModuleNotFoundError as error:
        _LOG.warning("traces are wanted and a package for them is missing (%s): pip install 'limnad[otel]'", error.name)
        return None
    os.environ.setdefault("OTEL_SERVICE_NAME", "limnad")
    # Never the process's global provider: that one is the job's own to choose.
    return Tracer(TracerProvider(shutdown_on_exit=False), BatchSpanProcessor(exporter))


@dataclass(frozen=True, slots=True)
class Key:
    """What a trace is about.

    Attributes:
        kind: ``"epoch"``, ``"checkpoint"`` or ``"start"``.
        generation: Of the job.
        number: Of the epoch or checkpoint; of a start, the checkpoint that it begins from.
    """

    kind: str
    generation: int
    number: int


class Tracer:
    """Records spans that are over.

    Args:
        provider: Its sampler and resource are used.
        processor: Takes the spans.
    """

    def __init__(self, provider: Any, processor: Any) -> None:
        self._sampler = provider.sampler
        self._resource = provider.resource
        self._ids = provider.id_generator
        self._processor = processor

    def submission(self, traceparent: str, attributes: Attributes) -> JobTrace:
        """Records that a job was submitted, now, under the span that the client names or under none."""
        name = "limnad.submit"
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        parent = trace.get_current_span(context).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else self._ids.generate_trace_id()
        sampled = self._sampler.should_sample(context, trace_id, name).decision.is_sampled()
        span = _context(trace_id, self._ids.generate_span_id(), sampled=sampled)
        now_ns = time.time_ns()
        self.record(name, span, now_ns, now_ns, attributes, parent=parent if parent.is_valid else None)
        return JobTrace(self, span)

    def record(
        self,
        name: str,
        span: SpanContext,
        start_ns: int,
        end_ns: int,
        attributes: Attributes,
        *,
        parent: SpanContext | None = None,
        link: SpanContext | None = None,
        error: str = "",
    ) -> None:
        """Hands over a span; times are nanoseconds since 1970. One that is not sampled is dropped."""
        if not span.trace_flags.sampled:
            return
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Link, Status, StatusCode

        self._processor.on_end(
            ReadableSpan(
                name,
                context=span,
                parent=parent,
                resource=self._resource,
                attributes=attributes,
                links=[] if link is None else [Link(link)],
                status=Status(StatusCode.ERROR, error) if error else Status(),
                start_time=start_ns,
                end_time=max(start_ns, end_ns),
                instrumentation_scope=InstrumentationScope("limnad"),
            )
        )

    def sampled(self, trace_id: int, name: str) -> bool:
        """Whether a trace of ours is to be recorded."""
        decision: bool = self._sampler.should_sample(None, trace_id, name).decision.is_sampled()
        return decision

    def child(self, parent: SpanContext) -> SpanContext:
        """A new span of the same trace."""
        return _context(parent.trace_id, self._ids.generate_span_id(), sampled=parent.trace_flags.sampled)

    def flush(self) -> None:
        """Sends what is recorded; gives up after a while, when the collector does not take it."""
        sending = threading.Thread(target=self._processor.force_flush, daemon=True)
        sending.start()
        sending.join(FLUSH_S)


class JobTrace:
    """The traces of one job, in any of its processes.

    Args:
        tracer: This process's.
        submission: The span under which the job was submitted.
    """

    def __init__(self, tracer: Tracer, submission: SpanContext) -> None:
        self.tracer = tracer
        self._submission = submission
        self._seed = submission.trace_id.to_bytes(16, "big") + submission.span_id.to_bytes(8, "big")

    @classmethod
    def parse(cls, tracer: Tracer, traceparent: str) -> JobTrace:
        """What `traceparent` has written."""
        _, trace_id, span_id, flags = traceparent.split("-")
        return cls(tracer, _context(int(trace_id, 16), int(span_id, 16), sampled=bool(int(flags, 16) & 1)))

    @property
    def traceparent(self) -> str:
        """The submission, for other processes."""
        span = self._submission
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"

    def root(self, key: Key) -> SpanContext:
        """The first span of the trace of an epoch, checkpoint or start: the same in every process."""
        told = f"{key.kind}/{key.generation}/{key.number}".encode()
        digest = blake2b(told, digest_size=24, key=self._seed).digest()
        trace_id, span_id = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:], "big")
        return _context(trace_id, span_id, sampled=self.tracer.sampled(trace_id, _name(key)))

    def record_root(self, key: Key, start_ns: int, end_ns: int, attributes: Attributes, error: str = "") -> None:
        """Records that first span; one process does."""
        link = self._submission
        told = {"limnad.generation": key.generation, f"limnad.{key.kind}": key.number, **attributes}
        self.tracer.record(_name(key), self.root(key), start_ns, end_ns, told, link=link, error=error)

    def record_part(self, key: Key, name: str, start_ns: int, end_ns: int, attributes: Attributes) -> None:
        """Records something that belongs to it."""
        root = self.root(key)
        if root.trace_flags.sampled:
            self.tracer.record(name, self.tracer.child(root), start_ns, end_ns, attributes, parent=root)


def _name(key: Key) -> str:
    return f"limnad.{key.kind}"


def _context(trace_id: int, span_id: int, *, sampled: bool) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags)


__all__: Sequence[str] = ["Attributes", "JobTrace", "Key", "Tracer", "from_environment", "wanted"]
