"""The chart's CRDs are what the model says."""

import os
import subprocess
import sys
from pathlib import Path

from tests.tidy.conftest import Repository


def test_checked_in_crds_are_current(repository: Repository, tmp_path: Path) -> None:
    environment = os.environ | {"LIMNAD_PYTHON": sys.executable}
    command = [str(repository.root / "script" / "crds"), "--out", str(tmp_path)]
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    kept = repository.root / "helm" / "limnad" / "crds"
    fresh = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert fresh == {path.name: path.read_text(encoding="utf-8") for path in kept.iterdir()}, "run script/crds"
