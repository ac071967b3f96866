"""Every method of decomposition: known truth, pixels that are pure, the algorithms of HyperSpy, order and seed."""

from typing import get_args

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fusion
import spectra
from fusion import Axis, DataError, provenance
from spectra.factorisation.engines import ENGINES

OURS = ("nmf", "pca", "ica", "mcr", "nfindr", "vca")
THEIRS = (
    "SVD", "NMF", "RPCA", "MLPCA", "ORPCA", "ORNMF", "sklearn_pca", "sparse_pca", "mini_batch_sparse_pca",
    "sklearn_fastica", "orthomax",
)  # fmt: skip


def as_map(counts, unit="count"):
    axes = {"y": Axis("um", 0.5, 3.0), "x": Axis("um", 0.25, -1.0), "energy": Axis("keV", 0.1)}
    return fusion.dataset({"counts": (tuple(axes), counts, {"units": unit})}, axes, name="map", cell_methods="sum")


def truth(seed=0, shape=(9, 11), channels=40, dose=2000.0):
    """Return abundances with one pure pixel each and overlapping spectra of unit sum."""
    rng = np.random.default_rng(seed)
    pure = rng.dirichlet(np.full(channels, 0.4), 3)
    share = rng.dirichlet(np.ones(3), shape)
    for component, (y, x) in enumerate(((1, 2), (4, 9), (7, 5))):
        share[y, x] = np.eye(3)[component]
    return dose * share, pure


def noisy(seed=0, **options):
    amount, pure = truth(seed, **options)
    return as_map(np.random.default_rng(seed).poisson(amount @ pure)), amount, pure


def model(result):
    return xr.dot(result["abundance"], result["endmember"], dim="component").values


def cosines(result, pure):
    found = result["endmember"].values
    return (found / np.linalg.norm(found, axis=1)[:, None]) @ (pure / np.linalg.norm(pure, axis=1)[:, None]).T


@pytest.mark.parametrize("method", ["nfindr", "vca"])
@pytest.mark.parametrize("weighting", ["poisson", None])
def test_pure_pixels_are_found_where_they_are(method, weighting):
    amount, pure = truth()
    amount *= np.random.default_rng(1).uniform(0.3, 3.0, (9, 11, 1))
    result = spectra.decompose(as_map(amount @ pure), 3, method=method, weighting=weighting)
    places = {(float(y), float(x)) for y, x in result["pure_pixel"].values}
    assert places == {(3.5, -0.5), (5.0, 1.25), (6.5, 0.25)}
    assert list(result["axis"].values) == ["y", "x"]
    assert_allclose(cosines(result, pure).max(axis=1), 1.0)
    assert_allclose(model(result), amount @ pure, atol=1e-8 * amount.max())
    assert result["pure_pixel"].attrs["units"] == "um"


def test_nfindr_spans_the_largest_simplex_of_all():
    from itertools import combinations

    from spectra.factorisation.pure_pixels import affine, nfindr

    points = affine(np.random.default_rng(3).normal(size=(25, 3)))
    volumes = {three: abs(np.linalg.det(points[list(three)])) for three in combinations(range(25), 3)}
    found = nfindr(points, np.random.default_rng(0))
    assert abs(np.linalg.det(points[found])) == pytest.approx(max(volumes.values()))


@pytest.mark.parametrize("method", ["mcr", "nfindr", "vca"])
def test_closure_gives_fractions_and_spectra_in_counts(method):
    amount, pure = truth()
    result = spectra.decompose(as_map(amount @ (pure * [[1.0], [2.0], [3.0]])), 3, method=method, closure=True)
    assert_allclose(result["abundance"].sum("component"), 1.0)
    assert (result["abundance"] >= 0).all()
    assert "units" not in result["abundance"].attrs or result["abundance"].attrs["units"] == "1"
    assert result["endmember"].attrs["units"] == "count"
    assert "abundance_stderr" not in result
    if method != "mcr":
        assert_allclose(sorted(result["endmember"].values.sum(axis=1)), [2000.0, 4000.0, 6000.0])
    assert_allclose(model(result), amount @ (pure * [[1.0], [2.0], [3.0]]), rtol=0.05, atol=20.0)


def test_mcr_from_the_true_spectra_stays_there():
    amount, pure = truth()
    ds = as_map(amount @ pure)
    start = xr.DataArray(pure, {"energy": ds["energy"]}, ("component", "energy"))
    result = spectra.decompose(ds, 3, method="mcr", initial=start)
    assert_allclose(cosines(result, pure).max(axis=1), 1.0, rtol=1e-6)
    assert result.attrs["converged"] == "yes"
    np.testing.assert_array_equal(provenance.arguments(result, provenance.read(result)["steps"][-1])["initial"], pure)


def test_mcr_fits_as_well_as_nmf():
    ds = noisy(shape=(15, 16))[0]
    fits = {}
    for method in ("mcr", "nmf"):
        result = spectra.decompose(ds, 3, method=method)
        counts = ds["counts"].values.reshape(-1, 40)
        weight = np.maximum(counts.sum(axis=1)[:, None] * counts.sum(axis=0), 1e-9)
        fits[method] = ((counts - model(result).reshape(-1, 40)) ** 2 / weight).sum()
        assert (result["abundance"] >= 0).all()
        assert_allclose(result["endmember"].sum("energy"), 1.0)
    assert fits["mcr"] < 1.001 * fits["nmf"]


def test_ica_has_the_model_of_pca_and_finds_independent_sources():
    rng = np.random.default_rng(4)
    sources = rng.uniform(0.0, 1000.0, (40, 40, 3)) ** 2 / 1000.0
    pure = rng.dirichlet(np.full(50, 0.4), 3)
    ds = as_map(sources @ pure)
    found, plain = (spectra.decompose(ds, 3, method=method) for method in ("ica", "pca"))
    assert_allclose(model(found), model(plain), atol=1e-7 * 1000.0)
    alike = np.abs(np.corrcoef(found["abundance"].values.reshape(-1, 3).T, sources.reshape(-1, 3).T)[:3, 3:])
    mixed = np.abs(np.corrcoef(plain["abundance"].values.reshape(-1, 3).T, sources.reshape(-1, 3).T)[:3, 3:])
    assert (alike.max(axis=0) > 0.99).all()
    assert mixed.max(axis=0).min() < 0.9, "the rival separates them too: this test has lost its teeth"
    with pytest.raises(DataError, match="4 independent components asked of pixels that differ in 3 ways"):
        spectra.decompose(ds, 4, method="ica")


@pytest.mark.parametrize("method", OURS)
@pytest.mark.parametrize("weighting", ["poisson", None])
def test_order_sign_scale_and_seed_are_fixed(method, weighting):
    ds = noisy()[0]
    first, again = (spectra.decompose(ds, 3, method=method, weighting=weighting, seed=3) for _ in range(2))
    xr.testing.assert_equal(first, again)
    assert (np.diff(first["explained_variance"]) <= 0).all()
    rows = first["endmember"].values
    assert (np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1) > 0).all()
    size = np.linalg.norm(rows, axis=1) if method in ("pca", "ica") else rows.sum(axis=1)
    assert_allclose(size, 1.0)
    assert fusion.check(first) is first


@pytest.mark.parametrize("method", ["ica", "nfindr", "vca"])
def test_another_seed_gives_the_same_where_the_data_say(method):
    amount, pure = truth(shape=(20, 20))
    amount *= np.random.default_rng(1).uniform(0.5, 2.0, (20, 20, 1))
    results = [spectra.decompose(as_map(amount @ pure), 3, method=method, seed=seed) for seed in range(4)]
    for other in results[1:]:
        assert_allclose(other["endmember"], results[0]["endmember"], atol=1e-3)


@pytest.mark.filterwarnings("ignore::fusion.IncompleteResultWarning")  # as far as it came, it came the same way
@given(chunks=st.tuples(st.integers(1, 9), st.integers(1, 11), st.integers(1, 15)), method=st.sampled_from(OURS))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_lazy_equals_eager(chunks, method):
    for dose in (5.0, 500.0):
        ds = noisy(channels=15, dose=dose)[0]
        cut = ds.chunk(dict(zip(("y", "x", "energy"), chunks, strict=True)))
        xr.testing.assert_equal(spectra.decompose(cut, 2, method=method), spectra.decompose(ds, 2, method=method))


@pytest.mark.parametrize("method", THEIRS)
def test_the_algorithms_of_hyperspy_are_reached_by_their_names(method):
    ds = noisy(shape=(12, 12))[0]
    weighting = None if method == "MLPCA" else "poisson"
    found, again = (spectra.decompose(ds, 3, method=method, weighting=weighting, seed=4) for _ in range(2))
    assert_allclose(found["endmember"], again["endmember"], atol=1e-9)
    assert (np.diff(found["explained_variance"]) <= 0).all()
    best = spectra.decompose(ds, 3, method="pca", weighting=weighting)
    off, least = (np.linalg.norm(model(one) - ds["counts"].values) for one in (found, best))
    # the online ones see each spectrum once and set large residuals aside as outliers
    assert off < (8.0 if method.startswith("OR") else 1.5) * least


@pytest.mark.parametrize("method", ["sparse_pca", "mini_batch_sparse_pca", "sklearn_pca"])
def test_the_mean_that_some_subtract_is_a_component(method):
    ds = noisy(shape=(12, 12))[0]
    found = spectra.decompose(ds, 3, method=method, weighting=None)
    mean = ds["counts"].mean(("y", "x")).values
    assert_allclose(cosines(found, mean[None]).max(), 1.0)
    with pytest.raises(DataError, match="the mean, which is a component of its own; ask for 2"):
        spectra.decompose(ds, 1, method=method)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "MLPCA"}, "weighs each count by its own variance; use weighting=None"),
        ({"closure": True}, "'nmf' takes no closure; those that do are 'mcr', 'nfindr', 'vca'"),
        ({"method": "vca", "components": 1}, "at least 2; received 1"),
        ({"initial": xr.DataArray([1.0])}, "takes no initial spectra; 'mcr' does"),
        ({"method": "mcr", "initial": xr.DataArray([1.0])}, r"dims \('component', 'energy'\); received \('dim_0',\)"),
        ({"method": "mcr", "initial": xr.DataArray(np.ones((3, 40)), dims=("component", "energy"))}, "not on the ener"),
        ({"method": "FastICA"}, "what else HyperSpy offers is reached by spectra.to_hyperspy"),
    ],
)
def test_refusals(options, message):
    ds = noisy()[0]
    with pytest.raises(DataError, match=message):
        spectra.decompose(ds, **{"components": 3, **options})


def test_initial_spectra_are_as_many_as_components():
    ds, _, pure = noisy()
    start = xr.DataArray(pure, {"energy": ds["energy"]}, ("component", "energy"))
    with pytest.raises(DataError, match="3 initial spectra for 2 components"):
        spectra.decompose(ds, 2, method="mcr", initial=start)
    with pytest.raises(DataError, match="finite, not negative"):
        spectra.decompose(ds, 3, method="mcr", initial=start * np.nan)


def test_known_spectra_are_fitted_in_their_order_and_units():
    amount, pure = truth()
    ds = as_map(amount @ pure)
    start = xr.DataArray(pure[[2, 0, 1]], {"energy": ds["energy"]}, ("component", "energy"))
    result = spectra.unmix(ds, start)
    assert_allclose(result["abundance"], amount[..., [2, 0, 1]], atol=1e-6)
    assert result["abundance"].attrs["units"] == "count"
    in_counts = (500.0 * start).assign_attrs(units="count")
    shares = spectra.unmix(ds, in_counts)
    assert_allclose(shares["abundance"], amount[..., [2, 0, 1]] / 500.0, atol=1e-8)
    assert_allclose(shares["abundance_stderr"] * 500.0, result["abundance_stderr"])
    assert shares["abundance"].attrs["units"] == "1"
    closed = spectra.unmix(ds, (2000.0 * start).assign_attrs(units="count"), closure=True)
    assert_allclose(closed["abundance"], amount[..., [2, 0, 1]] / 2000.0, atol=1e-8)
    with pytest.raises(DataError, match="spectra in 'nm' cannot make up a map in 'count'"):
        spectra.unmix(ds, start.assign_attrs(units="nm"))


def test_a_map_of_intensities_below_zero_is_unmixed():
    amount, pure = truth()
    values = amount @ pure + np.random.default_rng(0).normal(0.0, 5.0, (9, 11, 40))
    result = spectra.decompose(as_map(values, unit="1"), 3, method="nfindr", weighting=None)
    assert "abundance_stderr" not in result
    assert cosines(result, pure).max(axis=1).min() > 0.98


def test_what_is_found_can_be_stored_and_fused(tmp_path):
    result = spectra.decompose(noisy()[0], 3, method="vca")
    fusion.save(result, tmp_path / "found.nc")
    xr.testing.assert_equal(fusion.load(tmp_path / "found.nc"), result)


def test_every_method_has_an_engine_of_its_name():
    assert tuple(ENGINES) == get_args(spectra.Method)
    assert all(name == engine.name for name, engine in ENGINES.items())


def test_an_empty_component_is_said():
    """Of two disjoint blocks ORPCA finds one, and gives a second endmember that is nowhere."""
    counts = np.random.default_rng(0).poisson(np.kron(np.eye(2), np.full((5, 4), 50.0)))
    axes = {"x": Axis("um", 1.0), "energy": Axis("keV", 1.0)}
    ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    with pytest.warns(fusion.IncompleteResultWarning, match="'ORPCA': components 1 are empty; ask for fewer"):
        result = spectra.decompose(ds, 2, method="ORPCA", weighting=None)
    assert result.attrs["converged"] == "no"


def test_two_components_with_one_spectrum_are_said():
    """ORNMF divides a map that is the same everywhere between two endmembers that are alike."""
    spectrum = np.round(1.0 + 20.0 * np.exp(-(((np.arange(32) - 10.0) / 3.0) ** 2)))
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    counts = np.broadcast_to(spectrum, (8, 8, 32))
    ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    with pytest.warns(fusion.IncompleteResultWarning, match="components 1 have the spectrum of one before them"):
        spectra.decompose(ds, 2, method="ORNMF")


def test_an_iteration_that_was_stopped_says_what_to_do(monkeypatch):
    monkeypatch.setattr("spectra.factorisation.nmf._ROUNDS", 3)
    with pytest.warns(fusion.IncompleteResultWarning, match=r"still improved.*ask for fewer.*crop.*method='mcr'"):
        result = spectra.decompose(noisy()[0], 3)
    assert result.attrs["converged"] == "no"
