"""The embedded default, whole: its errors against the truth, and its file in the eyes of other programs."""

from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import fusion
from conspectus.project import Project
from conspectus.recipes import phantom_steps


def test_the_pose_is_found_within_a_fifth_of_a_pixel(demo: Project) -> None:
    true = demo["map_truth"]
    error = phantom_steps.pose_error(fusion.get_pose(demo["map"])[0], fusion.get_pose(true)[0], true)
    assert error.shift < 0.2 * 50.0
    assert error.angle < 1.0


def test_the_expected_error_tells_the_true_one(demo: Project) -> None:
    """Normalised by its covariance, the error of the found transform has the size of one."""
    found, true = (fusion.get_pose(demo[name])[0] for name in ("map", "map_truth"))
    points = np.stack(np.meshgrid(0.0, [0.0, 1.3, 2.6], [0.0, 1.5, 3.0], indexing="ij"), axis=-1).reshape(-1, 3)
    error = found(points) - true(points)
    spread = np.sqrt(np.diagonal(found.covariance_at(points), axis1=-2, axis2=-1))
    assert 0.2 < np.sqrt(((error / spread) ** 2).mean()) < 2.5


def test_voxels_are_in_their_true_phase(demo: Project) -> None:
    fused, phase = demo["fused"], demo["truth"]["phase"].values
    order = phantom_steps.matching(demo["components"]["endmember"], demo["map_truth"]["endmember"])
    covered = fused["coverage"].values == 1
    guess = fused["abundance"].values[covered][:, order].argmax(axis=-1)
    assert (guess == phase[covered]).mean() >= 0.95
    assert phantom_steps.dice(guess, phase[covered]).min() >= 0.93
    mirrored = phase[:, :, ::-1]
    assert (guess == mirrored[covered]).mean() < 0.7


def test_a_spectrum_is_abundance_times_endmember(demo: Project) -> None:
    fused = demo["fused"]
    covered = np.argwhere(fused["coverage"].values == 1)
    for z, y, x in covered[:: len(covered) // 7]:
        found = fusion.spectrum(fused, z=fused["z"][z].item(), y=fused["y"][y].item(), x=fused["x"][x].item())
        direct = fused["abundance"].values[z, y, x] @ fused["endmember"].values
        np.testing.assert_allclose(found, direct, rtol=1e-6)
        assert (found["spectrum_stderr"].values > 0).any()


def test_abundances_are_placed_only_where_the_map_lies(demo: Project) -> None:
    fused = demo["fused"]
    layers = np.unique(np.nonzero(fused["coverage"].values == 1)[0])
    np.testing.assert_array_equal(layers, [0, 1])
    # the fitted pose is tilted by half a milliradian, so that a corner of the next layer is reached
    assert fused["coverage"].values[2].max() < 1
    assert np.isnan(fused["abundance"].values[3:]).all()


def test_results_are_written_and_nothing_else(demo: Project, demo_folder: Path) -> None:
    assert sorted(item.name for item in demo_folder.iterdir()) == [
        ".steps",
        "fused.nc",
        "fused.png",
        "report.html",
        "specimen.nc",
    ]
    assert [item.name for item in demo_folder.parent.iterdir()] == ["results"]
    page = (demo_folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1 + len(demo.pictures)
    assert 'src="http' not in page


def test_the_saved_tree_is_the_project(demo: Project, demo_folder: Path) -> None:
    tree = fusion.load(demo_folder / "specimen.nc")
    for name, ds in demo.nodes.items():
        xr.testing.assert_identical(tree[name].to_dataset(), ds)


def test_plain_xarray_sees_the_fused_volume(demo: Project, demo_folder: Path) -> None:
    with xr.open_dataset(demo_folder / "fused.nc") as plain:
        np.testing.assert_array_equal(plain["z"], demo["fused"]["z"])
        np.testing.assert_array_equal(plain["image"], demo["fused"]["image"])
        assert plain["x"].attrs["units"] == "um"


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_plain_xarray_opens_the_tree(demo: Project, demo_folder: Path, engine: Any) -> None:
    with xr.open_datatree(demo_folder / "specimen.nc", engine=engine) as plain:
        assert set(plain.children) == set(demo.nodes)
        np.testing.assert_array_equal(plain["fused/abundance"], demo["fused"]["abundance"])
        np.testing.assert_array_equal(plain["map/x"], demo["map"]["x"])


def test_netcdf4_sees_the_fused_volume(demo: Project, demo_folder: Path) -> None:
    with netCDF4.Dataset(demo_folder / "fused.nc") as flat, netCDF4.Dataset(demo_folder / "specimen.nc") as file:
        assert set(file.groups) == set(demo.nodes)
        assert not file.variables
        assert file["fused/abundance"].shape == demo["fused"]["abundance"].shape
        assert flat["image"].dimensions == ("z", "y", "x")
        assert flat["x"].units == "um"
        np.testing.assert_allclose(np.diff(flat["x"][:]), 0.015)
        np.testing.assert_array_equal(np.asarray(flat["image"][:]), demo["fused"]["image"].values)


def test_h5py_sees_the_fused_volume(demo: Project, demo_folder: Path) -> None:
    with h5py.File(demo_folder / "specimen.nc") as file:
        np.testing.assert_array_equal(file["fused/image"][()], demo["fused"]["image"].values)
        np.testing.assert_array_equal(file["map/counts"][()], demo["map"]["counts"].values)
        assert file["fused/image"].dims[0][0].name == "/fused/z"


def test_vtk_sees_the_fused_volume(demo: Project, demo_folder: Path) -> None:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIONetCDF import vtkNetCDFCFReader

    reader = vtkNetCDFCFReader()
    reader.SetFileName(str(demo_folder / "fused.nc"))
    reader.SphericalCoordinatesOff()
    reader.UpdateMetaData()
    reader.SetDimensions("(z, y, x)")
    reader.Update()
    grid = reader.GetOutput()
    image = demo["fused"]["image"]
    assert grid.GetCellData().HasArray("image") or grid.GetPointData().HasArray("image")
    data = grid.GetPointData() if grid.GetPointData().HasArray("image") else grid.GetCellData()
    np.testing.assert_array_equal(vtk_to_numpy(data.GetArray("image")), image.values.ravel())
    bounds = np.array(grid.GetBounds()).reshape(3, 2)
    half = 0.0 if grid.GetPointData().HasArray("image") else 0.5
    for row, dim in enumerate(("x", "y", "z")):
        centres = image[dim].values
        step = centres[1] - centres[0]
        assert bounds[row] == pytest.approx([centres[0] - half * step, centres[-1] + half * step], abs=1e-6)
