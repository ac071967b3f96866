"""Reconstruction of planes from their views: each solver gives its estimate after every round, without end.

A round costs one projection and one adjoint. All slices are independent problems that are solved side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from volumes.tomography.projector import Projector

Array = npt.NDArray[Any]
_RESTART: Final = 2
"""Steps of conjugate gradients between two projections onto non-negative values."""
_DUAL_STEPS: Final = 5
_TINY: Final = np.float32(1e-30)


# Minimises |A x - b|² / 2 + L w TV(x) over x >= 0, L the largest eigenvalue of Aᵀ A, by gradient steps of length 1 / L
# with Nesterov's momentum, each followed by the proximal map of the rest (FISTA: Beck and Teboulle, SIAM J. Imaging
# Sci. 2, 183 (2009)). The dual field of the total variation is kept from round to round, so that a few of its steps do.
# Nothing regularises where w = 0 but the number of rounds.
def fista(projector: Projector, views: Array, *, nonnegative: bool = True, threshold: float = 0.0) -> Iterator[Array]:
    """Yield estimates of accelerated gradient descent; `threshold` is the weight w of the total variation."""
    step = np.float32(1.0 / projector.norm)
    old = np.zeros((projector.size, projector.size, views.shape[2]), np.float32)
    ahead, momentum = old, 1.0
    dual = np.zeros((2, *old.shape), np.float32) if threshold else None
    while True:
        moved = ahead + step * projector.adjoint(views - projector.forward(ahead))
        new = _proximal(moved, dual, threshold, nonnegative)
        yield new
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = new + np.float32((momentum - 1.0) / following) * (new - old)
        old, momentum = new, following


def _proximal(moved: Array, dual: Array | None, threshold: float, nonnegative: bool) -> Array:
    from volumes.tomography._kernels import ascend, relax

    if dual is None:
        return np.maximum(moved, np.float32(0.0)) if nonnegative else moved
    out = np.empty_like(moved)
    for _ in range(_DUAL_STEPS):
        relax(moved, dual, threshold, nonnegative, out)
        ascend(out, 1.0 / (8.0 * threshold), dual)
    relax(moved, dual, threshold, nonnegative, out)
    return out


# Conjugate gradients on Aᵀ A x = Aᵀ b (Hestenes and Stiefel 1952). Clipping the result at zero would undo the fit, so
# the non-negative version moves only voxels that are positive or want to be, clips after two steps and starts again
# (Polyak, USSR Comput. Math. Math. Phys. 9, 94 (1969)). It fits noise sooner than `fista` does.
def cgls(projector: Projector, views: Array, *, nonnegative: bool = True) -> Iterator[Array]:
    """Yield estimates of conjugate gradients, with a restart after every second round where they are non-negative."""
    planes: Array = np.zeros((projector.size, projector.size, views.shape[2]), np.float32)
    while True:
        residual = views - projector.forward(planes)
        gradient = projector.adjoint(residual)
        free = ((planes > 0) | (gradient > 0)).astype(np.float32) if nonnegative else np.float32(1.0)
        gradient = gradient * free
        direction, square = gradient, _dot(gradient, gradient)
        steps = 0
        while not nonnegative or steps < _RESTART:
            seen = projector.forward(direction)
            length = square / np.maximum(_dot(seen, seen), _TINY)
            planes, residual = planes + length * direction, residual - length * seen
            gradient = projector.adjoint(residual) * free
            before, square = square, _dot(gradient, gradient)
            direction = gradient + square / np.maximum(before, _TINY) * direction
            steps += 1
            yield np.maximum(planes, np.float32(0.0)) if nonnegative else planes
        planes = np.maximum(planes, np.float32(0.0))


def _dot(a: Array, b: Array) -> Array:
    """Return the scalar product for each slice."""
    product: Array = np.einsum("ijs,ijs->s", a, b)
    return product


# x + C Aᵀ R (b - A x), R and C the inverse sums of the rows and columns of A: the simultaneous iterative reconstruction
# technique (Gilbert, J. Theor. Biol. 36, 105 (1972); Gregor and Benson, IEEE Trans. Med. Imaging 27, 918 (2008)).
def sirt(projector: Projector, views: Array, *, nonnegative: bool = True) -> Iterator[Array]:
    """Yield estimates of the simultaneous iterative reconstruction technique."""
    planes = np.zeros((projector.size, projector.size, views.shape[2]), np.float32)
    rows = _inverse(projector.forward(np.ones_like(planes)))
    columns = _inverse(projector.adjoint(np.ones(views.shape, np.float32)))
    while True:
        planes = planes + columns * projector.adjoint(rows * (views - projector.forward(planes)))
        planes = np.maximum(planes, np.float32(0.0)) if nonnegative else planes
        yield planes


def _inverse(sums: Array) -> Array:
    # A ray that only grazes a corner of the planes would be divided by next to nothing.
    return np.where(sums > 0.01 * sums.max(), 1.0 / np.maximum(sums, _TINY), 0.0).astype(np.float32)


# f(z, u) = ∫ (h * view_t)(u cos t - z sin t) dt: the ramp filter h as the discrete kernel of Kak and Slaney
# ("Principles of Computerized Tomographic Imaging", 1988, eq. 3.61), which keeps the mean, under a Hann window. Every
# view counts for the angle halfway to its neighbours, so that uneven series are weighted as they should be.
def filtered_back_projection(projector: Projector, views: Array) -> Array:
    """Return the filtered back-projection."""
    size = projector.size
    length = 2 * size
    lags = np.arange(length)
    lags = np.minimum(lags, length - lags)
    kernel = np.where(lags % 2 == 1, -1.0 / np.maximum(np.pi * lags, 1.0) ** 2, 0.0)
    kernel[0] = 0.25
    window = 0.5 + 0.5 * np.cos(2.0 * np.pi * np.fft.rfftfreq(length))
    response = np.fft.rfft(kernel).real * window
    filtered = np.fft.irfft(np.fft.rfft(views, length, axis=1) * response[:, None], length, axis=1)[:, :size]
    angle = np.abs(np.gradient(np.deg2rad(projector.angles)))
    return projector.adjoint((filtered * angle[:, None, None]).astype(np.float32))
