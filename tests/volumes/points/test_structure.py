"""Pairs, contacts and coordination of points whose arrangement is known."""

import numpy as np
import pytest

import volumes
from fusion import Axis, ConventionError, DataError, dataset


def points_at(at, radius=None, error=0.02, box=None, radius_error=0.0):
    count = len(at)
    axes = {dim: Axis("um", values=at[:, n]) for n, dim in enumerate("zyx")}
    um = {"units": "um"}
    variables = {f"{dim}_stderr": ("point", np.full(count, error), um) for dim in "zyx"}
    if radius is not None:
        variables["radius"] = ("point", np.broadcast_to(radius, count).astype(float), um)
        variables["radius_stderr"] = ("point", np.full(count, radius_error), um)
    return dataset(variables, axes, name="points", attrs={} if box is None else {"volume": np.ravel(box)})


BOX = np.array([[0.0, 6.0], [-2.0, 6.0], [1.0, 11.0]])


def gas(rng, count):
    return BOX[:, 0] + rng.uniform(size=(count, 3)) * np.ptp(BOX, axis=1)


def test_a_gas_has_no_structure_up_to_the_border():
    """Without the border's correction g falls to a half at half of the box's shortest side."""
    runs = [
        volumes.pair_correlation(points_at(gas(np.random.default_rng(n), 600), box=BOX), step=0.4, largest=4.0)
        for n in range(20)
    ]
    values = np.array([run["pair_correlation"].values for run in runs])[:, 2:]
    error = np.array([run["pair_correlation_stderr"].values for run in runs])[:, 2:]
    np.testing.assert_allclose(values.mean(axis=0), 1.0, atol=0.02)
    np.testing.assert_allclose(values.std(axis=0).mean(), error.mean(), rtol=0.4)


def test_a_lattice_has_its_shells():
    at = np.stack(np.meshgrid(*[np.arange(6.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    g = volumes.pair_correlation(points_at(at), step=0.1, largest=2.0, volume=[-0.5, 5.5] * 3)
    shells = g["pair_correlation"].values * 4 / 3 * np.pi * np.diff((0.1 * np.arange(21)) ** 3)
    near = [shells[10], shells[14], shells[17]]
    np.testing.assert_allclose(near, [6, 12, 8], rtol=0.01)


def test_coordination_of_a_lattice_is_six_with_the_border_left_out():
    at = np.stack(np.meshgrid(*[np.arange(6.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    found = volumes.coordination(points_at(at, radius=0.5, box=[-0.5, 5.5] * 3), within=0.1)
    assert float(found["mean"]) == pytest.approx(6.0, abs=0.02)
    assert int(np.isfinite(found["coordination"]).sum()) == 4**3
    everyone = volumes.contacts(points_at(at, radius=0.5), within=0.1)
    assert 2 * everyone["probability"].values.sum() / len(at) < 5.1


def test_probabilities_are_shares_of_repeats():
    """A gap of 0.05 um, seen with an error of 0.03 at each end, is called contact within 0.08 as often as said."""
    rng = np.random.default_rng(1)
    true = np.array([[0.0, 0.0, 0.0], [0.3, 0.4, np.sqrt(1.05**2 - 0.25)]])
    seen = [
        volumes.contacts(points_at(true + rng.normal(scale=0.03, size=(2, 3)), 0.5, 0.03), 0.08) for _ in range(300)
    ]
    gap = np.array([each["gap"].item() for each in seen])
    error = seen[0]["gap_stderr"].item()
    assert gap.mean() == pytest.approx(0.05, abs=0.01)
    assert gap.std() == pytest.approx(error, rel=0.15)
    assert error == pytest.approx(0.03 * np.sqrt(2), rel=1e-6)
    by_hand = 0.5 * (1 + np.vectorize(__import__("math").erf)((0.08 - gap) / error / np.sqrt(2)))
    np.testing.assert_allclose([each["probability"].item() for each in seen], by_hand, rtol=1e-6)


def test_one_radius_of_all_counts_twice():
    pair = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    one = volumes.contacts(points_at(pair, 0.5, 0.0, radius_error=0.01), 0.1)
    apart = volumes.contacts(points_at(pair, [0.5, 0.4999999], 0.0, radius_error=0.01), 0.1)
    assert one["gap_stderr"].item() == pytest.approx(0.02)
    assert apart["gap_stderr"].item() == pytest.approx(0.01 * np.sqrt(2))


def test_pairs_are_the_nearest_of_all_and_missing_ones_are_counted():
    rng = np.random.default_rng(2)
    true = gas(rng, 300)
    seen = np.concatenate([true[:270] + rng.normal(scale=0.02, size=(270, 3)), gas(rng, 15) + np.array([0, 0, 20])])
    order = rng.permutation(len(seen))
    found = volumes.match_particles(points_at(seen[order]), points_at(true, error=0.0), within=0.15)
    pairs = {(order[i], j) for i, j in zip(found["first"].values, found["second"].values, strict=True)}
    assert len(pairs & {(n, n) for n in range(270)}) >= 268
    assert float(found["precision"]) == pytest.approx(270 / 285, abs=0.01)
    assert float(found["recall"]) == pytest.approx(0.9, abs=0.01)
    np.testing.assert_allclose(found["rms"], 0.02, rtol=0.15)
    np.testing.assert_allclose(found["chi2"], 1.0, atol=0.3)


def test_what_has_no_box_or_radius_is_refused():
    at = gas(np.random.default_rng(3), 50)
    with pytest.raises(DataError, match=r"the box is six numbers in um"):
        volumes.pair_correlation(points_at(at), step=0.1, largest=1.0)
    with pytest.raises(DataError, match="below the box's shortest side; received 7"):
        volumes.pair_correlation(points_at(at, box=BOX), step=0.1, largest=7.0)
    with pytest.raises(DataError, match="0 points in the box; at least 10"):
        volumes.pair_correlation(points_at(at), step=0.1, largest=0.5, volume=[20, 21, 20, 21, 20, 21])
    with pytest.raises(ConventionError, match="no variable 'radius'"):
        volumes.contacts(points_at(at), within=0.1)
    with pytest.raises(DataError, match="a set has no point"):
        volumes.match_particles(points_at(at), points_at(at[:0]), within=0.1)
