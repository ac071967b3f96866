"""Values over voxels through a warp: sums, densities by its Jacobian, labels, and what folds."""

from functools import cache

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis, Warp
from fusion.kriging import Kernel, Kriging
from fusion.warp import Bend


@cache
def warp(dim: int, bend: float = 0.5) -> Warp:
    """Return a warp that moves points of a square or cube of 6 um by up to 0.5 um."""
    axes = np.meshgrid(*[np.linspace(-1.0, 7.0, 5)] * dim, indexing="ij")
    points = np.stack([axis.ravel() for axis in axes], axis=-1)
    landed = points * 1.03 + bend * (np.sin(points[:, ::-1] + 0.4) + np.sin(points)) / 2 + 0.2
    return fusion.register_landmarks(points, landed, model="warp", sigma=1e-3, outliers="keep").transform


def counts(dims: str, *, step: float = 0.25, of: str = "sum") -> xr.Dataset:
    """Return counts with their errors, on axes of unequal sizes and one that is uneven."""
    rng = np.random.default_rng(3)
    axes = {dim: np.arange(int((5.0 + 0.5 * k) / step)) * step + 0.1 for k, dim in enumerate(dims)}
    axes["x"] = axes["x"] + 0.3 * step * np.sin(axes["x"])
    values = rng.poisson(30.0, [axis.size for axis in axes.values()]).astype(float)
    variables = {
        "n": (tuple(dims), values, {"ancillary_variables": "n_stderr"}),
        "n_stderr": (tuple(dims), values**0.5),
    }
    coords = {dim: Axis("um", values=axis) for dim, axis in axes.items()}
    return fusion.dataset(variables, coords, name="c", cell_methods=of, frame="m")


def grid(dims: str, step: float) -> xr.Dataset:
    """Return a grid that holds all that the warp leads to."""
    sides = {dim: int((8.0 + 0.5 * k) / step) for k, dim in enumerate(dims)}
    axes = {dim: Axis("um", step, -1.0) for dim in dims}
    return fusion.dataset({"g": (tuple(dims), np.ones(list(sides.values())))}, axes, name="g", cell_methods="mean")


@pytest.mark.parametrize(("dims", "step"), [("yx", 0.1), ("yx", 0.9), ("zyx", 0.5), ("zyx", 1.1)])
def test_the_sum_of_counts_is_kept_and_linear_interpolation_does_not_keep_it(dims: str, step: float) -> None:
    ds, target = counts(dims, step=0.25 if dims == "yx" else 0.5), grid(dims, step)
    bend = warp(len(dims))
    total = float(ds["n"].sum())
    placed = fusion.resample(ds, target, transform=bend)
    assert float(placed["n"].sum()) == pytest.approx(total, rel=1e-10)
    assert float(placed["coverage"].max()) == 1.0
    density = ds[["n"]].copy()
    density["n"].attrs = {"units": "count", "cell_methods": "x: mean"}
    read = fusion.resample(density, target, transform=bend, method="linear")["n"]
    pixel = float(np.prod([np.diff(ds[dim]).mean() for dim in dims]))
    assert abs(float(read.sum()) * step ** len(dims) / pixel / total - 1) > 1e-2


@pytest.mark.parametrize(("dims", "step"), [("yx", 0.3), ("zyx", 0.6)])
def test_a_uniform_density_is_multiplied_by_the_jacobian(dims: str, step: float) -> None:
    ds, target, bend = counts(dims, step=0.25 if dims == "yx" else 0.5), grid(dims, step), warp(len(dims))
    edges = [np.diff(fusion.display.edges(ds[dim].values)) for dim in dims]
    ds = ds[["n"]].copy(data={"n": np.prod(np.meshgrid(*edges, indexing="ij"), axis=0)})
    ds["n"].attrs.pop("ancillary_variables", None)
    placed = fusion.resample(ds, target, transform=bend)
    nodes = [target[dim].values if dim in dims else np.zeros(1) for dim in "zyx"]
    fine = [
        axis[:, None] + step * ((np.arange(4) + 0.5) / 4 - 0.5) if axis.size > 1 else axis[:, None] for axis in nodes
    ]
    points = np.stack(np.meshgrid(*(axis.ravel() for axis in fine), indexing="ij"), axis=-1)
    size = np.abs(np.linalg.det(bend.inverse().jacobian(points)))
    for axis, each in enumerate(fine):
        size = size.reshape(*size.shape[:axis], *each.shape, *size.shape[axis + 1 :]).mean(axis=axis + 1)
    inner = placed["coverage"].values == 1.0
    expected = size.reshape(inner.shape)[inner] * step ** len(dims)
    assert inner.sum() > 50
    assert expected.max() / expected.min() > 1.5
    np.testing.assert_allclose(placed["n"].values[inner], expected, rtol=0.01)


@pytest.mark.parametrize("method", ["counts", "mean"])
def test_a_warp_that_is_affine_gives_what_the_affine_gives(method: str) -> None:
    pose = Affine.translation(0.0, 0.4, -0.3) @ Affine.rotation(12.0)
    points = np.random.default_rng(0).uniform(0.0, 6.0, (12, 2))
    landed = pose(np.column_stack([np.zeros(12), points]))[:, 1:]
    process = Kriging(points, landed, np.tile(1e-4 * np.eye(2), (12, 1, 1)), (Kernel(1.0, 1e-9, 3.0, 1.0),))
    ds = counts("yx", of="sum" if method == "counts" else "mean")
    target = grid("yx", 0.6)
    found, expected = (
        fusion.resample(ds, target, transform=each, method=method)  # type: ignore[arg-type]
        for each in (Warp(Bend(process)), pose)
    )
    for name in ("n", "n_stderr", "coverage"):
        np.testing.assert_allclose(found[name].values, expected[name].values, rtol=1e-6, atol=1e-9)


def test_labels_take_the_largest_share_and_a_mean_is_that_over_the_voxel() -> None:
    x = np.ones((60, 1)) * np.arange(64) * 0.1
    left = (x < 3.0).astype(np.uint8)
    attrs = {"flag_values": np.array([0, 1], np.uint8), "flag_meanings": "right left"}
    variables = {
        "phase": (("y", "x"), left, attrs),
        "share": (("y", "x"), left.astype(float), {"cell_methods": "x: mean"}),
    }
    ds = fusion.dataset(variables, {"y": Axis("um", 0.1), "x": Axis("um", 0.1)}, name="l", cell_methods="mean")  # type: ignore[arg-type]
    moved = fusion.resample(ds, grid("yx", 0.7), transform=warp(2))
    inner = moved["coverage"].values == 1.0
    share, label = moved["share"].values[inner], moved["phase"].values[inner]
    clear = np.abs(share - 0.5) > 0.1
    np.testing.assert_array_equal(label[clear], (share > 0.5)[clear])
    assert ((share > 0.15) & (share < 0.85)).sum() > 3
    np.testing.assert_allclose(moved["phase_share"].values[inner], np.maximum(share, 1 - share), atol=0.1)


def test_what_is_lazy_is_the_same_block_by_block() -> None:
    ds, target = counts("yx"), grid("yx", 0.4)
    eager = fusion.resample(ds, target, transform=warp(2))
    lazy = fusion.resample(ds.chunk(8), target.chunk({"y": 7, "x": 9}), transform=warp(2))
    for name in ("n", "n_stderr", "coverage"):
        assert lazy[name].chunks is not None
        np.testing.assert_array_equal(lazy[name].values, eager[name].values)


def test_a_fold_is_refused_where_cells_would_have_no_volume() -> None:
    points = np.array([[y, x] for y in (0.0, 2.0, 4.0, 6.0) for x in (0.0, 2.0, 4.0, 6.0)])
    landed = points[[0, 1, 2, 3, 4, 6, 5, 7, *range(8, 16)]]  # two landmarks have changed places
    process = Kriging(points, landed, np.tile(1e-6 * np.eye(2), (16, 1, 1)), (Kernel(1.0, 3.0, 2.0, 1.0),))
    ds, target, folding = counts("yx"), grid("yx", 0.4), Warp(Bend(process))
    for transform in (folding, folding.inverse()):
        with pytest.raises(fusion.DataError, match="folds the grid"):
            fusion.resample(ds, target, transform=transform)
