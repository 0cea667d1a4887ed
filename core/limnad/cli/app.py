"""The commands and their options."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from limnad.cli import checkpoints, cluster, jobs, options
from limnad.cli.logging_options import logging_environment
from limnad.cli.sizes import state_environment
from limnad.errors import JobError

app = typer.Typer(
    name="limnad",
    help="Timely dataflow for Python.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(cluster.app, name="cluster")
app.add_typer(jobs.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"limnad {installed_version('limnad')}")
        raise typer.Exit


@app.callback()
def limnad(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Timely dataflow for Python."""


@app.command()
def run(
    target: options.Target,
    workers: options.Workers = 1,
    arg: options.Arguments = None,
    feed: options.Feed = None,
    show: options.Show = 20,
    json: options.AsJson = False,
    port: options.Port = 0,
    ui: options.Ui = False,
    ui_port: options.UiPort = None,
    progress: options.Progress = "local",
    state_limit: options.StateLimit = None,
    checkpoint: options.Checkpoint = None,
    checkpoint_epochs: options.CheckpointEpochs = None,
    store: options.StoreUrl = None,
    name: options.Name = None,
    resume: options.Resume = False,
    keep: options.Keep = None,
    delivery: options.Delivery = "eager",
    max_restarts: options.MaxRestarts = None,
    restart_window: options.RestartWindow = None,
    metrics_port: options.MetricsPort = None,
    log_format: options.LogFormat = None,
    log_level: options.LogLevel = None,
) -> None:
    """Run a job on worker processes of this machine, and show its outputs."""
    from limnad.cli.run import RunOptions, run_job
    from limnad.client import Checkpointing

    checkpointing = None
    if checkpoint or checkpoint_epochs or store or resume:
        every_s = None if checkpoint_epochs else Checkpointing.every_s
        checkpointing = Checkpointing(
            store=store or options.DEFAULT_STORE,
            name=name or "",
            every_s=checkpoint or every_s,
            every_epochs=checkpoint_epochs,
            keep=keep,
            resume=resume,
            delivery=delivery,
            max_restarts=max_restarts,
            restart_window_s=restart_window,
        )
    else:
        _refuse_without_checkpoints(
            {
                "--name": name,
                "--keep": keep,
                "--delivery committed": delivery == "committed",
                "--max-restarts": max_restarts,
                "--restart-window": restart_window,
            }
        )

    wanted = RunOptions(
        target=target,
        workers=workers,
        arguments=options.pairs(arg or [], "-a KEY=VALUE"),
        feeds=options.pairs(feed or [], "--feed INPUT=FILE"),
        show=show,
        as_json=json,
        port=port,
        ui_port=0 if ui and ui_port is None else ui_port,
        progress=progress,
        checkpointing=checkpointing,
        metrics_port=metrics_port,
        environment=logging_environment(log_format, log_level) | state_environment(state_limit),
    )
    sys.exit(run_job(wanted))


def _refuse_without_checkpoints(given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value:
            raise JobError(f"{option} says something about checkpoints, but there are none: add --checkpoint 5s")


@app.command()
def drill(
    target: options.DrillTarget = None,
    workers: options.Workers = 2,
    arg: options.Arguments = None,
    feed: options.Feed = None,
    progress: options.Progress = "local",
    faults: options.Faults = None,
    minutes: options.Minutes = None,
    checkpoint: options.DrillCheckpoint = None,
    store: options.DrillStore = None,
    seed: options.Seed = 0,
    json: options.AsJson = False,
    kubernetes: options.OnKubernetes = False,
    namespace: options.DrillNamespace = None,
    cluster: options.DrillCluster = None,
    rounds: options.DrillRounds = None,
    limit: options.DrillLimit = None,
    image: options.DrillImage = None,
    stop_node: options.DrillStopNode = None,
    start_node: options.DrillStartNode = None,
    kubeconfig: options.DrillKubeconfig = None,
) -> None:
    """Run a job under faults, and compare its outputs with those of a run without: nothing lost, nothing repeated."""
    from limnad.cli.drill import DEFAULT_FAULTS, DrillOptions, run_drill
    from limnad.cli.kubernetes_drill import become_kubernetes_drill, drill_arguments

    there = {
        "namespace": namespace,
        "cluster": cluster,
        "rounds": rounds,
        "limit": limit,
        "image": image,
        "stop-node": stop_node,
        "start-node": start_node,
        "kubeconfig": kubeconfig,
    }
    if kubernetes:
        if target is not None:
            raise JobError("limnad drill --kubernetes runs a job of its own, whose answer it knows: leave out JOB.PY")
        become_kubernetes_drill(drill_arguments({**there, "faults": faults, "minutes": minutes, "json": json}))
    if alien := [name for name, value in there.items() if value is not None]:
        raise JobError(f"--{alien[0]} is for a drill on Kubernetes: add --kubernetes")
    if target is None:
        raise JobError(
            "which job is to be run? Give JOB.PY, or --kubernetes for a cluster and a job of the drill's own"
        )
    given = [part for each in arg or [] for part in ("-a", each)] + [
        part for each in feed or [] for part in ("--feed", each)
    ]
    wanted = DrillOptions(
        run=[target, *given, "--progress", progress],
        workers=workers,
        progress=progress,
        checkpoint_s=checkpoint or 0.5,
        store=store,
        faults=[name.strip() for name in (faults or DEFAULT_FAULTS).split(",")],
        minutes=1.0 if minutes is None else minutes,
        seed=seed,
        as_json=json,
    )
    sys.exit(run_drill(wanted))


@app.command()
def graph(
    target: options.Target,
    arg: options.Arguments = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Write to a file: .mmd, .dot, or (with Graphviz installed) .svg, .png, .pdf."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the graph as JSON.")] = False,
    coordination: Annotated[
        bool, typer.Option("--coordination", help="Mark the stages that wait for all workers, and say why.")
    ] = False,
) -> None:
    """Print a job's dataflow graph as Mermaid, without running it."""
    from limnad.cli.graph import show_graph

    arguments = options.pairs(arg or [], "-a KEY=VALUE")
    show_graph(target, arguments, output, as_json=json, coordination=coordination)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    no_args_is_help=False,
)
def worker(context: typer.Context) -> None:
    """Be one agent of a cluster: what a container runs. See `limnad worker --help`."""
    cluster.serve_worker(context.args)
