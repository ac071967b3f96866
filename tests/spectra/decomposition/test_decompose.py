"""Decompositions against brute force, known endmembers recovered, standard errors that cover."""

import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.linalg import subspace_angles

import fusion
import spectra
from fusion import Affine, Axis, DataError, provenance
from spectra.factorisation.nmf import nonnegative
from spectra.factorisation.uncertainty import abundance_error

RNG = np.random.default_rng(20)


def as_map(counts, unit="count", **options):
    dims = ("y", "x", "energy")[-counts.ndim :]
    axes = {"y": Axis("nm", 50.0), "x": Axis("nm", 50.0), "energy": Axis("keV", 0.02, 0.1)}
    return fusion.dataset(
        {"counts": (dims, counts, {"units": unit})}, {dim: axes[dim] for dim in dims},
        name="map", cell_methods="sum", **options,
    )  # fmt: skip


def truth(channels=120, size=40, dose=3000.0):
    """Return three overlapping spectra of unit sum and their abundances in counts, with pure corners."""
    energy = np.arange(channels)[None, :]
    centres = np.array([[20.0, 60.0], [35.0, 95.0], [50.0, 80.0]])
    pure = np.exp(-(((energy - centres[:, :1]) / 6.0) ** 2)) + 0.7 * np.exp(-(((energy - centres[:, 1:]) / 9.0) ** 2))
    pure /= pure.sum(axis=1, keepdims=True)
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    share = np.stack([np.clip(1.2 - 1.5 * (x + y), 0, None), np.clip(x - 0.2, 0, None), np.clip(y - 0.2, 0, None)], -1)
    return pure, dose * (share + 0.002) / (share + 0.002).sum(axis=-1, keepdims=True)


def noisy(seed=1, **options):
    pure, amount = truth(**options)
    return as_map(np.random.default_rng(seed).poisson(amount @ pure)), pure, amount


def with_dead_parts():
    counts = noisy(size=9)[0]["counts"].values.copy()
    counts[3, 5] = 0
    counts[..., 7] = 0
    counts[..., 118] = 0
    return as_map(counts)


def weighted(matrix):
    pixels, channels = matrix.any(axis=1), matrix.any(axis=0)
    live = matrix[np.ix_(pixels, channels)].astype(float)
    by_pixel, by_channel = np.sqrt(live.sum(axis=1))[:, None], np.sqrt(live.sum(axis=0))
    return live / by_pixel / by_channel, by_pixel, by_channel, pixels, channels


def model(result):
    return xr.dot(result["abundance"], result["endmember"], dim="component").values


@pytest.mark.parametrize("components", [1, 4, 70])
@pytest.mark.parametrize("weighting", ["poisson", None])
def test_principal_components_are_those_of_brute_force(components, weighting):
    ds = with_dead_parts()
    matrix = ds["counts"].values.reshape(-1, 120).astype(float)
    scaled, by_pixel, by_channel, pixels, channels = weighted(matrix)
    if weighting is None:
        scaled, by_pixel, by_channel = matrix[np.ix_(pixels, channels)], 1.0, 1.0
    left, values, right = np.linalg.svd(scaled, full_matrices=False)
    result = spectra.decompose(ds, components, method="pca", weighting=weighting)
    share = values**2 / (values**2).sum()
    np.testing.assert_allclose(result["explained_variance"], share[:components], rtol=1e-9)
    found = (result["endmember"].values[:, channels] / by_channel).T
    assert np.rad2deg(subspace_angles(found, right[:components].T)).max() < 1e-3
    expected = np.zeros_like(matrix)
    part = (left[:, :components] * values[:components]) @ right[:components]
    expected[np.ix_(pixels, channels)] = part * by_pixel * by_channel
    np.testing.assert_allclose(model(result).reshape(matrix.shape), expected, atol=1e-8 * matrix.max())


def test_principal_components_of_a_measured_map(measured):
    ds = spectra.crop(spectra.open(measured("edx/P45_the_default_job.bcf")), energy=(0.2, 6.0))
    ds = ds.isel(y=slice(0, 20), x=slice(0, 30))
    scaled, _, by_channel, _, channels = weighted(ds["counts"].values.reshape(-1, ds.sizes["energy"]))
    right = np.linalg.svd(scaled, full_matrices=False)[2]
    result = spectra.decompose(ds, 3, method="pca")
    found = (result["endmember"].values[:, channels] / by_channel).T
    assert np.rad2deg(subspace_angles(found[:, :1], right[:1].T)).max() < 1e-3


@pytest.mark.parametrize("weighting", ["poisson", None])
def test_nmf_fits_the_weighted_matrix_as_closely_as_scikit_learn(weighting):
    from sklearn.decomposition import NMF

    ds = with_dead_parts()
    matrix = ds["counts"].values.reshape(-1, 120).astype(float)
    scaled, by_pixel, by_channel, pixels, channels = weighted(matrix)
    if weighting is None:
        scaled, by_pixel, by_channel = matrix[np.ix_(pixels, channels)], 1.0, 1.0
    engine = NMF(3, init="nndsvda", random_state=5, max_iter=2000, tol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = engine.fit_transform(scaled) @ engine.components_
    result = spectra.decompose(ds, 3, seed=5, weighting=weighting)
    ours = model(result).reshape(matrix.shape)[np.ix_(pixels, channels)]
    residuals = [((scaled - one) ** 2).sum() for one in (ours / by_pixel / by_channel, theirs)]
    assert residuals[0] <= residuals[1] * (1 + 1e-9)
    np.testing.assert_allclose(ours, theirs * by_pixel * by_channel, atol=1e-4 * matrix.max())


@pytest.mark.parametrize("start", ["nndsvd", "random"])
def test_factors_are_at_a_minimum_and_zero_where_the_bound_holds_them(start):
    scaled = weighted(with_dead_parts()["counts"].values.reshape(-1, 120))[0]
    found = nonnegative(scaled, 3, 7, start)
    assert found.converged
    off = found.scores @ found.factors - scaled
    for values, slope in ((found.scores, off @ found.factors.T), (found.factors, found.scores.T @ off)):
        assert values.min() == 0.0
        assert np.abs(slope[values > 0]).max() < 1e-5 * np.abs(slope).max()
        assert slope[values == 0].min() > -1e-5 * np.abs(slope).max()


def test_dead_pixels_and_channels_come_back_as_zeros():
    result = spectra.decompose(with_dead_parts(), 3)
    assert not result["abundance"].isel(y=3, x=5).any()
    assert not result["abundance_stderr"].isel(y=3, x=5).any()
    assert not result["endmember"].isel(energy=[7, 118]).any()


def test_known_endmembers_are_recovered():
    ds, pure, amount = noisy()
    result = spectra.decompose(ds, 3)
    found = result["endmember"].values
    cosine = found @ pure.T / np.linalg.norm(found, axis=1)[:, None] / np.linalg.norm(pure, axis=1)
    order = cosine.argmax(axis=1)
    assert sorted(order) == [0, 1, 2]
    assert np.rad2deg(np.arccos(cosine.max(axis=1))).max() < 3.0
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert result["abundance"].attrs["units"] == "count"
    np.testing.assert_allclose(result["abundance"].sum("component").mean(), amount.sum(axis=-1).mean(), rtol=2e-3)


def test_standard_error_covers_the_truth():
    ds, pure, amount = noisy(channels=120, size=60, dose=2000.0)
    result = spectra.decompose(ds, 3)
    order = (result["endmember"].values @ pure.T).argmax(axis=1)
    inside = amount[..., order] > 200.0
    z = ((result["abundance"] - amount[..., order]) / result["abundance_stderr"]).values[inside]
    assert 0.64 < (np.abs(z) < 1.0).mean() < 0.73
    assert 0.92 < (np.abs(z) < 2.0).mean() < 0.98


def test_stray_counts_are_told_from_components():
    counts = np.random.default_rng(7).poisson(np.kron(np.eye(2), np.full((10, 20), 30.0))).reshape(4, 5, 40)
    empty = np.zeros((1, 5, 40), int)
    ds = as_map(np.concatenate([np.concatenate([counts, empty]), np.zeros((5, 5, 3), int)], axis=2))
    spectra.decompose(ds, 2)
    ds["counts"].values[4, 2, 41] = 1
    with pytest.warns(fusion.StrayCountsWarning, match="components [012] are stray counts.*coarsen"):
        found = spectra.decompose(ds, 3)
    assert 41 in found["endmember"].argmax("energy")


def test_a_measured_map_without_enough_counts_is_told(measured):
    ds = spectra.open(measured("edx/jeol/Sample/00_View000/View000_0000006.pts"))
    with pytest.warns(fusion.StrayCountsWarning, match=r"components \d.* are stray counts"):
        spectra.decompose(ds, 4)
    coarse = spectra.crop(ds, energy=(0.2, 10.0)).coarsen(y=16, x=16).sum()
    spectra.decompose(coarse, 4)


def test_intensities_have_no_standard_error():
    """Their noise is not known: that of Poisson in other units would be wrong by the root of the gain."""
    ds = as_map(np.random.default_rng(5).poisson(100.0, (4, 5, 6)) * 37.0, unit="1")
    ds["counts"].attrs["cell_methods"] = "y: x: mean"
    found = spectra.decompose(ds, 2)
    known = spectra.unmix(ds, found["endmember"])
    for result in (found, known):
        assert not [name for name in result if "stderr" in name]
        assert "ancillary_variables" not in result["abundance"].attrs
    with pytest.raises(DataError, match="counts"):
        spectra.bootstrap(found)


def test_standard_error_of_a_fit_with_fixed_endmembers():
    pure, amount = truth(size=2)
    weight = (amount.reshape(-1, 3) @ pure).sum(axis=0)
    rate = amount[0, 0] @ pure
    design = (pure / np.sqrt(weight)).T
    draws = RNG.poisson(rate, (4000, rate.size)) / np.sqrt(weight)
    fitted = np.linalg.lstsq(design, draws.T, rcond=None)[0]
    expected = abundance_error(amount[0, :1], pure, weight)[0]
    np.testing.assert_allclose(fitted.std(axis=1), expected, rtol=0.06)
    fisher = np.sqrt(np.diag(np.linalg.inv((pure / rate) @ pure.T)))
    assert (expected >= fisher * (1 - 1e-9)).all()


@pytest.mark.parametrize("method", ["nmf", "pca"])
def test_order_sign_and_seed_are_fixed(method):
    ds = noisy(size=15)[0]
    first, again = (spectra.decompose(ds, 3, method=method, seed=3) for _ in range(2))
    for name in first.data_vars:
        np.testing.assert_array_equal(first[name], again[name])
    shares = first["explained_variance"].values
    assert (np.diff(shares) <= 0).all()
    rows = first["endmember"].values
    assert (np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1) > 0).all()


def test_share_is_what_the_fit_loses_without_the_component():
    ds = noisy(size=15)[0]
    result = spectra.decompose(ds, 3)
    scaled, by_pixel, by_channel, *_ = weighted(ds["counts"].values.reshape(-1, 120))
    live = ds["counts"].values.reshape(-1, 120).any(axis=0)
    scores = result["abundance"].values.reshape(-1, 3) / by_pixel
    factors = result["endmember"].values[:, live] / by_channel
    rest = ((scaled - scores @ factors) ** 2).sum()
    for index, share in enumerate(result["explained_variance"].values):
        kept = [k for k in range(3) if k != index]
        lost = ((scaled - scores[:, kept] @ factors[kept]) ** 2).sum() - rest
        assert lost / (scaled**2).sum() == pytest.approx(share, rel=0.02)


def test_labels_pose_and_history_are_kept():
    counts = noisy(size=8)[0]["counts"].values
    ds = as_map(counts, pose=Affine.translation(x=3.0), frame="stage", attrs={"beam_energy": 20.0})
    ds = provenance.record(ds, "spectra.open", {"name": "map"}).assign_coords(z=("z", [5.0])).isel(z=0)
    ds["z"].attrs = {"units": "um", "axis": "Z", "long_name": "z"}
    result = spectra.decompose(ds, 3, seed=4)
    assert result["abundance"].dims == ("y", "x", "component")
    assert result["endmember"].dims == ("component", "energy")
    assert result["abundance"].attrs["cell_methods"] == "y: x: mean"
    assert result["abundance"].attrs["ancillary_variables"] == "abundance_stderr"
    for dim in ("x", "y", "z", "energy", "pose"):
        xr.testing.assert_identical(result[dim].variable, ds[dim].variable)
    assert result.attrs["beam_energy"] == 20.0
    steps = provenance.read(result)["steps"]
    assert [step["name"] for step in steps] == ["spectra.open", "spectra.decompose"]
    assert steps[-1]["parameters"] == {"components": 3, "method": "nmf", "weighting": "poisson", "seed": 4}
    assert fusion.check(result) is result


def test_volume_and_line():
    counts = RNG.poisson(5.0, (2, 3, 4, 6))
    axes = {"z": Axis("um", 1.0), "y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 1.0)}
    volume = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="volume", cell_methods="sum")
    assert spectra.decompose(volume, 2)["abundance"].dims == ("z", "y", "x", "component")
    line = as_map(RNG.poisson(5.0, (7, 6)))
    assert spectra.decompose(line, 2)["abundance"].dims == ("x", "component")


def test_pca_of_intensities_with_negative_values():
    ds = as_map(RNG.normal(size=(5, 6, 7)))
    result = spectra.decompose(ds, 2, method="pca", weighting=None)
    assert "abundance_stderr" not in result
    np.testing.assert_allclose(np.linalg.norm(result["endmember"], axis=1), 1.0)


def hurt(change):
    counts = RNG.poisson(5.0, (4, 5, 6)).astype(float)
    change(counts)
    return as_map(counts)


@pytest.mark.parametrize(
    ("ds", "components", "options", "message"),
    [
        (
            hurt(lambda c: c.__setitem__((0, 0, 0), np.nan)),
            2,
            {},
            "1 of 20 pixels have NaN or infinite values; crop the map",
        ),
        (hurt(lambda c: c[..., 2].fill(np.nan)), 2, {}, r"20 of 20 pixels .*; set masked channels to zero, ds.fillna"),
        (hurt(lambda c: c.fill(np.nan)), 2, {}, "no finite value"),
        (hurt(lambda c: c.fill(0.0)), 2, {}, "0 pixels and 0 channels with signal"),
        (hurt(lambda c: c.__setitem__((1, 1, 1), -3.0)), 2, {}, r"negative values \(down to -3\).*method='pca' with"),
        (hurt(lambda c: c.__setitem__((1, 1, 1), -3.0)), 2, {"weighting": None}, "negative values"),
        (hurt(lambda c: None), 0, {}, "at least 1; received 0"),
        (hurt(lambda c: None), 2.5, {}, "received 2.5"),
        (hurt(lambda c: None), 7, {}, "7 components asked of 20 pixels and 6 channels with signal; at most 6"),
        (hurt(lambda c: None), 2, {"method": "JADE"}, "unknown method 'JADE'; accepted are 'nmf', 'pca'.*to_hyperspy"),
        (hurt(lambda c: None), 2, {"weighting": "gauss"}, "unknown weighting 'gauss'"),
        (hurt(lambda c: c.__imul__(1e200)), 2, {}, "largest value is .*e.20.; give values in a unit"),
        (hurt(lambda c: c.__imul__(1e-200)), 2, {"weighting": None}, "largest value is .*e-199"),
        (as_map(np.ones((4, 5, 1))), 1, {}, "20 pixels and 1 channels with signal; at least 2"),
        (as_map(np.ones((1, 1, 6))), 1, {}, "1 pixels and 6 channels with signal; at least 2"),
    ],
)
def test_refusals(ds, components, options, message):
    with pytest.raises(DataError, match=message):
        spectra.decompose(ds, components, **options)


@pytest.mark.parametrize("weighting", ["poisson", None])
def test_hyperspy_finds_the_same_subspace_and_factors(weighting):
    ds = with_dead_parts()
    for ours, theirs in (("pca", "SVD"), ("nmf", "NMF")):
        mine, other = (spectra.decompose(ds, 3, method=method, weighting=weighting) for method in (ours, theirs))
        tolerance = 1e-9 if ours == "pca" else 0.05
        np.testing.assert_allclose(model(mine), model(other), atol=tolerance * float(ds["counts"].max()))


def test_the_robust_components_of_hyperspy_are_reached_by_their_name():
    ds = noisy()[0]
    found, again, exact = (spectra.decompose(ds, 3, method=name, seed=4) for name in ("RPCA", "RPCA", "pca"))
    np.testing.assert_allclose(found["endmember"], again["endmember"], atol=1e-9)
    off, least = (np.linalg.norm(model(one) - ds["counts"].values) for one in (found, exact))
    assert off < 1.5 * least
