"""Every example is run, as its docstring says and with checkpoints, and its answer checked."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from tests.helpers.example_files import EXAMPLES, load


def outputs(name: str, *arguments: str) -> dict[str, dict[int, list[Any]]]:
    command = [sys.executable, "-m", "limnad.cli", "run", str(EXAMPLES / name), "-w", "2", "--json"]
    for argument in arguments:
        command += ["-a", argument]
    with tempfile.TemporaryDirectory() as store:  # a job whose state is not declared is refused with one
        command += ["--checkpoint", "5s", "--store", f"dir:{store}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[int, list[Any]]] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        if "output" in line:
            found.setdefault(line["output"], {})[line["epoch"]] = line["rows"]
    return found


def test_wordcount_frames(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("to be or not\nto be\n")
    (tmp_path / "b.txt").write_text("be")
    found = outputs("wordcount_frames.py", f"path={tmp_path}/*.txt", "k=2")
    assert found["most frequent words"] == {0: [{"word": "be", "count": 3}, {"word": "to", "count": 2}]}
    assert found["all words"] == {0: [{"words": 7}]}


def test_wordcount_records(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("spam egg\n" * 150 + "ham\n")
    found = outputs("wordcount_records.py", f"path={tmp_path}/a.txt")
    assert sorted(found["frequent words"][0]) == [["egg", 150], ["spam", 150]]


def steps(number: int) -> int:
    taken = 0
    while number != 1:
        number, taken = (number // 2 if number % 2 == 0 else 3 * number + 1), taken + 1
    return taken


def test_collatz() -> None:
    found = outputs("collatz.py", "largest=40")["steps"]
    assert sorted(map(tuple, found[0] + found[1])) == [(number, steps(number)) for number in range(1, 41)]


def test_bfs() -> None:
    found = outputs("bfs.py", "nodes=300", "edges=500")["nodes at each distance"][0]
    edges = load("bfs").random_edges(np.random.default_rng(1), 300, 500)
    near: dict[int, set[int]] = {}
    for a, b in edges:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    distance = {0: 0}
    frontier = [0]
    while frontier:
        frontier = step(near, distance, frontier)
    expected = Counter(distance.values())
    assert {row["distance"]: row["nodes"] for row in found} == dict(expected)


def step(near: dict[int, set[int]], distance: dict[int, int], frontier: list[int]) -> list[int]:
    found = []
    for node in frontier:
        for other in near.get(node, ()):
            if other not in distance:
                distance[other] = distance[node] + 1
                found.append(other)
    return found


def test_distinct_count() -> None:
    found = outputs("distinct_count.py")
    assert sorted(found["distinct"][0]) == ["be", "not", "or", "to"]
    assert found["counts"][1] == []
    assert sorted(found["counts"][2]) == [["be", 2], ["it", 1], ["let", 1]]


def test_popular_hashtags() -> None:
    found = outputs("popular_hashtags.py", "epochs=3", "tweets_an_epoch=200", "users=40")
    fresh = {row["query"]: row for epoch in found["fresh"].values() for row in epoch}
    stale = {row["query"]: row for epoch in found["stale"].values() for row in epoch}
    assert set(fresh) == set(stale) == set(range(12))
    assert all(row["community"] is None for row in found["stale"][0])
    assert all(row["community"] <= row["user"] for row in fresh.values())


def test_import_cycles(tmp_path: Path) -> None:
    for name, imports in {"a": "b", "b": "a", "c": "a"}.items():
        (tmp_path / f"{name}.py").write_text(f"import {imports}\n")
    command = [sys.executable, str(EXAMPLES / "import_cycles.py"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        told = (line.strip() for line in watching.stdout if line[0] in "+-")
        assert next(told) == "+ a, b"
        (tmp_path / "b.py").write_text("import c\n")
        assert [next(told), next(told)] == ["- a, b", "+ a, b, c"]
        (tmp_path / "c.py").unlink()
        assert next(told) == "- a, b, c"
        watching.kill()


def test_running_totals() -> None:
    found = outputs("running_totals.py", "hours=4", "sales_an_hour=50")["takings"]
    newest = {row["shop"]: row for epoch in sorted(found) for row in found[epoch]}
    assert sum(row["sales"] for row in newest.values()) == 200
    assert all(row["largest"] <= row["cents"] <= row["largest"] * row["sales"] for row in newest.values())


def test_streaming_average() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "streaming_average.py")],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(1, [('kitchen', 21.0)])" in done.stdout
    assert "(2, [('hall', 18.5)])" in done.stdout


def test_logistic_regression() -> None:
    (fit,) = outputs("logistic_regression.py", "rows=20000")["coefficients"][0]
    wanted = [1.5, -2.0, 0.5, 0.0, 1.0, -0.5, 0.25, 2.0, -0.7]
    assert all(abs(found - true) < 0.2 for found, true in zip(fit.values(), wanted, strict=True))


def test_sensors() -> None:
    found = outputs("sensors.py", "minutes=12")
    minutes = [row for epoch in found["minutes"].values() for row in epoch]
    late = [row for epoch in found["too late"].values() for row in epoch]
    silent = [row for epoch in found["silent"].values() for row in epoch]
    assert len({(row["window_start"], row["sensor"]) for row in minutes}) == len(minutes)
    assert len({row["window_start"] for row in minutes}) >= 10
    assert 0 < len(late) < 20
    assert len({row["sensor"] for row in silent}) >= 10


def test_pagerank() -> None:
    ways = [
        outputs("pagerank.py", "nodes=500", "edges=3000", f"way={way}")["highest ranks"][0]
        for way in ("vertex", "edge", "pregel")
    ]
    assert ways[0][0]["node"] == 0
    for other in ways[1:]:
        assert [row["node"] for row in other] == [row["node"] for row in ways[0]]
        assert [row["rank"] for row in other] == pytest.approx([row["rank"] for row in ways[0]], rel=1e-3)


def test_wcc() -> None:
    found = outputs("wcc.py", "nodes=300", "edges=200")["sizes"][0]
    rng_nodes = sum(row["size"] * row["components"] for row in found)
    assert 200 < rng_nodes < 300
    assert found == sorted(found, key=lambda row: row["size"])


def test_asp() -> None:
    found = outputs("asp.py", "side=9")["at most"][0]
    estimates = {(row["src"], row["dst"]): row["distance"] for row in found}
    assert estimates == {(1, 79): 16.0, (10, 20): 6.0}


def test_k_exposure() -> None:
    found = outputs("k_exposure.py", "posts=4000", "epochs=5", "users=300", "tags=40")
    uses = [row for epoch in sorted(found["first uses"]) for row in found["first uses"][epoch]]
    assert len({(row["user"], row["tag"]) for row in uses}) == len(uses)
    counted = Counter(row["exposures"] for row in uses)
    told = {row["exposures"]: row["uses"] for epoch in sorted(found["how often"]) for row in found["how often"][epoch]}
    assert told == counted
    assert max(counted) > 3


def test_live_components() -> None:
    found = outputs("live_components.py", "nodes=12", "links=12", "epochs=8", "seed=3")["labels"]
    from runpy import run_path

    told = run_path(str(EXAMPLES / "live_components.py"))["history"](12, 12, 8, 3)
    there: set[tuple[int, int]] = set()
    labels: dict[int, int] = {}
    for epoch, changes in enumerate(told):
        for a, b, diff in changes:
            there.symmetric_difference_update([(a, b)] if (diff > 0) is not ((a, b) in there) else [])
        for row in sorted(found[epoch], key=lambda row: row["diff"]):
            if row["diff"] < 0:
                assert labels.pop(row["a"]) == row["label"]
            else:
                labels[row["a"]] = row["label"]
        assert labels == least_labels(there)


def test_scc() -> None:
    found = outputs("scc.py", "epochs=8")["components"]
    graph = nx.DiGraph()
    sizes: Counter[tuple[int, int]] = Counter()
    for epoch, changes in enumerate(load("scc").history(4, 8, 8, 2)):
        for a, b, diff in changes:
            (graph.add_edge if diff > 0 else graph.remove_edge)(a, b)
        for row in found[epoch]:
            sizes[row["label"], row["nodes"]] += row["diff"]
        strong = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
        assert +sizes == Counter({(min(part), len(part)): 1 for part in strong})


def least_labels(links: set[tuple[int, int]]) -> dict[int, int]:
    labels = {node: node for link in links for node in link}
    for _ in labels:
        for a, b in links:
            labels[a] = labels[b] = min(labels[a], labels[b])
    return labels
