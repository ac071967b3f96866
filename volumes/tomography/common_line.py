"""A first alignment: what all views have in common along the tilt axis, and their centres of mass across it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from volumes.tomography.moving import Motion, moved

Array = npt.NDArray[Any]
_WIDEST: Final = 12.0
_STEP: Final = 0.5


class Minimum(NamedTuple):
    """A direction of the tilt axis that explains the views better than its neighbours.

    Attributes
    ----------
    rotation : float
        In degrees.
    cost : float
        Share of the variance of the common lines that differs from view to view.
    """

    rotation: float
    cost: float


# A view summed across the tilt axis is the same at every angle but for its position along the axis, since all that
# is summed turns about it: the common line. Turned wrongly by d, a point at u is summed into u sin d instead, which
# moves with the tilt. The direction is where the lines, each moved to their mean, differ least (as in the search for
# common lines by Liu, Penczek, McEwen and Frank, Ultramicroscopy 58, 393 (1995)).
def directions(views: Array) -> list[Minimum]:
    """Return all directions of the tilt axis within 12 degrees that are better than their neighbours, best first."""
    tried = np.arange(-_WIDEST, _WIDEST + _STEP / 2, _STEP)
    costs = np.array([_cost(common_lines(views, rotation)) for rotation in tried])
    found = []
    for k in range(1, tried.size - 1):
        if costs[k] <= min(costs[k - 1], costs[k + 1]):
            bend = costs[k - 1] - 2 * costs[k] + costs[k + 1]
            part = 0.5 * (costs[k - 1] - costs[k + 1]) / bend if bend > 0 else 0.0
            found.append(Minimum(float(tried[k] + part * _STEP), float(costs[k])))
    return sorted(found, key=lambda minimum: minimum.cost)


def common_lines(views: Array, rotation: float) -> Array:
    """Return the sums (view, along) across an axis, tapered at the ends of the field."""
    turned = moved(views, Motion(rotation, np.zeros((len(views), 2))), outside=0.0)
    lines = turned.sum(axis=1)
    window = np.sin(np.pi * (np.arange(lines.shape[1]) + 0.5) / lines.shape[1]) ** 2
    centred: Array = (lines - lines.mean(axis=1, keepdims=True)) * window
    return centred


def _cost(lines: Array) -> float:
    placed = _shifted(lines, -positions(lines))
    return float(((placed - placed.mean(0)) ** 2).sum() / (placed**2).sum())


def positions(lines: Array, rounds: int = 4) -> Array:
    """Return the position of each line against their mean in pixels, by cross-correlation; their mean is 0."""
    found = np.zeros(len(lines))
    for _ in range(rounds):
        mean = _shifted(lines, -found).mean(0)
        found = np.array([_lag(line, mean) for line in lines])
        found -= found.mean()
    return found


def _lag(line: Array, mean: Array) -> float:
    size = line.size
    product = np.fft.irfft(np.fft.rfft(line, 2 * size) * np.fft.rfft(mean, 2 * size).conj())
    k = int(product.argmax())
    left, top, right = product[k - 1], product[k], product[(k + 1) % product.size]
    lag = k + 0.5 * (left - right) / min(left - 2 * top + right, -1e-30)
    return float(lag - 2 * size if lag > size else lag)


def _shifted(lines: Array, shifts: Array) -> Array:
    f = np.fft.rfftfreq(2 * lines.shape[1])
    spectrum = np.fft.rfft(lines, 2 * lines.shape[1], axis=1) * np.exp(-2j * np.pi * f * shifts[:, None])
    moved_lines: Array = np.fft.irfft(spectrum, axis=1)[:, : lines.shape[1]]
    return moved_lines


# The centre of mass (z, u) of the specimen is seen at u cos t - z sin t: what is left of the centres of the views after
# the best u and z are taken off is how the views are shifted. It needs the specimen to end within the field.
def first_motion(views: Array, angles: Array, rotation: float) -> Motion:
    """Return the motion with the given direction: common lines along the axis, centres of mass across it."""
    along = positions(common_lines(views, rotation))
    turned = moved(views, Motion(rotation, np.zeros((len(views), 2))), outside=0.0)
    weight = turned.sum(axis=2)
    weight = np.maximum(weight - np.quantile(weight, 0.05, axis=1, keepdims=True), 0.0)
    middle = (views.shape[1] - 1) / 2
    centres = (weight * (np.arange(views.shape[1]) - middle)).sum(1) / np.maximum(weight.sum(1), 1e-30)
    return Motion(rotation, without_gauge(np.stack([centres, along], axis=1), angles))


def gauge(angles: Array) -> Array:
    """Return the shifts (view, 2) across the axis that merely move the specimen."""
    return np.stack([np.cos(np.deg2rad(angles)), -np.sin(np.deg2rad(angles))], axis=1)


def without_gauge(shifts: Array, angles: Array) -> Array:
    """Return shifts less those by which the specimen as a whole could have been moved instead."""
    free = gauge(angles)
    across = shifts[:, 0] - free @ np.linalg.lstsq(free, shifts[:, 0], rcond=None)[0]
    return np.stack([across, shifts[:, 1] - shifts[:, 1].mean()], axis=1)
