"""The projector of a tilt series, forward and adjoint, for all slices along the tilt axis at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Projector:
    """Parallel projections of planes (z, across, slice) to views (view, across, slice), and the adjoint.

    A voxel at (z, u), counted from the centre, is seen at u cos t - z sin t. Both steps use one set of weights, the
    exact shares of a square voxel in the pixels of the detector, so that they are a matched pair: <A x, y> = <x, Aᵀ y>.

    Parameters
    ----------
    angles : (views,) array
        Tilt t of each view in degrees.
    size : int
        Pixels across the tilt axis; the planes are squares of this side.
    seen : (views, size, slices) array, optional
        1 where a view has a value, 0 where it has none; all have one if left out.
    """

    angles: Array
    size: int
    seen: Array | None = None

    def forward(self, planes: Array) -> Array:
        """Return the views of planes, in units of the side of a voxel."""
        from volumes.tomography._kernels import forward

        views = np.empty((self.angles.size, self.size, planes.shape[2]), np.float32)
        forward(planes, np.cos(np.deg2rad(self.angles)), np.sin(np.deg2rad(self.angles)), views)
        return views if self.seen is None else views * self.seen

    def adjoint(self, views: Array) -> Array:
        """Return views put back along their beams."""
        from volumes.tomography._kernels import backward

        planes = np.empty((self.size, self.size, views.shape[2]), np.float32)
        kept = views if self.seen is None else views * self.seen
        backward(kept, np.cos(np.deg2rad(self.angles)), np.sin(np.deg2rad(self.angles)), planes)
        return planes

    def subset(self, views: Array | slice) -> Projector:
        """Return the projector of some of the views."""
        return Projector(self.angles[views], self.size, None if self.seen is None else self.seen[views])

    @cached_property
    def norm(self) -> float:
        """Largest eigenvalue of Aᵀ A, by power iteration; what is not seen can only lower it."""
        bare = Projector(self.angles, self.size)
        vector = np.ones((self.size, self.size, 1), np.float32)
        value = 1.0
        for _ in range(12):
            vector = bare.adjoint(bare.forward(vector / np.float32(value)))
            value = float(np.linalg.norm(vector))
        # The iteration comes from below; 2 % more keep the step of a gradient descent on the safe side.
        return 1.02 * value
