"""Maps within volumes: which layers a plane fills, and what it cannot say."""

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import fusion
from fusion import Affine, Axis
from tests.makers.grids import STARTS, THICK, axes, plane, positions, volume

# shrinking a failing transform takes minutes and tells nothing
QUICK = settings(deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


@pytest.mark.parametrize("z", [3.0, 3.1, 3.44, 3.7, 4.19])
def test_an_aligned_map_is_one_layer_thick(z: float) -> None:
    grid = volume((5, 9, 8), axes(steps=THICK))
    layers = fusion.resample(plane(z), grid, method="linear")["coverage"].values.any(axis=(1, 2))
    assert layers.tolist() == [abs(centre - z) < THICK["z"] / 2 for centre in grid["z"].values]
    assert layers.sum() == 1


@pytest.mark.parametrize("depth", [0.2, 0.7, 1.3, np.inf])
def test_a_map_fills_the_depth_that_it_speaks_for(depth: float) -> None:
    grid = volume((6, 9, 8), axes(steps=THICK))
    moved = fusion.resample(plane(3.65), grid, depth=depth, method="linear")
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
    moved = fusion.resample(volume((101, 101), large), grid, transform=tilt, method="linear")
    normal = tilt.matrix[:3, 0]
    away = (positions(grid) - tilt.matrix[:3, 3]) @ normal
    along = int(np.argmax(np.abs(normal) * list(cube.values())))
    crossed = (away.min(axis=along) <= 0) & (away.max(axis=along) >= 0)
    met = moved["coverage"].values.sum(axis=along)
    assert crossed.any()
    assert (met[crossed] >= 1).all()
    assert (met <= 2).all()


def test_a_map_without_z_lies_at_zero_and_two_maps_ignore_z() -> None:
    flat, high = volume((9, 8)), plane(40.0)
    np.testing.assert_allclose(fusion.resample(high, flat, method="linear")["v"].values, high["v"].values)
    zero = axes(steps=THICK, starts={**STARTS, "z": -0.3})
    layers = fusion.resample(flat, volume((4, 9, 8), zero), method="linear")["coverage"].values.all(axis=(1, 2))
    assert layers.tolist() == [False, True, False, False]


def test_a_single_plane_cannot_say_how_thick_it_is() -> None:
    grid = volume((1, 9, 8))
    with pytest.raises(fusion.DataError, match=r"how thick.*depth="):
        fusion.resample(plane(3.0), grid, method="linear")
    assert fusion.resample(plane(3.0), grid, depth=0.1, method="linear")["coverage"].values.all()


@pytest.mark.parametrize("depth", [0.0, -1.0, np.nan])
def test_a_senseless_depth_is_refused(depth: float) -> None:
    with pytest.raises(fusion.DataError, match="positive thickness"):
        fusion.resample(plane(3.0), volume((3, 9, 8)), depth=depth, method="linear")


def test_a_line_does_not_say_how_wide_it_is() -> None:
    line = volume((4, 1, 8))
    with pytest.raises(fusion.DataError, match="one pixel along y"):
        fusion.resample(line, volume((4, 3, 8)), method="linear")
    covered = fusion.resample(line, volume((4, 3, 8)), depth=0.06, method="linear")["coverage"].values
    assert covered.any(axis=(0, 2)).tolist() == [True, False, False]


def test_a_slice_of_a_volume_is_taken_at_the_plane_of_a_map() -> None:
    ds, grid = volume((4, 6, 5)), plane(3.3, (5, 4))
    moved = fusion.resample(ds, grid, method="linear")
    assert moved["v"].dims == ("y", "x")
    np.testing.assert_allclose(moved["v"].values, grid["v"].values, rtol=1e-6)


def test_a_map_that_slips_between_two_layers_is_refused() -> None:
    axes = {dim: fusion.Axis("um", 1.0) for dim in "zyx"}
    block = fusion.dataset({"v": (("z", "y", "x"), np.ones((3, 4, 5)))}, axes, name="block", cell_methods="mean")
    flat = {"y": axes["y"], "x": axes["x"], "z": fusion.Axis("um", values=0.5)}
    sheet = fusion.dataset({"m": (("y", "x"), np.ones((4, 5)))}, flat, name="sheet", cell_methods="mean")
    with pytest.raises(fusion.DataError, match="covers no point of the grid of block"):
        fusion.resample(sheet, block, transform=fusion.Affine.identity(), depth=0.1, method="linear")
    assert fusion.resample(sheet, block, transform=fusion.Affine.identity(), method="linear")["coverage"].any()
