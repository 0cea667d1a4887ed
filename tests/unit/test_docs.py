"""The Python in the pages for users runs."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import limnad
from limnad.incremental import from_stream
from limnad.testing import build, run

ROOT = Path(__file__).parents[2]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    return PYTHON.findall((ROOT / page).read_text(encoding="utf-8"))


def test_the_readme_has_a_job_that_can_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("to be\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(blocks("README.md")[0], names)
    assert list(build(names["job"]).outputs) == ["most frequent words"]  # type: ignore[arg-type]


def test_the_jobs_page_tells_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, records, loop, program, test = blocks("docs/jobs.md")
    names: dict[str, object] = {}
    exec(frames, names)
    sales = pl.DataFrame({"shop": ["a", "a", "b"], "price": [4.0, 6.0, 2.0]})
    shops = pl.DataFrame({"shop": ["a", "b"], "town": ["Ulm", "Bonn"]})
    found = run(names["job"], {"sales": [sales], "shops": [shops]}, workers=2)  # type: ignore[arg-type]
    assert found.outputs["by town"][0].rows() == [("Ulm", 5.0)]

    exec(loop, names)
    found = run(names["job"], workers=2)  # type: ignore[arg-type]
    assert {epoch: sorted(rows) for epoch, rows in found.outputs["halved"].items()} == {
        0: [(5, 1), (12, 1)],
        1: [(7, 1)],
    }

    exec(records + test, names)
    names["test_words"]()  # type: ignore[operator]

    job = records.replace("flow: limnad.Flow)", "flow: limnad.Flow, rate: float)")
    (tmp_path / "job.py").write_text(f"import limnad\n\n\n{job}")
    monkeypatch.chdir(tmp_path)
    exec(program, names)
    assert names["epoch"] == 0
    assert sorted(names["rows"]) == [("be", 2), ("to", 2)]  # type: ignore[call-overload]


def test_the_machine_learning_page_tells_the_truth() -> None:
    fits, program = blocks("docs/ml.md")
    names: dict[str, object] = {}
    exec(fits + program, names)
    people = {"height": [1.6, 1.7, 1.8, 1.9], "weight": [50.0, 70.0, 60.0, 95.0], "tall": [False, False, True, True]}
    outputs = run(names["job"], {"rows": [pl.DataFrame(people)]}, workers=2).outputs  # type: ignore[arg-type]
    assert outputs["fit"][0].columns == ["weight", "intercept"]
    assert outputs["fit"][0]["weight"][0] > 0
    assert outputs["centres"][0]["rows"].sum() == 4

    heights = pl.DataFrame({"height": people["height"]})
    found = run(names["mean_job"], {"rows": [heights]}, workers=3)  # type: ignore[arg-type]
    assert found.outputs["mean"][0] == pytest.approx([1.75])


def test_the_windows_page_tells_the_truth() -> None:
    names: dict[str, object] = {}
    minutes, two_streams, timers = blocks("docs/windows.md")
    exec(minutes, names)
    noon = datetime.fromisoformat("2026-01-01T12:00")
    at = [noon + timedelta(seconds=second) for second in (5, 50, 75, 55)]
    clicks = pl.DataFrame({"page": ["a", "a", "b", "a"], "at": at}, schema_overrides={"at": pl.Datetime("ms")})
    found = run(names["job"], {"clicks": [clicks[:3], clicks[3:]]}, workers=2).outputs  # type: ignore[arg-type]
    assert found["clicks a minute"][0].rows() == [(noon, noon + timedelta(minutes=1), "a", 2)]
    assert found["too late"][1].rows() == clicks.rows()[3:]

    exec(two_streams, names)
    trades = pl.DataFrame({"share": ["x", "x"], "at": [100, 190], "count": [1, 2]})
    quotes = pl.DataFrame({"share": ["x", "x", "x"], "at": [95, 105, 200], "price": [1.5, 1.6, 1.7]})
    found = run(names["job"], {"trades": [trades], "quotes": [quotes]}, workers=2).outputs  # type: ignore[arg-type]
    assert found["at what price"][0].select("at", "price").rows() == [(100, 1.5)]
    assert sorted(found["quotes around a trade"][0]["price"]) == [1.5, 1.6, 1.7]

    exec(timers, names)
    readings = pl.DataFrame({"sensor": ["a", "b", "b"], "at": [0, 50, 75]})
    found = run(names["job"], {"readings": [readings]}, workers=2).outputs  # type: ignore[arg-type]
    assert found["silent sensors"][0].rows() == [("a", 0)]


def test_the_page_on_incremental_collections_tells_the_truth() -> None:
    groups, mutual, variable, index = blocks("docs/incremental.md")
    names: dict[str, object] = {}
    exec(groups, names)
    schema = {"a": pl.String, "b": pl.String, "diff": pl.Int64}
    follows = [
        pl.DataFrame({"a": ["ann", "cy"], "b": ["bob", "dan"], "diff": [1, 1]}, schema=schema),
        pl.DataFrame({"a": ["bob"], "b": ["cy"], "diff": [1]}, schema=schema),
    ]
    found = run(names["job"], {"follows": follows}, workers=2)  # type: ignore[arg-type]
    assert sorted(found.outputs["groups"][1].rows()) == [
        ("cy", "ann", 1),
        ("cy", "cy", -1),
        ("dan", "ann", 1),
        ("dan", "cy", -1),
    ]
    assert found.outputs["followers"][1].rows() == [("cy", 1, 1)]

    exec(mutual, names)
    edges = pl.DataFrame({"a": [1, 2, 3], "b": [2, 3, 4]})
    found = run(names["job"], {"edges": [edges], "start": [pl.DataFrame({"a": [1]})]})  # type: ignore[arg-type]
    assert sorted(found.outputs["odd"][0].rows()) == [(2, 1), (4, 1)]

    exec(variable + index, names)

    def job(flow: limnad.Flow) -> None:
        near = from_stream(flow.input("edges", {"a": int, "b": int}))
        nodes = near.select(node="a", label="a").distinct()
        names["components"](flow, near, nodes).output("labels")  # type: ignore[operator]
        names["reached"](near, near.filter(pl.col("b") == 2).select("a")).output("reached")  # type: ignore[operator]

    found = run(job, {"edges": [pl.DataFrame({"a": [1, 2, 3], "b": [2, 1, 3]})]}, workers=2)
    assert sorted(found.outputs["labels"][0].rows()) == [(1, 1, 1), (2, 1, 1), (3, 3, 1)]
    assert sorted(found.outputs["reached"][0].rows()) == [(1, 1), (2, 1)]


def test_the_graph_page_tells_the_truth() -> None:
    job, live, pregel = blocks("docs/graph.md")
    names: dict[str, object] = {}
    exec(job + live + pregel, names)
    ends = [("ann", "bob"), ("cid", "bob"), ("bob", "ann"), ("dan", "eve")]
    follows = pl.DataFrame(ends, schema={"src": pl.String, "dst": pl.String}, orient="row")
    outputs = run(names["job"], {"follows": [follows]}, workers=2).outputs  # type: ignore[arg-type]
    assert outputs["most followed"][0]["node"].to_list()[0] == "bob"
    assert sorted(outputs["circles"][0].rows()) == [("ann", 3), ("dan", 2)]
    found = run(names["reach_job"], {"follows": [follows]}, workers=2).outputs  # type: ignore[arg-type]
    reached = {"ann": "ann", "bob": "ann", "cid": "cid", "dan": "dan", "eve": "dan"}
    assert dict(found["reached by"][0].rows()) == reached

    schema = {"src": pl.Int64, "dst": pl.Int64, "km": pl.Float64, "diff": pl.Int64}
    there = [(1, 2, 5.0, 1), (2, 1, 5.0, 1), (1, 3, 1.0, 1), (3, 2, 2.0, 1)]
    roads = [pl.DataFrame(rows, schema, orient="row") for rows in (there, [(3, 2, 2.0, -1)])]
    depots = [pl.DataFrame({"node": [1], "diff": [1]}), None]
    found = run(names["live_job"], {"roads": roads, "depots": depots}, workers=2).outputs  # type: ignore[arg-type]
    assert sorted(found["distances"][0].rows()) == [(1, 0.0, 1), (2, 3.0, 1), (3, 1.0, 1)]
    assert sorted(found["distances"][1].rows()) == [(2, 3.0, -1), (2, 5.0, 1)]
    assert sorted(found["one can come back"][1].rows()) == [(1, 3, -1), (3, 2, -1)]


def test_the_coordination_page_tells_the_truth() -> None:
    names: dict[str, object] = {}
    exec(blocks("docs/coordination.md")[0], names)
    edges = pl.DataFrame({"a": [1, 2], "b": [2, 3]})
    found = run(names["job"], {"edges": [edges]}, workers=2).outputs["reachable"][0]  # type: ignore[arg-type]
    assert set(found.rows()) == {(1, 2), (2, 3), (1, 3)}
