"""The leader's page in a real browser, as somebody sees it who looks at a job."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from limnad import JobFailed
from limnad.cli.watched import engines_of
from limnad.client import Checkpointing, Client, LocalCluster
from limnad_proto.v1 import jobs_pb2
from limnad_worker.page import Page as Leader
from tests.helpers.browser import Watched, chromium
from tests.helpers.graphs_drawn import as_page_gets_it, random_graph
from tests.helpers.shown import Shown

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_MS = 60_000  # for a machine that does much else

HOSTILE = "<img src=x onerror=\"alert('label')\">"
FAILS = f"""
    import limnad

    def divide(number):
        note = "<script>alert('traceback')</script>"
        return 1 / number

    def job(flow):
        flow.values([[2, 1, 0]], name={HOSTILE!r}).map(divide).named({HOSTILE!r} + " too").output("quotients")
"""
FED = """
    def job(flow):
        numbers = flow.input("numbers").map(lambda number: (number, number))
        numbers.as_keyed().count_by_key().output("counts")
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages; in the end none may have done what a page must not."""
    opened: list[tuple[Page, Watched]] = []

    def opener(url: str, width: int = 1280, scheme: Any = "light") -> Page:
        size: ViewportSize = {"width": width, "height": 900}
        page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
        page.set_default_timeout(PATIENCE_MS)
        opened.append((page, Watched(page)))
        page.goto(url)
        return page

    yield opener
    for page, watched in opened:
        watched.forgive("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE", "status of 401", "status of 503")
        assert watched.wrong == []
        assert all(host.startswith("127.0.0.1:") for host in watched.hosts)
        page.context.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(2, ui_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def collatz(client: Client) -> str:
    """A job with a loop in a loop, that has finished."""
    job = client.submit(str(EXAMPLES / "collatz.py"), workers=2)
    job.wait()
    return job.name


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def write_job(text: str) -> str:
        file = tmp_path / "job.py"
        file.write_text(textwrap.dedent(text))
        return str(file)

    return write_job


def at(cluster: LocalCluster, job: str = "", stage: str = "") -> str:
    assert cluster.ui is not None
    return f"{cluster.ui}#/jobs/{job}/{stage}" if job else cluster.ui


def shows(found: Locator, text: str | re.Pattern[str]) -> None:
    expect(found).to_contain_text(text, timeout=PATIENCE_MS)


def test_without_jobs_it_says_how_to_begin_and_the_first_job_shows_up(open_page, write) -> None:  # type: ignore[no-untyped-def]
    with LocalCluster(1, ui_port=0) as cluster, Client(cluster.address) as client:
        page = open_page(at(cluster))
        shows(page.locator("#link"), "live")
        shows(page.locator("main"), "No jobs yet")
        shows(page.locator("main"), "limnad submit job.py")
        job = client.submit(write(FED), workers=1)
        row = page.locator("tr", has_text=job.name)
        shows(row, "running")
        shows(row, "job.py")
        row.get_by_role("link").click()
        shows(page.get_by_role("heading", level=1), job.name)
        job.cancel()
        shows(page.locator(".title"), "cancelled")


def test_what_goes_through_a_job_is_shown_as_it_happens(open_page, write, cluster, client) -> None:  # type: ignore[no-untyped-def]
    job = client.submit(write(FED), workers=2)
    page = open_page(at(cluster, job.name))
    shows(page.locator(".title"), "running")
    numbers = page.locator(".stages tr", has_text="numbers")
    fed = job.input("numbers")
    fed.on_next([1, 2, 3])
    shows(numbers.locator("td").nth(1), "3")
    fed.advance_to(1)
    shows(page.locator("a.stage", has_text="numbers"), "frontier (1)")
    shows(page.locator("section", has_text="Epochs in flight").last, "epoch 1")
    shows(page.locator(".partition").first, "by key")
    fed.close()
    shows(page.locator(".title"), "finished")
    shows(page.locator("a.stage", has_text="output counts"), "3 rows")
    shows(page.locator("a.stage", has_text="output counts"), "complete")


def test_loops_are_boxes_in_boxes_with_their_feedback(open_page, cluster, collatz) -> None:  # type: ignore[no-untyped-def]
    page = open_page(at(cluster, collatz))
    shows(page.locator(".title"), "finished")
    outer, inner = (page.locator("g.loop", has_text=name) for name in ("loop 3x + 1", "loop halve"))
    assert inside(inner.locator("rect"), outer.locator("rect"))
    halving = page.locator("a.stage", has_text="filter")
    assert halving.count() == 4
    assert [inside(halving.nth(number), inner.locator("rect")) for number in range(4)].count(True) == 2
    assert all(inside(halving.nth(number), outer.locator("rect")) for number in range(4))
    assert page.locator("g.pill.ingress").count() == page.locator("g.pill.egress").count() == 2
    assert page.locator("g.pill.feedback").count() == 2
    back = page.locator(".graph path.edge.back")
    assert back.count() == 4  # into and out of each feedback stage
    assert all(inside(back.nth(number), outer.locator("rect")) for number in range(4))
    expect(
        page.get_by_role("link", name=re.compile("^output steps: 30 rows, 0 B queued, frontier complete"))
    ).to_be_visible()


def test_a_failed_job_shows_the_users_traceback_and_where_it_was(open_page, write, cluster, client) -> None:  # type: ignore[no-untyped-def]
    job = client.submit(write(FAILS), workers=2)
    page = open_page(at(cluster, job.name))
    failure = page.locator("section.failure")
    shows(failure, "ZeroDivisionError: division by zero")
    shows(failure.locator("pre"), "return 1 / number")
    shows(failure.locator("p"), "on worker 0")
    failed = page.locator("a.stage.failed")
    assert failed.count() == 1
    shows(failed.locator("title").first, f"{HOSTILE} too")
    shows(page.locator(".stages"), HOSTILE)
    assert page.locator("main img, main script").count() == 0


def test_a_lost_leader_is_told_and_the_next_one_found(open_page, write) -> None:  # type: ignore[no-untyped-def]
    with LocalCluster(1, ui_port=0) as first:
        page = open_page(at(first))
        shows(page.locator("#link"), "live")
        shows(page.locator("main"), "No jobs yet")
    shows(page.locator("#link"), re.compile("connection lost|the leader has stopped"))
    shows(page.locator("main"), "No jobs yet")  # what was known stays
    expect(page.locator("main")).to_have_class("stale")
    port = int(at(first).rsplit(":", 1)[1].strip("/"))
    with LocalCluster(1, ui_port=port) as second, Client(second.address) as client:
        shows(page.locator("#link"), "live")
        job = client.submit(write(FED), workers=1)
        shows(page.locator("tr", has_text=job.name), "running")


def test_a_token_opens_the_page(open_page) -> None:  # type: ignore[no-untyped-def]
    view = jobs_pb2.JobView(job="job-1", state=jobs_pb2.JOB_STATE_RUNNING)
    with served([view], lambda token: token == "right") as url:
        page = open_page(url)
        shows(page.get_by_role("heading", level=1), "The cluster's token")
        assert "job-1" not in page.content()
        for given, seen in (("wrong", "does not take that token"), ("right", "job-1")):
            page.get_by_role("textbox").fill(given)
            page.get_by_role("button").press("Enter")
            shows(page.locator("main"), seen)
        page.reload()
        shows(page.locator("main"), "job-1")
        assert page.context.cookies() == []
        another = open_page(f"{url}#token=right")
        shows(another.locator("main"), "job-1")
        assert another.url == f"{url}#/"


def test_checkpoints_and_restarts_are_remembered(open_page, write, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with LocalCluster(1, ui_port=0) as cluster, Client(cluster.address) as client:
        job = client.submit(write(FED), workers=1, checkpointing=Checkpointing(f"dir:{tmp_path}/store", every_s=None))
        page = open_page(at(cluster, job.name))
        shows(page.locator(".title"), "running")
        job.input("numbers").on_next([1, 2])
        number = job.checkpoint()
        shows(
            page.locator("section", has=page.locator("#checkpoints-title")), re.compile(rf"{number}\s.*ms", re.DOTALL)
        )
        (engine,) = engines_of(cluster.pid)
        os.kill(engine, signal.SIGKILL)
        restarts = page.locator("section", has=page.locator("#restarts-title"))
        shows(restarts, "worker 0 died while the job was running: its process was ended by SIGKILL")
        shows(restarts, "generation 1")
        shows(page.locator(".title"), "running")
        shows(page.locator(".facts"), "generation 2")
        job.rescale(2)
        shows(restarts, "It was rescaled from 1 to 2 workers.")
        job.restore(number)
        shows(restarts, f"It was taken back to checkpoint {number}.")
        shows(page.locator(".facts"), "generation 4")


def limnad(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command to the cluster of this folder."""
    environment = {**os.environ, "LIMNAD_CLUSTER_FOLDER": str(folder)}
    command = [sys.executable, "-m", "limnad.cli", "cluster", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=True, env=environment)


def test_a_clusters_page_comes_back_with_its_leader(open_page, write, tmp_path) -> None:  # type: ignore[no-untyped-def]
    said = limnad(tmp_path, "up", "-w", "2", "--ui", "--store", f"dir:{tmp_path}/store").stderr
    try:
        told = json.loads(limnad(tmp_path, "status", "-o", "json").stdout)
        assert f"the page: {told['page']}" in said
        with Client(told["address"]) as client:
            failed = client.submit(write(FAILS), workers=2)
            with pytest.raises(JobFailed):
                failed.wait()
            fed = client.submit(write(FED), workers=2)
            page = open_page(f"{told['page']}#/jobs/{fed.name}")
            shows(page.locator(".title"), "running")
            fed.checkpoint()
            (leader,) = [agent["pid"] for agent in told["agents"] if agent["index"] == 0]
            os.kill(leader, signal.SIGKILL)
            shows(page.locator("section", has=page.locator("#restarts-title")), "The leader was restarted.")
            shows(page.locator(".title"), "running")
            shows(page.locator(".facts"), "generation 2")
            shows(page.locator("section", has=page.locator("#checkpoints-title")), "started from checkpoint 1")
            fed.input("numbers").on_next([1, 2, 3])
            fed.input("numbers").close()
            shows(page.locator(".title"), "finished")
            shows(page.locator("a.stage", has_text="output counts"), "3 rows")
        page.get_by_role("link", name="All jobs").click()
        shows(page.locator("tbody tr").nth(0), fed.name)
        page.get_by_role("link", name=failed.name).click()
        shows(page.locator("section.failure pre"), "return 1 / number")
        expect(page.locator("a.stage.failed")).to_have_count(1)
    finally:
        limnad(tmp_path, "down")


def test_a_run_prints_where_its_page_is(open_page, write) -> None:  # type: ignore[no-untyped-def]
    command = [sys.executable, "-m", "limnad.cli", "run", write(FED), "--ui", "--feed", "numbers=-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert run.stdin is not None
        said = next(line for line in run.stderr if "page" in line)
        page = open_page(said.split()[-1])
        shows(page.locator("main"), "job.py")
        run.stdin.close()
        shows(page.locator("#link"), re.compile("connection lost|the leader has stopped"))
        shows(page.locator("main"), "finished")  # the last thing it said
        assert run.wait() == 0


def test_it_works_from_the_keyboard(open_page, cluster, collatz) -> None:  # type: ignore[no-untyped-def]
    page = open_page(at(cluster, collatz))
    stage = page.locator("a.stage", has_text="output steps")
    stage.focus()
    page.keyboard.press("Enter")
    panel = page.locator(".stage-panel")
    shows(panel, "output steps")
    shows(panel, "complete")
    expect(stage).to_be_focused()
    panel.get_by_role("link", name="Close the stage").press("Enter")
    expect(panel).to_have_count(0)
    page.get_by_role("link", name="All jobs").press("Enter")
    expect(page.locator("main")).to_be_focused()
    shows(page.get_by_role("heading", level=1), "Jobs")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_no_text_is_cut_off_and_nothing_scrolls_sideways(open_page, cluster, collatz, width, scheme) -> None:  # type: ignore[no-untyped-def]
    for address in (at(cluster), at(cluster, collatz, "0")):
        page = open_page(address, width, scheme)
        shows(page.locator("main"), "finished")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert page.evaluate(
            "[...document.querySelectorAll('.facts dd')].filter((each) => each.scrollWidth > each.clientWidth).length"
        ) == 0  # fmt: skip
        assert faint(page) == []


def test_random_graphs_are_drawn_without_overlap(open_page, cluster) -> None:  # type: ignore[no-untyped-def]
    page = open_page(at(cluster))
    graphs = {seed: as_page_gets_it(random_graph(seed)) for seed in range(300)}
    wrong = page.evaluate(
        """async (graphs) => {
            const { layout } = await import("./layout.js");
            const within = (inner, outer) => inner.x >= outer.x && inner.x + inner.width <= outer.x + outer.width + 0.01
                && inner.y >= outer.y - 12 && inner.y + inner.height <= outer.y + outer.height + 12;
            const apart = (one, two) => one.x + one.width <= two.x || two.x + two.width <= one.x
                || one.y + one.height <= two.y || two.y + two.height <= one.y;
            const wrong = [];
            for (const [seed, graph] of Object.entries(graphs)) {
                const drawn = layout({ ...graph, stageWidth: seed % 2 ? 300 : undefined });
                const whole = { x: 0, y: 0, width: drawn.width, height: drawn.height };
                const boxOf = (loop) => (loop === null ? whole : drawn.loops[loop]);
                const ancestors = (loop) => (loop === null ? [] : [loop, ...ancestors(graph.loops[loop].parent)]);
                const say = (what) => wrong.push(`${seed}: ${what}`);
                drawn.stages.forEach((place, stage) => {
                    const { home } = graph.stages[stage];
                    if (!within(place, boxOf(home))) say(`stage ${stage} is outside its loop`);
                    drawn.stages.slice(0, stage).forEach((other, before) =>
                        apart(place, other) || say(`stages ${before} and ${stage} overlap`));
                    drawn.loops.forEach((box, loop) => ancestors(home).includes(loop) || apart(place, box)
                        || say(`stage ${stage} is in loop ${loop}`));
                });
                graph.stages.forEach(({ kind, home }, stage) => {
                    const [place, box] = [drawn.stages[stage], boxOf(home)];
                    const off = { ingress: place.y + place.height / 2 - box.y,
                        egress: place.y + place.height / 2 - box.y - box.height }[kind] ?? 0;
                    if (Math.abs(off) > 0.01) say(`${kind} ${stage} is off its loop's border by ${off}`);
                });
                drawn.loops.forEach((box, loop) =>
                    within(box, boxOf(graph.loops[loop].parent)) || say(`loop ${loop} leaves its own`));
                drawn.connectors.forEach((edge, number) =>
                    /^M[-0-9.,CV ]+$/.test(edge?.path) || say(`connector ${number}: ${edge?.path}`));
            }
            return wrong;
        }""",
        graphs,
    )
    assert wrong == []


@contextmanager
def served(views: list[jobs_pb2.JobView], authorised: Callable[[str], bool]) -> Iterator[str]:
    """A page without an agent, on a loop in another thread."""
    with closing(asyncio.new_event_loop()) as loop:
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        def run(work: Coroutine[Any, Any, None]) -> None:
            asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_MS / 1000)

        page = Leader(Shown(*views), authorised)
        try:
            run(page.start("127.0.0.1", 0))
            yield page.url
        finally:
            run(page.stop())
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


def inside(inner: Locator, outer: Locator) -> bool:
    one, two = inner.bounding_box(), outer.bounding_box()
    assert one is not None
    assert two is not None
    slack = 1  # a line's own width
    return (
        one["x"] >= two["x"] - slack
        and one["y"] >= two["y"] - slack
        and one["x"] + one["width"] <= two["x"] + two["width"] + slack
        and one["y"] + one["height"] <= two["y"] + two["height"] + slack
    )


def faint(page: Page) -> list[str]:
    """Texts with less contrast than WCAG's 4.5 to 1."""
    found: list[str] = page.evaluate(
        """() => {
            const parts = (color) => color.match(/[\\d.]+/g).map(Number);
            const shine = (color) => parts(color).slice(0, 3).map((each) => each / 255)
                .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
                .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
            const solid = (color) => color !== "none" && (parts(color)[3] ?? 1) > 0.99;
            const behind = (element) => {
                const shape = element.closest("g, a")?.querySelector("rect");
                if (element instanceof SVGElement && shape) return getComputedStyle(shape).fill;
                for (let each = element; each; each = each.parentElement) {
                    const color = getComputedStyle(each).backgroundColor;
                    if (solid(color)) return color;
                }
                return "rgb(255, 255, 255)";
            };
            const texts = [...document.querySelectorAll("body *")].filter((element) => element.tagName !== "title"
                && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
            return texts.flatMap((element) => {
                const style = getComputedStyle(element);
                const ink = element instanceof SVGElement ? style.fill : style.color;
                const [one, two] = [ink, behind(element)].map(shine);
                const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
                return contrast < 4.5 ? [`${element.textContent.trim()}: ${contrast.toFixed(2)}`] : [];
            });
        }"""
    )
    return found
