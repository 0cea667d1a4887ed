"""How controllers are run: told what has changed they look at one object at a time, again after an error."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.errors import ApiError
from tests.kubernetes.apiserver.objects import Object
from tests.kubernetes.apiserver.resources import Resource
from tests.kubernetes.apiserver.store import Change, Kind

Key = tuple[str, str]
"""Namespace and name of what is to be looked at."""

AGAIN_S: Final = 0.2
"""After an error."""

log = logging.getLogger(__name__)


class Controller(ABC):
    """Looks at objects whenever something happens that concerns them.

    Args:
        api: What there is.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self._waiting: dict[Key, None] = {}
        self._due = asyncio.Event()

    @abstractmethod
    def concerns(self, change: Change) -> Iterable[Key]:
        """What has to be looked at because of a change."""

    @abstractmethod
    def look(self, namespace: str, name: str) -> None:
        """Does what there is to do about one; called again and again with nothing new."""

    async def run(self) -> None:
        """Never returns."""
        stop = self.api.store.listen(lambda change: self.look_at(*self.concerns(change)))
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                while self._waiting:
                    key = next(iter(self._waiting))
                    del self._waiting[key]
                    self._try(key)
                await asyncio.sleep(0)
        finally:
            stop()

    def look_at(self, *keys: Key) -> None:
        """Soon."""
        for key in keys:
            self._waiting[key] = None
        if keys:
            self._due.set()

    def look_later(self, key: Key, pause_s: float) -> None:
        """When the pause is over."""
        asyncio.get_running_loop().call_later(pause_s, self.look_at, key)

    def _try(self, key: Key) -> None:
        try:
            self.look(*key)
        except ApiError as error:
            log.debug("%s: %s: %s", type(self).__name__, key, error)
            self.look_later(key, AGAIN_S)
        except Exception:
            log.exception("%s: %s", type(self).__name__, key)
            self.look_later(key, AGAIN_S)

    # -------------------------------------------------------------------------------------------------- conveniences

    def resource(self, kind: Kind) -> Resource:
        """Of a kind that there is."""
        found = self.api.resources.of_key(kind)
        assert found is not None, kind
        return found

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, not to be changed."""
        return self.api.store.get(kind, namespace, name)

    def write_status(self, kind: Kind, item: Object, status: Object) -> None:
        """Puts a status where it is another one than before."""
        if item.get("status") != status:
            metadata = item["metadata"]
            new = {**item, "status": status}
            self.api.update(self.resource(kind), metadata.get("namespace", ""), metadata["name"], new, "status")
