"""``limnad checkpoints``: what a store holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from limnad.cli.options import DEFAULT_STORE, AsJson
from limnad.cli.terminal import console
from limnad.cli.view import bytes_text
from limnad.cluster.records import Blob, CheckpointRecord
from limnad.errors import JobError
from limnad.store import Checkpoints, Space, Store, begin_erasing, erase, open_store
from limnad.store.opening import parse

app = typer.Typer(help="List, inspect and delete the checkpoints in a store.", no_args_is_help=True)

StoreUrl = Annotated[
    str, typer.Option("--store", metavar="URL", help="As for `limnad run`: `dir:PATH` or `redis://HOST:PORT/DB`.")
]


@app.command("list")
def list_checkpoints(
    job: Annotated[str | None, typer.Argument(help="Only this job's.")] = None,
    store: StoreUrl = DEFAULT_STORE,
    json: AsJson = False,
) -> None:
    """List the checkpoints of all jobs, or of one."""
    with _opened(store) as opened:
        names = _known(opened, job)
        _show([_summary(name, number, record) for name in names for number, record in _records(opened, name)], json)


@app.command()
def inspect(
    job: Annotated[str, typer.Argument(help="The job's name in the store.")],
    number: Annotated[int | None, typer.Argument(help="Which checkpoint; by default the newest.")] = None,
    store: StoreUrl = DEFAULT_STORE,
    json: AsJson = False,
) -> None:
    """Show what a checkpoint holds: each stage's state and waiting batches, and where each input stands."""
    with _opened(store) as opened:
        _known(opened, job)
        records = dict(_records(opened, job))
        if number is None and records:
            number = max(records)
        if number not in records:
            have = ", ".join(map(str, records)) or "none"
            raise JobError(f"the job {job!r} has no checkpoint {number}; it has: {have}")
        _show(list(_contents(records[number])), json)


@app.command()
def delete(
    job: Annotated[str, typer.Argument(help="The job's name in the store.")],
    store: StoreUrl = DEFAULT_STORE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete all checkpoints of a job, and all else that the store knows of it, what was pushed to it included."""
    with _opened(store) as opened:
        _known(opened, job)
        if not yes:
            typer.confirm(f"Delete all checkpoints of {job!r} in {opened.describe()}?", abort=True)
        space = opened.job(job)
        count = erase(space, begin_erasing(space))
        print(f"deleted the checkpoints of {job!r}, {count} chunks", file=sys.stderr)


@contextmanager
def _opened(url: str) -> Iterator[Store]:
    folder = parse(url).path
    if folder is not None and not Path(folder).is_dir():
        raise JobError(f"there is no store {url}: {Path(folder).absolute()} is no folder")
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


def _known(store: Store, job: str | None) -> list[str]:
    names = [name for name in store.jobs() if store.job(name).ledger.keys()]
    if job is None:
        return names
    if job not in names:
        raise JobError(f"{store.describe()} knows no job {job!r}; it has: {', '.join(names) or 'none'}")
    return [job]


def _records(store: Store, job: str) -> Iterator[tuple[int, CheckpointRecord]]:
    space: Space = store.job(job)
    for manifest in Checkpoints(space).manifests():
        yield manifest.number, CheckpointRecord.decode(manifest.body)


def _summary(job: str, number: int, record: CheckpointRecord) -> dict[str, Any]:
    return {
        "job": job,
        "checkpoint": number,
        "made": datetime.fromtimestamp(record.made_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "epoch": record.epoch,
        "workers": len(record.parts),
        "generation": record.generation,
        "bytes": sum(_size(list(part.blobs())) for part in record.parts),
        "new_bytes": sum(phases.stored_bytes for phases in record.phases),
        "halted_s": max((phases.halted_us for phases in record.phases), default=0) / 1e6,
        "stored_s": max((phases.encode_us + phases.upload_us for phases in record.phases), default=0) / 1e6,
    }


def _contents(record: CheckpointRecord) -> Iterator[dict[str, Any]]:
    for worker, phases in enumerate(record.phases):
        for phase, time_us in _PHASES.items():
            yield _line(worker, "", f"{phase}: {getattr(phases, time_us) / 1e6} s", 0)
        yield _line(worker, "", "encoded and stored", phases.stored_bytes)
    for part in record.parts:
        for state in part.states:
            blobs = [piece.blob for piece in state.pieces]
            yield _line(part.worker, state.stage, f"state {state.name!r}, version {state.version}", _size(blobs))
        for stage, blob in part.custom.items():
            yield _line(part.worker, stage, "state of its own", blob.size)
        if part.waiting:
            waiting = f"{len(part.waiting)} batches that wait for delivery"
            yield _line(part.worker, "", waiting, _size([each.blob for each in part.waiting]))
        for request in part.requests:
            yield _line(part.worker, request.stage, f"owed a notification at {request.guarantee}", 0)
        for partition in part.partitions:
            position = "ended" if partition.position is None else json.dumps(partition.position)
            yield _line(part.worker, partition.stage, f"{partition.partition}: epoch {partition.epoch}, {position}", 0)


_PHASES = {
    "halted to stop": "stop_us",
    "halted for markers": "markers_us",
    "halted to take references": "references_us",
    "encoding": "encode_us",
    "upload": "upload_us",
}


def _line(worker: int, stage: str, what: str, size: int) -> dict[str, Any]:
    return {"worker": worker, "stage": stage, "what": what, "bytes": size}


def _size(blobs: list[Blob]) -> int:
    return sum(blob.size for blob in blobs)


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        print("no checkpoints", file=sys.stderr)
        return
    table = Table(box=None, header_style="dim", padding=(0, 2), show_edge=False)
    for name, value in rows[0].items():
        table.add_column(name, justify="right" if isinstance(value, int | float) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    console().print(table)


def _cell(name: str, value: Any) -> str:
    if name in ("bytes", "new_bytes"):
        return bytes_text(value) if value else ""
    if isinstance(value, float):
        return f"{value:.4f}"
    return "-" if value is None else str(value)
