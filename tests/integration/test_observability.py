"""Metrics in a real Prometheus, traces at a real OTLP receiver, logs on standard error: of real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from limnad.cli.watched import engines_of
from limnad.client import Checkpointing, Client, Job, LocalCluster
from limnad_worker.metric_table import METRICS, Kind
from tests.helpers.otlp_receiver import OtlpReceiver, Span
from tests.helpers.prometheus_server import PrometheusServer
from tests.helpers.redis_server import RedisServer
from tests.helpers.running import LIMNAD

JOB = """
    import logging

    def job(flow):
        numbers = flow.input("numbers")
        numbers.iterate(count_down, name="down").key_by(str).count_by_key().map(tell).output("counts")

    def count_down(numbers):
        return numbers.filter(lambda n: n > 0).map(lambda n: n - 1), numbers.filter(lambda n: n == 0)

    def tell(pair):
        logging.getLogger("mine").info("counted %s for redis://ann:s3cret@host/0", pair)
        return pair
"""


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    file = tmp_path / "job.py"
    file.write_text(textwrap.dedent(JOB))
    return str(file)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server


class Fed:
    """The job, fed epoch by epoch."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._input = job.input("numbers")
        self._epochs = 0

    def epoch(self, *numbers: int) -> list[Any]:
        """Feeds one epoch and waits for what comes out."""
        self._input.on_next(list(numbers))
        self._epochs += 1
        self._input.advance_to(self._epochs)
        for _, epoch, rows in self._job.outputs(from_epochs={"counts": self._epochs - 1}):
            if epoch == self._epochs - 1:
                return list(rows)
        raise AssertionError("the job has ended")

    def rows(self, *batches: list[int]) -> None:
        """Feeds rows of an epoch that stays open."""
        for batch in batches:
            self._input.on_next(batch)

    def close(self) -> None:
        self._input.close()
        self._job.wait()


def wait_for_restart(job: Job) -> None:
    assert any(status.recovery.restarts and status.state == "running" for status in job.watch())


def last(metric: str) -> str:
    return f"last_over_time({metric}[2m])"


def total(prometheus: PrometheusServer, metric: str) -> float:
    (value,) = prometheus.ask(f"sum({last(metric)})").values()
    return value


def test_a_real_prometheus_sees_a_job_through_its_life(job_file: str, redis: RedisServer) -> None:
    with LocalCluster(2, metrics_port=0) as cluster, Client(cluster.address) as client:
        assert cluster.metrics is not None
        with PrometheusServer(cluster.metrics) as prometheus:
            job = client.submit(job_file, workers=2, checkpointing=Checkpointing(redis.url, every_s=None))
            fed = Fed(job)
            assert fed.epoch(5, 3, 3, 0) == [("0", 4)]
            assert fed.epoch(2) == [("0", 1)]
            assert job.checkpoint() == 1
            _check_values(prometheus, job.name)
            _check_names(prometheus)

            (first, *_) = engines_of(cluster.pid)
            os.kill(first, signal.SIGKILL)
            wait_for_restart(job)
            assert fed.epoch(1) == [("0", 1)]
            restarted = {
                "limnad_job_restarts_total": 1.0,
                "limnad_job_generation": 2.0,
                "limnad_job_frontier_epoch": 3.0,
                # Counted anew, by new processes.
                'limnad_stage_rows_sent_total{stage="numbers"}': 1.0,
            }
            assert eventually(prometheus, restarted) == restarted
            fed.rows([1], [0, 0], [0])  # No epoch is complete by them, and yet they are told.
            fresh = {'limnad_stage_rows_sent_total{stage="numbers"}': 5.0, "limnad_job_frontier_lag_epochs": 1.0}
            assert eventually(prometheus, fresh) == fresh
            fed.close()
            ended = {
                'limnad_job_state{state="finished"}': 1.0,
                'limnad_jobs{state="finished"}': 1.0,
                "limnad_job_frontier_lag_epochs": 0.0,
            }
            assert eventually(prometheus, ended) == ended


def eventually(prometheus: PrometheusServer, expected: dict[str, float]) -> dict[str, float]:
    """The sums of these metrics, as soon as they are as expected: a worker tells what it did last a moment later."""
    values: dict[str, float] = {}
    for _ in range(8):
        prometheus.after_scrape("up")
        values = {metric: total(prometheus, metric) for metric in expected}
        if values == expected:
            break
    return values


def _check_values(prometheus: PrometheusServer, job: str) -> None:
    expected: dict[str, float] = {
        'limnad_job_state{state="running"}': 1,
        "limnad_job_workers": 2,
        "limnad_job_generation": 1,
        "limnad_job_restarts_total": 0,
        "limnad_job_frontier_epoch": 2,
        "limnad_job_opened_epochs": 2,
        "limnad_job_frontier_lag_epochs": 0,
        "limnad_job_frontier_lag_seconds": 0,
        "limnad_checkpoints_committed_total": 1,
        "limnad_checkpoints_failed_total": 0,
        "limnad_checkpoint_newest": 1,
        'limnad_checkpoint_phase{phase="idle"}': 1,
        "limnad_checkpoint_duration_seconds_count": 1,
        'limnad_checkpoint_phase_duration_seconds_count{phase="storing"}': 1,
        "limnad_checkpoint_halt_seconds_count": 1,
        'limnad_stage_rows_sent_total{stage="numbers"}': 5,
        'limnad_stage_rows_received_total{stage="count locally"}': 5,
        'limnad_stage_rows_sent_total{stage="count_by_key"}': 2,
        'limnad_stage_notifications_total{stage="count_by_key"}': 2,
        'limnad_stage_rows_received_total{stage="output counts"}': 2,
        'limnad_connector_rows_total{connector="count_by_key -> map-2"}': 2,
        'limnad_connector_batches_total{connector="count_by_key -> map-2"}': 2,
        "limnad_connector_queued_bytes": 0,
        "limnad_worker_buffered_bytes": 0,
        "limnad_worker_in_flight_bytes": 0,
        # Five for the first epoch, two for the second.
        'limnad_loop_iterations_total{loop="down"}': 7,
        "limnad_worker_notification_delay_seconds_count": 2,
    }
    assert eventually(prometheus, expected) == expected
    positive = (
        "limnad_worker_cpu_seconds_total",
        "limnad_worker_resident_memory_bytes",
        "limnad_worker_progress_bytes_total",
        "limnad_worker_progress_updates_total",
        "limnad_worker_event_loop_delay_seconds_count",
        "limnad_worker_gc_pause_seconds_count",
        "limnad_checkpoint_size_bytes",
        "limnad_checkpoint_written_bytes_total",
        "limnad_checkpoint_committed_timestamp_seconds",
        'limnad_store_request_duration_seconds_count{worker=""}',
        'limnad_store_request_duration_seconds_count{worker="0"}',
        'limnad_store_request_duration_seconds_count{worker="1"}',
        'limnad_connector_bytes_total{connector="count_by_key -> map-2"}',
        "limnad_connector_sent_bytes_total",
        "limnad_agent_event_loop_delay_seconds_count",
    )
    assert [metric for metric in positive if total(prometheus, metric) <= 0] == []
    (labels,) = prometheus.ask(last('limnad_stage_rows_sent_total{stage="numbers",worker="0"}'))
    assert dict(labels) == {"job_name": job, "worker": "0", "stage": "numbers"}


def _check_names(prometheus: PrometheusServer) -> None:
    seen = {name for name in prometheus.names() if name.startswith("limnad_")}
    wanted = {f"{each.name}_bucket" if each.kind is Kind.HISTOGRAM else each.name for each in METRICS}
    assert {name for name in seen if not name.endswith(("_sum", "_count"))} == wanted


def test_traces_arrive_and_belong_together(job_file: str, tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        with (
            LocalCluster(2, environment=receiver.environment) as cluster,
            Client(cluster.address) as client,
        ):
            store = f"dir:{tmp_path / 'store'}"
            job = client.submit(job_file, workers=2, checkpointing=Checkpointing(store, every_s=None))
            fed = Fed(job)
            fed.epoch(5, 3, 3, 0)
            job.checkpoint()
            for name, count in (("limnad.epoch", 1), ("stage count_by_key", 1), ("write", 2)):
                receiver.wait_for(_named(name), count)  # What has not been sent dies with its process.
            (first, *_) = engines_of(cluster.pid)
            os.kill(first, signal.SIGKILL)
            wait_for_restart(job)
            fed.epoch(1)
            fed.close()
        (submit,) = receiver.wait_for(lambda span: span.name == "limnad.submit")
        epochs = receiver.wait_for(lambda span: span.name == "limnad.epoch", 2)
        # Epoch 0 is covered by the checkpoint: it is no part of the second generation.
        assert {(span.attributes["limnad.epoch"], span.attributes["limnad.generation"]) for span in epochs} == {
            (0, 1),
            (1, 2),
        }
        for epoch in epochs:
            assert epoch.links == [submit.trace]
            stages = [span for span in receiver.spans if span.trace == epoch.trace and span.id != epoch.id]
            assert all(span.parent == epoch.id and span.name.startswith("stage ") for span in stages)
            assert all(epoch.start_ns <= span.start_ns <= span.end_ns for span in stages)
        (first_epoch,) = (span for span in epochs if span.attributes["limnad.epoch"] == 0)
        stages = receiver.wait_for(lambda span: span.trace == first_epoch.trace and span.name == "stage count_by_key")
        assert {span.attributes["limnad.stage"] for span in stages} == {"count_by_key"}
        assert all(span.service == "limnad" for span in receiver.spans)

        starts = receiver.wait_for(lambda span: span.name == "limnad.start", 2)
        assert [(span.attributes["limnad.start"], span.failed) for span in starts] == [(0, False), (1, False)]
        read = receiver.wait_for(lambda span: span.name == "read checkpoint", 2)
        assert {span.parent for span in read} == {starts[1].id}
        assert {span.attributes["limnad.worker"] for span in read} == {0, 1}

        (checkpoint, *_) = receiver.wait_for(lambda span: span.name == "limnad.checkpoint")
        parts = receiver.wait_for(lambda span: span.trace == checkpoint.trace and span.parent == checkpoint.id, 2)
        assert {span.name for span in parts} <= {"halt", "write"}
        assert not checkpoint.failed


def _named(name: str) -> Callable[[Span], bool]:
    return lambda span: span.name == name


def test_without_the_variables_nothing_of_opentelemetry_is_imported(tmp_path: Path) -> None:
    job = tmp_path / "job.py"
    job.write_text(
        textwrap.dedent("""
            import sys

            def job(flow):
                flow.values([["opentelemetry"]]).map(imported).output("imported")

            def imported(package):
                return [name for name in sys.modules if name.startswith(package)]
        """)
    )
    done = limnad("run", str(job), "--json")
    assert json.loads(done.stdout.splitlines()[0])["rows"] == [[]]


def limnad(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LIMNAD, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
        env={**os.environ, **environment},
    )


def test_logs_say_which_job_worker_and_epoch_and_never_a_password(job_file: str, tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.jsonl"
    numbers.write_text("1\n0\n\n2\n")
    store = f"dir:{tmp_path / 'store'}"
    done = limnad(
        "run", job_file, "-w", "2", "--json", "--feed", f"numbers={numbers}", "--log-format", "json", "--store", store
    )
    assert "s3cret" not in done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    mine = [line for line in lines if line["logger"] == "mine"]
    assert {line["epoch"] for line in mine} == {0, 1}
    assert all(line["job"] == "job-1" and line["generation"] == 1 and line["stage"] == "map-2" for line in mine)
    assert all(line["worker"] in (0, 1) for line in mine)
    assert all(line["message"].endswith("redis://ann:***@host/0") for line in mine)
    told = [line["message"] for line in lines if line["logger"] == "limnad_worker.job"]
    assert told[0] == "starting 2 workers from the inputs' beginning"
    assert "running" in told
    assert told[-1] == "finished"
    assert any("checkpoint" in line for line in lines)


def test_without_the_options_nothing_is_logged(job_file: str, tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.jsonl"
    numbers.write_text("1\n")
    done = limnad("run", job_file, "--json", "--feed", f"numbers={numbers}")
    assert done.stderr == ""


def test_a_run_prints_where_its_metrics_are(job_file: str, tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.jsonl"
    numbers.write_text("1\n")
    done = limnad("run", job_file, "--json", "--feed", f"numbers={numbers}", "--metrics-port", "0")
    assert done.stderr.startswith("metrics: http://127.0.0.1:")
