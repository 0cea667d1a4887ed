"""Pictures of dataflow graphs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from limnad import Flow, GraphError, JobError
from limnad.cli.graph import as_dict, dot, mermaid, told, write
from limnad.monotone import best, distinct, join, uncoordinated
from limnad.testing import build
from limnad.timely.coordination import free_loops, waits
from limnad.timely.graph import LogicalGraph
from tests.helpers.flows import collatz


@pytest.fixture
def nested() -> LogicalGraph:
    return build(collatz).graph


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all there is on the path to programs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_graphviz_is_asked_for_the_format_that_the_name_says(
    kind: str, nested: LogicalGraph, programs: Path, tmp_path: Path
) -> None:
    put(programs / "dot", 'echo "$@"; while read -r line; do echo "$line"; done')
    picture = tmp_path / f"graph.{kind}"
    write(nested, picture)
    asked, *given = picture.read_text().splitlines()
    assert asked == f"-T{kind}"
    assert given[0] == "digraph limnad {"
    assert given[-1] == "}"


def test_without_graphviz_the_error_says_what_to_do(nested: LogicalGraph, programs: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"graph\.svg needs Graphviz .* or write a \.mmd file"):
        write(nested, tmp_path / "graph.svg")
    assert list(programs.iterdir()) == []


def test_what_graphviz_complains_of_is_passed_on(nested: LogicalGraph, programs: Path, tmp_path: Path) -> None:
    put(programs / "dot", "echo no fonts >&2; exit 1")
    with pytest.raises(JobError, match=r"could not draw graph\.svg: no fonts"):
        write(nested, tmp_path / "graph.svg")
    assert not (tmp_path / "graph.svg").exists()


def test_a_file_that_cannot_be_written_is_named(nested: LogicalGraph, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"graph\.mmd cannot be written: No such file"):
        write(nested, tmp_path / "nowhere" / "graph.mmd")


def test_an_unknown_format_is_refused(nested: LogicalGraph, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"must end in \.mmd, \.md, \.dot, \.svg, \.png or \.pdf"):
        write(nested, tmp_path / "graph.gif")


def test_loops_are_boxes_in_one_another_and_what_goes_round_points_up(nested: LogicalGraph) -> None:
    lines = [line.strip() for line in dot(nested).splitlines()]
    opens = [place for place, line in enumerate(lines) if line.startswith("subgraph cluster_")]
    assert 'label="loop collatz"' in lines[opens[0] + 1]
    assert 'label="loop halve"' in lines[opens[1] + 1]
    assert lines.index("}") > opens[1]
    assert len([line for line in lines if "dir=back" in line]) == 2
    assert mermaid(nested).count("subgraph loop") == 2


def test_names_with_quotes_survive() -> None:
    def job(flow: Flow) -> None:
        flow.values([[1]]).map(abs).named('so-called "map" \\ 1').output("x")

    graph = build(job).graph
    assert r'label="so-called \"map\" \\ 1"' in dot(graph)
    assert "so-called #quot;map#quot;" in mermaid(graph)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_every_stage_and_loop(nested: LogicalGraph, tmp_path: Path) -> None:
    write(nested, tmp_path / "graph.svg")
    texts = [element.text for element in ET.parse(tmp_path / "graph.svg").iter() if element.tag.endswith("text")]
    assert {"loop collatz", "loop halve", "enter", "feedback", "leave", "numbers: by hand", "output steps"} <= set(
        texts
    )
    assert texts.count("feedback") == 2
    write(nested, tmp_path / "graph.png")
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")


def reach(flow: Flow) -> None:
    edges = flow.input("edges", {"a": pl.Int64, "b": pl.Int64})

    def body(pairs: Any) -> Any:
        known = distinct(pairs)
        return known.filter(pl.col("a") < 0), known

    edges.iterate(body, name="reach").group_by("a").len().output("how many")


def test_what_waits_is_marked_and_says_why(tmp_path: Path) -> None:
    graph = build(reach).graph
    waiting = waits(graph.stages)
    assert [wait.stage.name for wait in waiting] == ["group_by", "output how many"]
    assert waiting[0].why.startswith("waits until a time is complete: Gathers the batches of each time")
    assert waiting[1].why.startswith("waits until an epoch is complete")
    marked = mermaid(graph, waiting).splitlines()
    assert marked[-1] == f"    class {','.join(f's{wait.stage.index}' for wait in waiting)} waits"
    assert "classDef" not in mermaid(graph)
    assert told(graph, waiting).splitlines()[-1] == "  loop 'reach': rows go round it without waiting"
    assert as_dict(graph, waiting)["waits"] == {wait.stage.name: wait.why for wait in waiting}
    write(graph, tmp_path / "graph.dot", waiting)
    assert (tmp_path / "graph.dot").read_text().count("#f7d9c4") == 2


def test_a_loop_with_a_wait_in_it_is_not_free(nested: LogicalGraph) -> None:
    def job(flow: Flow) -> None:
        flow.input("numbers").iterate(lambda rows: (rows.distinct(), rows), name="waits")

    assert free_loops(build(job).graph) == []
    assert [loop.name for loop in free_loops(nested)] == ["collatz", "halve"]


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (lambda s: uncoordinated(s.unique()), "'unique' waits until a time is complete"),
        (lambda s: join(s, s, "a", how="anti"), "a join of sets that grow is 'inner', not 'anti'"),
        (lambda s: join(s, s, "x"), "cannot join on 'x'"),
        (lambda s: best(s, "a", "a"), "compares a column beside the key"),
    ],
)
def test_what_would_have_to_wait_is_refused(deed: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        deed(Flow().input("edges", {"a": pl.Int64, "b": pl.Int64}))
