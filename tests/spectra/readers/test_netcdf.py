"""NetCDF files of other programs: names of axes in their spelling, groups, odd units of values."""

import numpy as np
import pytest
import xarray as xr

import spectra
from fusion import FileReadError

VALUES = np.arange(24.0).reshape(2, 3, 4)
SHIFT = np.array([500.0, 520.0, 540.0, 580.0])


def write(path, dims=("y", "x", "raman_shift"), unit="cm-1", length="um", group=None, mode="w", **attrs):
    coords = {
        dims[0]: (dims[0], [0.0, 2.0], {"units": length}),
        dims[1]: (dims[1], [0.0, 0.5, 1.0], {"units": length}),
        dims[2]: (dims[2], SHIFT, {"units": unit}),
    }
    xr.Dataset({"spectra": (dims, VALUES, attrs)}, coords).to_netcdf(path, group=group, mode=mode)
    return path


@pytest.mark.parametrize(
    ("dims", "unit", "length"),
    [
        (("Y", "X", "Raman_Shift"), "1/cm", "um"),
        (("height", "width", "raman shift"), "Raman shift (cm-1)", "microns"),
        (("y", "x", "shift"), "cm^-1", "\\u00b5m"),
    ],
)
def test_axes_are_known_in_other_spellings(tmp_path, dims, unit, length):
    ds = spectra.open(write(tmp_path / "a.nc", dims, unit, length))
    assert ds["spectra"].dims == ("y", "x", "raman_shift")
    np.testing.assert_array_equal(ds["spectra"], VALUES)
    np.testing.assert_allclose(ds["x"], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(ds["raman_shift"], SHIFT)


def test_groups_are_items(tmp_path):
    write(tmp_path / "a.nc", group="map/one")
    write(tmp_path / "a.nc", ("Y", "X", "wavelength"), "nm", group="map/two", mode="a")
    assert [item.name for item in spectra.contents(tmp_path / "a.nc")] == ["map/one/spectra", "map/two/spectra"]
    ds = spectra.open(tmp_path / "a.nc", name="map/two/spectra")
    np.testing.assert_allclose(ds["wavelength"], SHIFT)
    np.testing.assert_array_equal(ds["spectra"], VALUES)


def test_an_odd_unit_of_values_blocks_nothing(tmp_path):
    ds = spectra.open(write(tmp_path / "a.nc", units="zork", long_name="signal"))
    assert (ds["spectra"].attrs["units"], ds["spectra"].attrs["units_in_file"]) == ("1", "zork")


def test_an_axis_of_an_unknown_kind_is_named(tmp_path):
    with pytest.raises(FileReadError, match="unknown dim 'q'"):
        spectra.open(write(tmp_path / "a.nc", ("y", "x", "q"), "furlong"))


@pytest.mark.parametrize(
    ("attrs", "dim"),
    [
        ({"standard_name": "radiation_wavelength", "units": "nm"}, "wavelength"),
        ({"long_name": "X-ray energy", "units": "keV"}, "energy"),
    ],
)
def test_attributes_of_coordinates_name_dims(tmp_path, attrs, dim):
    coords = {"row": ("row", [0.0, 2.0], {"units": "um", "axis": "Y"}),
              "column": ("column", [0.0, 0.5, 1.0], {"units": "um", "axis": "X"}),
              "band": ("band", SHIFT, attrs)}  # fmt: skip
    xr.Dataset({"spectra": (("row", "column", "band"), VALUES)}, coords).to_netcdf(tmp_path / "a.nc")
    ds = spectra.open(tmp_path / "a.nc")
    assert ds["spectra"].dims == ("y", "x", dim)
    np.testing.assert_array_equal(ds["spectra"], VALUES)
    assert ds["y"].values.tolist() == [0.0, 2.0]


def test_the_ending_of_hdf5_makes_no_difference(tmp_path):
    write(tmp_path / "a.nc")
    (tmp_path / "a.nc").rename(tmp_path / "a.h5")
    np.testing.assert_array_equal(spectra.open(tmp_path / "a.h5")["spectra"], VALUES)
