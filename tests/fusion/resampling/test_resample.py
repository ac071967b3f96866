"""Resampling against linear fields, brute force, scipy and Monte Carlo; lazy against eager."""

from copy import deepcopy
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

import fusion
from fusion import Affine, Axis

# shrinking a failing transform takes minutes and tells nothing
QUICK = settings(deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
STEPS = {"z": 0.4, "y": 0.05, "x": 0.13}
STARTS = {"z": 3.0, "y": -1.0, "x": 0.25}


def field(points: np.ndarray) -> np.ndarray:
    """Return 100 z + 10 y + x, which trilinear interpolation keeps exactly."""
    return points @ np.array([100.0, 10.0, 1.0])


def axes(dims: str = "zyx", steps: dict[str, float] = STEPS, starts: dict[str, float] = STARTS) -> dict[str, Axis]:
    return {dim: Axis("um", steps[dim], starts[dim]) for dim in dims}


def places(ds: xr.Dataset) -> np.ndarray:
    """Return the positions (nz, ny, nx, 3) of all pixels; a missing axis is the plane."""
    lines = [np.atleast_1d(ds[dim].values) if dim in ds.coords else np.zeros(1) for dim in "zyx"]
    return np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)


def volume(shape: tuple[int, ...], along: dict[str, Axis] | None = None, **options: Any) -> xr.Dataset:
    """Return a dataset of `shape` that holds the linear field."""
    dims = "zyx"[-len(shape) :]
    along = along or axes(dims)
    empty = fusion.dataset({"v": (tuple(dims), np.zeros(shape))}, along, name="v", cell_methods="mean")
    values = field(places(empty)).reshape(shape)
    options = {"name": "v", "cell_methods": "mean", "frame": "stage", **options}
    return fusion.dataset({"v": (tuple(dims), values)}, along, **options)


def replaced(ds: xr.Dataset, values: Any, **attrs: Any) -> xr.Dataset:
    return ds.assign(v=(ds["v"].dims, values, {**ds["v"].attrs, **attrs}))


def indices(ds: xr.Dataset, grid: xr.Dataset, transform: Affine) -> np.ndarray:
    """Return the pixel index in `ds` of every place of `grid`, straight from the definition."""
    seen = np.einsum("ij,...j->...i", np.linalg.inv(transform.matrix)[:3, :3], places(grid) - transform.matrix[:3, 3])
    return np.stack([(seen[..., i] - ds[d].values[0]) / np.diff(ds[d].values)[0] for i, d in enumerate("zyx")], -1)


@st.composite
def gentle(draw: st.DrawFn) -> Affine:
    """Draw transforms that leave volumes of these tests near each other."""
    axis = draw(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 0.1))
    shift = draw(st.tuples(st.floats(-0.5, 0.5), st.floats(-0.1, 0.1), st.floats(-0.3, 0.3)))
    stretch = draw(st.tuples(*[st.floats(0.6, 1.7)] * 3))
    centre = (3.6, -0.9, 0.6)
    turn = Affine.translation(*centre) @ Affine.rotation(draw(st.floats(-180, 180)), axis=axis)
    return Affine.translation(*shift) @ turn @ Affine.scaling(*stretch) @ Affine.translation(*(-c for c in centre))


shapes = st.tuples(st.integers(2, 5), st.integers(2, 6), st.integers(2, 7))


@settings(QUICK, max_examples=60)
@given(gentle(), shapes, shapes)
def test_a_linear_field_is_reproduced_inside_and_nan_outside(
    transform: Affine, shape: tuple[int, ...], on: tuple[int, ...]
) -> None:
    ds, grid = volume(shape), volume(on, axes(steps={"z": 0.3, "y": 0.04, "x": 0.11}))
    index = indices(ds, grid, transform)
    margins = np.minimum(index, np.array(shape) - 1 - index).min(axis=-1)
    assume((margins > 0).any())
    moved = fusion.resample(ds, grid, transform=transform)
    exact = field(np.einsum("ij,...j->...i", np.linalg.inv(transform.matrix)[:3, :3],
                            places(grid) - transform.matrix[:3, 3]))  # fmt: skip
    clear = np.abs(margins) > 1e-5
    np.testing.assert_array_equal(moved["coverage"].values[clear], (margins > 0)[clear])
    np.testing.assert_array_equal(np.isnan(moved["v"].values), moved["coverage"].values == 0)
    inside = moved["coverage"].values == 1
    np.testing.assert_allclose(moved["v"].values[inside], exact[inside], rtol=1e-5, atol=1e-3)


@settings(QUICK, max_examples=40)
@given(gentle(), st.integers(0, 2**31))
def test_random_values_agree_with_scipy(transform: Affine, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(4, 6, 5))
    ds, grid = replaced(volume(values.shape), values), volume((3, 7, 6))
    index = indices(ds, grid, transform)
    assume(((index > 0) & (index < np.array(values.shape) - 1)).all(axis=-1).any())
    moved = fusion.resample(ds, grid, transform=transform)
    inside = moved["coverage"].values == 1
    expected = ndimage.map_coordinates(values, np.moveaxis(index, -1, 0), order=1, mode="nearest")
    np.testing.assert_allclose(moved["v"].values[inside], expected[inside], atol=1e-9)


def test_the_known_voxel_goes_where_the_transform_sends_it() -> None:
    values = np.zeros((3, 4, 5))
    values[2, 1, 3] = 7.0
    ds, grid = replaced(volume((3, 4, 5)), values), volume((4, 6, 9))
    transform = Affine.translation(STEPS["z"], 2 * STEPS["y"], 4 * STEPS["x"])
    moved = fusion.resample(ds, grid, transform=transform)["v"].values
    assert np.argwhere(np.isclose(moved, 7.0)).tolist() == [[3, 3, 7]]
    assert np.nansum(moved) == pytest.approx(7.0)


def test_a_quarter_turn_moves_a_voxel_from_x_to_y() -> None:
    square, values = {dim: Axis("um", 1.0, -3.0) for dim in "yx"}, np.zeros((7, 7))
    values[3, 5] = 1.0  # y = 0, x = 2
    ds = replaced(volume((7, 7), square), values)
    moved = fusion.resample(ds, volume((7, 7), square), transform=Affine.rotation(90.0))["v"].values
    assert np.argwhere(np.nan_to_num(moved) > 0.5).tolist() == [[5, 3]]  # y = 2, x = 0


def test_without_a_transform_the_poses_decide() -> None:
    a, b = Affine.translation(0.2, 0.03, 0.1) @ Affine.rotation(5.0), Affine.translation(0.1) @ Affine.rotation(-3.0)
    ds, grid = volume((4, 6, 5), pose=a), volume((3, 4, 6), pose=b)
    found, expected = fusion.resample(ds, grid), fusion.resample(ds, grid, transform=b.inverse() @ a)
    np.testing.assert_array_equal(found["v"].values, expected["v"].values)
    assert np.isfinite(found["v"].values).sum() > 5


def test_the_result_sits_where_the_grid_sits() -> None:
    pose = Affine.rotation(30.0, axis=(1, 1, 0))
    ds = volume((4, 6, 5), pose=Affine.translation(9.0), frame="elsewhere")
    grid = volume((3, 4, 6), pose=pose, frame="holder")
    moved = fusion.resample(ds, grid, transform=Affine.identity())
    found, frame = fusion.get_pose(moved)
    assert frame == "holder"
    np.testing.assert_array_equal(found.matrix, pose.matrix)
    for dim in "zyx":
        xr.testing.assert_identical(moved[dim].drop_vars("pose"), grid[dim].drop_vars("pose"))


def test_neither_dataset_is_changed_and_read_only_input_is_enough() -> None:
    ds, grid = volume((4, 6, 5)), volume((3, 4, 6))
    ds["phase"] = (("z", "y", "x"), np.ones((4, 6, 5), np.uint8), {"flag_values": [1], "flag_meanings": "one"})
    for variable in (*ds.variables.values(), *grid.variables.values()):
        variable.values.setflags(write=False)
    before, moved = (deepcopy(ds), deepcopy(grid)), fusion.resample(ds, grid)
    moved["v"].attrs["units"], moved.attrs["title"] = "spoiled", "spoiled"
    xr.testing.assert_identical(ds, before[0])
    xr.testing.assert_identical(grid, before[1])


# maps within volumes


THICK = {"z": 0.3, "y": 0.05, "x": 0.13}


def plane(z: float, shape: tuple[int, int] = (9, 8)) -> xr.Dataset:
    return volume(shape, {**axes("yx"), "z": Axis("um", values=z)})


@pytest.mark.parametrize("z", [3.0, 3.1, 3.44, 3.7, 4.19])
def test_an_aligned_map_is_one_layer_thick(z: float) -> None:
    grid = volume((5, 9, 8), axes(steps=THICK))
    layers = fusion.resample(plane(z), grid)["coverage"].values.any(axis=(1, 2))
    assert layers.tolist() == [abs(centre - z) < THICK["z"] / 2 for centre in grid["z"].values]
    assert layers.sum() == 1


@pytest.mark.parametrize("depth", [0.2, 0.7, 1.3, np.inf])
def test_a_map_fills_the_depth_that_it_speaks_for(depth: float) -> None:
    grid = volume((6, 9, 8), axes(steps=THICK))
    moved = fusion.resample(plane(3.65), grid, depth=depth)
    layers = np.abs(grid["z"].values - 3.65) <= depth / 2
    np.testing.assert_array_equal(moved["coverage"].values, np.broadcast_to(layers[:, None, None], (6, 9, 8)))
    values = plane(3.65)["v"].values
    for layer in np.flatnonzero(layers):
        np.testing.assert_allclose(moved["v"].values[layer], values, rtol=1e-6)


@settings(QUICK, max_examples=60)
@given(st.floats(-80.0, 80.0), st.tuples(st.just(0.0), st.floats(-1, 1), st.floats(-1, 1)), st.floats(-0.3, 0.3))
def test_a_tilted_map_leaves_no_hole_in_the_volume(angle: float, axis: tuple, shift: float) -> None:
    """Along the grid axis nearest to its normal, each line of voxels that crosses the map meets it at least once."""
    assume(np.linalg.norm(axis) > 0.1)
    cube = {"z": 0.3, "y": 0.21, "x": 0.13}
    start = {"z": -1.5, "y": -1.05, "x": -0.65}
    grid = volume((11, 11, 11), axes(steps=cube, starts=start))
    large = {"y": Axis("um", 1.0, -50.0), "x": Axis("um", 1.0, -50.0), "z": Axis("um", values=0.0)}
    tilt = Affine.translation(shift) @ Affine.rotation(angle, axis=axis)
    moved = fusion.resample(volume((101, 101), large), grid, transform=tilt)
    normal = tilt.matrix[:3, 0]
    away = (places(grid) - tilt.matrix[:3, 3]) @ normal
    along = int(np.argmax(np.abs(normal) * list(cube.values())))
    crossed = (away.min(axis=along) <= 0) & (away.max(axis=along) >= 0)
    met = moved["coverage"].values.sum(axis=along)
    assert crossed.any()
    assert (met[crossed] >= 1).all()
    assert (met <= 2).all()


def test_a_map_without_z_lies_at_zero_and_two_maps_ignore_z() -> None:
    flat, high = volume((9, 8)), plane(40.0)
    np.testing.assert_allclose(fusion.resample(high, flat)["v"].values, high["v"].values)
    zero = axes(steps=THICK, starts={**STARTS, "z": -0.3})
    layers = fusion.resample(flat, volume((4, 9, 8), zero))["coverage"].values.all(axis=(1, 2))
    assert layers.tolist() == [False, True, False, False]


def test_a_single_plane_cannot_say_how_thick_it_is() -> None:
    grid = volume((1, 9, 8))
    with pytest.raises(fusion.DataError, match=r"how thick.*depth="):
        fusion.resample(plane(3.0), grid)
    assert fusion.resample(plane(3.0), grid, depth=0.1)["coverage"].values.all()


@pytest.mark.parametrize("depth", [0.0, -1.0, np.nan])
def test_a_senseless_depth_is_refused(depth: float) -> None:
    with pytest.raises(fusion.DataError, match="positive thickness"):
        fusion.resample(plane(3.0), volume((3, 9, 8)), depth=depth)


def test_a_line_does_not_say_how_wide_it_is() -> None:
    line = volume((4, 1, 8))
    with pytest.raises(fusion.DataError, match="one pixel along y"):
        fusion.resample(line, volume((4, 3, 8)))
    covered = fusion.resample(line, volume((4, 3, 8)), depth=0.06)["coverage"].values
    assert covered.any(axis=(0, 2)).tolist() == [True, False, False]


def test_a_slice_of_a_volume_is_taken_at_the_plane_of_a_map() -> None:
    ds, grid = volume((4, 6, 5)), plane(3.3, (5, 4))
    moved = fusion.resample(ds, grid)
    assert moved["v"].dims == ("y", "x")
    np.testing.assert_allclose(moved["v"].values, grid["v"].values, rtol=1e-6)


def test_an_uneven_axis_is_interpolated_between_its_own_centres() -> None:
    heights = np.array([0.0, 1.0, 1.5, 4.0, 9.0])
    values = np.random.default_rng(0).normal(size=(5, 2, 2))
    uneven = {**axes("yx"), "z": Axis("um", values=heights)}
    ds = replaced(volume((5, 2, 2), uneven), values)
    grid = volume((25, 2, 2), {**axes("yx"), "z": Axis("um", 0.4, -0.3)})
    moved = fusion.resample(ds, grid)
    z = grid["z"].values
    expected = np.stack([np.interp(z, heights, values[:, i, j], np.nan, np.nan) for i, j in np.ndindex(2, 2)], -1)
    np.testing.assert_allclose(moved["v"].values.reshape(25, 4), expected, rtol=1e-6)


def test_an_uneven_grid_is_served_at_its_own_places() -> None:
    ds = volume((4, 6, 5))
    uneven = {"z": Axis("um", values=[3.0, 3.1, 3.9, 4.15]), "y": Axis("um", values=[-0.99, -0.85, -0.8]),
              "x": Axis("um", values=[0.3, 0.31, 0.7])}  # fmt: skip
    grid = volume((4, 3, 3), uneven)
    np.testing.assert_allclose(fusion.resample(ds, grid)["v"].values, grid["v"].values, rtol=1e-6)


# labels, counts, errors


def labelled(values: np.ndarray, **attrs: Any) -> xr.Dataset:
    attrs = {"flag_values": np.array([3, 7], values.dtype), "flag_meanings": "iron rust", **attrs}
    ds = volume(values.shape)
    return ds.assign(phase=(ds["v"].dims, values, attrs)).drop_vars("v")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64])
@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_labels_come_from_the_nearest_pixel_and_are_minus_one_outside(dtype: type, method: Any) -> None:
    values = np.random.default_rng(1).choice(np.array([3, 7], dtype), size=(4, 6, 5))
    ds, grid = labelled(values), volume((3, 7, 6), axes(steps=THICK))
    transform = Affine.translation(0.11, 0.04, -0.1) @ Affine.rotation(3.0, axis=(1.0, 0.3, 0.2))
    moved = fusion.resample(ds, grid, transform=transform, method=method)
    index = np.floor(indices(ds, grid, transform) + 0.5).astype(int)
    inside = ((index >= 0) & (index < values.shape)).all(axis=-1)
    nearest = tuple(np.moveaxis(np.clip(index, 0, np.array(values.shape) - 1), -1, 0))
    expected = np.where(inside, values[nearest].astype(np.int64), -1)
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(moved["phase"].values, expected)
    assert list(moved["phase"].attrs["flag_values"]) == [3, 7, -1]
    assert moved["phase"].attrs["flag_meanings"] == "iron rust outside"
    assert moved["phase"].dtype.kind == "i"


def test_labels_are_extended_once_however_often_they_move() -> None:
    ds, grid = labelled(np.full((4, 6, 5), 7, np.uint8)), volume((3, 7, 6))
    twice = fusion.resample(fusion.resample(ds, grid), grid)
    assert list(twice["phase"].attrs["flag_values"]) == [3, 7, -1]
    assert twice["phase"].attrs["ancillary_variables"].split() == ["coverage"]


def test_large_labels_keep_every_digit() -> None:
    ds = labelled(np.full((4, 6, 5), 2**24 + 1, np.int32), flag_values=[2**24 + 1], flag_meanings="one")
    assert fusion.resample(ds, volume((2, 2, 2)))["phase"].values.max() == 2**24 + 1


def counts(shape: tuple[int, int]) -> xr.Dataset:
    return replaced(volume(shape), np.random.default_rng(2).poisson(50.0, shape), cell_methods="y: x: sum")


def test_counts_are_not_interpolated() -> None:
    with pytest.raises(fusion.ConventionError, match="v: counts are conserved and cannot be interpolated"):
        fusion.resample(counts((9, 8)), volume((5, 4)))


def test_nearest_does_not_conserve_counts_which_is_why_linear_refuses_them() -> None:
    ds = counts((9, 8))
    fine = volume((17, 15), axes("yx", steps={"y": STEPS["y"] / 2, "x": STEPS["x"] / 2}))
    moved = fusion.resample(ds, fine, method="nearest")
    assert moved["v"].attrs["cell_methods"] == "y: x: sum"
    assert float(moved["v"].sum()) / float(ds["v"].sum()) > 3.0


def operator(ds: xr.Dataset, grid: xr.Dataset, transform: Affine) -> np.ndarray:
    """Return the weight of each pixel in each place of the grid: every pixel is sent as a channel of its own."""
    size = ds["v"].size
    unit = np.eye(size).reshape(*ds["v"].shape, size)
    channels = ds.assign(v=((*ds["v"].dims, "channel"), unit, ds["v"].attrs), channel=np.arange(size))
    return fusion.resample(channels, grid, transform=transform)["v"].values.reshape(-1, size)


def with_error(ds: xr.Dataset, error: np.ndarray) -> xr.Dataset:
    linked = ds.assign(v_stderr=(ds["v"].dims, error, {"cell_methods": "y: x: mean", "units": "1"}))
    linked["v"].attrs["ancillary_variables"] = "v_stderr"
    return linked


TURN = Affine.translation(0.0, -0.11, -0.2) @ Affine.rotation(14.0)


def test_standard_errors_follow_the_squared_weights() -> None:
    rng = np.random.default_rng(3)
    error = rng.uniform(0.1, 2.0, (6, 5))
    ds, grid = with_error(volume((6, 5)), error), volume((7, 6), axes("yx", {"y": 0.03, "x": 0.09}))
    moved = fusion.resample(ds, grid, transform=TURN)
    weights = operator(volume((6, 5)), grid, TURN)
    expected = np.sqrt(weights**2 @ error.ravel() ** 2).reshape(7, 6)
    assert np.isfinite(expected).sum() > 10
    np.testing.assert_allclose(moved["v_stderr"].values, expected, rtol=1e-6)
    interpolated = (weights @ error.ravel()).reshape(7, 6)
    assert np.nanmax(interpolated / expected) > 1.3
    assert moved["v"].attrs["ancillary_variables"].split() == ["v_stderr", "coverage"]


def test_standard_errors_are_those_of_resampled_noise() -> None:
    rng = np.random.default_rng(4)
    error = rng.uniform(0.1, 2.0, (6, 5))
    ds, grid = volume((6, 5)), volume((7, 6), axes("yx", {"y": 0.03, "x": 0.09}))
    noise = rng.normal(size=(6, 5, 4000)) * error[..., None]
    channels = ds.assign(v=(("y", "x", "channel"), noise, ds["v"].attrs), channel=np.arange(4000))
    draws = fusion.resample(channels, grid, transform=TURN)
    found = fusion.resample(with_error(ds, error), grid, transform=TURN)["v_stderr"]
    inside = np.isfinite(found.values)
    np.testing.assert_allclose(draws["v"].values.std(axis=-1)[inside], found.values[inside], rtol=0.06)


def test_errors_of_the_nearest_pixel_are_taken_as_they_are() -> None:
    error = np.random.default_rng(5).uniform(0.1, 2.0, (6, 5))
    ds, grid = with_error(replaced(volume((6, 5)), error), error), volume((7, 6))
    moved = fusion.resample(ds, grid, transform=TURN, method="nearest")
    np.testing.assert_array_equal(moved["v_stderr"].values, moved["v"].values)


def test_a_bad_pixel_spoils_only_what_it_has_weight_in() -> None:
    values = np.random.default_rng(6).normal(size=(6, 5))
    values[2, 3] = np.nan
    ds, grid = replaced(volume((6, 5)), values), volume((13, 11), axes("yx", {"y": 0.025, "x": 0.07}))
    moved = fusion.resample(ds, grid, transform=TURN)
    weights = operator(ds.fillna(0.0), grid, TURN)[:, 2 * 5 + 3].reshape(13, 11)
    spoilt = np.isnan(moved["v"].values) & (moved["coverage"].values == 1)
    np.testing.assert_array_equal(spoilt, weights > 1e-5)
    assert spoilt.any()
    whole = fusion.resample(ds, volume((6, 5)))["v"].values
    np.testing.assert_allclose(whole, values, rtol=1e-12, atol=1e-12)


# lazy


def uneven() -> dict[str, Axis]:
    return {**axes("yx"), "z": Axis("um", values=[3.0, 3.1, 3.5, 3.6, 4.0, 4.2, 4.9])}


TILT = Affine.translation(0.2, 0.05, -0.1) @ Affine.rotation(4.0, axis=(1.0, 0.5, 0.1))


@pytest.mark.parametrize("source_chunks", [None, -1, {"y": 5, "x": 4, "component": 1}, {"z": 2}])
@pytest.mark.parametrize("grid_chunks", [None, {"z": 1}, {"z": 3, "y": 4, "x": 5}])
@pytest.mark.parametrize("kind", ["even", "uneven", "labels", "nearest", "errors"])
def test_lazy_equals_eager_for_every_chunking(source_chunks: Any, grid_chunks: Any, kind: str) -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(7, 9, 8, 3))
    ds = volume((7, 9, 8), uneven() if kind == "uneven" else axes())
    ds = ds.assign_coords(component=["a", "b", "c"])
    ds = ds.assign(v=((*"zyx", "component"), values, {**ds["v"].attrs, "ancillary_variables": "v_stderr"}))
    ds = ds.assign(v_stderr=((*"zyx", "component"), np.abs(values), {**ds["v"].attrs}))
    if kind == "labels":
        flags = {"flag_values": [0, 1, 2], "flag_meanings": "a b c"}
        ds = ds.assign(v=((*"zyx", "component"), rng.integers(0, 3, values.shape), flags)).drop_vars("v_stderr")
    grid = volume((5, 6, 7))
    method: Any = "nearest" if kind == "nearest" else "linear"
    eager = fusion.resample(ds, grid, transform=TILT, method=method)
    lazy_ds = ds.chunk(source_chunks) if source_chunks else ds
    lazy_grid = grid.chunk(grid_chunks) if grid_chunks else grid
    lazy = fusion.resample(lazy_ds, lazy_grid, transform=TILT, method=method)
    expected = bool(source_chunks or grid_chunks)
    assert all(isinstance(lazy[name].data, da.Array) == expected for name in ("v", "coverage"))
    assert 0 < eager["coverage"].values.sum() < eager["coverage"].size
    for name in eager.data_vars:
        np.testing.assert_allclose(lazy[name].values, eager[name].values, rtol=1e-12, atol=1e-12)
        assert lazy[name].dtype == eager[name].dtype
        assert lazy[name].attrs.keys() == eager[name].attrs.keys()


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    touched: list[int] = []

    def note(block: np.ndarray) -> np.ndarray:
        touched.append(block.size)
        return block

    ds, grid = volume((6, 8, 7)), volume((5, 6, 7))
    lazy = da.from_array(ds["v"].values, chunks=(1, 8, 7)).map_blocks(note, dtype=float, meta=np.empty((0, 0, 0)))
    moved = fusion.resample(replaced(ds, lazy), grid.chunk({"z": 1}))
    assert touched == []
    assert isinstance(moved["v"].data, da.Array)
    with dask.config.set(scheduler="synchronous"):
        moved["v"].isel(z=0).compute()
    assert 0 < len(touched) < 6, "one layer of the result reads only the layers of the source that it sees"


def test_all_channels_stay_together_whatever_their_axis() -> None:
    ds, grid = volume((4, 6, 5)), volume((3, 4, 4))
    spectral = ds.assign(v=((*"zyx", "energy"), np.stack([ds["v"], 2 * ds["v"]], -1), ds["v"].attrs))
    spectral = spectral.assign_coords(energy=("energy", [1.0, 2.0], {"units": "keV", "long_name": "energy"}))
    moved = fusion.resample(spectral, grid)
    assert moved["v"].dims == (*"zyx", "energy")
    np.testing.assert_allclose(moved["v"].values[..., 1], 2 * moved["v"].values[..., 0], rtol=1e-6)
    xr.testing.assert_identical(moved["energy"].drop_vars("pose"), spectral["energy"].drop_vars("pose"))


def test_what_has_no_place_passes_through() -> None:
    ds = volume((4, 6, 5)).assign(endmember=(("component",), np.arange(3.0), {"units": "1"}), component=list("abc"))
    moved = fusion.resample(ds, volume((3, 4, 4)))
    np.testing.assert_array_equal(moved["endmember"].values, [0.0, 1.0, 2.0])


# refusals


def in_pixels() -> xr.Dataset:
    return volume((9, 8), {dim: Axis("px", 1.0) for dim in "yx"})


@pytest.mark.parametrize("which", ["moving", "fixed"])
def test_unknown_pixel_sizes_are_refused(which: str) -> None:
    sized, unsized = volume((9, 8)), in_pixels()
    with pytest.raises(fusion.UnitError, match="set_pixel_size"):
        fusion.resample(*((unsized, sized) if which == "moving" else (sized, unsized)))


def test_two_frames_are_refused_unless_a_transform_joins_them() -> None:
    ds, grid = volume((4, 6, 5), frame="a"), volume((3, 4, 4), frame="b")
    with pytest.raises(fusion.FrameError, match="share no frame"):
        fusion.resample(ds, grid)
    assert np.isfinite(fusion.resample(ds, grid, transform=Affine.identity())["v"].values).all()


@pytest.mark.parametrize("dim", ["z", "y", "x"])
@pytest.mark.parametrize("sign", [1, -1])
def test_datasets_that_miss_each_other_are_refused(dim: str, sign: int) -> None:
    away = Affine.translation(**{dim: sign * 20.0})
    with pytest.raises(fusion.DataError, match=f"do not overlap along {dim}"):
        fusion.resample(volume((4, 6, 5)), volume((3, 4, 4)), transform=away)


def test_other_misuse_is_refused() -> None:
    ds, grid = volume((4, 6, 5)), volume((3, 4, 4))
    with pytest.raises(fusion.ConventionError, match="'cubic' where 'linear' or 'nearest'"):
        fusion.resample(ds, grid, method="cubic")  # type: ignore[arg-type]
    with pytest.raises(fusion.DataError, match="no variable has a spatial dim"):
        fusion.resample(ds.assign(v=(("component",), np.ones(2)), component=[0, 1]), grid)
    with pytest.raises(fusion.FrameError, match="no pose"):
        fusion.resample(ds.drop_vars("pose"), grid)
    with pytest.raises(fusion.ConventionError):
        fusion.resample(ds, grid.assign_coords(x=grid["x"].astype(str)))


def test_points_are_no_grid() -> None:
    position = {dim: Axis("um", values=[STARTS[dim], STARTS[dim] + STEPS[dim]]) for dim in "zyx"}
    points = fusion.dataset({"b": (("point",), np.ones(2))}, position, name="beads", frame="stage")
    with pytest.raises(fusion.DataError, match="beads: points are no grid"):
        fusion.resample(volume((4, 6, 5)), points)


def test_complex_values_are_refused_rather_than_halved() -> None:
    ds = volume((4, 6, 5))
    with pytest.raises(fusion.ConspectusError, match="complex"):
        fusion.resample(replaced(ds, ds["v"].values * 1j), volume((3, 4, 4)))


def test_a_map_that_slips_between_two_layers_is_refused() -> None:
    axes = {dim: fusion.Axis("um", 1.0) for dim in "zyx"}
    block = fusion.dataset({"v": (("z", "y", "x"), np.ones((3, 4, 5)))}, axes, name="block", cell_methods="mean")
    flat = {"y": axes["y"], "x": axes["x"], "z": fusion.Axis("um", values=0.5)}
    sheet = fusion.dataset({"m": (("y", "x"), np.ones((4, 5)))}, flat, name="sheet", cell_methods="mean")
    with pytest.raises(fusion.DataError, match="covers no place of the grid of block"):
        fusion.resample(sheet, block, transform=fusion.Affine.identity(), depth=0.1)
    assert fusion.resample(sheet, block, transform=fusion.Affine.identity())["coverage"].any()
