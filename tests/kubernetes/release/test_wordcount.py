"""What `helm test` runs, run against agents of this machine."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.charts import CHART
from tests.helpers.clusters import Agents

CHECK = CHART / "files" / "check.py"


def test_words_are_counted_right(tmp_path: Path) -> None:
    with Agents(2, folder=tmp_path).start(0, 1) as agents:
        environment = os.environ | {"LIMNAD_CLUSTER": agents.addresses[0]}
        done = subprocess.run(
            [sys.executable, CHECK], env=environment, capture_output=True, text=True, timeout=200, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 workers" in done.stdout
    assert "32 words of 4 epochs counted right" in done.stdout


def test_a_wrong_count_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    check = runpy.run_path(str(CHECK))
    wrong = check["expected"]()
    wrong[1] -= Counter(slings=1)
    with pytest.raises(SystemExit, match="counts words wrong"):
        check["compare"]("job", wrong)
    assert "epoch 1: expected" in capsys.readouterr().out
