"""Smoothing against SciPy and against analytic truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

import spectra
from fusion import DataError
from tests.makers.maps import ENERGY, line_map


@pytest.mark.parametrize(("window", "order"), [(5, 2), (9, 3), (7, 0), (39, 4)])
def test_savitzky_golay_is_that_of_scipy(window, order):
    values = np.random.default_rng(4).normal(size=(3, 40))
    found = spectra.smooth(line_map(values), window=window, order=order)["signal"]
    np.testing.assert_allclose(found, savgol_filter(values, window, order), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.floats(-5.0, 5.0), st.floats(-5.0, 5.0), st.floats(0.05, 2.0), st.integers(0, 99))
def test_gaussian_keeps_a_constant_and_inner_slopes(level, slope, sigma, seed):
    flat = spectra.smooth(line_map(np.full((1, 40), level)), sigma=sigma)["signal"]
    np.testing.assert_allclose(flat, level, atol=1e-9)
    ramp = spectra.smooth(line_map(slope * ENERGY[None]), sigma=min(sigma, 0.3))["signal"]
    np.testing.assert_allclose(ramp[0, 18:22], slope * ENERGY[18:22], atol=1e-9)
    axis = np.cumsum(np.random.default_rng(seed).uniform(0.05, 0.2, 40))
    np.testing.assert_allclose(spectra.smooth(line_map(np.full((1, 40), level), axis), sigma=sigma)["signal"], level,
                               atol=1e-9)  # fmt: skip


def test_gaussian_widens_a_line_by_its_variance():
    line = np.exp(-0.5 * ((ENERGY - 2.0) / 0.2) ** 2)
    found = spectra.smooth(line_map(line[None]), sigma=0.15)["signal"][0]
    expected = 0.2 / 0.25 * np.exp(-0.5 * ((ENERGY - 2.0) / 0.25) ** 2)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "either window"), ({"window": 5, "sigma": 1.0}, "either window"), ({"window": 4}, "odd number"),
     ({"window": 3, "order": 3}, "odd number"), ({"window": 5, "order": 1.5}, "odd number"),
     ({"window": 41}, "at most 40"), ({"sigma": 0.0}, "positive"),
     ({"sigma": 1.0, "order": 2}, "order belongs to window")],
)  # fmt: skip
def test_senseless_filters_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        spectra.smooth(line_map(np.ones((1, 40))), **options)


def test_window_on_an_uneven_axis_is_refused():
    with pytest.raises(DataError, match=r"energy is not uniform.*sigma"):
        spectra.smooth(line_map(np.ones((1, 40)), ENERGY**2), window=5)
