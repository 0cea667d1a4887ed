"""Word count from text: against Bytewax and Pathway, each as their users write it and as fast as we could make it."""

import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.harness import Aim, Better, Row, Settings, Unavailable, in_turn, say
from benchmarks.local_run import limnad_run
from benchmarks.processes import ROOT, environment

FILES = 16
"""Of equal size, so that the two workers of every system have equal work."""

WORKERS = 2

NOTE = (
    "Word count: the same files and the same regexp for all, two worker processes each, every count checked. Seconds "
    "of work; start-up is apart: for us `running_s` of the summary, for the others the whole program less the same "
    "program on one line. 'Idiomatic' splits text to words and counts them in the engine; 'by hand' counts each piece"
    " of text with Python's `Counter` first, and leaves to the engine only to add up."
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Text files, and how many words they have."""

    folder: Path
    words: int
    different: int


@dataclass(slots=True)
class Rival:
    """A baseline program, and the walls of its runs."""

    program: str
    variant: str
    walls_s: list[float] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)

    def run(self, corpus: Corpus, line: Corpus) -> float:
        """Seconds of work, without the start-up."""
        self.starts_s.append(self._wall_s(line))
        self.walls_s.append(self._wall_s(corpus))
        return self.walls_s[-1] - self.starts_s[-1]

    def _wall_s(self, corpus: Corpus) -> float:
        module = f"benchmarks.baselines.wordcount_{self.program}"
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, "-m", module, self.variant, str(corpus.folder), str(WORKERS), scratch]
            began_s = time.perf_counter()
            ended = subprocess.run(
                command, capture_output=True, text=True, cwd=ROOT, env=environment(WORKERS), check=False
            )
            wall_s = time.perf_counter() - began_s
            if ended.returncode:
                raise Unavailable(f"{module} failed: {ended.stderr[-2000:]}")
            counted = [json.loads(path.read_text()) for path in Path(scratch).glob("counted-*.json")]
        found = sum(part["words"] for part in counted), sum(part["different"] for part in counted)
        if found != (corpus.words, corpus.different):
            raise Unavailable(f"{module} counted {found}, not {(corpus.words, corpus.different)}")
        return wall_s


def make_corpus(folder: Path, copies: int) -> Corpus:
    """The sources of the standard library, some times over, their lines dealt to files of equal size.

    Lines that are not ASCII are left out: Python and Rust do not agree on which other characters make a word.
    """
    text = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" not in path.parts:
            text += [line + b"\n" for line in path.read_bytes().splitlines() if line.isascii()]
    words = re.findall(r"\w+", b"".join(text).decode())
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:02}.txt").write_bytes(b"".join(text[number::FILES]) * copies)
    return Corpus(folder, len(words) * copies, len(set(words)))


def make_line(folder: Path) -> Corpus:
    """As good as no text."""
    folder.mkdir()
    (folder / "00.txt").write_text("one line\n", encoding="utf-8")
    return Corpus(folder, 2, 2)


def rows(settings: Settings) -> Iterable[Row]:
    """Against each rival the work, and against its faster variant the whole command too."""
    with tempfile.TemporaryDirectory() as scratch:
        corpus = make_corpus(Path(scratch, "corpus"), settings.size(8, 1))
        line = make_line(Path(scratch, "line"))
        say(f"  {corpus.words:,} words")
        yield from _measured(settings, corpus, line)


def _measured(settings: Settings, corpus: Corpus, line: Corpus) -> Iterable[Row]:
    walls_s: list[float] = []
    starts_s: list[float] = []

    def ours() -> float:
        run = limnad_run("wordcount", WORKERS, {"path": str(corpus.folder / "*.txt")})
        if run.outputs["different"] != [{"words": corpus.different}]:
            raise Unavailable(f"limnad counted {run.outputs['different']}, not {corpus.different} different words")
        walls_s.append(run.wall_s)
        starts_s.append(float(run.summary["starting_s"]))
        return run.running_s

    rivals = {
        f"{program.title()}, {variant}": Rival(program, variant)
        for program in ("bytewax", "pathway")
        for variant in ("idiomatic", "by hand")
        if _installed(program)
    }
    if not rivals:
        raise Unavailable("neither Bytewax nor Pathway is here: pip install -e '.[bench]'")
    sides = {name: partial(rival.run, corpus, line) for name, rival in rivals.items()}
    measured = in_turn(settings.runs, {"ours": ours, **sides})
    for name, rival in rivals.items():
        work, faster = f"word count, {corpus.words / 1e6:.0f} M words", Aim(at_least=_AIMS[rival.program])
        yield Row(
            work, name, "s", measured["ours"], measured[name], Better.LESS, upside_down=True, aim=faster, note=NOTE
        )
        yield Row("- whole command", name, "s", walls_s, rival.walls_s, Better.LESS, upside_down=True)
        yield Row("- start-up", name, "s", starts_s, rival.starts_s, Better.LESS, upside_down=True)


_AIMS = {"bytewax": 15, "pathway": 30}


def _installed(program: str) -> bool:
    return importlib.util.find_spec(program) is not None
