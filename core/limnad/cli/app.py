"""The commands and their options."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from limnad.errors import JobError

app = typer.Typer(
    name="limnad",
    help="Timely dataflow for Python.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Target = Annotated[
    str, typer.Argument(metavar="JOB.PY[:FUNCTION]", help="The job file; the function is `job` by default.")
]
Arguments = Annotated[
    list[str] | None,
    typer.Option("-a", "--arg", metavar="KEY=VALUE", help="An argument of the job's function; may be repeated."),
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
    feed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT=FILE",
            help="Feed a hand-fed input with JSON lines from a file (`-`: standard input); a blank line ends an epoch.",
        ),
    ] = None,
    show: Annotated[int, typer.Option(help="How many rows of each output and epoch to print; 0: none.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print outputs and the summary as JSON lines.")] = False,
    port: Annotated[int, typer.Option(help="Where the agent listens on loopback; 0: anywhere.")] = 0,
    accumulation: Annotated[
        str, typer.Option(help="How progress updates are gathered: `local`, or `none` to compare with.")
    ] = "local",
) -> None:
    """Run a job on worker processes of this machine, and show its outputs."""
    from limnad.cli.run import RunOptions, run_job

    wanted = RunOptions(
        target=target,
        workers=workers,
        arguments=pairs(arg or [], "-a KEY=VALUE"),
        feeds=pairs(feed or [], "--feed INPUT=FILE"),
        show=show,
        as_json=json,
        port=port,
        accumulation=accumulation,
    )
    sys.exit(run_job(wanted))


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
