"""Non-negative least squares against scipy, and the conditions of Karush, Kuhn and Tucker."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import nnls as reference

from spectra.factorisation.least_squares import alternating, nnls


@st.composite
def problems(draw):
    """Return a design and data of which some are far from the cone that it spans."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    components = draw(st.integers(1, 9))
    design = rng.random((components, draw(st.integers(components, 20)))) * 10.0 ** draw(st.integers(-6, 6))
    data = rng.random((17, components)) @ design + draw(st.floats(0.0, 2.0)) * design.max() * rng.normal(
        size=(17, design.shape[1])
    )
    return design, data, rng.uniform(0.1, 3.0, 17)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_it_is_that_of_scipy(case):
    design, data, _ = case
    expected = np.array([reference(design.T, row)[0] for row in data])
    found = nnls(design @ design.T, data @ design.T)
    best = ((data - expected @ design) ** 2).sum(axis=1)
    assert (found >= 0).all()
    assert_allclose(((data - found @ design) ** 2).sum(axis=1), best, rtol=1e-9, atol=1e-12 * (data**2).sum())


@given(problems())
@settings(max_examples=60, deadline=None)
def test_with_a_sum_no_direction_that_keeps_it_lowers_the_cost(case):
    design, data, total = case
    scale = np.abs(design).max()
    design, data = design / scale, data / scale
    gram, right = design @ design.T, data @ design.T
    found = nnls(gram, right, total)
    assert (found >= 0).all()
    assert_allclose(found.sum(axis=1), total, rtol=1e-12)
    slope = found @ gram - right
    least = np.where(found > 0, slope, np.inf).min(axis=1, keepdims=True)
    tolerance = 1e-6 * np.abs(right).max()
    assert (slope >= least - tolerance).all()
    assert (np.abs(slope - least)[found > 1e-9] < tolerance).all()


def test_spectra_that_are_alike_or_zero_do_no_harm():
    design = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    found = nnls(design @ design.T, np.array([[3.0, 6.0, 1.0]]) @ design.T)
    assert_allclose(found @ design, [[3.0, 6.0, 0.0]])
    assert nnls(np.eye(2), np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_alternation_ends_at_exact_factors(rank):
    rng = np.random.default_rng(rank)
    matrix = rng.dirichlet(np.full(rank, 0.3), 60) @ rng.dirichlet(np.full(20, 0.2), rank)
    found = alternating(matrix, matrix[:rank] + 1e-3)
    assert np.linalg.norm(matrix - found.scores @ found.factors) < 1e-2 * np.linalg.norm(matrix)


def test_alternation_that_is_stopped_says_so():
    rng = np.random.default_rng(0)
    assert not alternating(rng.random((9, 8)), rng.random((3, 8)), rounds=1).converged


def test_components_of_very_different_size_are_those_of_scipy():
    rng = np.random.default_rng(3)
    design = rng.random((5, 30)) * np.logspace(-5, 5, 5)[:, None]
    data = rng.normal(size=(40, 30)) + rng.random((40, 5)) @ design
    found = nnls(design @ design.T, data @ design.T)
    best = [reference(design.T, row)[1] for row in data]
    assert_allclose(np.linalg.norm(data - found @ design, axis=1), best, rtol=1e-6)
