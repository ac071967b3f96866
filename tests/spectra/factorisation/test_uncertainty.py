"""Error bars: exact where there is a formula, equal to those of refits, and 95 % of the intervals hold the truth."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import spectra
from fusion import DataError, provenance
from spectra.factorisation.uncertainty import abundance_error, fit_errors, joint_errors, pixel_errors


def benchmark(name):
    path = Path(__file__).parents[3] / "benchmarks" / "spectra" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


intervals = benchmark("intervals")


@pytest.mark.parametrize("dose", [30.0, 300.0, 5000.0])
def test_intervals_hold_the_truth_in_95_percent(dose):
    """The whole of it, 200 maps, is benchmarks/spectra/intervals.py."""
    _, everywhere, present, absent, endmembers, known, known_present = intervals.row(range(6), dose)
    assert 0.92 < everywhere < 0.97
    assert 0.92 < present < 0.97
    assert absent > 0.97
    assert 0.88 < endmembers < 0.97
    assert 0.92 < known_present < known < 0.975


def test_intervals_hold_the_truth_on_continuum_with_overlapping_lines():
    """The whole of it, 200 maps, is benchmarks/spectra/intervals.py."""
    coverage = np.mean([intervals.hard_coverage(seed)[1] for seed in range(8)], axis=0)
    abundance, endmember, known, *infinite = coverage
    assert 0.9 < abundance < 0.98
    assert 0.9 < endmember < 0.985
    assert 0.92 < known < 0.985
    assert max(infinite) < 0.2


def joint(truth):
    found = spectra.decompose(truth.ds, 3)
    return found, found["abundance_stderr"].values, found["endmember_stderr"].values


def test_the_errors_are_those_of_refits():
    truth = intervals.scene(3, 1000.0)
    found, abundance, endmember = joint(truth)
    again = spectra.bootstrap(found, draws=40, seed=1)
    free = found["abundance"].values > 3 * abundance
    assert np.median(again["abundance_stderr"].values[free] / abundance[free]) == pytest.approx(1.0, abs=0.06)
    lines = found["endmember"].values > 3 * endmember
    assert np.median(again["endmember_stderr"].values[lines] / endmember[lines]) == pytest.approx(1.0, abs=0.1)
    assert provenance.read(again)["steps"][-1]["parameters"] == {"draws": 40, "seed": 1}
    assert_allclose(spectra.bootstrap(found, draws=3)["endmember_stderr"],
                    spectra.bootstrap(found, draws=3)["endmember_stderr"], rtol=0)  # fmt: skip


def test_errors_shrink_with_the_root_of_the_counts():
    poor, rich = (joint(intervals.scene(5, dose)) for dose in (500.0, 50_000.0))
    present = poor[0]["abundance"].values > 100.0
    ratio = rich[1][present] / poor[1][present]
    assert np.median(ratio) == pytest.approx(10.0, rel=0.05)
    assert np.median(poor[2] / np.maximum(rich[2], 1e-12)) == pytest.approx(10.0, rel=0.3)


def test_rotations_are_held_by_the_zeros():
    """More pixels without a component hold it better; none at all hold nothing."""
    rng = np.random.default_rng(0)
    pure = np.array([[0.5, 0.3, 0.2, 0.0], [0.0, 0.2, 0.3, 0.5]])
    share = rng.uniform(0.2, 1.0, (60, 2)) * 400.0
    errors = {}
    for zeros in (4, 20):
        mixed = share.copy()
        mixed[:zeros, 0], mixed[-zeros:, 1] = 0.0, 0.0
        rates = mixed @ pure
        errors[zeros] = joint_errors(mixed, pure, rates.sum(axis=1), rates.sum(axis=0))
        alone = fit_errors(mixed, pure, rates.sum(axis=0))
        assert (errors[zeros].abundance >= alone * (1 - 1e-12)).all()
    middle = slice(20, 40)
    assert (errors[20].abundance[middle] < errors[4].abundance[middle]).all()
    blurred = pure + 0.01
    rates = share @ blurred
    free = joint_errors(share, blurred / blurred.sum(axis=1, keepdims=True), rates.sum(axis=1), rates.sum(axis=0))
    assert np.isinf(free.abundance).all()
    assert np.isinf(free.endmember).any(axis=1).all()


def full_errors(abundance, endmember):
    """Return the errors by brute force: one linear fit of all values that are not held, with the sums fixed."""
    rates = abundance @ endmember
    weight = 1 / (rates.sum(axis=1)[:, None] * rates.sum(axis=0))
    free = np.flatnonzero(np.concatenate([abundance.ravel(), endmember.ravel()]) > 0)
    pixels, channels = rates.shape
    of_abundance = np.einsum("in,kj->ijnk", np.eye(pixels), endmember).reshape(rates.size, -1)
    of_endmember = np.einsum("ik,jc->ijkc", abundance, np.eye(channels)).reshape(rates.size, -1)
    design = np.hstack([of_abundance, of_endmember])[:, free]
    sums = np.hstack([np.zeros((3, abundance.size)), np.kron(np.eye(3), np.ones(channels))])[:, free]
    kept = np.linalg.svd(sums)[2][3:].T
    inner = kept @ np.linalg.solve(kept.T @ (design.T * weight.ravel()) @ design @ kept, kept.T)
    estimator = inner @ (design.T * weight.ravel())
    errors = np.full(abundance.size + endmember.size, np.nan)
    errors[free] = np.sqrt((estimator**2) @ rates.ravel())
    return errors[: abundance.size].reshape(abundance.shape), errors[abundance.size :].reshape(endmember.shape)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_errors_are_those_of_the_whole_fit_at_once(seed):
    """Where no bound changes the own fit of a pixel or a channel; without the rotations they are too small."""
    rng = np.random.default_rng(seed)
    abundance = rng.dirichlet(np.ones(3), 40) * 50_000.0
    held = rng.random(abundance.shape) < 0.15
    held[held.all(axis=1)] = False
    abundance[held] = 0.0
    endmember = rng.dirichlet(np.full(25, 0.8), 3)
    endmember[endmember < 5e-3] = 0.0
    endmember /= endmember.sum(axis=1, keepdims=True)
    rates = abundance @ endmember
    found = joint_errors(abundance, endmember, rates.sum(axis=1), rates.sum(axis=0))
    alone = fit_errors(abundance, endmember, rates.sum(axis=0))
    whole, spectral = full_errors(abundance, endmember)
    inner, lines = (abundance > 0).all(axis=1), (endmember > 0).all(axis=0)
    assert np.median((found.abundance / whole)[inner]) == pytest.approx(1.0, abs=0.02)
    assert (found.abundance / whole)[inner].max() < 1.25
    assert np.median((alone / whole)[inner]) < np.median((found.abundance / whole)[inner]) - 0.01
    assert np.median((found.endmember / spectral)[:, lines]) == pytest.approx(1.0, abs=0.03)


def test_a_single_component_has_the_errors_of_its_counts():
    pure, counts = np.array([[0.5, 0.25, 0.25]]), np.array([[99.0], [399.0]])
    found = joint_errors(counts, pure, counts[:, 0], pure[0] * counts.sum())
    assert_allclose(found.abundance[:, 0], [10.0, 20.0])
    assert_allclose(found.endmember, np.sqrt(pure * (1 - pure) / 498.0))


def test_noise_of_endmembers_that_are_pixels_reaches_the_abundances():
    """Against draws of the pixels and of a mixture."""
    rng = np.random.default_rng(2)
    pure = rng.dirichlet(np.full(12, 0.8), 2)
    amount, counts = np.array([600.0, 900.0]), np.array([5000.0, 8000.0])
    weight = amount @ pure
    fits = []
    for _ in range(3000):
        drawn = rng.poisson(counts[:, None] * pure).astype(float)
        spectra_drawn = drawn / drawn.sum(axis=1, keepdims=True)
        design = (spectra_drawn / np.sqrt(weight)).T
        fits.append(np.linalg.lstsq(design, rng.poisson(weight) / np.sqrt(weight), rcond=None)[0])
    found = pixel_errors(amount[None], pure, weight, counts)
    assert_allclose(np.std(fits, axis=0), found.abundance[0], rtol=0.06)
    assert (found.abundance[0] > abundance_error(amount[None], pure, weight)[0] * 1.02).all()


def test_errors_of_a_map_of_pure_pixels_are_given():
    result = spectra.decompose(intervals.scene(0, 1000.0).ds, 3, method="nfindr")
    assert result["endmember"].attrs["ancillary_variables"] == "endmember_stderr"
    assert (result["abundance_stderr"] > 0).all()
    assert (result["endmember_stderr"] > 0).all(), "no counts in one pixel do not prove that there are none"


@pytest.mark.parametrize(
    ("options", "draws", "message"),
    [
        ({"method": "pca"}, 10, "received 'pca'"),
        ({"weighting": None}, 10, "weighting 'poisson'"),
        ({}, 1, "at least 2; received 1"),
        ({}, 2.5, "received 2.5"),
    ],
)
def test_refusals(options, draws, message):
    found = spectra.decompose(intervals.scene(0, 100.0).ds, 2, **options)
    with pytest.raises(DataError, match=message):
        spectra.bootstrap(found, draws=draws)
