"""Spikes of cosmic rays are mended, bands are not."""

from functools import partial

import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import Axis, DataError


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


def flat_map(values, method="mean"):
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "raman_shift": Axis("1/cm", 2.0, 400.0)}
    return fusion.dataset({"signal": (tuple(axes), values)}, axes, name="map", cell_methods=method)


@pytest.mark.parametrize(("level", "height"), [(100.0, 2e4), (1.0, 1.0), (0.0, 5.0), (-3.0, 40.0)])
def test_a_spike_on_a_flat_background_is_mended(level, height):
    """More than half of all steps are zero, and so is their median absolute deviation."""
    values = np.full((4, 5, 200), level)
    values[1, 2, 80] += height
    values[3, 0, 20:22] += height
    np.testing.assert_array_equal(spectra.despike(flat_map(values))["signal"], level)


def test_a_spike_among_rounded_values_is_mended_and_the_rounding_stays():
    rng = np.random.default_rng(4)
    values = 100.0 + (rng.random((4, 5, 200)) < 0.15)
    spiked = values.copy()
    spiked[2, 1, 90] = 4000.0
    mended = spectra.despike(flat_map(spiked))["signal"].values
    assert np.abs(mended - values).max() <= 1.0
    assert (mended != values).sum() <= 3


def test_single_counts_of_a_sparse_map_are_no_spikes():
    counts = np.random.default_rng(5).poisson(0.05, (4, 5, 200)).astype(np.uint16)
    np.testing.assert_array_equal(spectra.despike(flat_map(counts, "sum"))["signal"], counts)
    struck = counts.copy()
    struck[0, 0, 50] = 60
    assert float(spectra.despike(flat_map(struck, "sum"))["signal"].max()) < 5.0


def test_two_channels_have_no_spike_to_show():
    with pytest.raises(DataError, match="at least 3 channels are needed"):
        spectra.despike(flat_map(np.ones((2, 2, 2))))
