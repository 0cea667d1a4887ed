"""Pictures of what the examples answer: each draws the outputs of one into a pair of axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from os import PathLike
from typing import Any, TypeAlias

Axes: TypeAlias = Any
"""Matplotlib's, which the checks do without."""

Outputs = Mapping[str, Mapping[int, list[Any]]]
BLUE, ORANGE, GREY = "#3b6ea5", "#c8742b", "#8a97a5"
TRUE_COEFFICIENTS = (1.5, -2.0, 0.5, 0.0, 1.0, -0.5, 0.25, 2.0, -0.7)
SENSORS_SHOWN = (0, 1, 2)


def save(draw: Any, outputs: Outputs, file: PathLike[str]) -> None:
    """Draws into a small SVG, the same for the same outputs."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "limnad", "font.size": 9}):
        figure = Figure(figsize=(6, 2.4), layout="constrained")
        axes = figure.subplots()
        draw(axes, outputs)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(file, metadata={"Date": None}, transparent=False)


def exposures(axes: Axes, outputs: Outputs) -> None:
    """How often a hashtag was first used after so many exposures; the newest totals."""
    told = {row["exposures"]: row["uses"] for _, rows in sorted(outputs["how often"].items()) for row in rows}
    axes.bar(list(told), list(told.values()), width=1.0, color=BLUE)
    axes.set(xlabel="exposures before the first use", ylabel="first uses", yscale="log")


def states(changes: Mapping[int, list[Any]], key: str) -> Iterator[dict[Any, Any]]:
    """A collection at each epoch, by one of its columns."""
    state: dict[Any, Any] = {}
    for _, rows in sorted(changes.items()):
        for row in sorted(rows, key=lambda row: row["diff"]):
            if row["diff"] < 0:
                del state[row[key]]
            else:
                state[row[key]] = row
        yield dict(state)


def cycles(axes: Axes, outputs: Outputs) -> None:
    """The sizes of the strongly connected components, stacked, after each edge."""
    sizes = [
        sorted((row["nodes"] for row in state.values()), reverse=True)
        for state in states(outputs["components"], "label")
    ]
    layers = [[size[n] if n < len(size) else 0 for size in sizes] for n in range(max(map(len, sizes)))]
    axes.stackplot(range(len(sizes)), *layers, step="post", edgecolor="white", colors=[BLUE, ORANGE, GREY])
    axes.set(xlabel="epoch: an edge comes or goes", ylabel="nodes on cycles")


def components(axes: Axes, outputs: Outputs) -> None:
    """How many components there are, and how large the largest is, after each link."""
    found = list(states(outputs["components"], "label"))
    axes.step(range(len(found)), [len(state) for state in found], where="post", color=BLUE, label="components")
    largest = [max(row["nodes"] for row in state.values()) for state in found]
    axes.step(range(len(found)), largest, where="post", color=ORANGE, label="nodes in the largest")
    axes.set(xlabel="epoch: a link comes or goes", ylim=(0, None))
    axes.legend(frameon=False)


def sensors(axes: Axes, outputs: Outputs) -> None:
    """The means of some sensors by minute; gaps are where they sleep."""
    rows = [row for _, rows in sorted(outputs["minutes"].items()) for row in rows]
    start = min(datetime.fromisoformat(row["window_start"]) for row in rows)
    for sensor, colour in zip(SENSORS_SHOWN, (BLUE, ORANGE, GREY), strict=True):
        means = {
            (datetime.fromisoformat(row["window_start"]) - start).total_seconds() / 60: row["mean"]
            for row in rows
            if row["sensor"] == sensor
        }
        minutes = range(int(max(means)) + 1)
        values = [means.get(minute, float("nan")) for minute in minutes]
        axes.plot(minutes, values, marker=".", color=colour, label=f"sensor {sensor}")
    late = sum(map(len, outputs["too late"].values()))
    axes.set(xlabel="minute of event time", ylabel="mean", title=f"{late} readings came too late for their minute")
    axes.legend(frameon=False, ncols=3)


def collatz(axes: Axes, outputs: Outputs) -> None:
    """Steps against numbers."""
    walks = sorted(tuple(row) for rows in outputs["steps"].values() for row in rows)
    axes.scatter(*zip(*walks, strict=True), s=2, color=BLUE, linewidths=0, rasterized=True)
    axes.set(xlabel="number", ylabel="steps to 1")


def distances(axes: Axes, outputs: Outputs) -> None:
    """Nodes at each distance."""
    rows = outputs["nodes at each distance"][0]
    axes.bar([row["distance"] for row in rows], [row["nodes"] for row in rows], color=BLUE)
    axes.set(xlabel="edges from the root", ylabel="nodes")


def sizes(axes: Axes, outputs: Outputs) -> None:
    """How many components have which size."""
    rows = outputs["sizes"][0]
    axes.scatter([row["size"] for row in rows], [row["components"] for row in rows], s=12, color=BLUE)
    axes.set(xlabel="nodes in a component", ylabel="components", xscale="log", yscale="log")


def coefficients(axes: Axes, outputs: Outputs) -> None:
    """What was found beside what the cells were made with."""
    (fit,) = outputs["coefficients"][0]
    places = range(len(fit))
    axes.bar(places, list(fit.values()), color=BLUE, label="found")
    axes.scatter(places, TRUE_COEFFICIENTS, color=ORANGE, marker="_", s=200, zorder=3, label="made with")
    axes.set_xticks(places, list(fit))
    axes.axhline(0, color="black", linewidth=0.5)
    axes.legend(frameon=False)


def takings(axes: Axes, outputs: Outputs) -> None:
    """Each shop's takings hour by hour."""
    totals: Counter[int] = Counter()
    lines: dict[int, list[float]] = {}
    for _, rows in sorted(outputs["takings"].items()):
        totals.update({row["shop"]: row["cents"] / 100 - totals[row["shop"]] for row in rows})
        for shop in range(10):
            lines.setdefault(shop, []).append(totals[shop])
    for values in lines.values():
        axes.plot(range(len(values)), values, color=BLUE, linewidth=0.8)
    axes.set(xlabel="hour", ylabel="takings of each of ten shops")
