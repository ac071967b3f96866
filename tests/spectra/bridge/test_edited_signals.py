"""Signals that were cut, turned or changed in HyperSpy before they come back."""

import hyperspy.api as hs
import numpy as np
import pytest

import fusion
import spectra
from tests.makers.maps import counts_in_space


def test_axis_that_was_cut_keeps_its_name_and_tells_where_it_lies():
    axes = [{"name": "x", "size": 3, "units": "nm"}, {"name": "Energy", "size": 5, "scale": 1.0, "units": "keV"}]
    signal = hs.signals.Signal1D(np.ones((3, 5)), axes=axes)
    cut = spectra.to_hyperspy(spectra.crop(spectra.from_hyperspy(signal), energy=(1.0, 3.0)))
    energy = cut.axes_manager["Energy"]
    assert (energy.size, energy.offset, energy.units) == (3, 1.0, "keV")
    assert type(cut) is type(signal)


def test_functional_axis_becomes_its_values():
    rule = {"size": 4, "expression": "x ** 2", "x": {"size": 4, "scale": 1.0, "offset": 1.0}, "name": "Wavelength",
            "units": "nm"}  # fmt: skip
    ds = spectra.from_hyperspy(
        hs.signals.Signal1D(np.ones((2, 4)), axes=[{"name": "x", "size": 2, "units": "nm"}, rule])
    )
    np.testing.assert_array_equal(ds["wavelength"], [1.0, 4.0, 9.0, 16.0])
    np.testing.assert_array_equal(spectra.to_hyperspy(ds).axes_manager["Wavelength"].axis, [1.0, 4.0, 9.0, 16.0])


def test_navigation_only_and_signal_only():
    axes = [{"name": "y", "size": 2, "units": "nm"}, {"name": "x", "size": 3, "units": "nm"}]
    image = hs.signals.Signal2D(np.arange(6.0).reshape(2, 3), axes=axes)
    for signal in (image, image.T, hs.signals.BaseSignal(np.ones(3), axes=axes[1:])):
        again = spectra.to_hyperspy(spectra.from_hyperspy(signal))
        assert again.axes_manager.navigation_dimension == signal.axes_manager.navigation_dimension
        np.testing.assert_array_equal(again.data, signal.data)


def test_ragged_signal_is_refused():
    ragged = hs.signals.BaseSignal(np.array([np.arange(2), np.arange(3)], dtype=object), ragged=True)
    with pytest.raises(fusion.DataError, match=r"ragged signal .* no common axis; bring them to one length"):
        spectra.from_hyperspy(ragged)


def test_descending_axis_is_turned_with_its_data():
    axes = [{"name": "x", "size": 2, "units": "nm"}, {"name": "Wavelength", "size": 3, "scale": -1.0, "units": "nm"}]
    ds = spectra.from_hyperspy(hs.signals.Signal1D(np.arange(6.0).reshape(2, 3), axes=axes))
    np.testing.assert_array_equal(ds["wavelength"], [-2.0, -1.0, 0.0])
    np.testing.assert_array_equal(spectra.to_hyperspy(ds).data, [[2.0, 1.0, 0.0], [5.0, 4.0, 3.0]])


def test_metadata_changed_in_hyperspy_comes_back_changed():
    ds = counts_in_space(beam_energy=15.0, instrument="SEM one")
    signal = spectra.to_hyperspy(ds)
    signal.add_elements(["Fe", "O"])
    back = spectra.from_hyperspy(signal)
    assert list(back.attrs["elements"]) == ["Fe", "O"]
    assert back.attrs["instrument"] == "SEM one"
    assert spectra.to_hyperspy(back).metadata.Sample.elements == ["Fe", "O"]


def test_values_of_a_non_uniform_axis_changed_in_hyperspy_come_back():
    ds = counts_in_space().isel(energy=[0, 1, 3])
    signal = spectra.to_hyperspy(ds)
    signal.axes_manager["energy"].axis = signal.axes_manager["energy"].axis + 0.125
    np.testing.assert_array_equal(spectra.from_hyperspy(signal)["energy"], ds["energy"] + 0.125)


def test_standard_error_is_the_noise_variance():
    ds = counts_in_space()
    error = np.sqrt(ds["counts"]).assign_attrs(ds["counts"].attrs, long_name="standard error of counts")
    both = ds.assign(counts=ds["counts"].assign_attrs(ancillary_variables="counts_stderr"), counts_stderr=error)
    signal = spectra.to_hyperspy(both)
    np.testing.assert_allclose(signal.metadata.Signal.Noise_properties.variance.data, ds["counts"], rtol=1e-6)
    back = spectra.from_hyperspy(signal)
    np.testing.assert_allclose(back["counts_stderr"], error, rtol=1e-6)
    assert back["counts"].attrs["ancillary_variables"] == "counts_stderr"
    assert back["counts_stderr"].dims == ds["counts"].dims


def test_what_is_left_out_is_noted():
    axes = [{"name": "x", "size": 2, "units": "nm"}, {"name": "Wavelength", "size": 9, "units": "nm"}]
    signal = hs.signals.Signal1D(np.ones((2, 9)), axes=axes)
    signal.create_model().store("fit")
    signal.metadata.set_item("Sample.reference", hs.signals.Signal1D(np.ones(3)))
    step = fusion.provenance.read(spectra.from_hyperspy(signal))["steps"][-1]
    assert step["parameters"]["left_out"] == ["model fit", "Sample._sig_reference"]
    signal.add_marker(hs.plot.markers.VerticalLines([3.0]), permanent=True, plot_marker=False)
    step = fusion.provenance.read(spectra.from_hyperspy(signal))["steps"][-1]
    assert step["parameters"]["left_out"][-1] == "markers"
