"""Calibration of an axis by lines of known position."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusion
import spectra
from fusion import Axis, DataError, UnitError
from tests.makers.maps import ENERGY, line_map


def test_one_line_shifts():
    ds = line_map(np.ones((1, 40)))
    found = spectra.calibrate(ds, {1.0: 1250.0}, units="eV")["energy"]
    np.testing.assert_allclose(found, ENERGY + 0.25, rtol=1e-12)
    assert found.attrs["calibration"] == "gain 1, offset 0.25 keV, lines 1, rms 0 keV"


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 10.0), st.floats(-5.0, 5.0), st.lists(st.integers(0, 39), min_size=2, max_size=6, unique=True))
def test_lines_on_a_straight_line_give_it_back(gain, offset, channels):
    ds = fusion.dataset({"signal": (("x", "channel"), np.ones((2, 40)))},
                        {"x": Axis("um", 1.0), "channel": np.arange(40)}, name="map", cell_methods="mean",
                        attrs={"technique": "spectroscopy"})  # fmt: skip
    lines = {channel: gain * channel + offset for channel in channels}
    found = spectra.calibrate(ds, lines, to="energy")
    np.testing.assert_allclose(found["energy"], gain * np.arange(40) + offset, rtol=1e-9, atol=1e-9)
    assert (found["signal"].dims, found.attrs["technique"]) == (("x", "energy"), "X-ray spectroscopy")
    assert found["energy"].attrs["long_name"] == "X-ray energy"


def test_many_lines_are_fitted_as_numpy_fits_them():
    measured, true = np.array([0.5, 1.0, 2.0, 3.5]), np.array([0.55, 1.02, 2.1, 3.55])
    found = spectra.calibrate(line_map(np.ones((1, 40))), list(zip(measured, true, strict=True)))["energy"]
    gain, offset = np.polyfit(measured, true, 1)
    np.testing.assert_allclose(found, gain * ENERGY + offset, rtol=1e-12)
    rms = np.sqrt(np.mean((true - gain * measured - offset) ** 2))
    assert f"lines 4, rms {rms:.3g} keV" in found.attrs["calibration"]


@pytest.mark.parametrize(
    ("lines", "options", "error", "message"),
    [({}, {}, DataError, "pairs of a measured and a true"), ({1.0: 2.0, 2.0: 1.0}, {}, DataError, "must ascend"),
     ([(1.0, 1.0), (1.0, 2.0)], {}, DataError, "same position"), ({1.0: 1.0}, {"units": "nm"}, UnitError, "convert"),
     ({1.0: 1.0}, {"dim": "x"}, DataError, "dim='x'"), ({1.0: 1.0}, {"to": "wavelength"}, DataError, "two are needed"),
     ({1.0: 1.0}, {"to": "x"}, DataError, "cannot become 'x'"), ([[1.0, np.nan]], {}, DataError, "pairs")],
)  # fmt: skip
def test_calibration_refusals(lines, options, error, message):
    with pytest.raises(error, match=message):
        spectra.calibrate(line_map(np.ones((1, 40))), lines, **options)
