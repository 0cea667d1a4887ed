"""Bytewax counts words: ``VARIANT FOLDER WORKERS SCRATCH``.

Processes were faster than threads, pieces of 1 MB faster than lines, and `count_final` on words no slower in processes
than a `Counter` for each batch of lines: the GIL and the price of a Python object for each word decide.
"""

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.testing import TestingSink, cluster_main

PIECE_BYTES = 1 << 20
words: Callable[[str], list[str]] = re.compile(r"\w+").findall


class Pieces(StatefulSourcePartition[str, None]):
    """Reads a file in large pieces that end with a line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open(encoding="utf-8")

    def next_batch(self) -> Iterable[str]:
        """See Bytewax."""
        text = self._file.read(PIECE_BYTES)
        if not text:
            raise StopIteration
        return [text + self._file.readline()]

    def snapshot(self) -> None:
        """See Bytewax."""


class Folder(FixedPartitionedSource[str, None]):
    """A partition for each file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list_parts(self) -> list[str]:
        """See Bytewax."""
        return sorted(os.listdir(self._folder))  # noqa: PTH208

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Pieces:
        """See Bytewax."""
        return Pieces(self._folder / for_part)


def flow(variant: str, folder: Path, counts: list[tuple[str, int]]) -> Dataflow:
    """The dataflow."""
    described = Dataflow("wordcount")
    text = op.input("text", described, Folder(folder))
    counted: Any
    if variant == "idiomatic":
        counted = op.count_final("count", op.flat_map("split", text, words), lambda word: word)
    else:
        pairs = op.flat_map("count pieces", text, lambda piece: Counter(words(piece)).items())
        counted = op.reduce_final("add", pairs, lambda one, other: one + other)
    op.output("counts", counted, TestingSink(counts))
    return described


def work(variant: str, folder: Path, addresses: list[str], number: int, scratch: Path) -> None:
    """One process."""
    counts: list[tuple[str, int]] = []
    run: Callable[..., None] = cluster_main
    run(flow(variant, folder, counts), addresses, number)
    told = {"words": sum(count for _, count in counts), "different": len(counts)}
    (scratch / f"counted-{number}.json").write_text(json.dumps(told), encoding="utf-8")


def free_addresses(count: int) -> list[str]:
    """Addresses where nobody listens."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in taken]
    for server in taken:
        server.close()
    return addresses


def main() -> None:
    """Starts a process for each worker but the first, which is this one."""
    variant, folder, workers, scratch, *rest = sys.argv[1:]
    addresses = json.loads(rest[1]) if rest else free_addresses(int(workers))
    number = int(rest[0]) if rest else 0
    others = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.baselines.wordcount_bytewax",
                variant,
                folder,
                workers,
                scratch,
                str(other),
                json.dumps(addresses),
            ]
        )
        for other in range(1, 0 if rest else int(workers))
    ]
    work(variant, Path(folder), addresses, number, Path(scratch))
    for other in others:
        if other.wait():
            sys.exit(1)


if __name__ == "__main__":
    main()
