"""How long to iterate: views that are left out are predicted, and the rounds that predict them best are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.progress import counted
from volumes.tomography.projector import Projector

Array = npt.NDArray[Any]
Solver = Callable[[Projector, Array], Iterator[Array]]
_MOST: Final = 200
_PATIENCE: Final = 10


class Stop(NamedTuple):
    """When a solver stops.

    Attributes
    ----------
    rounds : int
        After which the views that were left out were predicted best.
    errors : tuple of float
        Of the prediction after each round, as a share of the norm of these views.
    """

    rounds: int
    errors: tuple[float, ...]


def left_out(count: int, share: float) -> Array:
    """Return which of `count` views are left out: evenly spread, and never the outermost, which bound the wedge.

    Examples
    --------
    >>> left_out(9, 0.25).nonzero()[0]
    array([2, 6])
    """
    every = max(round(1.0 / share), 2)
    chosen = np.zeros(count, dtype=bool)
    chosen[every // 2 : count - 1 : every] = True
    return chosen


# Prediction of data that took no part in the fit, as in cross-validation: its error falls as long as the rounds
# fit the specimen and rises when they fit noise and the gaps between the views.
def stop_by(solver: Solver, projector: Projector, views: Array, chosen: Array) -> Stop:
    """Run a solver without the `chosen` views until it predicts them no better for ten rounds."""
    kept, judge = projector.subset(~chosen), projector.subset(chosen)
    expected = views[chosen]
    scale = float(np.linalg.norm(expected))
    errors: list[float] = []
    rounds = islice(solver(kept, views[~chosen]), _MOST)
    for planes in counted(rounds, "stop by views left out", "rounds", _MOST):
        errors.append(float(np.linalg.norm(judge.forward(planes) - expected)) / max(scale, 1e-30))
        if len(errors) - int(np.argmin(errors)) > _PATIENCE:
            break
    return Stop(int(np.argmin(errors)) + 1, tuple(errors))
