"""Jobs that a page shows, without a leader."""

from __future__ import annotations

from limnad_proto.v1 import jobs_pb2
from limnad_worker.page import NotYet


class Shown:
    """These jobs; or as long as there is an ``excuse``, none yet."""

    def __init__(self, *views: jobs_pb2.JobView, excuse: str = "") -> None:
        self.views = list(views)
        self.excuse = excuse

    def all(self) -> list[jobs_pb2.JobView]:
        if self.excuse:
            raise NotYet(self.excuse)
        return self.views

    def one(self, name: str) -> jobs_pb2.JobView:
        found = next((view for view in self.all() if view.job == name), None)
        if found is None:
            raise KeyError(f"there is no job {name!r}")
        return found
