"""The flat file, in the eyes of other programs."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Axis
from tests.makers.datasets import rich, small, tree
from tests.makers.octave import Octave

AXES = {"z": Axis("um", 0.3, 5.0), "y": Axis("um", 0.2, -1.0), "x": Axis("um", 0.1, 2.0)}


def fused(chunks: Any = None) -> xr.Dataset:
    """Return shares of two components in a volume of unequal sides, each voxel with a value of its own."""
    share = np.arange(120, dtype=np.float32).reshape(3, 4, 5, 2)
    values = da.from_array(share, chunks=chunks) if chunks else share
    dims = ("z", "y", "x", "component")
    variables = {
        "abundance": (dims, values, {"units": "count", "ancillary_variables": "abundance_stderr"}),
        "abundance_stderr": (dims, values + np.float32(0.5), {"units": "count"}),
        "endmember": (("component", "energy"), np.ones((2, 4))),
        "image": (("z", "y", "x"), np.ones((3, 4, 5), np.float16)),
    }
    axes = {**AXES, "component": ["Fe (II)", "Cü"], "energy": Axis("keV", 0.1)}
    pose = fusion.Affine.translation(x=7.0)
    return fusion.dataset(variables, axes, name="fused", cell_methods="mean", pose=pose, frame="block",
                          attrs={"elements": ["Fe", "Cu"]})  # fmt: skip


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    return fusion.export(fused(), tmp_path / "fused.nc")


NAMES = {"abundance_Fe_II": 0, "abundance_Cü": 1}


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_each_component_is_a_volume(flat: Path, engine: Any) -> None:
    with xr.open_dataset(flat, engine=engine) as plain:
        for name, index in NAMES.items():
            assert plain[name].dims == ("z", "y", "x")
            np.testing.assert_array_equal(plain[name], fused()["abundance"][..., index])
            assert plain[name].attrs["ancillary_variables"] == name.replace("abundance", "abundance_stderr")
        assert plain["endmember_Fe_II"].dims == ("energy",)
        assert plain["image"].dtype == np.float32
        assert max(variable.ndim for variable in plain.variables.values()) == 3
        assert plain.attrs["pose_frame"] == "block"
        np.testing.assert_array_equal(plain.attrs["pose_matrix"].reshape(4, 4)[:3, 3], [0.0, 0.0, 7.0])
        np.testing.assert_array_equal(plain["x"], fused()["x"])


def test_text_is_characters_and_z_points_up(flat: Path) -> None:
    with netCDF4.Dataset(flat) as file:
        assert file.elements == "Fe, Cu"
        assert (file["z"].axis, file["z"].positive, file["z"].units) == ("Z", "up", "um")
        assert "axis" not in file["x"].ncattrs()
    with h5py.File(flat) as file:
        for owner in (file, *file.values()):
            texts = [key for key, value in owner.attrs.items() if isinstance(value, str | bytes)]
            assert {owner.attrs.get_id(key).dtype.kind for key in texts} <= {"S"}


def test_the_netcdf_reader_of_vtk_shows_every_volume(flat: Path) -> None:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIONetCDF import vtkNetCDFCFReader

    reader = vtkNetCDFCFReader()
    reader.SetFileName(str(flat))
    reader.SphericalCoordinatesOff()
    reader.Update()
    grid, source = reader.GetOutput(), fused()
    on_cells = grid.GetPointData().GetArray("abundance_Fe_II") is None
    data = grid.GetCellData() if on_cells else grid.GetPointData()
    for dim, (low, high) in zip("xyz", np.reshape(grid.GetBounds(), (3, 2)), strict=True):
        half = (source[dim].values[1] - source[dim].values[0]) / 2 if on_cells else 0.0
        np.testing.assert_allclose([low + half, high - half], source[dim].values[[0, -1]], atol=1e-9)
    for name, index in NAMES.items():
        values = vtk_to_numpy(data.GetArray(name)).reshape(3, 4, 5)
        np.testing.assert_array_equal(values, source["abundance"].values[..., index])


def test_ncdump_shows_units_and_values(flat: Path, program: Callable[[str], str]) -> None:
    text = subprocess.run([program("ncdump"), str(flat)], capture_output=True, text=True, check=True).stdout
    assert 'x:units = "um"' in text
    assert "float abundance_Fe_II(z, y, x)" in text


def test_octave_lists_and_reads_every_volume(flat: Path, program: Callable[[str], str]) -> None:
    octave = Octave(program("octave-cli"))
    assert {f"/{name}" for name in NAMES} < set(octave.names(flat))
    for name, index in NAMES.items():
        np.testing.assert_array_equal(octave.values(flat, name), fused()["abundance"].values[..., index].ravel())


def test_octave_reads_the_groups_of_a_project(tmp_path: Path, program: Callable[[str], str]) -> None:
    octave, path = Octave(program("octave-cli")), fusion.save(tree(), tmp_path / "p.nc")
    np.testing.assert_array_equal(octave.values(path, "/map/image"), rich()["image"].values.ravel())
    np.testing.assert_array_equal(octave.values(path, "/sem/lamella/x"), small()["x"].values)
    # its ncinfo stops at attributes that are lists of texts, and at groups within groups
    plain = xr.DataTree.from_dict({"/a": small(empty="", note="é"), "/b": small(empty="")})
    assert "/b/image" in octave.names(fusion.save(plain, tmp_path / "q.nc"))


def test_lazy_values_are_written_as_eager_ones(tmp_path: Path, flat: Path) -> None:
    lazy = fusion.export(fused(chunks=(2, 3, 5, 1)), tmp_path / "lazy.nc")
    with xr.open_dataset(flat) as one, xr.open_dataset(lazy) as other:
        xr.testing.assert_identical(one, other)


def test_maps_labels_and_planes_keep_their_meaning(tmp_path: Path) -> None:
    with xr.open_dataset(fusion.export(rich(), tmp_path / "map.nc")) as plain:
        np.testing.assert_array_equal(plain["counts"], rich()["counts"])
        np.testing.assert_array_equal(plain["phase"].attrs["flag_values"], [0, 1])
        assert float(plain["z"]) == pytest.approx(0.07)
        assert plain["formula_corundum"].values.item() == "Al2O3 µ"


def test_a_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(fusion.ConventionError, match="export one node of a tree"):
        fusion.export(tree(), tmp_path / "t.nc")  # type: ignore[arg-type]
    older = fusion.export(small(), tmp_path / "t.nc").read_bytes()
    with pytest.raises(fusion.ConventionError):
        fusion.export(small().drop_vars("x"), tmp_path / "t.nc")
    assert (tmp_path / "t.nc").read_bytes() == older
