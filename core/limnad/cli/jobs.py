"""Commands for jobs of a cluster: ``limnad submit``, ``jobs``, ``describe``, ``logs``, ``push``, ``subscribe``, ..."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from limnad.cli import options
from limnad.cli.reach import Reach, reaching
from limnad.cli.tables import show
from limnad.errors import ClusterError, JobError, LimnadError

if TYPE_CHECKING:
    from limnad.client import Client, Job, JobStatus

app = typer.Typer()

_PANEL = "Jobs of a cluster"


def _known_jobs(context: typer.Context, incomplete: str) -> list[str]:
    """For completion in a shell: nothing is said if the cluster does not answer."""
    try:
        with _client(Reach.of(context.params)) as client:
            return [status.job for status in client.jobs() if status.job.startswith(incomplete)]
    except LimnadError:
        return []


JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's name.", autocompletion=_known_jobs)]
Output = Annotated[Literal["table", "json"], typer.Option("-o", "--output", help="How to print.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the job has ended; fail if it has failed.")]
Width = Annotated[
    int, typer.Option("-w", "--workers", min=0, max=256, metavar="N", help="How many workers; 0: all slots.")
]


@app.command(rich_help_panel=_PANEL)
@reaching
def submit(
    target: Annotated[
        str, typer.Argument(metavar="JOB.PY[:FUNCTION]", help="The job file, or an archive of `limnad pack`.")
    ],
    reach: Reach,
    workers: Width = 0,
    arg: options.Arguments = None,
    root: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Send all of this folder along, for the job to import.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The job's name.", show_default="the file's, and a number")] = None,
    checkpoint: options.CheckpointOfJob = None,
    checkpoint_epochs: options.CheckpointEpochs = None,
    keep: options.Keep = None,
    delivery: options.Delivery = "eager",
    progress: options.ProgressOfJob = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep no checkpoints.")] = False,
    wait: Wait = False,
    request_id: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Your own text: the same request again starts no second job."),
    ] = None,
) -> None:
    """Start a job on a cluster, and print its name."""
    from limnad.client import Checkpointing
    from limnad.stream.jobfile import split_target

    path, function = split_target(target)
    every_s = None if checkpoint_epochs else Checkpointing.every_s
    checkpointing = Checkpointing(
        name=name or "",
        every_s=checkpoint or every_s,
        every_epochs=checkpoint_epochs,
        keep=keep,
        delivery=delivery,
    )
    with _client(reach) as client:
        job = client.submit(
            path,
            function,
            arguments=options.pairs(arg or [], "-a KEY=VALUE"),
            workers=workers,
            progress=progress or "",
            checkpointing=checkpointing,
            root=root,
            ephemeral=ephemeral,
            request_id=request_id,
        )
        print(job.name, flush=True)
        if wait:
            _wait(job)
        else:
            _say(f"see limnad describe {job.name}, limnad logs -f {job.name}, limnad subscribe {job.name}")


@app.command(rich_help_panel=_PANEL)
@reaching
def jobs(reach: Reach, output: Output = "table") -> None:
    """List the jobs of a cluster, the newest first."""
    with _client(reach) as client:
        found = client.jobs()
    if output == "json":
        for status in found:
            print(_json(status))
    else:
        show([_row(status) for status in found], "no jobs: limnad submit JOB.PY starts one")
        for status in found:
            if status.recovery.waiting and not status.ended:
                _say(f"{status.job} waits: {status.recovery.waiting}")


@app.command(rich_help_panel=_PANEL)
@reaching
def describe(job: JobName, reach: Reach, output: Output = "table") -> None:
    """Show a job: its state, stages, checkpoints, and why it failed if it did."""
    from limnad.cli.report import report_error
    from limnad.cli.view import stage_table

    with _client(reach) as client:
        status = client.job(job).status()
    if output == "json":
        print(_json(status))
        return
    show([_row(status)])
    facts = {
        "checkpoint": status.recovery.checkpoint,
        "generation": status.recovery.generation,
        "restarts": status.recovery.restarts,
        "last fault": status.recovery.last_fault,
        "waits for": status.recovery.waiting,
        "inputs": ", ".join(status.inputs),
        "outputs": ", ".join(status.outputs),
    }
    show([{"": name, " ": value} for name, value in facts.items() if value not in ("", None)])
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(stage_table(status))
    if status.failure is not None:
        report_error(status.failure, Console(highlight=False))


@app.command(rich_help_panel=_PANEL)
@reaching
def logs(
    job: JobName,
    reach: Reach,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the job has ended.")] = False,
    worker: Annotated[int | None, typer.Option(metavar="N", help="Only of this worker.")] = None,
) -> None:
    """Print what a job's workers have printed, also of those that are gone."""
    with _client(reach) as client:
        for number, text in client.job(job).logs(follow=follow):
            if worker is None or number == worker:
                sys.stdout.write(text)
                sys.stdout.flush()


@app.command(rich_help_panel=_PANEL)
@reaching
def cancel(job: JobName, reach: Reach) -> None:
    """End a job at once."""
    with _client(reach) as client:
        found = client.job(job)
        found.cancel()
        state = found.status().state
    _say(f"{job} was cancelled" if state == "cancelled" else _over(job, state))


@app.command(rich_help_panel=_PANEL)
@reaching
def drain(job: JobName, reach: Reach, wait: Wait = False) -> None:
    """Have a job finish: its inputs end where they stand, and there is a last checkpoint."""
    with _client(reach) as client:
        found = client.job(job)
        before = found.status()
        found.drain()
        if wait:
            _wait(found)
    if before.ended:
        _say(_over(job, before.state))
    else:
        _say(f"{job} has finished" if wait else f"{job} is about to finish: limnad describe {job}")


def _over(job: str, state: str) -> str:
    return f"nothing was to be done: {job} has ended, it is {state}"


@app.command(rich_help_panel=_PANEL)
@reaching
def checkpoint(
    job: JobName,
    reach: Reach,
    list_: Annotated[bool, typer.Option("--list", help="Make none, show those that there are.")] = False,
    output: Output = "table",
) -> None:
    """Make a checkpoint of a job, and print its number when it is durable."""
    with _client(reach) as client:
        found = client.job(job)
        if not list_:
            print(found.checkpoint())
            return
        rows = [{**asdict(each), "made_s": _time(each.made_s)} for each in found.checkpoints()]
    if output == "json":
        for row in rows:
            print(json.dumps(row))
    else:
        show(rows, f"no checkpoints: limnad checkpoint {job} makes one")


@app.command(rich_help_panel=_PANEL)
@reaching
def restore(
    job: JobName,
    reach: Reach,
    number: Annotated[
        int | None, typer.Argument(metavar="[CHECKPOINT]", help="Its number.", show_default="the newest")
    ] = None,
    workers: Annotated[int | None, typer.Option("-w", "--workers", min=1, max=256, metavar="N")] = None,
) -> None:
    """Have a job go back to a checkpoint, also one that has ended; checkpoints made since are forgotten."""
    with _client(reach) as client:
        client.job(job).restore(number, workers)
    _say(f"{job} runs")


@app.command(rich_help_panel=_PANEL)
@reaching
def scale(
    job: JobName,
    workers: Annotated[int, typer.Argument(metavar="WORKERS", min=1, max=256, help="How many.")],
    reach: Reach,
) -> None:
    """Have a job go on with another number of workers, from a new checkpoint."""
    with _client(reach) as client:
        client.job(job).rescale(workers)
    _say(f"{job} runs on {workers} workers")


@app.command(rich_help_panel=_PANEL)
@reaching
def push(
    job: JobName,
    into: Annotated[str, typer.Argument(metavar="INPUT", help="The hand-fed input.")],
    reach: Reach,
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="JSON lines, or a .parquet or .csv file; `-`: standard input.")
    ] = "-",
    advance_to: Annotated[
        int | None, typer.Option(min=1, metavar="EPOCH", help="Then end all epochs before this one.")
    ] = None,
    close: Annotated[bool, typer.Option("--close", help="Then end the input.")] = False,
    producer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who pushes: what this producer has pushed already is not repeated."),
    ] = None,
) -> None:
    """Feed rows to a hand-fed input of a job; returns when they are durable, if the job has a store."""
    with _client(reach) as client:
        _push(client.job(job), into, file, advance_to, close, producer)


def _push(job: Job, into: str, file: str, advance_to: int | None, close: bool, producer: str | None) -> None:
    target = job.input(into, producer)
    passed = target.last_sequence if producer is not None else 0
    rows = number = 0
    for batch in _batches(file):
        number += 1
        rows += len(batch)
        if number > passed:
            target.on_next(batch)
    steps: list[tuple[Any, ...]] = [(target.advance_to, advance_to)] if advance_to is not None else []
    steps += [(target.close,)] if close else []
    for step, *arguments in steps:
        number += 1
        if number > passed:
            step(*arguments)
    _say(f"{rows:,} rows were pushed to {into!r} of {job.name}" + (f", {passed} pushes before" if passed else ""))


def _batches(file: str) -> Iterator[Any]:
    import polars as pl

    from limnad.cli.feeding import in_parts, json_epochs

    if file != "-" and not Path(file).is_file():
        raise JobError(f"there is no file {file!r} to push (looked from {Path.cwd()})")
    if file.endswith((".parquet", ".csv")):
        yield from in_parts(pl.read_parquet(file) if file.endswith(".parquet") else pl.read_csv(file))
        return
    with closing(sys.stdin if file == "-" else open(file)) as lines:
        for epoch, rows in json_epochs(lines, file):
            if epoch is not None:
                raise JobError(f"{file} has a blank line: a push is rows of the open epoch, --advance-to ends it")
            yield rows


@app.command(rich_help_panel=_PANEL)
@reaching
def subscribe(
    job: JobName,
    reach: Reach,
    outputs: Annotated[list[str] | None, typer.Argument(metavar="[OUTPUT]...", help="Which; by default all.")] = None,
    from_epoch: Annotated[int, typer.Option("--from", min=0, metavar="EPOCH", help="The first one wanted.")] = 0,
    show_rows: options.Show = 20,
    output: Output = "table",
) -> None:
    """Print the epochs of a job's outputs as they are complete, until the job has ended."""
    from limnad.cli.outputs import json_line, print_epoch

    console = Console(highlight=False)
    with _client(reach) as client:
        found = client.job(job)
        wanted = list(outputs or [])
        known = _outputs(found)
        if unknown := [name for name in wanted if name not in known]:
            raise JobError(f"the job {job} has no output {unknown[0]!r}; it has: {', '.join(known) or 'none'}")
        for name, epoch, rows in found.outputs(
            *wanted, from_epochs=dict.fromkeys(known, from_epoch) if from_epoch else {}
        ):
            if output == "json":
                print(json_line(name, epoch, rows), flush=True)
            else:
                print_epoch(console, name, epoch, rows, show_rows)
        if (failure := found.status().failure) is not None:
            raise failure


def _wait(job: Job) -> None:
    """Returns when it has finished.

    Raises:
        JobError: It has ended otherwise.
    """
    if (state := job.wait().state) != "finished":
        raise JobError(f"the job {job.name} has not finished: it is {state}")


def _outputs(job: Job) -> list[str]:
    """The names of its outputs, when they are known."""
    for status in job.watch():
        if status.outputs or status.state not in ("starting", "recovering"):  # Maybe it was lost before it had begun.
            break
    return status.outputs


@app.command(rich_help_panel=_PANEL)
def pack(
    target: options.Target,
    archive: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The archive.")] = Path("job.zip"),
    root: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Pack all of this folder, for the job to import.")
    ] = None,
    requirement: Annotated[
        list[str] | None,
        typer.Option(
            "-r",
            "--requirement",
            metavar="WHAT",
            help="A package that the job imports, as pip takes it, or a wheel's file; may be repeated.",
        ),
    ] = None,
) -> None:
    """Put a job, what it imports and the packages that it needs into an archive for `limnad submit`."""
    from limnad.client.packing import install, write_archive
    from limnad.client.packing import pack as make
    from limnad.stream.jobfile import split_target

    path, function = split_target(target)
    with TemporaryDirectory() as folder:
        if requirement:
            install(requirement, Path(folder))
        packed = make(path, function, root, Path(folder))
    write_archive(packed, archive)
    _say(f"{archive}: {len(packed.data):,} bytes; limnad submit {archive}")


@contextmanager
def _client(reach: Reach) -> Iterator[Client]:
    from limnad.client.translation import Unreachable

    with reach.open() as client:
        try:
            yield client
        except Unreachable as error:
            raise ClusterError(
                f"the cluster at {client.address} does not answer: is it up (limnad cluster status), is the address "
                f"right (--cluster HOST:PORT, LIMNAD_CLUSTER), and does it speak TLS there (--tls-ca)? {error}"
            ) from None


def _row(status: JobStatus) -> dict[str, Any]:
    return {
        "job": status.job,
        "state": "draining" if status.draining and not status.ended else status.state,
        "workers": status.width or None,
        "epoch": status.epoch,
        "rows in": status.rows_in,
        "rows out": status.rows_out,
        "submitted": _time(status.submitted_s),
        "file": status.path,
    }


def _json(status: JobStatus) -> str:
    told = {key: value for key, value in asdict(status).items() if key != "failure"}
    return json.dumps({**told, "error": str(status.failure) if status.failure else None})


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
