"""The README of the chart: its words from a template, its table of values from values.yaml and the comments there."""

import json
import re
from collections.abc import Iterator

import yaml

from helm.generate.files import CHART

TEMPLATE = CHART.parent / "generate" / "README.md.in"
MARK = "VALUES"

_COMMENT = re.compile(r"^ *# -- (.*)$")
_KEY = re.compile(r"^( *)([A-Za-z]+):(.*)$")


def readme() -> str:
    """All of it."""
    rows = [f"| `{path}` | `{default}` | {text} |" for path, default, text in values()]
    table = "\n".join(["| value | default | what |", "| --- | --- | --- |", *rows])
    return TEMPLATE.read_text(encoding="utf-8").replace(MARK, table)


def values() -> Iterator[tuple[str, str, str]]:
    """Path, default and meaning of each value that has a comment of its own: ``# --`` on the line before."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    defaults = yaml.safe_load(text)
    path: list[tuple[int, str]] = []
    said = ""
    for line in text.splitlines():
        if comment := _COMMENT.match(line):
            said = comment[1]
        elif key := _KEY.match(line):
            depth = len(key[1])
            path = [*((at, name) for at, name in path if at < depth), (depth, key[2])]
            if said:
                names = [name for _, name in path]
                yield ".".join(names), _shown(defaults, names), said.replace("|", "\\|")
            said = ""


def _shown(defaults: object, names: list[str]) -> str:
    for name in names:
        assert isinstance(defaults, dict)
        defaults = defaults[name]
    return json.dumps(defaults)
