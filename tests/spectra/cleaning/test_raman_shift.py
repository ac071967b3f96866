"""Raman shift from wavelength: known lines at their known shift."""

import dask.array as da
import numpy as np
import pytest

import fusion
import spectra
from fusion import Axis, DataError


def on_wavelength(values, wavelength, **attrs):
    axes = {"x": Axis("um", 1.0), "wavelength": Axis("nm", values=wavelength)}
    error = {"signal_stderr": (("x", "wavelength"), np.sqrt(np.asarray(values)))}
    return fusion.dataset({"signal": (("x", "wavelength"), values), **error}, axes, name="m", cell_methods="mean",
                          attrs=attrs)  # fmt: skip


@pytest.mark.parametrize(
    ("laser", "line", "shift"),
    [(532.0, 547.139, 520.1), (632.8, 654.302, 519.3), (785.0, 818.415, 520.1), (514.5, 500.999, -523.8)],
)
def test_silicon_and_its_anti_stokes_line(laser, line, shift):
    ds = spectra.to_raman_shift(on_wavelength(np.ones((1, 3)), [line - 1.0, line, line + 1.0]), laser)
    assert float(ds["raman_shift"][1]) == pytest.approx(1e7 / laser - 1e7 / line)
    assert float(ds["raman_shift"][1]) == pytest.approx(shift, abs=0.2)


def test_values_errors_and_laziness_stay():
    values = np.arange(1.0, 7.0).reshape(2, 3)
    ds = on_wavelength(da.from_array(values, chunks=(1, 3)), [540.0, 545.0, 550.0])
    result = spectra.to_raman_shift(ds, 532.0)
    assert result["signal"].chunks is not None
    np.testing.assert_array_equal(result["signal"], values)
    np.testing.assert_array_equal(result["signal_stderr"], ds["signal_stderr"])
    assert result["raman_shift"].attrs["calibration"] == "laser line 532 nm"
    assert spectra.cleaning_steps(result) == [("to_raman_shift", {"laser": 532.0})]


@pytest.mark.parametrize(
    ("wavelength", "laser", "message"),
    [([540.0, 550.0], 0.532, "from 150 to 2000 nm; received 0.532"), ([540.0, 550.0], np.nan, "received nan"),
     ([1000.0, 1100.0], 532.0, "no channel lies within 5000 1/cm of a laser line at 532 nm; the axis runs from 1000"),
     ([-1.0, 550.0], 532.0, "wavelengths are positive")],
)  # fmt: skip
def test_senseless_lasers_are_refused(wavelength, laser, message):
    with pytest.raises(DataError, match=message):
        spectra.to_raman_shift(on_wavelength(np.ones((1, 2)), wavelength), laser)


def test_an_axis_of_energy_is_refused():
    axes = {"x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    ds = fusion.dataset({"counts": (tuple(axes), np.ones((1, 4)))}, axes, name="m", cell_methods="sum")
    with pytest.raises(DataError, match="a wavelength axis is needed; the dims are x, energy"):
        spectra.to_raman_shift(ds, 532.0)
