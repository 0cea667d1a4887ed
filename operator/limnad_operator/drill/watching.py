"""What is seen of a cluster under a drill: watches and the reader's log, each in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from limnad.errors import ClusterError
from limnad_operator.api import Api, ApiError
from limnad_operator.drill.faults import World
from limnad_operator.drill.reading import Compared, Reading
from limnad_operator.reconcile.plan import Object
from limnad_operator.shell.views import LABELS

KINDS = {"Pod": LABELS, "LimnadCluster": "", "LimnadJob": ""}
AGAIN_S = 1.0
"""Before a watch that broke off is opened again."""


class Watching:
    """Watches from entering until leaving.

    Args:
        api: The API server.
        namespace: Where the cluster is.
        cluster: Its name.
        job: The name of the drill's LimnadJob.
    """

    def __init__(self, api: Api, namespace: str, cluster: str, job: str) -> None:
        self._api = api
        self._namespace = namespace
        self._cluster = cluster
        self._job = job
        self._objects: dict[str, dict[str, Object]] = {kind: {} for kind in KINDS}
        self._reading = Reading()
        self._news = threading.Condition()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        for kind in KINDS:
            threading.Thread(target=self._watch, args=(kind,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()  # Threads end with their watches.

    def read(self, pod: str) -> None:
        """Reads from now on what that pod prints."""
        threading.Thread(target=self._read, args=(pod,), daemon=True).start()

    def world(self) -> World:
        """What is seen now."""
        with self._news:
            return self._world()

    def take(self) -> Compared:
        """See `Reading.take`."""
        with self._news:
            return self._reading.take()

    def wait(self, good: Callable[[World], bool], limit_s: float) -> bool:
        """Looks at each change until it is good; False: it has not become so.

        Raises:
            ClusterError: The job or its reader has ended.
        """
        until_s = time.monotonic() + limit_s
        with self._news:
            while not good(world := self._world()):
                self._check(world)
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._news.wait(left_s)
            return True

    def _world(self) -> World:
        def one(kind: str, name: str) -> Object:
            return self._objects[kind].get(name) or {"metadata": {"name": name}, "spec": {}, "status": {}}

        return World(
            cluster=one("LimnadCluster", self._cluster),
            job=one("LimnadJob", self._job),
            pods=tuple(self._objects["Pod"].values()),
            epoch=self._reading.last,
        )

    def _check(self, world: World) -> None:
        status = world.job.get("status", {})
        if status.get("phase") in {"Failed", "Finished", "Cancelled"}:
            raise ClusterError(
                f"the job of the drill is {status['phase'].lower()}: {status.get('error') or 'see its log'}"
            )
        reader = self._objects["Pod"].get(self._job, {})
        if reader.get("status", {}).get("phase") in {"Failed", "Succeeded"}:
            said = f" It said: {self._reading.said}" if self._reading.said else ""
            raise ClusterError(
                f"the pod that reads the job has ended: kubectl logs -n {self._namespace} {self._job}.{said}"
            )

    # -- threads -------------------------------------------------------------------------------------------------------

    def _watch(self, kind: str) -> None:
        while not self._over.is_set():
            try:
                listed = self._api.list(kind, self._namespace, KINDS[kind])
                self._replace(kind, {each["metadata"]["name"]: each for each in listed.items})
                for each in self._api.watch(kind, self._namespace, listed.version, KINDS[kind]):
                    if each.type != "BOOKMARK":
                        objects = dict(self._objects[kind])
                        objects.pop(name := each.object["metadata"]["name"], None)
                        self._replace(kind, objects if each.type == "DELETED" else {**objects, name: each.object})
            except ApiError:
                self._over.wait(AGAIN_S)

    def _replace(self, kind: str, objects: dict[str, Object]) -> None:
        """Each kind is changed by its own thread alone."""
        with self._news:
            self._objects[kind] = objects
            self._news.notify_all()

    def _read(self, pod: str) -> None:
        """A log that broke off is read from its beginning again, past what is known."""
        known = 0
        while not self._over.is_set():
            try:
                for number, line in enumerate(self._api.log(self._namespace, pod)):
                    if number < known:
                        continue
                    with self._news:
                        if self._reading.saw(line):
                            known = number + 1
                        self._news.notify_all()
            except ApiError:
                pass
            self._over.wait(AGAIN_S)
