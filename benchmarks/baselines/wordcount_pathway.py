"""Pathway counts words: ``VARIANT FOLDER WORKERS SCRATCH``.

Processes (its own `pathway spawn`) were no slower than threads, and a file as one row twice as fast as a line as one.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

words: Callable[[str], list[str]] = re.compile(r"\w+").findall


def counts(variant: str, folder: str) -> Any:
    """The table of words and counts."""
    pw: Any = importlib.import_module("pathway")
    files = pw.io.fs.read(folder, format="plaintext_by_file", mode="static")
    if variant == "idiomatic":
        split = files.select(word=pw.apply_with_type(words, list[str], pw.this.data)).flatten(pw.this.word)
        return split.groupby(pw.this.word).reduce(pw.this.word, n=pw.reducers.count())

    def count(text: str) -> list[tuple[str, int]]:
        return list(Counter(words(text)).items())

    pairs = files.select(pair=pw.apply_with_type(count, list[tuple[str, int]], pw.this.data)).flatten(pw.this.pair)
    named = pairs.select(word=pw.this.pair[0], n=pw.this.pair[1])
    return named.groupby(pw.this.word).reduce(pw.this.word, n=pw.reducers.sum(pw.this.n))


def work(variant: str, folder: str, scratch: Path) -> None:
    """One process."""
    pw: Any = importlib.import_module("pathway")
    counted = counts(variant, folder)
    total = counted.reduce(different=pw.reducers.count(), words=pw.reducers.sum(counted.n))

    def keep(key: object, row: dict[str, Any], time: int, is_addition: bool) -> None:
        del key, time
        if is_addition:
            told = {"words": row["words"], "different": row["different"]}
            (scratch / "counted-all.json").write_text(json.dumps(told), encoding="utf-8")

    pw.io.subscribe(total, on_change=keep)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


def main() -> None:
    """Hands over to `pathway spawn`, which starts this file once for each worker."""
    variant, folder, workers, scratch = sys.argv[1:]
    if "PATHWAY_PROCESS_ID" in os.environ:
        work(variant, folder, Path(scratch))
        return
    command = [str(Path(sysconfig.get_path("scripts"), "pathway")), "spawn", "--processes", workers, "--threads", "1"]
    ended = subprocess.run([*command, sys.executable, __file__, *sys.argv[1:]], check=False)
    sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
