"""``python -m docs.gallery [NAME ...]``: writes the page and the pictures, of all examples or of some."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from docs.gallery import plots
from docs.gallery.examples import EXAMPLES, LINES_SHOWN, Example
from docs.gallery.sizes import ROOT, table

PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "pictures" / "gallery"

HEAD = """# Gallery

What the [examples](../examples) answer. Where a picture shows a dataflow, thick arrows exchange rows between workers,
and boxes are loops. `script/gallery` runs them and writes this page.
"""

SIZES = """## How long they are

The Naiad paper (SOSP 2013, sections 6.1 to 6.4) says how many lines of C# its applications take, without what its
libraries hold already. Beside it stands what corresponds here: lines of Python without blank ones, comments and
docstrings, of the files or definitions that are named. Code that makes data is not counted.
"""

HIGHEST = 640
"""Pictures of dataflows that are higher are shown so high; each leads to itself."""


def picture(example: Example) -> None:
    """Draws an example."""
    file = PICTURES / f"{example.name}.svg"
    if example.plot is None:
        example.draw_dataflow(file)
    else:
        plots.save(example.plot, example.outputs(), file)


def shown_picture(example: Example) -> str:
    """The picture as the page shows it."""
    place = f"pictures/gallery/{example.name}.svg"
    height = re.search(r'height="(\d+)', (PICTURES / f"{example.name}.svg").read_text(encoding="utf-8"))
    if height is None or int(height[1]) <= HIGHEST:
        return f"![{example.name}]({place})"
    return f'<a href="{place}"><img src="{place}" alt="{example.name}" height="{HIGHEST}"></a>'


def section(example: Example) -> str:
    """What the page says of an example."""
    picture(example)
    printed = example.printed()
    shown = [*printed[:LINES_SHOWN], *(["..."] if len(printed) > LINES_SHOWN else [])]
    return "\n".join(
        [
            f"## {example.name}.py",
            "",
            f"{example.summary} [Its code](../{example.file}).",
            "",
            shown_picture(example),
            "",
            "```",
            f"$ {example.typed}",
            *(line.rstrip() for line in shown),
            "```",
            "",
        ]
    )


def sections_of(page: str) -> dict[str, str]:
    """The sections of the page as it is, by example."""
    parts = re.split(r"^## (\w+)\.py\n", page.split(SIZES, maxsplit=1)[0], flags=re.MULTILINE)
    return {name: f"## {name}.py\n{text.rstrip()}\n" for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def main(names: Sequence[str]) -> None:
    """Writes the page; what is not named stays as it is."""
    before = sections_of(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    PICTURES.mkdir(parents=True, exist_ok=True)
    written = []
    for example in EXAMPLES:
        anew = not names or example.name in names or example.name not in before
        written.append(section(example) if anew else before[example.name])
    PAGE.write_text("\n".join([HEAD, *written, SIZES, table(), ""]), encoding="utf-8")


if __name__ == "__main__":
    main([Path(name).stem for name in sys.argv[1:]])
