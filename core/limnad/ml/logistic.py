"""Logistic regression by all-reduce."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part, Supersteps, all_gather, all_reduce, run_supersteps
from limnad.errors import JobError
from limnad.ml.descent import Descent, Point, batch_gradient, lbfgs
from limnad.ml.matrices import check_features, matrix
from limnad.stream import FrameStream

Matrix = npt.NDArray[np.float64]


class Method(Enum):
    """How the loss is minimised: by steepest descent, or by L-BFGS, which takes far fewer steps."""

    BATCH_GRADIENT = "batch gradient"
    LBFGS = "lbfgs"


def logistic_regression(
    rows: FrameStream,
    features: Sequence[str],
    label: str,
    *,
    regularisation: float = 1.0,
    method: Method = Method.LBFGS,
    tolerance: float = 1e-4,
    max_steps: int = 100,
    name: str = "logistic regression",
) -> FrameStream:
    """Fits a logistic regression to each epoch's rows: one row of coefficients.

    Minimises the logistic loss over all rows plus ``regularisation / 2`` times the squared norm of the coefficients;
    the intercept is not penalised. That is scikit-learn's ``LogisticRegression(C=1 / regularisation)``. Each step costs
    one all-reduce of as many numbers as there are features.

    Args:
        rows: The rows, spread over the workers as they are.
        features: Numeric columns without nulls.
        label: A column of zeros and ones, or a Boolean one.
        regularisation: The strength of the penalty, at least 0.
        method: How.
        tolerance: It ends when no component of the gradient, divided by the number of rows, is larger.
        max_steps: Or after so many steps.
        name: Of the stage.

    Returns:
        Columns: the features' names, and ``intercept``.

    Raises:
        GraphError: A column is not there or not numeric.
        JobError: While the job runs: a null, or a label that is neither 0 nor 1.
    """
    names = list(features)
    check_features("logistic_regression()", rows.schema, [*names, label])
    if regularisation < 0:
        raise JobError(f"logistic_regression() needs a regularisation of at least 0, not {regularisation}")
    descend = lbfgs if method is Method.LBFGS else batch_gradient
    schema = dict.fromkeys([*names, "intercept"], pl.Float64)

    def program(part: Part) -> Supersteps[pl.DataFrame | None]:
        examples = matrix(part, 0, names)
        labels = _labels(part, label)
        start = np.zeros(len(names) + 1)
        if part.saved is not None:
            start = part.saved["point"]
        point = yield from _fitted(part, examples, labels, regularisation, descend(start, tolerance, max_steps))
        return pl.DataFrame([point.tolist()], schema=schema, orient="row") if part.worker == 0 else None

    fitted: FrameStream = run_supersteps(program, rows, name=name, schema=schema)
    return fitted


def _labels(part: Part, label: str) -> Matrix:
    labels = matrix(part, 0, [label])[:, 0]
    if len(wrong := labels[(labels != 0) & (labels != 1)]):
        raise JobError(f"the label {label!r} of logistic_regression() is 0 or 1, but a row has {wrong[0]}")
    return labels


def _fitted(part: Part, examples: Matrix, labels: Matrix, regularisation: float, descent: Descent) -> Supersteps[Point]:
    """Evaluates where the descent asks, on all workers' rows. All workers take the same steps."""
    total = sum((yield from all_gather(part, len(labels))))
    signs = 2 * labels - 1
    point = next(descent)
    while True:
        loss, gradient = _loss(point, examples, signs)
        summed = yield from all_reduce(part, np.append(gradient, loss))
        part.save(point=point)
        penalised = np.append(point[:-1], 0.0)
        value = (summed[-1] + regularisation / 2 * float(penalised @ penalised)) / total
        try:
            point = descent.send((float(value), (summed[:-1] + regularisation * penalised) / total))
        except StopIteration as end:
            answer: Point = end.value
            return answer


def _loss(point: Point, examples: Matrix, signs: Matrix) -> tuple[float, Any]:
    """The loss of this worker's rows and its gradient, the intercept's last.

    >>> _loss(np.zeros(2), np.array([[1.0]]), np.array([1.0]))
    (0.6931471805599453, array([-0.5, -0.5]))
    """
    margins = examples @ point[:-1]
    margins += point[-1]
    margins *= signs
    odds = np.exp(-np.abs(margins))  # Never overflows.
    loss = float(np.log1p(odds).sum() - np.minimum(margins, 0).sum())
    wrongness = np.where(margins >= 0, odds, 1.0) / (1 + odds) * -signs
    return loss, np.append(wrongness @ examples, wrongness.sum())
