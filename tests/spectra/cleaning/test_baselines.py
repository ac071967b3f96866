"""Baselines against those of pybaselines and a known peak."""

import numpy as np
import pytest
import xarray as xr
from pybaselines import Baseline

import fusion
import spectra
from fusion import Axis, DataError, provenance
from spectra.cleaning.baselines import _fitted
from tests.makers.maps import raman


@pytest.mark.parametrize(
    ("method", "options"),
    [("asls", {"lam": 3e4, "p": 1e-3}), ("arpls", {"lam": 3e4}), ("snip", {"max_half_window": 40})],
)
def test_baseline_leaves_the_peak(method, options):
    ds, peak = raman()
    flat = spectra.baseline(ds, method=method, **options)
    assert float(abs(flat["intensity"] - peak).max()) < 4.0
    assert flat["intensity"].attrs == ds["intensity"].attrs
    step = provenance.read(flat)["steps"][-1]
    assert (step["name"], step["parameters"]) == ("spectra.baseline", {"method": method, **options})
    xr.testing.assert_identical(ds, raman()[0])


def test_baseline_is_that_of_pybaselines(measured):
    ds = spectra.open(measured("raman/chondro.nc")).isel(y=slice(0, 2), x=slice(0, 3))
    flat = spectra.baseline(ds, lam=1e5)["counts"]
    spectrum = ds["counts"].values[1, 2].astype(float)
    expected = spectrum - Baseline(ds["raman_shift"].values).asls(spectrum, lam=1e5)[0]
    assert (flat.dtype, flat.chunks is None) == (np.float32, False)
    np.testing.assert_allclose(flat.values[1, 2], expected, rtol=1e-5, atol=1e-3)


def test_lazy_baseline_equals_eager():
    lazy, eager = (spectra.baseline(raman(lazy=lazy)[0])["intensity"] for lazy in (True, False))
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.values, eager.values)


def test_masked_spectrum_stays_masked():
    ds, _ = raman()
    ds["intensity"][0, 1, 5] = np.nan
    flat = spectra.baseline(ds)["intensity"]
    assert flat[0, 1].isnull().all()
    assert flat.isnull().sum() == flat.sizes["raman_shift"]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [("nosuch", {}, "no method 'nosuch'; common ones are 'asls'"), ("asls", {"lam": -1.0}, "lam must be greater"),
     ("asls", {"stiffness": 3.0}, "unexpected keyword argument 'stiffness'"), ("_class", {}, "no method")],
)  # fmt: skip
def test_wrong_method_fails_at_once(method, options, message):
    with pytest.raises(DataError, match=message):
        spectra.baseline(raman(lazy=True)[0], method=method, **options)


@pytest.mark.parametrize(
    ("method", "options"),
    [("pspline_asls", {"num_knots": 20.0, "lam": 1e3}), ("asls", {"max_iter": 5.0, "p": 0.02}),
     ("loess", {"total_points": 40.0})],
)  # fmt: skip
def test_whole_numbers_may_be_floats(method, options):
    ds, _ = raman()
    one = ds.isel(y=slice(1), x=slice(2))
    whole = {key: int(value) if value == int(value) else value for key, value in options.items()}
    flat, expected = spectra.baseline(one, method=method, **options), spectra.baseline(one, method=method, **whole)
    xr.testing.assert_equal(flat, expected)
    assert provenance.read(flat)["steps"][-1]["parameters"] == {"method": method, **options}


def test_fraction_is_not_rounded():
    with pytest.raises(DataError, match=r"refuses method 'pspline_asls' with \{'num_knots': 20.5\}: .*integer"):
        spectra.baseline(raman()[0], method="pspline_asls", num_knots=20.5)


def test_option_or_axis_called_ds_is_named():
    ds, _ = raman()
    with pytest.raises(DataError, match="unexpected keyword argument 'ds'"):
        spectra.baseline(ds, ds=1.0)
    with pytest.raises(DataError, match="no axis 'ds' to crop; the axes are y, x, raman_shift"):
        spectra.crop(ds, ds=(0.0, 1.0))


@pytest.mark.parametrize("method", ["rubberband", "dietrich", "mpls", "loess", "std_distribution", "asls", "mormol"])
def test_baselines_that_need_a_peak_are_reached(method):
    channels = np.arange(200)
    peak = 100.0 * np.exp(-0.5 * ((channels - 80) / 4.0) ** 2)
    values = np.random.default_rng(0).normal(50.0 + 0.2 * channels + peak, 1.0, (2, 200))
    axes = {"x": Axis("um", 1.0), "raman_shift": Axis("1/cm", 1.0)}
    ds = fusion.dataset({"intensity": (tuple(axes), values)}, axes, name="map", cell_methods="mean")
    assert float(abs(spectra.baseline(ds, method=method)["intensity"] - peak).max()) < 10.0


def test_a_spectrum_that_has_no_baseline_is_told():
    ds = raman()[0]
    flat = ds.assign(intensity=xr.zeros_like(ds["intensity"]) + np.arange(ds.sizes["raman_shift"]))
    with pytest.raises(DataError, match="cannot fit a spectrum by 'rubberband'"):
        spectra.baseline(flat, method="rubberband")


@pytest.mark.parametrize("method", ["asls", "imodpoly", "psalsa"])
def test_a_constant_spectrum_is_its_own_baseline(method):
    ds, _ = raman()
    ds["intensity"][0, 1] = 7.0
    ds["intensity"][1, 1] = 0.0
    flat = spectra.baseline(ds, method=method)["intensity"]
    assert not flat[0, 1].any()
    assert not flat[1, 1].any()
    assert np.isfinite(flat).all()


@pytest.mark.parametrize("found", [np.nan, 0.0])
def test_a_baseline_that_is_none_is_never_subtracted_in_silence(found):
    spectrum = np.full(200, 10.0)
    spectrum[77] = 1000.0
    with pytest.raises(DataError, match=r"cannot fit a spectrum by 'derpsalsa'.*use 'asls' or 'snip'"):
        _fitted(lambda values: (np.full(values.size, found), {}), spectrum, "derpsalsa", {})
