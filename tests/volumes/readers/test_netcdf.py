"""NetCDF files of other programs: groups, names in capitals, and positions beside an index."""

import h5py
import numpy as np
import pytest
import xarray as xr

import volumes
from fusion.errors import FileReadError
from tests.makers.images import ramp, steps


def along(dim, step, unit):
    return dim, step * np.arange({"z": 3, "y": 4, "x": 5}[dim.lower()]), {"units": unit}


def um(ds):
    return {dim: step for dim, (step, unit) in steps(ds).items() if unit == "um"}


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
@pytest.mark.parametrize("dims", ["ZYX", "zYX", "XZY"])
def test_names_in_capitals(tmp_path, engine, dims):
    sizes = {"z": 0.5, "y": 0.2, "x": 0.1}
    shape = tuple({"z": 3, "y": 4, "x": 5}[dim.lower()] for dim in dims)
    coords = {dim: along(dim, sizes[dim.lower()], "micron") for dim in dims}
    data = ramp(*shape, dtype=np.int16)
    xr.Dataset({"density": (tuple(dims), data)}, coords).to_netcdf(tmp_path / "a.nc", engine=engine)
    ds = volumes.open(tmp_path / "a.nc")
    assert um(ds) == pytest.approx(sizes)
    order = [dims.lower().index(dim) for dim in "zyx"]
    np.testing.assert_array_equal(ds["density"], data.transpose(order))


def test_groups_are_listed_and_opened_by_their_names(tmp_path):
    path = tmp_path / "a.nc"
    outer = {dim: along(dim, step, "nm") for dim, step in (("y", 20.0), ("x", 10.0))}
    xr.Dataset(coords=outer).to_netcdf(path, engine="h5netcdf")
    for i, group in enumerate(("run/first", "run/second")):
        xr.Dataset({"sem": (("y", "x"), ramp(4, 5) + i)}).to_netcdf(path, group=group, mode="a", engine="h5netcdf")
    assert [item.name for item in volumes.contents(path)] == ["run/first/sem", "run/second/sem"]
    ds = volumes.open(path, name="run/second/sem")
    np.testing.assert_array_equal(ds["sem"], ramp(4, 5) + 1)
    assert um(ds) == pytest.approx({"y": 0.02, "x": 0.01})
    both = volumes.open(path)
    np.testing.assert_array_equal(both["run_second_sem"], both["run_first_sem"] + 1)


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(("unit", "factor"), [("m", 1e6), ("mm", 1e3)])
def test_positions_in_metres_count_and_not_the_index(tmp_path, counted, unit, factor):
    positions = np.array([0.0, 1.0, 3.0, 4.5]) * 1e-3
    variables = {"sem": (("y", "x"), ramp(4, 5)), "stage_y": ("y", positions, {"units": unit}),
                 "stage_x": along("x", 2e-3, unit)}  # fmt: skip
    coords = {"y": np.arange(4), "x": np.arange(5)} if counted else {}
    xr.Dataset(variables, coords).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    ds = volumes.open(tmp_path / "a.nc")
    assert list(ds.data_vars) == ["sem"]
    np.testing.assert_allclose(ds["y"], positions * factor)
    np.testing.assert_allclose(ds["x"], 2e-3 * factor * np.arange(5))


def test_two_positions_along_one_axis_are_not_guessed(tmp_path):
    variables = {"sem": (("y", "x"), ramp(4, 5)), **{f"{name}_x": along("x", 2e-6, "m") for name in ("stage", "beam")}}
    xr.Dataset(variables).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert steps(volumes.open(tmp_path / "a.nc"))["x"] == (1.0, "px")


def test_axes_of_other_names_are_named_by_the_user(tmp_path):
    xr.Dataset({"sem": (("line", "sample"), ramp(4, 5))}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(FileReadError, match=r"'line', 'sample' do not say what the axes of sem \(4, 5\)"):
        volumes.open(tmp_path / "a.nc")
    np.testing.assert_array_equal(volumes.open(tmp_path / "a.nc", dims=("y", "x"))["sem"], ramp(4, 5))


def test_the_users_names_keep_the_positions_of_their_axes(tmp_path):
    coords = {
        name: (name, step * np.arange(n), {"units": "nm"}) for name, step, n in (("row", 20, 4), ("column", 10, 5))
    }
    xr.Dataset({"sem": (("row", "column"), ramp(4, 5))}, coords).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert um(volumes.open(tmp_path / "a.nc", dims=("y", "x"))) == pytest.approx({"y": 0.02, "x": 0.01})


def test_an_axis_of_cf_names_a_dim(tmp_path):
    letters = zip("kji", "ZYX", (0.5, 0.2, 0.1), (3, 4, 5), strict=True)
    coords = {dim: (dim, step * np.arange(n), {"units": "um", "axis": axis}) for dim, axis, step, n in letters}
    xr.Dataset({"sem": (tuple("kji"), ramp(3, 4, 5))}, coords).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert um(volumes.open(tmp_path / "a.nc")) == pytest.approx({"z": 0.5, "y": 0.2, "x": 0.1})


@pytest.mark.parametrize(("unit", "seconds"), [("minutes since 2020-01-01", 60), ("ms", 1e-3)])
def test_times_of_cf_are_an_axis(tmp_path, unit, seconds):
    coords = {"time": ("time", [0.0, 1.0, 4.0], {"units": unit}), "y": along("y", 1, "um"), "x": along("x", 1, "um")}
    xr.Dataset({"sem": (("time", "y", "x"), ramp(3, 4, 5))}, coords).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    np.testing.assert_allclose(volumes.open(tmp_path / "a.nc")["time"], seconds * np.array([0, 1, 4]))


def test_one_variable_does_not_block_the_others(tmp_path):
    path = tmp_path / "a.nc"
    variables = {"sem": (("y", "x"), ramp(4, 5)), "map": (("y", "x", "energy"), np.ones((4, 5, 6)))}
    xr.Dataset(variables).to_netcdf(path, engine="h5netcdf")
    assert [(item.name, item.technique) for item in volumes.contents(path)] == [("sem", "image"), ("map", "unreadable")]
    ds = volumes.open(path)
    assert list(ds.data_vars) == ["sem"]
    assert "spectral axis 'energy'" in ds.attrs["left_out"]
    with pytest.raises(FileReadError, match=r"open it with spectra\.open"):
        volumes.open(path, name="map")


def test_a_group_in_another_file_is_refused(tmp_path):
    xr.Dataset({"sem": (("y", "x"), ramp(4, 5))}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["run"] = h5py.ExternalLink("other.nc", "/")
    with pytest.raises(FileReadError, match="lie in another file"):
        volumes.open(tmp_path / "a.nc")


@pytest.mark.parametrize(
    "said", [{"standard_name": "projection_{}_coordinate"}, {"axis": "{}"}, {"long_name": "{} position"}]
)
def test_attributes_of_coordinates_name_dims(tmp_path, said):
    coords = {
        dim: (dim, step * np.arange(size), {"units": "nm", **{key: value.format(name) for key, value in said.items()}})
        for dim, name, step, size in (("row", "y", 20.0, 4), ("column", "x", 10.0, 5))
    }
    xr.Dataset({"sem": (("row", "column"), ramp(4, 5))}, coords).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    ds = volumes.open(tmp_path / "a.nc")
    np.testing.assert_array_equal(ds["sem"], ramp(4, 5))
    assert um(ds) == pytest.approx({"y": 0.02, "x": 0.01})


def test_coordinates_of_other_dims_name_them(tmp_path):
    coords = {"y": ("row", 20.0 * np.arange(4), {"units": "nm"}), "x": ("column", 10.0 * np.arange(5), {"units": "nm"})}
    xr.Dataset({"sem": (("row", "column"), ramp(4, 5))}, coords).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert um(volumes.open(tmp_path / "a.nc")) == pytest.approx({"y": 0.02, "x": 0.01})


def test_a_dim_of_the_conventions_keeps_its_name(tmp_path):
    coords = {dim: (dim, np.arange(size), {"units": "um", "long_name": "x"}) for dim, size in (("y", 4), ("x", 5))}
    xr.Dataset({"sem": (("y", "x"), ramp(4, 5))}, coords).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert volumes.open(tmp_path / "a.nc")["sem"].dims == ("y", "x")


def test_positions_in_an_unknown_unit_are_refused_until_the_user_gives_a_size(tmp_path):
    coords = {dim: (dim, np.arange(size), {"units": "zork"}) for dim, size in (("y", 4), ("x", 5))}
    xr.Dataset({"sem": (("y", "x"), ramp(4, 5))}, coords).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(FileReadError, match=r"positions along y in 'zork', which is no known unit of length.*voxel="):
        volumes.open(tmp_path / "a.nc")
    assert um(volumes.open(tmp_path / "a.nc", voxel="5 nm")) == pytest.approx({"y": 0.005, "x": 0.005})
