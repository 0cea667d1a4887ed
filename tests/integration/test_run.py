"""`limnad run` and its processes, as a user meets them: real processes, real gRPC, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from limnad import ClusterError, JobError, JobFailed, local
from limnad.client import Client, LocalCluster

LIMNAD = [sys.executable, "-m", "limnad.cli"]


def limnad(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [*LIMNAD, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False, **options)


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write_job(text: str, name: str = "job.py") -> str:
        file = tmp_path / name
        file.write_text("import limnad\nimport polars as pl\n" + textwrap.dedent(text))
        return str(file)

    return write_job


COUNT = """
    def job(flow, least: int = 1):
        words = flow.values([["a", "b", "a"], [], ["c"]])
        words.key_by(str.upper).count_by_key().filter(lambda pair: pair[1] >= least).output("counts")
"""


def rows(printed: str) -> dict[int, list[list[object]]]:
    lines = [json.loads(line) for line in printed.splitlines()]
    return {line["epoch"]: sorted(line["rows"]) for line in lines if "epoch" in line}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_run_prints_every_epoch_and_a_summary(write, workers: int) -> None:  # type: ignore[no-untyped-def]
    done = limnad("run", write(COUNT), "-w", str(workers), "--json")
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout) == {0: [["A", 2], ["B", 1]], 1: [], 2: [["C", 1]]}
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["state"] == "finished"


def test_without_a_terminal_lines_are_plain(write) -> None:  # type: ignore[no-untyped-def]
    done = limnad("run", write(COUNT), "-w", "2", "-a", "least=2")
    assert done.returncode == 0
    assert "counts, epoch 0: 1 row" in done.stdout
    assert "finished in" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_the_users_traceback_comes_first(write) -> None:  # type: ignore[no-untyped-def]
    job = write("""
        def parse(word):
            return int(word)

        def job(flow):
            flow.values([["1", "x"]]).map(parse).named("parsing").output("numbers")
    """)
    done = limnad("run", job, "-w", "2")
    assert done.returncode == 1
    first, *_, last = done.stderr.strip().splitlines()
    assert first.startswith("Traceback")
    assert "return int(word)" in done.stderr
    assert "limnad/" not in done.stderr.split("error:")[0]
    assert "stage 'parsing'" in last
    assert "worker 0" in last
    assert "time (0,)" in last


def test_an_engine_that_is_killed_ends_the_run_with_its_name(write) -> None:  # type: ignore[no-untyped-def]
    job = write("""
        import os, signal
        def die(record):
            os.kill(os.getpid(), signal.SIGKILL)
        def job(flow):
            flow.values([["x"]]).to_worker(1).map(die).output("never")
    """)
    done = limnad("run", job, "-w", "3")
    assert done.returncode == 1
    assert "worker 1 died while the job was running" in done.stderr
    assert "SIGKILL" in done.stderr


def test_a_killed_agent_takes_its_engines_along(write) -> None:  # type: ignore[no-untyped-def]
    cluster = LocalCluster(2)
    with Client(cluster.address) as client:
        job = client.submit(write("def job(flow):\n    flow.input('x').output('y')\n"), workers=2)
        job.input("x").advance_to(1)
        os.kill(cluster._process.pid, signal.SIGKILL)
        with pytest.raises(ClusterError):
            job.wait()
    cluster.stop()


def test_ctrl_c_ends_a_run_at_once(write) -> None:  # type: ignore[no-untyped-def]
    job = write("def job(flow):\n    flow.input('x').output('y')\n")
    process = subprocess.Popen(
        [*LIMNAD, "run", job, "-w", "2", "--feed", "x=-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write('"a"\n\n')
    process.stdin.flush()
    assert "y, epoch 0: 1 row" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=250)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "nowhere.py"], "there is no job file 'nowhere.py'"),
        (["run", "{job}", "-w", "0"], "a job needs 1 to 256 workers, not 0"),
        (["run", "{job}", "-w", "1000"], "a job needs 1 to 256 workers, not 1000"),
        (["run", "{job}:other"], "has no function 'other': it has job"),
        (["run", "{job}", "-a", "least"], "'least' is not of the form -a KEY=VALUE"),
        (["run", "{job}", "-a", "most=1"], "has no argument 'most'; it takes: least"),
        (["run", "{job}", "-a", "least=many"], "argument least=many"),
        (["run", "{job}", "--feed", "x=nowhere"], "there is no file 'nowhere' to feed"),
        (["run", "{job}", "--feed", "x=/dev/null"], "has no hand-fed input 'x'"),
    ],
)
def test_wrong_commands_get_one_clear_paragraph(write, arguments: list[str], complaint: str) -> None:  # type: ignore[no-untyped-def]
    job = write(COUNT)
    done = limnad(*(argument.replace("{job}", job) for argument in arguments))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def job(flow:\n", "SyntaxError"),
        ("def job():\n    pass\n", "a job is a function whose first parameter is the flow"),
        ("def job(flow):\n    flow.values([[1]]).no_such_operator()\n", "no_such_operator"),
        ("def job(flow):\n    pass\n", "the flow is empty"),
        (
            "def job(flow):\n    flow.values(['ab', 'c']).output('x')\n",
            "values() takes a list of records for each epoch",
        ),
        ("def job(flow):\n    flow.read_text('nowhere/*.txt').output('x')\n", "nowhere/*.txt"),
        (
            "def job(flow):\n    loop = flow.loop()\n    x = loop.enter(flow.values([[1]]))\n    x.output('inside')\n",
            "leave() the loop first",
        ),
        (
            "def job(flow):\n    loop = flow.loop()\n    loop.feedback(loop.enter(flow.values([[1]])))\n",
            "was never connected",
        ),
        ("def job(flow):\n    flow.input('x', {'a': int}).select('b').output('x')\n", "b"),
        (
            "def job(flow):\n    x = flow.values([[1]])\n    flow.loop().enter(x).concat(x).output('x')\n",
            "bring them together by enter() or leave()",
        ),
        (
            "def job(flow):\n    b = flow.builder\n    x = b.stage('x')\n    b.connect(x, 0, x, 0)\n",
            "the stages 'x' form a cycle without a feedback",
        ),
    ],
)
def test_wrong_jobs_get_one_clear_paragraph(write, text: str, complaint: str) -> None:  # type: ignore[no-untyped-def]
    done = limnad("run", write(text))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "limnad_worker" not in done.stderr


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_run_that_nobody_reads_any_more_ends(write, as_json: list[str]) -> None:  # type: ignore[no-untyped-def]
    job = write("def job(flow):\n    flow.input('x').output('y')\n")
    command = [*LIMNAD, "run", job, "--feed", "x=-", *as_json]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write('"a"\n\n')
        process.stdin.flush()
        # The input stays open: it is not its end that ends the run.
        errors = process.stderr.read()
        assert process.wait() == 1
    assert "standard output cannot be written" in errors
    assert "Traceback" not in errors


BAD_ROW = "a,b\n1,x\nmany,y\n3,z\n"


def test_a_row_that_cannot_be_read_fails_the_run_with_its_file_and_line(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "rows.csv").write_text(BAD_ROW)
    job = write("""
        def job(flow, path):
            flow.read_csv(path, schema={"a": pl.Int64, "b": pl.String}).output("rows")
    """)
    done = limnad("run", job, "-w", "2", "-a", f"path={tmp_path / 'rows.csv'}")
    assert done.returncode == 1
    assert "rows.csv, line 3: column 'a' should be Int64, but is 'many'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_row_that_cannot_be_read_may_be_diverted(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "rows.csv").write_text(BAD_ROW)
    job = write("""
        def job(flow, path):
            rows, errors = flow.read_csv(path, schema={"a": pl.Int64, "b": pl.String}, on_error="divert")
            rows.output("rows")
            errors.select("line", "text").output("errors")
    """)
    done = limnad("run", job, "-w", "2", "--json", "-a", f"path={tmp_path / 'rows.csv'}")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {line["output"]: line["rows"] for line in lines if "output" in line}
    assert found == {"rows": [{"a": 1, "b": "x"}, {"a": 3, "b": "z"}], "errors": [{"line": 3, "text": "many,y"}]}


def test_two_batches_of_one_stream_with_different_schemas_fail_the_run_with_the_column(write) -> None:  # type: ignore[no-untyped-def]
    job = write("""
        def job(flow):
            good, bad = (flow.values([[(n,)]], name=f"v{n}").to_frames({"n": pl.Int64}) for n in (1, 2))
            bad.map_batches(lambda f: f.cast(pl.String), schema={"n": pl.Int64}).concat(good).sort("n").output("x")
    """)
    done = limnad("run", job, "-w", "2")
    assert done.returncode == 1
    assert "the frames of one stream must have one schema, but column 'n' is" in done.stderr
    assert "stage 'sort'" in done.stderr


HOARDER = """
import polars as pl
import limnad

class Hoarder(limnad.Vertex):
    def __init__(self):
        self.all = limnad.KeyedState("all")
    def on_recv(self, port, batch, time):
        self.all.update((number, "x" * 1000) for number in batch["number"].to_list())

def job(flow):
    def make(random, start, count):
        return pl.DataFrame({"number": range(start, start + count)})
    rows = flow.generate(make, rows=10**9, batch_rows=1000)
    flow.vertex(Hoarder, rows.partition_by("number"), name="hoarder", outputs=0)
"""


def test_a_job_that_keeps_too_much_fails_and_names_the_stage(write) -> None:  # type: ignore[no-untyped-def]
    done = limnad("run", write(HOARDER), "-w", "2", "--state-limit", "20MB")
    assert done.returncode == 1
    assert "of state, and may hold 20.0 MB. The largest stages there are 'hoarder' " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(write) -> None:  # type: ignore[no-untyped-def]
    with LocalCluster(1) as cluster:
        port = cluster.address.rpartition(":")[2]
        done = limnad("run", write(COUNT), "--port", port)
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in done.stderr


def test_workers_that_build_different_flows_are_refused(write) -> None:  # type: ignore[no-untyped-def]
    job = write("""
        import os
        def job(flow):
            flow.values([[1]]).map(abs).named(f"stage-{os.getpid()}").output("x")
    """)
    done = limnad("run", job, "-w", "2")
    assert done.returncode == 1
    assert "built another dataflow than worker 0" in done.stderr


def test_engines_with_different_hash_seeds_agree(write) -> None:  # type: ignore[no-untyped-def]
    # Every engine is a process of its own; without PYTHONHASHSEED each has a seed of its own.
    job = write("""
        def job(flow):
            words = flow.values([[f"word{i % 50}" for i in range(1000)]])
            words.key_by(lambda word: word).count_by_key().output("counts")
    """)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    done = limnad("run", job, "-w", "3", "--json", env=environment)
    assert rows(done.stdout)[0] == sorted([f"word{i}", 20] for i in range(50))


def test_a_users_function_may_run_an_event_loop(write) -> None:  # type: ignore[no-untyped-def]
    job = """
        import asyncio
        async def double(number):
            await asyncio.sleep(0)
            return 2 * number
        def job(flow):
            flow.values([[1, 2, 3]]).map(lambda number: asyncio.run(double(number))).output("doubled")
    """
    done = limnad("run", write(job), "-w", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["rows"] == [2, 4, 6]
    assert not done.stderr


def test_a_program_feeds_and_reads_its_own_job(write) -> None:  # type: ignore[no-untyped-def]
    job = write("""
        def job(flow):
            numbers = flow.input("numbers", {"n": pl.Int64})
            numbers.select(pl.col("n") + 1).probe("seen")
            numbers.count().output("count")
    """)
    with local(job, workers=2) as running:
        numbers = running.input("numbers")
        counts = running.subscribe("count")
        numbers.on_next([{"n": 1}, {"n": 2}])
        numbers.advance_to(1)
        epoch, frame = next(counts)
        assert (epoch, frame.rows()) == (0, [(2,)])
        running.wait_for_probe("seen", 0)
        with pytest.raises(JobError, match="already"):
            numbers.advance_to(1)
        numbers.close()
        assert running.wait().state == "finished"


def test_a_failed_job_raises_in_the_program(write) -> None:  # type: ignore[no-untyped-def]
    job = write("def job(flow):\n    flow.input('x').map(lambda x: 1 / x).output('y')\n")
    with local(job) as running:
        running.input("x").on_next([0])
        with pytest.raises(JobFailed, match="ZeroDivisionError"):
            running.wait()


def test_graph_draws_loops_and_exchanges(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    job = write("""
        def job(flow):
            flow.values([[8]]).iterate(lambda x: (x.map(lambda n: n // 2).filter(bool), x), name="halve").output("x")
    """)
    done = limnad("graph", job)
    assert done.returncode == 0
    assert done.stdout.startswith("flowchart TD")
    assert 'subgraph loop0["loop halve"]' in done.stdout
    assert "-.->" in done.stdout
    picture = tmp_path / "graph.dot"
    assert limnad("graph", job, "-o", str(picture)).returncode == 0
    assert "cluster_0" in picture.read_text()
