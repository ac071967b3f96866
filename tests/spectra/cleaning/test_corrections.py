"""Normalising, smoothing, calibrating, faulty channels and labelled regions against known truth."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

import fusion
import spectra
from fusion import Axis, DataError, UnitError

ENERGY = 0.1 * np.arange(40)


def line_map(values, axis=None, method="mean", dim="energy", unit="keV", error=None, **extra):
    values = np.asarray(values)
    axes = {"x": Axis("um", 1.0), dim: Axis(unit, values=ENERGY[: values.shape[1]] if axis is None else axis)}
    linked = {} if error is None else {"ancillary_variables": "signal_stderr"}
    found = {"signal": (("x", dim), values, linked), **extra}
    if error is not None:
        found["signal_stderr"] = (("x", dim), error)
    return fusion.dataset(found, axes, name="map", cell_methods=method)


@pytest.mark.parametrize("by", ["area", "max", "norm", (0.5, 2.0)])
def test_what_is_one_after_normalising(by):
    axis = np.cumsum(np.random.default_rng(0).uniform(0.05, 0.2, 40))
    ds = line_map(np.random.default_rng(1).uniform(1.0, 2.0, (5, 40)), axis)
    found = spectra.normalise(ds, by=by)["signal"]
    part = found.sel(energy=slice(*by)) if isinstance(by, tuple) else found
    one = {"max": found.max("energy"), "norm": (found**2).sum("energy") ** 0.5}
    one = one[by] if by in ("max", "norm") else part.integrate("energy")
    np.testing.assert_allclose(one, 1.0, rtol=1e-12)
    assert found.attrs["units"] == ("1" if by in ("max", "norm") else "1/keV")
    twice = spectra.normalise(ds.assign(signal=(3.0 * ds["signal"]).assign_attrs(ds["signal"].attrs)), by=by)["signal"]
    np.testing.assert_allclose(twice, found, rtol=1e-12)


@pytest.mark.parametrize("by", ["area", "max", "norm", (0.5, 2.0)])
def test_error_of_normalised_spectra_is_that_of_many_trials(by):
    rng = np.random.default_rng(2)
    truth = 400.0 * np.exp(-(((ENERGY - 2.0) / 0.4) ** 2)) + 100.0
    truth[20] += 300.0  # one clear maximum
    sigma = 0.02 * truth
    trials = spectra.normalise(line_map(truth + sigma * rng.normal(size=(4000, 40))), by=by)["signal"]
    error = spectra.normalise(line_map(truth[None], error=sigma[None]), by=by)["signal_stderr"].values[0]
    np.testing.assert_allclose(error, trials.std("x"), rtol=0.08, atol=1e-6)


def test_error_of_counts_is_that_of_poisson():
    rng = np.random.default_rng(3)
    truth = 400.0 * np.exp(-(((ENERGY - 2.0) / 0.4) ** 2)) + 100.0
    trials = line_map(rng.poisson(truth, (4000, 40)).astype(np.uint16), method="sum")
    for name, options in [("normalise", {"by": "area"}), ("smooth", {"window": 7}), ("smooth", {"sigma": 0.2})]:
        done = spectra.clean(trials, [(name, options)])
        assert done["signal"].attrs["cell_methods"] == "x: mean"
        np.testing.assert_allclose(done["signal_stderr"].mean("x"), done["signal"].std("x"), rtol=0.08)


def test_empty_spectrum_cannot_be_normalised():
    found = spectra.normalise(line_map(np.stack([np.zeros(40), np.ones(40)])), by="area")["signal"]
    assert found[0].isnull().all()
    assert found[1].notnull().all()


@pytest.mark.parametrize("by", ["area", "max", "norm"])
def test_spectrum_with_an_infinite_value_cannot_be_normalised(by):
    values = np.array([[1.0, np.inf, 2.0], [1.0, 2.0, 4.0]])
    found = spectra.normalise(line_map(values), by=by)["signal"]
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_a_negative_value_adds_to_the_error_of_the_norm():
    found = spectra.normalise(line_map([[-3.0, 4.0]], error=np.ones((1, 2))), by="norm")
    np.testing.assert_allclose(found["signal_stderr"], [[0.8 / 5.0, 0.6 / 5.0]])


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


def xray_sum(seed=0, pixels=1000):
    """Return counts of lines as a detector gives them, 130 eV wide at 10 eV for a channel, nothing below 50 eV."""
    energy = 0.01 * np.arange(600)
    rate = 0.4 * np.exp(-energy / 2.0)
    for height, centre in [(2.0, 0.52), (5.0, 1.74), (1.0, 4.5)]:
        rate += height * np.exp(-0.5 * ((energy - centre) / 0.055) ** 2)
    rate[:5] = 0.0
    return energy, np.random.default_rng(seed).poisson(rate, (pixels, 600)).astype(np.uint16)


def test_dead_and_hot_channels_are_found_and_no_line_is():
    energy, counts = xray_sum()
    clean = line_map(counts, energy, method="sum")
    assert not spectra.faulty_channels(clean).any()
    counts[:, [100, 174, 175, 300]] = 0
    counts[:, [50, 450]] += 15
    found = spectra.faulty_channels(line_map(counts, energy, method="sum"))
    np.testing.assert_array_equal(found.values.nonzero()[0], [50, 100, 174, 175, 300, 450])


def test_zeros_of_a_sparse_map_are_not_dead():
    energy, counts = xray_sum(pixels=3)
    assert not spectra.faulty_channels(line_map(counts, energy, method="sum")).any()


@pytest.mark.parametrize("name", ["edx/test_TEM.bcf", "raman/chondro.nc", "raman/renishaw_test_zscan.wdf"])
def test_measured_detectors_are_found_sound(measured, name):
    found = spectra.faulty_channels(spectra.open(measured(name)))
    assert int(found.sum()) == 0


def test_filling_follows_a_straight_line_on_an_uneven_axis():
    axis = ENERGY**2 + ENERGY
    ds = line_map((2.0 + 3.0 * axis)[None], axis)
    broken = ds.copy(deep=True)
    broken["signal"][:, [7, 8, 20]] = 0.0
    filled = spectra.fill_channels(broken, [tuple(axis[[7, 8]]), axis[20]])
    np.testing.assert_allclose(filled["signal"], ds["signal"], rtol=1e-12)
    ends = spectra.fill_channels(broken, [axis[0], axis[39]])["signal"].values
    assert (ends[0, 0], ends[0, 39]) == (broken["signal"].values[0, 1], broken["signal"].values[0, 38])


def test_counts_are_masked_but_never_filled():
    ds = line_map(np.ones((2, 40), np.uint8), method="sum")
    with pytest.raises(DataError, match="not counted cannot be filled in; use mask_channels"):
        spectra.fill_channels(ds, [1.0])
    masked = spectra.mask_channels(ds, [1.0])["signal"]
    assert masked.isnull().sum() == 2
    for places in ([9.0], [(7.0, 8.0)]):
        with pytest.raises(DataError, match="no channel along energy"):
            spectra.mask_channels(ds, places)


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
