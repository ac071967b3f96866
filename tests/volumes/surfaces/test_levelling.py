"""Levelling: known planes and lines come off, objects stay, and the mask of the background is told."""

import numpy as np
import pytest
import xarray as xr

import fusion
import volumes

Y, X = np.meshgrid(0.2 * np.arange(40), 0.05 * np.arange(70), indexing="ij")
OBJECT = ((X - 1.2) / 0.5) ** 2 + ((Y - 5.0) / 1.5) ** 2 < 1.0


def scan(height, **more):
    axes = {"y": fusion.Axis("um", 0.2), "x": fusion.Axis("um", 0.05)}
    values = {"height": (("y", "x"), height, {"units": "um"}), **more}
    return fusion.dataset(values, axes, name="scan", cell_methods="mean")


def noise(scale):
    return np.random.default_rng(1).normal(0.0, scale, X.shape)


@pytest.mark.parametrize("scale", [0.0, 1e-3])
@pytest.mark.parametrize("step", [0.5, -0.5])
def test_a_plane_comes_off_and_an_object_stays(scale, step):
    levelled = volumes.level(scan(3.0 + 0.1 * X - 0.04 * Y + step * OBJECT + noise(scale)))
    error = levelled["height"].values - step * OBJECT
    assert np.abs(error).max() < 6 * scale + 1e-6
    assert abs(error[~OBJECT].mean()) < scale / 20 + 1e-9
    background = levelled["height_background"].values
    assert not background[OBJECT].any()
    assert background[~OBJECT].mean() > 0.995


@pytest.mark.parametrize("method", ["plane", "lines"])
@pytest.mark.parametrize("height", [0.0, 5.0, 1e-300])
def test_a_surface_without_any_relief_is_flat(method, height):
    levelled = volumes.level(scan(np.full(X.shape, height)), method=method)
    assert np.abs(levelled["height"].values).max() < 1e-12
    assert levelled["height_background"].values.all()


def test_least_squares_would_be_pulled_by_the_object():
    height = 0.1 * X + 0.5 * OBJECT + noise(1e-3)
    design = np.stack([np.ones(X.size), Y.ravel(), X.ravel()], axis=-1)
    plane = design @ np.linalg.lstsq(design, height.ravel(), rcond=None)[0]
    assert np.abs((height.ravel() - plane)[~OBJECT.ravel()]).mean() > 20e-3
    assert np.abs(volumes.level(scan(height))["height"].values[~OBJECT]).mean() < 1.5e-3


def test_lines_have_offsets_and_tilts_of_their_own():
    rng = np.random.default_rng(0)
    lines = rng.normal(0, 1, (40, 1)) + rng.normal(0, 0.1, (40, 1)) * X
    height = lines + 0.5 * OBJECT + noise(1e-3)
    levelled = volumes.level(scan(height), method="lines")
    np.testing.assert_allclose(levelled["height"], 0.5 * OBJECT, atol=8e-3)
    assert volumes.level(scan(height))["height"].std() > 0.5


def test_a_mask_decides_where_objects_fill_the_rows():
    wide = X > 1.0
    height = np.cumsum(np.ones((40, 1)), axis=0) + 0.5 * wide + noise(1e-3)
    mask = xr.DataArray(~wide, dims=("y", "x"))
    levelled = volumes.level(scan(height), method="lines", mask=mask.T)
    assert float(levelled["height"].where(~mask).mean()) == pytest.approx(0.5, abs=2e-3)
    assert not levelled["height_background"].values[wide].any()


@pytest.mark.parametrize("method", ["plane", "lines"])
def test_a_constant_image_is_all_background(method):
    levelled = volumes.level(scan(np.full(X.shape, 2.5)), method=method)
    np.testing.assert_allclose(levelled["height"], 0.0, atol=1e-12)
    assert levelled["height_background"].values.all()


def test_missing_pixels_stay_missing_and_other_variables_stay():
    height = np.where(X > 3.0, np.nan, 0.1 * X)
    ds = scan(height.astype(np.float32), phase=(("y", "x"), Y, {"units": "degree"}))
    levelled = volumes.level(ds)
    np.testing.assert_array_equal(np.isnan(levelled["height"]), np.isnan(height))
    assert not levelled["height_background"].values[X > 3.0].any()
    np.testing.assert_array_equal(levelled["phase"], Y)
    assert (levelled["height"].dtype, levelled["height"].attrs["units"]) == (np.float32, "um")
    assert "volumes.level" in levelled.attrs["history"]


def test_what_cannot_be_levelled_is_refused():
    ds = scan(X)
    with pytest.raises(fusion.ConventionError, match="'plane' or 'lines' is expected"):
        volumes.level(ds, method="median")
    with pytest.raises(fusion.ConventionError, match=r"the dataset has \['height'\]"):
        volumes.level(ds, variable="depth")
    with pytest.raises(fusion.ConventionError, match="true and false on the pixels"):
        volumes.level(ds, mask=ds["height"])
    with pytest.raises(fusion.DataError, match="0 pixels of row 3 are background"):
        volumes.level(ds, method="lines", mask=ds["y"].expand_dims(x=70).transpose("y", "x").round(3) != 0.6)
