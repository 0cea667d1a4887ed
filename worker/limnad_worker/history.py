"""What a job remembers of itself, its checkpoints and its restarts, for whoever looks later."""

from __future__ import annotations

import time
from pathlib import PurePath

from limnad_proto.v1 import jobs_pb2

KEPT = 100
"""How many of each are remembered: the page shows the newest ones, and a job may run for months."""


def title(request: jobs_pb2.SubmitRequest) -> str:
    """What a list shows beside the job's name: the file, and the function if it has another name than usual."""
    file = PurePath(request.path).name
    return file if request.function in ("", "job") else f"{file}:{request.function}"


def checkpoint_made(view: jobs_pb2.JobView, checkpoint: int, generation: int) -> None:
    """A checkpoint has become durable; its sizes are those that the view holds."""
    view.checkpoint_history.add(
        checkpoint=checkpoint,
        at_s=time.time(),
        generation=generation,
        halted_us=view.checkpoint_halted_us,
        stored_us=view.checkpoint_stored_us,
        stored_bytes=view.checkpoint_bytes,
    )
    del view.checkpoint_history[:-KEPT]


def checkpoint_dropped(view: jobs_pb2.JobView, checkpoint: int | None, generation: int, why: str) -> None:
    """A checkpoint has been given up."""
    view.checkpoint_history.add(checkpoint=checkpoint or 0, at_s=time.time(), generation=generation, dropped=why)
    del view.checkpoint_history[:-KEPT]


def restarted(view: jobs_pb2.JobView, why: str) -> None:
    """The view's generation has ended, and another one follows."""
    view.restart_history.add(at_s=time.time(), reason=why, generation=view.generation)
    del view.restart_history[:-KEPT]
