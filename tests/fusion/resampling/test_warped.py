"""Resampling through a warp: against the affine kernel, the exact map, and another program."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis, Warp


def image(shape: tuple[int, ...], step: float = 1.0, *, of: str = "mean", seed: int = 0) -> xr.Dataset:
    dims = ("z", "y", "x")[-len(shape) :]
    rng = np.random.default_rng(seed)
    axes = [np.arange(n) * step * (1.0 + 0.2 * (dim == "y")) for n, dim in zip(shape, dims, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij")
    smooth = sum(np.sin(0.11 * (row + 1) * axis + row) for row, axis in enumerate(grid))
    values = smooth + 0.02 * rng.normal(size=shape) if of == "mean" else np.floor(3.0 + smooth).astype(np.int32)
    coords = {dim: Axis("um", values=axis) for dim, axis in zip(dims, axes, strict=True)}
    attrs = {} if of == "mean" else {"flag_values": np.arange(8, dtype=np.int32), "flag_meanings": "a b c d e f g h"}
    return fusion.dataset({"v": (dims, values, attrs)}, coords, name="i", cell_methods="mean" if of == "mean" else None)


def warp(extent: float, dim: int, bend: float = 2.0) -> Warp:
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.1 * extent, 1.1 * extent, (40, dim))
    landed = points + bend * np.sin(points[:, ::-1] * 4.0 / extent) + 1.0
    return fusion.register_landmarks(points, landed, model="warp", sigma=0.05, outliers="keep").transform


@pytest.mark.parametrize("method", ["linear", "nearest", "auto"])
def test_values_are_those_at_the_exact_positions(method: str) -> None:
    moving, grid, bend = image((9, 20, 31)), image((8, 19, 28), 0.95, seed=1), warp(30.0, 3)
    found = fusion.resample(moving, grid, transform=bend, method=method)
    nodes = np.stack(np.meshgrid(*(grid[dim].values for dim in "zyx"), indexing="ij"), axis=-1)
    source = bend.inverse()(nodes)
    at = {dim: (("a", "b", "c"), source[..., row]) for row, dim in enumerate("zyx")}
    expected = moving["v"].interp(at, method="nearest" if method == "nearest" else "linear").values
    known = np.isfinite(expected)
    assert known.mean() > 0.5
    if method == "nearest":
        assert (found["v"].values[known] == expected[known]).mean() > 0.99
    else:
        # positions are good to 0.01 of a pixel along each axis, and values change by less than 0.5 over one
        np.testing.assert_allclose(found["v"].values[known], expected[known], atol=0.015)
    if method == "linear":
        assert np.isnan(found["v"].values[~known]).mean() > 0.99
    np.testing.assert_array_equal(np.isfinite(found["v"].values), found["coverage"].values > 0)


def test_a_lattice_that_is_affine_gives_what_the_affine_kernel_gives() -> None:
    from fusion.resampling import _kernels, _warp_kernels

    rng = np.random.default_rng(2)
    source = rng.normal(size=(7, 9, 11, 3))
    grid = np.linspace(0.03, 6, 5), np.linspace(0.07, 7, 8), np.linspace(0.0123, 9, 23)
    matrix = np.array([[0.9, 0.1, 0.0, 0.2], [-0.1, 1.0, 0.1, 0.1], [0.0, 0.05, 1.1, -0.3]])
    knots = tuple(axis[[0, 2, -1]] for axis in grid)
    nodes = np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1) @ matrix[:, :3].T + matrix[:, 3]
    shape = tuple(axis.size for axis in grid)
    for kernel in ("linear", "nearest"):
        results = []
        for module, mapping in ((_kernels, matrix), (_warp_kernels, (knots, nodes))):
            out, inside = np.empty((*shape, 3)), np.empty(shape, np.uint8)
            getattr(module, kernel)(source, mapping, grid, out, inside)
            results.append((out, inside))
        np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(results[0][1], results[1][1])


def test_what_is_lazy_stays_lazy_and_equal() -> None:
    moving, grid, bend = image((9, 20, 31)), image((8, 19, 28), 0.95, seed=1), warp(30.0, 3)
    lazy = moving.copy(data={"v": da.from_array(moving["v"].values, chunks=(4, 7, 9))})
    chunked = grid.chunk({"z": 3, "y": 10, "x": 14})
    found = fusion.resample(lazy, chunked, transform=bend)
    assert found["v"].chunks is not None
    whole = fusion.resample(moving, grid, transform=bend)
    np.testing.assert_allclose(found["v"].values, whole["v"].values, atol=1e-12)
    np.testing.assert_array_equal(found["coverage"].values, whole["coverage"].values)


def test_labels_and_errors_come_along() -> None:
    bend = warp(30.0, 2)
    labels = fusion.resample(image((20, 31), of="label"), image((19, 28), 0.95), transform=bend)
    assert labels["v"].dtype.kind == "i"
    assert -1 in labels["v"].values
    moving = image((20, 31))
    moving["v_stderr"] = moving["v"].copy(data=np.full((20, 31), 0.3))
    moving["v"].attrs["ancillary_variables"] = "v_stderr"
    error = fusion.resample(moving, image((19, 28), 0.95), transform=bend, method="linear")["v_stderr"].values
    # the root of the sum of squared bilinear weights lies between 1/2 and 1
    assert 0.149 < np.nanmin(error) < 0.2
    assert np.nanmax(error) <= 0.3


def test_an_image_is_that_of_simpleitk() -> None:
    import SimpleITK

    moving, grid, bend = image((40, 50)), image((38, 47), 1.03, seed=1), warp(50.0, 2)
    nodes = np.stack(np.meshgrid([0.0], grid["y"].values, grid["x"].values, indexing="ij"), axis=-1)[0]
    shift = (bend.inverse()(nodes) - nodes)[..., :0:-1]
    field, source = (
        SimpleITK.GetImageFromArray(shift.copy(), isVector=True),
        SimpleITK.GetImageFromArray(moving["v"].values),
    )
    for one, ds in ((field, grid), (source, moving)):
        one.SetSpacing([float(ds[dim][1] - ds[dim][0]) for dim in ("x", "y")])
    plain = SimpleITK.Image(47, 38, SimpleITK.sitkFloat64)
    plain.SetSpacing(field.GetSpacing())
    theirs = SimpleITK.Resample(
        source, plain, SimpleITK.DisplacementFieldTransform(field), SimpleITK.sitkLinear, np.nan
    )
    ours = fusion.resample(moving, grid, transform=bend, method="linear")["v"].values
    both = np.isfinite(ours) & np.isfinite(SimpleITK.GetArrayFromImage(theirs))
    assert both.mean() > 0.6
    np.testing.assert_allclose(ours[both], SimpleITK.GetArrayFromImage(theirs)[both], atol=5e-3)


def test_a_warp_that_leads_far_away_is_refused() -> None:
    with pytest.raises(fusion.DataError, match="misses the grid"):
        fusion.resample(image((20, 31)), image((19, 28), 0.95), transform=Affine.translation(y=500.0) @ warp(30.0, 2))
