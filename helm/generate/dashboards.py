"""What the Grafana dashboards show. `limnad` tells how that is written as Grafana has it.

In an expression ``{CLUSTER}`` and ``{JOB}`` stand for what the dashboard's variables choose, with more selectors after
a comma, and ``[RATE]`` for a window that holds some scrapes.
"""

from typing import Any

from helm.generate.grafana import Dashboard, Panel, Query, dashboard

BUSIEST = "limnad_stage_busy_seconds_total{JOB}[RATE]"


def quantiles(histogram: str, by: str, selectors: str = "JOB") -> tuple[Query, ...]:
    """The median and the 99th percentile of a histogram, by some labels."""
    grouped = ", ".join(filter(None, [by, "le"]))
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",") if by)
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by ({grouped}) (rate({histogram}_bucket{{{selectors}}}[RATE])))",
            f"{name} {legend}",
        )
        for q, name in ((0.5, "median"), (0.99, "99 %"))
    )


CLUSTER = Dashboard(
    "limnad-cluster",
    "Limnad / Cluster",
    "All jobs of a cluster, its leader, and the operator.",
    panels=(
        Panel("Leaders", "stat", (Query("count(limnad_build_info{CLUSTER})", ""),), width=4),
        Panel("Jobs running", "stat", (Query('sum(limnad_jobs{CLUSTER,state="running"})', ""),), width=4),
        Panel("Jobs failed", "stat", (Query('sum(limnad_jobs{CLUSTER,state="failed"})', ""),), width=4, bad_from=1),
        Panel("Workers of jobs", "stat", (Query("sum(limnad_job_workers{CLUSTER})", ""),), width=4),
        Panel(
            "Restarts in a day", "stat", (Query("sum(increase(limnad_job_restarts_total{CLUSTER}[1d]))", ""),), width=4
        ),
        Panel(
            "Memory of engines",
            "stat",
            (Query("sum(limnad_worker_resident_memory_bytes{CLUSTER})", ""),),
            "bytes",
            width=4,
        ),
        Panel(
            "Jobs by state", "timeseries", (Query("sum by (state) (limnad_jobs{CLUSTER})", "{{state}}"),), stacked=True
        ),
        Panel(
            "Rows received by stages",
            "timeseries",
            (Query("sum by (job_name) (rate(limnad_stage_rows_received_total{CLUSTER}[RATE]))", "{{job_name}}"),),
            "cps",
        ),
        Panel(
            "Processors used",
            "timeseries",
            (Query("sum by (job_name) (rate(limnad_worker_cpu_seconds_total{CLUSTER}[RATE]))", "{{job_name}}"),),
            stacked=True,
        ),
        Panel(
            "Memory",
            "timeseries",
            (Query("sum by (job_name) (limnad_worker_resident_memory_bytes{CLUSTER})", "{{job_name}}"),),
            "bytes",
            stacked=True,
        ),
        Panel(
            "State",
            "timeseries",
            (Query("sum by (job_name) (limnad_stage_state_bytes{CLUSTER})", "{{job_name}}"),),
            "bytes",
        ),
        Panel(
            "Exchanged between workers",
            "timeseries",
            (Query("sum by (job_name) (rate(limnad_connector_sent_bytes_total{CLUSTER}[RATE]))", "{{job_name}}"),),
            "Bps",
        ),
        Panel(
            "How late leaders wake up",
            "timeseries",
            quantiles("limnad_agent_event_loop_delay_seconds", "", "CLUSTER"),
            "s",
        ),
        Panel(
            "Workers wanted and ready",
            "timeseries",
            (
                Query('max by (name) (limnad_operator_workers{namespace=~"$namespace"})', "{{name}} wanted"),
                Query('max by (name) (limnad_operator_workers_ready{namespace=~"$namespace"})', "{{name}} ready"),
            ),
        ),
        Panel(
            "Objects that are degraded",
            "timeseries",
            (
                Query(
                    'max by (kind, name) (limnad_operator_condition{namespace=~"$namespace",type=~"Degraded"}) > 0',
                    "{{kind}} {{name}}",
                ),
            ),
        ),
        Panel(
            "What the operator looks at",
            "timeseries",
            (
                Query('sum by (kind) (rate(limnad_operator_looks_total{namespace=~"$namespace"}[RATE]))', "{{kind}}"),
                Query(
                    'sum by (kind) (rate(limnad_operator_look_errors_total{namespace=~"$namespace"}[RATE]))',
                    "{{kind}}: errors",
                ),
            ),
            "ops",
        ),
        Panel(
            "How long that takes",
            "timeseries",
            quantiles("limnad_operator_look_duration_seconds", "kind", 'namespace=~"$namespace"'),
            "s",
        ),
        Panel(
            "Pauses of leaders for garbage",
            "timeseries",
            (Query("sum(rate(limnad_agent_gc_pause_seconds_sum{CLUSTER}[RATE]))", "share of the time"),),
            "percentunit",
        ),
    ),
)

JOB = Dashboard(
    "limnad-job",
    "Limnad / Job",
    "One job: its stages and connectors, and what its workers do.",
    panels=(
        Panel("State", "stat", (Query("limnad_job_state{JOB} == 1", "{{state}}"),), width=6, shown="name"),
        Panel("Workers", "stat", (Query("sum(limnad_job_workers{JOB})", ""),), width=6),
        Panel("First epoch not complete", "stat", (Query("max(limnad_job_frontier_epoch{JOB})", ""),), width=6),
        Panel(
            "It has been open for",
            "stat",
            (Query("max(limnad_job_frontier_lag_seconds{JOB})", ""),),
            "s",
            width=6,
            bad_from=300,
        ),
        Panel(
            "Rows received by stage",
            "timeseries",
            (Query("sum by (stage) (rate(limnad_stage_rows_received_total{JOB}[RATE]))", "{{stage}}"),),
            "cps",
        ),
        Panel(
            "Rows sent by stage",
            "timeseries",
            (Query("sum by (stage) (rate(limnad_stage_rows_sent_total{JOB}[RATE]))", "{{stage}}"),),
            "cps",
        ),
        Panel(
            "Busy stages",
            "timeseries",
            (Query(f"sum by (stage) (rate({BUSIEST}))", "{{stage}}"),),
            stacked=True,
            about="Processors that a stage keeps busy: 1 is all of one worker.",
        ),
        Panel(
            "Skew",
            "timeseries",
            (Query(f"max by (stage) (rate({BUSIEST})) / avg by (stage) (rate({BUSIEST}))", "{{stage}}"),),
            about="The busiest worker over the average: 1 is even, the number of workers is one worker alone.",
        ),
        Panel(
            "Queued at connectors",
            "timeseries",
            (Query("sum by (connector) (limnad_connector_queued_bytes{JOB})", "{{connector}}"),),
            "bytes",
        ),
        Panel(
            "Sent over connectors",
            "timeseries",
            (Query("sum by (connector) (rate(limnad_connector_sent_bytes_total{JOB}[RATE]))", "{{connector}}"),),
            "Bps",
        ),
        Panel(
            "State by stage",
            "timeseries",
            (Query("sum by (stage) (limnad_stage_state_bytes{JOB})", "{{stage}}"),),
            "bytes",
        ),
        Panel(
            "Memory by worker",
            "timeseries",
            (Query("limnad_worker_resident_memory_bytes{JOB}", "{{worker}}"),),
            "bytes",
        ),
        Panel(
            "Processors by worker",
            "timeseries",
            (Query("rate(limnad_worker_cpu_seconds_total{JOB}[RATE])", "{{worker}}"),),
        ),
        Panel(
            "Sources that wait",
            "timeseries",
            (Query("rate(limnad_worker_backpressure_seconds_total{JOB}[RATE])", "{{worker}}"),),
            "percentunit",
            about="The share of the time that a worker's sources have no credit.",
        ),
    ),
)

PROGRESS = Dashboard(
    "limnad-progress",
    "Limnad / Progress and recovery",
    "Epochs, notifications, checkpoints, restarts, and the store.",
    panels=(
        Panel(
            "Epochs complete",
            "timeseries",
            (Query("rate(limnad_job_frontier_epoch{JOB}[RATE])", "{{job_name}}"),),
            "ops",
        ),
        Panel(
            "Epochs open",
            "timeseries",
            (Query("limnad_job_frontier_lag_epochs{JOB}", "{{job_name}}"),),
            about="Opened by the inputs, and not complete everywhere.",
        ),
        Panel(
            "How long the first has been open",
            "timeseries",
            (Query("limnad_job_frontier_lag_seconds{JOB}", "{{job_name}}"),),
            "s",
        ),
        Panel(
            "From a frontier to its notification",
            "timeseries",
            quantiles("limnad_worker_notification_delay_seconds", "job_name"),
            "s",
        ),
        Panel(
            "Trips round loops",
            "timeseries",
            (
                Query(
                    "max by (job_name, loop) (rate(limnad_loop_iterations_total{JOB}[RATE]))", "{{job_name}} {{loop}}"
                ),
            ),
            "ops",
        ),
        Panel(
            "Progress updates",
            "timeseries",
            (Query("sum by (job_name) (rate(limnad_worker_progress_bytes_total{JOB}[RATE]))", "{{job_name}}"),),
            "Bps",
        ),
        Panel(
            "Age of the newest checkpoint",
            "timeseries",
            (Query("time() - (limnad_checkpoint_committed_timestamp_seconds{JOB} > 0)", "{{job_name}}"),),
            "s",
        ),
        Panel(
            "Checkpoints",
            "timeseries",
            (
                Query("sum(increase(limnad_checkpoints_committed_total{JOB}[RATE]))", "durable"),
                Query("sum(increase(limnad_checkpoints_failed_total{JOB}[RATE]))", "given up"),
            ),
        ),
        Panel("How long they take", "timeseries", quantiles("limnad_checkpoint_duration_seconds", "job_name"), "s"),
        Panel("How long jobs stand still", "timeseries", quantiles("limnad_checkpoint_halt_seconds", "job_name"), "s"),
        Panel("Their phases", "timeseries", quantiles("limnad_checkpoint_phase_duration_seconds", "phase")[1:], "s"),
        Panel("Their size", "timeseries", (Query("limnad_checkpoint_size_bytes{JOB}", "{{job_name}}"),), "bytes"),
        Panel(
            "Requests to the store", "timeseries", quantiles("limnad_store_request_duration_seconds", "job_name"), "s"
        ),
        Panel(
            "Restarts",
            "timeseries",
            (Query("increase(limnad_job_restarts_total{JOB}[RATE])", "{{job_name}}"),),
            about="Runs of a job that ended with a lost worker. Scaling and planned moves are none.",
        ),
    ),
)


def dashboards() -> dict[str, dict[str, Any]]:
    """All of them as Grafana has them, by the names of their files."""
    return {each.uid.removeprefix("limnad-"): dashboard(each) for each in (CLUSTER, JOB, PROGRESS)}
