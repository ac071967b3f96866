"""Spectra of phases from pixels that hold several of them, where the mean under a mask is wrong by a known amount."""

import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import Affine, Axis, DataError, FrameError
from fusion.model import with_error

PURE = np.array([[40.0, 4.0, 12.0, 0.5], [3.0, 30.0, 12.0, 0.5], [5.0, 5.0, 2.0, 20.0]])
STEPS = {"y": 0.5, "x": 0.25}


def cells(rng, pixels=(14, 18), ratio=4, margin=0):
    """Return phases (y, x, phase), 0 or 1, on cells `ratio` times smaller than pixels, some three pixels wide."""
    coarse = rng.normal(size=(3, *(n // 2 + margin + 2 for n in pixels)))
    from scipy.ndimage import zoom

    fields = [zoom(one, 2 * ratio, order=3, grid_mode=True, mode="nearest") for one in coarse]
    size = [(n + 2 * margin) * ratio for n in pixels]
    return np.eye(3)[np.argmax(fields, axis=0)[: size[0], : size[1]]]


def segmented(values, ratio=4, margin=0, frame="s"):
    axes = {d: Axis("um", s / ratio, 7.0 + (0.5 / ratio - 0.5 - margin) * s) for d, s in STEPS.items()}
    variables = {"fraction": (("y", "x", "component"), values)}
    axes["component"] = ["oxide", "metal", "pore"][: values.shape[-1]]
    return fusion.dataset(variables, axes, name="phases", cell_methods="mean", frame=frame)


def shares(values, ratio=4, margin=0, moved=(0, 0)):
    """Return the mean fractions of pixels that are moved by a whole number of cells, straight from the definition."""
    rows, columns = (slice(margin * ratio + m, (-margin * ratio + m) or None) for m in moved)
    inner = values[rows, columns]
    return inner.reshape(inner.shape[0] // ratio, ratio, inner.shape[1] // ratio, ratio, -1).mean(axis=(1, 3))


def mapped(counts, method="sum"):
    axes = {**{d: Axis("um", s, 7.0) for d, s in STEPS.items()}, "energy": Axis("keV", 0.1)}
    return fusion.dataset(
        {"counts": (("y", "x", "energy"), counts, {"units": "count"})}, axes, name="map", cell_methods=method, frame="s"
    )


def test_spectra_are_exact_where_the_mean_under_a_mask_is_not():
    values = cells(np.random.default_rng(0))
    known = shares(values)
    result = spectra.phase_spectra(mapped(known @ PURE), segmented(values))
    np.testing.assert_allclose(result["endmember"], PURE, rtol=1e-6)
    assert result["component"].values.tolist() == ["oxide", "metal", "pore"]
    assert result["endmember"].attrs["units"] == "count"
    counted = known.sum(axis=(0, 1)) * PURE.sum(axis=1)
    np.testing.assert_allclose(result["fraction_of_counts"], counted / counted.sum(), rtol=1e-6)
    under_mask = (known @ PURE)[known.argmax(axis=-1) == 0].mean(axis=0)
    assert under_mask[0] < 0.93 * PURE[0, 0]


def test_errors_are_those_of_counting_and_hold_the_truth():
    """Fisher's information F'F / v inverted by hand, and 95 % intervals over forty maps."""
    rng = np.random.default_rng(1)
    values = cells(rng)
    known = shares(values)
    mean = known @ PURE
    results = [spectra.phase_spectra(mapped(rng.poisson(mean)), segmented(values)) for _ in range(40)]
    flat = known.reshape(-1, 3)
    exact = np.stack([np.linalg.inv(flat.T @ (flat / mean.reshape(-1, 4)[:, [e]])) for e in range(4)], axis=-1)
    error = np.array([result["endmember_stderr"].values for result in results])
    np.testing.assert_allclose(error.mean(axis=0), np.sqrt(np.einsum("kke->ke", exact)), rtol=0.08)
    covariance = np.mean([result["covariance"].values for result in results], axis=0)
    np.testing.assert_allclose(covariance[0, 1], exact[0, 1], rtol=0.35, atol=1e-3)
    off = np.array([result["endmember"].values for result in results]) - PURE
    assert 0.91 < np.mean(np.abs(off) < 1.96 * error) < 0.985
    assert (np.abs(off.mean(axis=0)) < 3.5 * off.std(axis=0) / np.sqrt(40)).all()


def test_a_shift_is_found_and_leaves_no_bias():
    rng = np.random.default_rng(2)
    values = cells(rng, margin=10)
    ds = mapped(rng.poisson(shares(values, margin=10, moved=(6, -9)) @ PURE))
    fractions = segmented(values, margin=10)
    result = spectra.phase_spectra(ds, fractions, position=0.4)
    np.testing.assert_allclose(result["shift"], [6 * 0.5 / 4, -9 * 0.25 / 4], atol=0.02)
    assert (result["shift_stderr"] < 0.02).all()
    np.testing.assert_allclose(result["endmember"][:, :2], PURE[:, :2], rtol=0.12)
    ignored = spectra.phase_spectra(ds, fractions)
    assert ignored["endmember"].values[0, 0] < 0.9 * PURE[0, 0]
    assert "shift" not in ignored
    assert ignored.attrs["excess"] > 1.5


def test_an_error_of_the_position_widens_errors():
    """Of a map that says little of the shift its prior remains; its expectation, which no shift explains better."""
    values = cells(np.random.default_rng(3), margin=10)
    ds = mapped(shares(values, margin=10) @ (0.02 * PURE))
    fractions = segmented(values, margin=10)
    known, unknown = (spectra.phase_spectra(ds, fractions, position=sigma) for sigma in (0.0, 0.1))
    assert (unknown["endmember_stderr"].values > known["endmember_stderr"].values).all()
    assert (unknown["shift_stderr"] <= 0.1).all()


def test_the_error_of_a_registration_comes_from_the_poses():
    values = cells(np.random.default_rng(4), margin=6)
    ds, fractions = mapped(shares(values, margin=6) @ PURE), segmented(values, margin=6)
    sure = Affine.translation(y=0.25).with_repeatability(shift=0.1)
    moved = fusion.set_pose(ds, sure, "s")
    result = spectra.phase_spectra(moved, fractions)
    assert result["shift"].values[0] == pytest.approx(-0.25, abs=0.02)
    unknown = spectra.phase_spectra(fusion.set_pose(ds, Affine(Affine.translation(z=1.0).matrix), "s"), fractions)
    assert np.isnan(unknown["endmember_stderr"].values).all()
    np.testing.assert_allclose(unknown["endmember"], PURE, rtol=1e-6)


def test_shares_that_scatter_widen_errors_and_leave_no_bias():
    rng = np.random.default_rng(5)
    expected = rng.uniform(0.2, 0.8, size=(40, 30))
    true = expected + 0.15 * rng.choice([-1.0, 1.0], size=expected.shape)
    counts = rng.poisson(100 * np.stack([true, 1 - true], -1) @ PURE[:2])
    bare = segmented(np.stack([expected, 1 - expected], -1), ratio=1)
    uncertain = with_error(bare, "fraction", xr.full_like(bare["fraction"], 0.15))
    result = spectra.phase_spectra(mapped(counts), uncertain)
    np.testing.assert_allclose(result["endmember"], 100 * PURE[:2], rtol=0.05, atol=120)
    off = np.abs(result["endmember"].values - 100 * PURE[:2]) / result["endmember_stderr"].values
    assert off.max() < 3.5
    assert result.attrs["excess"] < 1.1


def test_fractions_of_unknown_error_give_spectra_of_unknown_error():
    values = cells(np.random.default_rng(11))
    phases = segmented(values)
    unknown = with_error(phases, "fraction", xr.full_like(phases["fraction"], np.nan))
    result = spectra.phase_spectra(mapped(shares(values) @ PURE), unknown)
    np.testing.assert_allclose(result["endmember"], PURE, rtol=1e-6)
    assert np.isnan(result["endmember_stderr"].values).all()


def test_intensities_take_their_error_from_residuals():
    rng = np.random.default_rng(6)
    values = cells(rng)
    noise = np.array([0.5, 2.0, 1.0, 4.0])
    ds = mapped(shares(values) @ PURE - 3.0 + noise * rng.normal(size=(14, 18, 4)), "mean")
    result = spectra.phase_spectra(ds, segmented(values), weighting=None)
    flat = shares(values).reshape(-1, 3)
    expected = np.sqrt(np.diag(np.linalg.inv(flat.T @ flat)))[:, None] * noise
    np.testing.assert_allclose(result["endmember_stderr"], expected, rtol=0.2)


def test_sparse_and_lazy_maps_give_the_same():
    rng = np.random.default_rng(7)
    values = cells(rng)
    ds = mapped(rng.poisson(0.01 * shares(values) @ PURE))
    dense = spectra.phase_spectra(ds, segmented(values))
    lazy = spectra.phase_spectra(ds.chunk({"y": 5, "energy": 3}), segmented(values))
    np.testing.assert_allclose(lazy["endmember"], dense["endmember"], rtol=1e-9)


def test_pixels_without_fractions_are_left_out():
    values = cells(np.random.default_rng(8))
    spoiled = values.copy()
    spoiled[:9] = np.nan
    counts = shares(values) @ PURE
    counts[:3] = 1e4
    np.testing.assert_allclose(spectra.phase_spectra(mapped(counts), segmented(spoiled))["endmember"], PURE, rtol=1e-6)


def test_what_cannot_be_told_apart_is_refused():
    values = cells(np.random.default_rng(9))
    ds, phases = mapped(shares(values) @ PURE), segmented(values)
    half = np.concatenate([values[..., :1] / 2, values[..., :1] / 2, 1 - values[..., :1]], axis=-1)
    with pytest.raises(DataError, match=r"the fractions of (oxide and metal|metal and oxide) go together"):
        spectra.phase_spectra(ds, segmented(half))
    with pytest.raises(DataError, match="fractions run from 0 to 1; received 0 to 2"):
        spectra.phase_spectra(ds, segmented(2 * values))
    with pytest.raises(DataError, match=r"fractions are known in 0 of 252 pixels"):
        spectra.phase_spectra(ds, phases, position=1.0)
    with pytest.raises(DataError, match="position is a standard error in um"):
        spectra.phase_spectra(ds, phases, position=-1.0)
    with pytest.raises(FrameError, match="turned or stretched"):
        spectra.phase_spectra(ds, phases, transform=Affine.rotation(5.0))
    with pytest.raises(FrameError, match="share no frame"):
        spectra.phase_spectra(ds, segmented(values, frame="other"))
    with pytest.raises(DataError, match="negative values, which counts never have; give weighting=None"):
        spectra.phase_spectra(ds - 1.0, phases, transform=Affine.identity())


def test_spectra_are_drawn_without_maps():
    values = cells(np.random.default_rng(10))
    figure = spectra.plot(spectra.phase_spectra(mapped(shares(values) @ PURE), segmented(values)))
    assert [axes.texts[-1].get_text() for axes in figure.axes] == ["oxide", "metal", "pore"]
