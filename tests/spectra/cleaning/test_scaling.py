"""Clipping, and normalising with its error, against many trials."""

import numpy as np
import pytest

import spectra
from tests.makers.maps import ENERGY, line_map


def test_clipping_sets_only_negative_values_to_zero():
    ds = line_map(np.random.default_rng(0).normal(size=(5, 40)))
    clipped = spectra.clip(ds)["signal"]
    np.testing.assert_array_equal(clipped, np.maximum(ds["signal"].values, 0.0))
    assert clipped.attrs == ds["signal"].attrs


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
