"""VTK grids carry v = 100 z + 10 y + x to the right places, also through a pose, and come back identical."""

import numpy as np
import pytest
import pyvista as pv
import xarray as xr

import fusion
import volumes
from fusion.errors import ConventionError, DataError, FrameError, UnitError

SHAPE, STEPS, STARTS = (3, 4, 5), (2.0, 0.5, 0.25), (10.0, 5.0, -3.0)
TURN = fusion.Affine.translation(z=3.0, y=1.0, x=2.0) @ fusion.Affine.rotation(30.0, axis=(1.0, 0.3, 0.2))
POSES = {
    "none": fusion.Affine.identity(),
    "shift": fusion.Affine.translation(z=-4.0, y=7.0, x=1.5),
    "turn": TURN,
    "turn and stretch": TURN @ fusion.Affine.scaling(2.0, 1.0, 0.5),
}


def place_values(z, y, x):
    return 100.0 * z + 10.0 * y + x


def labelled(pose=None, axes=None):
    axes = axes or {dim: fusion.Axis("um", step, start) for dim, step, start in zip("zyx", STEPS, STARTS, strict=True)}
    centres = [axis.centres(size, "um") for axis, size in zip(axes.values(), SHAPE, strict=True)]
    z, y, x = np.meshgrid(*centres, indexing="ij")
    variables = {
        "v": (("z", "y", "x"), place_values(z, y, x)),
        "places": (("z", "y", "x", "component"), np.stack([z, y, x], axis=-1)),
    }
    return fusion.dataset(
        variables, {**axes, "component": ["z", "y", "x"]}, name="ramp", cell_methods="mean", pose=pose, frame="stage"
    )


@pytest.mark.parametrize("name", POSES)
def test_values_stand_where_the_pose_puts_them(name):
    grid = volumes.to_pyvista(labelled(POSES[name]))
    assert isinstance(grid, pv.ImageData)
    low = np.array(STARTS)
    extent = (np.array(SHAPE) - 1) * np.array(STEPS)
    own = low + extent * np.random.default_rng(1).uniform(0.05, 0.95, (50, 3))
    probed = pv.PolyData(POSES[name](own)[:, ::-1].copy()).sample(grid)
    assert probed["vtkValidPointMask"].all()
    np.testing.assert_allclose(probed["v"], place_values(*own.T), rtol=1e-9)
    np.testing.assert_allclose(probed["places"], own, rtol=1e-9)


@pytest.mark.parametrize("name", POSES)
def test_cells_reach_half_a_pixel_further(name):
    ds = labelled(POSES[name])
    grid = volumes.to_pyvista(ds, cells=True)
    assert grid.n_cells == np.prod(SHAPE)
    inside, edges = np.array([12.0, 5.5, -2.5]), np.array(STARTS) - 0.5 * np.array(STEPS)
    points = [inside + part * np.array(STEPS) for part in (-0.49, 0.0, 0.49)] + [edges + 0.01, edges - 0.01]
    probed = pv.PolyData(POSES[name](points)[:, ::-1].copy()).sample(grid)
    assert probed["vtkValidPointMask"].tolist() == [1, 1, 1, 1, 0]
    assert probed["v"][:4] == pytest.approx([place_values(*inside)] * 3 + [place_values(*STARTS)])


@pytest.mark.parametrize("cells", [False, True])
@pytest.mark.parametrize("name", POSES)
def test_round_trip_is_identical(name, cells):
    ds = labelled(POSES[name])
    back = volumes.from_pyvista(volumes.to_pyvista(ds, cells=cells))
    xr.testing.assert_identical(back, ds)


def test_round_trip_through_a_file(tmp_path):
    ds = labelled(TURN)
    volumes.to_pyvista(ds).save(tmp_path / "a.vti")
    xr.testing.assert_identical(volumes.from_pyvista(pv.read(tmp_path / "a.vti")), ds)


def test_axes_that_are_not_uniform():
    uneven = {"z": fusion.Axis("um", values=[0.0, 1.0, 4.0]), "y": fusion.Axis("um", 0.5), "x": fusion.Axis("um", 0.25)}
    ds = labelled(fusion.Affine.translation(x=1.0), uneven)
    grid = volumes.to_pyvista(ds)
    assert isinstance(grid, pv.RectilinearGrid)
    probed = pv.PolyData(np.array([[1.6, 0.7, 2.5]])).sample(grid)
    assert probed["v"][0] == pytest.approx(place_values(2.5, 0.7, 0.6))
    xr.testing.assert_identical(volumes.from_pyvista(grid), ds)
    with pytest.raises(FrameError, match="not uniform and the pose turns them"):
        volumes.to_pyvista(labelled(TURN, uneven))


@pytest.mark.parametrize("cells", [False, True])
def test_a_map_is_a_plane_at_its_height(cells):
    values = np.arange(12.0).reshape(3, 4)
    ds = fusion.dataset(
        {"image": (("y", "x"), values)},
        {"z": fusion.Axis("um", values=7.0), "y": fusion.Axis("um", 2.0), "x": fusion.Axis("um", 0.5)},
        name="map", cell_methods="mean",
    )  # fmt: skip
    grid = volumes.to_pyvista(ds, cells=cells)
    assert grid.bounds[4:] == (7.0, 7.0)
    found = grid.find_containing_cell((1.0, 4.0, 7.0)) if cells else grid.find_closest_point((1.0, 4.0, 7.0))
    assert grid["image"][found] == values[2, 2]
    xr.testing.assert_identical(volumes.from_pyvista(grid), ds)


def test_labels_keep_their_meaning():
    labels = np.array([[0, 1], [3, 0]], np.uint8)
    attrs = {"flag_values": np.array([0, 1, 3], np.uint8), "flag_meanings": "nothing cell wall"}
    axes = {dim: fusion.Axis("um", 1.0) for dim in "yx"}
    ds = fusion.dataset({"labels": (("y", "x"), labels, attrs)}, axes, name="cells")
    back = volumes.from_pyvista(volumes.to_pyvista(ds))
    xr.testing.assert_identical(back, ds)
    assert back["labels"].attrs["flag_values"].dtype == np.uint8


@pytest.mark.parametrize("name", POSES)
def test_a_part_of_the_grid_stays_in_place(name):
    ds = labelled(POSES[name])
    part = volumes.to_pyvista(ds).extract_subset((1, 3, 0, 2, 1, 2))
    back = volumes.from_pyvista(part)
    pose, frame = fusion.get_pose(back)
    assert frame == "stage"
    own = [float(back[dim][1]) for dim in "zyx"]
    expected = POSES[name]([float(ds["z"][2]), float(ds["y"][1]), float(ds["x"][2])])
    np.testing.assert_allclose(pose(own), expected, atol=1e-9)
    assert back["v"].values[1, 1, 1] == ds["v"].values[2, 1, 2]
    assert back["places"].dims == ("z", "y", "x", "component")


def test_a_grid_of_another_program():
    grid = pv.ImageData(dimensions=(5, 4, 3), spacing=(0.25, 0.5, 2.0), origin=(-3.0, 5.0, 10.0))
    grid["v"] = place_values(grid.points[:, 2], grid.points[:, 1], grid.points[:, 0])
    with pytest.raises(UnitError, match="units="):
        volumes.from_pyvista(grid)
    ds = volumes.from_pyvista(grid, name="ct", units="mm")
    assert ds.attrs["title"] == "ct"
    assert float(ds["v"].sel(z=12000.0, y=5500.0, x=-2500.0)) == place_values(12.0, 5.5, -2.5)
    with pytest.raises(DataError, match="no arrays"):
        volumes.from_pyvista(pv.ImageData(dimensions=(2, 2, 2)), units="um")
    with pytest.raises(DataError, match="received PolyData"):
        volumes.from_pyvista(pv.Sphere())


def test_a_sheared_or_mirrored_pose_is_refused():
    shear = np.eye(4)
    shear[0, 1] = 0.3
    for pose in (fusion.Affine(shear), fusion.Affine.scaling(x=-1.0)):
        with pytest.raises(FrameError, match="shears or mirrors"):
            volumes.to_pyvista(labelled(pose))


def test_what_does_not_lie_on_the_grid_is_refused():
    ds = labelled()
    flat = ds.assign(flat=ds["v"].isel(z=0, drop=True))
    assert set(volumes.to_pyvista(flat).point_data.keys()) == {"v", "places"}
    with pytest.raises(DataError, match="do not lie on the grid"):
        volumes.to_pyvista(flat, variables=["flat"])
    with pytest.raises(DataError, match="do not lie on the grid"):
        volumes.to_pyvista(ds, variables=["missing"])


def test_an_array_added_to_the_grid_is_refused():
    grid = volumes.to_pyvista(labelled())
    grid["new"] = np.zeros(grid.n_points)
    with pytest.raises(ConventionError, match="new"):
        volumes.from_pyvista(grid)


def test_lazy_values_are_read():
    ds = labelled()
    grid = volumes.to_pyvista(ds.chunk(z=1))
    np.testing.assert_array_equal(grid["v"], volumes.to_pyvista(ds)["v"])


def test_a_variable_without_its_companion_is_taken_along():
    ds = labelled()
    ds["coverage"] = ds["v"].copy(data=np.ones(SHAPE)).assign_attrs(long_name="coverage")
    ds["v"].attrs["ancillary_variables"] = "coverage"
    for grid in (volumes.to_pyvista(ds[["v"]]), volumes.to_pyvista(ds, variables=["v"])):
        back = volumes.from_pyvista(grid)
        np.testing.assert_array_equal(back["v"].values, ds["v"].values)
        assert "ancillary_variables" not in back["v"].attrs
    assert ds["v"].attrs["ancillary_variables"] == "coverage"
    xr.testing.assert_identical(volumes.from_pyvista(volumes.to_pyvista(ds)), ds)
