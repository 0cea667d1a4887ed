"""Random graphs with a few hubs and many nodes of few edges (RMAT; Chakrabarti and others, 2004), from a seed."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

QUADRANTS = (0.57, 0.19, 0.19, 0.05)
"""The probabilities of the Graph500 benchmark."""

Ends = npt.NDArray[np.int32]


def rmat(rng: np.random.Generator, scale: int, count: int) -> tuple[Ends, Ends]:
    """The ends of so many edges between ``2 ** scale`` nodes; loops and repeated edges may occur.

    >>> sources, targets = rmat(np.random.default_rng(1), 3, 1000)
    >>> len(sources), int(max(sources.max(), targets.max())), bool((sources == 0).sum() > (sources == 7).sum())
    (1000, 7, True)
    """
    sources, targets = np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.int32)
    a, b, c, _ = QUADRANTS
    for _level in range(scale):
        drawn = rng.random(count, dtype=np.float32)
        lower = drawn >= a + b
        right = (drawn >= a) & ~lower | (drawn >= a + b + c)
        sources += sources + lower
        targets += targets + right
    return sources, targets


def write_rmat(folder: Path, scale: int, edges: int, files: int = 4, seed: int = 1) -> str:
    """Writes a graph as Parquet files of columns ``src`` and ``dst``, its nodes renamed at random; where they are."""
    folder.mkdir(exist_ok=True)
    names = np.random.default_rng(seed).permutation(1 << scale).astype(np.int32)
    for number in range(files):
        sources, targets = rmat(np.random.default_rng((seed, number)), scale, edges // files)
        frame = pl.DataFrame({"src": names[sources], "dst": names[targets]})
        frame.write_parquet(folder / f"{number}.parquet", compression="uncompressed")
    return str(folder / "*.parquet")


def renamed_rmat(seed: int, scale: int, edges: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ends of ``edges`` edges between ``2**scale`` nodes, whose numbers say nothing; loops are left out.

    >>> ends = renamed_rmat(1, 4, 10)
    >>> bool((ends[0] != ends[1]).all()), bool((ends[0] < 16).all())
    (True, True)
    """
    rng = np.random.default_rng(seed)
    sources, targets = rmat(rng, scale, edges)
    names = rng.permutation(1 << scale)
    kept = sources != targets
    return names[sources[kept]], names[targets[kept]]
