"""``limnad graph``: a job's dataflow as a picture."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from limnad.errors import JobError
from limnad.timely.graph import LogicalGraph, LoopContext, Stage, StageKind


def show_graph(target: str, arguments: Mapping[str, str], output: Path | None, *, as_json: bool) -> None:
    """Builds a job and prints or writes its graph.

    Raises:
        JobFailed: The job is wrong.
        JobError: Its picture cannot be drawn.
    """
    from limnad.stream.failures import undescribed
    from limnad.stream.jobfile import build_job, split_target

    path, function = split_target(target)
    try:
        graph = build_job(path, function, arguments).graph
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises
        raise undescribed(error) from None
    if as_json:
        print(json.dumps(as_dict(graph)))
    elif output is None:
        print(mermaid(graph))
    else:
        write(graph, output)


def write(graph: LogicalGraph, output: Path) -> None:
    """Writes a picture in the format that the file's name asks for.

    Raises:
        JobError: The format is not known, Graphviz is not there, or the file cannot be written.
    """
    kind = output.suffix.lower().removeprefix(".")
    if kind in ("mmd", "mermaid", "md"):
        text = mermaid(graph)
        content = (f"```mermaid\n{text}\n```\n" if kind == "md" else f"{text}\n").encode()
    elif kind == "dot":
        content = dot(graph).encode()
    elif kind in ("svg", "png", "pdf"):
        content = _draw(graph, kind, output)
    else:
        raise JobError(f"{output.name}: the name must end in .mmd, .md, .dot, .svg, .png or .pdf")
    try:
        output.write_bytes(content)
    except OSError as error:
        raise JobError(f"{output} cannot be written: {error.strerror}") from error


def _draw(graph: LogicalGraph, kind: str, output: Path) -> bytes:
    """Lets Graphviz draw."""
    if shutil.which("dot") is None:
        raise JobError(f"drawing {output.name} needs Graphviz (the program dot): install it, or write a .mmd file")
    done = subprocess.run(["dot", f"-T{kind}"], input=dot(graph).encode(), capture_output=True, check=False)
    if done.returncode:
        raise JobError(f"Graphviz could not draw {output.name}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


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
        if stage.home is context:
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
    """The graph in Graphviz's language; loops are boxes, exchanges are thick arrows, what goes round is dashed."""
    lines = [
        "digraph limnad {",
        '  graph [fontname="Helvetica", fontsize=11, nodesep=0.35, ranksep=0.4];',
        '  node [shape=box, style="rounded,filled", color="#5b6b7b", fontname="Helvetica", fontsize=11, height=0.35];',
        '  edge [color="#5b6b7b", fontname="Helvetica", fontsize=10, arrowsize=0.7];',
        *_dot_stages(graph, None, "  "),
    ]
    for edge in graph.connectors:
        source, target = f"s{edge.source.index}", f"s{edge.target.index}"
        if edge.source.kind is StageKind.FEEDBACK:
            # Laid out as if it went down, so that it finds its way between the stages; the arrow points up.
            lines.append(f"  {target} -> {source} [dir=back, style=dashed];")
        else:
            label = f' [label="  {_escaped(edge.partition.describe())}  ", penwidth=2.5]' if edge.partition else ""
            lines.append(f"  {source} -> {target}{label};")
    return "\n".join([*lines, "}", ""])


def _dot_stages(graph: LogicalGraph, context: LoopContext | None, indent: str) -> Iterator[str]:
    for stage in graph.stages:
        if stage.home is context:
            yield f"{indent}s{stage.index} [{_dot_stage(stage)}];"
    for number, inner in enumerate(graph.contexts):
        if inner.parent is context:
            yield f"{indent}subgraph cluster_{number} {{"
            yield f'{indent}  label="loop {_escaped(inner.name)}"; labeljust=r; style="rounded,filled";'
            yield f'{indent}  color="#b08d57"; fillcolor="{_LOOP_FILLS[inner.depth % 2]}";'
            yield from _dot_stages(graph, inner, indent + "  ")
            yield f"{indent}}}"


def _dot_stage(stage: Stage) -> str:
    if stage.is_system:
        # The box around it says which loop.
        return (
            f'label="{_SYSTEM_WORDS[stage.kind]}", shape=oval, fillcolor="#f0e2c4", fontsize=9, height=0.25, width=0.4'
        )
    fill = "#d5ebd5" if stage.kind is StageKind.INPUT else "#d9e6f5" if stage.outputs else "#e6dff2"
    return f'label="{_escaped(stage.label)}", fillcolor="{fill}"'


_LOOP_FILLS = ("#fdf8ee", "#f8f0de")
_SYSTEM_WORDS = {StageKind.INGRESS: "enter", StageKind.EGRESS: "leave", StageKind.FEEDBACK: "feedback"}


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
