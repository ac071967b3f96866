"""Volumes of known densities come back, with errors that hold the noise; the needle's unused views are predicted."""

import warnings

import numpy as np
import pytest

import conspectus
import fusion
import volumes
from fusion.errors import ConventionError, DataError, IncompleteResultWarning, UnitError
from tests.makers.tilts import tilt_series, two_rods

ANGLES = np.arange(-78.0, 79.0, 6.0)
PLANES = two_rods(32, 3)


def difference(volume, planes, axis="x"):
    found = volume["density"].transpose("z", "y" if axis == "x" else "x", axis).values
    return float(np.linalg.norm(found - planes) / np.linalg.norm(planes))


@pytest.mark.parametrize("axis", ["x", "y"])
def test_known_densities_come_back_at_their_places(axis):
    views = tilt_series(PLANES, ANGLES, axis)
    volume = volumes.reconstruct(views, axis=axis)
    assert volume["density"].dims == ("z", "y", "x")
    assert volume["density"].attrs["units"] == "1/um"
    assert difference(volume, PLANES, axis) < 0.12
    across = "y" if axis == "x" else "x"
    dense = volume["density"].sel({"z": 5 * 0.5, across: (15.5 - 9.5) * 0.5}, method="nearest")
    np.testing.assert_allclose(dense, 2.0, atol=0.25)
    np.testing.assert_allclose(volume["z"].values, (np.arange(32) - 15.5) * 0.5)


@pytest.mark.parametrize(("method", "error"), [("cgls", 0.12), ("sirt", 0.2), ("fbp", 0.4), ("tv", 0.1)])
def test_every_method_comes_near(method, error):
    volume = volumes.reconstruct(tilt_series(PLANES, ANGLES), method=method)
    assert difference(volume, PLANES) < error


def test_total_variation_needs_fewer_views_than_sirt():
    views = tilt_series(PLANES, np.linspace(-72.0, 72.0, 13), noise=0.05)
    errors = {method: difference(volumes.reconstruct(views, method=method), PLANES) for method in ("tv", "sirt")}
    assert errors["tv"] < 0.8 * errors["sirt"]


def test_densities_do_not_depend_on_the_pixel_size():
    coarse, fine = (volumes.reconstruct(tilt_series(PLANES, ANGLES, step=step), rounds=20) for step in (0.5, 0.01))
    np.testing.assert_allclose(coarse["density"].values, fine["density"].values, atol=1e-4)


def test_the_rounds_that_predict_best_are_taken_and_noise_stops_them_sooner():
    quiet, loud = (volumes.reconstruct(tilt_series(PLANES, ANGLES, noise=sigma)) for sigma in (0.0, 1.5))
    for volume in (quiet, loud):
        errors = volume["density"].attrs["held_out_error"]
        assert volume["density"].attrs["rounds"] == np.argmin(errors) + 1
    assert loud["density"].attrs["rounds"] < quiet["density"].attrs["rounds"]


# The standard error against the scatter of twelve series with other noise, within the rods.
def test_the_standard_error_is_the_scatter_under_noise():
    runs = [
        volumes.reconstruct(tilt_series(PLANES, ANGLES, noise=1.0, seed=k), rounds=15, nonnegative=False)
        for k in range(12)
    ]
    values = np.stack([run["density"].values for run in runs])
    claimed = np.mean([run["density_stderr"].values ** 2 for run in runs], axis=0)
    inside = PLANES > 0.5
    ratio = np.sqrt(claimed[inside].mean() / values.var(0, ddof=1)[inside].mean())
    assert 0.8 < ratio < 1.35


def test_pixels_without_a_value_do_not_count():
    views = tilt_series(PLANES, ANGLES)
    holes = np.random.default_rng(0).random(views["haadf"].shape) < 0.1
    damaged = views.assign(haadf=views["haadf"].where(~holes))
    assert difference(volumes.reconstruct(damaged, rounds=40), PLANES) < 0.15
    nothing = views.assign(haadf=views["haadf"].where(views["x"] > 0.1))
    volume = volumes.reconstruct(nothing, rounds=5)
    assert np.isnan(volume["density"].isel(x=0)).all()
    assert np.isfinite(volume["density"].isel(x=1)).all()


def test_lazy_views_give_the_same_volume_lazily():
    views = tilt_series(PLANES, ANGLES)
    lazy = volumes.reconstruct(views.chunk({"tilt": 5}), rounds=5, halves=True)
    assert lazy["density"].chunks is not None
    eager = volumes.reconstruct(views, rounds=5, halves=True)
    for name in eager.data_vars:
        np.testing.assert_allclose(lazy[name].values, eager[name].values, rtol=1e-5, atol=1e-6)


def test_progress_rises_to_one_and_the_history_names_the_step():
    shares = []
    volume = volumes.reconstruct(tilt_series(PLANES, ANGLES), rounds=2, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert "volumes.reconstruct" in volume.attrs["history"]
    assert volume["density"].attrs["rounds"] == 2


def test_what_cannot_be_reconstructed_is_refused():
    views = tilt_series(PLANES, ANGLES)
    with pytest.raises(DataError, match="at least 5"):
        volumes.reconstruct(views.isel(tilt=slice(4)))
    with pytest.raises(ConventionError, match="tilt axis lies along"):
        volumes.reconstruct(views, axis="z")
    with pytest.raises(DataError, match="is negative"):
        volumes.reconstruct(views - 5.0)
    with pytest.raises(DataError, match="zero or NaN"):
        volumes.reconstruct(views * np.nan)
    with pytest.raises(DataError, match="goes with method='tv'"):
        volumes.reconstruct(views, weight=0.1)
    pixels = views.assign_coords({dim: views[dim].assign_attrs(units="px") for dim in "yx"})
    with pytest.raises(UnitError, match="pixel size"):
        volumes.reconstruct(pixels)
    with pytest.raises(DataError, match="method is one of"):
        volumes.reconstruct(views, method="art")


def test_a_wide_missing_wedge_is_said():
    with pytest.warns(IncompleteResultWarning, match="missing 108 degrees"):
        volumes.reconstruct(tilt_series(PLANES, ANGLES).sel(tilt=slice(-39, 39)), rounds=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volumes.reconstruct(tilt_series(PLANES, ANGLES), rounds=1)


def test_views_of_the_needle_that_were_not_used_are_predicted(measured):
    path = measured("electron_tomography/HAADF_Aligned.hspy")
    series = conspectus.open(path)["HAADF_Aligned"].to_dataset()
    views = fusion.coarsen(series.isel(x=slice(32, 224, 32)).compute(), y=8)
    volume = volumes.reconstruct(views, leave_out=0.5)
    assert min(volume["density"].attrs["held_out_error"]) < 0.035
