"""Maps placed in volumes through warps: counts, the adjoint, what a probe sees, projections and means of regions."""

from functools import cache

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis, Response, Warp
from fusion.kriging import Kernel, Kriging
from fusion.warp import Bend

TILT = Affine.translation(0.6, 0.3, 0.2) @ Affine.rotation(4.0, axis=(0.2, 1.0, 0.3))


@cache
def warp() -> Warp:
    """Return a bend within the plane of a map, and a tilt into the volume."""
    points = np.stack(np.meshgrid(np.linspace(-1, 5, 5), np.linspace(-1, 5, 5), indexing="ij"), -1).reshape(-1, 2)
    landed = points + 0.2 * np.sin(points[:, ::-1] * 1.3)
    return TILT @ fusion.register_landmarks(points, landed, model="warp", sigma=1e-3, outliers="keep").transform


def counts() -> xr.Dataset:
    values = np.random.default_rng(1).poisson(40.0, (8, 9)).astype(float)
    axes = {"y": Axis("um", 0.4, 0.2), "x": Axis("um", 0.4, 0.2)}
    return fusion.dataset({"n": (("y", "x"), values)}, axes, name="m", cell_methods="sum", frame="m")


def volume(step: float = 0.2) -> xr.Dataset:
    shape = (int(2.0 / step), int(5.0 / step), int(5.6 / step))
    axes = {dim: Axis("um", step, start) for dim, start in zip("zyx", (-0.4, -0.5, -0.6), strict=True)}
    values = np.random.default_rng(2).uniform(1.0, 2.0, shape)
    return fusion.dataset({"grey": (tuple("zyx"), values)}, axes, name="v", cell_methods="mean", frame="g")


def test_counts_are_all_there_and_measuring_is_the_adjoint() -> None:
    ds, target = counts(), volume()
    placed = fusion.place(ds, target, transform=warp(), depth=0.3)
    assert placed["n"].attrs["lost_fraction"] == pytest.approx(0.0, abs=1e-10)
    measured = fusion.measure(target, ds, transform=warp(), depth=0.3)["grey"]
    left = float((placed["n"].fillna(0.0) * target["grey"]).sum())
    assert left == pytest.approx(float((ds["n"] * measured).sum()), rel=1e-10)
    cut = fusion.place(ds, target.isel(y=slice(0, 12)), transform=warp(), depth=0.3)["n"]
    assert 0.2 < cut.attrs["lost_fraction"] < 0.8


def test_a_consistent_map_measures_as_itself() -> None:
    flat = Affine.translation(0.05) @ warp_in_plane()
    target = volume(0.16).isel(z=slice(0, 6))
    placed = fusion.place(counts(), target, transform=flat, depth=0.3, consistent=True)
    again = fusion.measure(placed, counts(), transform=flat, depth=0.3)["n"]
    np.testing.assert_allclose(again.values, counts()["n"].values, rtol=1e-6)


def warp_in_plane() -> Warp:
    return TILT.inverse() @ warp()


def test_a_response_and_a_beam_lose_nothing_either() -> None:
    ds, target = counts(), volume()
    deep = fusion.place(ds, target, transform=warp(), response=Response.flat(0.3))["n"]
    assert float(deep.sum()) == pytest.approx(float(ds["n"].sum()), rel=1e-10)
    assert deep.attrs["lost_fraction"] == pytest.approx(0.0, abs=1e-10)
    behind = fusion.backproject(ds, target, density="grey", transform=warp_in_plane())["n"]
    assert float(behind.sum()) == pytest.approx(float(ds["n"].sum()), rel=1e-10)


def decomposed(error: float) -> xr.Dataset:
    y, x = np.meshgrid(np.arange(12) * 0.4, np.arange(12) * 0.4, indexing="ij")
    values = 3.0 + np.sin(y) + 0.5 * x
    variables = {
        "v": (("y", "x"), values, {"ancillary_variables": "v_stderr"}),
        "v_stderr": (("y", "x"), np.full(y.shape, error)),
    }
    return fusion.dataset(variables, {d: Axis("um", 0.4) for d in "yx"}, name="m", cell_methods="mean", frame="m")  # type: ignore[arg-type]


def ball(grid: xr.Dataset) -> xr.DataArray:
    return (grid["y"] - 2.0) ** 2 + (grid["x"] - 2.2) ** 2 < 0.8**2


def plane(step: float = 0.1) -> xr.Dataset:
    axes = {"y": Axis("um", step), "x": Axis("um", step)}
    return fusion.dataset({"g": (("y", "x"), np.ones((45, 48)))}, axes, name="g", cell_methods="mean", frame="g")


def test_the_mean_of_a_region_is_that_of_the_resampled_map() -> None:
    ds, grid, bend = decomposed(0.2), plane(), warp_in_plane()
    found = fusion.region_mean(ds, grid, ball(grid), transform=bend)
    moved = fusion.resample(ds, grid, transform=bend)
    assert found["v"].item() == pytest.approx(float(moved["v"].where(ball(grid)).mean()), rel=1e-3)
    independent = float((moved["v_stderr"].where(ball(grid)) ** 2).sum() ** 0.5 / ball(grid).sum())
    assert found["v_stderr"].item() > 2 * independent


def test_the_error_of_a_region_is_that_of_warps_through_other_landmarks() -> None:
    """With one stiff kernel the posterior of the warp is drawn by moving its landmarks; then it is fitted again."""
    rng = np.random.default_rng(4)
    corners = [[0.0, 0.0], [0.0, 4.5], [4.5, 0.0], [4.5, 4.5]]
    points, sigma = np.concatenate([corners, rng.uniform(0.0, 4.5, (10, 2))]), 0.1
    kernel = Kernel(1.0, 0.02, 3.0, 1.0)

    def through(landed: np.ndarray) -> Warp:
        return Warp(Bend(Kriging(points, landed, np.tile(sigma**2 * np.eye(2), (14, 1, 1)), (kernel,))))

    ds, grid = decomposed(0.0), plane(0.2)
    region = (grid["y"] - 2.0) ** 2 + (grid["x"] - 2.2) ** 2 < 0.8**2
    found = fusion.region_mean(ds, grid, region, transform=through(points))["v_stderr"].item()
    moved = (through(points + rng.normal(0.0, sigma, points.shape)) for _ in range(60))
    draws = [fusion.region_mean(ds, grid, region, transform=each)["v"].item() for each in moved]
    assert found == pytest.approx(np.std(draws), rel=0.3)
    few = Warp(Bend(Kriging(points[4:], points[4:], np.tile(sigma**2 * np.eye(2), (10, 1, 1)), (kernel,))))
    beyond = (grid["y"] < 0.4) & (grid["x"] < 0.4)
    assert np.isnan(fusion.region_mean(ds, grid, beyond, transform=few)["v_stderr"].item())
