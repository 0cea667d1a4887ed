"""Word count on frames: the words of Python's own library, counted.

    limnad run examples/wordcount_frames.py -w 2
    limnad run examples/wordcount_frames.py -w 2 -a path='texts/**/*.txt'

Every machine with Python has this corpus: the sources of the standard library of the interpreter that runs the job.
"""

import sysconfig
from pathlib import Path

import polars as pl

import limnad


def standard_library() -> list[str]:
    files = Path(sysconfig.get_path("stdlib")).rglob("*.py")
    return [str(file) for file in files if "site-packages" not in file.parts]


def job(flow: limnad.Flow, path: str = "", k: int = 10) -> None:
    lines = flow.read_text(path or standard_library(), errors="replace")
    extracted = lines.select(pl.col("line").str.extract_all(r"\w+").alias("word")).explode("word")
    words = extracted.filter(pl.col("word").is_not_null())
    counts = words.group_by("word").agg(pl.len().alias("count"))
    counts.top_k(k, by="count").output("most frequent words")
    words.count("words").output("all words")
