"""A picture of rows that say what something costs as it grows."""

import statistics
from collections.abc import Iterable
from pathlib import Path

from benchmarks.harness import Row


def plot(rows: Iterable[Row], file: Path) -> None:
    """Draws the cost per unit against the size, a line for each thing that grows; medians of the runs."""
    from matplotlib.figure import Figure

    lines: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if row.growth is not None:
            line = lines.setdefault(row.growth.what, {row.growth.first: row.theirs})
            line[row.growth.size] = row.ours
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for what, costs in lines.items():
        sizes = sorted(costs)
        axes.plot(sizes, [statistics.median(costs[size]) for size in sizes], marker="o", label=what)
    axes.set(xscale="log", yscale="log", xlabel="how many", ylabel="microseconds each", ylim=(1, 1_000))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
