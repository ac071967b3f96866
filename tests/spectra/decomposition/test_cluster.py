"""Clusters and stability: known phases come back, empty pixels are named, pictures are drawn."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

import fusion
import spectra
from fusion import Axis, ConventionError, DataError


def as_map(counts):
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    return fusion.dataset(
        {"counts": (tuple(axes), counts, {"units": "count"})}, axes, name="map", cell_methods="sum"
    )  # fmt: skip


def phases(seed=0, dose=200.0):
    """Return a map of three phases, of 13 columns 6, 4 and 3, and which is where."""
    rng = np.random.default_rng(seed)
    where = np.repeat([1, 0, 2], [4, 6, 3])[None, :] * np.ones((9, 1), int)
    counts = rng.poisson(dose * rng.dirichlet(np.full(30, 0.3), 3)[where])
    counts[2, 3] = counts[7, 12] = 0
    return as_map(counts), where


@pytest.mark.parametrize("method", ["kmeans", "mixture"])
@pytest.mark.parametrize("weighting", ["poisson", None])
def test_phases_are_found_largest_first(method, weighting):
    ds, where = phases()
    found = spectra.cluster(ds, 3, method=method, weighting=weighting, seed=2)
    expected = where.copy()
    expected[2, 3] = expected[7, 12] = 3
    assert_array_equal(found["cluster"], expected)
    assert_array_equal(found["pixels"], [54, 35, 26])
    assert_array_equal(found["cluster"].attrs["flag_values"], [0, 1, 2, 3])
    assert found["cluster"].attrs["flag_meanings"] == "cluster_0 cluster_1 cluster_2 empty"
    for index in range(3):
        mean = ds["counts"].values[expected == index].mean(axis=0)
        assert_allclose(found["mean_spectrum"][index], mean, atol=1e-9)
    assert found["mean_spectrum"].attrs["units"] == "count"
    assert found.attrs["converged"] == "yes"
    xr.testing.assert_equal(found, spectra.cluster(ds, 3, method=method, weighting=weighting, seed=2))
    xr.testing.assert_equal(
        found, spectra.cluster(ds.chunk({"y": 2, "energy": 7}), 3, method=method, weighting=weighting, seed=2)
    )


def test_outside_and_empty_are_not_confused_when_resampled():
    found = spectra.cluster(phases()[0], 3)
    grid = fusion.dataset(
        {"image": (("y", "x"), np.ones((11, 13)))}, {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}, name="map",
        cell_methods="mean",
    )  # fmt: skip
    placed = fusion.resample(found, grid, method="nearest")["cluster"]
    assert_array_equal(placed[:9], found["cluster"])
    assert (placed[9:] == -1).all()
    assert placed.attrs["flag_meanings"].split() == ["cluster_0", "cluster_1", "cluster_2", "empty", "outside"]


def test_labels_survive_the_file(tmp_path):
    found = spectra.cluster(phases()[0], 3)
    fusion.save(found, tmp_path / "found.nc")
    xr.testing.assert_identical(fusion.load(tmp_path / "found.nc")["cluster"].variable, found["cluster"].variable)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clusters": 1}, "from 2 to the 115 pixels with signal; received 1"),
        ({"clusters": 116}, "received 116"),
        ({"clusters": 2.0}, r"received 2\.0"),
        ({"clusters": 3, "method": "dbscan"}, "unknown method 'dbscan'; accepted are 'kmeans', 'mixture'"),
        ({"clusters": 3, "components": 99}, "99 components asked of 115 pixels"),
        ({"clusters": 3, "weighting": "gauss"}, "unknown weighting 'gauss'"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(DataError, match=message):
        spectra.cluster(phases()[0], **options)


def test_more_clusters_than_different_spectra():
    with pytest.warns(fusion.IncompleteResultWarning, match="ask for fewer"):
        found = spectra.cluster(as_map(np.ones((3, 4, 5), int) * 7), 3, components=1)
    assert found["pixels"].sum() == 12
    assert_allclose(found["mean_spectrum"][0], 7.0)


def test_true_components_are_stable_and_surplus_ones_are_not():
    rng = np.random.default_rng(1)
    rates = rng.dirichlet(np.full(3, 0.3), (14, 15)) @ rng.dirichlet(np.full(40, 0.2), 3)
    ds = as_map(rng.poisson(800.0 * rates))
    right = spectra.stability(ds, 3, seeds=4)
    assert right["similarity"].min() > 0.99
    assert (right["lowest_similarity"] <= right["similarity"] + 1e-12).all()
    surplus = spectra.stability(ds, 7, seeds=4)
    assert surplus["similarity"].min() < 0.8
    exact = spectra.stability(ds, 3, method="pca", seeds=3)
    assert_allclose(exact["lowest_similarity"], 1.0)
    with pytest.raises(DataError, match="at least 2; received 1"):
        spectra.stability(ds, 3, seeds=1)
    figure = spectra.similarities(surplus)
    assert [bar.get_height() for bar in figure.axes[0].patches] == pytest.approx(surplus["similarity"].values)
    with pytest.raises(ConventionError, match=r"give what spectra\.stability returns"):
        spectra.similarities(ds)


def test_the_scree_shows_values_and_what_is_found_again(tmp_path):
    counted = spectra.count_components(phases(dose=50.0)[0], most=6)
    figure = spectra.scree(counted)
    figure.savefig(tmp_path / "scree.png")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert_allclose(lines["singular value"], counted["singular_value"])
    shown = [bars.lines[0].get_ydata() for bars in figure.axes[0].containers]
    assert_allclose(np.concatenate(shown), counted["cross_validated"])
    assert shown[0].size == int(counted["components"])
    with pytest.raises(ConventionError, match=r"give what spectra\.count_components returns"):
        spectra.scree(phases()[0])


def test_fewer_clusters_than_asked_for_are_said():
    axes = {"x": Axis("um", 1.0), "energy": Axis("keV", 1.0)}
    ds = fusion.dataset({"counts": (tuple(axes), np.full((6, 4), 3.0))}, axes, name="map", cell_methods="sum")
    with pytest.warns(fusion.IncompleteResultWarning, match="fall into . clusters, not 3"):
        spectra.cluster(ds, 3)
