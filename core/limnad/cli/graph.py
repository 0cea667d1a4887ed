"""``limnad graph``: a job's dataflow as a picture."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from limnad.errors import JobError
from limnad.timely.graph import Connector, LogicalGraph, LoopContext, Stage, StageKind


def show_graph(target: str, arguments: Mapping[str, str], output: Path | None, *, as_json: bool) -> None:
    """Builds a job and prints or writes its graph.

    Raises:
        JobError: The job is wrong, or its picture cannot be drawn.
    """
    from limnad.stream.jobfile import build_job, split_target

    path, function = split_target(target)
    graph = build_job(path, function, arguments).graph
    if as_json:
        print(json.dumps(as_dict(graph)))
    elif output is None:
        print(mermaid(graph))
    else:
        write(graph, output)


def write(graph: LogicalGraph, output: Path) -> None:
    """Writes a picture in the format that the file's name asks for.

    Raises:
        JobError: The format is not known, or Graphviz is not there.
    """
    kind = output.suffix.lower().removeprefix(".")
    if kind in ("mmd", "mermaid", "md"):
        text = mermaid(graph)
        output.write_text(f"```mermaid\n{text}\n```\n" if kind == "md" else f"{text}\n")
    elif kind == "dot":
        output.write_text(dot(graph))
    elif kind in ("svg", "png", "pdf"):
        if shutil.which("dot") is None:
            raise JobError(f"drawing {output.name} needs Graphviz (the program dot): install it, or write a .mmd file")
        subprocess.run(["dot", f"-T{kind}", "-o", str(output)], input=dot(graph).encode(), check=True)
    else:
        raise JobError(f"{output.name}: the name must end in .mmd, .md, .dot, .svg, .png or .pdf")


def mermaid(graph: LogicalGraph) -> str:
    """The graph in Mermaid's language; loops are boxes, exchanges are thick arrows."""
    lines = ["flowchart TD", *_mermaid_stages(graph, None, "    ")]
    for edge in graph.connectors:
        arrow = "==>" if edge.partition else "-.->" if edge.source.kind is StageKind.FEEDBACK else "-->"
        label = f'|"{_quoted(edge.partition.describe())}"|' if edge.partition else ""
        lines.append(f"    s{edge.source.index} {arrow}{label} s{edge.target.index}")
    return "\n".join(lines)


def _mermaid_stages(graph: LogicalGraph, context: LoopContext | None, indent: str) -> Iterator[str]:
    for stage in graph.stages:
        if _home(stage) is context:
            left, right = _MERMAID_SHAPES.get(stage.kind, ("[", "]"))
            if stage.outputs == 0:
                left, right = "[/", "/]"
            yield f'{indent}s{stage.index}{left}"{_quoted(stage.label)}"{right}'
    for number, inner in enumerate(graph.contexts):
        if inner.parent is context:
            yield f'{indent}subgraph loop{number}["loop {_quoted(inner.name)}"]'
            yield from _mermaid_stages(graph, inner, indent + "    ")
            yield f"{indent}end"


def dot(graph: LogicalGraph) -> str:
    """The graph in Graphviz's language."""
    lines = [
        "digraph limnad {",
        '  node [shape=box, style="rounded,filled", fillcolor="#eef3f8", fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9];',
        *_dot_stages(graph, None, "  "),
    ]
    for edge in graph.connectors:
        lines.append(f"  s{edge.source.index} -> s{edge.target.index} [{_dot_edge(edge)}];")
    return "\n".join([*lines, "}", ""])


def _dot_stages(graph: LogicalGraph, context: LoopContext | None, indent: str) -> Iterator[str]:
    for stage in graph.stages:
        if _home(stage) is context:
            fill = {StageKind.INPUT: "#dcefdc", StageKind.COMPUTE: "#eef3f8"}.get(stage.kind, "#f4ecd8")
            yield f'{indent}s{stage.index} [label="{_escaped(stage.label)}", fillcolor="{fill}"];'
    for number, inner in enumerate(graph.contexts):
        if inner.parent is context:
            yield f"{indent}subgraph cluster_{number} {{"
            yield f'{indent}  label="loop {_escaped(inner.name)}"; color="#b08d57"; fontname="Helvetica";'
            yield from _dot_stages(graph, inner, indent + "  ")
            yield f"{indent}}}"


def _dot_edge(edge: Connector) -> str:
    if edge.partition:
        return f'label="{_escaped(edge.partition.describe())}", penwidth=2'
    return "style=dashed, constraint=false" if edge.source.kind is StageKind.FEEDBACK else ""


def as_dict(graph: LogicalGraph) -> dict[str, object]:
    """The graph as plain data."""
    return {
        "stages": [
            {
                "name": stage.name,
                "label": stage.label,
                "kind": stage.kind.value,
                "loop": stage.context.name if stage.context else None,
                "notifies": stage.notifies,
            }
            for stage in graph.stages
        ],
        "connectors": [
            {
                "source": edge.source.name,
                "output": edge.output,
                "target": edge.target.name,
                "input": edge.input,
                "partition": edge.partition.describe() if edge.partition else None,
            }
            for edge in graph.connectors
        ],
    }


def _home(stage: Stage) -> LoopContext | None:
    """The loop in whose box a stage is drawn: ingress and egress stand at their loop's border, inside."""
    return stage.output_context if stage.kind is StageKind.INGRESS else stage.context


_MERMAID_SHAPES = {
    StageKind.INPUT: ("([", "])"),
    StageKind.INGRESS: ("((", "))"),
    StageKind.EGRESS: ("((", "))"),
    StageKind.FEEDBACK: ("((", "))"),
}


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
