"""Minimisers of smooth convex functions, sans-IO: they yield points and are given the value and gradient there.

Whoever evaluates may do so on many workers: as long as all are given the same numbers, all take the same steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Point: TypeAlias = npt.NDArray[np.float64]
Descent: TypeAlias = Generator[Point, tuple[float, Point], Point]
"""Yields where to evaluate; is given ``(value, gradient)``; returns the minimum found."""

ENOUGH = 1e-4
"""Of the decrease that the gradient promises, the part that a step must bring (Armijo)."""

HISTORY = 10
HALVINGS = 40


def batch_gradient(start: Point, tolerance: float, max_steps: int) -> Descent:
    """Steepest descent: each step twice as long as the last, halved until it brings enough."""
    point, length = start, 1.0
    value, gradient = yield point
    for _ in range(max_steps):
        if _flat(gradient, tolerance):
            break
        point, value, gradient, length = yield from _search(point, value, gradient, -gradient, 2 * length)
        if not length:
            break
    return point


def lbfgs(start: Point, tolerance: float, max_steps: int) -> Descent:
    """Limited-memory BFGS (Nocedal and Wright, algorithm 7.5), with a search by halving.

    A pair of differences whose curvature is not positive is left out: then the approximation stays positive definite.
    """
    point = start
    value, gradient = yield point
    pairs: deque[tuple[Point, Point, float]] = deque(maxlen=HISTORY)
    for _ in range(max_steps):
        if _flat(gradient, tolerance):
            break
        direction = -_scaled(gradient, pairs)
        first = 1.0 if pairs else min(1.0, 1.0 / float(np.abs(gradient).sum()))
        before, slope = point, gradient
        point, value, gradient, length = yield from _search(point, value, gradient, direction, first)
        if not length:
            break
        moved, turned = point - before, gradient - slope
        curvature = float(moved @ turned)
        if curvature > np.finfo(float).eps * float(turned @ turned):
            pairs.append((moved, turned, curvature))
    return point


def _flat(gradient: Point, tolerance: float) -> bool:
    return bool(np.max(np.abs(gradient), initial=0.0) <= tolerance)


def _search(
    point: Point, value: float, gradient: Point, direction: Point, length: float
) -> Generator[Point, tuple[float, Point], tuple[Point, float, Point, float]]:
    """The first of ``length, length / 2, ...`` that brings enough; length 0 if none does, which rounding causes."""
    promised = float(gradient @ direction)
    for _ in range(HALVINGS):
        there = point + length * direction
        value_there, gradient_there = yield there
        if value_there <= value + ENOUGH * length * promised:
            return there, value_there, gradient_there, length
        length /= 2
    return point, value, gradient, 0.0


def _scaled(gradient: Point, pairs: Iterable[tuple[Point, Point, float]]) -> Point:
    """The inverse Hessian, as the pairs know it, times the gradient (the two-loop recursion)."""
    kept = list(pairs)
    result = gradient.copy()
    shares = []
    for moved, turned, curvature in reversed(kept):
        share = float(moved @ result) / curvature
        result -= share * turned
        shares.append(share)
    if kept:
        _, turned, curvature = kept[-1]
        result *= curvature / float(turned @ turned)
    for (moved, turned, curvature), share in zip(kept, reversed(shares), strict=True):
        result += (share - float(turned @ result) / curvature) * moved
    return result
