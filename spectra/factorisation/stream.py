"""A map that is dense and larger than memory: read block by block, for as much as fits of what a matrix can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import spatial_dims
from fusion.progress import counted
from spectra.factorisation.sparse import Array
from spectra.factorisation.weighting import Weights

MOST_VALUES: Final = 1 << 27
"""Values of a lazy map, 1 GiB as float64, beyond which it is not gathered if it is dense."""
_BLOCK_VALUES: Final = 1 << 22


class Survey(NamedTuple):
    """What is learned from one reading of a map: sums, products of channels, and how many pixels are not finite."""

    gram: Array
    pixel_sums: Array
    channel_sums: Array
    pixel_any: npt.NDArray[np.bool_]
    lowest: float
    broken: int


@dataclass(frozen=True)
class Streamed:
    """A lazy map as live pixels by live channels, divided by the roots of the weights as it is read.

    Parameters
    ----------
    rows : dask array, (pixel, channel)
        In blocks of whole spectra.
    by_pixel, by_channel : array
        What live rows and columns are divided by.
    pixels, channels : array of bool
        Which are live.
    gram : array, (channel, channel)
        The product of the divided matrix with itself.
    """

    rows: Any
    by_pixel: Array
    by_channel: Array
    pixels: npt.NDArray[np.bool_]
    channels: npt.NDArray[np.bool_]
    gram: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Live pixels and live channels."""
        return self.by_pixel.size, self.by_channel.size

    def __matmul__(self, right: Array) -> Array:
        """Multiply by (channel, k)."""
        return np.concatenate([block @ right for block in self._blocks()])

    def transposed_times(self, left: Array) -> Array:
        """Return the transpose times (pixel, k)."""
        total, start = np.zeros((self.shape[1], left.shape[1])), 0
        for block in self._blocks():
            total += block.T @ left[start : start + len(block)]
            start += len(block)
        return total

    def spectra(self, numbers: npt.NDArray[np.int64]) -> Array:
        """Return a few rows."""
        rows = np.flatnonzero(self.pixels)[numbers]
        values = np.stack([np.asarray(self.rows[row]) for row in rows]).astype(np.float64)
        return np.asarray(values[:, self.channels] / self.by_channel / self.by_pixel[numbers][:, None])

    def _blocks(self) -> Iterator[Array]:
        start = 0
        for begin, block in _read(self.rows):
            live = block[self.pixels[begin : begin + len(block)]][:, self.channels] / self.by_channel
            live /= self.by_pixel[start : start + len(live)][:, None]
            start += len(live)
            yield live


def rows_of(array: xr.DataArray, signal: str) -> Any:
    """Return a lazy map as a lazy matrix, pixels by channels, in blocks of whole spectra."""
    spatial = spatial_dims(array)
    channels = array.sizes[signal]
    # blocks of whole lines of pixels, so that no reshape has to merge what lies apart
    lines = max(1, _BLOCK_VALUES // max(1, channels * array.sizes[spatial[-1]]))
    chunks = dict.fromkeys(spatial[:-2], 1) | dict.fromkeys(spatial[-2:-1], lines) | {spatial[-1]: -1, signal: -1}
    lazy = array.transpose(*spatial, signal).chunk(chunks).data
    return lazy.reshape(-1, channels).rechunk((max(1, _BLOCK_VALUES // channels), channels))


# The Gram matrix of the channels is all that singular vectors need, and adds up block by block. The weights of pixels
# must go into it while their block is at hand; those of channels, known only at the end, can be divided out then.
def survey(rows: Any, weights: Weights) -> Survey:
    """Read a map once; the Gram matrix is that of pixels divided by their weights, channels are left as they are."""
    pixels, channels = rows.shape
    gram, pixel_sums, pixel_any = np.zeros((channels, channels)), np.zeros(pixels), np.zeros(pixels, bool)
    channel_sums, lowest, broken = np.zeros(channels), np.inf, 0
    for begin, block in _read(rows):
        here = slice(begin, begin + len(block))
        broken += int((~np.isfinite(block).all(axis=1)).sum())
        lowest = min(lowest, float(block.min()))
        pixel_sums[here], pixel_any[here] = block.sum(axis=1), block.any(axis=1)
        channel_sums += block.sum(axis=0)
        block /= weights.by_pixel(np.where(pixel_sums[here] > 0, pixel_sums[here], 1.0))[:, None]
        gram += block.T @ block
    return Survey(gram, pixel_sums, channel_sums, pixel_any, lowest, broken)


def _read(rows: Any) -> Iterator[tuple[int, Array]]:
    """Yield the blocks of a lazy matrix one after the other, each a copy of its own, with its first row."""
    begin = 0
    for block in counted(list(rows.blocks), "read the map", "blocks"):
        yield begin, np.array(block.compute(), dtype=np.float64)
        begin += len(block)
