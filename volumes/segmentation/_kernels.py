"""Eigenvalues of symmetric 3 x 3 matrices, and the walk through the trees of a forest: bare arrays in and out."""

from math import acos, cos, log, pi, sqrt
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


# The eigenvalues are q + 2 p cos(phi + 2 pi k / 3), with q a third of the trace, p² a sixth of the squared norm of
# A - q I, and cos(3 phi) = det((A - q I) / p) / 2: O. K. Smith, Commun. ACM 4, 168 (1961). No iteration, and no loss of
# accuracy that a feature would show.
@njit(cache=True, nogil=True)
def eigenvalues(a: Array, b: Array, c: Array, d: Array, e: Array, f: Array, out: Array) -> None:
    """Write into `out` (n, 3) the descending eigenvalues of n matrices [[a, d, e], [d, b, f], [e, f, c]]."""
    for i in range(a.size):
        q = (a[i] + b[i] + c[i]) / 3.0
        x, y, z = a[i] - q, b[i] - q, c[i] - q
        p = sqrt((x * x + y * y + z * z + 2.0 * (d[i] * d[i] + e[i] * e[i] + f[i] * f[i])) / 6.0)
        if p < 1e-30:
            out[i] = q
            continue
        det = x * (y * z - f[i] * f[i]) - d[i] * (d[i] * z - f[i] * e[i]) + e[i] * (d[i] * f[i] - y * e[i])
        angle = acos(min(1.0, max(-1.0, det / (2.0 * p * p * p)))) / 3.0
        out[i, 0] = q + 2.0 * p * cos(angle)
        out[i, 2] = q + 2.0 * p * cos(angle + 2.0 * pi / 3.0)
        out[i, 1] = 3.0 * q - out[i, 0] - out[i, 2]


# Disagreement is the mutual information of the class and the tree, H(mean of p) - mean of H(p): 0 where all trees say
# the same, however unsure they are, and ln 2 where half of them are sure of either of two classes (N. Houlsby et al.,
# arXiv:1112.5745, 2011).
@njit(cache=True, nogil=True)
def vote(
    features: Array, roots: Array, feature: Array, threshold: Array, children: Array, shares: Array, out: Array
) -> None:
    """Write into `out` (n, classes + 1) the mean share of each class in the leaves, and the disagreement in nats."""
    trees, classes = roots.size, shares.shape[1]
    for i in range(features.shape[0]):
        out[i] = 0.0
        single = 0.0
        for root in roots:
            node = root
            while children[node, 0] >= 0:
                node = children[node, 0 if features[i, feature[node]] <= threshold[node] else 1]
            for k in range(classes):
                share = shares[node, k]
                out[i, k] += share / trees
                if share > 0.0:
                    single -= share * log(share) / trees
        mixed = 0.0
        for k in range(classes):
            if out[i, k] > 0.0:
                mixed -= out[i, k] * log(out[i, k])
        out[i, classes] = max(mixed - single, np.float32(0.0))
