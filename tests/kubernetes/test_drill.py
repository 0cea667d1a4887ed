"""`limnad drill --kubernetes` on the whole chart: what is struck comes back, and what is lost is told."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.helpers.node_switch import node_switches
from tests.kubernetes.apiserver import ApiServer

LIMIT_S = 120
"""For each fault, on a machine that does much besides; most take some seconds."""


@pytest.mark.slow
@pytest.mark.usefixtures("release")
def test_what_is_struck_comes_back_and_nothing_is_lost(pods: ApiServer, core: Any, namespace: str) -> None:
    faults = ["lost-node", "partition", "leader", "redis"]
    command = [sys.executable, "-m", "limnad.cli", "drill", "--kubernetes", "--json"]
    flags = {
        "--namespace": namespace,
        "--kubeconfig": str(pods.kubeconfig),
        "--faults": ",".join(faults),
        "--limit": f"{LIMIT_S}s",
    }
    with node_switches(pods) as (off, on):
        flags |= {"--stop-node": off, "--start-node": on}
        told = [*command, *(part for pair in flags.items() for part in pair)]
        done = subprocess.run(told, capture_output=True, text=True, timeout=280, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["fault"] for line in lines] == faults, done.stderr
    assert [line["times"] for line in lines] == [1, 1, 1, 1]
    assert all(line["rows compared"] > 0 for line in lines)
    assert all((line["failed"], line["lost"], line["repeated"]) == (0, 0, 0) for line in lines), done.stderr
    assert done.returncode == 0
    assert not [pod for pod in core.list_namespaced_pod(namespace).items if pod.metadata.name.startswith("drill-")]
