"""Fused spectra against dense ones, and their error bars against Monte Carlo."""

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import fusion
from fusion import Affine, Axis

GRID = {"z": Axis("um", 0.5), "y": Axis("um", 0.11, 0.2), "x": Axis("um", 0.07, 0.3)}
ENERGIES = Axis("keV", 0.01, 0.2)


def endmembers(components: int = 3, channels: int = 40) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 2.0, (components, channels))


def decomposed(abundance: np.ndarray, pixel: float = 0.1, error: Any = None, **options: Any) -> xr.Dataset:
    """Return a map as spectra.decompose gives it."""
    ends = endmembers(abundance.shape[-1])
    variables: dict[str, Any] = {
        "abundance": (("y", "x", "component"), abundance, {"units": "count"}),
        "endmember": (("component", "energy"), ends),
    }
    if error is not None:
        variables["abundance"][2]["ancillary_variables"] = "abundance_stderr"
        variables["abundance_stderr"] = (("y", "x", "component"), error, {"units": "count"})
    axes = {"y": Axis("um", pixel), "x": Axis("um", pixel), "z": Axis("um", values=0.5), "energy": ENERGIES}
    axes["component"] = [f"phase {i}" for i in range(abundance.shape[-1])]  # type: ignore[assignment]
    return fusion.dataset(variables, axes, name="map", cell_methods="mean", frame="stage", **options)


def volume(shape: tuple[int, ...] = (3, 7, 9)) -> xr.Dataset:
    grey = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return fusion.dataset({"grey": (("z", "y", "x"), grey)}, GRID, name="sem", cell_methods="mean", frame="stage")


def smooth(size: int = 20, components: int = 3) -> np.ndarray:
    """Return abundances that hardly bend within a pixel."""
    y, x = np.meshgrid(np.arange(size) / size, np.arange(size) / size, indexing="ij")
    waves = [50 + 20 * np.sin(2 * x + k) + 10 * y * (k + 1) for k in range(components)]
    return np.stack(waves, axis=-1)


SHIFT = Affine.translation(0.0, 0.02, -0.03) @ Affine.rotation(6.0)


@pytest.fixture(scope="module")
def fused() -> xr.Dataset:
    ones = np.full((20, 20, 3), 2.0)
    return fusion.fuse(decomposed(smooth(), error=ones), volume(), transform=SHIFT, depth=0.8, method="linear")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 6), st.integers(0, 8))
def test_the_spectrum_of_a_voxel_is_abundance_times_endmember(fused: xr.Dataset, row: int, column: int) -> None:
    place = {"z": 0.5, "y": fused["y"].values[row], "x": fused["x"].values[column]}
    found = fusion.spectrum(fused, **place)
    inverse = SHIFT.inverse()([0.5, place["y"], place["x"]])
    truth = decomposed(smooth())["abundance"].interp(y=inverse[1], x=inverse[2]).values @ endmembers()
    assert found.dims == ("energy",)
    np.testing.assert_allclose(found.values, truth, rtol=1e-6)
    np.testing.assert_array_equal(found["energy"].values, fused["energy"].values)


def test_the_error_of_a_spectrum_is_that_of_scattered_abundances(fused: xr.Dataset) -> None:
    found = fusion.spectrum(fused, z=0.5, y=0.42, x=0.58)
    here = fused.sel(z=0.5, y=0.42, x=0.58, method="nearest")
    rng = np.random.default_rng(1)
    draws = rng.normal(here["abundance"].values, here["abundance_stderr"].values, (20_000, 3)) @ endmembers()
    np.testing.assert_allclose(draws.std(axis=0), found["spectrum_stderr"].values, rtol=0.03)
    assert found.attrs["ancillary_variables"] == "spectrum_stderr"


def test_several_places_give_the_spectra_of_each(fused: xr.Dataset) -> None:
    y, x = [0.31, 0.64, 0.2], [0.37, 0.3, 0.86]
    together = fusion.spectrum(fused, z=[0.5, 0.5, 0.5], y=y, x=x)
    assert together.dims == ("point", "energy")
    assert together["spectrum_stderr"].dims == ("point", "energy")
    for index in range(3):
        alone = fusion.spectrum(fused, z=0.5, y=y[index], x=x[index])
        np.testing.assert_array_equal(together.values[index], alone.values)
    np.testing.assert_array_equal(fusion.spectrum(fused, z=0.5, y=y, x=x).values, together.values)


def test_the_nearest_voxel_is_taken(fused: xr.Dataset) -> None:
    centre = fusion.spectrum(fused, z=0.5, y=0.42, x=0.58).values
    np.testing.assert_array_equal(fusion.spectrum(fused, z=0.5 + 0.24, y=0.42 + 0.05, x=0.58 - 0.03).values, centre)
    assert np.abs(fusion.spectrum(fused, z=0.5, y=0.42 + 0.06, x=0.58).values - centre).max() > 0.01


@pytest.mark.parametrize(
    "place",
    [
        {"z": 0.5, "y": 0.4, "x": 0.3 - 0.036}, {"z": 0.5, "y": 0.92, "x": 0.4}, {"z": 1.3, "y": 0.4, "x": 0.4},
        {"y": 0.4, "x": 0.4}, {"z": 0.5, "y": 0.4, "x": [0.4, 9.0]}, {"z": 0.5, "y": np.nan, "x": 0.4},
        {"z": 0.5, "y": [0.4, 0.5, 0.6], "x": [0.4, 0.5]},
    ],
)  # fmt: skip
def test_places_outside_are_refused(fused: xr.Dataset, place: dict[str, Any]) -> None:
    with pytest.raises(fusion.DataError):
        fusion.spectrum(fused, **place)


def test_places_that_no_map_covers_are_refused(fused: xr.Dataset) -> None:
    with pytest.raises(fusion.DataError, match="no map covers"):
        fusion.spectrum(fused, z=0.0, y=0.42, x=0.58)


def dense(fused: xr.Dataset) -> np.ndarray:
    return np.einsum("zyxk,ke->zyxe", fused["abundance"].values, fused["endmember"].values)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.2, 0.6), st.floats(0.0, 0.4))
def test_a_window_is_the_sum_over_dense_spectra(fused: xr.Dataset, low: float, width: float) -> None:
    energy = fused["energy"].values
    inside = (energy >= low) & (energy <= low + width)
    if not inside.any():
        with pytest.raises(fusion.DataError, match="no channel between"):
            fusion.window(fused, energy=(low, low + width))
        return
    found = fusion.window(fused, energy=(low, low + width))
    assert found.dims == ("z", "y", "x")
    np.testing.assert_allclose(found.values, dense(fused)[..., inside].sum(axis=-1), rtol=1e-6)


def test_both_limits_of_a_window_belong_to_it(fused: xr.Dataset) -> None:
    energy = fused["energy"].values
    found = fusion.window(fused, energy=(energy[3], energy[5]))
    np.testing.assert_allclose(found.values, dense(fused)[..., 3:6].sum(axis=-1), rtol=1e-6)


@pytest.mark.parametrize("limits", [{}, {"raman_shift": (1.0, 2.0)}, {"energy": (9.0, 10.0)}, {"energy": (0.5, 0.3)}])
def test_windows_without_channels_are_refused(fused: xr.Dataset, limits: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(fusion.DataError):
        fusion.window(fused, **limits)


# error bars


def vague(transform: Affine, seed: int, size: float) -> Affine:
    """Return the transform with a full covariance of its in-plane parameters."""
    root = np.zeros((12, 12))
    rows = [5, 6, 7, 9, 10, 11]
    root[np.ix_(rows, rows)] = size * np.random.default_rng(seed).normal(size=(6, 6))
    return Affine(transform.matrix, covariance=root @ root.T)


STRONG = Affine.translation(0.0, 0.53, 0.58) @ Affine.rotation(50.0) @ Affine.scaling(1.0, 0.6, 0.9)
STRONG = STRONG @ Affine.translation(0.0, -0.95, -0.95)


def test_the_error_of_the_position_is_that_of_perturbed_transforms() -> None:
    ds, grid, transform = decomposed(smooth()), volume(), vague(STRONG, 2, 0.006)
    found = fusion.fuse(ds, grid, transform=transform, depth=0.8, method="linear")["abundance_stderr"]
    rng = np.random.default_rng(3)
    rows = rng.multivariate_normal(transform.matrix[:3].ravel(), transform.covariance, size=400)
    draws = []
    for row in rows:
        matrix = np.vstack([row.reshape(3, 4), [0.0, 0.0, 0.0, 1.0]])
        moved = fusion.resample(ds, grid, transform=Affine(matrix), depth=0.8, method="linear")
        draws.append(moved["abundance"].values[1])
    spread = np.nanstd(draws, axis=0)
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(found.values[1][inner], spread[inner], rtol=0.2, atol=0.02 * np.nanmax(spread))
    assert np.corrcoef(found.values[1][inner].ravel(), spread[inner].ravel())[0, 1] > 0.99


def test_noise_and_position_add_as_variances() -> None:
    """The noise that the map really has is not taken for structure that the position moves."""
    rng, unsure, grid = np.random.default_rng(4), vague(SHIFT, 5, 0.02), volume()
    error = np.full((20, 20, 3), 0.3)
    only_noise = fusion.resample(decomposed(smooth(), error=error), grid, transform=unsure)["abundance_stderr"].values
    only_place = fusion.fuse(decomposed(smooth()), grid, transform=unsure)["abundance_stderr"].values
    both = [
        fusion.fuse(decomposed(rng.normal(smooth(), error), error=error), grid, transform=unsure)["abundance_stderr"]
        for _ in range(30)
    ]
    found = np.mean([one.values**2 for one in both], axis=0)
    expected = only_noise**2 + only_place**2
    strong = only_place > 0.4
    assert strong.sum() > 50
    # the largest of several noisy changes is a little larger than that of the map alone: 5 % of the error
    assert np.nanmean((found / expected)[strong]) == pytest.approx(1.06, abs=0.1)
    assert (found >= only_noise**2 * (1 - 1e-6))[np.isfinite(found)].all()


def test_at_an_edge_the_position_is_felt_where_the_slope_is_not() -> None:
    """A pixel away from a step the slope is 0; a pose that is off by a pixel still changes the value."""
    step = np.repeat(np.where(np.arange(20) < 10, 0.0, 100.0)[:, None, None], 20, axis=1)
    covariance = np.zeros((12, 12))
    covariance[7, 7] = 0.1**2
    grid = volume()
    fused = fusion.fuse(decomposed(step), grid, transform=Affine(np.eye(4), covariance=covariance), method="linear")
    away = grid["y"].values - 0.95
    # the value is linear between 0.9 and 1.0 um: E over δ of (a(y + δ) - a(y))², by a sum over the normal density
    nodes = np.linspace(-6, 6, 20001)
    density = np.exp(-(nodes**2) / 2) / np.exp(-(nodes**2) / 2).sum()
    profile = np.interp(away[:, None] + 0.1 * nodes, [-0.05, 0.05], [0.0, 100.0])
    exact = np.sqrt(((profile - np.interp(away, [-0.05, 0.05], [0.0, 100.0])[:, None]) ** 2 * density).sum(axis=1))
    # and 1.96 standard errors are no less than what a shift by 1.96 standard deviations changes
    ends = np.interp(away[:, None] + 0.196 * np.array([-1.0, 1.0]), [-0.05, 0.05], [0.0, 100.0])
    shifted = np.abs(ends - np.interp(away, [-0.05, 0.05], [0.0, 100.0])[:, None]).max(axis=1) / 1.96
    exact = np.maximum(exact, shifted)
    found = fused["abundance_stderr"].values[1, :, 4, 0]
    np.testing.assert_allclose(found[exact > 5], exact[exact > 5], rtol=0.35)
    assert (exact > 5).sum() > 1


@pytest.mark.parametrize("angle", [0.0, 20.0, 45.0, 63.0])
def test_an_edge_is_felt_as_far_as_the_position_reaches_whatever_its_direction(angle: float) -> None:
    """Within 1.75 standard deviations of an edge, 1.96 standard errors are its height."""
    pixel, sigma, normal = 0.1, 0.6, np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    y, x = np.meshgrid(np.arange(60) * pixel - 3, np.arange(60) * pixel - 3, indexing="ij")
    step = np.where(y * normal[0] + x * normal[1] > 0, 100.0, 0.0)[..., None]
    covariance = np.zeros((12, 12))
    covariance[7, 7] = covariance[11, 11] = sigma**2
    pose = Affine.translation(0.0, -3.0, -3.0).matrix
    at = -(1.75 * sigma - pixel) * normal
    axes = {dim: Axis("um", values=middle + np.array([0.0, 0.01])) for dim, middle in zip("yx", at, strict=True)}
    grid = fusion.dataset({"g": (("y", "x"), np.ones((2, 2)))}, axes, name="g", cell_methods="mean", frame="stage")
    fused = fusion.fuse(decomposed(step).drop_vars("z"), grid, transform=Affine(pose, covariance=covariance))
    assert float(fused["abundance"][0, 0, 0]) == 0.0
    assert 1.96 * float(fused["abundance_stderr"][0, 0, 0]) == pytest.approx(100.0, rel=0.05)


def test_a_bad_pixel_spoils_the_error_no_further_than_the_value() -> None:
    values = smooth()
    values[7, 8] = np.nan
    fused = fusion.fuse(decomposed(values, error=np.ones(values.shape)), volume(), transform=vague(SHIFT, 5, 0.02))
    bad = np.isnan(fused["abundance"].values)
    np.testing.assert_array_equal(np.isnan(fused["abundance_stderr"].values), bad)
    assert bad[1].any()
    assert not bad[1].all()


def test_a_flat_map_does_not_mind_where_it_lies() -> None:
    flat = np.full((20, 20, 2), 7.0)
    fused = fusion.fuse(decomposed(flat), volume(), transform=vague(SHIFT, 6, 0.1))
    assert np.nanmax(fused["abundance_stderr"].values) < 1e-12


def test_errors_of_the_poses_are_used_where_no_transform_is_given() -> None:
    unsure = vague(SHIFT, 7, 0.02)
    given_ = fusion.fuse(decomposed(smooth()), volume(), transform=unsure)
    posed = fusion.fuse(decomposed(smooth(), pose=unsure), volume())
    np.testing.assert_allclose(posed["abundance_stderr"].values, given_["abundance_stderr"].values, rtol=1e-6)


def test_an_error_that_rests_on_a_lower_bound_says_so() -> None:
    unsure = vague(SHIFT, 7, 0.02)
    least = Affine(unsure.matrix, covariance=unsure.covariance, lower_bound=True)
    for pose, expected in ((unsure, None), (least, "lower bound")):
        fused = fusion.fuse(decomposed(smooth(), pose=pose), volume())
        assert fused["abundance_stderr"].attrs.get("covariance_kind") == expected
        assert "covariance_kind" not in fused["abundance"].attrs
        mean = fusion.region_mean(decomposed(smooth(), pose=pose), volume(), volume()["grey"] > -1)
        assert mean["abundance_stderr"].attrs.get("covariance_kind") == expected


def test_without_any_error_there_is_no_error_bar() -> None:
    fused = fusion.fuse(decomposed(smooth()), volume(), transform=Affine(SHIFT.matrix))
    assert "abundance_stderr" not in fused
    assert "spectrum_stderr" not in fusion.spectrum(fused, z=0.5, y=0.42, x=0.58).coords


# what fuse leaves as it is


def test_the_volume_is_kept_beside_the_abundances(fused: xr.Dataset) -> None:
    assert set(fused.data_vars) == {"grey", "abundance", "abundance_stderr", "endmember", "coverage"}
    np.testing.assert_array_equal(fused["grey"].values, volume()["grey"].values)
    assert fusion.check(fused) is fused
    assert "abundance_stderr" in fused["abundance"].attrs["ancillary_variables"].split()
    assert fusion.get_pose(fused)[1] == "stage"
    np.testing.assert_array_equal(np.isnan(fused["abundance"]).all("component"), fused["coverage"] == 0)


def test_fusing_changes_neither_part() -> None:
    ds, grid = decomposed(smooth(), error=np.ones((20, 20, 3))), volume()
    before = ds.copy(deep=True), grid.copy(deep=True)
    for variable in (*ds.variables.values(), *grid.variables.values()):
        variable.values.setflags(write=False)
    fusion.fuse(ds, grid, transform=vague(SHIFT, 8, 0.01))
    xr.testing.assert_identical(ds, before[0])
    xr.testing.assert_identical(grid, before[1])


def test_lazy_parts_make_a_lazy_result_that_is_the_same() -> None:
    ds, grid, transform = decomposed(smooth(), error=np.ones((20, 20, 3))), volume(), vague(SHIFT, 9, 0.01)
    eager = fusion.fuse(ds, grid, transform=transform, depth=0.8)
    lazy = fusion.fuse(ds.chunk({"y": 7}), grid.chunk({"z": 1, "x": 4}), transform=transform, depth=0.8)
    window = fusion.window(lazy, energy=(0.25, 0.4))
    for array in (lazy["abundance"], lazy["abundance_stderr"], lazy["coverage"], window):
        assert isinstance(array.data, da.Array)
    xr.testing.assert_allclose(lazy.compute(), eager, rtol=1e-9)
    np.testing.assert_allclose(window.values, fusion.window(eager, energy=(0.25, 0.4)).values, rtol=1e-9)
    spectrum = fusion.spectrum(lazy, z=0.5, y=0.42, x=0.58)
    np.testing.assert_allclose(spectrum.values, fusion.spectrum(eager, z=0.5, y=0.42, x=0.58).values, rtol=1e-9)


def test_what_is_no_decomposition_is_refused() -> None:
    ds, grid = decomposed(smooth()), volume()
    with pytest.raises(fusion.ConventionError, match="abundance and endmember are needed"):
        fusion.fuse(ds.drop_vars("endmember"), grid)
    with pytest.raises(fusion.ConventionError, match=r"onto another grid by fusion\.resample"):
        fusion.fuse(grid, grid)
    with pytest.raises(fusion.ConventionError, match=r"\['endmember'\] already exist"):
        fusion.fuse(ds, grid.assign(endmember=ds["endmember"]))
    with pytest.raises(fusion.FrameError, match="share no frame"):
        fusion.fuse(ds, fusion.set_pose(grid, Affine.identity(), "elsewhere"))


def test_a_fused_map_without_z_takes_no_z() -> None:
    grid = volume().isel(z=0)
    fused = fusion.fuse(decomposed(smooth()), grid, transform=SHIFT)
    assert fused["abundance"].dims == ("y", "x", "component")
    assert fusion.spectrum(fused, y=0.42, x=0.58).dims == ("energy",)
    with pytest.raises(fusion.DataError, match="z"):
        fusion.spectrum(fused, z=5.0, y=0.42, x=0.58)
