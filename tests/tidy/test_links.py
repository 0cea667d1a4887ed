"""Links between the Markdown files lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from tests.tidy.conftest import Repository

FENCE: Final = re.compile(r"^(`{3,}|~{3,}).*?^\1[`~]*\s*$", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"`[^`\n]*`")
LINK: Final = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\s*\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)", re.MULTILINE)
HEADING: Final = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
ELSEWHERE: Final = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def links(path: Path) -> Iterator[str]:
    """Targets inside this repository."""
    for match in LINK.finditer(CODE.sub("", prose(path))):
        target = match[1] or match[2]
        if not ELSEWHERE.match(target):
            yield target


def anchors(path: Path) -> set[str]:
    """The names GitHub gives to headings."""
    found: dict[str, int] = {}
    names = set()
    for match in HEADING.finditer(prose(path)):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1])
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        names.add(f"{slug}-{count}" if count else slug)
    return names


def leads_somewhere(repository: Repository, page: Path, target: str) -> bool:
    place, _, anchor = unquote(target).partition("#")
    base = repository.root if place.startswith("/") else page.parent
    goal = (base / place.lstrip("/")).resolve() if place else page
    if not goal.exists() or not goal.is_relative_to(repository.root):
        return False
    return not anchor or goal.suffix != ".md" or anchor in anchors(goal)


def test_links_lead_somewhere(repository: Repository) -> None:
    pages = [path for path in repository.files if path.suffix == ".md"]
    assert repository.root / "README.md" in pages
    dead = [
        f"{repository.name(page)}: {target}"
        for page in pages
        for target in links(page)
        if not leads_somewhere(repository, page, target)
    ]
    assert dead == []
