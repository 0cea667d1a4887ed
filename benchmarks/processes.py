"""Processes of a baseline: start them, introduce them to each other, let them go at once, gather what they found.

A node writes one JSON line with its port, reads one with all addresses, connects, writes ``"ready"``, reads ``"go"``,
works, and writes its result.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Unavailable

ROOT = Path(__file__).resolve().parents[1]


def environment(engines: int) -> dict[str, str]:
    """What Limnad gives its own engines: the same memory settings and the same share of Polars threads."""
    threads = max(1, len(os.sched_getaffinity(0)) // engines)
    settings = {
        "MALLOC_MMAP_THRESHOLD_": str(256 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(2 << 30),
        "MALLOC_TOP_PAD_": str(64 << 20),
        **dict.fromkeys(("POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads)),
    }
    return {**os.environ, **settings}


def run_nodes(module: str, count: int, configuration: Mapping[str, Any]) -> list[Any]:
    """The results of ``count`` processes of a node module.

    Raises:
        Unavailable: One of them died.
    """
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", module, json.dumps({**configuration, "rank": rank, "count": count})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(count),
        )
        for rank in range(count)
    ]
    try:
        ports = [_hear(node) for node in nodes]
        _tell_all(nodes, [f"127.0.0.1:{port}" for port in ports])
        for node in nodes:
            _hear(node)
        _tell_all(nodes, "go")
        results = [_hear(node) for node in nodes]
        _tell_all(nodes, "end")
        for node in nodes:
            node.wait(timeout=10)
    finally:
        for node in nodes:
            if node.poll() is None:
                node.kill()
            node.communicate()
    return results


def _hear(node: "subprocess.Popen[str]") -> Any:
    assert node.stdout is not None
    line = node.stdout.readline()
    if not line:
        raise Unavailable(f"a baseline process died: {node.args!r}")
    return json.loads(line)


def _tell_all(nodes: "Sequence[subprocess.Popen[str]]", message: Any) -> None:
    for node in nodes:
        assert node.stdin is not None
        node.stdin.write(json.dumps(message) + "\n")
        node.stdin.flush()


def tell(message: Any) -> None:
    """A node's word to the process that started it."""
    print(json.dumps(message), flush=True)


def hear() -> Any:
    """What a node is told."""
    return json.loads(sys.stdin.readline())
