"""The page's data and its server, without a browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import aiohttp
import pytest

from limnad.client.status import status_of
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker import history
from limnad_worker.page import Page
from limnad_worker.page.content import details, summary
from tests.helpers.shown import Shown


def view(name: str = "job-1") -> jobs_pb2.JobView:
    """A job with a loop, that two workers of three tell of."""
    told = jobs_pb2.JobView(
        job=name,
        path="/jobs/job.py",
        width=3,
        submitted_s=1_700_000_000.0,
        state=jobs_pb2.JOB_STATE_RUNNING,
        stages=[
            wire.StageInfo(name="numbers", label="numbers", kind="input"),
            wire.StageInfo(name="enter", label="enter", kind="ingress", home=0),
            wire.StageInfo(name="output n", label="n", kind="compute"),
        ],
        edges=[wire.Edge(source=0, target=1, partition="by key"), wire.Edge(source=1, target=2)],
        loops=[wire.LoopInfo(name="round")],
        outputs=[wire.OutputInfo(name="n")],
        probes=["seen", "passed"],
        running_us=1_500_000,
        starting_us=250_000,
        generation=2,
        restarts=1,
        last_fault="worker 0 died",
        checkpoint=7,
        checkpoints_committed=5,
        checkpoint_phases=[
            wire.CheckpointPhases(stop_us=1100, markers_us=60, references_us=40, upload_us=7, stored_bytes=33),
            wire.CheckpointPhases(stop_us=900, markers_us=200, encode_us=5, stored_bytes=66),
        ],
    )
    told.workers.add()
    for epoch in (4, 5):
        worker = told.workers.add(
            epoch=epoch,
            frontiers_known=True,
            queued_bytes=10,
            in_flight_bytes=3,
            waiting_for_credit=True,
            epochs_opened=epoch + 2,
            probes={"seen": epoch},
        )
        for rows in (7, 0, 5):
            counters = worker.stages.add(rows_in=rows, rows_out=rows, busy_us=500, queued_bytes=2)
            counters.frontier.add(coordinates=[epoch, 1])
    return told


def test_the_page_tells_what_a_client_is_told() -> None:
    told = view()
    told.failure.CopyFrom(wire.Failed(summary="It failed.", traceback="Traceback", stage="numbers", fault="job"))
    status = status_of(told)
    shown = details(told)
    expected = asdict(status) | {"rows_in": status.rows_in, "rows_out": status.rows_out}
    del expected["failure"]
    assert shown["title"] == "job.py"
    stages = expected.pop("stages")
    assert {name: shown[name] for name in expected} == expected
    assert [{name: stage[name] for name in stages[0]} for stage in shown["stages"]] == stages
    assert shown["failure"] == {
        "summary": "It failed.",
        "traceback": "Traceback",
        "stage": "numbers",
        "fault": "job",
        "worker": None,
    }


def test_edges_and_loops_are_told() -> None:
    shown = details(view())
    assert shown["connectors"] == [
        {"source": 0, "target": 1, "partition": "by key", "feedback": False},
        {"source": 1, "target": 2, "partition": "", "feedback": False},
    ]
    assert shown["loops"] == [{"name": "round", "parent": None}]
    assert [stage["home"] for stage in shown["stages"]] == [None, 0, None]


def test_the_frontier_is_that_of_the_worker_that_knows_most() -> None:
    told = view()
    assert details(told)["stages"][0]["frontier"] == [[5, 1]]
    del told.workers[1].stages[0].frontier[:]
    assert details(told)["stages"][0]["frontier"] == []
    for worker in told.workers:
        worker.frontiers_known = False
    assert details(told)["stages"][0]["frontier"] is None


def test_a_job_that_has_not_begun_can_be_told() -> None:
    shown = details(jobs_pb2.JobView(job="job-1", state=jobs_pb2.JOB_STATE_STARTING))
    assert (shown["state"], shown["stages"], shown["epoch"], shown["failure"]) == ("starting", [], None, None)
    assert shown["recovery"]["checkpoint"] is None


def test_history_is_told_and_bounded() -> None:
    told = view()
    for number in range(history.KEPT + 10):
        history.checkpoint_made(told, number + 1, 2)
        history.restarted(told, f"reason {number}")
    history.checkpoint_dropped(told, None, 3, "the store is away")
    shown = details(told)
    assert len(shown["checkpoints"]) == len(shown["restarts"]) == history.KEPT
    assert shown["restarts"][-1]["reason"] == f"reason {history.KEPT + 9}"
    last, dropped = shown["checkpoints"][-2:]
    assert (last["checkpoint"], last["halted_s"], last["dropped"]) == (history.KEPT + 10, 0.0012, "")
    assert (dropped["checkpoint"], dropped["generation"], dropped["dropped"]) == (None, 3, "the store is away")


# -- the server -------------------------------------------------------------------------------------------------------


class Served:
    """A page that listens, and somebody who asks."""

    def __init__(self, page: Page, session: aiohttp.ClientSession) -> None:
        self.page = page
        self.session = session

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[aiohttp.ClientResponse, Any]:
        async with self.session.request(method, path, headers=headers) as response:
            body = await response.text()
            return response, json.loads(body) if response.content_type == "application/json" and body else body


def serve(
    talk: Callable[[Served], Awaitable[None]],
    jobs: Shown,
    authorised: Callable[[str], bool] | None = None,
) -> None:
    """Runs a talk with a page of these jobs."""

    async def run() -> None:
        page = Page(jobs, authorised)
        await page.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(page.url, timeout=aiohttp.ClientTimeout(30)) as session:
                await talk(Served(page, session))
        finally:
            await page.stop()

    asyncio.run(run())


def test_jobs_are_served_as_json() -> None:
    jobs = [view("job-1"), view("job-2")]

    async def talk(served: Served) -> None:
        response, body = await served.ask("/api/jobs")
        assert (response.status, body["jobs"]) == (200, [summary(job) for job in jobs])
        response, body = await served.ask("/api/jobs/job-2")
        assert body.pop("now_s") > 0
        assert body == details(jobs[1])
        response, body = await served.ask("/api/jobs/job-3")
        assert (response.status, body) == (404, {"error": "there is no job 'job-3'"})

    serve(talk, Shown(*jobs))


def test_a_leader_that_cannot_tell_yet_says_why() -> None:
    async def talk(served: Served) -> None:
        for path in ("/api/jobs", "/api/jobs/job-1", "/api/events", "/api/jobs/job-1/events"):
            response, body = await served.ask(path)
            assert (response.status, body) == (503, {"error": "the leader waits for its store"})

    serve(talk, Shown(view(), excuse="the leader waits for its store"))


def test_every_answer_carries_the_security_headers() -> None:
    async def talk(served: Served) -> None:
        for path in ("/", "/app.js", "/api/jobs", "/api/jobs/none", "/../pyproject.toml", "/%2e%2e/content.py", "/x"):
            response, _ = await served.ask(path)
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'; script-src 'self'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "Set-Cookie" not in response.headers
            assert "Access-Control-Allow-Origin" not in response.headers

    serve(talk, Shown())


def test_only_its_own_files_are_served() -> None:
    async def talk(served: Served) -> None:
        for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/vendor/lit-html.js", "text/javascript")):
            response, _ = await served.ask(path)
            assert (response.status, response.content_type) == (200, kind)
        for path in (
            "/server.py",
            "/%2e%2e/server.py",
            "/..%2fserver.py",
            "/%2fetc/passwd",
            "/vendor",
            "/static/app.js",
        ):
            response, _ = await served.ask(path)
            assert response.status == 404, path

    serve(talk, Shown())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_is_read_only(method: str) -> None:
    async def talk(served: Served) -> None:
        for path in ("/", "/api/jobs", "/api/jobs/job-1", "/api/events"):
            response, _ = await served.ask(path, method)
            assert response.status == 405

    serve(talk, Shown(view()))


def test_data_needs_the_token_and_the_page_does_not() -> None:
    async def talk(served: Served) -> None:
        for path in ("/api/jobs", "/api/jobs/job-1", "/api/events", "/api/jobs/job-1/events", "/api/none"):
            for given in ("", "Bearer wrong", "Bearer", "secret", "Basic secret"):
                response, body = await served.ask(path, **({"Authorization": given} if given else {}))
                assert response.status == 401, path
                assert response.headers["WWW-Authenticate"] == 'Bearer realm="limnad"'
                assert "job-1" not in str(body)
        response, _ = await served.ask("/")
        assert response.status == 200
        response, _ = await served.ask("/api/jobs", Authorization="Bearer secret")
        assert response.status == 200

    serve(talk, Shown(view()), lambda token: token == "secret")


def test_without_a_token_another_sites_name_is_refused() -> None:
    async def talk(served: Served) -> None:
        response, _ = await served.ask("/api/jobs", Host="evil.example:80")
        assert response.status == 421
        response, _ = await served.ask("/api/jobs", Host="localhost:1")
        assert response.status == 200

    serve(talk, Shown(view()))


def test_without_a_token_it_listens_on_loopback_only() -> None:
    async def run() -> None:
        with pytest.raises(ValueError, match=r"open to all who reach 0\.0\.0\.0"):
            await Page(Shown()).start("0.0.0.0", 0)

    asyncio.run(run())


def test_events_tell_what_changes_and_how_it_ended() -> None:
    job = view()

    async def talk(served: Served) -> None:
        async with served.session.get("/api/jobs/job-1/events") as response:
            assert response.content_type == "text/event-stream"
            events = told(response)
            name, first = await anext(events)
            assert (name, first["rows_in"]) == ("content", 14)
            job.workers[1].stages[0].rows_out = 100
            name, second = await anext(events)
            assert (name, second["rows_in"]) == ("content", 107)
            job.state = jobs_pb2.JOB_STATE_FINISHED
            await served.page.stop()
            name, last = await anext(events)
            assert (name, last["state"]) == ("content", "finished")
            assert [name async for name, _ in events] == ["end"]

    serve(talk, Shown(job))


async def told(response: aiohttp.ClientResponse) -> Any:
    """The events of a stream."""
    while block := (await response.content.readuntil(b"\n\n")).decode() if not response.content.at_eof() else "":
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            yield fields["event"], json.loads(fields["data"])
