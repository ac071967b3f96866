"""Baselines, crops, spikes."""

from functools import partial

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from pybaselines import Baseline

import fusion
import spectra
from fusion import Axis, DataError, provenance


def raman(lazy=False, dtype=np.float64):
    shift = np.linspace(600.0, 1800.0, 240)
    peak = 40.0 * np.exp(-(((shift - 1003.0) / 12.0) ** 2))
    slope = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    noise = np.random.default_rng(0).normal(scale=0.3, size=(2, 3, 240))
    values = (peak + slope[..., None] * (100.0 + 0.02 * shift + 2e-6 * shift**2) + noise).astype(dtype)
    ds = fusion.dataset(
        {"intensity": (("y", "x", "raman_shift"), da.from_array(values, chunks=(1, 2, 100)) if lazy else values)},
        {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "raman_shift": Axis("1/cm", values=shift)},
        name="map", cell_methods="mean", attrs={"technique": "Raman"},
    )  # fmt: skip
    return ds, peak


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
    assert step == {"name": "spectra.baseline", "parameters": {"method": method, **options}}
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


def spiked(seed: int = 0):
    """Return smooth noisy spectra, and the same with three spikes of cosmic rays."""
    rng = np.random.default_rng(seed)
    clean = 100.0 + 30.0 * np.sin(np.linspace(0.0, 6.0, 200)) + rng.normal(size=(4, 5, 200))
    dirty = clean.copy()
    dirty[0, 1, 50] += 400.0
    dirty[2, 3, 120:122] += 250.0
    dirty[3, 0, 199] += 300.0
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "wavelength": Axis("nm", 2.0)}
    make = partial(fusion.dataset, axes=axes, name="map", cell_methods="mean")
    return tuple(make({"intensity": (("y", "x", "wavelength"), values)}) for values in (clean, dirty))


def test_spikes_are_mended_and_nothing_else_is_touched():
    clean, dirty = spiked()
    mended = spectra.despike(dirty)["intensity"]
    assert float(abs(mended - clean["intensity"]).max()) < 8.0
    changed = (mended != dirty["intensity"]).any("wavelength")
    assert sorted(map(tuple, np.argwhere(changed.values).tolist())) == [(0, 1), (2, 3), (3, 0)]
    assert mended.attrs == dirty["intensity"].attrs


def test_despiking_by_blocks_is_despiking():
    dirty = spiked()[1]
    lazy = spectra.despike(dirty.chunk(y=1, wavelength=50))
    assert lazy["intensity"].chunks is not None
    xr.testing.assert_equal(lazy.compute(), spectra.despike(dirty))


def test_clipping_sets_only_negative_values_to_zero():
    ds = spiked()[0]
    shifted = ds.assign(intensity=(ds["intensity"] - 100.0).assign_attrs(ds["intensity"].attrs))
    clipped = spectra.clip(shifted)["intensity"]
    np.testing.assert_array_equal(clipped, np.maximum(shifted["intensity"].values, 0.0))
    assert clipped.attrs == ds["intensity"].attrs


@pytest.mark.parametrize("options", [{"threshold": 0.0}, {"width": 0}, {"width": 2.5}])
def test_senseless_limits_of_spikes_are_refused(options):
    with pytest.raises(DataError, match="positive"):
        spectra.despike(spiked()[1], **options)


@pytest.mark.parametrize("sigma", [2.0, 3.0, 4.0, 10.0])
@pytest.mark.parametrize("height", [30.0, 100.0, 1e4])
def test_bands_are_no_spikes_however_steep(sigma, height):
    channels = np.arange(400)
    band = 50.0 + height * np.exp(-0.5 * ((channels - 200.3) / sigma) ** 2)
    values = np.random.default_rng(0).normal(band, 1.0, (20, 400))
    axes = {"x": Axis("um", 1.0), "raman_shift": Axis("1/cm", 1.0)}
    ds = fusion.dataset({"intensity": (tuple(axes), values)}, axes, name="map", cell_methods="mean")
    np.testing.assert_array_equal(spectra.despike(ds)["intensity"], values)
    values[3, 120:122] += 200.0
    mended = spectra.despike(ds)["intensity"].values
    assert sorted(map(tuple, np.argwhere(mended != values))) == [(3, channel) for channel in range(119, 123)]
    assert np.abs(mended[3, 119:123] - 50.0).max() < 5.0


def test_spikes_beside_channels_that_were_masked_are_mended():
    dirty = spiked()[1]
    masked = spectra.mask_channels(dirty, [20.0])
    mended = spectra.despike(masked)["intensity"]
    whole = spectra.despike(dirty)["intensity"]
    assert np.isnan(mended.sel(wavelength=20.0)).all()
    np.testing.assert_array_equal(mended.drop_sel(wavelength=20.0), whole.drop_sel(wavelength=20.0))


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
    flat = ds.assign(intensity=xr.zeros_like(ds["intensity"]))
    with pytest.raises(DataError, match="cannot fit a spectrum by 'rubberband'"):
        spectra.baseline(flat, method="rubberband")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [("despike", {}), ("baseline", {}), ("smooth", {"window": 3}), ("normalise", {"by": "max"}), ("clip", {}),
     ("mask_channels", {}), ("fill_channels", {}), ("faulty_channels", {}), ("cluster", {"clusters": 2}),
     ("decompose", {"components": 1, "method": "pca"}), ("decompose_jointly", {"components": 1}),
     ("identify", {}), ("band_map", {"bands": {"C": (990.0, 1020.0)}, "side": 20.0})],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.complex128, np.str_])
def test_values_that_are_no_real_numbers_are_refused(function, arguments, dtype):
    ds = raman()[0]
    turned = ds.assign(intensity=ds["intensity"].astype(dtype))
    with pytest.raises(DataError, match="values and real numbers are needed"):
        getattr(spectra, function)([turned] if function == "decompose_jointly" else turned, **arguments)


def test_a_narrow_line_of_the_specimen_is_no_spike():
    """Silicon on a coarse grating: two channels wide, in every pixel; and a cosmic ray on top of it in one."""
    random = np.random.default_rng(3)
    shift = np.arange(200.0, 1000.0, 4.0)
    line = 400.0 * np.exp(-(((shift - 520.7) / 3.0) ** 2))
    strength = random.uniform(0.2, 1.0, (6, 7, 1))
    clean = 100.0 + strength * line + random.normal(0.0, 2.0, (6, 7, shift.size))
    dirty = clean.copy()
    dirty[2, 3, 150] += 900.0
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "raman_shift": Axis("1/cm", values=shift)}
    ds = fusion.dataset({"intensity": (tuple(axes), dirty)}, axes, name="silicon", cell_methods="mean")
    mended = spectra.despike(ds)
    changed = np.argwhere(mended["intensity"].values != dirty)
    assert {tuple(place[:2]) for place in changed} == {(2, 3)}
    assert np.abs(mended["intensity"].values - clean).max() < 15.0
    lazy = spectra.despike(ds.chunk(y=2, x=3))
    assert lazy["intensity"].chunks is not None
    np.testing.assert_array_equal(lazy["intensity"], mended["intensity"])


def test_phenylalanine_of_cartilage_is_no_spike(measured):
    ds = spectra.open(measured("raman/chondro.nc"))
    ring = {"raman_shift": slice(996.0, 1010.0)}
    xr.testing.assert_equal(spectra.despike(ds)["counts"].sel(ring), ds["counts"].sel(ring).astype(float))
