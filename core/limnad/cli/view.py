"""The live view of a run: what is seen while a job works, and its last line."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from limnad.client import CheckpointPhases, JobStatus, RecoveryStatus

RATE_WINDOW_S = 3.0
"""Over how long rates are taken: short enough to follow, long enough to read."""


class Rates:
    """Rows a second over the last few seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, seconds: float, rows: int) -> float:
        """Notes a count at a time; returns the rate until then. After a restart both begin anew."""
        if self._seen and (seconds < self._seen[-1][0] or rows < self._seen[-1][1]):
            self._seen.clear()
        self._seen.append((seconds, rows))
        while len(self._seen) > 2 and seconds - self._seen[0][0] > RATE_WINDOW_S:
            self._seen.popleft()
        first_s, first_rows = self._seen[0]
        return (rows - first_rows) / (seconds - first_s) if seconds > first_s else 0.0


def live_view(status: JobStatus, job: str, workers: int, rows_per_s: float) -> RenderableType:
    """The whole view; ``workers`` is how many were asked for, which may have changed since."""
    workers = status.width or workers
    head = Text.assemble(
        (f" {job} ", "bold reverse"),
        f"  {workers} worker{'s' if workers > 1 else ''}  ",
        (status.state, _STATE_STYLES.get(status.state, "")),
    )
    facts = Table.grid(padding=(0, 3))
    facts.add_row(
        _fact("epoch", "-" if status.epoch is None else f"{status.epoch:,}"),
        _fact("rows in", f"{status.rows_in:,}"),
        _fact("rows out", f"{status.rows_out:,}"),
        _fact("rows/s", short(rows_per_s)),
        _fact("waiting", bytes_text(status.queued_bytes + status.in_flight_bytes)),
        _fact("sources", "paused" if status.waiting_workers else "reading"),
        _fact("time", f"{status.running_s:.1f} s"),
    )
    return Group(head, facts, *_recovery_facts(status.recovery), stage_table(status))


def _recovery_facts(told: RecoveryStatus) -> list[RenderableType]:
    """Checkpoints and restarts, if there are any."""
    if not (told.committed or told.restarts or told.dropped or told.waiting):
        return []
    facts = Table.grid(padding=(0, 3))
    facts.add_row(
        _fact("checkpoint", "-" if told.checkpoint is None else f"{told.checkpoint:,}"),
        _fact("halted", f"{told.halted_s * 1000:.1f} ms"),
        _fact("stored", f"{bytes_text(told.stored_bytes)} in {told.stored_s:.2f} s"),
        _fact("dropped", f"{told.dropped:,}"),
        _fact("restarts", f"{told.restarts:,}"),
    )
    return [facts, Text(told.waiting, "yellow")] if told.waiting else [facts]


def stage_table(status: JobStatus) -> Table:
    """A row for each stage that does something."""
    table = Table(box=None, padding=(0, 2), header_style="dim", show_edge=False)
    table.add_column("stage", no_wrap=True, max_width=50, overflow="ellipsis")
    for name in ("rows in", "rows out", "state", "busy"):
        table.add_column(name, justify="right")
    for stage in status.stages:
        if stage.kind in ("input", "compute"):
            state = bytes_text(stage.state_bytes) if stage.state_bytes else ""
            table.add_row(stage.label, f"{stage.rows_in:,}", f"{stage.rows_out:,}", state, f"{stage.busy_s:.2f} s")
    return table


def plain_line(status: JobStatus, rows_per_s: float) -> str:
    """The view where there is no terminal: one line."""
    epoch = "-" if status.epoch is None else str(status.epoch)
    paused = ", sources paused" if status.waiting_workers else ""
    return (
        f"{status.state} {status.running_s:.1f} s: epoch {epoch}, {rows_text(status.rows_in)} in, "
        f"{rows_text(status.rows_out)} out, {short(rows_per_s)} rows/s{paused}"
    )


def summary_line(status: JobStatus, workers: int) -> str:
    """The last line of a run that went well; ``workers``: see `live_view`."""
    workers = status.width or workers
    rate = status.rows_in / status.running_s if status.running_s > 0 else 0.0
    return (
        f"{status.state} in {status.running_s:.2f} s on {workers} worker{'s' if workers > 1 else ''} "
        f"(start-up {status.starting_s:.2f} s): {rows_text(status.rows_in)} in, {rows_text(status.rows_out)} out, "
        f"{short(rate)} rows/s, {bytes_text(status.data_bytes)} exchanged" + _recovery_summary(status.recovery)
    )


def _recovery_summary(told: RecoveryStatus) -> str:
    if not told.committed and not told.restarts:
        return ""
    restarts = f", {told.restarts} restart{'s' if told.restarts != 1 else ''}" if told.restarts else ""
    made = f", {told.committed} checkpoint{'s' if told.committed != 1 else ''}{restarts}"
    return made if told.phases is None else f"{made}\nthe last checkpoint: {phases_text(told, told.phases)}"


def phases_text(told: RecoveryStatus, phases: CheckpointPhases) -> str:
    """How long a checkpoint took, in seconds."""
    return (
        f"{bytes_text(told.stored_bytes)} in {phases.total_s:.4f} s; halted {told.halted_s:.4f} s (stop "
        f"{phases.stop_s:.4f}, markers {phases.markers_s:.4f}, references {phases.references_s:.4f}); encode "
        f"{phases.encode_s:.4f} s, upload {phases.upload_s:.4f} s, commit {phases.commit_s:.4f} s"
    )


def rows_text(count: int) -> str:
    """A number of rows.

    >>> rows_text(1), rows_text(2_000)
    ('1 row', '2,000 rows')
    """
    return f"{count:,} row{'' if count == 1 else 's'}"


def short(number: float) -> str:
    """A number that can be read at a glance.

    >>> short(950.0), short(12_345.0), short(7_890_000.0)
    ('950', '12.3 k', '7.9 M')
    """
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number:.0f}"


def bytes_text(size: int) -> str:
    """Bytes with a unit.

    >>> bytes_text(1_234_567)
    '1.2 MB'
    """
    return f"{short(size)}B" if size >= 1000 else f"{size} B"


def _fact(name: str, value: str) -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, "bold"))


_STATE_STYLES = {
    "running": "green",
    "recovering": "yellow",
    "finished": "green",
    "failed": "bold red",
    "cancelled": "yellow",
}
