"""Golden scripts of protocol talks: the real machines, moved one step at a time, and all that they say.

Each script tells one story in prose and shows it; they are meant to be read. After a change that is meant to change
them, ``pytest tests/interaction --update-golden`` writes them anew: read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.golden import ScriptError, Talk, replay, story
from tests.helpers.leader_talk import LeaderTalk
from tests.helpers.workers_talk import WorkersTalk

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))


def talk_of(script: Path) -> Talk:
    return LeaderTalk() if script.name.startswith("leader") else WorkersTalk()


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_the_machines_talk_as_written(script: Path, request: pytest.FixtureRequest) -> None:
    written = script.read_text()
    now = replay(written, talk_of(script))
    if request.config.getoption("--update-golden"):
        script.write_text(now)
    else:
        assert now == written, "read the difference; if it is meant, run pytest with --update-golden"


def test_there_are_scripts_and_each_tells_a_story() -> None:
    assert len(SCRIPTS) >= 8
    assert [script.name for script in SCRIPTS if len(story(script.read_text())) < 100] == []


def test_a_replay_keeps_prose_and_replaces_answers() -> None:
    script = "# Story.\n\nhello\n----\nold\n\n# More.\nhello\nsilence\n"
    replayed = replay(script, lambda command: [] if command == "silence" else [f"new {command}"])
    assert replayed == "# Story.\n\nhello\n----\nnew hello\n\n# More.\nhello\n----\nnew hello\n\nsilence\n"


@pytest.mark.parametrize(
    ("script", "line"), [("# Story.\n----\n", 2), ("\nfly 0\n", 2), ("flow keep workers=2\nshow sky", 2)]
)
def test_a_script_that_makes_no_sense_is_refused_with_its_line(script: str, line: int) -> None:
    with pytest.raises(ScriptError, match=f"^line {line}"):
        replay(script, WorkersTalk())
