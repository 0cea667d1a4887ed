"""Counts words of text files."""

import polars as pl

import limnad


def job(flow: limnad.Flow, path: str) -> None:
    """The words that are most frequent, how many different ones there are, and how many in all."""
    lines = flow.read_text(path)
    words = lines.select(pl.col("line").str.extract_all(r"\w+").alias("word")).explode("word")
    counts = words.filter(pl.col("word").is_not_null()).group_by("word").agg(pl.len().alias("count"))
    counts.count("words").output("different")
    counts.top_k(10, by="count").output("most frequent")
