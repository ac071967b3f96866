"""Interpolation against linear fields, scipy and known voxels; the result sits where the grid sits."""

from copy import deepcopy

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

import fusion
from fusion import Affine, Axis
from tests.makers.grids import STEPS, axes, field, indices, positions, replaced, volume

# shrinking a failing transform takes minutes and tells nothing
QUICK = settings(deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


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
    moved = fusion.resample(ds, grid, transform=transform, method="linear")
    exact = field(np.einsum("ij,...j->...i", np.linalg.inv(transform.matrix)[:3, :3],
                            positions(grid) - transform.matrix[:3, 3]))  # fmt: skip
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
    moved = fusion.resample(ds, grid, transform=transform, method="linear")
    inside = moved["coverage"].values == 1
    expected = ndimage.map_coordinates(values, np.moveaxis(index, -1, 0), order=1, mode="nearest")
    np.testing.assert_allclose(moved["v"].values[inside], expected[inside], atol=1e-9)


def test_the_known_voxel_goes_where_the_transform_sends_it() -> None:
    values = np.zeros((3, 4, 5))
    values[2, 1, 3] = 7.0
    ds, grid = replaced(volume((3, 4, 5)), values), volume((4, 6, 9))
    transform = Affine.translation(STEPS["z"], 2 * STEPS["y"], 4 * STEPS["x"])
    moved = fusion.resample(ds, grid, transform=transform, method="linear")["v"].values
    assert np.argwhere(np.isclose(moved, 7.0)).tolist() == [[3, 3, 7]]
    assert np.nansum(moved) == pytest.approx(7.0)


def test_a_quarter_turn_moves_a_voxel_from_x_to_y() -> None:
    square, values = {dim: Axis("um", 1.0, -3.0) for dim in "yx"}, np.zeros((7, 7))
    values[3, 5] = 1.0  # y = 0, x = 2
    ds = replaced(volume((7, 7), square), values)
    moved = fusion.resample(ds, volume((7, 7), square), transform=Affine.rotation(90.0), method="linear")["v"].values
    assert np.argwhere(np.nan_to_num(moved) > 0.5).tolist() == [[5, 3]]  # y = 2, x = 0


def test_without_a_transform_the_poses_decide() -> None:
    a, b = Affine.translation(0.2, 0.03, 0.1) @ Affine.rotation(5.0), Affine.translation(0.1) @ Affine.rotation(-3.0)
    ds, grid = volume((4, 6, 5), pose=a), volume((3, 4, 6), pose=b)
    found, expected = (
        fusion.resample(ds, grid, method="linear"),
        fusion.resample(ds, grid, transform=b.inverse() @ a, method="linear"),
    )
    np.testing.assert_array_equal(found["v"].values, expected["v"].values)
    assert np.isfinite(found["v"].values).sum() > 5


def test_the_result_sits_where_the_grid_sits() -> None:
    pose = Affine.rotation(30.0, axis=(1, 1, 0))
    ds = volume((4, 6, 5), pose=Affine.translation(9.0), frame="elsewhere")
    grid = volume((3, 4, 6), pose=pose, frame="holder")
    moved = fusion.resample(ds, grid, transform=Affine.identity(), method="linear")
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
    before, moved = (deepcopy(ds), deepcopy(grid)), fusion.resample(ds, grid, method="linear")
    moved["v"].attrs["units"], moved.attrs["title"] = "spoiled", "spoiled"
    xr.testing.assert_identical(ds, before[0])
    xr.testing.assert_identical(grid, before[1])


def test_an_uneven_axis_is_interpolated_between_its_own_centres() -> None:
    heights = np.array([0.0, 1.0, 1.5, 4.0, 9.0])
    values = np.random.default_rng(0).normal(size=(5, 2, 2))
    uneven = {**axes("yx"), "z": Axis("um", values=heights)}
    ds = replaced(volume((5, 2, 2), uneven), values)
    grid = volume((25, 2, 2), {**axes("yx"), "z": Axis("um", 0.4, -0.3)})
    moved = fusion.resample(ds, grid, method="linear")
    z = grid["z"].values
    expected = np.stack([np.interp(z, heights, values[:, i, j], np.nan, np.nan) for i, j in np.ndindex(2, 2)], -1)
    np.testing.assert_allclose(moved["v"].values.reshape(25, 4), expected, rtol=1e-6)


def test_an_uneven_grid_is_served_at_its_own_places() -> None:
    ds = volume((4, 6, 5))
    uneven = {"z": Axis("um", values=[3.0, 3.1, 3.9, 4.15]), "y": Axis("um", values=[-0.99, -0.85, -0.8]),
              "x": Axis("um", values=[0.3, 0.31, 0.7])}  # fmt: skip
    grid = volume((4, 3, 3), uneven)
    np.testing.assert_allclose(fusion.resample(ds, grid, method="linear")["v"].values, grid["v"].values, rtol=1e-6)


def test_all_channels_stay_together_whatever_their_axis() -> None:
    ds, grid = volume((4, 6, 5)), volume((3, 4, 4))
    spectral = ds.assign(v=((*"zyx", "energy"), np.stack([ds["v"], 2 * ds["v"]], -1), ds["v"].attrs))
    spectral = spectral.assign_coords(energy=("energy", [1.0, 2.0], {"units": "keV", "long_name": "energy"}))
    moved = fusion.resample(spectral, grid, method="linear")
    assert moved["v"].dims == (*"zyx", "energy")
    np.testing.assert_allclose(moved["v"].values[..., 1], 2 * moved["v"].values[..., 0], rtol=1e-6)
    xr.testing.assert_identical(moved["energy"].drop_vars("pose"), spectral["energy"].drop_vars("pose"))


def test_what_has_no_place_passes_through() -> None:
    ds = volume((4, 6, 5)).assign(endmember=(("component",), np.arange(3.0), {"units": "1"}), component=list("abc"))
    moved = fusion.resample(ds, volume((3, 4, 4)), method="linear")
    np.testing.assert_array_equal(moved["endmember"].values, [0.0, 1.0, 2.0])
