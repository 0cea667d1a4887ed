"""The commands and their options."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from limnad.cli import checkpoints
from limnad.errors import JobError

app = typer.Typer(
    name="limnad",
    help="Timely dataflow for Python.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

app.add_typer(checkpoints.app, name="checkpoints")

Target = Annotated[
    str, typer.Argument(metavar="JOB.PY[:FUNCTION]", help="The job file; the function is `job` by default.")
]
Arguments = Annotated[
    list[str] | None,
    typer.Option("-a", "--arg", metavar="KEY=VALUE", help="An argument of the job's function; may be repeated."),
]

Feed = Annotated[
    list[str] | None,
    typer.Option(
        metavar="INPUT=FILE",
        help="Feed a hand-fed input with JSON lines from a file (`-`: standard input); a blank line ends an epoch.",
    ),
]
Ui = Annotated[bool, typer.Option("--ui", help="Serve a web page of the run on loopback, and print its URL.")]
UiPort = Annotated[
    int | None, typer.Option(metavar="PORT", help="The page's port (implies --ui); by default any that is free.")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"limnad {installed_version('limnad')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Timely dataflow for Python."""


@app.command()
def run(
    target: Target,
    workers: Annotated[int, typer.Option("-w", "--workers", help="How many worker processes.")] = 1,
    arg: Arguments = None,
    feed: Feed = None,
    show: Annotated[int, typer.Option(help="How many rows of each output and epoch to print; 0: none.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print outputs and the summary as JSON lines.")] = False,
    port: Annotated[int, typer.Option(help="Where the agent listens on loopback; 0: anywhere.")] = 0,
    ui: Ui = False,
    ui_port: UiPort = None,
    accumulation: Annotated[
        str, typer.Option(help="How progress updates are gathered: `local`, or `none` to compare with.")
    ] = "local",
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="From one checkpoint to the next (`5s`): workers that die are started again from it."
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where checkpoints are kept: `dir:PATH` or `redis://HOST:PORT/DB`."),
    ] = None,
    name: Annotated[str, typer.Option(help="The job's name in the store; by default that of its file.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in the store.")] = False,
    keep: Annotated[int | None, typer.Option(help="How many checkpoints are kept.")] = None,
    delivery: Annotated[
        str, typer.Option(help="Show an epoch at once (`eager`), or when a checkpoint covers it (`committed`).")
    ] = "eager",
    max_restarts: Annotated[
        int | None, typer.Option(help="How often workers are started again within the window before it is given up.")
    ] = None,
    restart_window: Annotated[str | None, typer.Option(metavar="TIME", help="That window.")] = None,
) -> None:
    """Run a job on worker processes of this machine, and show its outputs."""
    from limnad.cli.durations import seconds
    from limnad.cli.run import RunOptions, run_job
    from limnad.client import Checkpointing

    checkpointing = None
    if checkpoint or store or resume:
        checkpointing = Checkpointing(
            store=store or checkpoints.DEFAULT_STORE,
            name=name,
            every_s=seconds(checkpoint, "--checkpoint") if checkpoint else 10.0,
            keep=keep,
            resume=resume,
            delivery=delivery,
            max_restarts=max_restarts,
            restart_window_s=seconds(restart_window, "--restart-window") if restart_window else None,
        )

    wanted = RunOptions(
        target=target,
        workers=workers,
        arguments=pairs(arg or [], "-a KEY=VALUE"),
        feeds=pairs(feed or [], "--feed INPUT=FILE"),
        show=show,
        as_json=json,
        port=port,
        ui_port=0 if ui and ui_port is None else ui_port,
        accumulation=accumulation,
        checkpointing=checkpointing,
    )
    sys.exit(run_job(wanted))


@app.command()
def drill(
    target: Target,
    workers: Annotated[int, typer.Option("-w", "--workers", help="How many worker processes.")] = 2,
    arg: Arguments = None,
    feed: Annotated[list[str] | None, typer.Option(metavar="INPUT=FILE", help="As for `limnad run`.")] = None,
    faults: Annotated[
        str,
        typer.Option(
            help="What to do to the job, of `kill-worker,kill-all-workers,kill-agent,kill-twice,freeze-worker,reset,"
            "partition,one-way,slow-links`; or `all`."
        ),
    ] = "kill-worker,kill-all-workers,kill-agent,reset",
    minutes: Annotated[float, typer.Option(help="For how long; each fault gets one run at least.")] = 1.0,
    checkpoint: Annotated[str, typer.Option(metavar="TIME", help="From one checkpoint to the next.")] = "500ms",
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Where checkpoints are kept; by default a directory of its own.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides when it strikes, and whom.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON lines.")] = False,
) -> None:
    """Run a job under faults, and compare its outputs with those of a run without: nothing lost, nothing repeated."""
    from limnad.cli.drill import DrillOptions, run_drill

    given = [part for each in arg or [] for part in ("-a", each)] + [
        part for each in feed or [] for part in ("--feed", each)
    ]
    wanted = DrillOptions(
        run=[target, *given],
        workers=workers,
        checkpoint=checkpoint,
        store=store,
        faults=[name.strip() for name in faults.split(",")],
        minutes=minutes,
        seed=seed,
        as_json=json,
    )
    sys.exit(run_drill(wanted))


@app.command()
def graph(
    target: Target,
    arg: Arguments = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Write to a file: .mmd, .dot, or (with Graphviz installed) .svg, .png, .pdf."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the graph as JSON.")] = False,
) -> None:
    """Print a job's dataflow graph as Mermaid, without running it."""
    from limnad.cli.graph import show_graph

    show_graph(target, pairs(arg or [], "-a KEY=VALUE"), output, as_json=json)


def pairs(given: list[str], usage: str) -> dict[str, str]:
    """Splits ``KEY=VALUE`` options.

    Raises:
        JobError: One has no ``=``.
    """
    found: dict[str, str] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise JobError(f"{pair!r} is not of the form {usage}")
        found[key] = value
    return found
