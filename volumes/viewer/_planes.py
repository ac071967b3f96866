"""Values of a volume as bytes for a page, and back: bare arrays in, bare arrays out."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
STEPS: Final = 254
"""Codes of values run from 1 to 255; 0 says that there is none."""
_ERRORS: Final = 252
_UNKNOWN: Final = 254
_INFINITE: Final = 255
_SAMPLE: Final = 1 << 20


class Coded(NamedTuple):
    """Values as codes, a second plane with their lower bits or None, and what decodes them."""

    high: Bytes
    low: Bytes | None
    bottom: float
    top: float


class CodedErrors(NamedTuple):
    """Standard errors as codes: ``low * ratio ** (code - 1)``; 0 is none, 254 not known, 255 infinite."""

    codes: Bytes
    low: float
    ratio: float


def coded(values: Array, *, exact: bool) -> Coded:
    """Return values with 8 bits, or with 16.

    Parameters
    ----------
    values : array
        NaN where there is none.
    exact : bool
        With a second plane of lower bits.
    """
    # q = 1 + 254 sqrt((a - bottom) / top): counts have noise sqrt(a), and the square root makes the rounding the same
    # share of it at all counts (Anscombe, Biometrika 35, 246, 1948). Linear codes would waste most of their steps on
    # bright voxels and lose dark ones.
    known = np.isfinite(values)
    present = values[known]
    bottom = min(float(present.min(initial=0.0)), 0.0)
    top = float(present.max(initial=bottom)) - bottom or 1.0
    root = STEPS * np.sqrt(np.where(known, (values - bottom) / top, 0.0))
    if not exact:
        return Coded(np.where(known, 1 + np.rint(root), 0).astype(np.uint8), None, bottom, top)
    fine = np.rint(256 * root).astype(np.int64)
    return Coded(
        np.where(known, 1 + fine // 256, 0).astype(np.uint8), (fine % 256).astype(np.uint8), bottom, top
    )  # fmt: skip


def decoded(plane: Coded) -> Array:
    """Return the values that a page computes from the codes."""
    root = plane.high.astype(np.float64) - 1.0
    if plane.low is not None:
        root += plane.low / 256.0
    return np.where(plane.high > 0, plane.bottom + plane.top * (root / STEPS) ** 2, np.nan)


def coded_errors(errors: Array) -> CodedErrors:
    """Return standard errors on a logarithmic scale, whose rounding is the same share of every error."""
    finite = np.isfinite(errors) & (errors > 0)
    high = float(errors[finite].max(initial=0.0)) or 1.0
    low = max(float(errors[finite].min(initial=high)), 1e-6 * high)
    ratio = max((high / low) ** (1.0 / _ERRORS), 1.0 + 1e-9)
    codes = np.zeros(errors.shape, dtype=np.uint8)
    codes[finite] = 1 + np.rint(np.log(np.maximum(errors[finite], low) / low) / np.log(ratio))
    codes[np.isnan(errors)] = _UNKNOWN
    codes[np.isposinf(errors)] = _INFINITE
    return CodedErrors(codes, low, ratio)


def decoded_errors(plane: CodedErrors) -> Array:
    """Return the standard errors that a page computes from the codes."""
    errors = np.where(plane.codes > 0, plane.low * plane.ratio ** (plane.codes.astype(np.float64) - 1.0), 0.0)
    errors[plane.codes == _UNKNOWN] = np.nan
    errors[plane.codes == _INFINITE] = np.inf
    return errors


def coded_brightness(values: Array, low: float, high: float) -> Bytes:
    """Return an image as 0 to 255 between two values."""
    share = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0.0, 1.0)
    return np.rint(255 * share).astype(np.uint8)


def block_means(values: Array, factors: tuple[int, ...]) -> Array:
    """Return the means of blocks, of what is known in each; blocks at the end may be smaller.

    Examples
    --------
    >>> block_means(np.array([1.0, 3.0, np.nan, 5.0, 7.0]), (2,))
    array([2., 5., 7.])
    """
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0.0), known.astype(np.float64)
    for axis, factor in enumerate(factors):
        starts = np.arange(0, values.shape[axis], factor)
        sums, counts = (np.add.reduceat(array, starts, axis=axis) for array in (sums, counts))
    means: Array = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def packed(plane: Bytes) -> tuple[int, str]:
    """Return a plane as text, and the distance at which neighbours were subtracted from each other.

    What varies smoothly has small differences, which compress better; the best of no difference and those along x, y
    and z is judged on a sample. The reader undoes it by a running sum modulo 256.
    """
    flat = np.ascontiguousarray(plane).ravel()
    distances = {0, 1, plane.shape[-1], plane.shape[-1] * plane.shape[-2]}
    candidates = {back: _differences(flat, back) for back in sorted(distances) if back < flat.size}
    best = min(candidates, key=lambda back: len(zlib.compress(candidates[back][:_SAMPLE].tobytes(), 1)))
    return best, b64encode(zlib.compress(candidates[best].tobytes(), 6)).decode()


def _differences(flat: Bytes, back: int) -> Bytes:
    return np.concatenate([flat[:back], flat[back:] - flat[:-back]]) if back else flat
