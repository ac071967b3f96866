"""An image with spheres in it, and what is fitted of them: bare arrays in, bare arrays out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volumes.points.sphere_profile import Table

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """An image and how spheres look in it.

    Parameters
    ----------
    image : array, (z, y, x)
    weight : array, (z, y, x)
        One over the variance of the noise; 0 where a voxel does not count.
    step : array, (3,)
        Of the voxels, in um.
    table : Table
    nodes : array, (3,)
        Distance of the nodes of the background along each axis, in voxels.
    """

    image: Array
    weight: Array
    step: Array
    table: Table
    nodes: Array

    @property
    def lattice(self) -> tuple[int, int, int]:
        """Return how many nodes the background has along each axis."""
        z, y, x = (int(np.ceil((n - 1) / d)) + 1 for n, d in zip(self.image.shape, self.nodes, strict=True))
        return z, y, x

    def model(self, state: State) -> Array:
        """Return the image that spheres and background make."""
        from volumes.points._sphere_kernels import draw

        image = state.nodes
        for axis, hats in enumerate(self.hats()):
            image = np.moveaxis(np.tensordot(hats, image, axes=(1, axis)), 0, axis)
        image = np.ascontiguousarray(image + state.slices[:, None, None])
        draw(state.spheres, tuple(self.table), self.step, image)
        return image

    def hats(self) -> list[Array]:
        """Return the weights (voxel, node) of the background's nodes along each axis."""
        found = []
        for size, distance, count in zip(self.image.shape, self.nodes, self.lattice, strict=True):
            found.append(np.clip(1.0 - np.abs(np.arange(size)[:, None] / distance - np.arange(count)), 0.0, None))
        return found


@dataclass(frozen=True)
class State:
    """Spheres (n, 5) as z, y, x, brightness, radius in um, and the background.

    It is linear between `nodes` some spheres apart, as uneven light is, and has a level of its own in each slice, as at
    the wall of a cell.
    """

    spheres: Array
    nodes: Array
    slices: Array


@dataclass(frozen=True)
class Freedom:
    """Whether the radii are fitted, and the standard deviation in um with which they scatter about `radius`."""

    radii: bool
    radius: float
    scatter: float
