"""Ids and sampling, without a collector; what arrives at one is in tests/integration/test_observability.py."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler, TraceIdRatioBased

from limnad_proto.v1 import control_pb2 as wire
from limnad_worker.epoch_spans import EpochSpans
from limnad_worker.tracing import JobTrace, Key, Tracer, wanted

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317"}


class Kept:
    """A processor that keeps spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def process(sampler: Sampler = ALWAYS_ON) -> tuple[Tracer, Kept]:
    kept = Kept()
    return Tracer(TracerProvider(sampler=sampler, shutdown_on_exit=False), kept), kept


def identity(span: Any) -> tuple[int, int]:
    return span.trace_id, span.span_id


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4317"}, True),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_the_standard_variables_switch_traces(environment: dict[str, str], on: bool) -> None:
    assert wanted(environment) is on


def test_every_process_comes_to_the_same_ids() -> None:
    (leader, _), (engine, _) = process(), process()
    trace = leader.submission("", {})
    there = JobTrace.parse(engine, trace.traceparent)
    keys = [
        Key(kind, generation, number) for kind in ("epoch", "checkpoint") for generation in (1, 2) for number in (0, 1)
    ]
    assert [identity(trace.root(key)) for key in keys] == [identity(there.root(key)) for key in keys]
    assert len({trace.root(key).trace_id for key in keys}) == len(keys)
    another = leader.submission("", {})
    assert another.root(keys[0]).trace_id != trace.root(keys[0]).trace_id


def test_every_process_samples_the_same_epochs() -> None:
    (leader, _), (engine, _) = process(TraceIdRatioBased(0.5)), process(TraceIdRatioBased(0.5))
    trace = leader.submission("", {})
    there = JobTrace.parse(engine, trace.traceparent)
    chosen = [bool(trace.root(Key("epoch", 1, epoch)).trace_flags.sampled) for epoch in range(200)]
    assert chosen == [bool(there.root(Key("epoch", 1, epoch)).trace_flags.sampled) for epoch in range(200)]
    assert 0 < sum(chosen) < 200


def test_a_submission_belongs_to_the_clients_trace() -> None:
    tracer, kept = process()
    tracer.submission(f"00-{'ab' * 16}-{'cd' * 8}-01", {})
    (span,) = kept.spans
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id) == (int("ab" * 16, 16), int("cd" * 8, 16))


@pytest.mark.parametrize("nonsense", ["", "00-00-00-00", "x", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_a_traceparent_that_makes_no_sense_begins_a_trace(nonsense: str) -> None:
    tracer, kept = process()
    tracer.submission(nonsense, {})
    assert kept.spans[0].parent is None


def spans_of(worker: int) -> tuple[EpochSpans, Kept]:
    tracer, kept = process()
    trace = JobTrace.parse(tracer, f"00-{'ab' * 16}-{'cd' * 8}-01")
    return EpochSpans(trace, "job-1", 1, worker, clock_ns=lambda: 0, calendar_ns=lambda: 1000), kept


def told(kept: Kept) -> list[tuple[str, int, int]]:
    return [(span.name, span.start_time or 0, span.end_time or 0) for span in kept.spans]


def test_an_epoch_is_told_when_it_is_complete_and_only_once() -> None:
    spans, kept = spans_of(worker=0)
    spans.moved(opened=1, frontier=0, now_ns=10)
    spans.ran(0, "count", 20, 25)
    spans.ran(0, "count", 30, 40)
    assert kept.spans == []
    spans.moved(opened=2, frontier=1, now_ns=50)
    spans.moved(opened=2, frontier=1, now_ns=60)
    assert told(kept) == [("limnad.epoch", 1010, 1050), ("stage count", 1020, 1040)]
    root, stage = kept.spans
    assert (root.context, root.links[0].context.trace_id) == (stage.parent, int("ab" * 16, 16))
    assert stage.attributes is not None
    assert (stage.attributes["limnad.callbacks"], stage.attributes["limnad.busy_seconds"]) == (2, 15e-9)
    spans.moved(opened=2, frontier=None, now_ns=70)
    assert told(kept)[2:] == [("limnad.epoch", 1050, 1070)]


def test_other_workers_tell_their_stages_only() -> None:
    spans, kept = spans_of(worker=1)
    spans.ran(0, "count", 20, 25)
    spans.moved(opened=1, frontier=None, now_ns=50)
    assert told(kept) == [("stage count", 1020, 1025)]


def test_a_worker_that_goes_on_does_not_tell_what_its_checkpoint_covers() -> None:
    spans, kept = spans_of(worker=0)
    spans.goes_on(4)
    spans.moved(opened=5, frontier=5, now_ns=20)
    assert [(span.attributes or {})["limnad.epoch"] for span in kept.spans] == [4]


def test_an_input_that_leaps_does_not_make_a_span_for_each_epoch_that_it_skips() -> None:
    spans, kept = spans_of(worker=0)
    spans.moved(opened=10**12, frontier=None, now_ns=10)
    assert len(kept.spans) == 10_000


def test_a_job_that_is_not_traced_has_no_spans() -> None:
    from limnad_worker.epoch_spans import epoch_spans

    assert epoch_spans(wire.Prepare()) is None
