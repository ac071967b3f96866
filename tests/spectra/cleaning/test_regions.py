"""Crops by coordinates, and the mean spectra of labelled regions."""

import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import DataError
from tests.makers.maps import line_map, raman


def test_crop_by_coordinates():
    ds, _ = raman(lazy=True)
    cut = spectra.crop(ds, raman_shift=(900.0, 1100.0), x=(1.0, None))
    assert cut["raman_shift"].min() >= 900.0
    assert cut["raman_shift"].max() <= 1100.0
    np.testing.assert_array_equal(cut["x"], [1.0, 2.0])
    assert cut["intensity"].chunks is not None
    xr.testing.assert_equal(cut, ds.sel(raman_shift=slice(900.0, 1100.0), x=slice(1.0, None)))


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"energy": (0.0, 1.0)}, "no axis 'energy' to crop; the axes are"),
        ({"raman_shift": 900.0}, "the range of raman_shift is a pair"),
        ({"raman_shift": (1100.0, 900.0)}, r"nothing along raman_shift lies in .*; it runs from 600 to 1800 1/cm"),
    ],
)  # fmt: skip
def test_crop_refusals(ranges, message):
    with pytest.raises(DataError, match=message):
        spectra.crop(raman()[0], **ranges)


def with_phases():
    values = np.arange(12.0).reshape(3, 4) ** 2
    flags = {"flag_values": [0, 1, 2], "flag_meanings": "matrix particle hole"}
    return line_map(values, phase=(("x",), np.array([0, 1, 1]), flags))


def test_region_is_the_mean_with_its_standard_error():
    ds = with_phases()
    values = ds["signal"].values[1:]
    for value in ("particle", 1):
        found = spectra.region(ds, ds["phase"], value)
        np.testing.assert_allclose(found["signal"], values.mean(axis=0))
        np.testing.assert_allclose(found["signal_stderr"], values.std(axis=0, ddof=1) / np.sqrt(2))
        assert (found["signal"].dims, found.attrs["pixels"]) == (("energy",), 2)
    alone = spectra.region(ds, ds["phase"], "matrix")
    np.testing.assert_array_equal(alone["signal"], ds["signal"][0])
    assert alone["signal_stderr"].isnull().all()
    lazy = spectra.region(ds.assign(signal=ds["signal"].chunk(x=1)), ds["phase"], 1)
    assert lazy["signal"].chunks is not None
    xr.testing.assert_allclose(lazy.compute()["signal_stderr"], spectra.region(ds, ds["phase"], 1)["signal_stderr"])


def test_region_refusals():
    ds = with_phases()
    with pytest.raises(DataError, match="no region 'matter'; the labels are"):
        spectra.region(ds, ds["phase"], "matter")
    with pytest.raises(DataError, match="no pixel is labelled 'hole'"):
        spectra.region(ds, ds["phase"], "hole")
    with pytest.raises(DataError, match="positions along x"):
        spectra.region(ds, ds["phase"].assign_coords(x=ds["x"] + 0.5), 1)
    with pytest.raises(fusion.ConventionError, match="flag_values"):
        spectra.region(ds, ds["signal"].isel(energy=0, drop=True), 1)
