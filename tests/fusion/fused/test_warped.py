"""Fused maps through warps: values, and the error of a position that only the landmarks vouch for."""

import numpy as np
import xarray as xr

import fusion
from fusion import Axis, Warp


def waves(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.asarray(50 + 8 * np.sin(0.7 * y) + 5 * np.cos(0.5 * x))


def decomposed(error: float | None = None) -> xr.Dataset:
    y, x = np.meshgrid(np.arange(40) * 0.2, np.arange(42) * 0.2, indexing="ij")
    variables: dict[str, object] = {
        "abundance": (("y", "x", "component"), waves(y, x)[..., None], {"units": "count"}),
        "endmember": (("component", "energy"), np.ones((1, 2))),
    }
    if error:
        variables["abundance_stderr"] = (("y", "x", "component"), np.full((40, 42, 1), error), {"units": "count"})
    axes = {"y": Axis("um", 0.2), "x": Axis("um", 0.2), "component": [0], "energy": Axis("keV", 1.0)}
    return fusion.dataset(variables, axes, name="map", cell_methods="mean", frame="m")  # type: ignore[arg-type]


def volume() -> xr.Dataset:
    axes = {"z": Axis("um", 0.5, -0.5), "y": Axis("um", 0.13), "x": Axis("um", 0.15)}
    return fusion.dataset({"grey": (tuple("zyx"), np.ones((3, 60, 56)))}, axes, name="v", cell_methods="mean")


def warp() -> Warp:
    """Return a warp through 25 landmarks, each off by 0.05 um, that bends by some 0.3 um."""
    rng = np.random.default_rng(7)
    points = np.stack(np.meshgrid(np.linspace(0.3, 7.5, 5), np.linspace(0.3, 7.5, 5), indexing="ij"), -1).reshape(-1, 2)
    landed = points + 0.3 * np.sin(points[:, ::-1]) + rng.normal(0.0, 0.05, points.shape)
    return fusion.register_landmarks(points, landed, model="warp", sigma=0.05).transform


def nodes(grid: xr.Dataset) -> np.ndarray:
    return np.stack(np.meshgrid([0.0], grid["y"], grid["x"], indexing="ij"), -1)[0]


def test_values_and_the_error_of_the_position_are_those_of_the_warp() -> None:
    bend, grid = warp(), volume()
    fused = fusion.fuse(decomposed(), grid, transform=bend, depth=0.5).isel(z=1, component=0)
    back = bend.inverse()
    source, spread = back(nodes(grid)), back.covariance_at(nodes(grid))
    known = np.isfinite(spread[..., 1, 1]) & (fused["coverage"].values > 0)
    inner = known & (np.abs(source[..., 1] - 3.9) < 3.5) & (np.abs(source[..., 2] - 4.0) < 3.5)
    assert inner.sum() > 800
    np.testing.assert_allclose(fused["abundance"].values[inner], waves(source[..., 1], source[..., 2])[inner], atol=0.1)
    slope = np.stack([5.6 * np.cos(0.7 * source[..., 1]), -2.5 * np.sin(0.5 * source[..., 2])], axis=-1)
    error = np.sqrt(np.einsum("...i,...ij,...j->...", slope, spread[..., 1:, 1:], slope))
    steep = inner & (error > 0.5 * error[inner].max())
    assert steep.sum() > 100
    np.testing.assert_allclose(fused["abundance_stderr"].values[steep], bend.widening * error[steep], rtol=0.15)


def test_beyond_the_landmarks_the_error_is_not_known() -> None:
    bend, grid = warp(), volume()
    fused = fusion.fuse(decomposed(0.5), grid, transform=bend, depth=0.5).isel(z=1, component=0)
    covered = fused["coverage"].values > 0
    unknown = np.isnan(bend.inverse().covariance_at(nodes(grid))[..., 1, 1])
    assert (unknown & covered).sum() > 50
    found = np.isnan(fused["abundance_stderr"].values)
    # a voxel within 0.01 of a pixel of the hull may count as either
    assert (found[covered] != unknown[covered]).mean() < 0.005
    assert float(fused["abundance_stderr"].min()) < 0.6


def test_what_is_lazy_is_the_same() -> None:
    bend, grid = warp(), volume()
    eager = fusion.fuse(decomposed(0.5), grid, transform=bend, depth=0.5)
    lazy = fusion.fuse(decomposed(0.5), grid.chunk({"z": 2, "y": 23, "x": 19}), transform=bend, depth=0.5)
    assert lazy["abundance_stderr"].chunks is not None
    for name in ("abundance", "abundance_stderr", "coverage"):
        np.testing.assert_array_equal(lazy[name].values, eager[name].values)
