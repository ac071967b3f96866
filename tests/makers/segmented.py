"""Makers of images with known classes, and of segmentations with known probabilities."""

import numpy as np
import xarray as xr

from fusion.model import Axis, dataset

STEPS = {"z": 0.05, "y": 0.005, "x": 0.007}
CLASSES = {"flag_values": [1, 2], "flag_meanings": "resin cell"}


def image(values, *, steps=STEPS, name="sem", **more):
    """Return an image on a grid of unequal steps in um."""
    dims = ("z", "y", "x")[-values.ndim :]
    return dataset({"image": (dims, values)}, axes(dims, steps), name=name, cell_methods="mean", **more)


def axes(dims, steps=STEPS):
    return {dim: Axis("um", steps[dim], offset=0.1) for dim in dims}


def painted(values, *, steps=STEPS, classes=CLASSES, **more):
    """Return labels on the same grid, 0 where nothing is said."""
    dims = ("z", "y", "x")[-values.ndim :]
    return dataset({"label": (dims, values.astype(np.int32), classes)}, axes(dims, steps), name="painted", **more)


def segmented(share, *, steps=STEPS, calibration="uncalibrated", **more):
    """Return a segmentation in which the second of two classes has these probabilities."""
    dims = ("z", "y", "x")[-share.ndim :]
    both = np.stack([1.0 - share, share], axis=-1)
    flags = {"flag_values": [1, 2, -1], "flag_meanings": "resin cell outside"}
    variables = {
        "label": (dims, np.where(share > 0.5, 2, 1).astype(np.int32), flags),
        "probability": ((*dims, "component"), both, {"calibration": calibration}),
    }
    with_classes = axes(dims, steps) | {"component": ["resin", "cell"]}
    return dataset(variables, with_classes, name="cells", cell_methods="mean", **more)


def two_textures(shape=(3, 60, 80), seed=0):
    """Return an image of which the right half is as bright as the left and more coarsely grained, and the halves."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    coarse = gaussian_filter(noise, (0, 2, 2))
    right = np.zeros(shape, bool)
    right[..., shape[-1] // 2 :] = True
    return np.where(right, coarse / coarse.std(), noise / noise.std()), right


def judge(points: xr.Dataset, truth: np.ndarray, ds: xr.Dataset) -> xr.Dataset:
    """Return points with the label 2 where the truth is true and 1 elsewhere."""
    dims = [dim for dim in ("z", "y", "x") if dim in ds.dims]
    where = {dim: xr.DataArray(points[dim].values, dims="point") for dim in dims}
    known = xr.DataArray(truth, {dim: ds[dim].values for dim in dims}, dims).sel(where, method="nearest")
    return points.assign(label=points["label"].copy(data=np.where(known, 2, 1).astype(np.int32)))
