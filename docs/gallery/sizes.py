"""How long the paper's applications are here, counted in the code itself."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GRAPH, BSP, ML = "core/limnad/graph", "core/limnad/bsp", "core/limnad/ml"
NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


@dataclass(frozen=True)
class Application:
    """One of the paper's.

    Attributes:
        name: What it is called.
        parts: What is counted: ``file`` or ``file::definition``; more definitions of the same file follow with commas.
        paper: How many lines the paper states; None: it states none.
        note: What the paper counts, where that is not the whole.
    """

    name: str
    parts: tuple[str, ...]
    paper: int | None = None
    note: str = ""


APPLICATIONS = (
    Application("word count", ("examples/wordcount_frames.py::job",)),
    Application("PageRank by vertex", (f"{GRAPH}/pagerank_by_vertex.py",), 30),
    Application(
        "PageRank by edge", (f"{GRAPH}/pagerank.py::_ByEdge", f"{GRAPH}/gas.py"), 547, "with gather-apply-scatter"
    ),
    Application("PageRank by messages", (f"{GRAPH}/pagerank.py::_ByMessage",), 38, "on Pregel"),
    Application("strongly connected components", ("examples/scc.py::least,trim,on_cycles",), 161),
    Application("weakly connected components", ("examples/live_components.py::components",), 49),
    Application("the same, one graph an epoch", (f"{GRAPH}/components.py",)),
    Application(
        "approximate shortest paths",
        (f"{GRAPH}/paths.py::landmark_distances,estimated_distances,_paths", f"{GRAPH}/relaxing.py"),
        70,
    ),
    Application("logistic regression", (f"{ML}/logistic.py", f"{ML}/descent.py")),
    Application("its all-reduce", (f"{BSP}/collectives.py",), 300),
    Application(
        "k-exposure",
        ("examples/k_exposure.py::PerEpoch,FirstUses,Expose,Exposures,summed,first_uses",),
        26,
        "of `Distinct`, `Join`, `Count`",
    ),
    Application(
        "popular hashtags (figure 1)",
        ("examples/popular_hashtags.py::most_popular,Lookup,look_up,answers,connect",),
        27,
        "without operators and components",
    ),
)


def code_lines(source: str, definitions: frozenset[str] = frozenset()) -> int:
    r"""How many lines hold code: no blank ones, comments or docstrings.

    Args:
        source: A module.
        definitions: Only what these functions and classes at its top level hold; none: all.

    Raises:
        KeyError: There is no such definition.

    >>> code_lines('"A module."\n\nX = 1  # one\n\n\ndef f():\n    "Two."\n    return (\n        2\n    )\n')
    5
    """
    tree = ast.parse(source)
    spans = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    wanted = [lines_of(spans[name]) for name in sorted(definitions)] or [set(range(source.count("\n") + 2))]
    texts = {line for node in ast.walk(tree) if is_text(node) for line in lines_of(node)}
    return len(set(with_code(source)).intersection(set().union(*wanted)) - texts)


def lines_of(node: ast.AST) -> set[int]:
    """The lines of a node, decorators included."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])  # type: ignore[attr-defined]
    return set(range(first, node.end_lineno + 1))  # type: ignore[attr-defined]


def is_text(node: ast.AST) -> bool:
    """Whether it is a docstring, of whatever."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def with_code(source: str) -> Iterator[int]:
    """The lines on which a token other than a comment stands."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            yield from range(token.start[0], token.end[0] + 1)


def size(application: Application) -> int:
    """Its lines of code."""
    total = 0
    for part in application.parts:
        file, _, names = part.partition("::")
        source = (ROOT / file).read_text(encoding="utf-8")
        total += code_lines(source, frozenset(names.split(",")) if names else frozenset())
    return total


def table() -> str:
    """All of them as Markdown."""
    lines = ["| application | counted | lines | in the paper |", "| --- | --- | --- | --- |"]
    for each in APPLICATIONS:
        stated = "" if each.paper is None else f"{each.paper} {each.note}".strip()
        lines.append(f"| {each.name} | {'; '.join(map(_linked, each.parts))} | {size(each)} | {stated} |")
    return "\n".join(lines)


def _linked(part: str) -> str:
    file, _, names = part.partition("::")
    named = ", ".join(f"`{name}`" for name in names.split(",")) if names else ""
    return f"[{Path(file).name}](../{file})" + (f" {named}" if named else "")
