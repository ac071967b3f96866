"""The palette is told apart by every colour vision; lengths, units and edges read as they should."""

from itertools import combinations

import numpy as np
import pytest

from fusion import display

# Machado, Oliveira and Fernandes (2009), severity 1.0: what dichromats see of linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanope": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def lab(colors, sight):
    """Return CIELAB (D65) of colours as they are seen."""
    codes = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in colors])
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(sight).T, 0.0, 1.0)
    white = np.array(TO_XYZ).sum(axis=1)
    t = np.cbrt(np.maximum(seen @ np.array(TO_XYZ).T / white, 1e-4))
    return np.stack([116 * t[:, 1] - 16, 500 * (t[:, 0] - t[:, 1]), 200 * (t[:, 1] - t[:, 2])], axis=1)


@pytest.mark.parametrize("sight", SIGHT)
def test_the_colours_stay_apart_for_every_colour_vision(sight):
    seen = lab(display.PALETTE, SIGHT[sight])
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 15
    former = lab(["#ff5a4d", "#35d07f", "#5a8cff", "#ffc53d", "#e06cff", "#3fd9e8"], SIGHT["protanope"])
    assert min(np.linalg.norm(a - b) for a, b in combinations(former, 2)) < 3


def test_edges_hold_their_centres():
    centres = np.array([0.0, 1.0, 1.5, 4.0])
    edges = display.edges(centres)
    assert (edges[:-1] < centres).all()
    assert (centres < edges[1:]).all()
    np.testing.assert_allclose(edges[[0, -1]], [-0.5, 5.25])
    np.testing.assert_allclose(display.edges(np.arange(5) * 0.1), np.arange(6) * 0.1 - 0.05)
