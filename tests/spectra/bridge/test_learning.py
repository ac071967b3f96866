"""Decompositions as HyperSpy's learning results, and back."""

import dask.array as da
import hyperspy.api as hs
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import Axis, DataError

mpl.use("Agg")


def counts(lazy=False):
    rng = np.random.default_rng(0)
    energy = 0.1 * np.arange(40)
    pure = np.stack([np.exp(-(((energy - centre) / 0.2) ** 2)) for centre in (1.0, 3.0)])
    values = rng.poisson(rng.uniform(0.0, 50.0, (4, 5, 2)) @ pure).astype(np.uint16)
    return fusion.dataset(
        {"counts": (("y", "x", "energy"), da.from_array(values, chunks=3) if lazy else values, {"units": "count"})},
        {"y": Axis("um", 2.0, 5.0), "x": Axis("um", 3.0), "energy": Axis("keV", 0.1)},
        name="map", cell_methods="sum", frame="stage",
    )  # fmt: skip


def assert_same_parts(first, second):
    for name in ("abundance", "endmember", "explained_variance"):
        np.testing.assert_allclose(first[name].values, second[name].values, rtol=1e-12)
        assert first[name].dims == second[name].dims
        for dim in first[name].dims:
            xr.testing.assert_identical(first[dim], second[dim])
    xr.testing.assert_identical(first["pose"], second["pose"])


@pytest.mark.parametrize("method", ["nmf", "pca"])
@pytest.mark.parametrize("lazy", [False, True])
def test_signal_of_the_map_carries_its_decomposition(method, lazy):
    ds = counts(lazy)
    found = spectra.decompose(ds, 2, method=method)
    signal = spectra.to_hyperspy(ds, decomposition=found)
    results = signal.learning_results
    assert (results.output_dimension, results.poissonian_noise_normalized) == (2, True)
    assert results.decomposition_algorithm == {"nmf": "NMF", "pca": "SVD"}[method]
    expected = found["abundance"].values @ found["endmember"].values
    np.testing.assert_allclose(signal.get_decomposition_model().data, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(
        signal.get_decomposition_loadings().data, found["abundance"].transpose("component", "y", "x")
    )
    np.testing.assert_array_equal(signal.get_decomposition_factors().data, found["endmember"])
    assert type(signal.get_decomposition_factors()).__name__.endswith("EDSSEMSpectrum")
    back = spectra.learning_results(signal)
    assert_same_parts(back, found)
    assert (back.attrs["decomposition"].lower(), back.attrs["weighting"]) == (method, "poisson")


def test_known_pixel_is_at_its_known_place():
    ds = counts()
    found = spectra.decompose(ds, 2)
    loadings = spectra.to_hyperspy(ds, decomposition=found).get_decomposition_loadings()
    np.testing.assert_array_equal(loadings.isig[4, 2].data.ravel(), found["abundance"].isel(y=2, x=4))


def test_results_are_plotted_without_a_screen():
    import matplotlib.pyplot as plt

    ds = counts()
    signal = spectra.to_hyperspy(ds, decomposition=spectra.decompose(ds, 3, method="pca"))
    signal.plot_decomposition_results()
    signal.plot_decomposition_factors(2)
    signal.plot_decomposition_loadings(2)
    signal.plot_scree_plot()
    assert len(plt.get_fignums()) >= 4
    plt.close("all")


def test_decomposition_alone_is_its_model():
    found = spectra.decompose(counts(), 2)
    signal = spectra.to_hyperspy(found)
    assert signal._lazy
    np.testing.assert_allclose(signal.data.compute(), found["abundance"].values @ found["endmember"].values)
    assert_same_parts(spectra.learning_results(signal), found)
    assert spectra.to_hyperspy(found, variable="endmember").data.shape == (2, 40)


def test_file_in_between_changes_nothing(tmp_path):
    found = spectra.decompose(counts(), 2)
    fusion.save(found, tmp_path / "found.nc")
    assert_same_parts(spectra.learning_results(spectra.to_hyperspy(fusion.load(tmp_path / "found.nc"))), found)


def test_shares_of_pca_are_those_of_hyperspy():
    ds = counts()
    ours = spectra.to_hyperspy(ds, decomposition=spectra.decompose(ds, 3, method="pca", weighting=None))
    theirs = spectra.to_hyperspy(ds)
    theirs.change_dtype("float64")
    theirs.decomposition(print_info=False)
    shares = theirs.learning_results.explained_variance_ratio[:3]
    np.testing.assert_allclose(ours.learning_results.explained_variance_ratio, shares, rtol=1e-9)


def elsewhere(scale=1.0):
    axes = [
        {"name": "y", "size": 3, "units": "nm"},
        {"name": "x", "size": 4, "units": "nm", "scale": scale},
        {"name": "Wavelength", "size": 6, "units": "nm"},
    ]
    return hs.signals.Signal1D(np.random.default_rng(1).uniform(1.0, 2.0, (3, 4, 6)), axes=axes)


def test_results_of_hyperspy_on_descending_axes_multiply_to_its_model():
    signal = elsewhere(scale=-2.0)
    signal.decomposition(output_dimension=2, print_info=False)
    found = spectra.learning_results(signal)
    model = found["abundance"].values @ found["endmember"].values
    np.testing.assert_allclose(model, signal.get_decomposition_model().data[:, ::-1], rtol=1e-12)
    np.testing.assert_allclose(found["x"], [-0.006, -0.004, -0.002, 0.0], atol=1e-15)


def test_masks_come_through_as_nan():
    signal = elsewhere()
    mask = hs.signals.BaseSignal(np.arange(12).reshape(3, 4) == 6).T
    signal.decomposition(output_dimension=2, print_info=False, navigation_mask=mask)
    found = spectra.learning_results(signal)
    assert found["abundance"].isnull().any("component").sum() == 1
    assert found["abundance"].isel(y=1, x=2).isnull().all()
    again = spectra.to_hyperspy(spectra.from_hyperspy(signal), decomposition=found)
    np.testing.assert_array_equal(again.learning_results.navigation_mask, signal.learning_results.navigation_mask)


def test_unmixed_components():
    signal = elsewhere()
    signal.decomposition(output_dimension=3, print_info=False)
    with pytest.raises(DataError, match="blind_source_separation"):
        spectra.learning_results(signal, unmixed=True)
    signal.blind_source_separation(2, print_info=False, algorithm="orthomax")
    found = spectra.learning_results(signal, unmixed=True)
    np.testing.assert_allclose(
        found["abundance"].values @ found["endmember"].values, signal.get_bss_model().data, rtol=1e-12
    )
    assert "explained_variance" not in found


def test_refusals():
    signal = elsewhere()
    with pytest.raises(DataError, match=r"run signal.decomposition\(...\) first"):
        spectra.learning_results(signal)
    signal.decomposition(output_dimension=2, print_info=False, centre="navigation")
    with pytest.raises(DataError, match=r"centred .*centre=None"):
        spectra.learning_results(signal)
    ds = counts()
    with pytest.raises(DataError, match="abundance and endmember"):
        spectra.to_hyperspy(ds, decomposition=ds)
    with pytest.raises(DataError, match="positions along x"):
        spectra.to_hyperspy(ds, decomposition=spectra.decompose(ds, 2).assign_coords(x=ds["x"] + 1.0))
