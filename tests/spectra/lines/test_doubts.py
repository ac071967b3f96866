"""Shapes that move within their doubts: what few counts leave open, and what many settle."""

import numpy as np
import pytest

from spectra.lines.doubts import Doubts, adjusted

CHANNEL = np.arange(200.0)


def peak(at):
    return np.exp(-0.5 * ((CHANNEL - at) / 5.0) ** 2) / (5.0 * np.sqrt(2.0 * np.pi))


STRONG, WEAK = peak(60.0), 0.3 * peak(100.0)
LINES = STRONG + WEAK
SHAPES = np.stack([LINES, peak(103.0)])
"""A pair of lines, and a single one that lies almost below the weaker of them."""
WEIGHT = Doubts(0.2 * WEAK[None] / LINES, np.array([[1.0, 0.0]]))
"""The weight of the weaker line is known to 20 %."""


def truth(counts, parameter):
    return counts * (LINES + 0.2 * parameter * WEAK) + 0.2 * counts * SHAPES[1]


def test_many_counts_settle_what_few_leave_open():
    few, many = (adjusted(SHAPES, truth(counts, 1.5), WEIGHT) for counts in (100.0, 1e8))
    assert many.parameters[0] == pytest.approx(1.5, abs=0.01)
    np.testing.assert_allclose(many.amounts, [1e8, 2e7], rtol=1e-3)
    assert many.covariance[2, 2] < 1e-4
    assert few.covariance[2, 2] > 0.8
    assert abs(few.parameters[0]) < 0.5


def test_errors_are_those_of_repeated_measurements():
    rng = np.random.default_rng(3)
    draws, errors = [], []
    for _ in range(300):
        fit = adjusted(SHAPES, rng.poisson(truth(3000.0, rng.standard_normal())).astype(float), WEIGHT)
        draws.append(fit.amounts)
        errors.append(np.sqrt(np.diagonal(fit.covariance)[:2]))
    z = (np.array(draws) - [3000.0, 600.0]) / np.array(errors)
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.12)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.2)


def test_the_error_of_a_shape_does_not_shrink_in_a_sum():
    fit = adjusted(SHAPES, truth(1e4, 0.0), WEIGHT)
    pixels = np.array([[1.0, 0.2], [10.0, 2.0]])
    errors = WEIGHT.error(pixels, SHAPES, fit.parameters, fit.covariance[2:, 2:], np.maximum(fit.model, 1.0))
    np.testing.assert_allclose(errors[1], 10.0 * errors[0])
    assert errors[0, 1] > 0.0
