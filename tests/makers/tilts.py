"""Tilt series of volumes with known densities."""

import numpy as np

from fusion.model import Axis, dataset
from volumes.tomography.projector import Projector


def two_rods(size, slices):
    """Return planes (z, across, slice) of a hollow rod and a small dense one beside it, their edges soft by a voxel."""
    z, u, s = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (size, size, slices)), indexing="ij")
    unit = size / 32

    def rod(at_z, at_u, radius):
        return np.clip(radius * unit + 0.5 - np.hypot(z - at_z * unit, u - at_u * unit), 0.0, 1.0)

    taper = 1.0 - 0.3 * s / slices
    return (rod(-1.0, 0.0, 9.0) * taper - rod(1.0, 2.0, 4.0) + 2.0 * rod(5.0, -9.5, 2.0)).astype(np.float32)


def tilt_series(planes, angles, axis="x", *, step=0.5, noise=0.0, seed=0, background=0.0):
    """Return the labelled views of planes (z, across, slice) that turn about an axis of the image."""
    signed = np.asarray(angles, float) * (1.0 if axis == "x" else -1.0)
    views = Projector(signed, planes.shape[1]).forward(np.ascontiguousarray(planes, np.float32)) * step + background
    views = views + noise * np.random.default_rng(seed).normal(size=views.shape)
    dims = ("tilt", "y", "x") if axis == "x" else ("tilt", "x", "y")
    axes = {"y": Axis("um", step), "x": Axis("um", step), "tilt": Axis("degree", values=np.asarray(angles, float))}
    return dataset({"haadf": (dims, views.astype(np.float32))}, axes, name="rods", cell_methods="mean")
