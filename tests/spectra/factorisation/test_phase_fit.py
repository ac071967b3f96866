"""The shift of phases on a map of few counts, which are not uniform: one answer, wherever the fit begins."""

import numpy as np

from spectra.factorisation.phase_fit import Pixels, fit
from spectra.factorisation.shifted import Fractions

SIZE, MARGIN, RATIO = 24, 4, 3
SIGMA = np.array([0.5, 0.5])


def test_the_shift_does_not_depend_on_the_start():
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(2, (SIZE + 2 * MARGIN) // 4, (SIZE + 2 * MARGIN) // 4))
    cells = np.eye(2)[np.argmax(np.kron(coarse, np.ones((4 * RATIO, 4 * RATIO))), axis=0)]
    edges, pixels = np.arange(len(cells) + 1) / RATIO - MARGIN, np.arange(SIZE + 1.0)
    fractions = Fractions(cells, (edges, edges), (pixels, pixels))
    uneven = rng.gamma(4.0, 0.25, size=(SIZE * SIZE, 1))
    pure = np.array([np.linspace(0.2, 0.002, 50), np.linspace(0.002, 0.1, 50)])
    counts = rng.poisson(uneven * (fractions.at(np.array([0.3, -0.2])) @ pure)).astype(float)
    map_ = Pixels(counts, np.ones(len(counts), bool), None, True)
    found = [fit(map_, fractions, SIGMA, np.array(start)) for start in ([0.0, 0.0], [0.6, -0.6], [0.5, 0.3])]
    error = np.sqrt(np.diag(found[0].shift_covariance))
    for other in found[1:]:
        np.testing.assert_allclose((other.shift - found[0].shift) / error, 0.0, atol=0.1)
