"""Dead and hot channels: found where they are, and nowhere in sound detectors."""

import numpy as np
import pytest

import spectra
from fusion import DataError
from tests.makers.maps import ENERGY, line_map


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


def test_a_hot_channel_of_a_constant_map_is_found():
    values = np.full((4, 40), 7.0)
    values[:, 11] = 7.5
    np.testing.assert_array_equal(spectra.faulty_channels(line_map(values)).values.nonzero()[0], [11])


def test_a_dead_channel_of_a_constant_map_is_found():
    values = np.full((4, 40), 7.0)
    values[:, 30] = 0.0
    np.testing.assert_array_equal(spectra.faulty_channels(line_map(values)).values.nonzero()[0], [30])


@pytest.mark.parametrize("method", ["sum", "mean"])
def test_a_map_without_signal_tells_nothing_of_its_channels(method):
    with pytest.raises(DataError, match="no channel of the map has any signal"):
        spectra.faulty_channels(line_map(np.zeros((4, 40)), method=method)).values.any()
    with pytest.raises(DataError, match="at least 5 channels"):
        spectra.mask_channels(line_map(np.ones((4, 3)), method=method))
