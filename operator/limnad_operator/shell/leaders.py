"""Leaders, through the public client: what they tell, and what they are asked.

Connections are kept, one for each leader and owner, and made anew when an address or its credentials change.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from limnad.client import Checkpointing, Client, JobStatus, Tls
from limnad.client.aio import in_thread
from limnad.errors import ClusterError, JobError
from limnad_operator.reconcile import AgentSeen, Call, JobSeen, LeaderSeen, Operation

LOOK_S = 5.0
"""How long a leader may take to tell of itself."""

CALL_S = 120.0
"""How long it may take to do something: a checkpoint of much state, a rescale."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a cluster is spoken to.

    Attributes:
        authority: The authorities that its leader is checked against, as PEM; empty: plain text.
        name: What its certificate has to say.
        token: What is shown.
    """

    authority: str = ""
    name: str = ""
    token: str = ""


class Refused(Exception):
    """The leader does not do it; says why."""


class Unreachable(Exception):
    """The leader did not answer: whether it has done it is unknown."""


class Leaders(Protocol):
    """How the shell speaks to leaders."""

    async def look(self, address: str, credentials: Credentials) -> LeaderSeen:
        """What a leader tells of itself; never raises."""

    async def ask(self, address: str, credentials: Credentials, call: Call) -> Any:
        """Has it do something.

        Raises:
            Refused: It does not.
            Unreachable: It did not answer.
        """

    async def close(self) -> None:
        """Hangs up."""


class GrpcLeaders:
    """See `Leaders`."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, Credentials, str], Client] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="limnad-operator-")

    def _client(self, address: str, credentials: Credentials, owner: str = "") -> Client:
        key = (address, credentials, owner)
        if key not in self._clients:
            if len(self._clients) > 200:
                self._drop(*next(iter(self._clients)))
            self._clients[key] = self._open(address, credentials, owner)
        return self._clients[key]

    def _open(self, address: str, credentials: Credentials, owner: str) -> Client:
        if not credentials.authority:
            return Client(address, credentials.token or None, owner=owner, insecure=True)
        file = Path(self._folder.name) / f"{hashlib.sha256(credentials.authority.encode()).hexdigest()}.crt"
        file.write_text(credentials.authority, encoding="utf-8")
        return Client(address, credentials.token or None, Tls(str(file), name=credentials.name), owner=owner)

    def _drop(self, address: str, credentials: Credentials, owner: str) -> None:
        held = self._clients.pop((address, credentials, owner), None)
        if held is not None:
            held.close()

    async def look(self, address: str, credentials: Credentials) -> LeaderSeen:
        """See `Leaders`."""

        def run(client: Client) -> LeaderSeen:
            cluster, jobs = client.cluster(), client.jobs()
            agents = tuple(AgentSeen(each.index, each.build, each.leaving) for each in cluster.agents)
            return LeaderSeen(address, "", agents, cluster.expected, {job.job: seen(job) for job in jobs})

        try:
            return await self._within(LOOK_S, address, credentials, "", run)
        except (Refused, Unreachable) as error:
            return LeaderSeen(address, str(error) or "it does not answer")

    async def ask(self, address: str, credentials: Credentials, call: Call) -> Any:
        """See `Leaders`."""
        values = dict(call.values)
        return await self._within(
            CALL_S,
            address,
            credentials,
            call.owner,
            lambda client: _OPERATIONS[call.operation](client, call.job, values),
        )

    async def _within(
        self, limit_s: float, address: str, credentials: Credentials, owner: str, run: Callable[[Client], T]
    ) -> T:
        try:
            client = self._client(address, credentials, owner)
            async with asyncio.timeout(limit_s):
                return await in_thread(run, client)
        except TimeoutError:
            self._drop(address, credentials, owner)  # Which ends the call, too.
            raise Unreachable(f"the leader at {address} did not answer within {limit_s:g} s") from None
        except JobError as error:
            raise Refused(str(error)) from None
        except (ClusterError, OSError) as error:
            raise Unreachable(str(error)) from None

    async def close(self) -> None:
        """See `Leaders`."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._folder.cleanup()


def seen(job: JobStatus) -> JobSeen:
    """A job as the reconciliation sees it."""
    recovery = job.recovery
    return JobSeen(
        name=job.job,
        state=job.state,
        owner=job.owner,
        durable=job.durable,
        width=job.width,
        asked_width=job.asked_width,
        epoch=job.epoch,
        generation=recovery.generation,
        restarts=recovery.restarts,
        last_fault=recovery.last_fault,
        checkpoint=recovery.checkpoint,
        checkpoint_s=recovery.checkpoint_s,
        last_drop=recovery.last_drop if recovery.dropping else "",
        waiting=recovery.waiting,
        error=str(job.failure) if job.failure is not None else "",
        ended_s=job.ended_s,
        draining=job.draining,
        held=job.held,
        pins=dict(job.pins),
    )


# -- what they are asked -----------------------------------------------------------------------------------------------


def _resize(client: Client, _: str, values: Mapping[str, Any]) -> None:
    client.resize(values["agents"])


def _submit(client: Client, job: str, values: Mapping[str, Any]) -> None:
    checkpointing = Checkpointing(
        name=job,
        every_s=values["every_s"],
        timeout_s=values["timeout_s"],
        keep=values["keep"],
        resume=values["resume"],
        delivery=values["delivery"],
    )
    options: dict[str, Any] = {
        "arguments": dict(values["arguments"]),
        "workers": values["width"],
        "checkpointing": checkpointing,
        "replace": values["replace"],
        "request_id": values["request_id"],
    }
    if "path" in values:
        client.submit(values["path"], values["function"], upload=False, **options)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.py"
        file.write_text(values["text"], encoding="utf-8")
        client.submit(str(file), values["function"], **options)


def _pin(client: Client, job: str, values: Mapping[str, Any]) -> dict[str, Any]:
    held = client.job(job)
    number = held.pin(values["pin"], hold=values.get("hold", False))
    info = next((each for each in held.checkpoints() if each.checkpoint == number), None)
    return {"number": number, "bytes": info.bytes if info else None, "made_s": info.made_s if info else None}


def _unpin(client: Client, job: str, values: Mapping[str, Any]) -> None:
    client.job(job).unpin(values["pin"])


def _rescale(client: Client, job: str, values: Mapping[str, Any]) -> None:
    client.job(job).rescale(values["workers"])


def _restore(client: Client, job: str, values: Mapping[str, Any]) -> None:
    client.job(job).restore(values.get("checkpoint") or None)


def _drain(client: Client, job: str, _: Mapping[str, Any]) -> None:
    client.job(job).drain()


def _cancel(client: Client, job: str, _: Mapping[str, Any]) -> None:
    client.job(job).cancel()


def _delete(client: Client, job: str, _: Mapping[str, Any]) -> None:
    client.job(job).delete()


_OPERATIONS: Mapping[Operation, Callable[[Client, str, Mapping[str, Any]], Any]] = {
    Operation.RESIZE: _resize,
    Operation.SUBMIT: _submit,
    Operation.PIN: _pin,
    Operation.UNPIN: _unpin,
    Operation.RESCALE: _rescale,
    Operation.RESTORE: _restore,
    Operation.DRAIN: _drain,
    Operation.CANCEL: _cancel,
    Operation.DELETE: _delete,
}
