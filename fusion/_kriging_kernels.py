"""Where points land under an affine map plus a Gaussian process, and where they come from: bare arrays in and out.

A map is a tuple: centre (d), drift (d + 1, d) about it, landmarks (n, d), lengths (l), and weights (l, n, d).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion._kernels import kernel, part

Array = NDArray[Any]
Number = Any
Map = tuple[Array, Array, Array, Array, Array]

_ROOT5 = 5.0**0.5


# g(x) = drift + sum of w_i k(|x - x_i|), k = (1 + s + s²/3) exp(-s) and k' = -5/(3 l²) (1 + s) exp(-s) (x - x_i) with
# s = √5 |x - x_i| / l: value and slope share the exponential, which is nearly all of the work.
@part
def _evaluate(x: Array, bend: Map, value: Array, slope: Array) -> None:
    """Write the value (d) and the slope (d, d), rows of the image, at a point (d)."""
    centre, drift, landmarks, lengths, weights = bend
    dim = x.size
    for a in range(dim):
        value[a] = drift[dim, a]
        for b in range(dim):
            value[a] += (x[b] - centre[b]) * drift[b, a]
            slope[a, b] = drift[b, a]
    for i in range(landmarks.shape[0]):
        square = 0.0
        for b in range(dim):
            square += (x[b] - landmarks[i, b]) ** 2
        apart = np.sqrt(square)
        for k in range(lengths.size):
            scaled = _ROOT5 * apart / lengths[k]
            decay = np.exp(-scaled)
            correlation = (1.0 + scaled + scaled * scaled / 3.0) * decay
            factor = -5.0 / (3.0 * lengths[k] ** 2) * (1.0 + scaled) * decay
            for a in range(dim):
                value[a] += correlation * weights[k, i, a]
                for b in range(dim):
                    slope[a, b] += factor * weights[k, i, a] * (x[b] - landmarks[i, b])


@part
def _solve(slope: Array, miss: Array, step: Array) -> None:
    """Write slope⁻¹ miss by Cramer's rule, in two or three dimensions; not finite where there is none."""
    if miss.size == 2:
        size = slope[0, 0] * slope[1, 1] - slope[0, 1] * slope[1, 0]
        step[0] = (miss[0] * slope[1, 1] - slope[0, 1] * miss[1]) / size
        step[1] = (slope[0, 0] * miss[1] - miss[0] * slope[1, 0]) / size
        return
    size = 0.0
    step[:] = 0.0
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            cofactor = slope[j, b] * slope[k, c] - slope[j, c] * slope[k, b]
            step[a] += cofactor * miss[i]
            if a == 0:
                size += slope[i, 0] * cofactor
    step /= size


@kernel
def evaluate(points: Array, bend: Map, values: Array, slopes: Array) -> None:
    """Write where points (m, d) land (m, d), and the slopes (m, d, d) there."""
    for n in range(points.shape[0]):
        _evaluate(points[n], bend, values[n], slopes[n])


# Newton's steps x - J⁻¹ (g(x) - y); each is shortened while it brings the image no nearer, so that a start where the
# map bends strongly does not throw it off.
@kernel
def find_sources(points: Array, bend: Map, limit: Number, steps: Number, found: Array, far: Array) -> None:
    """Move each `found` (m, d), a start, to where points (m, d) come from, and write how far its image is off."""
    dim = points.shape[1]
    value, step, trial = np.empty(dim), np.empty(dim), np.empty(dim)
    slope, tried = np.empty((dim, dim)), np.empty((dim, dim))
    for n in range(points.shape[0]):
        _evaluate(found[n], bend, value, slope)
        value -= points[n]
        far[n] = np.sqrt((value**2).sum())
        for _ in range(steps):
            if not far[n] > limit:
                break
            _solve(slope, value, step)
            before = far[n]
            for shrink in (1.0, 0.5, 0.25, 0.1):
                trial[:] = found[n] - shrink * step
                _evaluate(trial, bend, value, tried)
                value -= points[n]
                off = np.sqrt((value**2).sum())
                if off < before:
                    found[n], far[n] = trial, off
                    slope[:] = tried
                    break
            if not far[n] < before:
                break
