"""Labels, counts, standard errors and bad pixels on the way to another grid."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine
from tests.makers.grids import STEPS, THICK, axes, indices, replaced, volume


def labelled(values: np.ndarray, **attrs: Any) -> xr.Dataset:
    attrs = {"flag_values": np.array([3, 7], values.dtype), "flag_meanings": "iron rust", **attrs}
    ds = volume(values.shape)
    return ds.assign(phase=(ds["v"].dims, values, attrs)).drop_vars("v")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64])
@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_labels_come_from_the_nearest_pixel_and_are_minus_one_outside(dtype: type, method: Any) -> None:
    values = np.random.default_rng(1).choice(np.array([3, 7], dtype), size=(4, 6, 5))
    ds, grid = labelled(values), volume((3, 7, 6), axes(steps=THICK))
    transform = Affine.translation(0.11, 0.04, -0.1) @ Affine.rotation(3.0, axis=(1.0, 0.3, 0.2))
    moved = fusion.resample(ds, grid, transform=transform, method=method)
    index = np.floor(indices(ds, grid, transform) + 0.5).astype(int)
    inside = ((index >= 0) & (index < values.shape)).all(axis=-1)
    nearest = tuple(np.moveaxis(np.clip(index, 0, np.array(values.shape) - 1), -1, 0))
    expected = np.where(inside, values[nearest].astype(np.int64), -1)
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(moved["phase"].values, expected)
    assert list(moved["phase"].attrs["flag_values"]) == [3, 7, -1]
    assert moved["phase"].attrs["flag_meanings"] == "iron rust outside"
    assert moved["phase"].dtype.kind == "i"


def test_labels_are_extended_once_however_often_they_move() -> None:
    ds, grid = labelled(np.full((4, 6, 5), 7, np.uint8)), volume((3, 7, 6))
    twice = fusion.resample(fusion.resample(ds, grid), grid)
    assert list(twice["phase"].attrs["flag_values"]) == [3, 7, -1]
    assert twice["phase"].attrs["ancillary_variables"].split() == ["coverage", "phase_share"]


def test_large_labels_keep_every_digit() -> None:
    ds = labelled(np.full((4, 6, 5), 2**24 + 1, np.int32), flag_values=[2**24 + 1], flag_meanings="one")
    assert fusion.resample(ds, volume((2, 2, 2)))["phase"].values.max() == 2**24 + 1


def counts(shape: tuple[int, int]) -> xr.Dataset:
    return replaced(volume(shape), np.random.default_rng(2).poisson(50.0, shape), cell_methods="y: x: sum")


def test_counts_are_not_interpolated() -> None:
    with pytest.raises(fusion.ConventionError, match="v: counts are conserved and cannot be interpolated"):
        fusion.resample(counts((9, 8)), volume((5, 4)), method="linear")


def test_nearest_does_not_conserve_counts_which_is_why_linear_refuses_them() -> None:
    ds = counts((9, 8))
    fine = volume((17, 15), axes("yx", steps={"y": STEPS["y"] / 2, "x": STEPS["x"] / 2}))
    moved = fusion.resample(ds, fine, method="nearest")
    assert moved["v"].attrs["cell_methods"] == "y: x: sum"
    assert float(moved["v"].sum()) / float(ds["v"].sum()) > 3.0


def operator(ds: xr.Dataset, grid: xr.Dataset, transform: Affine) -> np.ndarray:
    """Return the weight of each pixel in each place of the grid: every pixel is sent as a channel of its own."""
    size = ds["v"].size
    unit = np.eye(size).reshape(*ds["v"].shape, size)
    channels = ds.assign(v=((*ds["v"].dims, "channel"), unit, ds["v"].attrs), channel=np.arange(size))
    return fusion.resample(channels, grid, transform=transform, method="linear")["v"].values.reshape(-1, size)


def with_error(ds: xr.Dataset, error: np.ndarray) -> xr.Dataset:
    linked = ds.assign(v_stderr=(ds["v"].dims, error, {"cell_methods": "y: x: mean", "units": "1"}))
    linked["v"].attrs["ancillary_variables"] = "v_stderr"
    return linked


TURN = Affine.translation(0.0, -0.11, -0.2) @ Affine.rotation(14.0)


def test_standard_errors_follow_the_squared_weights() -> None:
    rng = np.random.default_rng(3)
    error = rng.uniform(0.1, 2.0, (6, 5))
    ds, grid = with_error(volume((6, 5)), error), volume((7, 6), axes("yx", {"y": 0.03, "x": 0.09}))
    moved = fusion.resample(ds, grid, transform=TURN, method="linear")
    weights = operator(volume((6, 5)), grid, TURN)
    expected = np.sqrt(weights**2 @ error.ravel() ** 2).reshape(7, 6)
    assert np.isfinite(expected).sum() > 10
    np.testing.assert_allclose(moved["v_stderr"].values, expected, rtol=1e-6)
    interpolated = (weights @ error.ravel()).reshape(7, 6)
    assert np.nanmax(interpolated / expected) > 1.3
    assert moved["v"].attrs["ancillary_variables"].split() == ["v_stderr", "coverage"]


def test_standard_errors_are_those_of_resampled_noise() -> None:
    rng = np.random.default_rng(4)
    error = rng.uniform(0.1, 2.0, (6, 5))
    ds, grid = volume((6, 5)), volume((7, 6), axes("yx", {"y": 0.03, "x": 0.09}))
    noise = rng.normal(size=(6, 5, 4000)) * error[..., None]
    channels = ds.assign(v=(("y", "x", "channel"), noise, ds["v"].attrs), channel=np.arange(4000))
    draws = fusion.resample(channels, grid, transform=TURN, method="linear")
    found = fusion.resample(with_error(ds, error), grid, transform=TURN, method="linear")["v_stderr"]
    inside = np.isfinite(found.values)
    np.testing.assert_allclose(draws["v"].values.std(axis=-1)[inside], found.values[inside], rtol=0.06)


def test_errors_of_the_nearest_pixel_are_taken_as_they_are() -> None:
    error = np.random.default_rng(5).uniform(0.1, 2.0, (6, 5))
    ds, grid = with_error(replaced(volume((6, 5)), error), error), volume((7, 6))
    moved = fusion.resample(ds, grid, transform=TURN, method="nearest")
    np.testing.assert_array_equal(moved["v_stderr"].values, moved["v"].values)


def test_a_bad_pixel_spoils_only_what_it_has_weight_in() -> None:
    values = np.random.default_rng(6).normal(size=(6, 5))
    values[2, 3] = np.nan
    ds, grid = replaced(volume((6, 5)), values), volume((13, 11), axes("yx", {"y": 0.025, "x": 0.07}))
    moved = fusion.resample(ds, grid, transform=TURN, method="linear")
    weights = operator(ds.fillna(0.0), grid, TURN)[:, 2 * 5 + 3].reshape(13, 11)
    spoilt = np.isnan(moved["v"].values) & (moved["coverage"].values == 1)
    np.testing.assert_array_equal(spoilt, weights > 1e-5)
    assert spoilt.any()
    whole = fusion.resample(ds, volume((6, 5)), method="linear")["v"].values
    np.testing.assert_allclose(whole, values, rtol=1e-12, atol=1e-12)
