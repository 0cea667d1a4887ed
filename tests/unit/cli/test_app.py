"""What the command line takes and refuses before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from limnad import JobError, JobFailed
from limnad.cli import kubernetes_drill
from limnad.cli.app import app
from limnad.cluster.supervisor import MAX_RESTARTS, WINDOW_S
from limnad_worker.vault import KEEP


def limnad(*arguments: str):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    "option",
    [
        ["--checkpoint", "5x"],
        ["--checkpoint", "0"],
        ["--restart-window", "soon"],
        ["--delivery", "late"],
        ["--progress", "some"],
        ["--keep", "0"],
        ["--max-restarts", "0"],
        ["--show", "-1"],
        ["--port", "65536"],
    ],
)
def test_a_value_that_makes_no_sense_is_a_wrong_command(option: list[str]) -> None:
    done = limnad("run", "job.py", *option)
    assert done.exit_code == 2
    assert f"Invalid value for '{option[0]}'" in done.output


@pytest.mark.parametrize(
    "option", ["--name=x", "--keep=2", "--delivery=committed", "--max-restarts=1", "--restart-window=1s"]
)
def test_an_option_about_checkpoints_is_refused_without_any(option: str) -> None:
    done = limnad("run", "job.py", option)
    assert isinstance(done.exception, JobError)
    assert "add --checkpoint" in str(done.exception)
    there_is_no_job = limnad("run", "job.py", option, "--checkpoint", "1s").exception
    assert "there is no job file 'job.py'" in str(there_is_no_job)


@pytest.mark.parametrize(
    ("option", "default"), [("keep", KEEP), ("max_restarts", MAX_RESTARTS), ("restart_window", f"{WINDOW_S:g}s")]
)
def test_the_help_tells_the_defaults_that_the_agent_has(option: str, default: object) -> None:
    (found,) = (each for each in get_command(app).commands["run"].params if each.name == option)  # type: ignore[attr-defined]
    assert found.show_default == str(default)


@pytest.mark.parametrize("command", ["run", "drill", "graph", "checkpoints"])
def test_help_may_be_asked_for_in_short(command: str) -> None:
    assert limnad(command, "-h").output == limnad(command, "--help").output


def test_help_and_completion_wait_for_no_large_library() -> None:
    loaded = "import limnad.cli.app, sys; print([name for name in ('polars', 'grpc', 'numpy') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True) == "[]\n"


def test_looking_into_a_store_makes_none(tmp_path: Path) -> None:
    done = limnad("checkpoints", "list", "--store", f"dir:{tmp_path / 'none'}")
    assert isinstance(done.exception, JobError)
    assert "there is no store" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_of_a_job_that_raises_shows_the_users_frames_only(tmp_path: Path) -> None:
    job = tmp_path / "job.py"
    job.write_text("def job(flow):\n    flow.values([[1]]).to_frames({'a': int}).select('b').output('x')\n")
    failed = limnad("graph", str(job)).exception
    assert isinstance(failed, JobFailed)
    assert "select('b')" in failed.traceback
    assert "limnad/" not in failed.traceback
    assert "ColumnNotFoundError" in failed.summary


def test_a_fault_that_there_is_not_is_refused_before_anything_runs() -> None:
    assert "there is no fault 'flood'" in str(limnad("drill", "job.py", "--faults", "reset,flood").exception)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--kubernetes", "job.py"], "leave out JOB.PY"),
        (["job.py", "--rounds", "2"], "--rounds is for a drill on Kubernetes"),
        ([], "which job is to be run?"),
    ],
)
def test_a_drill_is_here_or_on_kubernetes(arguments: list[str], told: str) -> None:
    assert told in str(limnad("drill", *arguments).exception)


def test_a_drill_on_kubernetes_says_what_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_drill, "find_spec", lambda _: None)
    assert "pip install 'limnad[operator]'" in str(limnad("drill", "--kubernetes").exception)


def test_a_folder_is_no_job_file(tmp_path: Path) -> None:
    for command in ("run", "graph"):
        assert f"there is no job file {str(tmp_path)!r} (it is a folder)" in str(
            limnad(command, str(tmp_path)).exception
        )
