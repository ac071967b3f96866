"""Layers mixed to colours: which range of values is shown, and what several layers give together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fusion.errors import DataError

if TYPE_CHECKING:
    from volumes.drawing.layers import Layer


def mixed(layers: Sequence[Layer]) -> npt.NDArray[np.uint8]:
    """Mix layers as light is mixed and return RGBA.

    Every layer is scaled to its own brightest value. Opacity is that of the brightest layer, a dark colour counting
    less; 0 where all layers are NaN.

    Parameters
    ----------
    layers : sequence of Layer
        Of one shape.

    Returns
    -------
    array of uint8
        The shape of a layer and four more values: red, green, blue, opacity.
    """
    from matplotlib.colors import to_rgb

    # Colours combine by 1 - (1 - a)(1 - b), the "screen" of graphics: commutative, and never above 1. A plain sum
    # clips where three components meet, and a mean darkens where one of them is zero.
    shape = layers[0].values.shape
    dark = np.ones((*shape, 3), dtype=np.float32)
    strongest = np.zeros(shape, dtype=np.float32)
    for layer in layers:
        share = np.clip((layer.values.values - layer.bottom) / (layer.top - layer.bottom), 0.0, 1.0)
        share = np.nan_to_num(share).astype(np.float32)
        color = np.asarray(to_rgb(layer.color), dtype=np.float32)
        dark *= 1.0 - share[..., None] * color
        np.maximum(strongest, share * color.max(), out=strongest)
    light = np.concatenate([1.0 - dark, strongest[..., None]], axis=-1)
    return np.round(255 * light).astype(np.uint8)


def covered(layers: Sequence[Layer]) -> npt.NDArray[np.bool_]:
    """Return where at least one layer has a value."""
    lost = np.ones(layers[0].values.shape, dtype=bool)
    for layer in layers:
        lost &= np.isnan(layer.values.values)
    return ~lost


def focus(layers: Sequence[Layer]) -> dict[str, int]:
    """Return the middle index along each dim of what the coloured layers cover."""
    seen = covered([layer for layer in layers if layer.role != "behind"] or layers)
    dims = [str(dim) for dim in layers[0].values.dims]
    if not seen.any():
        return {}
    return {dim: int(np.median(index)) for dim, index in zip(dims, np.nonzero(seen), strict=True)}


def window(values: npt.NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Return two percentiles of the finite values; around a constant, limits that show it as a medium grey.

    Raises
    ------
    DataError
        If no value is finite.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise DataError("no finite value to draw; the array is empty or lies outside the other dataset")
    bottom, top = (float(v) for v in np.percentile(finite, [low, high]))
    if top <= bottom:  # rare bright pixels lie beyond both percentiles
        bottom, top = float(finite.min()), float(finite.max())
    half = (abs(bottom) or 1.0) / 2
    return (bottom, top) if top > bottom else (bottom - half, bottom + half)
