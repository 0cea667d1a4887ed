"""``limnad graph``: a job's dataflow as a picture."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from limnad.errors import JobError
from limnad.timely.coordination import Wait, free_loops, waits
from limnad.timely.graph import LogicalGraph, LoopContext, Stage, StageKind


def show_graph(
    target: str, arguments: Mapping[str, str], output: Path | None, *, as_json: bool, coordination: bool = False
) -> None:
    """Builds a job and prints or writes its graph, with ``coordination`` marked where it waits.

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
    waiting = waits(graph.stages) if coordination else []
    if as_json:
        print(json.dumps(as_dict(graph, waiting if coordination else None)))
    elif output is None:
        print(mermaid(graph, waiting))
    else:
        write(graph, output, waiting)
    if coordination and not as_json:
        print(told(graph, waiting), file=sys.stderr if output is None else sys.stdout)


def told(graph: LogicalGraph, waiting: Sequence[Wait]) -> str:
    """Where a dataflow waits, as lines of text."""
    width = max((len(wait.stage.name) for wait in waiting), default=0)
    lines = [f"{len(waiting)} of {len(graph.stages)} stages wait for all workers; rows pass the others as they come"]
    lines += [f"  {wait.stage.name:{width}}  {wait.why}" for wait in waiting]
    lines += [f"  loop {loop.name!r}: rows go round it without waiting" for loop in free_loops(graph)]
    return "\n".join(lines)


def write(graph: LogicalGraph, output: Path, waiting: Sequence[Wait] = ()) -> None:
    """Writes a picture in the format that the file's name asks for.

    Raises:
        JobError: The format is not known, Graphviz is not there, or the file cannot be written.
    """
    kind = output.suffix.lower().removeprefix(".")
    if kind in ("mmd", "mermaid", "md"):
        text = mermaid(graph, waiting)
        content = (f"```mermaid\n{text}\n```\n" if kind == "md" else f"{text}\n").encode()
    elif kind == "dot":
        content = dot(graph, waiting).encode()
    elif kind in ("svg", "png", "pdf"):
        content = _draw(dot(graph, waiting), kind, output)
    else:
        raise JobError(f"{output.name}: the name must end in .mmd, .md, .dot, .svg, .png or .pdf")
    try:
        output.write_bytes(content)
    except OSError as error:
        raise JobError(f"{output} cannot be written: {error.strerror}") from error


def _draw(text: str, kind: str, output: Path) -> bytes:
    """Lets Graphviz draw."""
    if shutil.which("dot") is None:
        raise JobError(f"drawing {output.name} needs Graphviz (the program dot): install it, or write a .mmd file")
    done = subprocess.run(["dot", f"-T{kind}"], input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise JobError(f"Graphviz could not draw {output.name}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def mermaid(graph: LogicalGraph, waiting: Sequence[Wait] = ()) -> str:
    """The graph in Mermaid's language; loops are boxes, exchanges are thick arrows; what waits has a class."""
    lines = ["flowchart TD", *_mermaid_stages(graph, None, "    ")]
    for edge in graph.connectors:
        arrow = "==>" if edge.partition else "-.->" if edge.source.kind is StageKind.FEEDBACK else "-->"
        label = f'|"{_quoted(edge.partition.describe())}"|' if edge.partition else ""
        lines.append(f"    s{edge.source.index} {arrow}{label} s{edge.target.index}")
    if waiting:
        lines.append("    classDef waits fill:#f7d9c4,stroke:#b5532a,stroke-width:2px")
        lines.append(f"    class {','.join(f's{wait.stage.index}' for wait in waiting)} waits")
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


def dot(graph: LogicalGraph, waiting: Sequence[Wait] = ()) -> str:
    """The graph in Graphviz's language; loops are boxes, exchanges are thick arrows, what goes round is dashed."""
    lines = [
        "digraph limnad {",
        '  graph [fontname="Helvetica", fontsize=11, nodesep=0.35, ranksep=0.4];',
        '  node [shape=box, style="rounded,filled", color="#5b6b7b", fontname="Helvetica", fontsize=11, height=0.35];',
        '  edge [color="#5b6b7b", fontname="Helvetica", fontsize=10, arrowsize=0.7];',
        *_dot_stages(graph, None, "  "),
        *(f'  s{wait.stage.index} [fillcolor="#f7d9c4", color="#b5532a", penwidth=2];' for wait in waiting),
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


def as_dict(graph: LogicalGraph, waiting: Sequence[Wait] | None = None) -> dict[str, object]:
    """The graph as plain data; with what waits, if that was asked for."""
    asked = {} if waiting is None else {"waits": {wait.stage.name: wait.why for wait in waiting}}
    return {
        **asked,
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
